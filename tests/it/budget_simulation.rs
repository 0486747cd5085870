//! Budget, queue and estimate over hours of virtual time, against a server that counts calls as Microsoft may.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::SignedDuration;
use quarantine_bridge::alert::{Api, Moment, Severity, Steady, after};
use quarantine_bridge::budget::{
    Budget, Fairness, Forecast, Heads, KeptCall, Limits, Permit, Reserve, Share, Waiting, resume,
};

use crate::budget::millis;
use crate::harness::start_of_time;

const START: Steady = Steady::from_millis(86_400_000);
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// The longest a call takes to arrive.
const DELAY_MAX: u64 = 1_500;

/// How many calls may be under way, and how many of others than high and critical.
const PLACES: usize = 8;
const PLACES_OF_OTHERS: usize = 7;

/// A small generator of numbers (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn millis(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).unwrap()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Sliding,
    /// With the offset of its minutes and hours.
    Fixed(i64),
}

/// Counts calls as they arrive.
struct Server {
    window: Window,
    arrivals: VecDeque<i64>,
    throttled: usize,
}

impl Server {
    fn take(&mut self, at: i64) {
        for (limit, length) in [(100, 60 * SECOND), (1_500, HOUR)] {
            let begin = match self.window {
                Window::Sliding => at - length,
                Window::Fixed(offset) => at - (at - offset).rem_euclid(length) - 1,
            };
            let within = self.arrivals.len() - self.arrivals.partition_point(|call| *call <= begin);
            if within >= limit {
                self.throttled += 1;
                return;
            }
        }
        self.arrivals.push_back(at);
        while self.arrivals.front().is_some_and(|call| *call < at - 2 * HOUR) {
            self.arrivals.pop_front();
        }
    }
}

/// The bridge's side: its queue by rank and its budget, in milliseconds after the start.
struct World {
    random: Random,
    server: Server,
    limits: Limits,
    budget: Budget,
    kept: Vec<KeptCall>,
    fairness: Fairness,
    /// Numbers of waiting actions, by rank; a number tells the age.
    lanes: [VecDeque<u32>; 5],
    came: u32,
    now: i64,
    /// By how much the time of day is wrong.
    set_by: i64,
    /// When calls under way end, and where they arrive before.
    under_way: BTreeSet<(i64, u32)>,
    /// When each action left.
    left: BTreeMap<u32, i64>,
}

impl World {
    fn new(seed: u64, window: Window, reserve: Reserve) -> Self {
        let limits = Limits { per_minute: 100, per_hour: 1_500, reserve };
        Self {
            random: Random(seed),
            server: Server { window, arrivals: VecDeque::new(), throttled: 0 },
            limits,
            budget: Budget::new(limits, Vec::new()),
            kept: Vec::new(),
            fairness: Fairness::default(),
            lanes: Default::default(),
            came: 0,
            now: 0,
            set_by: 0,
            under_way: BTreeSet::new(),
            left: BTreeMap::new(),
        }
    }

    fn add(&mut self, severity: Severity) -> u32 {
        self.came += 1;
        self.lanes[usize::from(severity.rank())].push_back(self.came);
        self.came
    }

    fn steady(&self) -> Steady {
        START.after(millis(self.now))
    }

    fn moment(&self) -> Moment {
        let at = after(start_of_time(), millis(self.now + self.set_by));
        Moment { at, steady: Some(self.steady()) }
    }

    fn restart(&mut self) {
        let calls = resume(&self.kept, Api::Quarantine, self.moment(), self.steady());
        self.budget = Budget::new(self.limits, calls);
        self.fairness = Fairness::default();
    }

    fn waiting(&self) -> Waiting {
        Waiting::new(self.lanes.each_ref().map(|lane| u32::try_from(lane.len()).unwrap()))
    }

    fn heads(&self) -> Heads<(usize, u32)> {
        let first = |rank: usize| self.lanes[rank].front().map(|number| (rank, *number));
        let most_urgent = |ranks: [usize; 2]| ranks.into_iter().find_map(first);
        Heads {
            urgent: most_urgent([4, 3]),
            other: most_urgent([2, 1]).or(first(0)),
            longest: (0..5).filter_map(first).min_by_key(|(_, number)| *number),
        }
    }

    /// Sends what may be sent now; returns who was sent, and when to come back.
    fn turn(&mut self) -> (Vec<(usize, u32)>, i64) {
        let mut sent = Vec::new();
        loop {
            let first_end = self.under_way.first().map_or(i64::MAX, |(end, _)| *end);
            let heads = self.heads();
            let Some((next, share)) = self.fairness.next(&heads) else {
                return (sent, i64::MAX);
            };
            let places = if share == Share::Whole { PLACES } else { PLACES_OF_OTHERS };
            if self.under_way.len() >= places {
                return (sent, first_end);
            }
            match self.budget.permit(share, self.steady()) {
                Permit::Now => {}
                Permit::WaitUntil(at) => return (sent, at.since(START).as_millis().try_into().unwrap()),
            }
            self.fairness.sent(&next, heads.longest.as_ref());
            assert_eq!(self.lanes[next.0].pop_front(), Some(next.1));
            self.send(next.1);
            sent.push(next);
        }
    }

    fn send(&mut self, number: u32) {
        self.budget.record(self.steady());
        self.kept.push(KeptCall { api: Api::Quarantine, moment: self.moment() });
        if self.kept.len() > 4_000 {
            self.kept.drain(..1_000);
        }
        self.left.insert(number, self.now);
        let arrives = self.now + self.random.millis(DELAY_MAX + 1);
        self.under_way.insert((arrives, number));
    }

    /// Moves on to a time; calls that arrive on the way are counted by the server in their order.
    fn move_to(&mut self, at: i64) {
        self.now = at;
        while let Some((arrives, number)) = self.under_way.first().copied() {
            if arrives > at {
                return;
            }
            self.under_way.remove(&(arrives, number));
            self.server.take(arrives);
        }
    }

    /// Runs until then; `each_turn` may change the world before every turn, and gets who was sent after it.
    fn run_until(&mut self, end: i64, mut each_turn: impl FnMut(&mut Self, Vec<(usize, u32)>)) {
        while self.now < end {
            let (sent, wake) = self.turn();
            let came = self.came;
            each_turn(self, sent);
            if self.came > came {
                continue;
            }
            let first_end = self.under_way.first().map_or(i64::MAX, |(end, _)| *end);
            self.move_to(wake.min(first_end).min(self.now + 10 * SECOND).max(self.now + 1));
        }
    }

    /// The calls that left in each full hour.
    fn by_hour(&self, hours: i64) -> Vec<usize> {
        let count = |hour: i64| self.left.values().filter(|at| **at / HOUR == hour).count();
        (0..hours).map(count).collect()
    }
}

/// The server's windows, fixed ones with all kinds of offset.
fn windows() -> [Window; 4] {
    [Window::Sliding, Window::Fixed(0), Window::Fixed(17 * SECOND), Window::Fixed(1_234_567)]
}

/// Keeps the queue as long as it was: whoever leaves is followed by one of the same severity.
fn refill(world: &mut World, sent: Vec<(usize, u32)>) {
    for (rank, _) in sent {
        world.add(Severity::from_rank(u8::try_from(rank).unwrap()).unwrap());
    }
}

fn fill(world: &mut World, count: usize, mix: &[Severity]) {
    for severity in mix.iter().cycle().take(count) {
        world.add(*severity);
    }
}

#[test]
fn over_20_hours_with_5000_queued_every_hour_is_used_and_no_call_is_throttled() {
    use Severity::{Critical, High, Informational, Low, Medium};
    let mixed: &[Severity] = &[Low, Medium, High, Low, Informational, Critical];
    // What is queued, the reserve, and the calls that an hour has for it.
    let cases = [
        (mixed, Reserve::default(), 1_500),
        (&[Low], Reserve::default(), 1_200),
        (&[Low], Reserve::NONE, 1_500),
    ];
    for (mix, reserve, limit) in cases {
        for window in windows() {
            let mut world = World::new(7, window, reserve);
            fill(&mut world, 5_000, mix);
            world.run_until(20 * HOUR, refill);
            let by_hour = world.by_hour(20);
            eprintln!(
                "{window:?}, {} severities: {by_hour:?}, {} throttled",
                mix.len(),
                world.server.throttled
            );
            assert_eq!(world.server.throttled, 0);
            assert!(by_hour.iter().all(|calls| *calls * 100 >= limit * 99), "{window:?}: {by_hour:?}");
        }
    }
}

#[test]
fn restarts_and_a_clock_that_is_set_forward_cost_nothing_and_free_nothing() {
    for window in windows() {
        let mut world = World::new(11, window, Reserve::default());
        fill(&mut world, 5_000, &[Severity::High, Severity::Low]);
        let mut next = 0;
        world.run_until(20 * HOUR, |world, sent| {
            refill(world, sent);
            if world.now >= next {
                next = world.now + world.random.millis(20 * 60 * 1_000);
                if world.random.below(3) == 0 {
                    world.set_by += world.random.millis(5 * 3_600 * 1_000);
                }
                world.restart();
            }
        });
        let by_hour = world.by_hour(20);
        eprintln!("{window:?}: {by_hour:?}, {} throttled", world.server.throttled);
        assert_eq!(world.server.throttled, 0);
        assert!(by_hour.iter().all(|calls| *calls >= 1_485), "{window:?}: {by_hour:?}");
    }
}

/// A clock that is set back before a restart hides how much time has passed: that costs calls, and frees none.
#[test]
fn whatever_is_done_to_the_clock_no_call_is_throttled() {
    for (seed, window) in (0..2).flat_map(|seed| windows().map(|window| (seed, window))) {
        let mut world = World::new(seed, window, Reserve::default());
        fill(&mut world, 5_000, &[Severity::High, Severity::Low]);
        let mut next = 0;
        world.run_until(20 * HOUR, |world, sent| {
            refill(world, sent);
            if world.now >= next {
                next = world.now + world.random.millis(40 * 60 * 1_000);
                world.set_by += world.random.millis(50 * 3_600 * 1_000) - 25 * HOUR;
                if world.random.below(2) == 0 {
                    world.restart();
                }
            }
        });
        let calls: usize = world.by_hour(20).iter().sum();
        eprintln!("{window:?}: {calls} of 30000, {} throttled", world.server.throttled);
        assert_eq!(world.server.throttled, 0);
        assert!(calls > 15_000, "{window:?}: {calls}");
    }
}

#[test]
fn a_critical_alert_behind_5000_low_ones_leaves_within_a_second() {
    for window in windows() {
        let mut world = World::new(23, window, Reserve::default());
        fill(&mut world, 5_000, &[Severity::Low]);
        let mut next = 60 * SECOND;
        let mut urgent_ones = Vec::new();
        world.run_until(20 * HOUR, |world, sent| {
            refill(world, sent.into_iter().filter(|(rank, _)| *rank == 1).collect());
            if world.now >= next {
                next = world.now + SECOND + world.random.millis(5 * 60 * 1_000);
                urgent_ones.push((world.add(Severity::Critical), world.now));
            }
        });
        let waits: Vec<_> =
            urgent_ones.iter().filter_map(|(number, at)| Some(world.left.get(number)? - at)).collect();
        let worst = waits.iter().max().unwrap();
        eprintln!("{window:?}: {} critical alerts, the longest waited {worst} ms", waits.len());
        assert!(waits.len() > 400 && *worst <= SECOND);
        assert_eq!(world.server.throttled, 0);
    }
}

#[test]
fn while_critical_alerts_keep_coming_each_low_one_goes_out_in_its_turn() {
    let mut world = World::new(31, Window::Sliding, Reserve::default());
    let low: Vec<u32> = (0..100).map(|_| world.add(Severity::Low)).collect();
    fill(&mut world, 200, &[Severity::Critical]);
    let mut order = Vec::new();
    world.run_until(HOUR, |world, sent| {
        order.extend(sent.iter().map(|(_, number)| *number));
        refill(world, sent.into_iter().filter(|(rank, _)| *rank == 4).collect());
    });
    for (older, number) in low.iter().enumerate() {
        let place = order.iter().position(|sent| sent == number).unwrap() + 1;
        assert!(place <= 10 * (older + 1), "the low one with {older} older ones was call {place}");
    }
}

/// The largest and the mean difference between estimate and truth, in milliseconds.
fn errors(mix: &[Severity], seed: u64) -> (i64, i64) {
    let mut world = World::new(seed, Window::Sliding, Reserve::default());
    // An hour of calls lies behind.
    fill(&mut world, 700, &[Severity::Low]);
    world.run_until(HOUR / 3, |_, _| {});
    fill(&mut world, 3_000, mix);
    let (now, waiting) = (world.now, world.waiting());
    let forecast = Forecast::new(&world.budget, waiting, world.steady());
    let mut estimates = BTreeMap::new();
    for severity in Severity::ALL {
        for (older, number) in world.lanes[usize::from(severity.rank())].iter().enumerate() {
            let at: i64 = forecast.of(Some(severity), older).since(START).as_millis().try_into().unwrap();
            estimates.insert(*number, at);
        }
    }
    world.run_until(now + 6 * HOUR, |_, _| {});
    let errors: Vec<i64> = estimates.iter().map(|(number, at)| (world.left[number] - at).abs()).collect();
    (errors.iter().copied().max().unwrap(), errors.iter().sum::<i64>() / i64::try_from(errors.len()).unwrap())
}

/// With one severity the estimate lacks only the time that calls take. With several it does not know which of the waiting are
/// older than those of another severity, so who gets the turn of the longest waiting leaves earlier than it says: by minutes, or by
/// an hour and some minutes where the next hour's calls would have been needed.
#[test]
fn the_estimate_is_what_then_happens_but_for_the_time_that_calls_take() {
    use Severity::{Critical, High, Low, Medium};
    let cases: [(&[Severity], i64, i64); 4] = [
        (&[Low], 15, 5),
        (&[Critical], 15, 5),
        (&[Low, Critical], 3_650, 180),
        (&[Medium, High, Low, Critical, Low], 4_500, 300),
    ];
    for (mix, worst_allowed, mean_allowed) in cases {
        let (worst, mean) = errors(mix, 41);
        eprintln!("{mix:?}: the estimate was off by {worst} ms at the most, {mean} ms in the mean");
        assert!(worst <= worst_allowed * SECOND && mean <= mean_allowed * SECOND, "{mix:?}: {worst} {mean}");
    }
}

#[test]
fn an_estimate_far_ahead_goes_on_as_the_limits_do() {
    let limits = Limits { per_minute: 100, per_hour: 1_500, reserve: Reserve::NONE };
    let budget = Budget::new(limits, Vec::new());
    let forecast = Forecast::new(&budget, Waiting::default(), START);
    let at = |older| forecast.of(Some(Severity::Low), older).since(START).as_secs();
    assert_eq!([at(0), at(99), at(100), at(1_499), at(1_500)], [0, 0, 62, 868, 3_602]);
    assert_eq!(at(15_000), 36_020, "ten hours, each with its margin");

    let slow = Limits { per_minute: 10, ..limits };
    let forecast = Forecast::new(&Budget::new(slow, Vec::new()), Waiting::default(), START);
    assert_eq!(forecast.of(None, 100_000).since(START), SignedDuration::from_secs(620_000));
}
