//! When an upstream is left alone, tried and used again.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use quarantine_bridge::alert::{BreakerState, Trouble, Upstream, after};
use quarantine_bridge::dispatch::{Breaker, Heard, Pass, Upstreams};
use quarantine_bridge::simulator::{Fault, FaultKind, Machine, Place};
use serde_json::json;

use crate::harness::{Bridge, MACHINE, SHA1, Setup, start_of_time, without_facts};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn at(second: i64) -> Timestamp {
    after(start_of_time(), seconds(second))
}

fn bad(trouble: Trouble) -> Heard {
    Heard::Bad(trouble, String::new())
}

fn always(place: Place, kind: FaultKind) -> Fault {
    Fault { place, kind, times: None }
}

/// Where a breaker stands after it heard this, at these seconds, each by a call that it would let through then.
fn after_calls(calls: &[(i64, Heard)]) -> Standing {
    let mut breaker = Breaker::new(Upstream::Quarantine);
    for (second, heard) in calls {
        let pass = breaker.ask(at(*second)).unwrap();
        breaker.begin(pass);
        breaker.hear(pass, heard.clone(), at(*second));
    }
    let report = breaker.report();
    let next = report.open.and_then(|open| open.next_try_at);
    (report.state, next.map(|next| next.duration_since(start_of_time()).as_secs()))
}

/// What it is about, the calls as for [`after_calls`], and where the breaker stands then.
type Case = (&'static str, Vec<(i64, Heard)>, Standing);

/// Where a breaker stands, and at which second it is tried again.
type Standing = (BreakerState, Option<i64>);

#[test]
fn three_failures_in_a_row_open_it_and_a_refusal_does_at_once() {
    use BreakerState::{Closed, Open};
    let (lost, dead) = (bad(Trouble::NoClearAnswer), bad(Trouble::Unreachable));
    let table: [Case; 14] = [
        ("nothing", vec![], (Closed, None)),
        ("two failures", vec![(0, lost.clone()), (1, dead.clone())], (Closed, None)),
        ("three", vec![(0, lost.clone()), (1, dead.clone()), (2, lost.clone())], (Open, Some(3))),
        (
            "not in a row",
            vec![(0, lost.clone()), (1, lost.clone()), (2, Heard::Good), (3, lost.clone())],
            (Closed, None),
        ),
        (
            "what tells nothing does not mend a row",
            vec![(0, lost.clone()), (1, lost.clone()), (2, Heard::Nothing), (3, lost.clone())],
            (Open, Some(4)),
        ),
        (
            "as far apart as a row may be",
            vec![(0, lost.clone()), (300, lost.clone()), (600, lost.clone())],
            (Open, Some(601)),
        ),
        ("too far apart", vec![(0, lost.clone()), (1, lost.clone()), (302, lost.clone())], (Closed, None)),
        ("401", vec![(0, bad(Trouble::Unauthorized))], (Open, Some(1))),
        ("403", vec![(0, bad(Trouble::Forbidden))], (Open, Some(1))),
        ("no token", vec![(0, bad(Trouble::TokenRefused))], (Open, Some(1))),
        ("a role", vec![(0, bad(Trouble::RoleMissing))], (Open, Some(1))),
        ("a probe that works", vec![(0, bad(Trouble::Forbidden)), (1, Heard::Good)], (Closed, None)),
        (
            "probes that fail",
            vec![
                (0, bad(Trouble::Forbidden)),
                (1, bad(Trouble::Forbidden)),
                (3, dead.clone()),
                (7, bad(Trouble::Forbidden)),
            ],
            (Open, Some(15)),
        ),
        (
            "a probe that tells nothing",
            vec![(0, bad(Trouble::Forbidden)), (10, Heard::Nothing)],
            (Open, Some(10)),
        ),
    ];
    for (name, calls, expected) in table {
        assert_eq!(after_calls(&calls), expected, "{name}");
    }
}

#[test]
fn while_it_probes_no_other_call_goes_through_and_late_answers_do_not_count() {
    let mut breaker = Breaker::new(Upstream::Token);
    breaker.hear(Pass::Free, bad(Trouble::TokenRefused), at(0));
    assert_eq!(breaker.ask(at(0)), Err(at(1)));
    let probe = breaker.ask(at(1)).unwrap();
    assert_eq!(probe, Pass::Probe);
    breaker.begin(probe);

    assert_eq!(breaker.ask(at(500)), Err(Timestamp::MAX));
    breaker.hear(Pass::Free, Heard::Good, at(2));
    breaker.hear(Pass::Free, bad(Trouble::Unreachable), at(2));
    assert_eq!(breaker.report().state, BreakerState::Probing);

    breaker.hear(probe, Heard::Good, at(3));
    assert_eq!(breaker.report().state, BreakerState::Closed);
    assert_eq!(breaker.report().open, None);
}

#[test]
fn a_list_that_refuses_us_holds_sending_and_one_that_fails_does_not() {
    for (trouble, holds) in [(Trouble::Forbidden, true), (Trouble::NoClearAnswer, false)] {
        let mut upstreams = Upstreams::default();
        for second in 0..3 {
            upstreams.hear(Upstream::MachineActions, Pass::Free, bad(trouble), at(second));
        }
        assert_eq!(upstreams.hold_sending(), holds, "{trouble}");
        assert_eq!(upstreams.to_send(at(0)).is_err(), holds, "{trouble}");
        assert!(upstreams.to_look(at(0)).is_err(), "{trouble}");
        // With nothing to look up, nobody would read the list: the call itself finds out.
        assert!(upstreams.to_send(at(3)).is_ok(), "{trouble}");
    }
}

proptest! {
    #[test]
    fn a_breaker_lets_one_probe_through_at_a_time_and_always_comes_back(
        steps in prop::collection::vec((0_i64..120, 0_u8..4, any::<bool>()), 1..200),
    ) {
        let mut breaker = Breaker::new(Upstream::Quarantine);
        let (mut now, mut under_way) = (0, Vec::new());
        for (wait, what, ends) in steps {
            now += wait;
            match breaker.ask(at(now)) {
                Ok(pass) => {
                    breaker.begin(pass);
                    under_way.push(pass);
                }
                Err(until) if until < Timestamp::MAX => prop_assert!(until <= at(now + 60)),
                Err(_) => prop_assert!(under_way.contains(&Pass::Probe)),
            }
            prop_assert!(under_way.iter().filter(|pass| **pass == Pass::Probe).count() <= 1);
            if ends && !under_way.is_empty() {
                let heard = match what {
                    0 => Heard::Good,
                    1 => Heard::Nothing,
                    2 => bad(Trouble::Unreachable),
                    _ => bad(Trouble::Forbidden),
                };
                breaker.hear(under_way.remove(0), heard, at(now));
            }
        }
        // When nothing is under way any more, a minute is enough.
        for pass in under_way {
            breaker.hear(pass, Heard::Nothing, at(now));
        }
        prop_assert!(breaker.ask(at(now + 60)).is_ok());
    }
}

#[tokio::test]
async fn a_403_about_us_holds_all_sending_until_it_is_mended() {
    for kind in [FaultKind::Forbidden2021, FaultKind::Forbidden2023, FaultKind::Status { status: 403 }] {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(always(Place::Quarantine, kind.clone()));
        let mut ids = Vec::new();
        for n in 0..20 {
            ids.push(bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await);
        }

        bridge.run_for(seconds(120)).await;
        for id in &ids {
            assert_eq!(bridge.state(id).await, "queued", "{kind:?}");
        }
        let calls = bridge.quarantines().len();
        assert!(calls <= 8 + 7, "{calls}: those that were under way, then probes");
        assert_eq!(bridge.metric("quarantine_bridge_sending_paused"), Some(1.0));
        let open =
            "quarantine_bridge_breaker_open{upstream=\"quarantine\",state=\"open\",reason=\"forbidden\"}";
        assert_eq!(bridge.metric(open), Some(1.0), "{kind:?}");
        let shown = bridge.get("/v1/budget").await.body;
        let upstream = &shown["upstreams"][0];
        assert_eq!((&upstream["state"], &upstream["reason"]), (&json!("open"), &json!("forbidden")));
        assert!(upstream["remedy"].as_str().unwrap().contains("Machine.StopAndQuarantine"), "{upstream}");

        bridge.simulator.with(|state| state.faults.clear());
        bridge.run_for(seconds(240)).await;
        for id in &ids {
            assert_eq!(bridge.state(id).await, "succeeded", "{kind:?}");
        }
        assert_eq!(bridge.metric("quarantine_bridge_sending_paused"), Some(0.0));
        let closed =
            "quarantine_bridge_breaker_open{upstream=\"quarantine\",state=\"closed\",reason=\"none\"}";
        assert_eq!(bridge.metric(closed), Some(0.0));
    }
}

#[tokio::test]
async fn a_role_that_is_given_later_is_found_with_a_fresh_token() {
    let mut bridge = Bridge::start().await;
    // The token cannot be read by us, so only Defender says what it lacks.
    bridge.simulator.play(Fault { place: Place::Quarantine, kind: FaultKind::Forbidden2023, times: Some(3) });
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(600)).await;

    assert_eq!(bridge.state(&id).await, "succeeded");
    let calls = bridge.simulator.calls();
    assert_eq!(calls.iter().filter(|call| call.path.ends_with("/token")).count(), 4);
}

#[tokio::test]
async fn a_403_about_one_file_ends_that_action_and_holds_nothing() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    let windows = |id: &str| Machine { id: id.to_owned(), ..Machine::default() };
    let signed = Machine { signed_files: vec![SHA1.to_owned()], ..windows(MACHINE) };
    let other = Machine { files: vec![SHA1.to_owned()], ..windows(&"5".repeat(40)) };
    bridge.simulator.with(|state| state.world.machines = vec![signed, other]);
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    let second = bridge.accept("a2", &"5".repeat(40), SHA1).await;

    bridge.run_for(seconds(40)).await;

    assert_eq!(bridge.state(&first).await, "rejected");
    assert_eq!(bridge.state(&second).await, "succeeded");
    assert_eq!(bridge.metric("quarantine_bridge_sending_paused"), Some(0.0));
}

#[tokio::test]
async fn repeated_lost_answers_stop_sending_until_one_call_gets_through() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(always(Place::Quarantine, FaultKind::Status { status: 503 }));
    for n in 0..40 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }

    bridge.run_for(seconds(30)).await;
    let calls = bridge.quarantines().len();
    assert!(calls <= 10 + 5, "{calls}: those that were under way, then probes");

    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(seconds(300)).await;
    let page = bridge.get("/v1/actions?state=succeeded&limit=200").await;
    assert_eq!(page.body["actions"].as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn what_entra_id_refuses_is_told_and_tried_again() {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    bridge.simulator.play(always(Place::Token, FaultKind::InvalidClient));
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(200)).await;

    let open = "quarantine_bridge_breaker_open{upstream=\"token\",state=\"open\",reason=\"token_refused\"}";
    assert_eq!(bridge.metric(open), Some(1.0));
    assert_eq!(bridge.action(&id).await["attempts"], json!([]));
    let tokens = bridge.simulator.calls().iter().filter(|call| call.path.ends_with("/token")).count();
    assert!((6..=12).contains(&tokens), "{tokens} tries");

    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(seconds(120)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
}

#[tokio::test]
async fn an_action_that_alone_is_not_allowed_is_rejected_in_the_end() {
    let mut bridge = Bridge::start().await;
    let ill = bridge.accept("ill", MACHINE, SHA1).await;
    for round in 0..3 {
        bridge.simulator.play(Fault {
            place: Place::Quarantine,
            kind: FaultKind::Forbidden2023,
            times: Some(1),
        });
        while bridge.action(&ill).await["attempts"].as_array().unwrap().len() == round {
            bridge.run_for(seconds(5)).await;
        }
        // Another one is taken while it waits.
        bridge.accept(&format!("well{round}"), &format!("{round:040x}"), SHA1).await;
        bridge.run_for(seconds(20)).await;
    }
    bridge.run_for(seconds(60)).await;

    let ill = bridge.action(&ill).await;
    assert_eq!(ill["state"], "rejected");
    assert_eq!(ill["attempts"].as_array().unwrap().len(), 3);
    let page = bridge.get("/v1/actions?state=succeeded").await;
    assert_eq!(page.body["actions"].as_array().unwrap().len(), 3);
}
