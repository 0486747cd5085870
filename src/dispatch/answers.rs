//! Defender's answers about devices and files, kept for a short while. Pure.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Found, Question, after};

/// How many answers are kept.
const KEPT_MAX: usize = 10_000;

/// How long the records of devices are believed: names and addresses move.
const MACHINES_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// How long the record of a file is believed: its hashes never change.
const FILE_LIFE: SignedDuration = SignedDuration::from_mins(60);

/// How long it is believed that there is nothing: a new device or file takes some minutes to be known.
const NOTHING_LIFE: SignedDuration = SignedDuration::from_secs(60);

/// Answers by question. Old ones are dropped, and when there are too many, those that would end first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    kept: HashMap<Question, Kept>,
    max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    found: Found,
    asked_at: Timestamp,
    until: Timestamp,
}

impl Default for Answers {
    fn default() -> Self {
        Self::at_most(KEPT_MAX)
    }
}

impl Answers {
    /// Starts with none, to keep so many at most.
    pub fn at_most(max: usize) -> Self {
        Self { kept: HashMap::new(), max }
    }

    /// Returns the answer to a question if it is fresh enough, and was asked for not before that time if there is one.
    pub fn get(&self, question: &Question, now: Timestamp, not_before: Option<Timestamp>) -> Option<&Found> {
        let kept = self.kept.get(question)?;
        // An answer from the future means that the clock was set back; how old it is is not known.
        let is_fresh = kept.asked_at <= now && now < kept.until;
        let is_late_enough = not_before.is_none_or(|at| kept.asked_at >= at);
        (is_fresh && is_late_enough).then_some(&kept.found)
    }

    /// Keeps the answer to a question that was asked at that time.
    pub fn keep(&mut self, question: Question, found: Found, asked_at: Timestamp) {
        let until = after(asked_at, life(&found));
        self.kept.insert(question, Kept { found, asked_at, until });
        if self.kept.len() > self.max {
            self.kept.retain(|_, kept| kept.until > asked_at);
        }
        while self.kept.len() > self.max {
            let first =
                self.kept.iter().min_by_key(|(_, kept)| kept.until).map(|(question, _)| question.clone());
            first.and_then(|question| self.kept.remove(&question));
        }
    }

    /// Returns how many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Says whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

fn life(found: &Found) -> SignedDuration {
    match found {
        Found::Machines(list) if list.is_empty() => NOTHING_LIFE,
        Found::File(None) | Found::Refused(_) | Found::Forbidden(_) => NOTHING_LIFE,
        Found::Machines(_) => MACHINES_LIFE,
        Found::File(Some(_)) => FILE_LIFE,
    }
}
