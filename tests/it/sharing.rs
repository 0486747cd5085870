//! Alerts about the same device and file share one machine action.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quarantine_bridge::policy::{Guard, Guards};
use quarantine_bridge::simulator::{Fault, FaultKind, Machine, Place};
use serde_json::{Value, json};

use crate::harness::{Bridge, MACHINE, SHA1, Setup};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn device(id: &str, ends_as: &str) -> Machine {
    Machine {
        id: id.to_owned(),
        files: vec![SHA1.to_owned()],
        ends_as: ends_as.to_owned(),
        ..Machine::default()
    }
}

#[tokio::test]
async fn two_alerts_about_the_same_target_share_one_machine_action_and_both_show_it() {
    let mut bridge = Bridge::start().await;
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(5)).await;
    let second = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.drain().await;

    let left = bridge.metric("quarantine_bridge_budget_left{window=\"minute\"}");
    assert_eq!(left, Some(99.0), "one call in all");
    assert_eq!(bridge.state(&second).await, "submitted");
    bridge.run_for(seconds(40)).await;

    let (one, two) = (bridge.action(&first).await, bridge.action(&second).await);
    assert_eq!((&one["state"], &two["state"]), (&json!("succeeded"), &json!("succeeded")));
    assert_eq!(one["machine_action"]["id"], two["machine_action"]["id"]);
    assert_eq!((&one["shared_with"], &two["shared_with"]), (&json!([second]), &json!([first])));
    assert_eq!(two["attempts"], json!([]));
    let shared = &two["history"][4];
    assert_eq!((&shared["from"], &shared["to"]), (&json!("queued"), &json!("submitted")));
    let why = shared["why"].as_str().unwrap();
    assert!(why.contains(&first) && why.contains("a1"), "{why}");
    assert!(why.contains(one["machine_action"]["id"].as_str().unwrap()), "{why}");
    assert_eq!(bridge.quarantines().len(), 1);
    assert_eq!(bridge.metric("quarantine_bridge_shared_total"), Some(1.0));
}

#[tokio::test]
async fn an_alert_from_before_a_finished_quarantine_shares_it_within_the_window() {
    for (minutes, calls) in [(9, 1), (11, 2)] {
        let mut bridge = Bridge::start().await;
        let late = bridge.alert("late", MACHINE, SHA1);
        bridge.accept("a1", MACHINE, SHA1).await;
        bridge.run_for(seconds(40)).await;
        bridge.run_for(SignedDuration::from_mins(minutes)).await;
        assert_eq!(bridge.post("msg_late", late).await.status, 202);

        bridge.run_for(seconds(60)).await;

        assert_eq!(bridge.quarantines().len(), calls, "after {minutes} min");
        let page = bridge.get("/v1/actions?state=succeeded").await;
        assert_eq!(page.body["actions"].as_array().unwrap().len(), 2);
    }
}

/// What is seen again is otherwise held.
fn without_cool_down(guards: &mut Guards) {
    guards.set(Guard::CoolDown, None);
}

#[tokio::test]
async fn a_file_that_is_seen_again_after_a_quarantine_is_quarantined_again() {
    let mut bridge = Bridge::with(Setup { guards: without_cool_down, ..Setup::default() }).await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(40)).await;
    let again = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.run_for(seconds(40)).await;

    let again = bridge.action(&again).await;
    assert_eq!((&again["state"], &again["shared_with"]), (&json!("succeeded"), &json!([])));
    assert_eq!(bridge.simulator.machine_actions().len(), 2);
}

#[tokio::test]
async fn a_machine_action_that_failed_is_not_shared_and_one_that_fails_ends_both() {
    for ends_as in ["Failed", "TimeOut", "Cancelled"] {
        let mut bridge = Bridge::start().await;
        bridge.simulator.with(|state| state.world.machines = vec![device(MACHINE, ends_as)]);
        let late = bridge.alert("late", MACHINE, SHA1);
        let first = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.run_for(seconds(5)).await;
        let second = bridge.accept("a2", MACHINE, SHA1).await;
        bridge.run_for(seconds(40)).await;
        let end = bridge.state(&first).await;
        assert_eq!(bridge.state(&second).await, end, "{ends_as}");
        assert_eq!(bridge.quarantines().len(), 1);

        assert_eq!(bridge.post("msg_late", late).await.status, 202);
        bridge.run_for(seconds(40)).await;
        assert_eq!(bridge.quarantines().len(), 2, "{ends_as}: it sends its own");
    }
}

#[tokio::test]
async fn an_alert_on_the_target_of_an_uncertain_one_waits_and_then_shares() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.list_lag_ms = 30_000);
    bridge.simulator.play(Fault { place: Place::Quarantine, kind: FaultKind::AnswerLost, times: Some(1) });
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    let second = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.run_for(seconds(20)).await;
    assert_eq!(bridge.action(&second).await["blocked_by"], json!(first));

    bridge.run_for(seconds(60)).await;

    let (one, two) = (bridge.action(&first).await, bridge.action(&second).await);
    assert_eq!((&one["state"], &two["state"]), (&json!("succeeded"), &json!("succeeded")));
    assert_eq!(one["machine_action"]["id"], two["machine_action"]["id"]);
    assert_eq!(bridge.quarantines().len(), 1);
}

/// One step of an interleaving.
#[derive(Debug, Clone)]
enum Step {
    /// An alert about one of two devices, with an id that may come again from nowhere else.
    Alert(usize),
    /// Time passes.
    Wait(i64),
    /// The next call meets this.
    Fault(FaultKind),
    /// The service starts again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_usize..2).prop_map(Step::Alert),
        4 => (1_i64..90).prop_map(Step::Wait),
        2 => prop::sample::select(vec![
            FaultKind::AnswerLost,
            FaultKind::RequestLost,
            FaultKind::Garbage,
            FaultKind::Unauthorized,
            FaultKind::FileNotFound,
            FaultKind::Forbidden2023,
        ])
        .prop_map(Step::Fault),
        1 => Just(Step::Restart),
    ]
}

#[test]
fn however_alerts_and_faults_interleave_there_is_at_most_one_machine_action_an_alert_and_the_shared_ones_agree()
 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let interleavings = (prop::collection::vec(step(), 1..14), 0_u32..50_000);
    runner.run(&interleavings, |(steps, lag)| runtime.block_on(interleave(steps, lag))).unwrap();
}

async fn interleave(steps: Vec<Step>, lag: u32) -> Result<(), TestCaseError> {
    let machines = [MACHINE.to_owned(), "5".repeat(40)];
    let mut bridge = Bridge::with(Setup { guards: without_cool_down, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.switches.list_lag_ms = lag);
    let mut alerts = 0;
    for step in steps {
        match step {
            Step::Alert(machine) => {
                alerts += 1;
                bridge.accept(&format!("a{alerts}"), &machines[machine], SHA1).await;
            }
            Step::Wait(time) => bridge.run_for(seconds(time)).await,
            Step::Fault(kind) => {
                bridge.simulator.play(Fault { place: Place::Quarantine, kind, times: Some(1) });
            }
            Step::Restart => bridge = bridge.restart().await,
        }
    }
    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(SignedDuration::from_mins(20)).await;

    let page = bridge.get("/v1/actions?limit=200").await;
    let actions = page.body["actions"].as_array().unwrap();
    let made = bridge.simulator.machine_actions();
    prop_assert!(made.len() <= alerts, "{} machine actions for {alerts} alerts", made.len());
    let comments: HashSet<_> = made.iter().map(|it| (&it.machine_id, &it.sha1, &it.comment)).collect();
    prop_assert_eq!(comments.len(), made.len(), "one alert has two");
    let ids: HashMap<&str, &Value> = actions.iter().map(|it| (it["id"].as_str().unwrap(), it)).collect();
    for action in actions {
        prop_assert!(action["final"] == true, "{action}");
        for twin in action["shared_with"].as_array().unwrap() {
            let twin = ids[twin.as_str().unwrap()];
            prop_assert_eq!(&twin["machine_action"]["id"], &action["machine_action"]["id"]);
            prop_assert_eq!(&twin["state"], &action["state"]);
        }
    }
    Ok(())
}
