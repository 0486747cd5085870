//! Callbacks: what is told, signed and again until it is taken; where nothing is ever sent; and that no kill loses any of it.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{EventType, Mode, after};
use quarantine_bridge::callbacks::{ATTEMPTS_MAX, Answer as Came, Destinations, judge};
use quarantine_bridge::config::{Secrets, load};
use quarantine_bridge::outgoing::{connectable, may_connect};
use quarantine_bridge::policy::Guards;
use quarantine_bridge::store::{Retention, Scope, Sent};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::binary::Installation;
use crate::harness::receiver::{Received, Receiver, callback};
use crate::harness::{Bridge, MACHINE, SHA1, Setup, WHSEC, poll, start_of_time};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A bridge whose every action waits for a person, and which tells this receiver.
async fn approving(receiver: &Receiver) -> Bridge {
    let callbacks = vec![receiver.callback("soar")];
    Bridge::with(Setup { mode: Mode::Approve, callbacks, ..Setup::default() }).await
}

/// Accepts an alert, and has it held.
async fn hold(bridge: &mut Bridge, alert_id: &str) -> String {
    let id = bridge.accept(alert_id, MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");
    id
}

async fn deny(bridge: &Bridge, id: &str) {
    let lead = bridge.token_of("lead", &[Scope::ActionsApprove]);
    let denied = bridge.post_as(&format!("/v1/actions/{id}/deny"), &lead, &json!({"reason": "a test"})).await;
    assert_eq!(denied.status, 200, "{:?}", denied.body);
}

async fn listed(bridge: &Bridge, query: &str) -> Vec<Value> {
    let token = bridge.new_token(&[Scope::CallbacksRead]);
    let mut answer = bridge.get_as(&format!("/v1/callbacks/soar/messages{query}"), &token).await;
    assert_eq!(answer.status, 200);
    std::mem::take(answer.body["messages"].as_array_mut().unwrap())
}

async fn shown(bridge: &Bridge, name: &str) -> Value {
    let token = bridge.new_token(&[Scope::CallbacksRead]);
    let answer = bridge.get_as("/v1/callbacks", &token).await;
    let found = answer.body["callbacks"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    found.unwrap_or(Value::Null)
}

/// The entries of the audit about an act.
fn acts(bridge: &Bridge, act: &str) -> Vec<Value> {
    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let entries = texts.map(|text| serde_json::from_str::<Value>(&text.unwrap()).unwrap());
    entries.filter(|entry| entry["deed"]["act"] == act).collect()
}

/// Verifies a signature as a receiver does, with nothing of the service's code.
fn is_signed(received: &Received, whsec: &str) -> bool {
    let key = STANDARD.decode(whsec.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", received.id(), received.headers["webhook-timestamp"]).as_bytes());
    mac.update(&received.body);
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    received.headers["webhook-signature"].split(' ').any(|have| have == wanted)
}

#[tokio::test]
async fn an_action_that_has_ended_is_told_once_and_signed() {
    let receiver = Receiver::start();
    let (callbacks, public_url) = (vec![receiver.callback("soar")], Some("https://bridge.example/base/"));
    let mut bridge = Bridge::with(Setup { callbacks, public_url, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(60)).await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "succeeded");

    bridge.tell().await;
    bridge.tell().await;

    let came = receiver.received();
    assert_eq!(came.len(), 1);
    assert!(is_signed(&came[0], WHSEC));
    assert!(!is_signed(&came[0], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert_eq!(came[0].headers["content-type"], "application/json");
    let now = bridge.clock.now().as_second().to_string();
    assert_eq!(came[0].headers["webhook-timestamp"], now);
    let body = came[0].json();
    assert_eq!(body["type"], "action.finished");
    assert_eq!(body["timestamp"], action["changed_at"]);
    let data = &body["data"];
    for member in ["id", "source", "state", "final", "target", "accepted_at", "changed_at", "expires_at"] {
        assert_eq!(data[member], action[member], "{member}");
    }
    for member in ["id", "title", "severity", "occurred_at", "url"] {
        assert_eq!(data["alert"][member], action["alert"][member], "{member}");
    }
    assert_eq!(data["machine_action_id"], action["machine_action"]["id"]);
    assert_eq!(data["why"], action["history"].as_array().unwrap().last().unwrap()["why"]);
    assert_eq!(data["url"], format!("https://bridge.example/base/v1/actions/{id}"));
    let message = &listed(&bridge, "").await[0];
    assert_eq!((&message["state"], &message["http_status"]), (&json!("delivered"), &json!(200)));
    assert_eq!(message["id"], came[0].id());
    let sendings = "quarantine_bridge_callback_sendings_total{callback=\"soar\",result=\"delivered\"}";
    assert_eq!(bridge.metric(sendings), Some(1.0));
}

#[tokio::test]
async fn a_held_action_is_told_and_what_became_of_it() {
    let receiver = Receiver::start();
    let mut bridge = approving(&receiver).await;
    let id = hold(&mut bridge, "a1").await;
    let held = bridge.action(&id).await;
    bridge.tell().await;
    bridge.clock.advance(seconds(60));
    deny(&bridge, &id).await;
    bridge.tell().await;

    let came = receiver.received();
    assert_eq!(receiver.kinds(), ["action.held", "action.finished"]);
    let (first, second) = (came[0].json(), came[1].json());
    assert_eq!(first["data"]["holds"], json!(["mode"]));
    assert_eq!(first["data"]["expires_at"], held["expires_at"]);
    assert_eq!(first["data"]["changed_at"], held["changed_at"]);
    assert_eq!((&second["data"]["state"], &second["data"]["by"]), (&json!("denied"), &json!("token:lead")));
    assert_eq!((&second["data"]["expires_at"], &second["data"]["holds"]), (&Value::Null, &json!([])));
    assert_ne!(came[0].id(), came[1].id());
}

/// Whoever is told late is told of what happened then, not of what has become of it since.
#[tokio::test]
async fn what_is_told_late_is_what_happened() {
    let receiver = Receiver::start();
    let mut bridge = approving(&receiver).await;
    let id = hold(&mut bridge, "a1").await;
    bridge.clock.advance(seconds(60));
    deny(&bridge, &id).await;

    bridge.tell().await;

    let bodies: Vec<Value> = receiver.received().iter().map(Received::json).collect();
    let states: Vec<&Value> = bodies.iter().map(|body| &body["data"]["state"]).collect();
    assert_eq!(states, ["held", "denied"]);
    assert_eq!(bodies[0]["timestamp"], "2026-03-01T12:00:00.000Z");
    assert_eq!(bodies[0]["data"]["changed_at"], "2026-03-01T12:00:00.000Z");
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_over_days_and_then_given_up_and_replayed() {
    let receiver = Receiver::start();
    receiver.answer(500);
    let mut bridge = approving(&receiver).await;
    let id = hold(&mut bridge, "a1").await;
    deny(&bridge, &id).await;
    let mut waits = Vec::new();
    bridge.tell().await;
    loop {
        let messages = listed(&bridge, "?state=queued").await;
        let next: Vec<Timestamp> =
            messages.iter().map(|it| it["next_at"].as_str().unwrap().parse().unwrap()).collect();
        let Some(next) = next.into_iter().max() else {
            break;
        };
        let wait = next.duration_since(bridge.clock.now());
        bridge.clock.advance(wait - SignedDuration::from_millis(1));
        let before = receiver.received().len();
        waits.push(wait.as_secs());
        bridge.clock.advance(SignedDuration::from_millis(1));
        bridge.tell().await;
        assert!(receiver.received().len() > before);
    }

    let minimum = [5, 300, 1800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    assert_eq!(waits.len(), minimum.len());
    for (wait, least) in waits.iter().zip(minimum) {
        assert!((least..=least + least / 10 + 1).contains(wait), "{wait} for {least}");
    }
    let came = receiver.received();
    assert_eq!(came.len(), 2 * ATTEMPTS_MAX);
    assert!(came.iter().all(|it| is_signed(it, WHSEC)));
    let of_first: Vec<_> = came.iter().filter(|it| it.id() == came[0].id()).collect();
    assert_eq!(of_first.len(), ATTEMPTS_MAX, "one id, whatever the attempt");
    assert!(of_first.iter().all(|it| it.body == came[0].body));
    let dead = listed(&bridge, "?state=dead").await;
    assert_eq!(dead.len(), 2);
    assert_eq!((&dead[0]["why"], &dead[0]["http_status"]), (&json!("HTTP 500"), &json!(500)));
    assert_eq!(shown(&bridge, "soar").await["dead"], 2);

    receiver.answer(204);
    let replay = bridge.token_of("lead", &[Scope::CallbacksReplay]);
    let one = format!("/v1/callbacks/soar/messages/{}/replay", came[0].id());
    let answer = bridge.post_as(&one, &replay, &json!({"reason": "it is back"})).await;
    assert_eq!((answer.status, &answer.body), (200, &json!({"queued": 1, "dead_left": 1})));
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 2 * ATTEMPTS_MAX + 1);
    assert_eq!(receiver.received().last().unwrap().id(), came[0].id());
    let all = bridge.post_as("/v1/callbacks/soar/replay", &replay, &json!({"reason": "it is back"})).await;
    assert_eq!((all.status, &all.body), (200, &json!({"queued": 1, "dead_left": 0})));
    bridge.tell().await;
    assert_eq!(listed(&bridge, "?state=delivered").await.len(), 2);
    let acts = acts(&bridge, "replay_messages");
    assert_eq!(acts.len(), 2);
    assert_eq!((&acts[1]["who"], &acts[1]["deed"]["reason"]), (&json!("token:lead"), &json!("it is back")));
    assert_eq!(acts[1]["deed"]["to"], "callback soar: all that was given up");
    let nothing = format!("/v1/callbacks/soar/messages/{}/replay", "evt_0");
    assert_eq!(bridge.post_as(&nothing, &replay, &json!({"reason": "r"})).await.status, 404);
    assert_eq!(bridge.post_as("/v1/callbacks/no/replay", &replay, &json!({"reason": "r"})).await.status, 404);
    for bad in ["/v1/callbacks/No/replay", "/v1/callbacks/No/messages/evt_0/replay"] {
        assert_eq!(
            bridge.post_as(bad, &replay, &json!({"why": 1})).await.status,
            404,
            "{bad}: whatever the body says"
        );
    }
    assert_eq!(bridge.post_as(&one, &replay, &json!({"reason": ""})).await.status, 400);
}

#[test]
fn an_answer_is_a_yes_a_no_or_a_wait() {
    let now = start_of_time();
    let status = |status, wait: Option<i64>| Came::Status {
        status,
        retry_after: wait.map(|wait| after(now, seconds(wait))),
    };
    let wait = |sent| match sent {
        Sent::Again(at) => at.duration_since(now).as_secs(),
        other => panic!("{other:?}"),
    };
    for good in [200, 201, 202, 204, 299] {
        assert_eq!(judge(&status(good, None), "evt_1", 9, now), Sent::Delivered);
    }
    assert_eq!(judge(&status(410, None), "evt_1", 0, now), Sent::Gone);
    for other in [100, 301, 302, 307, 400, 401, 404, 429, 500, 503] {
        assert_eq!(wait(judge(&status(other, None), "evt_1", 0, now)), 5, "{other}");
        assert_eq!(judge(&status(other, None), "evt_1", 9, now), Sent::Dead, "{other}");
    }
    for lost in [Came::Timeout(String::new()), Came::Unreachable(String::new()), Came::Refused(String::new())]
    {
        assert_eq!(wait(judge(&lost, "evt_1", 0, now)), 5);
    }
    // Retry-After makes a wait longer, never shorter, and not without end.
    assert_eq!(wait(judge(&status(503, Some(60)), "evt_1", 0, now)), 60);
    assert!(wait(judge(&status(429, Some(60)), "evt_1", 1, now)) >= 300);
    assert_eq!(wait(judge(&status(503, Some(10_000_000)), "evt_1", 0, now)), 86_400);
    assert_eq!(wait(judge(&status(503, Some(-60)), "evt_1", 0, now)), 5);
    // What failed together comes back apart.
    let apart = |n: u32| judge(&status(500, None), &format!("evt_{n}"), 5, now);
    let all: std::collections::HashSet<_> = (0..20).map(|n| format!("{:?}", apart(n))).collect();
    assert!(all.len() > 10, "{}", all.len());
}

#[tokio::test]
async fn retry_after_is_honoured_in_both_its_forms() {
    let receiver = Receiver::start();
    let mut bridge = approving(&receiver).await;
    for (alert_id, value, wait) in [("a1", "120", 120), ("a2", "Sun, 01 Mar 2026 12:10:00 GMT", 600)] {
        receiver.answer_with(503, &[("Retry-After", value)]);
        hold(&mut bridge, alert_id).await;
        bridge.tell().await;
        let next: Timestamp = listed(&bridge, "").await[0]["next_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(next.duration_since(bridge.clock.now()), seconds(wait), "{value}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (receiver, other) = (Receiver::start(), Receiver::start());
    receiver.answer_with(307, &[("Location", &other.url)]);
    let mut bridge = approving(&receiver).await;
    hold(&mut bridge, "a1").await;

    bridge.tell().await;

    assert_eq!((receiver.received().len(), other.received().len()), (1, 0));
    assert_eq!(listed(&bridge, "?state=queued").await[0]["why"], "HTTP 307");
}

#[tokio::test]
async fn a_callback_that_is_gone_is_told_nothing_until_a_person_says_so() {
    let receiver = Receiver::start();
    receiver.answer(500);
    let mut bridge = approving(&receiver).await;
    hold(&mut bridge, "a1").await;
    bridge.tell().await;
    receiver.answer(410);
    hold(&mut bridge, "a2").await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 2);

    // Nothing more is sent, not even after a restart; what there is to tell is kept.
    let mut bridge = bridge.restart().await;
    hold(&mut bridge, "a3").await;
    bridge.clock.advance(HOUR);
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 2);
    let gone = shown(&bridge, "soar").await;
    assert_eq!((&gone["status"], &gone["queued"]), (&json!("gone"), &json!(0)));
    let dead = listed(&bridge, "?state=dead").await;
    assert_eq!(dead.len(), 3 + 3, "held, and reminders of them");
    assert!(dead.iter().all(|it| it["why"].as_str().unwrap().contains("410")), "{dead:?}");
    let lead = bridge.token_of("lead", &[Scope::CallbacksReplay, Scope::CallbacksResume]);
    let reason = json!({"reason": "it is back"});
    let early = bridge.post_as("/v1/callbacks/soar/replay", &lead, &reason).await;
    assert_eq!(
        (early.status, &early.body["type"]),
        (409, &json!("urn:quarantine-bridge:problem:callback-closed"))
    );

    receiver.answer(200);
    let resumed = bridge.post_as("/v1/callbacks/soar/resume", &lead, &reason).await;
    assert_eq!((resumed.status, &resumed.body["status"]), (200, &json!("active")));
    let again = bridge.post_as("/v1/callbacks/soar/resume", &lead, &json!({"reason": "again"})).await;
    assert_eq!(again.status, 200);
    hold(&mut bridge, "a4").await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 3, "what was given up stays so");
    bridge.post_as("/v1/callbacks/soar/replay", &lead, &reason).await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 9);
    let acts = acts(&bridge, "resume_callback");
    assert_eq!((acts.len(), &acts[0]["deed"]["before"]), (1, &json!("gone")));
    assert_eq!(bridge.post_as("/v1/callbacks/no/resume", &lead, &reason).await.status, 404);
}

#[tokio::test]
async fn a_callback_that_leads_elsewhere_is_no_longer_gone() {
    let (receiver, other) = (Receiver::start(), Receiver::start());
    receiver.answer(410);
    let mut bridge = approving(&receiver).await;
    hold(&mut bridge, "a1").await;
    bridge.tell().await;
    let mut bridge = bridge.restart_with(|setup| setup.callbacks = vec![other.callback("soar")]).await;
    hold(&mut bridge, "a2").await;

    bridge.tell().await;

    assert_eq!((receiver.received().len(), other.received().len()), (1, 1));
    assert_eq!(shown(&bridge, "soar").await["status"], "active");
}

/// Whatever the service was at when it ended, the next start goes on there.
#[tokio::test]
async fn a_stop_loses_nothing_and_changes_no_id() {
    let receiver = Receiver::start();
    let mut bridge = approving(&receiver).await;
    let id = hold(&mut bridge, "a1").await;
    // Nothing was told yet, and no message was made.
    let mut bridge = bridge.restart().await;
    deny(&bridge, &id).await;
    receiver.answer(503);
    bridge.tell().await;
    let before = receiver.received();
    assert_eq!(receiver.kinds(), ["action.held", "action.finished"]);
    let mut bridge = bridge.restart().await;
    receiver.answer(200);
    bridge.clock.advance(seconds(6));

    bridge.tell().await;

    let ids = |received: &[Received]| -> Vec<String> {
        let mut ids: Vec<String> = received.iter().map(|it| it.id().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&receiver.received()[2..]), ids(&before));
    // Sent, and killed before that was on disk: it comes again, under the same id.
    let db = Connection::open(bridge.database()).unwrap();
    db.execute_batch("UPDATE messages SET state = 'queued', next_at = 0, ended_at = NULL").unwrap();
    let mut bridge = bridge.restart().await;
    bridge.tell().await;
    assert_eq!(ids(&receiver.received()[4..]), ids(&before));
    // Made, and killed before the place was on disk: they are known.
    db.execute_batch("UPDATE callbacks SET told_to = 0").unwrap();
    let mut bridge = bridge.restart().await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 6);
}

/// The real service is killed right after it has answered that an action is over.
#[tokio::test]
async fn a_kill_loses_no_event() {
    let receiver = Receiver::start();
    receiver.answer(503);
    let more = SOAR.replace("https://soar.example/x", &receiver.url);
    let more = format!("{more}allow_private = [\"127.0.0.1\"]\n");
    let installation = Installation::new("http://127.0.0.1:9", &more);
    let (_, token, _) = installation.told(&["token", "create", "--name", "t", "--scope", "actions:cancel"]);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let target = json!({"machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let now = quarantine_bridge::clock::Clock::system().now().to_string();
    let alert = json!({"alert_id": "a1", "severity": "high", "occurred_at": now, "targets": [target]});
    let signed = installation.signed(&client, &crate::harness::key(), "msg_1", &alert.to_string());
    let receipt: Value = serde_json::from_str(&signed.send().await.unwrap().text().await.unwrap()).unwrap();
    let id = receipt["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    let cancel = client.post(installation.url(&format!("/v1/actions/{id}/cancel"))).bearer_auth(token.trim());
    let cancel = cancel.header("content-type", "application/json").body("{\"reason\": \"r\"}");
    assert_eq!(cancel.send().await.unwrap().status(), 200);

    serving.kill();
    let before = receiver.received();
    receiver.answer(200);
    let serving = installation.serve();

    let delivered = || {
        let (_, listed, _) = installation.told(&["callbacks", "list"]);
        listed.contains("1 delivered")
    };
    poll("the event to be told", delivered).await;
    let came = receiver.received();
    let last = came.last().unwrap();
    assert_eq!((last.json()["data"]["id"].as_str(), last.kind().as_str()), (Some(&*id), "action.finished"));
    assert!(before.iter().all(|it| it.id() == last.id()), "one id, before and after");
    assert_eq!(serving.terminate().await, Some(0));
}

#[tokio::test]
async fn a_slow_and_a_dead_callback_delay_nobody() {
    let receiver = Receiver::start();
    let (slow, unused) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = |listener: &TcpListener| format!("http://{}/", listener.local_addr().unwrap());
    let dead = url(&unused);
    drop(unused);
    let callbacks = vec![callback("aslow", &url(&slow)), callback("bdead", &dead), receiver.callback("soar")];
    let mut bridge = Bridge::with(Setup { callbacks, ..Setup::default() }).await;
    bridge.keep_telling();
    for n in 0..6 {
        bridge.accept(&format!("a{n}"), MACHINE, &format!("{n}{}", &SHA1[1..])).await;
    }

    bridge.run_for(seconds(60)).await;
    let db = Connection::open(bridge.database()).unwrap();
    let told = "SELECT count(*) FROM messages WHERE callback = 'soar' AND state = 'delivered'";
    poll("the good one to be told", || db.query_row(told, [], |row| row.get::<_, i64>(0)).unwrap() == 6)
        .await;

    assert_eq!(receiver.received().len(), 6);

    assert_eq!(bridge.quarantines().len(), 6);
    assert_eq!(shown(&bridge, "aslow").await["delivered"], 0);
    assert_eq!(shown(&bridge, "aslow").await["queued"], 6);
    poll("the dead one to be tried", || {
        let dead = "quarantine_bridge_callback_sendings_total{callback=\"bdead\",result=\"unreachable\"}";
        bridge.metric(dead).is_some()
    })
    .await;
    bridge.clock.advance(seconds(10));
    let answer = bridge.get("/metrics").await;
    let text = answer.body.as_str().unwrap();
    for line in [
        "quarantine_bridge_callback_messages{callback=\"aslow\",state=\"queued\"} 6",
        "quarantine_bridge_callback_messages{callback=\"soar\",state=\"delivered\"} 6",
        "quarantine_bridge_callback_oldest_queued_seconds{callback=\"soar\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let oldest = text.lines().find_map(|line| {
        line.strip_prefix("quarantine_bridge_callback_oldest_queued_seconds{callback=\"aslow\"} ")
    });
    assert!(oldest.unwrap().parse::<f64>().unwrap() > 0.0);
}

#[tokio::test]
async fn a_held_action_is_reminded_of_twice_and_no_more() {
    let receiver = Receiver::start();
    let mut bridge = approving(&receiver).await;
    let decided = hold(&mut bridge, "a1").await;
    hold(&mut bridge, "a2").await;
    bridge.tell().await;
    deny(&bridge, &decided).await;
    bridge.clock.advance(HOUR - SignedDuration::from_millis(1));
    bridge.tell().await;
    assert_eq!(receiver.kinds(), ["action.held", "action.held", "action.finished"]);

    bridge.clock.advance(seconds(31));
    bridge.tell().await;
    bridge.clock.advance(HOUR);
    bridge.tell().await;
    assert_eq!(receiver.kinds()[3..], ["action.reminder"]);
    let reminder = receiver.received()[3].json();
    assert_eq!(reminder["data"]["alert"]["id"], "a2");
    assert_eq!(reminder["data"]["state"], "held");
    assert_eq!(reminder["data"]["changed_at"], "2026-03-01T12:00:00.000Z");

    let mut bridge = bridge.restart().await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 4, "a restart does not remind again");
    bridge.clock.advance(HOUR * 20);
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 4);
    bridge.clock.advance(HOUR);
    bridge.tell().await;
    bridge.tell().await;
    assert_eq!(receiver.kinds()[4..], ["action.reminder"]);
    assert_ne!(receiver.received()[4].id(), receiver.received()[3].id());
    bridge.clock.advance(HOUR);
    bridge.drain().await;
    bridge.tell().await;
    assert_eq!(receiver.kinds()[5..], ["action.finished"]);
    assert_eq!(receiver.received()[5].json()["data"]["state"], "expired");
}

/// An hour before it expires is before it was held.
#[tokio::test]
async fn a_hold_that_is_short_is_not_reminded_of_at_its_beginning() {
    let receiver = Receiver::start();
    let callbacks = vec![receiver.callback("soar")];
    let guards = |guards: &mut Guards| guards.hold_limit = SignedDuration::from_mins(30);
    let setup = Setup { mode: Mode::Approve, callbacks, guards, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    hold(&mut bridge, "a1").await;
    bridge.tell().await;
    bridge.clock.advance(SignedDuration::from_mins(30));
    bridge.tell().await;
    bridge.drain().await;
    bridge.tell().await;

    assert_eq!(receiver.kinds(), ["action.held", "action.finished"]);
}

#[tokio::test]
async fn a_callback_is_told_what_it_wants_and_only_from_its_beginning_on() {
    let (receiver, late) = (Receiver::start(), Receiver::start());
    let mut finished = receiver.callback("finished");
    finished.events = vec![EventType::Finished];
    let mut of_others = receiver.callback("of-others");
    of_others.sources = Some(vec!["other".parse().unwrap()]);
    let callbacks = vec![finished.clone(), of_others];
    let mut bridge = Bridge::with(Setup { mode: Mode::Approve, callbacks, ..Setup::default() }).await;
    let id = hold(&mut bridge, "a1").await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 0);
    deny(&bridge, &id).await;
    bridge.tell().await;
    assert_eq!(receiver.kinds(), ["action.finished"]);

    // A reload brings a new one; it is not told what is past.
    let (kept, added) = (finished, late.callback("late"));
    bridge.reconfigure(|config| config.callbacks = vec![kept, added]);
    bridge.tell().await;
    assert_eq!(late.received().len(), 0);
    hold(&mut bridge, "a2").await;
    bridge.tell().await;
    assert_eq!((late.kinds(), receiver.received().len()), (vec!["action.held".to_owned()], 1));
    assert_eq!(shown(&bridge, "of-others").await["status"], "removed");
}

#[tokio::test]
async fn what_a_removed_callback_was_to_be_told_is_given_up_and_seen() {
    let receiver = Receiver::start();
    receiver.answer(500);
    let mut bridge = approving(&receiver).await;
    hold(&mut bridge, "a1").await;
    bridge.tell().await;

    let mut bridge = bridge.restart_with(|setup| setup.callbacks.clear()).await;
    hold(&mut bridge, "a2").await;
    bridge.tell().await;

    let removed = shown(&bridge, "soar").await;
    assert_eq!((&removed["status"], &removed["dead"]), (&json!("removed"), &json!(1)));
    let why = listed(&bridge, "?state=dead").await[0]["why"].clone();
    assert_eq!(why, "the callback is not in the configuration any more");
    let lead = bridge.token_of("lead", &[Scope::CallbacksReplay]);
    let replay = bridge.post_as("/v1/callbacks/soar/replay", &lead, &json!({"reason": "r"})).await;
    assert_eq!(replay.status, 409);
    // It comes back: what was given up can be sent again, and what happened meanwhile was not meant for it.
    receiver.answer(200);
    let back = vec![receiver.callback("soar")];
    let mut bridge = bridge.restart_with(|setup| setup.callbacks = back).await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 1);
    bridge.post_as("/v1/callbacks/soar/replay", &lead, &json!({"reason": "r"})).await;
    bridge.tell().await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(receiver.received()[1].json()["data"]["alert"]["id"], "a1");
}

#[tokio::test]
async fn retention_deletes_what_was_told_and_what_was_given_up() {
    let receiver = Receiver::start();
    let retention = Retention { after: HOUR * 24, duplicates: HOUR * 24 };
    let callbacks = vec![receiver.callback("soar")];
    let mut bridge =
        Bridge::with(Setup { mode: Mode::Approve, callbacks, retention, ..Setup::default() }).await;
    let id = hold(&mut bridge, "a1").await;
    bridge.tell().await;
    receiver.answer(410);
    deny(&bridge, &id).await;
    bridge.tell().await;
    bridge.clock.advance(HOUR * 24 - seconds(1));
    bridge.prune().await;
    assert_eq!(listed(&bridge, "").await.len(), 2);

    bridge.clock.advance(seconds(1));
    let deleted = bridge.prune().await;

    assert_eq!((deleted.messages, listed(&bridge, "").await.len()), (2, 0));
    assert_eq!(bridge.metric("quarantine_bridge_pruned_total{what=\"messages\"}"), Some(2.0));
    let mut bridge = bridge.restart_with(|setup| setup.callbacks.clear()).await;
    bridge.prune().await;
    assert_eq!(shown(&bridge, "soar").await, Value::Null);
}

#[test]
fn no_address_but_of_the_internet_is_connected_to() {
    let refused = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:a00:1::",
        "2002:808:808::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ];
    for address in refused {
        let address: IpAddr = address.parse().unwrap();
        assert!(!may_connect(address, &[]), "{address}");
    }
    let taken = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.17",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.0.1",
        "192.169.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
    ];
    for address in taken {
        let address: IpAddr = address.parse().unwrap();
        assert!(may_connect(address, &[]), "{address}");
    }
    let allowed = ["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
    for (address, is_taken) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("10.2.0.1", false),
        ("fd12::1", true),
        ("fe80::1", false),
    ] {
        assert_eq!(may_connect(address.parse().unwrap(), &allowed), is_taken, "{address}");
    }
}

#[test]
fn a_name_that_leads_to_other_addresses_too_leads_to_the_good_ones_only() {
    let found = |addresses: &[&str]| -> Vec<SocketAddr> {
        addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0)).collect()
    };
    let good = connectable("a.example", found(&["10.0.0.1", "8.8.8.8", "::1"]), &[]).unwrap();
    assert_eq!(good, found(&["8.8.8.8"]));
    let error = connectable("a.example", found(&["10.0.0.1", "127.0.0.1"]), &[]).unwrap_err().to_string();
    assert!(error.starts_with("10.0.0.1 of a.example is not connected to"), "{error}");
    assert_eq!(connectable("a.example", found(&[]), &[]), Ok(Vec::new()));
}

#[test]
fn an_address_that_is_written_as_one_is_refused_however_it_is_written() {
    for url in [
        "https://10.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]/",
        "https://169.254.169.254/latest/meta-data/",
    ] {
        let mut callback = callback("soar", url);
        callback.allow_private.clear();
        let refused = Destinations::new(vec![callback]).map(Arc::new);
        assert!(refused.unwrap_err().to_string().contains("is not connected to"), "{url}");
    }
}

/// A name is looked up for each sending, and what it leads to is looked at then.
#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
    let receiver = Receiver::start();
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    let mut refused = callback("soar", &by_name);
    refused.allow_private.clear();
    let mut allowed = callback("allowed", &by_name);
    allowed.allow_private = vec!["127.0.0.1/32".parse().unwrap()];
    let callbacks = vec![refused, allowed];
    let mut bridge = Bridge::with(Setup { mode: Mode::Approve, callbacks, ..Setup::default() }).await;
    hold(&mut bridge, "a1").await;

    bridge.tell().await;

    assert_eq!(receiver.received().len(), 1, "the one that is allowed to");
    let message = &listed(&bridge, "").await[0];
    assert_eq!(message["state"], "queued");
    let why = message["why"].as_str().unwrap();
    assert!(why.contains("of localhost is not connected to"), "{why}");
    let sendings = "quarantine_bridge_callback_sendings_total{callback=\"soar\",result=\"address\"}";
    assert_eq!(bridge.metric(sendings), Some(1.0));
    // The path of an address may be a secret.
    assert_eq!(shown(&bridge, "soar").await["origin"], by_name.replace("/hooks/secret-path", ""));
    assert!(!shown(&bridge, "soar").await.to_string().contains("secret-path"));
}

#[tokio::test]
async fn every_secret_signs_while_it_is_rotated() {
    let receiver = Receiver::start();
    let mut callback = receiver.callback("soar");
    let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let whsec =
        |text: &str, end| quarantine_bridge::ingest::SigningKey::from_whsec(&text.to_owned().into(), end);
    let ended = whsec("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Some(after(start_of_time(), seconds(-1))));
    callback.keys = vec![whsec(WHSEC, None).unwrap(), whsec(new, None).unwrap(), ended.unwrap()];
    let mut bridge =
        Bridge::with(Setup { mode: Mode::Approve, callbacks: vec![callback], ..Setup::default() }).await;
    hold(&mut bridge, "a1").await;

    bridge.tell().await;

    let came = &receiver.received()[0];
    assert!(is_signed(came, WHSEC) && is_signed(came, new));
    assert_eq!(came.headers["webhook-signature"].split(' ').count(), 2);
}

#[tokio::test]
async fn messages_are_listed_a_page_at_a_time() {
    let receiver = Receiver::start();
    let mut bridge = approving(&receiver).await;
    for n in 0..3 {
        hold(&mut bridge, &format!("a{n}")).await;
    }
    bridge.tell().await;
    let token = bridge.new_token(&[Scope::CallbacksRead]);
    let (mut ids, mut next) = (Vec::new(), String::new());
    loop {
        let page = bridge.get_as(&format!("/v1/callbacks/soar/messages?limit=2{next}"), &token).await;
        ids.extend(page.body["messages"].as_array().unwrap().iter().map(|it| it["id"].clone()));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    let sent: std::collections::HashSet<_> =
        receiver.received().iter().map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| sent.contains(id.as_str().unwrap())));
    for bad in ["?state=lost", "?limit=0", "?cursor=x", "?all=1"] {
        assert_eq!(bridge.get_as(&format!("/v1/callbacks/soar/messages{bad}"), &token).await.status, 400);
    }
    assert_eq!(bridge.get_as("/v1/callbacks/no/messages", &token).await.status, 404);
}

const SOAR: &str =
    "[callbacks.soar]\nurl = \"https://soar.example/x\"\nsecrets = [{ file = \"soc-secret\" }]\n";

#[test]
fn a_callback_is_read_with_its_defaults() {
    let config = load(&Installation::new("http://127.0.0.1:9", SOAR).config(), Secrets::Read);
    let config = config.unwrap_or_else(|complaints| panic!("{complaints}"));
    let mut usual = callback("soar", "https://soar.example/x");
    usual.allow_private.clear();
    assert_eq!(config.callbacks, [usual]);
}

#[test]
fn a_callback_that_is_wrong_is_complained_about() {
    for (from, to, key) in [
        ("https://", "http://", "callbacks.soar.url"),
        ("https://", "ftp://", "callbacks.soar.url"),
        ("https://", "https://user:word@", "callbacks.soar.url"),
        ("example/x", "example/x#y", "callbacks.soar.url"),
        ("https://soar.example", "https://10.0.0.1", "callbacks.soar.url"),
        ("https://soar.example", "http://127.0.0.1", "callbacks.soar.url"),
        ("https://soar.example", "https://[::ffff:169.254.169.254]", "callbacks.soar.url"),
        ("[callbacks.soar]", "[callbacks.Soar]", "callbacks.Soar"),
        ("soc-secret", "no-secret", "callbacks.soar.secrets[0].file"),
        ("secrets", "secret", "callbacks.soar.secrets"),
        ("url", "events = []\nurl", "callbacks.soar.events"),
        ("url", "events = [\"action.lost\"]\nurl", "callbacks.soar.events"),
        ("url", "sources = [\"other\"]\nurl", "callbacks.soar.sources"),
        ("url", "sources = []\nurl", "callbacks.soar.sources"),
        ("url", "allow_private = [\"ten\"]\nurl", "callbacks.soar.allow_private"),
        ("url", "remind_after = [\"8d\"]\nurl", "callbacks.soar.remind_after"),
        ("url", "remind_before_expiry = [\"soon\"]\nurl", "callbacks.soar.remind_before_expiry"),
        ("url", "redirects = true\nurl", "callbacks.soar.redirects"),
    ] {
        let installation = Installation::new("http://127.0.0.1:9", &SOAR.replacen(from, to, 1));
        let complaints = load(&installation.config(), Secrets::Read).unwrap_err();
        assert!(complaints.0.iter().any(|it| it.key == key), "{to}: {complaints}");
    }
    let many: String = (0..17).map(|n| SOAR.replace("soar]", &format!("soar{n}]"))).collect();
    let installation = Installation::new("http://127.0.0.1:9", &many);
    assert!(load(&installation.config(), Secrets::Read).unwrap_err().0[0].problem.contains("17 callbacks"));
    let allowed = SOAR.replace("https://soar.example", "http://127.0.0.1:8080");
    let allowed = format!("{allowed}allow_private = [\"127.0.0.1\"]\nremind_after = []\n");
    load(&Installation::new("http://127.0.0.1:9", &allowed).config(), Secrets::Read).unwrap();
}

#[tokio::test]
async fn the_command_lists_replays_and_resumes_beside_a_running_service() {
    let receiver = Receiver::start();
    receiver.answer(410);
    let mut bridge = approving(&receiver).await;
    hold(&mut bridge, "a1").await;
    bridge.tell().await;
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation
        .edit("path = \"bridge.db\"", &format!("path = {:?}", bridge.database().display().to_string()));
    let run = |arguments: &[&str]| installation.told(&[&["callbacks"], arguments].concat());
    let id = receiver.received()[0].id().to_owned();

    let (_, listed, _) = run(&["list"]);
    assert!(listed.starts_with("soar gone http://127.0.0.1:") && listed.contains("1 dead"), "{listed}");
    assert!(!listed.contains("secret-path"));
    let (_, messages, _) = run(&["messages", "soar", "--state", "dead"]);
    assert!(
        messages.starts_with(&format!("{id} dead action.held")) && messages.contains("410"),
        "{messages}"
    );
    assert_eq!(run(&["replay", "soar", "--all-dead", "--reason", "r"]).0, 1, "it is gone");
    assert_eq!(run(&["resume", "soar", "--reason", " "]).0, 2);
    assert_eq!(run(&["resume", "soar", "--reason", "it is back"]).0, 0);
    assert_eq!(run(&["replay", "soar", "--reason", "r"]).0, 2);
    assert_eq!(run(&["replay", "no", "--id", &id, "--reason", "r"]).0, 1);
    assert_eq!(run(&["messages", "no"]).0, 1);
    let (code, told, _) = run(&["replay", "soar", "--id", &id, "--reason", "it is back"]);
    assert_eq!((code, told.as_str()), (0, "1 to be sent again, 0 are still given up\n"));
    receiver.answer(200);
    // A command runs by the clock of the machine, the bridge of the test by its own.
    bridge.clock.set_by(HOUR * 24 * 365 * 100);
    bridge.tell().await;

    assert_eq!(receiver.received().iter().filter(|it| it.id() == id).count(), 2);
    let (_, listed, _) = run(&["list", "--json"]);
    let facts: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&facts["status"], &facts["dead"]), (&json!("active"), &json!(0)));
    let (_, messages, _) = run(&["messages", "soar", "--json"]);
    assert!(messages.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{messages}");
    assert!(acts(&bridge, "resume_callback")[0]["who"].as_str().unwrap().starts_with("operator:uid "));
}
