//! What an entry is about: one variant a kind, with all that is known of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Deed {
    /// Policy decided an action, or decided it anew right before it was sent.
    Decision {
        /// By which policy; none if its source is not configured any more.
        policy: Option<Digest>,
        /// The moves, with what each guard found.
        moves: Vec<Move>,
    },
    /// Defender is about to be called.
    Intent {
        /// Which call of the action it is, from 1.
        attempt: u32,
        /// By which policy.
        policy: Digest,
        /// What Defender keeps with the call.
        comment: String,
        /// The move, with what each guard found right before the call.
        moves: Vec<Move>,
    },
    /// A call ended.
    Outcome {
        /// Which call of the action it was.
        attempt: u32,
        /// What was answered.
        answer: Answered,
        /// Where that took the action.
        moves: Vec<Move>,
    },
    /// An action changed its state otherwise.
    Change {
        /// The moves.
        moves: Vec<Move>,
    },
    /// Defender is about to be asked to cancel its machine action.
    CancelCall {
        /// Which call it is since the cancellation was last asked for, from 1.
        attempt: u32,
        /// What Defender keeps with the call.
        comment: String,
    },
    /// A cancel call ended.
    CancelOutcome {
        /// What was answered.
        answer: Answered,
    },
    /// A person did something.
    Administration(Administration),
    /// A configuration was read.
    Configuration(Configuration),
    /// The database was restored: entries that were written after the backup are lost.
    Restore {
        /// When the backup was made, in milliseconds since 1970.
        backup_at: i64,
    },
    /// The record was signed up to the entry before this one.
    Checkpoint {
        /// The signed checkpoint, as it was handed out.
        signed: String,
    },
}

impl Deed {
    /// Returns the word of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Decision { .. } => "decision",
            Self::Intent { .. } => "intent",
            Self::Outcome { .. } => "outcome",
            Self::Change { .. } => "change",
            Self::CancelCall { .. } => "cancel_call",
            Self::CancelOutcome { .. } => "cancel_outcome",
            Self::Administration(_) => "administration",
            Self::Configuration(_) => "configuration",
            Self::Restore { .. } => "restore",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }

    /// Returns the moves of its action.
    pub fn moves(&self) -> &[Move] {
        match self {
            Self::Decision { moves, .. }
            | Self::Intent { moves, .. }
            | Self::Outcome { moves, .. }
            | Self::Change { moves } => moves,
            _ => &[],
        }
    }

    /// Returns what Defender answered.
    pub fn answer(&self) -> Option<&Answered> {
        match self {
            Self::Outcome { answer, .. } | Self::CancelOutcome { answer } => Some(answer),
            _ => None,
        }
    }

    /// Returns the policy by which it was decided.
    pub fn policy(&self) -> Option<Digest> {
        match self {
            Self::Decision { policy, .. } => *policy,
            Self::Intent { policy, .. } => Some(*policy),
            _ => None,
        }
    }
}

/// A change of an action's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// From which state.
    pub from: Option<String>,
    /// To which state.
    pub to: String,
    /// Who made it happen.
    pub who: String,
    /// Why.
    pub why: String,
    /// What was known: a line for each guard, or what Defender said.
    pub facts: Vec<String>,
}

/// What is known of an answer of Defender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What it means.
    pub outcome: String,
    /// HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// Defender's error code.
    pub code: Option<String>,
    /// What was said, by Defender or about the connection.
    pub message: Option<String>,
    /// Defender's correlation id.
    pub correlation_id: Option<String>,
}

/// What a person did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administration {
    /// What.
    pub act: Act,
    /// What it was done to: the id of a delivery, of a token.
    pub to: Option<String>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// How it was before.
    pub before: Option<String>,
    /// How it was after.
    pub after: Option<String>,
}

/// What a person can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Ask for an action.
    RequestAction,
    /// Say which device or file an action is about.
    CompleteAction,
    /// Ask for an action to end.
    CancelAction,
    /// Have an action tried again.
    RetryAction,
    /// Approve what holds an action.
    ApproveAction,
    /// Deny a held action.
    DenyAction,
    /// Make a link by which an approver decides.
    MakeLink,
    /// Decide by a link.
    UseLink,
    /// Read a kept delivery again.
    ReplayDelivery,
    /// Make a token of the API.
    CreateToken,
    /// Take a token of the API away.
    RevokeToken,
    /// Mark a quarantine as undone.
    UndoAction,
    /// Take away the mark of a quarantine that was undone.
    RemoveUndoMark,
    /// Turn the kill switch on.
    TurnKillSwitchOn,
    /// Turn the kill switch off.
    TurnKillSwitchOff,
    /// Open the breaker on blast radius: the bridge does it itself.
    OpenBlastBreaker,
    /// Close the breaker on blast radius.
    CloseBlastBreaker,
    /// Have messages sent again to a callback.
    ReplayMessages,
    /// Have a callback told again that has answered 410.
    ResumeCallback,
}

impl Act {
    /// Returns the word used in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestAction => "request_action",
            Self::CompleteAction => "complete_action",
            Self::CancelAction => "cancel_action",
            Self::RetryAction => "retry_action",
            Self::ApproveAction => "approve_action",
            Self::DenyAction => "deny_action",
            Self::MakeLink => "make_link",
            Self::UseLink => "use_link",
            Self::ReplayDelivery => "replay_delivery",
            Self::CreateToken => "create_token",
            Self::RevokeToken => "revoke_token",
            Self::UndoAction => "undo_action",
            Self::RemoveUndoMark => "remove_undo_mark",
            Self::TurnKillSwitchOn => "turn_kill_switch_on",
            Self::TurnKillSwitchOff => "turn_kill_switch_off",
            Self::OpenBlastBreaker => "open_blast_breaker",
            Self::CloseBlastBreaker => "close_blast_breaker",
            Self::ReplayMessages => "replay_messages",
            Self::ResumeCallback => "resume_callback",
        }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// What became of it.
    pub act: ConfigurationAct,
    /// The version of the bridge.
    pub bridge: String,
    /// The SHA-256 of the file.
    pub file: Digest,
    /// What each source may do by it; none of one that was refused.
    pub sources: BTreeMap<String, SourcePolicy>,
    /// Why it was refused.
    pub problem: Option<String>,
}

/// What a source may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePolicy {
    /// How far it may go.
    pub mode: String,
    /// The digest of all its settings.
    pub policy: Digest,
}

/// What became of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigurationAct {
    /// The service started with it.
    Loaded,
    /// The running service took it over.
    Reloaded,
    /// The running service kept the one before.
    Refused,
}

impl ConfigurationAct {
    /// Returns the word used in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Reloaded => "reloaded",
            Self::Refused => "refused",
        }
    }
}
