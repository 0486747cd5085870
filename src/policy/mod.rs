//! Decides whether an action may be sent: guards as plain functions over facts, combined by `decide`.
//!
//! Pure: the same inputs give the same verdict, in shadow mode, in `explain` and before every call.

mod approvals;
mod decided;
mod facts;
mod freeze;
mod guard;
mod guards;
mod limits;
mod promotion;
mod protect;
mod settings;
mod verdict;
mod version;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Action, Mode, Severity, Target, Unresolved};

pub use approvals::{Approval, Approvals};
pub use decided::{Decided, Undecided, decided};
pub use facts::{DeviceFacts, Fact, Facts, FileFacts, OwnFacts};
pub use freeze::{Freeze, When};
pub use guard::{Answer, Finding, Guard, UnknownGuard};
pub use limits::{LONGEST_PERIOD, Limit, LimitKey, UnknownLimitKey, default_limits};
pub use promotion::{Against, Promotion, Reason, Shadowed, promotion};
pub use protect::{
    BUILT_IN_FILES, DeviceTrait, ProtectedDevice, ProtectedFile, ProtectedFiles, built_in_devices,
    built_in_files,
};
pub use settings::{Guards, Need, No, OsRule, PrevalenceRule, Switch};
pub use verdict::{Decision, OpenHold, Verdict, decide, source_unknown};

/// How long an action waits for a person if the configuration does not say; then it has been refused by silence.
pub const HOLD_LIMIT: SignedDuration = SignedDuration::from_hours(24);

/// What one source may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How far the source may go by its own section.
    pub source_mode: Mode,
    /// How far any source may go.
    pub mode_max: Mode,
    /// The mildest severity that is acted on.
    pub min_severity: Severity,
    /// How old an alert may be when its action is sent.
    pub max_age: SignedDuration,
    /// How its guards are set.
    pub guards: Arc<Guards>,
}

impl Policy {
    /// A policy whose guards are set as usual.
    pub fn new(mode: Mode, min_severity: Severity, max_age: SignedDuration) -> Self {
        let (source_mode, mode_max) = (mode, Mode::Enforce);
        Self { source_mode, mode_max, min_severity, max_age, guards: Arc::default() }
    }

    /// Returns how far the source may go: the global mode can only lower its own.
    pub fn mode(&self) -> Mode {
        self.source_mode.min(self.mode_max)
    }

    /// Returns how far one action of the source may go, if it may go no further than so.
    pub fn mode_within(&self, max: Option<Mode>) -> Mode {
        max.map_or(self.mode(), |max| self.mode().min(max))
    }

    /// Tells the mode of one action, and what lowers it.
    pub fn told_mode_within(&self, max: Option<Mode>) -> String {
        match max.filter(|max| *max < self.mode()) {
            Some(max) => {
                format!("mode {max} (the source's is {}; who asked for it may go no further)", self.mode())
            }
            None => self.told_mode(),
        }
    }

    /// Tells the mode, and what lowers it.
    pub fn told_mode(&self) -> String {
        if self.source_mode > self.mode_max {
            let (source, max) = (self.source_mode, self.mode_max);
            return format!("mode {max} (the source's is {source}; [policy] mode_max lowers it)");
        }
        format!("mode {}", self.source_mode)
    }

    /// Changes how the guards are set.
    #[must_use]
    pub fn with_guards(mut self, change: impl FnOnce(&mut Guards)) -> Self {
        change(Arc::make_mut(&mut self.guards));
        self
    }
}

/// What is known of an action when it is decided, of the alert itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What the sender says of the alert.
    pub severity: Option<Severity>,
    /// When the alert happened.
    pub occurred_at: Option<Timestamp>,
    /// When a person last completed or approved the action.
    pub completed_at: Option<Timestamp>,
    /// How far it may go at most, where a caller of the API asked for no more.
    pub mode_max: Option<Mode>,
    /// Device and file, or why they are not known.
    pub target: Result<Target, Unresolved>,
}

impl Candidate {
    /// Takes what a stored action knows, with its target as it was resolved.
    pub fn of(action: &Action, target: Result<Target, Unresolved>) -> Self {
        Self {
            severity: action.severity,
            occurred_at: action.occurred_at,
            completed_at: action.looked_at(),
            mode_max: action.mode_max(),
            target,
        }
    }
}
