//! What dispatch shows of its budgets and its queue to the rest of the service.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::alert::{Api, BreakerReport, Severity, SourceName, Steady};

use super::forecast::Forecast;
use super::log::{Budget, Share};

/// How many actions of each severity wait, by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting([u32; 5]);

impl Waiting {
    /// Takes the numbers, by rank from the mildest.
    pub fn new(by_rank: [u32; 5]) -> Self {
        Self(by_rank)
    }

    /// Returns both together.
    fn and(mut self, more: Self) -> Self {
        for (number, more) in self.0.iter_mut().zip(more.0) {
            *number = number.saturating_add(more);
        }
        self
    }

    /// Returns how many of a severity wait.
    pub fn of(&self, severity: Option<Severity>) -> usize {
        self.0.get(rank(severity)).map_or(0, |number| count(*number))
    }

    /// Returns how many more severe ones wait.
    pub fn above(&self, severity: Option<Severity>) -> usize {
        self.sum(|other| other > rank(severity))
    }

    /// Returns how many milder ones wait.
    pub fn below(&self, severity: Option<Severity>) -> usize {
        self.sum(|other| other < rank(severity))
    }

    /// Returns how many of high and critical wait.
    pub fn urgent(&self) -> usize {
        Severity::ALL
            .into_iter()
            .filter(|severity| Share::of(Some(*severity)) == Share::Whole)
            .fold(0, |sum, severity| sum.saturating_add(self.of(Some(severity))))
    }

    /// Returns how many of the others wait.
    pub fn others(&self) -> usize {
        self.all().saturating_sub(self.urgent())
    }

    /// Returns how many wait.
    pub fn all(&self) -> usize {
        self.sum(|_| true)
    }

    fn sum(&self, is_meant: impl Fn(usize) -> bool) -> usize {
        let meant = self.0.iter().enumerate().filter(|(rank, _)| is_meant(*rank));
        meant.fold(0, |sum, (_, number)| sum.saturating_add(count(*number)))
    }
}

/// A word that nobody knows counts as the mildest.
fn rank(severity: Option<Severity>) -> usize {
    usize::from(severity.map_or(0, Severity::rank))
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Budgets and queue at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Which it is, from 1; 0 before anything is known.
    pub serial: u64,
    /// When it was taken.
    pub taken_at: Steady,
    /// Each part of the API.
    pub budgets: Vec<(Api, Budget)>,
    /// The actions that are queued.
    pub queued: Waiting,
    /// The actions that will be queued, as far as is known: they are being looked up or were not decided yet.
    pub coming: Waiting,
    /// Sending stands still until then because Defender or Entra ID does not take us.
    pub paused_until: Option<Steady>,
    /// How the parts of Microsoft's service do that dispatch depends on.
    pub upstreams: Vec<BreakerReport>,
    /// Nothing is sent because Defender's list was not read yet since the start.
    pub waits_for_first_look: bool,
    /// The sources whose actions are sent without a person, and from which severity on.
    pub enforced: Arc<HashMap<SourceName, Severity>>,
    /// Made when it is first asked for.
    pub forecast: OnceLock<Forecast>,
}

impl Snapshot {
    /// A snapshot before anything is known.
    pub fn empty(now: Steady) -> Self {
        Self {
            serial: 0,
            taken_at: now,
            budgets: Vec::new(),
            queued: Waiting::default(),
            coming: Waiting::default(),
            paused_until: None,
            upstreams: Vec::new(),
            waits_for_first_look: false,
            enforced: Arc::default(),
            forecast: OnceLock::new(),
        }
    }

    /// Returns the budget of a part of the API.
    pub fn budget(&self, api: Api) -> Option<&Budget> {
        self.budgets.iter().find(|(other, _)| *other == api).map(|(_, budget)| budget)
    }

    /// Returns what is queued and what will be.
    pub fn waiting(&self) -> Waiting {
        self.queued.and(self.coming)
    }

    /// Returns when the calls to come leave, if that can be known.
    pub fn forecast(&self) -> Option<&Forecast> {
        let budget = self.budget(Api::Quarantine)?;
        let play = || {
            let start = self.paused_until.map_or(self.taken_at, |until| until.max(self.taken_at));
            Forecast::new(budget, self.waiting(), start)
        };
        Some(self.forecast.get_or_init(play))
    }
}
