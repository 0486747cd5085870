//! What is done about calls whose outcome is not known, and what others have done already.

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::simulator::{Fault, FaultKind, Machine, Place};
use serde_json::{Value, json};

use crate::harness::{Bridge, MACHINE, SHA1, Setup, without_facts};

const ANALYST: &str = "Analyst@contoso.com";

fn fault(place: Place, kind: FaultKind, times: u32) -> Fault {
    Fault { place, kind, times: Some(times) }
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Lets somebody else quarantine the file by hand; returns the machine action's id.
fn by_hand(bridge: &Bridge) -> String {
    assert!(bridge.simulator.with(|state| state.quarantine_as(ANALYST, MACHINE, SHA1, "by hand")));
    bridge.simulator.machine_actions().pop().unwrap().id
}

/// The device with its file, whose machine actions end so.
fn device(ends_as: &str) -> Machine {
    Machine {
        id: MACHINE.to_owned(),
        files: vec![SHA1.to_owned()],
        ends_as: ends_as.to_owned(),
        ..Machine::default()
    }
}

fn states(action: &Value) -> Vec<&str> {
    action["history"].as_array().unwrap().iter().map(|change| change["to"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn somebody_elses_open_machine_action_supersedes_ours_at_once_and_is_named() {
    let mut bridge = Bridge::start().await;
    let theirs = by_hand(&bridge);
    let ours = bridge.accept("ours", MACHINE, SHA1).await;

    bridge.run_for(seconds(5)).await;

    let ours = bridge.action(&ours).await;
    assert_eq!(states(&ours)[4..], ["sending", "uncertain", "superseded"]);
    let named = json!({"machine_action_id": theirs, "requestor": ANALYST, "status": "InProgress"});
    assert_eq!(ours["superseded_by"]["machine_action_id"], named["machine_action_id"]);
    assert_eq!(ours["superseded_by"]["requestor"], named["requestor"]);
    let why = ours["history"].as_array().unwrap().last().unwrap()["why"].as_str().unwrap();
    assert!(why.contains(&theirs) && why.contains(ANALYST), "{why}");
    assert_eq!(ours["machine_action"], Value::Null);
    assert_eq!(bridge.simulator.machine_actions().len(), 1);
}

#[tokio::test]
async fn superseded_is_an_end_whatever_becomes_of_the_other_machine_action() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.world.machines = vec![device("Failed")]);
    by_hand(&bridge);
    let ours = bridge.accept("ours", MACHINE, SHA1).await;
    bridge.run_for(seconds(120)).await;
    assert_eq!(bridge.state(&ours).await, "superseded");

    // A newer alert makes an action of its own.
    let newer = bridge.accept("newer", MACHINE, SHA1).await;
    bridge.run_for(seconds(60)).await;
    assert_eq!(bridge.state(&newer).await, "failed");
    assert_eq!(bridge.simulator.machine_actions().len(), 2);
}

#[tokio::test]
async fn somebody_elses_quarantine_from_before_the_alert_does_not_count() {
    let mut bridge = Bridge::start().await;
    by_hand(&bridge);
    bridge.run_for(seconds(60)).await;
    // The file was seen again, and our first request is lost.
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    let ours = bridge.accept("ours", MACHINE, SHA1).await;

    bridge.run_for(seconds(180)).await;

    assert_eq!(bridge.state(&ours).await, "succeeded");
    assert_eq!(bridge.simulator.machine_actions().len(), 2);
}

#[tokio::test]
async fn somebody_elses_quarantine_after_the_alert_counts_when_ours_was_lost() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    let ours = bridge.accept("ours", MACHINE, SHA1).await;
    bridge.drain().await;
    let theirs = by_hand(&bridge);

    bridge.run_for(seconds(50)).await;
    assert_eq!(bridge.state(&ours).await, "uncertain", "ours may still be listed");
    bridge.run_for(seconds(60)).await;

    let ours = bridge.action(&ours).await;
    assert_eq!(
        (&ours["state"], &ours["superseded_by"]["machine_action_id"]),
        (&json!("superseded"), &json!(theirs))
    );
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_does_not_make_somebody_elses_quarantine_count_sooner() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    let ours = bridge.accept("ours", MACHINE, SHA1).await;
    bridge.drain().await;
    let theirs = by_hand(&bridge);
    bridge.run_for(seconds(10)).await;

    bridge.clock.set_by(SignedDuration::from_hours(24));
    bridge.run_for(seconds(40)).await;
    assert_eq!(bridge.state(&ours).await, "uncertain", "ours may still be listed");
    bridge.run_for(seconds(60)).await;

    let ours = bridge.action(&ours).await;
    assert_eq!(
        (&ours["state"], &ours["superseded_by"]["machine_action_id"]),
        (&json!("superseded"), &json!(theirs))
    );
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn after_a_start_nothing_is_sent_before_the_list_was_read_for_what_is_unsettled() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::AnswerLost, 30));
    bridge.simulator.play(Fault {
        place: Place::MachineActions,
        kind: FaultKind::Status { status: 500 },
        times: None,
    });
    let mut unsettled = Vec::new();
    for n in 0..30 {
        unsettled.push(bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await);
        bridge.drain().await;
        bridge.clock.advance(seconds(61));
    }
    bridge.drain().await;
    bridge.simulator.with(|state| state.faults.clear());
    bridge.simulator.play(Fault {
        place: Place::MachineActions,
        kind: FaultKind::Status { status: 500 },
        times: None,
    });

    let mut bridge = bridge.restart().await;
    let before = bridge.quarantines().len();
    // Another device: only the order after a start keeps it back.
    let other = bridge.accept("other", &"7".repeat(40), SHA1).await;
    bridge.run_for(seconds(200)).await;
    assert_eq!(bridge.get_openly("/readyz").await.status, 200, "alerts are accepted all the same");
    assert_eq!(bridge.state(&other).await, "queued");
    assert_eq!(bridge.quarantines().len(), before);
    assert_eq!(bridge.metric("quarantine_bridge_sending_paused"), Some(1.0));
    assert_eq!(bridge.get("/v1/budget").await.body["waits_for_first_look"], true);

    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(seconds(60)).await;
    bridge.run_for(seconds(60)).await;
    assert_eq!(bridge.state(&other).await, "succeeded");
    let calls = bridge.simulator.calls();
    let first_call = calls.iter().rposition(|call| call.path.contains(&"7".repeat(40))).unwrap();
    let reads = calls[..first_call].iter().rev().take_while(|call| call.status != 500);
    let reads = reads.filter(|call| call.path.starts_with("/api/machineactions")).count();
    assert!(reads >= 2, "20 at a time: {reads} reads before the first call");
}

#[tokio::test]
async fn an_action_that_stays_uncertain_is_shown_and_its_device_waits_visibly() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::AnswerLost, 1));
    bridge.simulator.play(Fault { place: Place::MachineActions, kind: FaultKind::Garbage, times: None });
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    let second = bridge.accept("a2", MACHINE, &"45".repeat(20)).await;

    bridge.run_for(SignedDuration::from_mins(10)).await;
    assert_eq!(bridge.action(&first).await["unread"]["overdue"], false);
    bridge.run_for(SignedDuration::from_mins(6)).await;

    let action = bridge.action(&first).await;
    assert_eq!(action["state"], "uncertain");
    assert_eq!(action["unread"]["overdue"], true);
    assert_eq!(action["unread"]["empty_reads"], 0);
    assert!(action["waiting_for"].as_str().unwrap().contains("a person must make it readable"));
    let blocked = bridge.action(&second).await;
    assert_eq!((&blocked["state"], &blocked["blocked_by"]), (&json!("queued"), &json!(first)));
    assert!(blocked["waiting_for"].as_str().unwrap().contains("same device"));
    assert_eq!(bridge.get("/metrics").await.status, 200);
    assert_eq!(bridge.metric("quarantine_bridge_uncertain_oldest_seconds"), Some(960.0));
    assert_eq!(bridge.quarantines().len(), 1);

    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(seconds(180)).await;
    let action = bridge.action(&first).await;
    assert_eq!((&action["state"], &action["unread"]), (&json!("succeeded"), &Value::Null));
    assert_eq!(bridge.state(&second).await, "succeeded");
    bridge.get("/metrics").await;
    assert_eq!(bridge.metric("quarantine_bridge_uncertain_oldest_seconds"), Some(0.0));
}

#[tokio::test]
async fn policy_is_asked_again_before_a_second_call() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.reconfigure(|config| {
        config.dispatch.policies.values_mut().for_each(|policy| policy.source_mode = Mode::Shadow);
    });

    bridge.run_for(seconds(120)).await;

    let action = bridge.action(&id).await;
    assert_eq!(states(&action)[4..], ["sending", "uncertain", "queued", "shadowed"]);
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn a_file_that_defender_does_not_know_yet_is_asked_for_again_over_some_minutes() {
    for kind in [FaultKind::FileNotFound, FaultKind::MachineNotFound] {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(fault(Place::Quarantine, kind.clone(), 3));
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(205)).await;
        assert_eq!(bridge.state(&id).await, "queued", "{kind:?}");
        bridge.run_for(seconds(40)).await;

        let action = bridge.action(&id).await;
        assert_eq!(action["state"], "succeeded", "{kind:?}");
        let attempts = action["attempts"].as_array().unwrap();
        let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["not_found", "not_found", "not_found", "accepted"], "{kind:?}");
        assert_eq!(bridge.metric("quarantine_bridge_sending_paused"), Some(0.0));
    }
}

#[tokio::test]
async fn a_file_that_never_comes_to_be_known_is_rejected_after_five_calls() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::FileNotFound, 1_000));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(600)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "rejected");
    assert_eq!(action["attempts"].as_array().unwrap().len(), 5);
    assert_eq!(bridge.quarantines().len(), 5);
    let last = &action["history"].as_array().unwrap()[13];
    assert!(last["why"].as_str().unwrap().contains("was not found in machine"), "{last}");
    let (sent, ended) = (bridge.simulator.calls(), action["changed_at"].as_str().unwrap());
    let first = sent.iter().find(|call| call.path.ends_with("File")).unwrap();
    let first: jiff::Timestamp = first.at.parse().unwrap();
    let ended: jiff::Timestamp = ended.parse().unwrap();
    assert_eq!(ended.duration_since(first).as_secs(), 30 + 60 + 120 + 180);
}

#[tokio::test]
async fn a_file_that_is_not_known_is_not_asked_for_when_the_alert_is_too_old_by_then() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::FileNotFound, 1_000));
    let alert = bridge.alert("a1", MACHINE, SHA1);
    bridge.clock.advance(SignedDuration::from_mins(58));
    let answer = bridge.post("msg_a1", alert).await;
    let id = answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();

    bridge.run_for(seconds(300)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "rejected");
    assert_eq!(action["attempts"].as_array().unwrap().len(), 3, "at once, after 30 s, after 90 s");
}

#[tokio::test]
async fn a_machine_action_that_is_not_listed_yet_is_no_end() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.list_lag_ms = 60_000);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(50)).await;
    assert_eq!(bridge.state(&id).await, "submitted");
    bridge.run_for(seconds(20)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
}

#[tokio::test]
async fn an_action_during_whose_calls_the_service_ends_again_and_again_lets_others_go_first() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 3));
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    for calls in 1..=3 {
        while bridge.quarantines().len() < calls {
            bridge.run_for(seconds(5)).await;
        }
        // What the disk holds if the service ends before the answer.
        let db = rusqlite::Connection::open(bridge.database()).unwrap();
        db.execute("UPDATE actions SET state = 'sending'", []).unwrap();
        db.execute(
            "DELETE FROM history WHERE to_state = 'uncertain' AND n = (SELECT max(n) FROM history)",
            [],
        )
        .unwrap();
        db.execute("UPDATE attempts SET ended_at = NULL, outcome = NULL", []).unwrap();
        drop(db);
        bridge = bridge.restart().await;
    }

    while bridge.state(&id).await == "uncertain" {
        bridge.run_for(seconds(5)).await;
    }
    let queued = bridge.action(&id).await;
    assert_eq!((&queued["state"], bridge.quarantines().len()), (&json!("queued"), 3), "it waits 4 s");
    bridge.run_for(seconds(40)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
}

/// Both the waits on disk and those of the breaker and the looks go by the time of day.
#[tokio::test]
async fn a_clock_that_is_set_back_by_four_minutes_holds_nothing_up_for_four_minutes() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    // As many as open the breaker; none of them arrives.
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 3));
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await);
    }
    bridge.drain().await;

    bridge.clock.set_by(SignedDuration::from_mins(-4));
    bridge.run_for(seconds(55)).await;
    assert_eq!(bridge.quarantines().len(), 6, "what was lost waits for the settle time by the steady clock");
    bridge.run_for(seconds(95)).await;

    // The others were taken before, by a Defender whose clock was set back too.
    for id in &ids[..3] {
        let action = bridge.action(id).await;
        assert_eq!(action["state"], "succeeded", "{action}");
    }
    assert_eq!((bridge.quarantines().len(), bridge.simulator.machine_actions().len()), (9, 6));
}

/// As above, while the service is down: only what was written by the last run tells.
#[tokio::test]
async fn a_clock_that_is_set_back_between_two_runs_is_told_and_no_look_waits_for_it() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "submitted");
    let behind = |bridge: &Bridge| bridge.metric("quarantine_bridge_clock_set_back_seconds").unwrap();
    assert!(behind(&bridge) < 1.0);

    bridge.clock.set_by(SignedDuration::from_mins(-30));
    let bridge = bridge.restart().await;

    assert!((1_790.0..1_801.0).contains(&behind(&bridge)), "{}", behind(&bridge));
    let db = rusqlite::Connection::open(bridge.database()).unwrap();
    let next_at: i64 = db.query_row("SELECT next_at FROM actions", [], |row| row.get(0)).unwrap();
    assert!(next_at <= bridge.clock.now().as_millisecond(), "the next look is due");
}
