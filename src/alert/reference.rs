//! Alerts that a delivery only refers to, and how far their fetching has come.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::ids::{AlertId, IdError};

/// The longest id of an alert in Microsoft Graph; those seen have under 60 characters.
const GRAPH_ALERT_ID_CHARS_MAX: usize = 128;

/// Microsoft Graph's id of an alert: 1 to 128 of `A-Z`, `a-z`, `0-9`, `-` and `_`, such as
/// `da637551227677560813_-961444813`. It becomes part of an address, so nothing else is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GraphAlertId(String);

impl GraphAlertId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether an alert is the one of this id.
    pub fn is_of(&self, alert_id: &AlertId) -> bool {
        self.0 == alert_id.as_str()
    }
}

impl FromStr for GraphAlertId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=GRAPH_ALERT_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let problem = "must be 1 to 128 letters, digits, - and _";
        let found = text.chars().take(80).collect();
        Err(IdError::Text { what: "id of an alert in Microsoft Graph", problem, found })
    }
}

impl fmt::Display for GraphAlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fetching of one alert that a delivery refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Which alert.
    pub alert_id: GraphAlertId,
    /// How far it has come.
    pub state: FetchState,
    /// What was last found out, for a person.
    pub why: String,
    /// How often Graph was asked since the alert was last referred to.
    pub attempts: u32,
    /// When the alert was last referred to.
    pub wanted_at: Timestamp,
    /// When Graph is asked next, if it is.
    pub next_at: Option<Timestamp>,
    /// When the fetching ended, if it has.
    pub ended_at: Option<Timestamp>,
}

/// How far the fetching of an alert has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchState {
    /// On disk; Graph is asked, or asked again.
    Pending,
    /// Graph gave the alert, and what it holds was accepted or refused.
    Fetched,
    /// Graph did not give it, and is not asked any more.
    Failed,
}

impl FetchState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Fetched, Self::Failed];

    /// Returns the word used in API, store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
        }
    }
}

/// A word that is no state of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state of a fetch {0:?}")]
pub struct UnknownFetchState(String);

impl FromStr for FetchState {
    type Err = UnknownFetchState;

    fn from_str(text: &str) -> Result<Self, UnknownFetchState> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| UnknownFetchState(text.chars().take(40).collect()))
    }
}

/// What Microsoft Graph tells about a subscription, beside the changes that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionNotice {
    /// What it is about.
    pub lifecycle: Lifecycle,
    /// Graph's id of the subscription.
    pub subscription: Option<String>,
}

/// The kinds of notices about a subscription (Microsoft Learn, "Reduce missing subscriptions and change notifications").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// Notifications stop unless the subscription is authorized again.
    ReauthorizationRequired,
    /// The subscription is gone.
    SubscriptionRemoved,
    /// Notifications were lost.
    Missed,
    /// A kind that is not known here.
    Other,
}

impl Lifecycle {
    const ALL: [Self; 4] =
        [Self::ReauthorizationRequired, Self::SubscriptionRemoved, Self::Missed, Self::Other];

    /// Finds the kind by Graph's word for it.
    pub fn named(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Other)
    }

    /// Returns Graph's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReauthorizationRequired => "reauthorizationRequired",
            Self::SubscriptionRemoved => "subscriptionRemoved",
            Self::Missed => "missed",
            Self::Other => "other",
        }
    }

    /// Says what a person has to do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ReauthorizationRequired => {
                "renew the subscription (PATCH /v1.0/subscriptions/{id} with a new expirationDateTime), or no more \
                 notifications come"
            }
            Self::SubscriptionRemoved => {
                "make the subscription again (POST /v1.0/subscriptions): no notifications come any more"
            }
            Self::Missed => {
                "look in the portal for alerts of the last hours that the bridge does not have, and deliver their ids again"
            }
            Self::Other => "look up this lifecycleEvent in Microsoft's documentation",
        }
    }
}
