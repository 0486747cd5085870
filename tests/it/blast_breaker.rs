//! The breaker on blast radius: a breached limit opens it to approval for everything, and only a person closes it.

use std::sync::Arc;

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::policy::{Guard, Guards, Limit, LimitKey};
use quarantine_bridge::simulator::Machine;
use quarantine_bridge::store::Scope;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup, simulate};

/// The file of which no more than one goes out an hour is `SHA1`.
fn one_an_hour_of_a_file(guards: &mut Guards) {
    guards.limits = Arc::new(vec![Limit::new(1, SignedDuration::from_hours(1), &[LimitKey::Hash])]);
}

fn machine(number: u32) -> String {
    format!("{number:040x}")
}

/// Another file than the one that goes past its limit.
fn file(number: u32) -> String {
    format!("{:040x}", 0x00ab_cdef_u64 + u64::from(number))
}

async fn limited(setup: Setup) -> Bridge {
    Bridge::with(Setup { guards: one_an_hour_of_a_file, ..setup }).await
}

/// Breaches the limit; returns the action that did, which is held.
async fn breach(bridge: &mut Bridge) -> String {
    bridge.accept("first", &machine(1), SHA1).await;
    bridge.drain().await;
    let over = bridge.accept("second", &machine(2), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&over).await, "held");
    over
}

async fn is_open(bridge: &Bridge) -> bool {
    bridge.get("/v1/blast-breaker").await.body["is_open"].as_bool().unwrap()
}

async fn close(bridge: &Bridge, scope: Scope, said: &Value) -> Answer {
    bridge.post_as("/v1/blast-breaker/close", &bridge.token_of("lead", &[scope]), said).await
}

async fn approve(bridge: &Bridge, id: &str, name: &str, hold: &str) -> u16 {
    let token = bridge.token_of(name, &[Scope::ActionsApprove]);
    let said = json!({"holds": [hold], "reason": "looked at it"});
    bridge.post_as(&format!("/v1/actions/{id}/approve"), &token, &said).await.status
}

fn holds(action: &Value) -> Vec<&str> {
    action["holds"].as_array().unwrap().iter().map(|hold| hold["guard"].as_str().unwrap()).collect()
}

fn audited(bridge: &Bridge, act: &str) -> i64 {
    let db = Connection::open(bridge.database()).unwrap();
    let sql = "SELECT count(*) FROM audit WHERE entry ->> '$.deed.act' = ?1";
    db.query_row(sql, [act], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_breached_limit_opens_it_and_every_action_needs_a_person_until_a_person_closes_it() {
    let mut bridge = limited(Setup::default()).await;
    assert!(!is_open(&bridge).await);
    let over = breach(&mut bridge).await;

    let breached = bridge.action(&over).await;
    assert_eq!(holds(&breached), ["blast_radius"], "the limit itself says so: {breached}");
    let shown = bridge.get("/v1/blast-breaker").await.body;
    assert_eq!((&shown["is_open"], &shown["by"]), (&json!(true), &json!("bridge")));
    assert!(shown["reason"].as_str().unwrap().contains("1 of 1 (hash, 3600 s)"), "{shown}");
    bridge.get("/metrics").await;
    assert_eq!(bridge.metric("quarantine_bridge_blast_breaker_open"), Some(1.0));

    // Long after the limit has room again, and after a restart.
    bridge.clock.advance(SignedDuration::from_hours(3));
    let mut bridge = bridge.restart().await;
    let other = bridge.accept("other", MACHINE, &file(1)).await;
    bridge.drain().await;
    assert_eq!(holds(&bridge.action(&other).await), ["blast_breaker"]);
    assert_eq!(approve(&bridge, &other, "alice", "blast_breaker").await, 200);
    bridge.drain().await;
    assert_eq!(bridge.state(&other).await, "submitted");
    assert!(is_open(&bridge).await, "an approval closes nothing");

    for said in [json!({}), json!({"reason": " "}), json!({"reason": "r", "x": 1})] {
        assert_eq!(close(&bridge, Scope::PolicyWrite, &said).await.status, 400, "{said}");
    }
    let said = json!({"reason": "an outbreak, looked at"});
    for scope in Scope::ALL.into_iter().filter(|scope| *scope != Scope::PolicyWrite) {
        assert_eq!(close(&bridge, scope, &said).await.status, 403, "{scope}");
    }
    assert!(is_open(&bridge).await);
    let closed = close(&bridge, Scope::PolicyWrite, &said).await;
    assert_eq!((closed.status, &closed.body["is_open"]), (200, &json!(false)));
    assert_eq!(closed.body["by"], "token:lead");
    assert_eq!(close(&bridge, Scope::PolicyWrite, &said).await.status, 200, "the same again");
    assert_eq!((audited(&bridge, "open_blast_breaker"), audited(&bridge, "close_blast_breaker")), (1, 1));

    let free = bridge.accept("free", &machine(9), &file(2)).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&free).await, "submitted");
    assert_eq!(bridge.state(&over).await, "held", "what was held stays held");
    bridge.get("/metrics").await;
    assert_eq!(bridge.metric("quarantine_bridge_blast_breaker_open"), Some(0.0));
}

#[tokio::test]
async fn what_was_decided_before_it_opened_does_not_slip_through_and_what_a_person_approved_goes() {
    let mut bridge = limited(Setup { calls_per_minute: 1, ..Setup::default() }).await;
    let server = Machine {
        id: machine(5),
        os_platform: "WindowsServer2022".to_owned(),
        files: vec![file(5)],
        ..Machine::default()
    };
    bridge.simulator.with(|state| state.world.machines = vec![server]);
    let approved = bridge.accept("approved", &machine(5), &file(5)).await;
    bridge.drain().await;
    assert_eq!(holds(&bridge.action(&approved).await), ["os"]);
    bridge.accept("first", &machine(1), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1, "the minute's one call");
    assert_eq!(approve(&bridge, &approved, "alice", "os").await, 200);
    let decided = bridge.accept("decided", &machine(3), &file(3)).await;
    bridge.drain().await;
    assert_eq!(
        (bridge.state(&approved).await, bridge.state(&decided).await),
        ("queued".into(), "queued".into())
    );

    let over = bridge.accept("over", &machine(2), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&over).await, "held");
    assert!(is_open(&bridge).await);
    bridge.run_for(SignedDuration::from_mins(4)).await;

    assert_eq!(holds(&bridge.action(&decided).await), ["blast_breaker"]);
    assert!(["submitted", "succeeded"].contains(&bridge.state(&approved).await.as_str()));
    assert_eq!(bridge.quarantines().len(), 2);
}

#[tokio::test]
async fn a_breach_that_is_found_only_at_the_intent_opens_it_too() {
    // All three are decided while nothing was sent yet; the limit of one device is found as they go out.
    let mut bridge = limited(Setup::default()).await;
    for number in 1..=3 {
        bridge.accept(&format!("a{number}"), &machine(number), SHA1).await;
    }
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
    assert!(is_open(&bridge).await);
    assert_eq!(audited(&bridge, "open_blast_breaker"), 1);
}

#[tokio::test]
async fn an_overrun_that_persons_approved_opens_nothing_and_the_next_one_does() {
    let mut bridge = limited(Setup::default()).await;
    let over = breach(&mut bridge).await;
    assert_eq!(close(&bridge, Scope::PolicyWrite, &json!({"reason": "looked at"})).await.status, 200);
    assert_eq!(approve(&bridge, &over, "alice", "blast_radius").await, 202);
    assert_eq!(approve(&bridge, &over, "bob", "blast_radius").await, 200);
    bridge.drain().await;
    assert_eq!(bridge.state(&over).await, "submitted");
    assert!(!is_open(&bridge).await);

    bridge.accept("third", &machine(3), SHA1).await;
    bridge.drain().await;
    assert!(is_open(&bridge).await, "the limit is still used up");
}

#[tokio::test]
async fn a_shadow_source_opens_nothing() {
    let mut bridge = limited(Setup { mode: Mode::Shadow, ..Setup::default() }).await;
    for number in 1..=3 {
        bridge.accept(&format!("a{number}"), &machine(number), SHA1).await;
    }
    bridge.drain().await;
    assert!(!is_open(&bridge).await);
}

#[tokio::test]
async fn a_source_without_it_opens_nothing_and_heeds_nothing() {
    let guards = |guards: &mut Guards| {
        one_an_hour_of_a_file(guards);
        guards.set(Guard::BlastBreaker, None);
    };
    let mut bridge = Bridge::with(Setup { guards, ..Setup::default() }).await;
    breach(&mut bridge).await;
    assert!(!is_open(&bridge).await);
    let other = bridge.accept("other", MACHINE, &file(1)).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&other).await, "submitted");
}

#[tokio::test]
async fn the_command_shows_and_closes_it_beside_a_running_service() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let run = |arguments: &[&str]| {
        let (code, said, _) = installation.told(arguments);
        (code == 0, said)
    };
    let status = || run(&["blast-breaker", "status"]);
    assert_eq!(status(), (true, "the breaker on blast radius is closed\n".to_owned()));
    let db = Connection::open(installation.path("bridge.db")).unwrap();
    let open =
        "INSERT INTO blast_breaker_turns (at, is_open, who, reason) VALUES (1772366400000, 1, 'bridge', 'x')";
    db.execute(open, []).unwrap();
    assert!(status().1.contains("is open: every action needs a person's approval; since 2026-03-01"));
    assert!(!run(&["blast-breaker", "close", "--reason", " "]).0);
    assert!(run(&["blast-breaker", "close", "--reason", "an outbreak, looked at"]).0);
    let shown: Value = serde_json::from_str(&run(&["blast-breaker", "status", "--json"]).1).unwrap();
    assert_eq!((&shown["is_open"], &shown["reason"]), (&json!(false), &json!("an outbreak, looked at")));
    assert!(shown["by"].as_str().unwrap().starts_with("operator:"), "{shown}");
    assert_eq!(serving.terminate().await, Some(0));
}
