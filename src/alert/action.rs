//! An action and the record of what happened to it.

use jiff::{SignedDuration, Timestamp};

use super::completion::Completion;
use super::entity::{EntityPair, Target};
use super::ids::{ActionId, AlertId, DeliveryId, MachineActionId, SourceName};
use super::machine_action::MachineActionRef;
use super::mode::Mode;
use super::requested::Requested;
use super::severity::Severity;
use super::state::State;
use super::unresolved::HeldReason;
use super::who::Who;

/// Our one intended StopAndQuarantineFile, for one pair of entities because of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Our id.
    pub id: ActionId,
    /// The delivery that brought it.
    pub delivery_id: DeliveryId,
    /// Who sent the alert.
    pub source: SourceName,
    /// The sender's id of the alert.
    pub alert_id: AlertId,
    /// What the sender says of it.
    pub severity: Option<Severity>,
    /// The alert's title.
    pub title: String,
    /// Where a person can look at the alert.
    pub url: Option<String>,
    /// When the alert happened.
    pub occurred_at: Option<Timestamp>,
    /// Device and file as the sender named them.
    pub pair: EntityPair,
    /// Device and file as Defender knows them, once resolved.
    pub target: Option<Target>,
    /// What was asked for with it, if a caller of the API brought it.
    pub requested: Option<Requested>,
    /// The action that it is another try of, if it is one.
    pub retry_of: Option<ActionId>,
    /// What a person added to it last.
    pub completion: Option<Completion>,
    /// When a person last approved what held it.
    pub approved_at: Option<Timestamp>,
    /// Why it is held, where that is because device or file are not known.
    pub held_reason: Option<HeldReason>,
    /// When the alert was on disk.
    pub accepted_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there.
    pub changed_at: Timestamp,
    /// When it will not be waited for any longer, if it waits.
    pub expires_at: Option<Timestamp>,
    /// How many intents were recorded.
    pub attempts: u32,
    /// Defender's own record of it, once there is one.
    pub machine_action: Option<MachineActionRef>,
}

impl Action {
    /// Returns since when the action counts as fresh: since the alert happened, or since a person last looked at it.
    pub fn fresh_since(&self) -> Option<Timestamp> {
        let looked_at = self.looked_at();
        self.occurred_at.map(|at| looked_at.map_or(at, |looked_at| looked_at.max(at)))
    }

    /// Returns when a person last looked at it, to complete or to approve it, or to have it tried again.
    pub fn looked_at(&self) -> Option<Timestamp> {
        let retried_at = self.retry_of.map(|_| self.accepted_at);
        self.completion.as_ref().map(|completion| completion.at).max(self.approved_at).max(retried_at)
    }

    /// Returns how long a held action waits for a person in all. After a person's word, what comes next has as long again.
    pub fn hold_limit(&self, now: Timestamp) -> SignedDuration {
        let left = |since| self.expires_at.map_or(SignedDuration::ZERO, |at| at.duration_since(since));
        // Measured from now as well, for the time of day may have been set back since it is held.
        left(self.changed_at).max(left(now))
    }

    /// Returns how far it may go at most, where that is less than what its source may do.
    pub fn mode_max(&self) -> Option<Mode> {
        self.requested.as_ref().and_then(|requested| requested.mode_max)
    }

    /// Returns the comment that Defender keeps with the call.
    pub fn comment(&self) -> String {
        comment(&self.alert_id, self.retry_of)
    }
}

/// Returns the comment for the actions of an alert.
///
/// It is also the key by which the machine action is found again after a lost answer, together with machine
/// id, type and SHA1, so it depends on nothing but the alert id; and for another try on the action before, whose machine
/// action it must not be taken for.
pub fn comment(alert_id: &AlertId, retry_of: Option<ActionId>) -> String {
    let retry = retry_of.map(|before| format!(" (retry of {before})")).unwrap_or_default();
    format!("Stop and quarantine file on machine due to alert {alert_id}{retry}")
}

/// An action whose call has an unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The action.
    pub action: Action,
    /// When its last intent was recorded.
    pub intent_at: Timestamp,
    /// When its first intent was recorded.
    pub first_intent_at: Timestamp,
    /// How often in a row Defender's list did not have it.
    pub empty_reads: u32,
    /// When that was last read.
    pub empty_read_at: Option<Timestamp>,
    /// Whether every call of it was refused or never left: then a machine action that is found is not ours.
    pub is_surely_unmade: bool,
    /// How many of its last calls in a row ended with the service instead of an answer.
    pub crashes: u32,
    /// Machine actions for the same device and file that other actions of ours have.
    pub taken: Vec<MachineActionId>,
}

impl Unsettled {
    /// How long Defender's list may stay unread before a person must look.
    pub const OVERDUE_AFTER: SignedDuration = SignedDuration::from_mins(15);
}

/// One change of an action's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// From which state; `None` for the first.
    pub from: Option<State>,
    /// To which state.
    pub to: State,
    /// Why, for a person.
    pub why: String,
    /// Who made it happen.
    pub who: Who,
    /// What was known then, a line a fact: what each guard found, what Defender answered.
    pub facts: Vec<String>,
}
