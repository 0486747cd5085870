//! The guards: each looks at facts and says what it found. A fact that is not known holds.

mod alert;
mod device;
mod file;
mod ours;
mod protected;

use jiff::{SignedDuration, Timestamp};

pub(super) use ours::is_a_limit_used_up;

use super::approvals::Approvals;
use super::facts::{Fact, Facts};
use super::guard::{Answer, Finding, Guard};
use super::settings::{Guards, No};
use super::{Candidate, Policy};

/// All that a guard may look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) facts: &'a Facts,
    pub(super) approvals: &'a Approvals,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

impl Case<'_> {
    fn guards(&self) -> &Guards {
        &self.policy.guards
    }
}

/// What a guard says, before it is known how it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Pass(String),
    /// As the guard is set: hold or deny.
    No(String),
    /// Whatever the guard is set to.
    As(No, String),
    /// A fact is missing.
    Doubt(String),
    /// Something is missing that no approval can stand for.
    Incomplete(String),
    Expire(String),
}

type Says = Result<Said, Said>;

/// Returns the fact, or says that it is missing.
fn known<'f, T>(fact: &'f Fact<T>, what: &str) -> Result<&'f T, Said> {
    match fact {
        Fact::Known(value) => Ok(value),
        Fact::Unknown(why) => Err(Said::Doubt(format!("{what} is not known: {why}"))),
    }
}

/// Asks every guard, in order.
pub(super) fn ask_all(case: &Case<'_>) -> Vec<Finding> {
    Guard::of_actions().map(|guard| ask(guard, case)).collect()
}

fn ask(guard: Guard, case: &Case<'_>) -> Finding {
    let switch = case.guards().switch(guard);
    let Some(no) = switch.no else {
        let evidence = "switched off".to_owned();
        return Finding { guard, answer: Answer::Pass, evidence, approvers: None };
    };
    let says = match guard {
        Guard::Severity => alert::severity(case),
        Guard::Age => alert::age(case),
        Guard::Target => alert::target(case),
        Guard::Targets => alert::targets(case),
        Guard::Os => device::os(case),
        Guard::DeviceState => device::state(case),
        Guard::ProtectedDevice => protected::device(case),
        Guard::ProtectedFile => protected::file(case),
        Guard::MicrosoftSigned => file::microsoft_signed(case),
        Guard::TrustedPublisher => file::trusted_publisher(case),
        Guard::Determination => file::determination(case),
        Guard::Prevalence => file::prevalence(case),
        Guard::SeenOnDevice => device::seen(case),
        Guard::Undone => ours::undone(case),
        Guard::CoolDown => ours::cool_down(case),
        Guard::ChangeFreeze => ours::change_freeze(case),
        Guard::BlastRadius => ours::blast_radius(case),
        Guard::BlastBreaker => ours::blast_breaker(case),
        Guard::FirstActions => ours::first_actions(case),
        Guard::Source | Guard::Mode => Ok(Said::Pass("it is configured".to_owned())),
    };
    let approvers = Some(switch.approvers);
    let (answer, evidence, approvers) = match says.unwrap_or_else(|said| said) {
        Said::Pass(evidence) => (Answer::Pass, evidence, None),
        Said::Doubt(evidence) => (Answer::Hold, evidence, approvers),
        Said::Incomplete(evidence) => (Answer::Hold, evidence, None),
        Said::Expire(evidence) => (Answer::Expire, evidence, None),
        Said::No(evidence) => answer(no, evidence, approvers),
        Said::As(no, evidence) => answer(no, evidence, approvers),
    };
    Finding { guard, answer, evidence, approvers }
}

fn answer(no: No, evidence: String, approvers: Option<u8>) -> (Answer, String, Option<u8>) {
    match no {
        No::Hold => (Answer::Hold, evidence, approvers),
        No::Deny => (Answer::Deny, evidence, None),
    }
}

/// A duration for a person.
fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds.unsigned_abs() {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", duration.as_mins()),
        7_200..172_800 => format!("{} h", duration.as_hours()),
        _ => format!("{} days", duration.as_hours().saturating_div(24)),
    }
}
