//! What Defender and Entra ID answer instead, by place.

use fastrand::Rng;
use quarantine_bridge::simulator::{FaultKind, Place};

use super::scenario::Rates;

/// Draws the fault of a request that arrives, if one strikes.
pub(crate) fn draw(random: &mut Rng, rates: &Rates, place: Place) -> Option<FaultKind> {
    let (rate, kinds) = match place {
        Place::Quarantine => (rates.call_fault, calls(random)),
        Place::MachineActions => (rates.list_fault, reads(random)),
        Place::Cancel => (rates.call_fault, cancels(random)),
        Place::Machines | Place::Files | Place::FileStats | Place::FileMachines | Place::Alerts => {
            (rates.lookup_fault, reads(random))
        }
        Place::Token => (rates.token_fault, tokens()),
    };
    let strikes = random.u32(..1_000) < rate;
    strikes.then(|| kinds[random.usize(..kinds.len())].clone())
}

fn throttled(random: &mut Rng) -> FaultKind {
    let retry_after =
        [None, Some("7"), Some("0"), Some("86400"), Some("Sun, 01 Mar 2026 12:05:00 GMT"), Some("soon")];
    let retry_after = retry_after[random.usize(..retry_after.len())].map(ToOwned::to_owned);
    let code = if random.bool() { "429" } else { "TooManyRequests" }.to_owned();
    FaultKind::Throttled { retry_after, code }
}

fn calls(random: &mut Rng) -> Vec<FaultKind> {
    vec![
        FaultKind::AnswerLost,
        FaultKind::RequestLost,
        FaultKind::ActedThenStatus { status: 503 },
        FaultKind::ActedThenStatus { status: 409 },
        FaultKind::Status { status: 500 },
        FaultKind::Status { status: 503 },
        FaultKind::Garbage,
        FaultKind::Truncated,
        FaultKind::Redirect,
        FaultKind::Unauthorized,
        FaultKind::Forbidden2023,
        FaultKind::MachineNotFound,
        FaultKind::FileNotFound,
        throttled(random),
    ]
}

fn cancels(random: &mut Rng) -> Vec<FaultKind> {
    vec![
        FaultKind::AnswerLost,
        FaultKind::RequestLost,
        FaultKind::ActedThenStatus { status: 503 },
        FaultKind::Status { status: 500 },
        FaultKind::Garbage,
        FaultKind::Unauthorized,
        FaultKind::Forbidden2023,
        throttled(random),
    ]
}

fn reads(random: &mut Rng) -> Vec<FaultKind> {
    vec![
        FaultKind::AnswerLost,
        FaultKind::Status { status: 500 },
        FaultKind::Status { status: 403 },
        FaultKind::Garbage,
        FaultKind::Truncated,
        FaultKind::Redirect,
        FaultKind::Unauthorized,
        FaultKind::Forbidden2021,
        FaultKind::NextLink { url: "https://elsewhere.example.test/api/machineactions".to_owned() },
        throttled(random),
    ]
}

fn tokens() -> Vec<FaultKind> {
    vec![
        FaultKind::InvalidClient,
        FaultKind::TemporarilyUnavailable,
        FaultKind::Status { status: 500 },
        FaultKind::NoExpiry,
        FaultKind::AnswerLost,
    ]
}

/// The name of a fault, as the list of what must happen has it.
pub(crate) fn name(place: &str, kind: &FaultKind) -> String {
    let text = format!("{kind:?}");
    let word = text.split([' ', '{']).next().unwrap_or_default();
    let status = match kind {
        FaultKind::Status { status } | FaultKind::ActedThenStatus { status } => format!(" {status}"),
        _ => String::new(),
    };
    format!("fault {place} {word}{status}")
}
