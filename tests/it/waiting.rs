//! `Prefer: wait=N`: an answer comes when the action has come to rest, when the time is over, or when the service stops.

use std::time::Duration;

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::store::Scope;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{Bridge, MACHINE, SHA1, Setup, poll};

/// Far less than the wait, far more than anything else takes.
const SOON: Duration = Duration::from_secs(20);

async fn bridge() -> Bridge {
    Bridge::with(Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }).await
}

fn asked(bridge: &Bridge, token: &str, alert_id: &str) -> RequestBuilder {
    let body = json!({
        "alert_id": alert_id, "severity": "high", "occurred_at": bridge.clock.now().to_string(),
        "machine": {"id": MACHINE}, "file": {"sha1": SHA1},
    });
    bridge.request("/v1/actions").bearer_auth(token).body(body.to_string())
}

/// Asks for an action; returns where its status is.
async fn begun(bridge: &Bridge, token: &str) -> String {
    let answer = bridge.send(asked(bridge, token, "a1")).await;
    assert_eq!(answer.status, 202);
    answer.headers["location"].clone()
}

fn get(bridge: &Bridge, path: &str, token: &str) -> RequestBuilder {
    reqwest::Client::builder().no_proxy().build().unwrap().get(bridge.url(path)).bearer_auth(token)
}

/// A request whose answer is awaited later.
struct Sent(JoinSet<reqwest::Result<Response>>);

impl Sent {
    fn begin(request: RequestBuilder) -> Self {
        let mut sent = JoinSet::new();
        sent.spawn(request.send());
        Self(sent)
    }

    fn waits(&mut self) -> bool {
        self.0.try_join_next().is_none()
    }

    async fn answer(mut self) -> Response {
        self.0.join_next().await.unwrap().unwrap().unwrap()
    }
}

fn applied(response: &Response) -> Option<&str> {
    response.headers().get("preference-applied").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_wait_ends_as_soon_as_the_action_is_over() {
    let mut bridge = bridge().await;
    let token = bridge.requester("playbook", None);
    let reader = bridge.new_token(&[Scope::ActionsRead]);
    let start = Instant::now();
    let mut posted = Sent::begin(asked(&bridge, &token, "a1").header("prefer", "wait=30"));
    let mut id = String::new();
    while id.is_empty() {
        let page = bridge.get("/v1/actions").await.body;
        id = page["actions"][0]["id"].as_str().unwrap_or_default().to_owned();
    }
    let status = get(&bridge, &format!("/v1/actions/{id}/status"), &token).header("prefer", "wait=30");
    let mut status = Sent::begin(status);
    let record = get(&bridge, &format!("/v1/actions/{id}"), &reader).header("prefer", "wait=30");
    let mut record = Sent::begin(record);
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "submitted");
    assert!([&mut posted, &mut status, &mut record].into_iter().all(Sent::waits));

    bridge.run_for(SignedDuration::from_mins(1)).await;

    for (name, task) in [("posted", posted), ("status", status), ("record", record)] {
        let response = task.answer().await;
        assert_eq!((response.status().as_u16(), applied(&response)), (200, Some("wait=30")), "{name}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!((&body["id"], &body["state"]), (&json!(id), &json!("succeeded")), "{name}");
        let action = if name == "posted" { &body["action"] } else { &body };
        assert!(action["machine_action"]["id"].is_string(), "{name}: {action}");
    }
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn a_wait_that_is_over_is_answered_202_and_a_later_one_goes_on() {
    let bridge = bridge().await;
    let token = bridge.requester("playbook", None);
    let start = Instant::now();

    let answer = bridge.send(asked(&bridge, &token, "a1").header("prefer", "wait=1")).await;

    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((answer.status, answer.headers["preference-applied"].as_str()), (202, "wait=1"));
    assert_eq!((&answer.body["state"], answer.body.get("action")), (&json!("accepted"), None));
    let again = get(&bridge, &answer.headers["location"], &token).header("prefer", "wait=1");
    let again = bridge.send(again).await;
    assert_eq!((again.status, again.headers["retry-after"].as_str()), (202, "5"));
}

#[tokio::test]
async fn nobody_waits_for_a_person_or_for_what_is_over() {
    let mut bridge = Bridge::with(Setup { playbooks: Some(Mode::Approve), ..Setup::default() }).await;
    let token = bridge.requester("playbook", None);
    let start = Instant::now();
    let posted = Sent::begin(asked(&bridge, &token, "a1").header("prefer", "wait=30"));
    while bridge.get("/v1/actions?state=held").await.body["actions"] == json!([]) {
        bridge.drain().await;
    }
    let response = posted.answer().await;
    assert_eq!((response.status().as_u16(), applied(&response)), (200, Some("wait=30")));
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!((&body["state"], &body["action"]["final"]), (&json!("held"), &json!(false)));

    let status = body["status_url"].as_str().unwrap();
    for (prefer, expected) in [
        ("wait=99", Some("wait=30")),
        ("respond-async, Wait = 7; x=1", Some("wait=7")),
        ("wait=\"3\"", Some("wait=3")),
        ("wait=3, wait=9", Some("wait=3")),
        ("wait=0", Some("wait=0")),
        ("wait=x", None),
        ("wait=-1", None),
        ("wait", None),
        ("handling=lenient", None),
        ("", None),
    ] {
        let answer = bridge.send(get(&bridge, status, &token).header("prefer", prefer)).await;
        let told = answer.headers.get("preference-applied").map(String::as_str);
        assert_eq!((answer.status, told), (200, expected), "{prefer}");
    }
    let others = bridge.accept("a1", MACHINE, SHA1).await;
    let others = get(&bridge, &format!("/v1/actions/{others}/status"), &token).header("prefer", "wait=30");
    assert_eq!(bridge.send(others).await.status, 404, "not even by how long it takes");
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn as_many_wait_as_there_are_places_and_the_rest_is_answered_at_once() {
    let mut bridge = bridge().await;
    let token = bridge.requester("playbook", None);
    let status = begun(&bridge, &token).await;
    let mut waiting = JoinSet::new();
    for _ in 0..220 {
        waiting.spawn(get(&bridge, &status, &token).header("prefer", "wait=30").send());
    }
    for _ in 0..20 {
        let response = waiting.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!((response.status().as_u16(), applied(&response)), (202, None));
    }

    bridge.run_for(SignedDuration::from_mins(1)).await;

    let start = Instant::now();
    assert_eq!(waiting.len(), 200);
    while let Some(response) = waiting.join_next().await {
        let response = response.unwrap().unwrap();
        assert_eq!((response.status().as_u16(), applied(&response)), (200, Some("wait=30")));
    }
    assert!(start.elapsed() < SOON);
    let after = bridge.send(get(&bridge, &status, &token).header("prefer", "wait=30")).await;
    assert!(after.headers.contains_key("preference-applied"), "the places are free again");
}

#[tokio::test]
async fn a_service_that_stops_keeps_nobody_waiting() {
    let bridge = bridge().await;
    let token = bridge.requester("playbook", None);
    let start = Instant::now();
    let posted = Sent::begin(asked(&bridge, &token, "a1").header("prefer", "wait=30"));
    let is_there = || {
        let db = rusqlite::Connection::open(bridge.database()).unwrap();
        db.query_row("SELECT count(*) FROM actions", [], |row| row.get::<_, i64>(0)).unwrap() == 1
    };
    poll("the action", is_there).await;

    bridge.stop_server().await;

    let response = posted.answer().await;
    assert_eq!(response.status().as_u16(), 202);
    assert!(start.elapsed() < SOON);
}
