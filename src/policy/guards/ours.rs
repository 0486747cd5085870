//! What we have done before, and when nothing is to be done.

use crate::policy::facts::OwnFacts;
use crate::policy::guard::Guard;
use crate::policy::limits::Limit;
use crate::policy::settings::Guards;

use super::{Case, Said, Says, known, span};

/// Nobody has undone a quarantine of this file on this device.
pub(super) fn undone(case: &Case<'_>) -> Says {
    let until = known(&case.facts.own.undone_until, "whether such a quarantine was undone")?;
    Ok(match until.filter(|until| case.now < *until) {
        Some(until) => Said::No(format!("such a quarantine was undone; until {until:.0} there is no other")),
        None => Said::Pass("no such quarantine was undone".to_owned()),
    })
}

/// The file was not quarantined on this device a short while before the alert.
///
/// An alert that is older than the quarantine is about the same thing: what it asks for is done.
pub(super) fn cool_down(case: &Case<'_>) -> Says {
    let last = known(&case.facts.own.last_quarantined_at, "when it was last quarantined there")?;
    let period = case.guards().cool_down;
    let Some(last) = *last else {
        return Ok(Said::Pass(format!("it was not quarantined there before, limit {}", span(period))));
    };
    let ago = case.now.duration_since(last);
    let is_seen_again = case.candidate.occurred_at.is_none_or(|at| at > last);
    let evidence = format!("it was quarantined there {} ago, limit {}", span(ago), span(period));
    Ok(if ago < period && is_seen_again { Said::No(evidence) } else { Said::Pass(evidence) })
}

/// No change freeze is in force.
#[expect(clippy::unnecessary_wraps, reason = "guards have one form, whether a fact can be missing or not")]
pub(super) fn change_freeze(case: &Case<'_>) -> Says {
    let freeze = case.guards().freezes.iter().find(|freeze| freeze.covers(case.now));
    Ok(match freeze {
        Some(freeze) => Said::No(format!("a change freeze is in force: {}", freeze.reason)),
        None => Said::Pass("no change freeze is in force".to_owned()),
    })
}

/// Not too much was done lately.
pub(super) fn blast_radius(case: &Case<'_>) -> Says {
    let limits = &case.guards().limits;
    if limits.is_empty() {
        return Ok(Said::Pass("there is no limit".to_owned()));
    }
    let counts = known(&case.facts.own.counts, "how much was done lately")?;
    let (mut told, mut is_over) = (Vec::new(), false);
    for limit in limits.iter() {
        let label = limit.label();
        let missing = || Said::Doubt(format!("how much was done lately is not known for {label}"));
        let count = *counts.get(&label).ok_or_else(missing)?;
        is_over |= limit.is_used_up(count);
        told.push(format!("{count} of {} ({label})", limit.max));
    }
    let evidence = told.join("; ");
    Ok(if is_over { Said::No(evidence) } else { Said::Pass(evidence) })
}

/// Says whether one of the limits is known to be used up.
pub(in crate::policy) fn is_a_limit_used_up(guards: &Guards, own: &OwnFacts) -> bool {
    let is_used_up = |limit: &Limit| {
        let count = own.counts.known().and_then(|counts| counts.get(&limit.label()));
        count.is_some_and(|count| limit.is_used_up(*count))
    };
    guards.limits.iter().any(is_used_up)
}

/// The breaker on blast radius is closed, or a person has approved the action, whatever it was that held it.
pub(super) fn blast_breaker(case: &Case<'_>) -> Says {
    let since = known(&case.facts.own.blast_breaker_since, "whether the breaker on blast radius is open")?;
    let Some(since) = since else {
        return Ok(Said::Pass("the breaker on blast radius is closed".to_owned()));
    };
    let evidence = format!("the breaker on blast radius is open since {since:.0}");
    let needed = usize::from(case.guards().switch(Guard::BlastBreaker).approvers);
    Ok(match case.approvals.persons() {
        persons if persons >= needed => Said::Pass(format!("{evidence}; approvals of the action: {persons}")),
        _ => Said::No(format!("{evidence}: every action needs a person's approval")),
    })
}

/// The source is not new.
pub(super) fn first_actions(case: &Case<'_>) -> Says {
    let first = case.guards().first_actions;
    if first == 0 {
        return Ok(Said::Pass("the first actions of a source need no approval".to_owned()));
    }
    let so_far = *known(&case.facts.own.actions_of_source, "how many actions the source had")?;
    let evidence = format!("the source had {so_far} actions so far; a person approves the first {first}");
    Ok(if so_far < u64::from(first) { Said::No(evidence) } else { Said::Pass(evidence) })
}
