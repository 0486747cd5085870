//! The budget never exceeds Defender's windows and leaves none of them unused.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use quarantine_bridge::alert::{after, before};
use quarantine_bridge::dispatch::{Budget, Permit};

use crate::harness::start_of_time;

fn millis(millis: i64) -> SignedDuration {
    SignedDuration::from_millis(millis)
}

/// The most calls in any window of this length.
fn fullest(calls: &[Timestamp], window: SignedDuration) -> usize {
    let within =
        |end: &Timestamp| calls.iter().filter(|call| **call <= *end && **call > before(*end, window)).count();
    calls.iter().map(within).max().unwrap_or(0)
}

#[test]
fn a_full_minute_lets_the_next_call_out_when_it_is_over() {
    let start = start_of_time();
    let mut budget = Budget::new(3, 100, Vec::new());
    for n in 0..3 {
        let at = after(start, millis(n * 1_000));
        assert_eq!(budget.permit(at), Permit::Now);
        budget.record(at);
    }

    let full_at = after(start, millis(5_000));
    assert_eq!(budget.left(full_at), [0, 97]);
    assert_eq!(budget.permit(full_at), Permit::WaitUntil(after(start, millis(62_000))));
    assert_eq!(budget.permit(after(start, millis(61_999))), Permit::WaitUntil(after(start, millis(62_000))));
    assert_eq!(budget.permit(after(start, millis(62_000))), Permit::Now);
}

#[test]
fn calls_of_an_earlier_run_count() {
    let start = start_of_time();
    let budget = Budget::new(2, 100, vec![before(start, millis(30_000)), before(start, millis(1_000))]);
    assert_eq!(budget.permit(start), Permit::WaitUntil(after(start, millis(32_000))));
}

#[test]
fn defenders_own_wish_is_honoured() {
    let start = start_of_time();
    let mut budget = Budget::new(2, 100, Vec::new());
    budget.block(after(start, millis(10_000)));
    budget.block(after(start, millis(5_000)));
    assert_eq!(budget.permit(start), Permit::WaitUntil(after(start, millis(10_000))));
    assert_eq!(budget.permit(after(start, millis(10_000))), Permit::Now);
}

#[test]
fn a_call_that_was_not_made_is_taken_back() {
    let start = start_of_time();
    let mut budget = Budget::new(1, 100, Vec::new());
    budget.record(start);
    budget.release(start);
    assert_eq!(budget.permit(start), Permit::Now);
}

#[test]
fn a_clock_that_is_set_back_gives_no_second_budget() {
    let start = start_of_time();
    let mut budget = Budget::new(2, 100, Vec::new());
    budget.record(start);
    budget.record(start);
    let back = before(start, millis(3_600_000));
    assert!(matches!(budget.permit(back), Permit::WaitUntil(_)));
}

#[test]
fn an_hour_is_used_up_to_the_last_call() {
    let start = start_of_time();
    let mut budget = Budget::new(100, 1_500, Vec::new());
    let mut now = start;
    let mut calls = Vec::new();
    while now < after(start, millis(3_600_000)) {
        match budget.permit(now) {
            Permit::Now => {
                budget.record(now);
                calls.push(now);
            }
            Permit::WaitUntil(at) => now = at,
        }
    }
    assert_eq!(calls.len(), 1_500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever calls are wanted and whenever the bridge restarts, no window of Defender's holds more than
    /// its limit, even if calls arrive up to 1.5 s later than they were made.
    #[test]
    fn no_window_is_ever_exceeded(
        pauses in prop::collection::vec(0_i64..4_000, 300),
        delays in prop::collection::vec(0_i64..1_500, 300),
        restart_at in 0_usize..300,
    ) {
        let (per_minute, per_hour) = (10, 60);
        let mut budget = Budget::new(per_minute, per_hour, Vec::new());
        let mut now = start_of_time();
        let mut made = Vec::new();
        let mut arrived = Vec::new();
        for (n, (pause, delay)) in pauses.into_iter().zip(delays).enumerate() {
            now = after(now, millis(pause));
            if n == restart_at {
                budget = Budget::new(per_minute, per_hour, made.clone());
            }
            match budget.permit(now) {
                Permit::Now => {
                    budget.record(now);
                    made.push(now);
                    arrived.push(after(now, millis(delay)));
                }
                Permit::WaitUntil(at) => {
                    prop_assert!(at > now);
                    prop_assert_eq!(budget.permit(at), Permit::Now);
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
