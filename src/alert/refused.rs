//! Alerts that cannot become actions, and why.

use serde::{Deserialize, Serialize};

/// An alert, or a whole payload, that cannot become actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAlert {
    /// The alert's id, if a readable one was found.
    pub alert_id: Option<String>,
    /// Everything that is wrong with it.
    pub problems: Vec<MapProblem>,
}

/// One thing that is wrong with an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapProblem {
    /// Which kind of problem.
    pub reason: Reason,
    /// JSON path of the place in the payload, as far as the format tells it.
    pub path: String,
    /// What is wrong there, for a person.
    pub detail: String,
}

/// The kinds of problems, a fixed list: metric labels and callers depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The body is not JSON that is taken.
    Json,
    /// The format's program failed on the payload.
    Program,
    /// The format found no alert in the payload.
    NoAlert,
    /// The program's answer is not of the form that formats must answer.
    FormatOutput,
    /// The alert has no id, or one that is not an id.
    AlertId,
    /// The alert names no file on a device that its source calls malicious or detected.
    NoTarget,
    /// The message says that nothing is to be done: resolved, an update, or a test.
    Settled,
    /// The alert names too many pairs.
    TooManyTargets,
    /// A machine id is not 40 hexadecimal digits, or the device is not named at all.
    Machine,
    /// A hash is not of its form or a placeholder, or the file is not named at all.
    File,
}

impl Reason {
    /// Returns the word used in API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Program => "program",
            Self::NoAlert => "no_alert",
            Self::FormatOutput => "format_output",
            Self::AlertId => "alert_id",
            Self::NoTarget => "no_target",
            Self::Settled => "settled",
            Self::TooManyTargets => "too_many_targets",
            Self::Machine => "machine",
            Self::File => "file",
        }
    }
}
