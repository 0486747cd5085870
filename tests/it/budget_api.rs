//! Budget and queue as the running service has them: order, reserve, restarts, clock steps, estimates, and what it shows.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{Alert, EntityPair, FileEntity, FoundAt, MachineEntity, Severity, after};
use quarantine_bridge::dispatch::resolve::Rules;
use serde_json::{Value, json};

use crate::harness::{Bridge, SHA1, Setup, all_off, without_facts};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn pair(machine: usize, sha1: usize) -> EntityPair {
    let id = Some(format!("{machine:040x}").parse().unwrap());
    let sha1 = Some(format!("f{sha1:039x}").parse().unwrap());
    EntityPair {
        machine: MachineEntity { id, ..MachineEntity::default() },
        file: FileEntity { sha1, ..FileEntity::default() },
        candidates: Vec::new(),
        found_at: FoundAt::default(),
    }
}

fn alert(bridge: &Bridge, id: &str, severity: Severity, targets: Vec<EntityPair>) -> Alert {
    Alert {
        alert_id: id.parse().unwrap(),
        severity: Some(severity),
        title: "test".to_owned(),
        occurred_at: Some(bridge.clock.now()),
        url: None,
        targets,
    }
}

/// One part of the API in an answer of `GET /v1/budget`.
fn api<'a>(budget: &'a Value, name: &str) -> &'a Value {
    budget["apis"].as_array().unwrap().iter().find(|api| api["api"] == name).unwrap()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_critical_alert_behind_5000_low_ones_is_sent_at_once() {
    let mut bridge = Bridge::with(Setup { guards: all_off, ..Setup::default() }).await;
    let low = alert(&bridge, "low", Severity::Low, (1..=5_000).map(|n| pair(n, 1)).collect());
    bridge.accept_alert(low).await;
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 80, "what is above the reserve of a minute");

    let critical = alert(&bridge, "critical", Severity::Critical, vec![pair(9_999, 1)]);
    let ids = bridge.accept_alert(critical).await;
    let accepted_at = bridge.clock.now();
    bridge.drain().await;

    let action = bridge.action(&ids[0]).await;
    assert_eq!(action["state"], "submitted");
    let left = time(&action["attempts"][0]["intent_at"]);
    assert!(left.duration_since(accepted_at) <= seconds(1));
    let budget = bridge.get("/v1/budget").await.body;
    let minute = &api(&budget, "quarantine")["windows"][0];
    assert_eq!(*minute, json!({"window": "minute", "limit": 100, "used": 81, "left": 19, "reserve": 20}));
    let low = budget["queue"].as_array().unwrap().iter().find(|lane| lane["severity"] == "low").unwrap();
    assert_eq!(low["queued"], 4_920);
    assert_eq!(bridge.metric("quarantine_bridge_queue{severity=\"low\"}"), Some(4_920.0));
    let reserve = "quarantine_bridge_budget_reserve{api=\"quarantine\",window=\"hour\"}";
    assert_eq!(bridge.metric(reserve), Some(300.0));
}

#[tokio::test]
async fn while_critical_alerts_keep_coming_the_oldest_low_one_is_the_tenth() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 20, guards: all_off, ..Setup::default() }).await;
    let low = alert(&bridge, "low", Severity::Low, vec![pair(1, 1)]);
    bridge.accept_alert(low).await;
    bridge.clock.advance(seconds(1));
    let critical = alert(&bridge, "critical", Severity::Critical, (2..30).map(|n| pair(n, 1)).collect());
    bridge.accept_alert(critical).await;

    bridge.drain().await;

    let calls = bridge.quarantines();
    assert_eq!(calls.len(), 20);
    let low = calls.iter().position(|call| call["body"]["Comment"].as_str().unwrap().ends_with("low"));
    assert!(low.is_some_and(|place| place < 10));
}

#[tokio::test]
async fn a_clock_that_is_set_frees_no_window_not_even_over_a_restart() {
    for step in [seconds(600), seconds(-200)] {
        let mut bridge = Bridge::with(Setup { calls_per_minute: 5, ..Setup::default() }).await;
        for n in 0..8 {
            bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
        }
        bridge.drain().await;
        bridge.clock.set_by(step);
        bridge.drain().await;
        assert_eq!(bridge.quarantines().len(), 5, "set by {step}");

        let mut bridge = bridge.restart().await;
        bridge.clock.advance(seconds(61));
        bridge.drain().await;
        assert_eq!(bridge.quarantines().len(), 5, "set by {step} and started again");

        // What was decided by a later time waits until then.
        bridge.clock.set_by(SignedDuration::ZERO - step);
        bridge.clock.advance(seconds(1));
        bridge.drain().await;
        assert_eq!(bridge.quarantines().len(), 8, "set by {step}");
        bridge.run_for(seconds(60)).await;
    }
}

#[tokio::test]
async fn look_ups_and_reads_of_the_list_have_budgets_that_survive_a_restart() {
    let setup =
        Setup { lookups_per_minute: 3, rules: Rules::default(), guards: without_facts, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    for n in 0..5 {
        let mut pair = pair(n, 1);
        pair.machine =
            MachineEntity { dns_name: Some(format!("ws{n}.corp.example")), ..MachineEntity::default() };
        let alert = alert(&bridge, &format!("a{n}"), Severity::High, vec![pair]);
        bridge.accept_alert(alert).await;
    }
    bridge.accept("sent", &"7".repeat(40), SHA1).await;
    bridge.drain().await;
    bridge.clock.advance(seconds(6));
    bridge.drain().await;
    let asked = |bridge: &Bridge| {
        bridge.simulator.calls().iter().filter(|call| call.path.starts_with("/api/machines?")).count()
    };
    let before = asked(&bridge);
    assert_eq!(before, 3);

    let mut bridge = bridge.restart().await;
    bridge.drain().await;
    assert_eq!(asked(&bridge), 3, "the look-ups of before count");
    let budget = bridge.get("/v1/budget").await.body;
    assert_eq!(api(&budget, "machines")["windows"][0]["left"], 0);
    assert_eq!(api(&budget, "machine_actions")["windows"][1]["used"], 1);
    assert_eq!(api(&budget, "files")["windows"][1]["used"], 0);

    bridge.clock.advance(seconds(62));
    bridge.drain().await;
    assert!(asked(&bridge) > 3);
}

#[tokio::test]
async fn the_estimate_of_an_answer_is_when_the_action_goes_out() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 5, ..Setup::default() }).await;
    let start = bridge.clock.now();
    let mut actions = Vec::new();
    for n in 0..12 {
        let body = bridge.alert(&format!("a{n}"), &format!("{n:040x}"), SHA1);
        let answer = bridge.post(&format!("msg_{n}"), body).await;
        let action = &answer.body["alerts"][0]["actions"][0];
        actions.push((action["id"].as_str().unwrap().to_owned(), time(&action["estimated_send_at"])));
    }
    let estimated: Vec<_> = actions.iter().map(|(_, at)| at.duration_since(start).as_secs()).collect();
    assert_eq!(estimated, [0, 0, 0, 0, 0, 62, 62, 62, 62, 62, 124, 124]);

    bridge.drain().await;
    let last = bridge.action(&actions[11].0).await;
    assert_eq!((&last["state"], time(&last["estimated_send_at"])), (&json!("queued"), actions[11].1));
    let sent = bridge.action(&actions[0].0).await;
    assert_eq!(sent["estimated_send_at"], Value::Null);

    let mut left = Vec::new();
    for _ in 0..2 {
        bridge.clock.advance(seconds(62));
        bridge.drain().await;
    }
    for (id, at) in &actions {
        let action = bridge.action(id).await;
        left.push((time(&action["attempts"][0]["intent_at"]), *at));
    }
    assert!(left.iter().all(|(left, estimated)| left == estimated), "{left:?}");
}

#[tokio::test]
async fn what_nobody_will_send_has_no_estimate() {
    let bridge = Bridge::with(Setup { min_severity: Severity::Critical, ..Setup::default() }).await;
    let answer = bridge.post("msg_1", bridge.alert("a1", &"1".repeat(40), SHA1)).await;
    assert_eq!(answer.body["alerts"][0]["actions"][0]["estimated_send_at"], Value::Null, "below the floor");
    let mode = quarantine_bridge::alert::Mode::Shadow;
    let bridge = Bridge::with(Setup { mode, ..Setup::default() }).await;
    let answer = bridge.post("msg_1", bridge.alert("a1", &"1".repeat(40), SHA1)).await;
    assert_eq!(answer.body["alerts"][0]["actions"][0]["estimated_send_at"], Value::Null, "only recorded");
}

#[tokio::test]
async fn the_budget_tells_until_when_defender_wants_to_be_left_alone() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.switches.per_minute = 1);
    for n in 0..2 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }
    bridge.drain().await;
    let budget = bridge.get("/v1/budget").await.body;
    let until = time(&api(&budget, "quarantine")["blocked_until"]);
    assert!(until > bridge.clock.now());
    let high = budget["queue"].as_array().unwrap().iter().find(|lane| lane["severity"] == "high").unwrap();
    assert_eq!(time(&high["estimated_send_at"]), until);
    bridge.simulator.with(|state| state.switches.per_minute = 1_000_000);
    bridge.run_for(seconds(180)).await;
}

/// The store gives the beginnings of the queue, of each machine one action a list, and passes over busy machines.
#[tokio::test]
async fn a_flood_for_one_machine_does_not_hide_the_others() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 1, guards: all_off, ..Setup::default() }).await;
    let flood = alert(&bridge, "flood", Severity::Critical, (1..=2_000).map(|n| pair(1, n)).collect());
    bridge.accept_alert(flood).await;
    bridge.clock.advance(seconds(1));
    for (n, severity) in [(2, Severity::Low), (3, Severity::High), (4, Severity::Medium)] {
        let alert = alert(&bridge, severity.as_str(), severity, vec![pair(n, 1)]);
        bridge.accept_alert(alert).await;
    }
    bridge.drain().await;
    let now = after(bridge.clock.now(), seconds(1));
    let sendable = bridge.store().sendable(now, 5, HashSet::new()).await.unwrap();
    let machines = |actions: &[quarantine_bridge::alert::Action]| -> Vec<_> {
        actions.iter().map(|action| action.target.unwrap().machine_id.to_string()).collect()
    };
    let machine = |n: usize| format!("{n:040x}");
    assert_eq!(machines(&sendable.urgent), [machine(1), machine(3)]);
    assert_eq!(machines(&sendable.others), [machine(4), machine(2)]);
    assert_eq!(machines(&sendable.longest), [machine(1), machine(2), machine(3), machine(4)]);
    let busy = HashSet::from([machine(1).parse().unwrap()]);
    let sendable = bridge.store().sendable(now, 5, busy).await.unwrap();
    assert_eq!(machines(&sendable.longest), [machine(2), machine(3), machine(4)]);
}
