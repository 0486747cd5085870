//! The guards. Each looks at facts and answers pass, hold or deny with its evidence; a missing fact holds.

use jiff::{SignedDuration, Timestamp};

use super::{Answer, Candidate, Finding, Policy};

/// How far in the future an alert may lie: clocks differ by minutes.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The alert is at least as severe as the source's floor.
pub(super) fn severity(candidate: &Candidate, policy: &Policy) -> Finding {
    let floor = policy.min_severity;
    let (answer, evidence) = match candidate.severity {
        None => (Answer::Hold, "the alert's severity is missing or unknown".to_owned()),
        Some(severity) if severity < floor => {
            (Answer::Deny, format!("severity {severity} is below the floor {floor}"))
        }
        Some(severity) => (Answer::Pass, format!("severity {severity}, floor {floor}")),
    };
    Finding { guard: "severity", answer, evidence }
}

/// The alert is not older than the source's limit.
pub(super) fn age(candidate: &Candidate, policy: &Policy, now: Timestamp) -> Finding {
    let limit = minutes(policy.max_age);
    // Whoever completes an action has looked at its alert, so its age counts from then.
    let fresh_since = candidate.occurred_at.map(|at| candidate.completed_at.map_or(at, |by| by.max(at)));
    let (answer, evidence) = match fresh_since.map(|at| now.duration_since(at)) {
        None => (Answer::Hold, "the alert does not say when it happened".to_owned()),
        Some(age) if age > policy.max_age => {
            (Answer::Expire, format!("the alert is {} old, the limit is {limit}", minutes(age)))
        }
        Some(age) if age.abs() > CLOCK_SKEW && age.is_negative() => {
            (Answer::Hold, format!("the alert lies {} in the future", minutes(age.abs())))
        }
        Some(age) if candidate.completed_at.is_some() => {
            (Answer::Pass, format!("a person completed it {} ago, limit {limit}", minutes(age)))
        }
        Some(age) => (Answer::Pass, format!("{} old, limit {limit}", minutes(age))),
    };
    Finding { guard: "age", answer, evidence }
}

/// Device and file are known.
pub(super) fn target(candidate: &Candidate) -> Finding {
    let (answer, evidence) = match &candidate.target {
        Ok(target) => (Answer::Pass, format!("machine {}, SHA1 {}", target.machine_id, target.sha1)),
        Err(unresolved) => (Answer::Hold, format!("{}: {}", unresolved.reason, unresolved.evidence)),
    };
    Finding { guard: "target", answer, evidence }
}

fn minutes(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    if seconds.unsigned_abs() < 120 { format!("{seconds} s") } else { format!("{} min", duration.as_mins()) }
}
