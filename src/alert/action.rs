//! An action and the record of what happened to it.

use std::fmt;

use jiff::Timestamp;

use super::entity::{EntityPair, Target};
use super::ids::{ActionId, AlertId, DeliveryId, SourceName};
use super::machine_action::MachineActionRef;
use super::severity::Severity;
use super::state::State;

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
    /// Returns the comment that Defender keeps with the call.
    pub fn comment(&self) -> String {
        comment(&self.alert_id)
    }
}

/// Returns the comment for the actions of an alert.
///
/// It is also the key by which the machine action is found again after a lost answer, together with machine
/// id, type and SHA1, so it depends on nothing but the alert id.
pub fn comment(alert_id: &AlertId) -> String {
    format!("Stop and quarantine file on machine due to alert {alert_id}")
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

/// Who made a change happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// The sender, by its alert.
    Source,
    /// The bridge, by its rules.
    Bridge,
    /// Defender, by its answer.
    Defender,
}

impl Who {
    /// All who can.
    pub const ALL: [Self; 3] = [Self::Source, Self::Bridge, Self::Defender];

    /// Returns the word used in API, store and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Bridge => "bridge",
            Self::Defender => "defender",
        }
    }

    /// Returns who the word stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.as_str() == text)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
