//! What the alert itself says: its severity, its age, its target, how many pairs it names.

use jiff::SignedDuration;

use super::{Case, Said, Says, known, span};

/// How far in the future an alert may lie: clocks differ by minutes.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The alert is at least as severe as the source's floor, and of a severity that the source may act on.
pub(super) fn severity(case: &Case<'_>) -> Says {
    let (floor, allowed) = (case.policy.min_severity, &case.guards().severities);
    let Some(severity) = case.candidate.severity else {
        return Err(Said::Doubt("the alert's severity is missing or unknown".to_owned()));
    };
    if severity < floor {
        return Ok(Said::As(super::No::Deny, format!("severity {severity} is below the floor {floor}")));
    }
    if !allowed.is_empty() && !allowed.contains(&severity) {
        let why = format!("severity {severity} is not one that the source may act on");
        return Ok(Said::As(super::No::Deny, why));
    }
    Ok(Said::Pass(format!("severity {severity}, floor {floor}")))
}

/// The alert is not older than the source's limit.
pub(super) fn age(case: &Case<'_>) -> Says {
    let (max, candidate) = (case.policy.max_age, case.candidate);
    let limit = span(max);
    let Some(occurred_at) = candidate.occurred_at else {
        return Err(Said::Doubt("the alert does not say when it happened".to_owned()));
    };
    // Whoever completes or approves an action has looked at its alert, so its age counts from then.
    let looked_at = candidate.completed_at.max(case.approvals.last_at());
    let age = case.now.duration_since(looked_at.map_or(occurred_at, |at| at.max(occurred_at)));
    if age > max {
        return Ok(Said::Expire(format!("the alert is {} old, the limit is {limit}", span(age))));
    }
    if age.is_negative() && age.abs() > CLOCK_SKEW {
        return Ok(Said::Doubt(format!("the alert lies {} in the future", span(age.abs()))));
    }
    Ok(Said::Pass(match looked_at {
        Some(_) => format!("a person looked at it {} ago, limit {limit}", span(age)),
        None => format!("{} old, limit {limit}", span(age)),
    }))
}

/// Device and file are known.
pub(super) fn target(case: &Case<'_>) -> Says {
    match &case.candidate.target {
        Ok(target) => Ok(Said::Pass(format!("machine {}, SHA1 {}", target.machine_id, target.sha1))),
        Err(unresolved) => Err(Said::Incomplete(format!("{}: {}", unresolved.reason, unresolved.evidence))),
    }
}

/// The alert does not name more pairs than one alert may.
pub(super) fn targets(case: &Case<'_>) -> Says {
    let (named, max) = (
        *known(&case.facts.own.targets_of_alert, "how many pairs the alert names")?,
        case.guards().max_targets,
    );
    let evidence = format!("the alert names {named} pairs of a device and a file, the limit is {max}");
    Ok(if named > u64::from(max) { Said::No(evidence) } else { Said::Pass(evidence) })
}
