//! The decision table: every guard with pass, fail and unknown, in every mode.

use jiff::SignedDuration;
use quarantine_bridge::alert::{HeldReason, Mode, Severity, State, Target, Unresolved, after, before};
use quarantine_bridge::policy::{Answer, Candidate, Decision, Policy, decide, source_unknown};

use crate::harness::{MACHINE, SHA1, start_of_time};

fn policy(mode: Mode) -> Policy {
    Policy { mode, min_severity: Severity::Medium, max_age: SignedDuration::from_mins(60) }
}

fn unresolved(reason: HeldReason) -> Unresolved {
    Unresolved::new(reason, "nothing like it")
}

fn good() -> Candidate {
    Candidate {
        severity: Some(Severity::High),
        occurred_at: Some(before(start_of_time(), SignedDuration::from_mins(5))),
        completed_at: None,
        target: Ok(Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() }),
    }
}

/// A candidate, the guard that answers otherwise than pass, and its answer.
fn rows() -> Vec<(Candidate, &'static str, Answer)> {
    let now = start_of_time();
    let severity = |severity| Candidate { severity, ..good() };
    let at = |occurred_at| Candidate { occurred_at, ..good() };
    let target = |target| Candidate { target, ..good() };
    let minutes = SignedDuration::from_mins;
    let completed = |age, ago| Candidate {
        occurred_at: Some(before(now, age)),
        completed_at: Some(before(now, ago)),
        ..good()
    };
    vec![
        (severity(Some(Severity::Critical)), "severity", Answer::Pass),
        (severity(Some(Severity::Medium)), "severity", Answer::Pass),
        (severity(Some(Severity::Low)), "severity", Answer::Deny),
        (severity(Some(Severity::Informational)), "severity", Answer::Deny),
        (severity(None), "severity", Answer::Hold),
        (at(Some(now)), "age", Answer::Pass),
        (at(Some(before(now, minutes(60)))), "age", Answer::Pass),
        (at(Some(before(before(now, minutes(60)), SignedDuration::from_millis(1)))), "age", Answer::Expire),
        (at(Some(before(now, minutes(60 * 24 * 365)))), "age", Answer::Expire),
        (at(Some(after(now, minutes(5)))), "age", Answer::Pass),
        (at(Some(after(now, minutes(6)))), "age", Answer::Hold),
        (at(None), "age", Answer::Hold),
        (completed(minutes(60 * 20), minutes(59)), "age", Answer::Pass),
        (completed(minutes(60 * 20), minutes(61)), "age", Answer::Expire),
        (good(), "target", Answer::Pass),
        (target(Err(unresolved(HeldReason::MachineUnknown))), "target", Answer::Hold),
        (target(Err(unresolved(HeldReason::FileUnknown))), "target", Answer::Hold),
    ]
}

#[test]
fn every_guard_answers_as_the_table_says() {
    for (candidate, guard, answer) in rows() {
        let verdict = decide(&candidate, &policy(Mode::Enforce), start_of_time());
        for finding in &verdict.trace {
            let expected = if finding.guard == guard { answer } else { Answer::Pass };
            assert_eq!(finding.answer, expected, "{candidate:?}: {finding:?}");
            assert!(!finding.evidence.is_empty());
        }
        let guards: Vec<_> = verdict.trace.iter().map(|finding| finding.guard).collect();
        assert_eq!(guards, ["severity", "age", "target"], "every guard is asked, whatever the others say");
    }
}

#[test]
fn the_mode_lowers_what_the_guards_allow_and_never_raises_it() {
    for (candidate, _, answer) in rows() {
        let in_mode = |mode| decide(&candidate, &policy(mode), start_of_time()).decision;
        let enforced = match answer {
            Answer::Pass => Decision::Send,
            Answer::Hold => Decision::Hold,
            Answer::Deny => Decision::Deny,
            Answer::Expire => Decision::Expire,
        };
        let approved = if enforced == Decision::Send { Decision::Hold } else { enforced };
        assert_eq!(in_mode(Mode::Enforce), enforced, "{candidate:?}");
        assert_eq!(in_mode(Mode::Approve), approved, "{candidate:?}");
        assert_eq!(in_mode(Mode::Shadow), Decision::Shadow(answer), "{candidate:?}");
    }
}

#[test]
fn shadow_and_enforce_find_the_same() {
    for (candidate, ..) in rows() {
        let trace = |mode| decide(&candidate, &policy(mode), start_of_time()).trace;
        assert_eq!(trace(Mode::Shadow), trace(Mode::Enforce));
    }
}

#[test]
fn the_strictest_answer_wins_and_its_first_guard_is_the_reason() {
    let target = Err(unresolved(HeldReason::FileUnknown));
    let candidate = Candidate { severity: None, occurred_at: None, completed_at: None, target };
    let verdict = decide(&candidate, &policy(Mode::Enforce), start_of_time());
    assert_eq!(verdict.decision, Decision::Hold);
    assert_eq!(verdict.reason, verdict.trace[0].evidence);

    let candidate = Candidate { severity: None, ..rows()[7].0.clone() };
    let verdict = decide(&candidate, &policy(Mode::Enforce), start_of_time());
    assert_eq!(verdict.decision, Decision::Expire);
    assert_eq!(verdict.reason, verdict.trace[1].evidence);
}

#[test]
fn every_decision_leads_to_its_state() {
    let state = |candidate: &Candidate, mode| decide(candidate, &policy(mode), start_of_time()).state();
    assert_eq!(state(&good(), Mode::Enforce), State::Queued);
    assert_eq!(state(&good(), Mode::Approve), State::Held);
    assert_eq!(state(&good(), Mode::Shadow), State::Shadowed);
    assert_eq!(state(&rows()[2].0, Mode::Enforce), State::Denied);
    assert_eq!(state(&rows()[7].0, Mode::Enforce), State::Expired);
    assert_eq!(source_unknown().state(), State::Held);
}
