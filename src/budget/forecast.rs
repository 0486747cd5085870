//! When an action will go out, if nothing changes: the log of calls and the queue, played forward.

use jiff::SignedDuration;

use crate::alert::{Severity, Steady};

use super::log::{Budget, HOUR, MINUTE, Share, room_at};
use super::queue::TURN;
use super::snapshot::Waiting;

/// The times of the calls to come, with a queue as it is.
///
/// It assumes that calls take no time, that nothing new, expired, refused or cancelled changes the queue, and that no
/// machine has two actions. What waits for a look-up counts as queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The calls if all that come were high or critical.
    urgent: Times,
    /// The calls if those that wait are followed by others.
    others: Times,
    waiting: Waiting,
}

/// Times of calls, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Times {
    first: Vec<Steady>,
    /// After the first, so many calls leave in so much time, over and over.
    calls: usize,
    period: SignedDuration,
}

impl Forecast {
    /// Plays forward.
    pub fn new(budget: &Budget, waiting: Waiting, start: Steady) -> Self {
        let whole = waiting.urgent().saturating_add(turns(waiting.urgent(), waiting.others()));
        Self {
            urgent: Times::play(budget, usize::MAX, waiting.urgent(), start),
            others: Times::play(budget, whole, waiting.all(), start),
            waiting,
        }
    }

    /// Returns when an action goes out that would come now.
    pub fn of_new(&self, severity: Option<Severity>) -> Steady {
        self.of(severity, self.waiting.of(severity))
    }

    /// Returns when an action goes out that has so many older ones of its severity before it.
    pub fn of(&self, severity: Option<Severity>, older: usize) -> Steady {
        let ahead = self.waiting.above(severity).saturating_add(older);
        let place = ahead.saturating_add(turns(ahead, self.waiting.below(severity)));
        match Share::of(severity) {
            Share::Whole => self.urgent.at(place),
            Share::AboveReserve => self.others.at(place),
        }
    }
}

/// Returns how many calls go to milder actions that have waited longer, while so many more urgent ones leave.
fn turns(ahead: usize, behind: usize) -> usize {
    let between = usize::try_from(TURN.saturating_sub(1)).unwrap_or(usize::MAX);
    ahead.checked_div(between).unwrap_or(0).min(behind)
}

impl Times {
    /// Plays forward: the first `whole` calls may use all of the limits, the rest what is above the reserve.
    fn play(budget: &Budget, whole: usize, waiting: usize, start: Steady) -> Self {
        let mut calls: Vec<Steady> = budget.calls().collect();
        let made = calls.len();
        let last = if whole == usize::MAX { Share::Whole } else { Share::AboveReserve };
        let [minute, hour] = budget.limits().of(last);
        // By then the calls of the past are out of the windows, and the calls to come repeat themselves.
        let length = waiting.saturating_add(hour.max(minute)).saturating_add(1).min(LONGEST);
        let mut at = budget.blocked_until(start).map_or(start, |until| until.max(start));
        for n in 0..length {
            let share = if n < whole { Share::Whole } else { Share::AboveReserve };
            let [minute, hour] = budget.limits().of(share);
            let back = |back| calls.len().checked_sub(back).and_then(|index| calls.get(index)).copied();
            let waits = [room_at(minute, MINUTE, at, back), room_at(hour, HOUR, at, back)];
            at = waits.into_iter().flatten().fold(at, Steady::max);
            calls.push(at);
        }
        let (calls_in, period) = slower((minute, MINUTE), (hour, HOUR));
        Self { first: calls.split_off(made), calls: calls_in.max(1), period }
    }

    fn at(&self, place: usize) -> Steady {
        let last = self.first.len().saturating_sub(1);
        let beyond = place.saturating_sub(last);
        let periods = beyond.div_ceil(self.calls);
        let within = place.saturating_sub(periods.saturating_mul(self.calls));
        let base = self.first.get(within).or(self.first.last()).copied().unwrap_or(Steady::from_millis(0));
        let periods = i32::try_from(periods).unwrap_or(i32::MAX);
        base.after(self.period.saturating_mul(periods))
    }
}

/// The most calls that are played forward one by one. A request may wait for it, so it takes some milliseconds at most.
const LONGEST: usize = 10_000;

/// Returns the window that lets fewer calls through in the long run.
fn slower(minute: (usize, SignedDuration), hour: (usize, SignedDuration)) -> (usize, SignedDuration) {
    let rate = |(calls, window): (usize, SignedDuration), other: SignedDuration| {
        u128::try_from(calls)
            .unwrap_or(u128::MAX)
            .saturating_mul(other.as_millis().unsigned_abs())
            .checked_div(window.as_millis().unsigned_abs().max(1))
            .unwrap_or(0)
    };
    if rate(minute, HOUR) <= rate(hour, HOUR) { minute } else { hour }
}
