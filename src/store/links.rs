//! One-time links by which a person decides about a held action. What comes by one is its approver's word, taken as any other.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Transaction, params};

use crate::alert::{Action, ActionId, Holder, State, Who, after, millis};
use crate::audit::Act;

use super::approvals::{self, Hold};
use super::audit::{self, Administered};
use super::rows::{Columns, to_json};
use super::scope::Scope;
use super::tokens::{self, StoredToken, TokenStanding};
use super::words::Word;
use super::{Store, StoreError, kept_action, parts};

/// The wish for a link.
#[derive(Debug, Clone)]
pub struct MakeLink {
    /// Its public part.
    pub id: String,
    /// SHA-256 of its random part.
    pub secret_sha256: [u8; 32],
    /// The action.
    pub action: ActionId,
    /// The name of the approver's token.
    pub approver: String,
    /// How long it lives, if the hold does not end before.
    pub lifetime: SignedDuration,
    /// Who wants it.
    pub who: Who,
    /// Now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MadeLink {
    /// It is kept.
    Made(Box<KeptLink>),
    /// The action does not wait for a person: it is in this state.
    NotHeld(State),
    /// Something holds it that no approval can stand for.
    NotApprovable,
    /// No token of that name is alive and may approve.
    NoApprover,
    /// The approver has a part in the action.
    ApproverHasPart,
    /// Whoever wants the link has a part in the action, or would be its approver.
    MakerHasPart,
    /// There is no such action.
    Missing,
}

/// A link as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLink {
    /// Its public part.
    pub id: String,
    /// The action.
    pub action: ActionId,
    /// Whose word it is.
    pub approver: Who,
    /// Who made it.
    pub made_by: Who,
    /// The holds that are shown and approved.
    pub holds: Vec<String>,
    /// Since when they hold.
    pub held_since: Timestamp,
    /// SHA-256 of its random part.
    pub secret_sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What it was used for.
    pub used: Option<LinkUse>,
}

/// What a link was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkUse {
    /// When.
    pub at: Timestamp,
    /// What was said.
    pub choice: Choice,
}

/// What can be said by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Send it, although the link's holds hold it.
    Approve,
    /// Do not send it.
    Deny,
}

impl Choice {
    /// Reads the word used in store and page.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "approve" => Some(Self::Approve),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }

    pub(super) fn word(self, holds: &[String]) -> Word {
        match self {
            Self::Approve => Word::Approve { holds: holds.to_vec() },
            Self::Deny => Word::Deny,
        }
    }
}

impl Store {
    /// Makes a link.
    pub async fn make_link(&self, wish: MakeLink) -> Result<MadeLink, StoreError> {
        self.writer.write(move |tx| make(tx, &wish)).await
    }

    /// Returns a link by its public part, if it is not over.
    pub async fn link(&self, id: String, now: Timestamp) -> Result<Option<KeptLink>, StoreError> {
        self.readers.read(move |db| alive(db, &id, now)).await
    }
}

fn make(tx: &Transaction<'_>, wish: &MakeLink) -> Result<MadeLink, StoreError> {
    let Some(action) = kept_action::load(tx, wish.action)? else {
        return Ok(MadeLink::Missing);
    };
    if parts::brought_about(tx, &action, &wish.who)? {
        return Ok(MadeLink::MakerHasPart);
    }
    let Some(held_until) = action.expires_at.filter(|at| action.state == State::Held && *at > wish.now)
    else {
        return Ok(MadeLink::NotHeld(approvals::state_by_now(&action, wish.now)));
    };
    let holds = approvals::holds(tx, action.id)?;
    if holds.is_empty() || holds.iter().any(|hold| hold.approvers.is_none()) {
        return Ok(MadeLink::NotApprovable);
    }
    let Some(approver) = approver(tx, wish)? else {
        return Ok(MadeLink::NoApprover);
    };
    if approver.may_be(&wish.who) {
        return Ok(MadeLink::MakerHasPart);
    }
    if parts::has_part(tx, &action, &approver)? {
        return Ok(MadeLink::ApproverHasPart);
    }
    let link = KeptLink {
        id: wish.id.clone(),
        action: action.id,
        approver,
        made_by: wish.who.clone(),
        holds: names(holds),
        held_since: action.changed_at,
        secret_sha256: wish.secret_sha256,
        created_at: wish.now,
        expires_at: after(wish.now, wish.lifetime).min(held_until),
        used: None,
    };
    // As it is read back: times are kept to the millisecond.
    keep(tx, &link)?;
    find(tx, &wish.id)?.map(|kept| MadeLink::Made(Box::new(kept))).ok_or_else(|| StoreError::lost(action.id))
}

fn names(holds: Vec<Hold>) -> Vec<String> {
    let mut names: Vec<String> = holds.into_iter().map(|hold| hold.guard).collect();
    names.sort_unstable();
    names
}

/// Finds the approver's token: of those of the name that are alive and may approve, the one that lives longest.
fn approver(db: &Connection, wish: &MakeLink) -> Result<Option<Who>, StoreError> {
    let named = tokens::of_name(db, &wish.approver)?;
    let found = named.into_iter().filter(|token| may_approve(token, wish.now)).max_by_key(|it| it.expires_at);
    Ok(found.map(|token| Who::Token(Holder { name: token.name, token: Some(token.id) })))
}

fn may_approve(token: &StoredToken, now: Timestamp) -> bool {
    token.standing(now) == TokenStanding::Active && token.scopes.contains(&Scope::ActionsApprove)
}

fn keep(tx: &Transaction<'_>, link: &KeptLink) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO links (id, action_seq, approver, made_by, holds, held_since, secret_sha256, created_at, expires_at)
         SELECT ?2, seq, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM actions WHERE id = ?1",
    )?
    .execute(params![
        link.action.to_string(),
        link.id,
        link.approver.principal(),
        link.made_by.principal(),
        to_json(&link.holds)?,
        millis(link.held_since),
        link.secret_sha256,
        millis(link.created_at),
        millis(link.expires_at),
    ])?;
    let done = Administered {
        action: Some(link.action),
        to: Some(format!("link {} for {}", link.id, link.approver.principal())),
        after: Some(format!("{}, until {:.0}", link.holds.join(", "), link.expires_at)),
        ..Administered::new(&link.made_by, Act::MakeLink, link.created_at)
    };
    audit::administered(tx, &done)
}

fn find(db: &Connection, id: &str) -> Result<Option<KeptLink>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT l.*, a.id AS action_id FROM links l JOIN actions a ON a.seq = l.action_seq WHERE l.id = ?1",
    )?;
    let mut found = statement.query([id])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let columns = Columns(row);
    let choice = columns.raw::<Option<String>>("used_word")?.and_then(|word| Choice::read(&word));
    let used = columns.maybe_time("used_at")?.zip(choice).map(|(at, choice)| LinkUse { at, choice });
    Ok(Some(KeptLink {
        id: columns.raw("id")?,
        action: columns.parsed("action_id")?,
        approver: columns.parsed("approver")?,
        made_by: columns.parsed("made_by")?,
        holds: columns.json("holds")?,
        held_since: columns.time("held_since")?,
        secret_sha256: columns.raw("secret_sha256")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        used,
    }))
}

/// Returns a link that is not over: nothing of its time, its approver's right or its maker's trust is gone.
pub(super) fn alive(db: &Connection, id: &str, now: Timestamp) -> Result<Option<KeptLink>, StoreError> {
    let Some(link) = find(db, id)?.filter(|link| now < link.expires_at) else {
        return Ok(None);
    };
    let token = |who: &Who| who.token().map(|id| tokens::find(db, id)).transpose();
    let approver = token(&link.approver)?.flatten().is_some_and(|token| may_approve(&token, now));
    // Whoever takes the maker's token away wants nothing of it to count any more. An issuer's cannot be taken away here: its links are short-lived.
    let maker = link.made_by.principal_id().is_some()
        || token(&link.made_by)?.flatten().is_some_and(|token| token.revoked.is_none());
    Ok(Some(link).filter(|_| approver && maker))
}

impl KeptLink {
    /// Says whether the action is still held as it was when the link was made.
    pub fn is_about(&self, action: &Action, holds: &[Hold]) -> bool {
        self.held_since == action.changed_at && self.holds == names(holds.to_vec())
    }
}
