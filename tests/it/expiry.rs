//! An action older than its source's limit is never sent, whatever kept it waiting.

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::after;
use quarantine_bridge::simulator::{Fault, FaultKind, Place};
use serde_json::Value;

use crate::harness::{Bridge, MACHINE, SHA1, Setup, without_facts};

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn last(action: &Value) -> &Value {
    action["history"].as_array().unwrap().last().unwrap()
}

/// Holds that the action has expired with a reason, and was never sent.
async fn expired_unsent(bridge: &Bridge, id: &str) {
    let action = bridge.action(id).await;
    assert_eq!(action["state"], "expired", "{action}");
    assert!(!last(&action)["why"].as_str().unwrap().is_empty());
    assert_eq!(last(&action)["who"], "bridge");
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn what_waited_while_the_service_was_down_for_two_hours_expires() {
    // Accepted only, or decided and waiting for the budget.
    for decided in [false, true] {
        let mut bridge =
            Bridge::with(Setup { calls_per_minute: 1, guards: without_facts, ..Setup::default() }).await;
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        if decided {
            bridge.simulator.play(Fault {
                place: Place::Token,
                kind: FaultKind::InvalidClient,
                times: Some(1),
            });
            bridge.drain().await;
            assert_eq!(bridge.state(&id).await, "queued");
        }

        bridge.clock.advance(minutes(120));
        bridge = bridge.restart().await;
        bridge.drain().await;

        expired_unsent(&bridge, &id).await;
    }
}

#[tokio::test]
async fn what_the_budget_kept_waiting_for_two_hours_expires() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 1, ..Setup::default() }).await;
    let mut ids = Vec::new();
    for n in 0..90_u32 {
        ids.push(bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await);
    }
    // The window of a minute has a margin of 2 s.
    for _ in 0..240 {
        bridge.clock.advance(SignedDuration::from_secs(31));
        bridge.drain().await;
    }

    let mut expired = 0;
    for id in &ids {
        let action = bridge.action(id).await;
        let is_sent = action["attempts"].as_array().unwrap().len() == 1;
        assert_eq!(action["state"], if is_sent { "succeeded" } else { "expired" });
        expired += usize::from(!is_sent);
    }
    let sent = bridge.quarantines().len();
    assert_eq!(sent + expired, ids.len());
    assert!((55..=60).contains(&sent), "one a minute until the hour is over: {sent}");
}

#[tokio::test]
async fn at_the_limit_exactly_it_is_sent_and_a_moment_later_it_is_not() {
    for (wait, state) in
        [(minutes(60), "submitted"), (minutes(60) + SignedDuration::from_millis(1), "expired")]
    {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(Fault { place: Place::Token, kind: FaultKind::InvalidClient, times: Some(1) });
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        assert_eq!(bridge.action(&id).await["expires_at"], "2026-03-01T13:00:00.000Z");

        bridge.clock.advance(wait);
        bridge.drain().await;

        assert_eq!(bridge.state(&id).await, state);
        assert_eq!(bridge.quarantines().len(), usize::from(state == "submitted"));
    }
}

#[tokio::test]
async fn while_sending_is_paused_actions_expire_all_the_same() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(Fault { place: Place::Token, kind: FaultKind::InvalidClient, times: None });
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(minutes(61)).await;
    expired_unsent(&bridge, &id).await;

    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(minutes(5)).await;

    expired_unsent(&bridge, &id).await;
}

#[tokio::test]
async fn an_alert_from_the_future_waits_no_longer_than_one_of_now() {
    let mut bridge = Bridge::start().await;
    bridge.clock.advance(SignedDuration::from_hours(24 * 365));
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.clock.advance(SignedDuration::from_hours(-24 * 365));
    bridge.simulator.play(Fault { place: Place::Machines, kind: FaultKind::RequestLost, times: None });
    bridge.drain().await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "resolving", "{action}");
    let expires_at: Timestamp = action["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at <= after(bridge.clock.now(), minutes(60)), "{expires_at}");
}

#[tokio::test]
async fn a_clock_that_is_set_forward_expires_and_one_set_back_holds() {
    let mut bridge = Bridge::start().await;
    let forward = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.clock.advance(minutes(180));
    bridge.drain().await;
    expired_unsent(&bridge, &forward).await;

    let back = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.clock.advance(minutes(-180));
    bridge.drain().await;

    let action = bridge.action(&back).await;
    assert_eq!(action["state"], "held", "{action}");
    assert!(last(&action)["why"].as_str().unwrap().contains("in the future"), "{action}");
    assert!(bridge.quarantines().is_empty());
    assert_eq!(bridge.state(&forward).await, "expired", "an end is an end");
}
