//! What came of the faults: one row of the table each.

use std::fmt::Display;

/// How many are told of one row.
const BREACHES_MAX: usize = 5;

/// How a family of faults is to be run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many times the short form.
    pub(crate) size: usize,
    pub(crate) seed: u64,
}

/// One row.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) fault: String,
    /// How often it struck.
    pub(crate) trials: usize,
    /// Alerts that were answered 2xx.
    pub(crate) accepted: usize,
    /// Of those, how many the API does not have.
    pub(crate) lost: usize,
    /// Machine actions beyond the first for the same device, file and alert.
    pub(crate) doubled: usize,
    /// How many of those are the documented ones: each must be shown by the bridge itself.
    pub(crate) documented: usize,
    /// Alerts that did not come to a final state.
    pub(crate) unsettled: usize,
    pub(crate) notes: Vec<String>,
    /// What else must not be.
    pub(crate) breaches: Vec<String>,
}

impl Row {
    pub(crate) fn new(fault: impl Into<String>) -> Self {
        Self { fault: fault.into(), ..Self::default() }
    }

    pub(crate) fn note(&mut self, note: impl Display) {
        self.notes.push(note.to_string());
    }

    /// Counts how often the same was noted.
    pub(crate) fn count_note(&mut self, what: &str) {
        let counted = self.notes.iter_mut().find(|note| note.starts_with(what));
        match counted {
            Some(note) => {
                let count =
                    note.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
                *note = format!("{what} {}", count + 1);
            }
            None => self.notes.push(format!("{what} 1")),
        }
    }

    /// Says what is wrong unless it holds.
    pub(crate) fn require(&mut self, holds: bool, otherwise: impl Display) {
        if !holds && self.breaches.len() < BREACHES_MAX {
            self.breaches.push(otherwise.to_string());
        }
    }

    /// Adds what a part of it found.
    pub(crate) fn add(&mut self, part: Self) {
        self.trials += part.trials;
        self.accepted += part.accepted;
        self.lost += part.lost;
        self.doubled += part.doubled;
        self.documented += part.documented;
        self.unsettled += part.unsettled;
        self.breaches.extend(part.breaches);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.lost + self.unsettled > 0
            || self.doubled != self.documented
            || !self.breaches.is_empty()
            || self.trials == 0
    }

    /// A line of the table.
    pub(crate) fn line(&self) -> String {
        let Self { fault, trials, accepted, lost, unsettled, .. } = self;
        let doubled = match self.documented {
            0 => self.doubled.to_string(),
            documented => format!("{}, documented {documented}", self.doubled),
        };
        let failed = if self.has_failed() { "FAILED " } else { "" };
        let notes = self.notes.join("; ");
        format!("| {fault} | {trials} | {accepted} | {lost} | {doubled} | {unsettled} | {failed}{notes} |")
    }
}

/// The head of the table.
pub(crate) const HEAD: &str =
    "| fault | trials | accepted | lost | doubled | unsettled | notes |\n|---|---:|---:|---:|---:|---:|---|";
