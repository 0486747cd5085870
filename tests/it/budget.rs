//! The budget never exceeds Defender's windows, leaves none of them unused, and keeps its reserve.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use quarantine_bridge::alert::{Api, Moment, Severity, Steady, after};
use quarantine_bridge::budget::{Budget, KeptCall, Limits, Permit, Reserve, Share, resume};

use crate::harness::start_of_time;

const START: Steady = Steady::from_millis(86_400_000);

pub(crate) fn millis(millis: i64) -> SignedDuration {
    SignedDuration::from_millis(millis)
}

fn later(by: i64) -> Steady {
    START.after(millis(by))
}

pub(crate) fn limits(per_minute: u32, per_hour: u32) -> Limits {
    Limits { per_minute, per_hour, reserve: Reserve::NONE }
}

fn permit(budget: &Budget, now: Steady) -> Permit {
    budget.permit(Share::Whole, now)
}

fn left(budget: &Budget, now: Steady) -> [usize; 2] {
    budget.windows(now).map(|window| window.left())
}

/// The most calls in any window of this length.
pub(crate) fn fullest(calls: &[Steady], window: SignedDuration) -> usize {
    let within =
        |end: &Steady| calls.iter().filter(|call| **call <= *end && **call > end.before(window)).count();
    calls.iter().map(within).max().unwrap_or(0)
}

#[test]
fn a_full_minute_lets_the_next_call_out_when_it_is_over() {
    let mut budget = Budget::new(limits(3, 100), Vec::new());
    for n in 0..3 {
        assert_eq!(permit(&budget, later(n * 1_000)), Permit::Now);
        budget.record(later(n * 1_000));
    }

    assert_eq!(left(&budget, later(5_000)), [0, 97]);
    assert_eq!(permit(&budget, later(5_000)), Permit::WaitUntil(later(62_000)));
    assert_eq!(permit(&budget, later(61_999)), Permit::WaitUntil(later(62_000)));
    assert_eq!(permit(&budget, later(62_000)), Permit::Now);
}

#[test]
fn several_calls_wait_for_room_for_all_of_them() {
    let budget = Budget::new(limits(3, 100), vec![later(0), later(1_000)]);
    assert_eq!(budget.permit_several(Share::Whole, 1, later(2_000)), Permit::Now);
    assert_eq!(budget.permit_several(Share::Whole, 2, later(2_000)), Permit::WaitUntil(later(62_000)));
    assert_eq!(budget.permit_several(Share::Whole, 3, later(2_000)), Permit::WaitUntil(later(63_000)));
    // More than there ever is room for waits for an empty window, not for ever.
    assert_eq!(budget.permit_several(Share::Whole, 9, later(63_000)), Permit::Now);
}

#[test]
fn calls_of_an_earlier_run_count() {
    let budget = Budget::new(limits(2, 100), vec![later(-30_000), later(-1_000)]);
    assert_eq!(permit(&budget, START), Permit::WaitUntil(later(32_000)));
}

#[test]
fn defenders_own_wish_is_honoured() {
    let mut budget = Budget::new(limits(2, 100), Vec::new());
    budget.block(later(10_000));
    budget.block(later(5_000));
    assert_eq!(permit(&budget, START), Permit::WaitUntil(later(10_000)));
    assert_eq!(budget.blocked_until(START), Some(later(10_000)));
    assert_eq!(permit(&budget, later(10_000)), Permit::Now);
    assert_eq!(budget.blocked_until(later(10_000)), None);
}

#[test]
fn a_call_that_was_not_made_is_taken_back() {
    let mut budget = Budget::new(limits(1, 100), Vec::new());
    budget.record(START);
    budget.release(START);
    assert_eq!(permit(&budget, START), Permit::Now);
}

#[test]
fn a_call_that_was_answered_late_counts_from_then() {
    let mut budget = Budget::new(limits(1, 100), Vec::new());
    budget.record(START);
    budget.answered(START, later(1_500));
    assert_eq!(permit(&budget, later(1_500)), Permit::WaitUntil(later(62_000)), "within the margin");
    budget.answered(START, later(20_000));
    assert_eq!(permit(&budget, later(20_000)), Permit::WaitUntil(later(80_000)));
}

#[test]
fn the_reserve_is_kept_for_high_and_critical_in_both_windows() {
    for (per_minute, per_hour) in [(10, 1_000), (1_000, 10)] {
        let limits = Limits { per_minute, per_hour, reserve: Reserve::default() };
        let mut budget = Budget::new(limits, Vec::new());
        for _ in 0..8 {
            assert_eq!(budget.permit(Share::AboveReserve, START), Permit::Now);
            budget.record(START);
        }
        assert!(matches!(budget.permit(Share::AboveReserve, START), Permit::WaitUntil(_)));
        for _ in 0..2 {
            assert_eq!(budget.permit(Share::Whole, START), Permit::Now);
            budget.record(START);
        }
        assert!(matches!(budget.permit(Share::Whole, START), Permit::WaitUntil(_)));
    }
}

#[test]
fn the_reserve_leaves_something_to_the_others_however_small_the_limits_are() {
    let reserve = Reserve::from_percent(Reserve::PERCENT_MAX).unwrap();
    for limit in 1..20 {
        let budget = Budget::new(Limits { per_minute: limit, per_hour: limit, reserve }, Vec::new());
        assert_eq!(budget.permit(Share::AboveReserve, START), Permit::Now, "{limit}");
    }
    assert_eq!(Reserve::from_percent(Reserve::PERCENT_MAX + 1), None);
}

#[test]
fn high_and_critical_may_use_all_and_the_others_may_not() {
    for severity in Severity::ALL {
        let whole = severity >= Severity::High;
        assert_eq!(Share::of(Some(severity)) == Share::Whole, whole, "{severity}");
    }
    assert_eq!(Share::of(None), Share::AboveReserve);
}

#[test]
fn an_hour_is_used_up_to_the_last_call() {
    let mut budget = Budget::new(limits(100, 1_500), Vec::new());
    let mut now = START;
    let mut calls = 0;
    while now < later(3_600_000) {
        match permit(&budget, now) {
            Permit::Now => {
                budget.record(now);
                calls += 1;
            }
            Permit::WaitUntil(at) => now = at,
        }
    }
    assert_eq!(calls, 1_500);
}

fn moment(at: Timestamp, steady: Option<i64>) -> Moment {
    Moment { at, steady: steady.map(later) }
}

/// What an earlier run kept: (time of day, steady clock) of each call and of the new start, in seconds after the start of
/// time; and how old the calls are then taken to be.
#[test]
fn calls_of_an_earlier_run_are_as_old_as_both_clocks_agree_on() {
    type Case = (&'static str, &'static [(i64, Option<i64>)], (i64, i64), &'static [i64]);
    let cases: &[Case] = &[
        ("clocks agree", &[(0, Some(0)), (10, Some(10))], (30, 30), &[30, 20]),
        (
            "set forward by an hour between two calls",
            &[(0, Some(0)), (3_610, Some(10))],
            (3_630, 30),
            &[30, 20],
        ),
        ("set forward by an hour before the start", &[(0, Some(0)), (10, Some(10))], (3_630, 30), &[30, 20]),
        ("set back by an hour before the start", &[(0, Some(0)), (10, Some(10))], (-3_570, 30), &[10, 0]),
        (
            "set back by an hour between two calls",
            &[(0, Some(0)), (-3_590, Some(10))],
            (-3_570, 30),
            &[20, 20],
        ),
        ("the machine was started anew", &[(0, Some(500)), (10, Some(510))], (70, 5), &[70, 60]),
        ("kept by an old version", &[(0, None), (10, None)], (30, 30), &[30, 20]),
        (
            "moved to a machine that has run for longer",
            &[(0, Some(0)), (10, Some(10))],
            (30, 9_000),
            &[30, 20],
        ),
    ];
    for (name, calls, (day, steady), ages) in cases {
        let at = |seconds: i64| after(start_of_time(), SignedDuration::from_secs(seconds));
        let kept: Vec<_> = calls
            .iter()
            .map(|(day, steady)| moment(at(*day), steady.map(|seconds| seconds * 1_000)))
            .map(|moment| KeptCall { api: Api::Quarantine, moment })
            .collect();
        let now = later(steady * 1_000);
        let resumed = resume(&kept, Api::Quarantine, moment(at(*day), Some(steady * 1_000)), now);
        let found: Vec<_> = resumed.iter().map(|call| now.since(*call).as_secs()).collect();
        assert_eq!(found, *ages, "{name}");
        assert!(resume(&kept, Api::Files, moment(at(*day), None), now).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever calls are wanted, whoever wants them, and whenever the bridge restarts with its clock set anew, no window of
    /// Defender's holds more than its limit, even if calls arrive up to 1.5 s later than they were made.
    #[test]
    fn no_window_is_ever_exceeded(
        pauses in prop::collection::vec(0_i64..4_000, 300),
        delays in prop::collection::vec(0_i64..1_500, 300),
        urgent in prop::collection::vec(any::<bool>(), 300),
        steps in prop::collection::vec((0_usize..300, -10_000_000_i64..10_000_000, any::<bool>()), 6),
    ) {
        let limits = Limits { per_minute: 10, per_hour: 60, reserve: Reserve::default() };
        let mut budget = Budget::new(limits, Vec::new());
        let (mut now, mut set_by) = (START, 0);
        let mut kept = Vec::new();
        let mut arrived = Vec::new();
        for n in 0..300 {
            now = now.after(millis(pauses[n]));
            let share = if urgent[n] { Share::Whole } else { Share::AboveReserve };
            for (_, step, restarts) in steps.iter().filter(|(at, ..)| *at == n) {
                set_by += step;
                if *restarts {
                    let at = after(start_of_time(), now.since(START) + millis(set_by));
                    let moment = Moment { at, steady: Some(now) };
                    budget = Budget::new(limits, resume(&kept, Api::Quarantine, moment, now));
                }
            }
            match budget.permit(share, now) {
                Permit::Now => {
                    budget.record(now);
                    let at = after(start_of_time(), now.since(START) + millis(set_by));
                    kept.push(KeptCall { api: Api::Quarantine, moment: Moment { at, steady: Some(now) } });
                    arrived.push(now.after(millis(delays[n])));
                }
                Permit::WaitUntil(at) => {
                    prop_assert!(at > now);
                    prop_assert_eq!(budget.permit(share, at), Permit::Now);
                    if n % 7 == 0 {
                        now = at;
                    }
                }
            }
        }
        prop_assert!(fullest(&arrived, millis(60_000)) <= 10);
        prop_assert!(fullest(&arrived, millis(3_600_000)) <= 60);
    }
}
