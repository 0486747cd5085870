//! Guards in a running bridge: the facts they ask for, what they hold, and what they never forget.

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::policy::{Guard, Guards, Limit, LimitKey, No};
use quarantine_bridge::simulator::{Fault, FaultKind, KnownFile, Machine, Place};
use quarantine_bridge::store::Scope;
use serde_json::{Value, json};

use crate::harness::{Bridge, MACHINE, SHA1, Setup};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A bridge against a tenant with this device and this file.
async fn bridge(setup: Setup, machine: Machine, file: KnownFile) -> Bridge {
    let bridge = Bridge::with(setup).await;
    bridge.simulator.with(|state| {
        state.world.any_machine = false;
        state.world.machines = vec![machine];
        state.world.files = vec![file];
    });
    bridge
}

fn ws1() -> Machine {
    Machine { id: MACHINE.to_owned(), files: vec![SHA1.to_owned()], ..Machine::default() }
}

fn tool() -> KnownFile {
    KnownFile { sha1: Some(SHA1.to_owned()), ..KnownFile::default() }
}

fn last_why(action: &Value) -> &str {
    action["history"].as_array().unwrap().last().unwrap()["why"].as_str().unwrap()
}

/// The facts that Defender was asked for, without what names them.
fn asked(bridge: &Bridge) -> Vec<String> {
    let calls = bridge.simulator.calls();
    let paths = calls.iter().filter(|call| call.method == "GET").map(|call| call.path.clone());
    let facts = paths.filter(|path| path.starts_with("/api/machines/") || path.starts_with("/api/files/"));
    facts.map(|path| path.replace(MACHINE, "ID").replace(SHA1, "SHA1")).collect()
}

/// A file as Microsoft signs them.
fn microsofts() -> KnownFile {
    KnownFile {
        signer: Some("Microsoft Windows".to_owned()),
        issuer: Some("Microsoft Windows Production PCA 2011".to_owned()),
        is_valid_certificate: Some(true),
        ..tool()
    }
}

#[tokio::test]
async fn device_and_file_are_asked_about_before_the_call_and_not_again_while_that_is_fresh() {
    let mut bridge = bridge(Setup::default(), ws1(), tool()).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.drain().await;

    assert_eq!(bridge.state(&id).await, "submitted");
    let mut paths = asked(&bridge);
    assert_eq!(paths.remove(0), "/api/machines/ID", "the device first: of an unknown one no more is asked");
    paths.sort();
    assert_eq!(paths, ["/api/files/SHA1", "/api/files/SHA1/machines", "/api/files/SHA1/stats"]);
    let action = bridge.action(&id).await;
    let decided = action["history"].as_array().unwrap().iter().find(|it| it["to"] == "queued").unwrap();
    let lines = decided["facts"].as_array().unwrap();
    assert_eq!(lines.len(), Guard::of_actions().count(), "{lines:?}");
}

#[tokio::test]
async fn what_defender_says_of_device_and_file_holds_or_denies_in_every_mode_alike() {
    let server = Machine { os_platform: "WindowsServer2022".to_owned(), ..ws1() };
    let os_platform = "Windows10".to_owned();
    let old = Machine { os_platform, os_version: Some("1607".to_owned()), ..ws1() };
    let controller = Machine { tags: vec!["DomainController".to_owned()], ..ws1() };
    let high = Machine { device_value: Some("High".to_owned()), ..ws1() };
    let stale = Machine { last_seen: Some("2026-02-20T00:00:00Z".to_owned()), ..ws1() };
    let elsewhere = Machine { files: Vec::new(), ..ws1() };
    let common = KnownFile { organisation_prevalence: Some(40), ..tool() };
    let everywhere = KnownFile { organisation_prevalence: Some(4_000), ..tool() };
    let clean = KnownFile { determination: Some("Clean".to_owned()), ..tool() };
    for (machine, file, state, guard) in [
        (server, tool(), "held", Guard::Os),
        (old, tool(), "denied", Guard::Os),
        (controller, tool(), "denied", Guard::ProtectedDevice),
        (high, tool(), "denied", Guard::ProtectedDevice),
        (stale, tool(), "held", Guard::DeviceState),
        (elsewhere, tool(), "held", Guard::SeenOnDevice),
        (ws1(), microsofts(), "denied", Guard::MicrosoftSigned),
        (ws1(), common, "held", Guard::Prevalence),
        (ws1(), everywhere, "denied", Guard::Prevalence),
        (ws1(), clean, "held", Guard::Determination),
    ] {
        let mut lines = Vec::new();
        for mode in Mode::ALL {
            let mut bridge = bridge(Setup { mode, ..Setup::default() }, machine.clone(), file.clone()).await;
            let id = bridge.accept("a1", MACHINE, SHA1).await;

            bridge.drain().await;

            let action = bridge.action(&id).await;
            let expected = if mode == Mode::Shadow { "shadowed" } else { state };
            assert_eq!(action["state"], expected, "{guard}, {mode}: {action}");
            assert!(bridge.quarantines().is_empty());
            let history = action["history"].as_array().unwrap();
            lines.push(history.last().unwrap()["facts"].clone());
            let found = lines[0]
                .as_array()
                .unwrap()
                .iter()
                .find(|it| it.as_str().unwrap().starts_with(guard.as_str()));
            assert!(!found.unwrap().as_str().unwrap().contains(": pass"), "{found:?}");
        }
        assert!(lines.iter().all(|of_mode| *of_mode == lines[0]), "{guard}: {lines:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_learned_holds_with_the_reason() {
    for (place, guard) in [
        (Place::Machines, Guard::Os),
        (Place::Files, Guard::MicrosoftSigned),
        (Place::FileStats, Guard::Prevalence),
        (Place::FileMachines, Guard::SeenOnDevice),
    ] {
        for kind in [FaultKind::Status { status: 500 }, FaultKind::AnswerLost, FaultKind::Garbage] {
            let mut bridge = bridge(Setup::default(), ws1(), tool()).await;
            bridge.simulator.play(Fault { place, kind: kind.clone(), times: None });
            let id = bridge.accept("a1", MACHINE, SHA1).await;

            bridge.run_for(seconds(60)).await;

            let action = bridge.action(&id).await;
            assert_eq!(action["state"], "held", "{place:?}, {kind:?}: {action}");
            assert!(last_why(&action).contains("is not known"), "{}", last_why(&action));
            assert!(bridge.quarantines().is_empty());
            let facts = action["history"].as_array().unwrap().last().unwrap()["facts"].to_string();
            assert!(facts.contains(&format!("{guard}: hold")), "{facts}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_make_the_questions_endless() {
    let elsewhere = Machine { files: Vec::new(), ..ws1() };
    let mut bridge = bridge(Setup::default(), elsewhere, tool()).await;
    bridge.simulator.play(Fault { place: Place::FileMachines, kind: FaultKind::RequestLost, times: Some(1) });
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "resolving");

    bridge.clock.set_by(SignedDuration::from_hours(-2));
    bridge.run_for(seconds(60)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "held", "{action}");
    assert!(asked(&bridge).len() <= 10, "{:?}", asked(&bridge));
}

#[tokio::test]
async fn a_tenant_that_has_not_granted_file_read_all_holds_or_switches_the_guards_off() {
    let file_guards = [Guard::MicrosoftSigned, Guard::Determination, Guard::Prevalence];
    let off = |guards: &mut Guards| {
        for guard in [Guard::MicrosoftSigned, Guard::Determination, Guard::Prevalence] {
            guards.set(guard, None);
        }
    };
    for state in ["held", "submitted"] {
        let guards: fn(&mut Guards) = if state == "held" { |_| {} } else { off };
        let mut bridge = bridge(Setup { guards, ..Setup::default() }, ws1(), tool()).await;
        bridge.simulator.with(|state| state.switches.roles.retain(|role| role != "File.Read.All"));
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.drain().await;

        let action = bridge.action(&id).await;
        assert_eq!(action["state"], state, "{action}");
        if state == "held" {
            let facts = action["history"].as_array().unwrap().last().unwrap()["facts"].to_string();
            assert!(facts.contains("File.Read.All"), "{facts}");
            assert!(file_guards.iter().all(|guard| facts.contains(&format!("{guard}: hold"))), "{facts}");
        }
    }
}

#[tokio::test]
async fn facts_that_have_grown_old_in_the_queue_are_asked_anew_and_looked_at_again() {
    for (tags, state, calls) in [(vec![], "submitted", 1), (vec!["Tier0".to_owned()], "denied", 0)] {
        let mut bridge = bridge(Setup { calls_per_minute: 1, ..Setup::default() }, ws1(), tool()).await;
        // The first call takes the minute's budget, and the queue stands still for longer than facts are believed.
        bridge.simulator.play(Fault {
            place: Place::Quarantine,
            kind: FaultKind::Throttled { retry_after: Some("1200".to_owned()), code: "429".to_owned() },
            times: Some(1),
        });
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        assert_eq!(bridge.state(&id).await, "queued");
        let before = asked(&bridge).len();
        bridge.simulator.with(|world| world.world.machines[0].tags = tags);

        bridge.clock.advance(seconds(1_210));
        bridge.drain().await;

        assert_eq!(bridge.state(&id).await, state);
        assert_eq!(bridge.quarantines().len(), calls + 1, "one was throttled");
        assert_eq!(asked(&bridge).len(), before + 4);
    }
}

#[tokio::test]
async fn facts_that_cannot_be_renewed_hold_what_waits_to_be_sent() {
    let mut bridge = bridge(Setup::default(), ws1(), tool()).await;
    bridge.simulator.play(Fault {
        place: Place::Quarantine,
        kind: FaultKind::Throttled { retry_after: Some("1200".to_owned()), code: "429".to_owned() },
        times: Some(1),
    });
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.simulator.play(Fault {
        place: Place::FileStats,
        kind: FaultKind::Status { status: 500 },
        times: None,
    });

    bridge.run_for(seconds(1_300)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "held", "{action}");
    assert_eq!(bridge.quarantines().len(), 1, "only the one that was throttled");
}

/// Alerts about as many devices and one file; returns how many of their actions are in a state.
async fn spread(bridge: &mut Bridge, name: &str, count: u32) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let machine = format!("{name}{n:039x}");
        ids.push(bridge.accept(&format!("{name}-{n}"), &machine, SHA1).await);
    }
    bridge.run_for(seconds(10)).await;
    let mut states = Vec::new();
    for id in &ids {
        states.push(bridge.state(id).await);
    }
    states
}

fn count(states: &[String], state: &str) -> usize {
    states.iter().filter(|have| *have == state).count()
}

fn three_an_hour(guards: &mut Guards) {
    guards.limits = vec![Limit::new(3, SignedDuration::from_hours(1), &[LimitKey::Hash])].into();
    // Else what comes after the breach needs a person.
    guards.set(Guard::BlastBreaker, None);
}

#[tokio::test]
async fn a_limit_holds_what_is_past_it_until_its_period_is_over() {
    let mut bridge = Bridge::with(Setup { guards: three_an_hour, ..Setup::default() }).await;

    let states = spread(&mut bridge, "a", 5).await;
    assert_eq!((count(&states, "submitted"), count(&states, "held")), (3, 2), "{states:?}");

    bridge.clock.advance(SignedDuration::from_mins(50));
    let states = spread(&mut bridge, "b", 1).await;
    assert_eq!(count(&states, "held"), 1, "{states:?}");

    bridge.clock.advance(SignedDuration::from_mins(10));
    let states = spread(&mut bridge, "c", 1).await;
    assert_eq!(count(&states, "submitted"), 1, "{states:?}");
}

#[tokio::test]
async fn counts_survive_a_restart_and_steps_of_the_clock_both_ways() {
    let mut bridge = Bridge::with(Setup { guards: three_an_hour, ..Setup::default() }).await;
    assert_eq!(count(&spread(&mut bridge, "a", 3).await, "submitted"), 3);

    let mut bridge = bridge.restart().await;
    assert_eq!(count(&spread(&mut bridge, "b", 1).await, "held"), 1, "after a restart");

    // Forwards by a day, as a wrong time server would; then back by two, where tokens and answers lie in the future.
    for (name, hours) in [("c", 24), ("d", -48)] {
        bridge.clock.set_by(SignedDuration::from_hours(hours));
        // The first delivery after the clock was set back finds the quota used up, the next one does not.
        bridge.post(&format!("msg_first_{name}"), "{}").await;
        bridge.clock.advance(seconds(1));
        let states = spread(&mut bridge, name, 1).await;
        assert_eq!(count(&states, "submitted"), 0, "after a step of {hours} h: {states:?}");
        assert_eq!(bridge.quarantines().len(), 3, "after a step of {hours} h");
    }

    bridge.clock.set_by(SignedDuration::from_hours(24));
    bridge.clock.advance(SignedDuration::from_mins(61));
    assert_eq!(count(&spread(&mut bridge, "e", 1).await, "submitted"), 1, "an hour later");
}

#[tokio::test]
async fn a_shadow_source_would_have_met_the_same_limits_and_counts_for_nobody_else() {
    let setup = Setup { guards: three_an_hour, mode: Mode::Shadow, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    for n in 0..5 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }
    bridge.drain().await;
    let list = bridge.get("/v1/actions?state=shadowed").await.body;
    let whys: Vec<&str> = list["actions"].as_array().unwrap().iter().map(last_why).collect();
    let sent = whys.iter().filter(|why| **why == "would have been sent").count();
    assert_eq!((whys.len(), sent), (5, 3), "{whys:?}");

    bridge.reconfigure(|config| {
        for policy in config.dispatch.policies.values_mut() {
            policy.source_mode = Mode::Enforce;
        }
    });
    let states = spread(&mut bridge, "b", 3).await;
    assert_eq!(count(&states, "submitted"), 3, "{states:?}");
}

#[tokio::test]
async fn the_first_actions_of_a_source_are_held_and_so_is_an_alert_with_many_pairs() {
    let mut fresh =
        Bridge::with(Setup { guards: |guards| guards.first_actions = 2, ..Setup::default() }).await;
    let id = fresh.accept("a1", MACHINE, SHA1).await;
    fresh.drain().await;
    let action = fresh.action(&id).await;
    assert_eq!(action["state"], "held");
    assert!(last_why(&action).contains("a person approves the first 2"), "{action}");

    let mut bridge = Bridge::start().await;
    let now = bridge.clock.now().to_string();
    let targets: Vec<Value> =
        (0..6).map(|n| json!({"machine": {"id": format!("{n:040x}")}, "file": {"sha1": SHA1}})).collect();
    let alert = json!({"alert_id": "a1", "severity": "high", "occurred_at": now, "targets": targets});
    bridge.post("msg_1", alert.to_string()).await;
    bridge.drain().await;
    let held = bridge.get("/v1/actions?state=held").await.body;
    assert_eq!(held["actions"].as_array().unwrap().len(), 6);
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn a_file_that_is_back_within_the_cool_down_is_held_and_an_undone_one_denied() {
    let mut bridge = Bridge::start().await;
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(60)).await;
    assert_eq!(bridge.quarantines().len(), 1);
    let again = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.drain().await;
    let action = bridge.action(&again).await;
    assert_eq!(action["state"], "held", "{action}");
    assert!(last_why(&action).contains("quarantined there"), "{action}");

    let lead = bridge.new_token(&[Scope::ActionsUndo]);
    let why = json!({"reason": "a tool of our own"});
    let marked = bridge.post_as(&format!("/v1/actions/{first}/undo"), &lead, &why).await;
    assert_eq!(marked.status, 200, "{:?}", marked.body);
    bridge.clock.advance(SignedDuration::from_hours(24 * 29));
    let third = bridge.accept("a3", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&third).await, "denied");

    bridge.clock.advance(SignedDuration::from_hours(24));
    let fourth = bridge.accept("a4", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&fourth).await, "submitted");
    assert_eq!(bridge.quarantines().len(), 2);
}

#[tokio::test]
async fn a_guard_that_is_set_stricter_while_an_action_waits_stops_it() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 1, ..Setup::default() }).await;
    bridge.accept("a1", MACHINE, SHA1).await;
    let waits = bridge.accept("a2", &"5".repeat(40), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&waits).await, "queued");

    bridge.reconfigure(|config| {
        for policy in config.dispatch.policies.values_mut() {
            let changed = policy.clone().with_guards(|guards| {
                guards.set(Guard::Targets, Some(No::Deny));
                guards.max_targets = 0;
            });
            *policy = changed;
        }
    });
    bridge.run_for(seconds(70)).await;

    assert_eq!(bridge.state(&waits).await, "denied");
    assert_eq!(bridge.quarantines().len(), 1);
}
