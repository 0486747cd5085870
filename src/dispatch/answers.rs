//! Defender's answers about devices and files, kept for a short while. Pure.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Found, Question, after, lies_ahead};

/// How many answers are kept.
const KEPT_MAX: usize = 10_000;

/// The longest list whose devices are kept one by one.
const IMPLIED_MAX: usize = 10;

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
    order: Order,
}

/// When a question was asked and answered, among all questions: more exact than any clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// Its number when it was asked.
    pub asked: u64,
    /// Its number when it was answered; both are of one series.
    pub answered: u64,
}

/// An answer that may be used as a fact.
#[derive(Debug, Clone, Copy)]
pub struct KnownAnswer<'a> {
    /// What was found.
    pub found: &'a Found,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// And when among all questions.
    pub order: Order,
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
        let is_late_enough = not_before.is_none_or(|at| was_asked_since(at, kept.asked_at, now));
        (is_fresh && is_late_enough).then_some(&kept.found)
    }

    /// Returns the answer to a question with the time at which it was asked, if that is not longer ago than `max_age`.
    ///
    /// That there is nothing is not believed longer than usual.
    pub fn of_age(
        &self,
        question: &Question,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Option<KnownAnswer<'_>> {
        let kept = self.kept.get(question)?;
        let life = if life(&kept.found) == NOTHING_LIFE { max_age.min(NOTHING_LIFE) } else { max_age };
        let is_fresh = kept.asked_at <= now && now < after(kept.asked_at, life);
        let Kept { found, asked_at, order, .. } = kept;
        is_fresh.then_some(KnownAnswer { found, asked_at: *asked_at, order: *order })
    }

    /// Keeps the answer to a question that was asked at that time.
    pub fn keep(&mut self, question: Question, found: Found, asked_at: Timestamp) {
        self.keep_in_order(question, found, asked_at, Order::default());
    }

    /// Keeps the answer to a question, with its place among all.
    pub fn keep_in_order(&mut self, question: Question, found: Found, asked_at: Timestamp, order: Order) {
        let until = after(asked_at, life(&found));
        self.kept.insert(question, Kept { found, asked_at, until, order });
        if self.kept.len() > self.max {
            self.kept.retain(|_, kept| kept.until > asked_at);
        }
        while self.kept.len() > self.max {
            let first =
                self.kept.iter().min_by_key(|(_, kept)| kept.until).map(|(question, _)| question.clone());
            first.and_then(|question| self.kept.remove(&question));
        }
    }

    /// Keeps what an answer tells besides: the record of a device or file in it is the answer to the question for that one.
    pub fn keep_implied(&mut self, found: &Found, asked_at: Timestamp, order: Order) {
        match found {
            Found::Machines(list) if list.len() <= IMPLIED_MAX => {
                for machine in list {
                    let found = Found::Machines(vec![machine.clone()]);
                    self.keep_in_order(Question::Machine(machine.id), found, asked_at, order);
                }
            }
            Found::File(Some(record)) => {
                if let Some(sha1) = record.sha1 {
                    self.keep_in_order(Question::FileBySha1(sha1), found.clone(), asked_at, order);
                }
            }
            Found::Machines(_)
            | Found::File(None)
            | Found::Stats(_)
            | Found::SeenOn(_)
            | Found::Forbidden(_)
            | Found::Refused(_) => {}
        }
    }

    /// Forgets all: the time of day was set back, and how old they are is not known any more.
    pub fn forget(&mut self) {
        self.kept.clear();
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

/// Says whether an answer that is kept was asked for since something happened.
///
/// What lies ahead happened before the time of day was set back, and no answer is kept from before that. Less than a second
/// ahead is no sign of it: `now` may be read a little earlier.
pub(super) fn was_asked_since(happened_at: Timestamp, asked_at: Timestamp, now: Timestamp) -> bool {
    asked_at >= happened_at || lies_ahead(happened_at, now)
}

fn life(found: &Found) -> SignedDuration {
    match found {
        Found::Machines(list) if list.is_empty() => NOTHING_LIFE,
        Found::SeenOn(list) if list.is_empty() => NOTHING_LIFE,
        Found::File(None) | Found::Stats(None) | Found::Refused(_) | Found::Forbidden(_) => NOTHING_LIFE,
        Found::Machines(_) | Found::SeenOn(_) | Found::Stats(Some(_)) => MACHINES_LIFE,
        Found::File(Some(_)) => FILE_LIFE,
    }
}
