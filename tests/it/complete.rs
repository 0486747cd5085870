//! What a person can do about what could not be resolved: complete an action, or have a delivery read again.

use jiff::SignedDuration;
use quarantine_bridge::alert::{EntityPair, FileEntity, FoundAt, MachineEntity, Mode};
use quarantine_bridge::policy::{Guard, Guards};
use quarantine_bridge::simulator::{Fault, FaultKind, KnownFile, Machine, Place};
use quarantine_bridge::store::Scope;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup};

const OTHER: &str = "3333333333cccccccccc3333333333cccccccccc";
const SHA256: &str = "abababababababababababababababababababababababababababababababcd";

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn two_devices() -> Vec<Machine> {
    let machine = |id: &str, name: &str| Machine {
        id: id.to_owned(),
        dns_name: name.to_owned(),
        files: vec![SHA1.to_owned()],
        ..Machine::default()
    };
    vec![machine(MACHINE, "ws1.corp.example"), machine(OTHER, "ws1.other.example")]
}

/// A bridge with an action that is held because two devices have its name.
async fn held(setup: Setup) -> (Bridge, String) {
    let mut bridge = Bridge::with(setup).await;
    bridge.simulator.with(|state| {
        state.world.any_machine = false;
        state.world.machines = two_devices();
    });
    let id = accept(&bridge, "a1", Some("ws1"), file()).await;
    bridge.drain().await;
    assert_eq!(bridge.action(&id).await["held_reason"], "machine_ambiguous");
    (bridge, id)
}

fn file() -> FileEntity {
    FileEntity { sha1: SHA1.parse().ok(), ..FileEntity::default() }
}

async fn accept(bridge: &Bridge, alert_id: &str, name: Option<&str>, file: FileEntity) -> String {
    let machine = MachineEntity { dns_name: name.map(ToOwned::to_owned), ..MachineEntity::default() };
    let named = |name: &str| MachineEntity { dns_name: Some(name.to_owned()), ..MachineEntity::default() };
    let candidates = if name.is_none() { vec![named("ws1"), named("ws2")] } else { Vec::new() };
    let pair = EntityPair { machine, file, candidates, found_at: FoundAt::default() };
    bridge.accept_pairs(alert_id, vec![pair]).await.remove(0)
}

async fn complete(bridge: &Bridge, id: &str, said: Value) -> Answer {
    let token = bridge.new_token(&[Scope::ActionsComplete]);
    bridge.post_as(&format!("/v1/actions/{id}/complete"), &token, &said).await
}

fn code(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

#[tokio::test]
async fn a_person_says_which_device_it_is() {
    let (mut bridge, id) = held(Setup::default()).await;
    bridge.clock.advance(SignedDuration::from_hours(3));

    let answer = complete(&bridge, &id, json!({"machine_id": OTHER, "reason": "by its asset tag"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["state"], "resolving");
    assert_eq!(answer.body["completed"]["machine_id"], OTHER);
    bridge.run_for(seconds(40)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "succeeded", "{action}");
    assert_eq!(action["target"]["machine_id"], OTHER);
    assert_eq!(action["held_reason"], Value::Null);
    let resumed = &action["history"].as_array().unwrap()[4];
    assert_eq!((&resumed["from"], &resumed["to"]), (&"held".into(), &"resolving".into()));
    assert_eq!((&resumed["who"], &resumed["why"]), (&"token:test".into(), &"by its asset tag".into()));
    assert!(action.to_string().contains("chosen by token:test, known to Defender"), "{action}");
    assert_eq!(bridge.quarantines()[0]["path"], format!("/api/machines/{OTHER}/StopAndQuarantineFile"));
}

#[tokio::test]
async fn the_devices_of_an_ambiguous_alert_are_told_and_one_is_chosen() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.world.machines = two_devices());
    let id = accept(&bridge, "a1", None, file()).await;
    bridge.drain().await;

    let action = bridge.action(&id).await;
    assert_eq!(action["held_reason"], "ambiguous_pair");
    assert_eq!(action["candidates"][1]["dns_name"], "ws2");
    assert!(action.to_string().contains("dns_name:ws1, dns_name:ws2"), "{action}");
    assert!(bridge.simulator.calls().is_empty(), "nothing is looked up");
    assert_eq!(
        complete(&bridge, &id, json!({"machine_id": MACHINE, "reason": "the first"})).await.status,
        200
    );
    bridge.run_for(seconds(40)).await;

    assert_eq!(bridge.action(&id).await["target"]["machine_id"], MACHINE);
    assert_eq!(bridge.state(&id).await, "succeeded");
}

#[tokio::test]
async fn a_device_that_defender_does_not_know_holds_it_again() {
    let (mut bridge, id) = held(Setup::default()).await;
    let unknown = "7".repeat(39) + "8";
    assert_eq!(complete(&bridge, &id, json!({"machine_id": unknown, "reason": "r"})).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.action(&id).await["held_reason"], "machine_unknown");

    assert_eq!(
        complete(&bridge, &id, json!({"machine_id": MACHINE, "reason": "mistyped"})).await.status,
        200
    );
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "submitted");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn a_person_says_which_file_it_is_and_defender_may_contradict() {
    for (known_as, reason) in [(None, None), (Some("cd".repeat(32)), Some("file_hash_mismatch"))] {
        let mut bridge = Bridge::start().await;
        bridge.simulator.with(|state| state.world.machines = two_devices());
        let file = FileEntity { sha256: SHA256.parse().ok(), ..FileEntity::default() };
        let id = accept(&bridge, "a1", Some("ws1.corp.example"), file).await;
        bridge.drain().await;
        assert_eq!(bridge.action(&id).await["held_reason"], "file_unknown");
        let known =
            KnownFile { sha1: Some(SHA1.to_owned()), sha256: known_as.clone(), ..KnownFile::default() };
        bridge.simulator.with(|state| state.world.files.extend(known_as.map(|_| known)));

        assert_eq!(complete(&bridge, &id, json!({"sha1": SHA1, "reason": "computed"})).await.status, 200);
        bridge.drain().await;

        let action = bridge.action(&id).await;
        match reason {
            None => assert_eq!(action["target"]["sha1"], SHA1),
            Some(reason) => assert_eq!(action["held_reason"], reason),
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_after_a_completion_does_not_make_the_look_ups_endless() {
    let (mut bridge, id) = held(Setup::default()).await;
    bridge.clock.advance(seconds(1));
    let completed =
        complete(&bridge, &id, json!({"machine_id": MACHINE, "reason": "by its asset tag"})).await;
    assert_eq!(completed.status, 200);
    bridge.simulator.play(Fault { place: Place::Machines, kind: FaultKind::RequestLost, times: Some(1) });
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "resolving");

    bridge.clock.set_by(SignedDuration::from_hours(-2));
    let before = bridge.simulator.calls().len();
    bridge.run_for(seconds(60)).await;

    let action = bridge.action(&id).await;
    let why = action["history"].as_array().unwrap().last().unwrap()["why"].as_str().unwrap();
    assert!(
        action["state"] == "held" && why.contains("future"),
        "it is found, and by this clock too new: {why}"
    );
    assert!(bridge.simulator.calls().len() - before < 10);
}

#[tokio::test]
async fn with_nothing_to_add_defender_is_only_asked_again() {
    let (mut bridge, id) = held(Setup::default()).await;
    bridge.simulator.with(|state| state.world.machines.truncate(1));
    bridge.clock.advance(seconds(1));
    assert_eq!(complete(&bridge, &id, json!({"reason": "the twin is gone"})).await.status, 200);

    bridge.drain().await;

    assert_eq!(
        bridge.action(&id).await["target"]["machine_id"],
        MACHINE,
        "an answer from before is not believed"
    );
}

#[tokio::test]
async fn the_same_word_twice_is_one_and_another_word_is_too_late() {
    let (mut bridge, id) = held(Setup::default()).await;
    let said = json!({"machine_id": OTHER, "reason": "r"});
    let (first, second) =
        tokio::join!(complete(&bridge, &id, said.clone()), complete(&bridge, &id, said.clone()));
    assert_eq!((first.status, second.status), (200, 200));
    bridge.run_for(seconds(40)).await;

    assert_eq!(complete(&bridge, &id, said).await.status, 200);
    let late = complete(&bridge, &id, json!({"machine_id": MACHINE, "reason": "r"})).await;
    assert_eq!((late.status, code(&late)), (409, "not-completable"));
    let history = bridge.action(&id).await["history"].to_string();
    assert_eq!(
        history.matches("token:test\"").count() - history.matches("by token:test\"").count(),
        1,
        "{history}"
    );
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn two_persons_at_once_are_one_decision() {
    for _ in 0..10 {
        let (mut bridge, id) = held(Setup::default()).await;
        let (first, second) = tokio::join!(
            complete(&bridge, &id, json!({"machine_id": MACHINE, "reason": "r"})),
            complete(&bridge, &id, json!({"machine_id": OTHER, "reason": "r"})),
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        bridge.run_for(seconds(40)).await;
        let chosen = if first.status == 200 { MACHINE } else { OTHER };
        assert_eq!(bridge.action(&id).await["target"]["machine_id"], chosen);
        assert_eq!(bridge.quarantines().len(), 1);
    }
}

#[tokio::test]
async fn only_what_waits_for_a_person_to_complete_it_is_completed() {
    let mut bridge = Bridge::with(Setup { mode: Mode::Approve, ..Setup::default() }).await;
    let approve = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&approve).await, "held");
    let answer = complete(&bridge, &approve, json!({"machine_id": OTHER, "reason": "r"})).await;
    assert_eq!((answer.status, code(&answer)), (409, "not-completable"));
    assert_eq!(bridge.action(&approve).await["target"]["machine_id"], MACHINE);

    let unknown = "018f0000-0000-7000-8000-000000000000";
    assert_eq!(complete(&bridge, unknown, json!({"reason": "r"})).await.status, 404);
    assert_eq!(complete(&bridge, "x", json!({"reason": "r"})).await.status, 404);
}

#[tokio::test]
async fn completing_does_not_decide() {
    let (mut bridge, id) = held(Setup { mode: Mode::Approve, ..Setup::default() }).await;
    assert_eq!(complete(&bridge, &id, json!({"machine_id": OTHER, "reason": "r"})).await.status, 200);
    bridge.drain().await;
    let action = bridge.action(&id).await;
    assert_eq!((&action["state"], &action["held_reason"]), (&"held".into(), &Value::Null));
    assert!(action.to_string().contains("a person must approve"));
    assert_eq!(bridge.quarantines().len(), 0);
}

#[tokio::test]
async fn a_sha1_that_the_alert_gives_is_not_replaced() {
    let (bridge, id) = held(Setup::default()).await;
    let other = json!({"sha1": "4".repeat(39) + "5", "reason": "r"});
    let answer = complete(&bridge, &id, other).await;
    assert_eq!((answer.status, code(&answer)), (409, "not-completable"));
    assert_eq!(bridge.state(&id).await, "held");
}

#[tokio::test]
async fn a_body_that_is_wrong_is_told_and_changes_nothing() {
    let (bridge, id) = held(Setup::default()).await;
    let path = format!("/v1/actions/{id}/complete");
    let token = bridge.new_token(&[Scope::ActionsComplete]);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"machine_id": "x"}"#,
        r#"{"reason": ""}"#,
        r#"{"reason": "   "}"#,
        "{\"reason\": \"two\\nlines\"}",
        "{\"reason\": \"\\u202eback\"}",
        r#"{"reason": "r", "machine_id": "ws1"}"#,
        r#"{"reason": "r", "machine_id": "../x"}"#,
        r#"{"reason": "r", "sha1": "0000000000000000000000000000000000000000"}"#,
        r#"{"reason": "r", "sha256": "x"}"#,
        r#"{"reason": "r", "reason": "s"}"#,
        r#"{"reason": 1}"#,
    ] {
        let answer = bridge.send(bridge.request(&path).bearer_auth(&token).body(body)).await;
        assert_eq!((answer.status, code(&answer)), (400, "invalid-body"), "{body}");
    }
    let long = json!({"reason": "r".repeat(501)});
    assert_eq!(bridge.post_as(&path, &token, &long).await.status, 400);
    assert_eq!(bridge.state(&id).await, "held");
}

#[tokio::test]
async fn each_post_needs_its_own_scope() {
    let (bridge, id) = held(Setup::default()).await;
    let delivery = bridge.action(&id).await["delivery_id"].as_str().unwrap().to_owned();
    for (path, needed) in [
        (format!("/v1/actions/{id}/complete"), Scope::ActionsComplete),
        (format!("/v1/deliveries/{delivery}/replay"), Scope::DeliveriesReplay),
    ] {
        for scope in Scope::ALL.into_iter().filter(|scope| *scope != needed) {
            let answer = bridge.post_as(&path, &bridge.new_token(&[scope]), &json!({"reason": "r"})).await;
            assert_eq!(answer.status, 403, "{path} with {scope}");
        }
        assert_eq!(bridge.post_as(&path, "", &json!({"reason": "r"})).await.status, 401);
    }
    assert_eq!(bridge.state(&id).await, "held");
}

#[tokio::test]
async fn what_a_person_said_outlives_a_restart() {
    let (mut bridge, id) = held(Setup::default()).await;
    bridge.clock.advance(seconds(1));
    bridge.simulator.play(Fault {
        place: Place::Machines,
        kind: FaultKind::Status { status: 503 },
        times: Some(1),
    });
    assert_eq!(complete(&bridge, &id, json!({"machine_id": OTHER, "reason": "r"})).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "resolving");

    let mut bridge = bridge.restart().await;
    bridge.run_for(seconds(40)).await;

    assert_eq!(bridge.action(&id).await["target"]["machine_id"], OTHER);
    assert_eq!(bridge.state(&id).await, "succeeded");
}

/// Posts a body that the format cannot read, then puts a body that it can in its place on disk, as if the format had
/// been mended.
async fn refused_then_mended(bridge: &Bridge, alert_ids: &[&str]) -> String {
    let refused = bridge.post("msg_1", "{}").await;
    assert_eq!(refused.status, 422);
    let delivery = refused.body["delivery_id"].as_str().unwrap().to_owned();
    mend(bridge, alert_ids);
    delivery
}

fn mend(bridge: &Bridge, alert_ids: &[&str]) {
    let alerts: Vec<Value> = alert_ids
        .iter()
        .map(|id| serde_json::from_slice(&bridge.alert(id, MACHINE, SHA1)).unwrap())
        .collect();
    let body = serde_json::to_vec(&alerts).unwrap();
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("UPDATE deliveries SET body = ?1", [body]).unwrap();
}

async fn replay(bridge: &Bridge, delivery: &str) -> Answer {
    let token = bridge.new_token(&[Scope::DeliveriesReplay]);
    bridge.post_as(&format!("/v1/deliveries/{delivery}/replay"), &token, &Value::Null).await
}

#[tokio::test]
async fn a_kept_delivery_is_read_again_and_only_what_is_new_is_accepted() {
    // The second alert is newer than the quarantine that the first one brought about.
    let again_at_once = |guards: &mut Guards| guards.set(Guard::CoolDown, None);
    let mut bridge = Bridge::with(Setup { guards: again_at_once, ..Setup::default() }).await;
    let delivery = refused_then_mended(&bridge, &["a1"]).await;

    let first = replay(&bridge, &delivery).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.body["delivery_id"], delivery.as_str());
    let id = first.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    let second = replay(&bridge, &delivery).await;
    assert_eq!((second.status, &second.body["duplicate"]), (200, &json!(true)));
    assert_eq!(second.body["alerts"][0]["actions"][0]["id"], id.as_str());

    bridge.run_for(seconds(40)).await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "succeeded");
    assert_eq!(action["history"][0]["who"], "token:test");
    let kept = bridge.get(&format!("/v1/deliveries/{delivery}")).await.body;
    assert_eq!((&kept["outcome"], &kept["alert_ids"]), (&"accepted".into(), &json!(["a1"])));

    mend(&bridge, &["a1", "a2"]);
    let third = replay(&bridge, &delivery).await;
    assert_eq!(third.status, 202);
    let kept = bridge.get(&format!("/v1/deliveries/{delivery}")).await.body;
    assert_eq!(kept["alert_ids"], json!(["a1", "a2"]));
    bridge.run_for(seconds(40)).await;
    assert_eq!(bridge.quarantines().len(), 2, "one for each alert");
}

#[tokio::test]
async fn replays_at_once_make_one_action() {
    let mut bridge = Bridge::start().await;
    let delivery = refused_then_mended(&bridge, &["a1"]).await;
    let (first, second) = tokio::join!(replay(&bridge, &delivery), replay(&bridge, &delivery));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202]);
    bridge.run_for(seconds(40)).await;
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn what_still_cannot_be_read_is_told_and_takes_nothing_back() {
    let bridge = Bridge::start().await;
    let delivery = refused_then_mended(&bridge, &["a1"]).await;
    assert_eq!(replay(&bridge, &delivery).await.status, 202);
    let db = Connection::open(bridge.database()).unwrap();
    for (body, status) in [("{}", 422), ("{", 400)] {
        db.execute("UPDATE deliveries SET body = ?1", [body.as_bytes()]).unwrap();
        assert_eq!(replay(&bridge, &delivery).await.status, status);
        let kept = bridge.get(&format!("/v1/deliveries/{delivery}")).await.body;
        assert_eq!((&kept["outcome"], &kept["alert_ids"]), (&"accepted".into(), &json!(["a1"])));
    }
    assert_eq!(replay(&bridge, "018f0000-0000-7000-8000-000000000000").await.status, 404);
    db.execute("UPDATE deliveries SET source = 'gone'", []).unwrap();
    let answer = replay(&bridge, &delivery).await;
    assert_eq!((answer.status, code(&answer)), (409, "source-unknown"));
}
