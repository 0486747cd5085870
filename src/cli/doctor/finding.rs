//! One thing that was looked at: what was found, why it matters, what to do next.

use serde_json::{Value, json};

use crate::alert::is_deceptive;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Config,
    Files,
    Database,
    Disk,
    Service,
    Network,
    Clock,
    Token,
    Roles,
    List,
    Sources,
    Budget,
    Sending,
    Tokens,
}

impl Check {
    /// The word by which it is known.
    fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Files => "files",
            Self::Database => "database",
            Self::Disk => "disk",
            Self::Service => "service",
            Self::Network => "network",
            Self::Clock => "clock",
            Self::Token => "token",
            Self::Roles => "roles",
            Self::List => "list",
            Self::Sources => "sources",
            Self::Budget => "budget",
            Self::Sending => "sending",
            Self::Tokens => "tokens",
        }
    }

    /// Why it matters.
    fn why(self) -> &'static str {
        match self {
            Self::Config => {
                "the service starts, and takes over changes, only if nothing in its configuration is wrong"
            }
            Self::Files => {
                "whoever can read a secret can pretend to be its owner, and whoever can write the configuration decides what is \
                 quarantined"
            }
            Self::Database => "an alert that was answered 2xx is there, and nowhere else",
            Self::Disk => {
                "a delivery is answered once it is on disk: a slow one lets senders wait, a full one turns them away"
            }
            Self::Service => "without it nobody takes deliveries, and nothing is sent",
            Self::Network => "while Entra ID or Defender is not reached, alerts wait until they are too old",
            Self::Clock => "signatures, tokens and the age of alerts are judged by this machine's clock",
            Self::Token => "without a token nothing can be asked of Defender",
            Self::Roles => {
                "a call that the token's roles do not allow is refused, and facts that cannot be learned hold actions"
            }
            Self::List => {
                "only Defender's list tells what became of a call whose answer was lost; nothing is sent before it was read"
            }
            Self::Sources => "a sender that has broken down looks like a quiet day",
            Self::Budget => {
                "Microsoft limits calls for the whole app registration, other programs with it included"
            }
            Self::Sending => "alerts are taken in any case; this says whether something becomes of them",
            Self::Tokens => "a program whose token has ended is answered 401",
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    /// May be meant so, and should be known.
    Note,
    Wrong,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    check: Check,
    verdict: Verdict,
    what: String,
    next: Option<String>,
}

/// Nothing is to be done.
pub(super) fn well(check: Check, what: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Well, what: what.into(), next: None }
}

/// To be known, and perhaps something to be done.
pub(super) fn note(check: Check, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Note, what: what.into(), next: Some(next.into()) }
}

/// To be mended.
pub(super) fn wrong(check: Check, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Wrong, what: what.into(), next: Some(next.into()) }
}

impl Finding {
    /// Says whether something is to be mended.
    pub(in crate::cli) fn is_wrong(&self) -> bool {
        self.verdict == Verdict::Wrong
    }

    /// Returns it for machines.
    pub(in crate::cli) fn json(&self) -> Value {
        self.with(&shown(&self.what), self.next.as_deref().map(shown).as_deref())
    }

    /// Returns it for whoever helps from outside: words and paths of the installation are nobody else's business.
    pub(in crate::cli) fn impersonal(&self) -> Value {
        match self.check {
            Check::Config | Check::Files | Check::Tokens | Check::Sources => {
                self.with("told at the installation only", None)
            }
            _ => self.json(),
        }
    }

    fn with(&self, what: &str, next: Option<&str>) -> Value {
        json!({"check": self.check.as_str(), "verdict": self.verdict.as_str(), "what": what, "why": self.check.why(),
               "next": next})
    }

    /// Returns the lines for a person.
    pub(super) fn lines(&self) -> String {
        let line = format!("{:5} {:8} {}", self.verdict.as_str(), self.check.as_str(), shown(&self.what));
        let why = self.is_wrong().then(|| format!("\n        why: {}", self.check.why()));
        let next = self.next.as_deref().map(|next| format!("\n        next: {}", shown(next)));
        format!("{line}{}{}", why.unwrap_or_default(), next.unwrap_or_default())
    }
}

/// What others have said goes to a terminal: in one line, and nothing in it hides or moves.
fn shown(text: &str) -> String {
    text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).collect()
}
