//! The words of the service as types: values only, no I/O, no clock, no async.

mod action;
mod advance;
mod api;
mod callback;
mod cancellation;
mod completion;
mod dns_name;
mod entity;
mod hashes;
mod ids;
mod machine;
mod machine_action;
mod mode;
mod outcome;
mod question;
mod reason_text;
mod reference;
mod refused;
mod requested;
mod severity;
mod state;
mod steady;
mod time;
mod traceparent;
mod tried;
mod unresolved;
mod upstream;
mod who;

use jiff::Timestamp;

pub use action::{Action, Change, Unsettled, comment};
pub use advance::{Advance, Patch};
pub use api::{Api, UnknownApi};
pub use callback::{EventType, MessageState, Remind, UnknownEventType, UnknownMessageState};
pub use cancellation::{CancelCall, CancelOutcome, Cancellation, Sharer, Standing, Wish};
pub use completion::Completion;
pub use dns_name::DnsName;
pub use entity::{EntityPair, FileEntity, FoundAt, MachineEntity, Target, is_of_one_device};
pub use hashes::{MachineId, Md5, Sha1, Sha256};
pub use ids::{
    AadDeviceId, ActionId, AlertId, CallbackName, DeliveryId, IdError, MachineActionId, SignedId, SourceName,
    is_deceptive,
};
pub use machine::{FileRecord, FileStats, FileTraits, Machine, MachineTraits};
pub use machine_action::{MachineAction, MachineActionRef, SupersededBy, end_of};
pub use mode::{Mode, UnknownMode};
pub use outcome::{Outcome, Refusal};
pub use question::{Found, LookupApi, Question};
pub use reason_text::{REASON_CHARS_MAX, reason_text, visible_line};
pub use reference::{Fetch, FetchState, GraphAlertId, Lifecycle, SubscriptionNotice, UnknownFetchState};
pub use refused::{MapProblem, Reason, RefusedAlert};
pub use requested::Requested;
pub use severity::{Severity, UnknownSeverity};
pub use state::{State, UnknownState};
pub use steady::{Anchor, Moment, Steady, lies_ahead};
pub use time::{after, before, days, from_millis, millis, parse_time, retry_time};
pub use traceparent::{NotATraceparent, Traceparent};
pub use tried::Tried;
pub use unresolved::{HeldReason, UnknownHeldReason, Unresolved};
pub use upstream::{BreakerReport, BreakerState, OpenBreaker, Trouble, Upstream};
pub use who::{Holder, Principal, PrincipalId, UnknownWho, Who};

/// One alert inside a delivery, as its format's program read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The sender's own id, kept as it came.
    pub alert_id: AlertId,
    /// How bad the sender says it is; `None` when it used a word we do not know.
    pub severity: Option<Severity>,
    /// A line for a person to read.
    pub title: String,
    /// When it happened, if the sender says so.
    pub occurred_at: Option<Timestamp>,
    /// Where a person can look at the alert.
    pub url: Option<String>,
    /// The pairs of a device and a file that the alert names. Never empty.
    pub targets: Vec<EntityPair>,
}
