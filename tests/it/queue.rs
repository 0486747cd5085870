//! Who is next: by severity, then by age, and nobody starves.

use proptest::prelude::*;
use quarantine_bridge::budget::{Fairness, Heads, Share, TURN};

/// The ranks of high and critical.
const URGENT: std::ops::RangeInclusive<u8> = 3..=4;

/// An action that waits: its rank of severity, and its number, which is its age.
type Waiting = (u8, usize);

fn heads(queue: &[Waiting]) -> Heads<Waiting> {
    let most_urgent = |is_meant: fn(&u8) -> bool| {
        queue
            .iter()
            .filter(|(rank, _)| is_meant(rank))
            .min_by_key(|(rank, age)| (u8::MAX - rank, *age))
            .copied()
    };
    Heads {
        urgent: most_urgent(|rank| URGENT.contains(rank)),
        other: most_urgent(|rank| !URGENT.contains(rank)),
        longest: queue.iter().min_by_key(|(_, age)| *age).copied(),
    }
}

/// Sends one action as the rule says.
fn send(queue: &mut Vec<Waiting>, fairness: &mut Fairness) -> Option<(Waiting, Share)> {
    let heads = heads(queue);
    let (next, share) = fairness.next(&heads)?;
    fairness.sent(&next, heads.longest.as_ref());
    queue.retain(|waiting| *waiting != next);
    Some((next, share))
}

#[test]
fn the_most_severe_goes_first_then_the_oldest() {
    let mut queue = vec![(1, 0), (3, 1), (4, 2), (2, 3), (4, 4), (0, 5)];
    let mut fairness = Fairness::default();
    let mut order = Vec::new();
    while let Some(((rank, age), _)) = send(&mut queue, &mut fairness) {
        order.push((rank, age));
    }
    assert_eq!(order, [(4, 2), (4, 4), (3, 1), (2, 3), (1, 0), (0, 5)]);
}

#[test]
fn nobody_is_next_where_nobody_waits() {
    let heads: Heads<Waiting> = Heads { urgent: None, other: None, longest: None };
    assert_eq!(Fairness::default().next(&heads), None);
}

#[test]
fn one_call_in_ten_goes_to_the_one_that_has_waited_longest() {
    let mut queue: Vec<Waiting> = [(0, 0), (1, 1)].into_iter().chain((2..100).map(|age| (4, age))).collect();
    let mut fairness = Fairness::default();
    let sent: Vec<_> = (0..20).map(|_| send(&mut queue, &mut fairness).unwrap()).collect();
    assert_eq!(
        sent[9],
        ((0, 0), Share::Whole),
        "the reserve is no use to it while high and critical take all"
    );
    assert_eq!(sent[19], ((1, 1), Share::Whole));
    let urgent = sent.iter().filter(|((rank, _), _)| *rank == 4).count();
    assert_eq!(urgent, 18);
}

#[test]
fn while_nothing_urgent_waits_the_reserve_is_not_touched() {
    let mut queue: Vec<Waiting> = (0..50).map(|age| (if age < 5 { 0 } else { 2 }, age)).collect();
    let mut fairness = Fairness::default();
    while let Some((_, share)) = send(&mut queue, &mut fairness) {
        assert_eq!(share, Share::AboveReserve);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, and however fast: of any ten calls in a row one goes to whoever has waited longest, so an action
    /// with `k` older ones goes out within `10 * (k + 1)` calls. Some that wait expire.
    #[test]
    fn no_severity_starves(
        first in prop::collection::vec(0_u8..5, 1..30),
        arrivals in prop::collection::vec(prop::collection::vec(0_u8..5, 0..4), 300),
        expiries in prop::collection::vec(prop::option::weighted(0.05, any::<prop::sample::Index>()), 300),
    ) {
        let turn = usize::try_from(TURN).unwrap();
        let mut queue: Vec<Waiting> = Vec::new();
        let mut bounds: Vec<usize> = Vec::new();
        let mut fairness = Fairness::default();
        let mut calls = 0;
        let mut since_longest = 0;
        let mut arrive = |queue: &mut Vec<Waiting>, rank: u8, calls: usize| {
            bounds.push(calls + turn * (queue.len() + 1));
            queue.push((rank, bounds.len() - 1));
            bounds.clone()
        };
        let mut bounds_now = Vec::new();
        for rank in first {
            bounds_now = arrive(&mut queue, rank, calls);
        }
        for (ranks, expired) in arrivals.into_iter().zip(expiries) {
            for rank in ranks {
                bounds_now = arrive(&mut queue, rank, calls);
            }
            if let Some(index) = expired.filter(|_| !queue.is_empty()) {
                queue.remove(index.index(queue.len()));
            }
            let longest = queue.iter().map(|(_, age)| *age).min();
            let Some(((_, age), _)) = send(&mut queue, &mut fairness) else {
                continue;
            };
            calls += 1;
            since_longest = if Some(age) == longest { 0 } else { since_longest + 1 };
            prop_assert!(since_longest < turn);
            prop_assert!(calls <= bounds_now[age]);
            for (_, age) in &queue {
                prop_assert!(calls < bounds_now[*age], "{age} is overdue");
            }
        }
    }
}
