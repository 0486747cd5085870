//! Another try of an action that has come to nothing: of which, what is asked afresh, and that no two machine actions of one alert
//! can act on one target.

use std::fs;

use jiff::SignedDuration;
use quarantine_bridge::alert::{EntityPair, FileEntity, FoundAt, MachineEntity, Mode, Severity};
use quarantine_bridge::policy::{Guard, Guards};
use quarantine_bridge::simulator::{Fault, FaultKind, Machine, Place};
use quarantine_bridge::store::{Options, Scope, back_up};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::harness::binary::{command, set_mode};
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup};

const ANALYST: &str = "Analyst@contoso.com";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// The device with its file, whose machine actions end so.
fn device(bridge: &Bridge, ends_as: &str) {
    let machine = Machine {
        id: MACHINE.to_owned(),
        files: vec![SHA1.to_owned()],
        ends_as: ends_as.to_owned(),
        ..Machine::default()
    };
    bridge.simulator.with(|state| state.world.machines = vec![machine]);
}

/// A bridge that lets the same file be quarantined on the same device again and again.
async fn again_and_again() -> Bridge {
    let guards = |guards: &mut Guards| guards.set(Guard::CoolDown, None);
    Bridge::with(Setup { guards, ..Setup::default() }).await
}

fn play(bridge: &Bridge, kind: FaultKind) {
    bridge.simulator.play(Fault { place: Place::Quarantine, kind, times: Some(1) });
}

async fn retry_as(bridge: &Bridge, token: &str, id: &str) -> Answer {
    let said = json!({"reason": "the device was broken"});
    bridge.post_as(&format!("/v1/actions/{id}/retry"), token, &said).await
}

async fn retry(bridge: &Bridge, id: &str) -> Answer {
    retry_as(bridge, &bridge.token_of("alice", &[Scope::ActionsRetry]), id).await
}

/// Has an action tried again that is; returns the new one's id.
async fn retried(bridge: &Bridge, id: &str) -> String {
    let answer = retry(bridge, id).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_default()
}

/// An action that has failed at its device.
async fn failed(bridge: &mut Bridge, alert_id: &str) -> String {
    device(bridge, "Failed");
    let id = bridge.accept(alert_id, MACHINE, SHA1).await;
    bridge.run_for(minutes(1)).await;
    assert_eq!(bridge.state(&id).await, "failed");
    device(bridge, "Succeeded");
    id
}

fn comments(bridge: &Bridge) -> Vec<String> {
    bridge.simulator.machine_actions().into_iter().map(|action| action.comment).collect()
}

#[tokio::test]
async fn what_has_failed_is_tried_again_as_a_new_action() {
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;

    let answer = retry(&bridge, &first).await;

    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let second = answer.body["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["location"], format!("/v1/actions/{second}"));
    assert_eq!((&answer.body["state"], &answer.body["retry_of"]), (&json!("accepted"), &json!(first)));
    bridge.run_for(minutes(4)).await;
    let (first_now, second_now) = (bridge.action(&first).await, bridge.action(&second).await);
    assert_eq!((&first_now["state"], &first_now["retried_by"]), (&json!("failed"), &json!(second)));
    assert_eq!((&second_now["state"], &second_now["retried_by"]), (&json!("succeeded"), &Value::Null));
    assert_eq!((&second_now["alert"], &second_now["target"]), (&first_now["alert"], &first_now["target"]));
    let comment = "Stop and quarantine file on machine due to alert a1";
    let retry_comment = format!("{comment} (retry of {first})");
    assert_eq!(comments(&bridge), [comment.to_owned(), retry_comment.clone()]);
    assert_eq!(second_now["comment"], retry_comment);
    let asked = json!({"by": "token:alice", "mode_max": null, "note": "the device was broken"});
    assert_eq!(second_now["requested"], asked);
    let begun = &second_now["history"][0];
    let why = format!("another try of action {first}");
    assert_eq!((&begun["who"], &begun["why"]), (&json!("token:alice"), &json!(why)));
    let db = Connection::open(bridge.database()).unwrap();
    let entry: String = db
        .query_row("SELECT entry FROM audit WHERE entry ->> '$.deed.act' = 'retry_action'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let entry: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!((&entry["who"], &entry["subject"]["action"]), (&json!("token:alice"), &json!(second)));
    assert_eq!(entry["deed"]["to"], format!("action {first}"));
    assert_eq!(
        (&entry["deed"]["reason"], &entry["deed"]["before"]),
        (&json!("the device was broken"), &json!("failed"))
    );
    // What the alert brings again is about its first action.
    let again = bridge.post("msg_a1_again", bridge.alert("a1", MACHINE, SHA1)).await;
    assert_eq!(again.status, 200, "{:?}", again.body);
}

#[tokio::test]
async fn an_action_is_tried_again_once_and_its_retry_in_its_turn() {
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;
    device(&bridge, "Failed");
    let second = retried(&bridge, &first).await;

    let at_once = retry(&bridge, &first).await;
    bridge.run_for(minutes(4)).await;
    let later = retry(&bridge, &first).await;

    assert_eq!((at_once.status, &at_once.body["id"]), (200, &json!(second)));
    assert_eq!((later.status, &later.body["state"]), (200, &json!("failed")));
    device(&bridge, "Succeeded");
    let third = retried(&bridge, &second).await;
    bridge.run_for(minutes(4)).await;
    assert_eq!(bridge.state(&third).await, "succeeded");
    assert!(comments(&bridge)[2].ends_with(&format!("(retry of {second})")));
}

/// Without an end, whoever may cancel and try again could make as many actions as they like.
#[tokio::test]
async fn what_comes_to_nothing_ten_times_is_not_tried_again() {
    let mut bridge = Bridge::with(Setup { mode: Mode::Approve, ..Setup::default() }).await;
    let carol = bridge.token_of("carol", &[Scope::ActionsCancel]);
    let said = json!({"reason": "not now"});
    let mut last = bridge.accept("a1", MACHINE, SHA1).await;
    for _ in 1..10 {
        bridge.post_as(&format!("/v1/actions/{last}/cancel"), &carol, &said).await;
        last = retried(&bridge, &last).await;
    }
    bridge.post_as(&format!("/v1/actions/{last}/cancel"), &carol, &said).await;

    let refused = retry(&bridge, &last).await;

    assert_eq!(refused.status, 409);
    assert!(detail(&refused).starts_with("It is try 10 already."), "{:?}", refused.body);
    bridge.drain().await;
}

#[tokio::test]
async fn what_has_come_to_nothing_is_tried_again_and_nothing_else_is() {
    let mut bridge = again_and_again().await;
    let expired: Value = serde_json::from_slice(&bridge.alert("expired", MACHINE, SHA1)).unwrap();
    bridge.clock.advance(SignedDuration::from_hours(3));
    let expired = bridge.post("msg_expired", expired.to_string()).await;
    let expired = expired.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    bridge.drain().await;
    play(&bridge, FaultKind::Status { status: 400 });
    let rejected = bridge.accept("rejected", MACHINE, SHA1).await;
    bridge.run_for(minutes(2)).await;
    let cancelled = bridge.accept("cancelled", MACHINE, SHA1).await;
    let cancel = bridge.new_token(&[Scope::ActionsCancel]);
    bridge.post_as(&format!("/v1/actions/{cancelled}/cancel"), &cancel, &json!({"reason": "r"})).await;
    device(&bridge, "TimeOut");
    let timed_out = bridge.accept("timed_out", MACHINE, SHA1).await;
    bridge.run_for(minutes(1)).await;
    device(&bridge, "Succeeded");
    for (id, state) in
        [(&expired, "expired"), (&rejected, "rejected"), (&cancelled, "cancelled"), (&timed_out, "timed_out")]
    {
        assert_eq!(bridge.state(id).await, state);
        let again = retried(&bridge, id).await;
        bridge.run_for(minutes(5)).await;
        let again = bridge.action(&again).await;
        // The first to succeed is enough for the others, whose alerts happened before.
        assert!(["succeeded", "superseded"].contains(&again["state"].as_str().unwrap()), "{state}: {again}");
    }
    let succeeded = bridge.accept("succeeded", MACHINE, SHA1).await;
    bridge.run_for(minutes(2)).await;
    let queued = bridge.accept("new", &format!("{:040x}", 4), SHA1).await;
    for id in [&succeeded, &queued] {
        let answer = retry(&bridge, id).await;
        assert_eq!(answer.status, 409, "{:?}", answer.body);
        assert!(detail(&answer).contains("tried again"), "{}", detail(&answer));
    }
    let nobody = retry(&bridge, "019d4418-5b00-7c2e-9a61-402d1b9e6f02").await;
    assert_eq!(nobody.status, 404);
    for said in [json!({}), json!({"reason": ""}), json!({"reason": "r", "mode": "enforce"})] {
        let token = bridge.new_token(&[Scope::ActionsRetry]);
        let path = format!("/v1/actions/{rejected}/retry");
        assert_eq!(bridge.post_as(&path, &token, &said).await.status, 400, "{said}");
    }
}

/// What policy has said stands.
#[tokio::test]
async fn what_was_denied_or_shadowed_is_not_tried_again() {
    for (mode, min_severity, state) in
        [(Mode::Enforce, Severity::Critical, "denied"), (Mode::Shadow, Severity::Low, "shadowed")]
    {
        let mut bridge = Bridge::with(Setup { mode, min_severity, ..Setup::default() }).await;
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        assert_eq!(bridge.state(&id).await, state);
        assert_eq!(retry(&bridge, &id).await.status, 409);
    }
}

#[tokio::test]
async fn what_may_still_act_is_not_tried_again() {
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;
    // Another alert's action for the same target is on its way.
    let other = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.drain().await;
    let busy = retry(&bridge, &first).await;
    assert_eq!(busy.status, 409);
    assert!(detail(&busy).contains(&other), "{}", detail(&busy));
    // Defender's list has lost a machine action that was open: what becomes of it is not known.
    let db = Connection::open(bridge.database()).unwrap();
    bridge.run_for(minutes(2)).await;
    db.execute("UPDATE actions SET machine_action_status = 'Pending' WHERE id = ?1", [&first]).unwrap();
    let open = retry(&bridge, &first).await;
    assert_eq!(open.status, 409);
    assert!(detail(&open).contains("may still act"), "{}", detail(&open));
    assert_eq!(bridge.simulator.machine_actions().len(), 2);
}

/// A call that was taken for lost has arrived after all, and its machine action is open.
#[tokio::test]
async fn what_arrives_late_of_the_one_before_is_seen_before_anything_is_sent() {
    let mut bridge = Bridge::start().await;
    play(&bridge, FaultKind::Status { status: 400 });
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(minutes(1)).await;
    assert_eq!(bridge.state(&first).await, "rejected");
    let second = retried(&bridge, &first).await;
    let comment = "Stop and quarantine file on machine due to alert a1";
    assert!(bridge.simulator.with(|state| state.quarantine_as(ANALYST, MACHINE, SHA1, comment)));

    bridge.run_for(minutes(4)).await;

    let second = bridge.action(&second).await;
    assert_eq!((&second["state"], &second["attempts"]), (&json!("superseded"), &json!([])));
    assert_eq!(comments(&bridge), [comment]);
}

#[tokio::test]
async fn a_lost_answer_of_the_retry_is_found_by_a_comment_of_its_own() {
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;
    let second = retried(&bridge, &first).await;
    play(&bridge, FaultKind::AnswerLost);

    bridge.run_for(minutes(6)).await;

    let (first, second) = (bridge.action(&first).await, bridge.action(&second).await);
    assert_eq!((&first["state"], &second["state"]), (&json!("failed"), &json!("succeeded")));
    assert_ne!(first["machine_action"]["id"], second["machine_action"]["id"]);
    assert_eq!((bridge.quarantines().len(), comments(&bridge).len()), (2, 2));
}

#[tokio::test]
async fn a_stop_between_any_two_steps_makes_no_second_machine_action() {
    for seconds in [0, 1, 30, 60, 90, 120] {
        let mut bridge = Bridge::start().await;
        let first = failed(&mut bridge, "a1").await;
        let second = retried(&bridge, &first).await;
        bridge.run_for(SignedDuration::from_secs(seconds)).await;
        bridge = bridge.restart().await;

        let again = retry(&bridge, &first).await;
        bridge.run_for(minutes(6)).await;

        assert_eq!((again.status, &again.body["id"]), (200, &json!(second)), "{seconds}");
        assert_eq!(bridge.state(&second).await, "succeeded", "{seconds}");
        assert_eq!(comments(&bridge).len(), 2, "{seconds}");
    }
}

/// A restore from a backup has lost the retry, but not what Defender has of it.
#[tokio::test]
async fn a_retry_that_was_lost_is_found_by_the_next_one() {
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup.db");
    back_up(&Options { path: bridge.database() }, &backup, bridge.clock.now()).unwrap();
    retried(&bridge, &first).await;
    bridge.run_for(minutes(4)).await;
    assert_eq!(comments(&bridge).len(), 2);

    let mut bridge = bridge.restore(&backup).await;
    let second = retried(&bridge, &first).await;
    bridge.run_for(minutes(6)).await;

    let second = bridge.action(&second).await;
    assert_eq!((&second["state"], &second["attempts"]), (&json!("succeeded"), &json!([])));
    assert_eq!(comments(&bridge).len(), 2);
}

#[tokio::test]
async fn policy_and_persons_are_asked_afresh_and_whoever_had_a_part_says_nothing() {
    let mut bridge = Bridge::with(Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }).await;
    device(&bridge, "Failed");
    let requester = bridge.token_of("playbook", &[Scope::ActionsWrite, Scope::ActionsApprove]);
    let asked = json!({"alert_id": "a1", "severity": "high", "occurred_at": bridge.clock.now().to_string(),
        "machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let first =
        bridge.post_as("/v1/actions", &requester, &asked).await.body["id"].as_str().unwrap().to_owned();
    bridge.run_for(minutes(1)).await;
    bridge.reconfigure(|config| {
        config.dispatch.policies.values_mut().for_each(|policy| policy.mode_max = Mode::Approve);
    });
    let alice = bridge.token_of("alice", &[Scope::ActionsRetry, Scope::ActionsApprove]);
    let second = retry_as(&bridge, &alice, &first).await.body["id"].as_str().unwrap().to_owned();
    bridge.drain().await;
    assert_eq!(bridge.state(&second).await, "held");
    device(&bridge, "Succeeded");
    let approve = async |token: &str| {
        let said = json!({"holds": ["mode"], "reason": "looked at it"});
        bridge.post_as(&format!("/v1/actions/{second}/approve"), token, &said).await.status
    };

    let (own, requesters) = (approve(&alice).await, approve(&requester).await);
    let others = approve(&bridge.token_of("bob", &[Scope::ActionsApprove])).await;

    assert_eq!((own, requesters, others), (403, 403, 200));
    bridge.run_for(minutes(5)).await;
    assert_eq!(bridge.state(&second).await, "succeeded");
}

/// What was asked for in mode approve, or is tried again with a token in mode shadow, goes no further.
#[tokio::test]
async fn a_retry_goes_no_further_than_the_one_before_and_the_token() {
    let mut bridge = Bridge::with(Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }).await;
    let asked = |alert_id: &str| {
        json!({"alert_id": alert_id, "severity": "high", "occurred_at": bridge.clock.now().to_string(),
            "machine": {"id": MACHINE}, "file": {"sha1": SHA1}})
    };
    let cancel = bridge.new_token(&[Scope::ActionsCancel]);
    let cancelled = async |alert_id: &str, token: &str| {
        let answer = bridge.post_as("/v1/actions", token, &asked(alert_id)).await;
        let id = answer.body["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/actions/{id}/cancel");
        assert_eq!(bridge.post_as(&path, &cancel, &json!({"reason": "r"})).await.status, 200);
        id
    };
    let held = cancelled("held", &bridge.requester("p", Some(Mode::Approve))).await;
    let free = cancelled("free", &bridge.requester("p", None)).await;
    let soc = bridge.accept("others", MACHINE, SHA1).await;
    let path = format!("/v1/actions/{soc}/cancel");
    assert_eq!(bridge.post_as(&path, &cancel, &json!({"reason": "r"})).await.status, 200);
    let bound = bridge.requester("rehearsal", Some(Mode::Shadow));
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("UPDATE tokens SET scopes = 'actions:write actions:retry' WHERE name = 'rehearsal'", [])
        .unwrap();

    let held = retried(&bridge, &held).await;
    let shadowed = retry_as(&bridge, &bound, &free).await;
    let others = retry_as(&bridge, &bound, &soc).await;

    assert_eq!((shadowed.status, others.status), (202, 404), "{:?}", shadowed.body);
    bridge.run_for(minutes(4)).await;
    assert_eq!(bridge.state(&held).await, "held");
    assert_eq!(bridge.state(shadowed.body["id"].as_str().unwrap()).await, "shadowed");
    assert_eq!(bridge.quarantines(), Vec::<Value>::new());
}

/// An alert that names one device in two ways makes two actions; the second stands back once the first was sent.
#[tokio::test]
async fn a_twin_of_the_same_alert_neither_stops_the_retry_nor_acts_beside_it() {
    let mut bridge = Bridge::start().await;
    device(&bridge, "Failed");
    let machine = |id: bool| MachineEntity {
        id: id.then(|| MACHINE.parse().unwrap()),
        dns_name: Some("ws1.corp.example".to_owned()),
        ..MachineEntity::default()
    };
    let pair = |id: bool, name: Option<&str>| EntityPair {
        machine: machine(id),
        file: FileEntity {
            sha1: Some(SHA1.parse().unwrap()),
            name: name.map(ToOwned::to_owned),
            ..FileEntity::default()
        },
        candidates: Vec::new(),
        found_at: FoundAt::default(),
    };
    bridge.simulator.with(|state| {
        state.world.machines[0].dns_name = "ws1.corp.example".to_owned();
    });
    let ids = bridge.accept_pairs("a1", vec![pair(true, None), pair(false, None)]).await;
    bridge.run_for(minutes(2)).await;
    let states = [bridge.state(&ids[0]).await, bridge.state(&ids[1]).await];
    assert!(states.contains(&"failed".to_owned()), "{states:?}");
    bridge.simulator.with(|state| state.world.machines[0].ends_as = "Succeeded".to_owned());
    let failed = if states[0] == "failed" { &ids[0] } else { &ids[1] };

    let again = retried(&bridge, failed).await;
    bridge.run_for(minutes(4)).await;

    assert_eq!(bridge.state(&again).await, "succeeded", "{states:?}");
    assert_eq!(comments(&bridge).len(), 2);
}

/// Nobody looks at the seal of what is over, and a bit that has flipped meanwhile must not name another device.
#[tokio::test]
async fn what_is_not_as_it_was_sealed_is_not_tried_again() {
    for flip in ["machine_id", "given_machine_id"] {
        let mut bridge = Bridge::start().await;
        let first = failed(&mut bridge, "a1").await;
        let db = Connection::open(bridge.database()).unwrap();
        let changed = db
            .execute(
                &format!("UPDATE actions SET {flip} = ?2 WHERE id = ?1"),
                params![first, format!("{:040x}", 5)],
            )
            .unwrap();
        assert_eq!(changed, 1);

        let answer = retry(&bridge, &first).await;

        assert_eq!(answer.status, 409, "{flip}");
        assert!(detail(&answer).contains("sealed"), "{}", detail(&answer));
    }
    // The new one's seal covers whose retry it is: its comment is made of that.
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;
    let second = retried(&bridge, &first).await;
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("UPDATE actions SET retry_of = NULL WHERE id = ?1", [&second]).unwrap();
    let cancel = bridge.new_token(&[Scope::ActionsCancel]);
    let path = format!("/v1/actions/{second}/cancel");
    assert_eq!(bridge.post_as(&path, &cancel, &json!({"reason": "r"})).await.status, 503);
}

#[tokio::test]
async fn the_age_of_the_alert_counts_from_the_retry() {
    let mut bridge = again_and_again().await;
    let first = failed(&mut bridge, "a1").await;
    bridge.clock.advance(SignedDuration::from_hours(5));
    let second = retried(&bridge, &first).await;
    bridge.run_for(minutes(4)).await;
    assert_eq!(bridge.state(&second).await, "succeeded");
    // While the kill switch is on it waits, and grows old as any other.
    device(&bridge, "Failed");
    let third = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.run_for(minutes(1)).await;
    let fourth = retried(&bridge, &third).await;
    let on = bridge.new_token(&[Scope::KillSwitchOn]);
    bridge.post_as("/v1/kill-switch/on", &on, &json!({"reason": "r"})).await;
    bridge.run_for(minutes(70)).await;
    assert_eq!(bridge.state(&fourth).await, "expired");
}

#[tokio::test]
async fn the_command_asks_the_api() {
    let mut bridge = Bridge::start().await;
    let first = failed(&mut bridge, "a1").await;
    let file = bridge.folder.path().join("token");
    fs::write(&file, bridge.token_of("alice", &[Scope::ActionsRetry])).unwrap();
    set_mode(&file, 0o600);
    let url = bridge.url("");
    let run = async |id: &str| {
        let file = file.to_str().unwrap();
        let reason = ["--reason", "the device was broken", "--token-file", file, "--url", &url];
        let mut command = command(&[&["retry", id][..], &reason].concat());
        spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };

    let done = run(&first).await;
    let again = run(&first).await;

    assert!(done.status.success(), "{done:?}");
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told["retry_of"], first);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("tried again before"));
    let unfinished = run(told["id"].as_str().unwrap()).await;
    assert_eq!(unfinished.status.code(), Some(1));
}
