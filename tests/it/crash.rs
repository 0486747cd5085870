//! The real binary, killed at random moments: nothing accepted is lost, nothing is done twice, nothing stays unsettled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use quarantine_bridge::alert::SignedId;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::sign;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::binary::Installation;
use crate::harness::{key, simulate};

/// Kills at the least. A slow machine gets more, until enough was accepted between them.
const KILLS: usize = 100;
const KILLS_MAX: usize = 500;
const ALERTS: usize = 1_000;

/// Pseudo-random numbers from a seed, so that a failing run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64* (Vigna, 2014)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

/// Sends an alert as a sender does; returns whether it was accepted.
async fn send(client: &Client, installation: &Installation, occurred_at: Timestamp, number: usize) -> bool {
    let now = Clock::system().now();
    let target =
        json!({"machine": format!("{number:040x}"), "file": "2222222222bbbbbbbbbb2222222222bbbbbbbbbb"});
    // The same bytes every time, or sending again would be a conflict.
    let body = json!({"alert_id": format!("alert-{number}"), "severity": "high", "targets": [target],
                      "occurred_at": occurred_at.to_string()})
    .to_string();
    let id: SignedId = format!("msg_{number}").parse().unwrap();
    let request = client
        .post(installation.url("/v1/hooks/soc"))
        .header("content-type", "application/json")
        .header("webhook-id", id.as_str())
        .header("webhook-timestamp", now.as_second().to_string())
        .header("webhook-signature", sign(&key(), &id, now, body.as_bytes()))
        .body(body);
    match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            assert!(matches!(status, 200 | 202 | 503), "{status}: {:?}", response.text().await);
            status != 503
        }
        // Refused, or broken off by the kill.
        Err(_) => false,
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_100_kills_while_1000_alerts_come_in() {
    let seed = u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff).unwrap() | 1;
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let (simulator, _tasks) = simulate(Clock::system());
    simulator.with(|state| {
        state.switches.in_progress_after_ms = 100;
        state.switches.done_after_ms = 300;
    });
    let more = "[budget]\ncalls_per_minute = 1000000\ncalls_per_hour = 1000000\nreads_per_minute = 1000000\nreads_per_hour = 1000000\n\
                [dispatch]\nsettle = \"1s\"\nlook_every = \"50ms\"\n[log]\nlevel = \"warn\"\n\
                [sources.soc.quota]\ndeliveries_per_minute = 1000000\nburst = 1000000\n\
                [sources.soc.policy.guards]\nos = \"off\"\ndevice_state = \"off\"\nprotected_device = \"off\"\n\
                microsoft_signed = \"off\"\ntrusted_publisher = \"off\"\ndetermination = \"off\"\nprevalence = \"off\"\nseen_on_device = \"off\"\n";
    let installation = Installation::new(&simulator.url(), more);
    let client = Client::builder().no_proxy().build().unwrap();
    let occurred_at = Clock::system().now();
    let mut accepted = BTreeSet::new();

    let mut kills = 0;
    while kills < KILLS || (accepted.len() < ALERTS / 2 && kills < KILLS_MAX) {
        let serving = installation.serve();
        let wanted: Vec<_> = (0..ALERTS).filter(|number| !accepted.contains(number)).take(12).collect();
        let moment = Duration::from_millis(random.below(150));
        let starts_at_once = kills % 4 == 0;
        if !starts_at_once {
            installation.wait_until_ready().await;
        }
        let mut sends: FuturesUnordered<_> = wanted
            .into_iter()
            .map(|number| {
                let sent = send(&client, &installation, occurred_at, number);
                sent.map(move |is_accepted| (number, is_accepted))
            })
            .collect();
        // Until the moment of the kill, whatever is under way then.
        drop(
            timeout(moment, async {
                while let Some((number, is_accepted)) = sends.next().await {
                    accepted.extend(is_accepted.then_some(number));
                }
                std::future::pending::<()>().await;
            })
            .await,
        );
        serving.kill();
        kills += 1;
    }

    let accepted_under_fire = accepted.len();
    let serving = installation.serve();
    installation.wait_until_ready().await;
    for number in 0..ALERTS {
        if !accepted.contains(&number) {
            assert!(send(&client, &installation, occurred_at, number).await);
        }
    }
    let states = settled(&installation, &client).await;
    assert_eq!(serving.terminate().await, Some(0));

    let caught = states.values().filter(|way| way.contains("uncertain")).count();
    eprintln!(
        "{kills} kills, {accepted_under_fire} of {ALERTS} alerts accepted under fire, {caught} caught while sending"
    );
    assert!(accepted_under_fire >= ALERTS / 2, "{kills} kills left too little time to accept anything");
    assert!(caught > 0, "no kill came between an intent and its outcome");
    assert_eq!(states.len(), ALERTS, "an accepted alert was lost");
    let unsettled: Vec<_> = states.iter().filter(|(_, way)| !way.ends_with("succeeded")).collect();
    assert!(unsettled.is_empty(), "{unsettled:?}");
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for action in simulator.machine_actions() {
        *made.entry(action.comment).or_default() += 1;
    }
    let doubled: Vec<_> = made.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(made.len(), ALERTS);
}

/// Waits until every action is over; returns the states that each went through, by alert.
async fn settled(installation: &Installation, client: &Client) -> BTreeMap<String, String> {
    let output = installation.run(&["token", "create", "--name", "test", "--scope", "actions:read"]);
    let token = String::from_utf8(output.stdout).unwrap();
    for _ in 0..6_000 {
        let mut states = BTreeMap::new();
        let mut is_settled = true;
        let mut cursor = String::new();
        loop {
            let url = installation.url(&format!("/v1/actions?limit=200{cursor}"));
            let text = client.get(url).bearer_auth(token.trim()).send().await.unwrap().text().await.unwrap();
            let page: Value = serde_json::from_str(&text).unwrap();
            for action in page["actions"].as_array().unwrap() {
                is_settled &= action["final"] == true;
                let alert = action["alert"]["id"].as_str().unwrap().to_owned();
                let way =
                    action["history"].as_array().unwrap().iter().map(|change| change["to"].as_str().unwrap());
                states.insert(alert, way.collect::<Vec<_>>().join(" "));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if is_settled {
            return states;
        }
    }
    panic!("some actions never ended");
}
