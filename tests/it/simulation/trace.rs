//! What happened in a run: its last lines for people, and a hash over all of them.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher as _};

/// How many lines are kept to be shown.
const KEPT: usize = 50;

/// The trace of one run. No id that is made at random is in it: actions go by the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Whether every line is shown as it comes.
    is_shown: bool,
    last: VecDeque<String>,
    hasher: DefaultHasher,
}

impl Trace {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self { is_shown, ..Self::default() }
    }

    pub(crate) fn add(&mut self, line: String) {
        self.hasher.write(line.as_bytes());
        self.hasher.write_u8(b'\n');
        if self.is_shown {
            eprintln!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The last lines.
    pub(crate) fn show(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// How often each thing that must happen sometimes has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sometimes(pub(crate) BTreeMap<String, u64>);

impl Sometimes {
    pub(crate) fn saw(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }
}
