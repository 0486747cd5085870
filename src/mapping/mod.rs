//! Reads alerts out of payloads: strict JSON in, a format's jq program over it, alerts out.
//!
//! Pure but for [`Mapper`], which owns the threads that programs run on.

mod calls;
mod compile;
mod entities;
mod evaluate;
mod evidence;
mod formats;
mod golden;
mod lists;
mod mapper;
mod meter;
mod natives;
mod number;
mod object;
mod operators;
mod output;
mod pairing;
mod program;
mod reference;
mod scope;
mod strict_json;
mod subset;
mod term;
mod texts;
mod value;

pub use evidence::{Evidence, LeftOut, Role, Why};
pub use formats::{BUILT_IN, Body, BuiltIn, Format};
pub use golden::{golden, left_out, machine};
pub use mapper::{Mapper, MapperError, on_mapping_thread};
pub use meter::Cancel;
pub use output::{TARGETS_MAX, is_web_address};
pub use pairing::Pairing;
pub use program::{ProgramError, RunError, SHARED};
pub use reference::References;
pub use strict_json::{JsonError, JsonProblem};

use crate::alert::{Alert, GraphAlertId, MapProblem, Reason, RefusedAlert, SubscriptionNotice};

use reference::{Referred, referred};
use value::Value;

/// What a payload holds: the alerts that can become actions, and those that cannot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Alerts to act on.
    pub alerts: Vec<Alert>,
    /// What cannot be acted on: whole alerts, or single pairs of those above, with the reasons.
    pub refused: Vec<RefusedAlert>,
    /// What the format says of the evidence of each alert, also of those that are refused.
    pub evidence: Vec<Evidence>,
    /// Alerts that it only refers to, each once.
    pub references: Vec<GraphAlertId>,
    /// What it tells about a subscription.
    pub notices: Vec<SubscriptionNotice>,
}

/// Why nothing could be read from a payload at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// It is not strict JSON.
    #[error("the body is not JSON that is taken here: {0}")]
    Json(#[from] JsonError),
    /// The format's program gave no answer.
    #[error(transparent)]
    Program(#[from] RunError),
    /// The format's program found no alert.
    #[error("the format finds no alert in the body; is it the right format for this source?")]
    NoAlert,
}

impl MapError {
    /// Returns the payload as refused, with this as the reason.
    pub fn refusal(&self) -> RefusedAlert {
        let reason = match self {
            Self::Json(_) => Reason::Json,
            Self::Program(_) => Reason::Program,
            Self::NoAlert => Reason::NoAlert,
        };
        let problem = MapProblem { reason, path: "$".to_owned(), detail: self.to_string() };
        RefusedAlert { alert_id: None, problems: vec![problem] }
    }
}

impl From<MapError> for Mapped {
    /// A payload of which nothing could be read.
    fn from(error: MapError) -> Self {
        Self { refused: vec![error.refusal()], ..Self::default() }
    }
}

impl Mapped {
    fn refer(&mut self, referred: Referred) {
        match referred {
            Referred::Alert(id) if self.references.contains(&id) => {}
            Referred::Alert(id) => self.references.push(id),
            Referred::Notice(notice) => self.notices.push(notice),
            Referred::Refused(refused) => self.refused.push(refused),
        }
    }
}

/// Reads the alerts of one payload.
pub fn map(format: &Format, payload: &[u8], cancel: &Cancel) -> Result<Mapped, MapError> {
    let mut mapped = Mapped::default();
    for output in &outputs(format, payload, cancel)? {
        if let Some(other) = referred(output, format.references()) {
            mapped.refer(other);
            continue;
        }
        let read = output::alert(output, format.pairing());
        mapped.alerts.extend(read.alert);
        mapped.refused.extend(read.refused);
        mapped.evidence.push(read.evidence);
    }
    Ok(mapped)
}

/// Returns what the format's program answers for one payload, as JSON texts.
pub fn answers(format: &Format, payload: &[u8], cancel: &Cancel) -> Result<Vec<String>, MapError> {
    Ok(outputs(format, payload, cancel)?.iter().map(ToString::to_string).collect())
}

fn outputs<'p>(
    format: &'p Format,
    payload: &'p [u8],
    cancel: &'p Cancel,
) -> Result<Vec<Value<'p>>, MapError> {
    let inputs = match format.body() {
        Body::One => vec![strict_json::read(payload)?],
        Body::Concatenated => strict_json::read_all(payload)?,
    };
    let outputs = format.program().run(&inputs, cancel)?;
    if outputs.is_empty() { Err(MapError::NoAlert) } else { Ok(outputs) }
}
