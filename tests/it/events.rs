//! `GET /v1/events`: every change once and in order, from wherever a listener left off, and streams that end when they should.

use std::time::Duration;

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Who};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::store::{Options, RevokeToken, Scope, back_up};
use reqwest::header::HeaderValue;
use reqwest::{Client, Response};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::harness::binary::Installation;
use crate::harness::wire::{HERE, ask, delivery, status};
use crate::harness::{Bridge, MACHINE, SHA1, Setup, poll, simulate};
use crate::tokens::token_id;

/// How many may listen at once.
const LISTENERS_MAX: usize = 32;

/// One block of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    id: String,
    /// What it says, if it is an event.
    data: Option<Value>,
}

/// A stream that is read.
struct Listening {
    response: Response,
    read: String,
}

impl Listening {
    async fn open(url: &str, token: &str, last: Option<&str>) -> Self {
        let request = Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(token);
        let request = match last {
            Some(last) => request.header("Last-Event-ID", last),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut listening = Self { response, read: String::new() };
        let first = listening.next().await.unwrap();
        assert_eq!(first.data, None, "the place where it begins");
        listening
    }

    /// The next block; none if the stream has ended as it should.
    async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (read(block), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let chunk = timeout(Duration::from_secs(20), self.response.chunk()).await.expect("silence");
            self.read.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The next event.
    async fn event(&mut self) -> Block {
        loop {
            let block = self.next().await.expect("the stream has ended");
            if block.data.is_some() {
                return block;
            }
        }
    }

    /// All the blocks that still come until the connection breaks off, and the end of one that came in part is left out.
    async fn rest(mut self) -> Vec<Block> {
        while let Ok(Ok(Some(chunk))) = timeout(Duration::from_secs(20), self.response.chunk()).await {
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let (whole, _) = self.read.rsplit_once("\n\n").unwrap();
        whole.split("\n\n").map(read).collect()
    }

    async fn events(&mut self, count: usize) -> Vec<Block> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }
}

fn read(block: &str) -> Block {
    let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let data = line("data: ").map(|data| serde_json::from_str(data).unwrap());
    assert_eq!(line("event: "), data.is_some().then_some("action"));
    Block { id: line("id: ").unwrap().to_owned(), data }
}

async fn listen(bridge: &Bridge, query: &str, last: Option<&str>) -> Listening {
    let token = bridge.new_token(&[Scope::ActionsRead]);
    Listening::open(&bridge.url(&format!("/v1/events{query}")), &token, last).await
}

fn state(event: &Block) -> &str {
    event.data.as_ref().unwrap()["state"].as_str().unwrap()
}

#[tokio::test]
async fn a_listener_hears_each_change_as_it_happens() {
    let mut bridge = Bridge::start().await;
    bridge.accept("before", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let mut listening = listen(&bridge, "", None).await;
    let other = format!("9{}", &SHA1[1..]);
    let id = bridge.accept("a1", MACHINE, &other).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;

    let heard = listening.events(4).await;

    let states: Vec<&str> = heard.iter().map(state).collect();
    assert_eq!(states, ["queued", "sending", "submitted", "succeeded"]);
    let action = bridge.action(&id).await;
    let last = heard[3].data.as_ref().unwrap();
    assert_eq!((&last["action_id"], &last["alert_id"]), (&json!(id), &json!("a1")));
    for member in ["source", "target", "state", "final"] {
        assert_eq!(last[member], action[member], "{member}");
    }
    assert_eq!(last["at"], action["changed_at"]);
    assert_eq!(last["machine_action_id"], action["machine_action"]["id"]);
    assert_eq!(last["from"], "submitted");
    assert_eq!(bridge.metric("quarantine_bridge_event_listeners"), None);
    let text = bridge.get("/metrics").await.body;
    assert!(text.as_str().unwrap().contains("quarantine_bridge_event_listeners 1"), "{text}");
}

#[tokio::test]
async fn an_event_has_the_senders_place_in_a_trace_where_there_is_one() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01";
    let mut bridge = Bridge::start().await;
    let request = bridge.signed("msg_1", bridge.alert("traced", MACHINE, SHA1));
    assert_eq!(bridge.send(request.header("traceparent", trace)).await.status, 202);
    bridge.accept("other", MACHINE, &format!("e{}", &SHA1[1..])).await;
    bridge.drain().await;
    let mut listening = listen(&bridge, "?after=0&state=queued", None).await;

    for (alert_id, traceparent) in [("traced", json!(trace)), ("other", Value::Null)] {
        let data = listening.event().await.data.unwrap();
        assert_eq!((&data["alert_id"], &data["traceparent"]), (&json!(alert_id), &traceparent));
    }
}

/// Wherever the stream breaks off, what comes after the last id is all that was not heard, also after a restart.
#[tokio::test]
async fn whoever_comes_back_hears_the_rest_once() {
    let mut bridge = Bridge::start().await;
    for n in 0..8 {
        bridge.accept(&format!("a{n}"), MACHINE, &format!("{n}{}", &SHA1[1..])).await;
    }
    bridge.run_for(SignedDuration::from_secs(120)).await;
    let all = listen(&bridge, "?after=0", None).await.events(32).await;
    let mut heard = listen(&bridge, "?after=0", None).await.events(5).await;

    let mut bridge = bridge.restart().await;
    let last = heard.last().unwrap().id.clone();
    // The query stays as it was at first; the header tells where it is now.
    heard.extend(listen(&bridge, "?after=0", Some(&last)).await.events(9).await);
    let last = heard.last().unwrap().id.clone();
    heard.extend(listen(&bridge, &format!("?after={last}"), None).await.events(18).await);
    assert_eq!(heard, all);

    let mut rest = listen(&bridge, "", Some(&all[31].id)).await;
    bridge.accept("later", MACHINE, &format!("e{}", &SHA1[1..])).await;
    bridge.drain().await;
    assert_eq!(rest.event().await.data.unwrap()["alert_id"], "later");
    let places: Vec<u64> = all.iter().map(|it| it.id.split_once('-').unwrap().0.parse().unwrap()).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
}

#[tokio::test]
async fn many_changes_come_in_order_to_many_listeners() {
    let mut bridge = Bridge::start().await;
    let (mut first, mut second) = (listen(&bridge, "", None).await, listen(&bridge, "", None).await);
    for n in 0..60 {
        bridge.accept(&format!("a{n}"), MACHINE, &format!("{n:02}{}", &SHA1[2..])).await;
    }
    bridge.run_for(SignedDuration::from_secs(240)).await;

    let heard = first.events(240).await;

    assert_eq!(second.events(240).await, heard);
    for n in 0..60 {
        let alert_id = format!("a{n}");
        let of_one = heard.iter().filter(|it| it.data.as_ref().unwrap()["alert_id"] == alert_id.as_str());
        let states: Vec<&str> = of_one.map(state).collect();
        assert_eq!(states, ["queued", "sending", "submitted", "succeeded"], "{alert_id}");
    }
}

#[tokio::test]
async fn a_listener_hears_what_it_wants_to_hear_of() {
    let mut bridge = Bridge::start().await;
    let mut ended = listen(&bridge, "?state=succeeded", None).await;
    let mut nothing = listen(&bridge, "?source=other", None).await;
    let mut of_source = listen(&bridge, "?source=soc&state=sending", None).await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;

    let end = ended.event().await;
    assert_eq!(state(&end), "succeeded");
    assert_eq!(state(&of_source.event().await), "sending");
    // What was not wanted is passed over for good: a heartbeat has the place after it, once the listener has come that far.
    let beat = loop {
        bridge.clock.advance(SignedDuration::from_secs(15));
        let beat = nothing.next().await.unwrap();
        assert_eq!(beat.data, None);
        if beat.id == end.id {
            break beat;
        }
    };
    let mut later = listen(&bridge, "", Some(&beat.id)).await;
    bridge.accept("a2", MACHINE, &format!("e{}", &SHA1[1..])).await;
    bridge.drain().await;
    assert_eq!(later.event().await.data.unwrap()["alert_id"], "a2");
    for bad in
        ["?state=lost", "?source=A", "?after=x", "?after=1-00000000", "?after=999999-01234567", "?all=1"]
    {
        assert_eq!(bridge.get(&format!("/v1/events{bad}")).await.status, 400, "{bad}");
    }
}

/// After a restore from a backup another entry may stand where the last one was that was heard.
#[tokio::test]
async fn a_place_that_is_lost_is_told() {
    let mut bridge = Bridge::start().await;
    let backup = bridge.folder.path().join("backup.db");
    back_up(&Options { path: bridge.database() }, &backup, bridge.clock.now()).unwrap();
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    let heard = listen(&bridge, "?after=0", None).await.events(1).await;
    let mut bridge = bridge.restore(&backup).await;
    bridge.accept("a2", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(120)).await;

    let answer = bridge.get(&format!("/v1/events?after={}", heard[0].id)).await;

    assert_eq!(answer.status, 400);
    assert!(answer.body["detail"].as_str().unwrap().contains("restored from a backup"), "{:?}", answer.body);
}

/// Taken for none, it would have the stream begin with what happens next, and what was missed were lost.
#[tokio::test]
async fn a_place_that_cannot_be_read_is_refused() {
    let bridge = Bridge::start().await;
    let (client, token) =
        (Client::builder().no_proxy().build().unwrap(), bridge.new_token(&[Scope::ActionsRead]));
    let events = || client.get(bridge.url("/v1/events?after=0")).bearer_auth(&token);
    let unreadable = HeaderValue::from_bytes(b"1-\x84").unwrap();
    let twice = events().header("Last-Event-ID", "0").header("Last-Event-ID", "0");
    for request in [events().header("Last-Event-ID", unreadable), twice] {
        let answer = bridge.send(request).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains("last-event-id"), "{answer:?}");
    }
    assert_eq!(
        bridge.send(events().header("Last-Event-ID", "")).await.status,
        200,
        "as browsers say that they have none"
    );
}

#[tokio::test]
async fn a_silent_stream_has_a_heartbeat() {
    let bridge = Bridge::with(Setup { mode: Mode::Approve, ..Setup::default() }).await;
    let mut listening = listen(&bridge, "", None).await;
    for _ in 0..2 {
        bridge.clock.advance(SignedDuration::from_millis(14_999));
        let silence = timeout(Duration::from_millis(1_200), listening.response.chunk()).await;
        assert!(silence.is_err(), "{silence:?}");
        bridge.clock.advance(SignedDuration::from_millis(1));
        assert_eq!(listening.next().await.unwrap().data, None);
    }
}

#[tokio::test]
async fn there_are_so_many_listeners_and_no_more() {
    let bridge = Bridge::start().await;
    let mut all = Vec::new();
    for _ in 0..LISTENERS_MAX {
        all.push(listen(&bridge, "", None).await);
    }
    let token = bridge.new_token(&[Scope::ActionsRead]);

    let full = bridge.get_as("/v1/events", &token).await;

    assert_eq!(
        (full.status, &full.body["type"]),
        (503, &json!("urn:quarantine-bridge:problem:too-many-listeners"))
    );
    assert_eq!(full.headers["retry-after"], "30");
    assert_eq!(bridge.get("/v1/actions").await.status, 200, "nothing else is held up");
    // Whoever goes makes room at once, and not with the next heartbeat.
    all.pop();
    let begun = Instant::now();
    while bridge.get_as("/v1/events", &token).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "no room was made");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_any_more_ends_its_streams() {
    let bridge = Bridge::start().await;
    let token = bridge.new_token(&[Scope::ActionsRead]);
    let url = bridge.url("/v1/events");
    let mut listening = Listening::open(&url, &token, None).await;
    let mut other = listen(&bridge, "", None).await;
    let (who, now) = (Who::Operator("test".to_owned()), bridge.clock.now());
    let revoke = RevokeToken { id: token_id(&token), reason: "r".to_owned(), who, now };
    bridge.store().revoke_token(revoke).await.unwrap();

    bridge.clock.advance(SignedDuration::from_secs(15));

    assert_eq!(listening.next().await, None);
    assert_eq!(other.next().await.unwrap().data, None, "another token's goes on");
    bridge.clock.advance(SignedDuration::from_hours(24 * 366));
    assert_eq!(other.next().await, None, "one that has ended");
}

#[tokio::test]
async fn whoever_has_lost_its_token_hears_nothing_of_what_comes_after() {
    let mut bridge = Bridge::start().await;
    let token = bridge.new_token(&[Scope::ActionsRead]);
    let url = bridge.url("/v1/events");
    let mut listening = Listening::open(&url, &token, None).await;
    let (who, now) = (Who::Operator("test".to_owned()), bridge.clock.now());
    let revoke = RevokeToken { id: token_id(&token), reason: "r".to_owned(), who, now };
    bridge.store().revoke_token(revoke).await.unwrap();

    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;

    assert_eq!(listening.next().await, None, "no time has passed");
}

#[tokio::test]
async fn a_stop_ends_streams_and_does_not_wait_for_them() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let (_, token, _) = installation.told(&["token", "create", "--name", "t", "--scope", "actions:read"]);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let mut listening = Listening::open(&installation.url("/v1/events"), token.trim(), None).await;
    let begun = Instant::now();

    assert_eq!(serving.terminate().await, Some(0));

    // The server alone would wait ten seconds for what is under way.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(listening.next().await, None, "it ends as it should, and is not broken off");
    poll("the port to be free", || std::net::TcpListener::bind(("127.0.0.1", installation.port)).is_ok())
        .await;
}

/// How many events wait for each listener below: 8 MiB, of which the system takes up to 4 MiB from the service for a client that
/// does not read.
const MANY: u64 = 16_000;

/// Adds the last entry of the audit so many times.
fn repeat_the_last_entry(installation: &Installation, times: u64) {
    let mut db = Connection::open(installation.path("bridge.db")).unwrap();
    let tx = db.transaction().unwrap();
    let again =
        "INSERT INTO audit SELECT seq + 1, entry, randomblob(?1) FROM audit ORDER BY seq DESC LIMIT 1";
    for _ in 0..times {
        tx.execute(again, params![32]).unwrap();
    }
    tx.commit().unwrap();
}

/// Eight who do not read are let go. Until then they cost no memory to speak of, and hold up neither a delivery nor one who reads.
#[tokio::test]
async fn who_listens_and_does_not_read_costs_nothing_and_finds_everything_again() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    // Each alert has one event: that it is denied.
    installation.edit("min_severity = \"low\"", "min_severity = \"critical\"");
    let (_, token, _) = installation.told(&[
        "token",
        "create",
        "--name",
        "t",
        "--scope",
        "actions:read",
        "--scope",
        "metrics",
    ]);
    let (url, token) = (installation.url("/v1/events?after=0"), token.trim());
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let address = ([127, 0, 0, 1], installation.port).into();
    let deliver = async |id| status(&ask(HERE, address, &delivery("soc", id, &[])).await);
    assert_eq!(deliver("first").await, 202);
    Listening::open(&url, token, None).await.event().await;
    repeat_the_last_entry(&installation, MANY);
    let before = serving.resident_kib();

    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(Listening::open(&url, token, None).await);
    }
    let mut reader = Listening::open(&url, token, None).await;
    let mut all = reader.events(usize::try_from(MANY).unwrap()).await;
    assert_eq!(deliver("last").await, 202);
    while all.last().unwrap().data.as_ref().unwrap()["alert_id"] != "last" {
        all.push(reader.event().await);
    }
    let grown = serving.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more");

    // Who reads stays, and the eight are let go.
    let metrics = || client.get(installation.url("/metrics")).bearer_auth(token).send();
    let begun = Instant::now();
    while !metrics().await.unwrap().text().await.unwrap().contains("quarantine_bridge_event_listeners 1\n") {
        assert!(begun.elapsed() < Duration::from_secs(30), "they are still there");
    }
    let mut heard = slow.pop().unwrap().rest().await;
    heard.retain(|block| block.data.is_some());
    assert!(heard.len() < all.len(), "it had all of it, and was none that is slow");
    let mut back = Listening::open(&url, token, Some(&heard.last().unwrap().id)).await;
    heard.extend(back.events(all.len() - heard.len()).await);
    assert!(heard == all, "something is lost, or came twice");
}
