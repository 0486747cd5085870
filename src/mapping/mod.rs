//! Reads alerts out of payloads: strict JSON in, a format's jq program over it, alerts out.
//!
//! Pure but for [`Mapper`], which owns the threads that programs run on.

mod formats;
mod mapper;
mod meter;
mod natives;
mod output;
mod program;
mod strict_json;
mod subset;
mod value;
mod value_ops;

pub use formats::{BUILT_IN, BuiltIn, Format};
pub use mapper::{Mapper, MapperError};
pub use meter::Cancel;
pub use output::TARGETS_MAX;
pub use program::{ProgramError, RunError, SHARED};
pub use strict_json::{JsonError, JsonProblem};

use crate::alert::{Alert, MapProblem, Reason, RefusedAlert};

/// What a payload holds: the alerts that can become actions, and those that cannot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Alerts to act on.
    pub alerts: Vec<Alert>,
    /// What cannot be acted on: whole alerts, or single pairs of those above, with the reasons.
    pub refused: Vec<RefusedAlert>,
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

/// Reads the alerts of one payload.
pub fn map(format: &Format, payload: &[u8], cancel: &Cancel) -> Result<Mapped, MapError> {
    let input = strict_json::read(payload)?;
    let outputs = format.program().run(input, cancel)?;
    if outputs.is_empty() {
        return Err(MapError::NoAlert);
    }
    let mut mapped = Mapped::default();
    for output in &outputs {
        let read = output::alert(output);
        mapped.alerts.extend(read.alert);
        mapped.refused.extend(read.refused);
    }
    Ok(mapped)
}
