//! The kill switch: nothing is sent while it is on, whoever turned it on, and nothing but a person turns it off.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Who};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::kill_switch::{Signal, look_for};
use quarantine_bridge::simulator::{Fault, FaultKind, Place, Simulator};
use quarantine_bridge::store::{Intent, Scope, TurnOn};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::harness::binary::Installation;
use crate::harness::{Answer, Bridge, MACHINE, SHA1, key, poll, simulate, take_device_offline, weighed};

async fn turn(bridge: &Bridge, way: &str, scope: Scope, said: &Value) -> Answer {
    bridge.post_as(&format!("/v1/kill-switch/{way}"), &bridge.new_token(&[scope]), said).await
}

async fn on(bridge: &Bridge) {
    let answer = turn(bridge, "on", Scope::KillSwitchOn, &json!({"reason": "a wrong rule"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["is_on"], true);
}

async fn off(bridge: &Bridge) -> Answer {
    turn(bridge, "off", Scope::KillSwitchOff, &json!({"reason": "the rule is mended"})).await
}

#[tokio::test]
async fn nothing_is_sent_while_it_is_on_and_what_waited_goes_out_after() {
    let mut bridge = Bridge::start().await;
    on(&bridge).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_mins(2)).await;

    assert_eq!(bridge.state(&id).await, "queued", "it is looked up and decided all the same");
    assert!(bridge.quarantines().is_empty());
    let shown = bridge.get("/v1/kill-switch").await.body;
    assert_eq!((&shown["by"], &shown["reason"]), (&json!("token:test"), &json!("a wrong rule")));
    assert_eq!(bridge.get_openly("/readyz").await.body, json!({"ready": true, "kill_switch": "on"}));
    assert_eq!(bridge.metric("quarantine_bridge_kill_switch"), Some(1.0));

    assert_eq!(off(&bridge).await.body["is_on"], false);
    bridge.run_for(SignedDuration::from_secs(40)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
    assert_eq!(bridge.metric("quarantine_bridge_kill_switch"), Some(0.0));
}

#[tokio::test]
async fn it_stays_on_through_a_restart() {
    let mut bridge = Bridge::start().await;
    on(&bridge).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge = bridge.restart().await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    assert_eq!(bridge.state(&id).await, "queued");
    assert_eq!(bridge.get("/v1/kill-switch").await.body["is_on"], true);
}

#[tokio::test]
async fn no_intent_is_recorded_after_it_was_turned_on() {
    let mut bridge = Bridge::start().await;
    on(&bridge).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    let (now, window) = (bridge.clock.now(), SignedDuration::from_mins(10));
    let intent =
        bridge.store().record_intent(id.parse().unwrap(), weighed(Mode::Enforce), window, now).await.unwrap();
    assert_eq!(intent, Intent::Stopped);
}

#[tokio::test]
async fn a_reason_is_needed_either_way() {
    let bridge = Bridge::start().await;
    for said in [json!({}), json!({"reason": " "}), json!({"reason": "a\nb"}), json!({"reason": "a", "x": 1})]
    {
        assert_eq!(turn(&bridge, "on", Scope::KillSwitchOn, &said).await.status, 400, "{said}");
        assert_eq!(turn(&bridge, "off", Scope::KillSwitchOff, &said).await.status, 400, "{said}");
    }
    assert_eq!(bridge.get("/v1/kill-switch").await.body["is_on"], false);
}

#[tokio::test]
async fn the_signal_file_turns_it_on_and_its_removal_turns_nothing_off() {
    let bridge = Bridge::start().await;
    let file = bridge.folder.path().join("stop");
    fs::write(&file, "").unwrap();
    poll("the file to be seen", || bridge.metric("quarantine_bridge_kill_switch") == Some(1.0)).await;
    let shown = bridge.get("/v1/kill-switch").await.body;
    assert_eq!((&shown["by"], &shown["signal_file"]), (&json!("bridge"), &json!(true)));
    assert_eq!(off(&bridge).await.status, 409, "the file is there");

    fs::remove_file(&file).unwrap();
    let mut ticks = interval(Duration::from_millis(20));
    while bridge.get("/v1/kill-switch").await.body["signal_file"] == true {
        ticks.tick().await;
    }
    assert_eq!(bridge.get("/v1/kill-switch").await.body["is_on"], true);
    assert_eq!(off(&bridge).await.body["is_on"], false);
}

#[tokio::test]
async fn a_signal_file_that_is_there_at_the_start_lets_nothing_out() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    fs::write(bridge.folder.path().join("stop"), "").unwrap();
    bridge = bridge.restart().await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "queued");
    assert!(bridge.quarantines().is_empty());
}

#[test]
fn a_file_that_cannot_be_looked_for_counts_as_there() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(look_for(&folder.path().join("stop")), Signal::Absent);
    fs::write(folder.path().join("stop"), "").unwrap();
    assert_eq!(look_for(&folder.path().join("stop")), Signal::Present);
    for path in ["stop/stop", "no-folder/stop"] {
        let signal = look_for(&folder.path().join(path));
        assert!(matches!(signal, Signal::Unknown(_)), "{path}: {signal:?}");
    }
    let broken = folder.path().join("broken");
    symlink("nowhere", &broken).unwrap();
    assert_eq!(look_for(&broken), Signal::Present);
}

#[tokio::test]
async fn our_machine_actions_are_cancelled_if_that_is_wanted_and_those_of_others_are_not() {
    for cancels in [true, false] {
        let mut bridge = Bridge::start().await;
        take_device_offline(&bridge.simulator);
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        assert_eq!(bridge.state(&id).await, "submitted");

        let said = json!({"reason": "a wrong rule", "cancel_pending": cancels});
        let answer = turn(&bridge, "on", Scope::KillSwitchOn, &said).await;
        bridge.run_for(SignedDuration::from_mins(1)).await;

        assert_eq!(answer.body["cancellations"], u64::from(cancels));
        assert_eq!(bridge.state(&id).await, if cancels { "cancelled" } else { "submitted" });
        let ours: Vec<String> = bridge.simulator.machine_actions().into_iter().map(|it| it.id).collect();
        assert_eq!(bridge.cancels().len(), usize::from(cancels));
        for call in bridge.cancels() {
            assert!(ours.iter().any(|id| call["path"].as_str().unwrap().contains(id)), "{call}");
        }
    }
}

/// It is on the way when the switch is turned on: its connection might still be being made.
#[tokio::test]
async fn a_call_that_is_not_answered_is_left_and_settled_by_the_list() {
    let mut bridge = Bridge::start().await;
    let delay = Fault { place: Place::Quarantine, kind: FaultKind::Delay { ms: 20_000 }, times: Some(1) };
    bridge.simulator.with(|state| state.faults.push(delay));
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    let (store, now) = (bridge.store().clone(), bridge.clock.now());
    let db = rusqlite::Connection::open(bridge.database()).unwrap();
    let begin = Instant::now();
    let turn_on = async {
        poll("the call to be made", || {
            let made: u32 = db.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).unwrap();
            made > 0 && begin.elapsed() > Duration::from_millis(500)
        })
        .await;
        let on = TurnOn { who: Who::Bridge, reason: "test".to_owned(), cancels: false, now };
        store.turn_on(on).await.unwrap();
    };
    tokio::join!(turn_on, bridge.drain());

    assert!(begin.elapsed() < Duration::from_secs(15), "it was not waited for");
    assert_eq!(bridge.state(&id).await, "uncertain");
}

#[tokio::test]
async fn the_command_turns_it_beside_a_running_service() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let run = |arguments: &[&str]| {
        let (code, said, _) = installation.told(arguments);
        (code == 0, said)
    };
    assert!(!run(&["kill-switch", "on", "--reason", " "]).0);
    assert_eq!(run(&["kill-switch", "status"]), (true, "the kill switch is off\n".to_owned()));
    assert!(run(&["kill-switch", "on", "--reason", "a wrong rule", "--cancel-pending"]).0);
    let (_, status) = run(&["kill-switch", "status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["is_on"], true);
    assert!(status["by"].as_str().unwrap().starts_with("operator:"), "{status}");
    let client = Client::builder().no_proxy().build().unwrap();
    let ready = client.get(installation.url("/readyz")).send().await.unwrap().text().await.unwrap();
    assert!(ready.contains(r#""kill_switch":"on""#), "{ready}");
    poll("the log to tell", || installation.log().contains("the kill switch is on")).await;
    assert!(run(&["kill-switch", "off", "--reason", "mended"]).0);
    // What is wrong with the configuration has nothing to do with the brake.
    installation.edit("mode = \"enforce\"", "mode = \"sometimes\"");
    let (code, said, warned) = installation.told(&["kill-switch", "on", "--reason", "emergency"]);
    assert_eq!((code, said.as_str()), (0, "the kill switch is on; 0 cancellations begun\n"));
    assert!(warned.starts_with("warning: ") && warned.contains("sources.soc.mode"), "{warned}");
    let ready = client.get(installation.url("/readyz")).send().await.unwrap().text().await.unwrap();
    assert!(ready.contains(r#""kill_switch":"on""#), "{ready}");
    assert_eq!(run(&["token", "list"]), (true, String::new()));
    assert_eq!(serving.terminate().await, Some(0));
}

fn calls(simulator: &Simulator) -> usize {
    simulator
        .with(|state| state.calls.iter().filter(|call| call.path.ends_with("/StopAndQuarantineFile")).count())
}

/// How long calls may still arrive after the answer; a second is promised.
const ARRIVES: Duration = Duration::from_millis(600);

/// How long each trial looks for later ones.
const LOOKED_FOR: Duration = Duration::from_secs(1);

/// Turned on in the middle of a stream of calls, again and again: none begins after the answer. `QB_KILL_SWITCH_TRIALS`
/// says how often; 3 if it does not.
#[tokio::test]
async fn no_call_begins_later_than_its_answer_under_load() {
    #[expect(clippy::disallowed_methods, reason = "the long form is asked for by the environment")]
    let trials = env::var_os("QB_KILL_SWITCH_TRIALS");
    let trials: u32 = trials.map_or(3, |text| text.to_str().unwrap().parse().unwrap());
    let (simulator, _tasks) = simulate(Clock::system());
    let more = "[budget]\ncalls_per_minute = 1000000\ncalls_per_hour = 1000000\n[log]\nlevel = \"warn\"\n\
                [sources.soc.quota]\ndeliveries_per_minute = 1000000\nburst = 1000000\n\
                [sources.soc.policy.guards]\nos = \"off\"\ndevice_state = \"off\"\nprotected_device = \"off\"\n\
                microsoft_signed = \"off\"\ntrusted_publisher = \"off\"\ndetermination = \"off\"\nprevalence = \"off\"\nseen_on_device = \"off\"\n";
    let installation = Installation::new(&simulator.url(), more);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let (begun, mut late, mut intents_late, mut caught) = (Instant::now(), 0, 0, 0);
    let made = installation.run(&[
        "token",
        "create",
        "--name",
        "soc",
        "--scope",
        "kill-switch:on",
        "--scope",
        "kill-switch:off",
    ]);
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let client = Client::builder().no_proxy().build().unwrap();
    let turn = async |way: &str| {
        let request = client.post(installation.url(&format!("/v1/kill-switch/{way}"))).bearer_auth(&token);
        let request = request.header("content-type", "application/json").body(r#"{"reason": "a trial"}"#);
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    let db = rusqlite::Connection::open(installation.path("bridge.db")).unwrap();
    let intents = || db.query_row("SELECT count(*) FROM attempts", [], |row| row.get::<_, i64>(0)).unwrap();

    for trial in 0..trials {
        let before = calls(&simulator);
        for number in 0..40 {
            let alert = json!({"alert_id": format!("t{trial}-{number}"), "severity": "high",
                               "occurred_at": Clock::system().now().to_string(),
                               "targets": [{"machine": format!("{:040x}", u64::from(trial) * 40 + number), "file": SHA1}]});
            let id = format!("msg_{trial}_{number}");
            let sent = installation.signed(&client, &key(), &id, &alert.to_string()).send().await.unwrap();
            assert_eq!(sent.status(), 202);
        }
        poll("calls to be made", || calls(&simulator) > before).await;
        turn("on").await;
        let (answered, recorded) = (Instant::now(), intents());
        caught += usize::from(calls(&simulator) < before + 40);
        let mut ticks = interval(Duration::from_millis(10));
        let mut arrived = None;
        while answered.elapsed() < LOOKED_FOR {
            ticks.tick().await;
            if answered.elapsed() >= ARRIVES {
                arrived.get_or_insert_with(|| calls(&simulator));
            }
        }
        late += calls(&simulator) - arrived.unwrap_or_default();
        intents_late += intents() - recorded;
        turn("off").await;
    }

    eprintln!(
        "{trials} trials in {} s, {caught} of them with actions that still waited: {intents_late} intents after the answer, \
         {late} calls later than {} ms after it",
        begun.elapsed().as_secs(),
        ARRIVES.as_millis()
    );
    assert_eq!((intents_late, late), (0, 0));
    assert!(caught > 0, "the switch was always turned on too late to stop anything");
    assert_eq!(serving.terminate().await, Some(0));
}
