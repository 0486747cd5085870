//! What becomes of a wish, and what an answer to a cancel call means: the tables of the pure part.

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{
    Action, ActionId, CancelOutcome, Cancellation, MachineAction, Refusal, Sharer, Standing, State, Wish,
    after, comment,
};
use quarantine_bridge::defender::{Answer, classify_cancel};
use quarantine_bridge::dispatch::{CancelStep, after_call, consider, overdue};
use uuid::Uuid;

use crate::harness::{MACHINE, SHA1, action, start_of_time};

const ID: &str = "5382f7ea-7557-4ab7-9782-d50480024a4e";

fn at(second: i64) -> Timestamp {
    after(start_of_time(), SignedDuration::from_secs(second))
}

/// A wish of second 100.
fn wish() -> Wish {
    let cancellation = Cancellation {
        requested_at: at(100),
        by: "token:test".parse().unwrap(),
        reason: "r".to_owned(),
        why: "it is on disk".to_owned(),
        next_at: Some(at(100)),
        calls: 0,
        tries: 0,
        unlisted: 0,
        last_call: None,
    };
    Wish { action: ActionId::new(Uuid::nil()), cancellation, sharers: Vec::new() }
}

fn record(status: &str) -> MachineAction {
    MachineAction {
        id: ID.to_owned(),
        status: status.to_owned(),
        machine_id: Some(MACHINE.to_owned()),
        file: Some(SHA1.to_owned()),
        comment: Some(comment(&"a1".parse().unwrap(), None)),
        requestor: Some("analyst@corp.example".to_owned()),
        created_at: Some(start_of_time()),
    }
}

fn sharer(alert: &str, still_wants_it: bool) -> Sharer {
    let action = ActionId::new(Uuid::from_u128(7));
    Sharer { action, comment: comment(&alert.parse().unwrap(), None), still_wants_it }
}

/// The step in a word: what a note says stands behind it.
fn step(wish: &Wish, record: Option<&MachineAction>, now: i64) -> String {
    match consider(&action(State::Submitted), wish, record, at(now)) {
        CancelStep::Wait => "wait".to_owned(),
        CancelStep::Call => "call".to_owned(),
        CancelStep::Note(finding) => {
            let kind = if finding.next_at.is_some() { "note" } else { "give up" };
            format!("{kind}, unlisted {}: {}", finding.unlisted, finding.why)
        }
        CancelStep::End(advance) => format!("end as {}", advance.changes[0].to),
    }
}

#[test]
fn only_what_is_ours_alone_and_still_open_is_cancelled() {
    let open = record("Pending");
    for status in ["Pending", "InProgress", "SomeNewStatus"] {
        assert_eq!(step(&wish(), Some(&record(status)), 100), "call", "{status}");
    }
    for status in ["Succeeded", "Failed", "TimeOut", "Cancelled"] {
        assert_eq!(step(&wish(), Some(&record(status)), 100), "wait", "{status}");
    }
    assert_eq!(step(&wish(), Some(&open), 99), "wait", "its time has not come");
    for other in [None, Some("by hand".to_owned()), Some(comment(&"a2".parse().unwrap(), None))] {
        let foreign = MachineAction { comment: other, ..open.clone() };
        let said = step(&wish(), Some(&foreign), 100);
        assert!(said.starts_with("give up") && said.contains("analyst@corp.example"), "{said}");
    }
}

#[test]
fn a_shared_machine_action_goes_on_while_one_wants_it() {
    let theirs = MachineAction { comment: Some(comment(&"a2".parse().unwrap(), None)), ..record("Pending") };
    let mut wish = wish();
    wish.sharers = vec![sharer("a2", false)];
    assert_eq!(step(&wish, Some(&theirs), 100), "call", "the call of the other made it");
    wish.sharers.push(sharer("a3", true));
    let said = step(&wish, Some(&theirs), 100);
    assert!(said.starts_with("note") && said.contains("which still wants it"), "{said}");
    let CancelStep::Note(finding) = consider(&action(State::Submitted), &wish, Some(&theirs), at(100)) else {
        panic!("no note");
    };
    wish.cancellation.why = finding.why;
    assert_eq!(step(&wish, Some(&theirs), 200), "wait", "it is said once");
}

#[test]
fn a_wish_that_was_given_up_stays_so() {
    let mut wish = wish();
    wish.cancellation.next_at = None;
    assert_eq!(step(&wish, Some(&record("Pending")), 100_000), "wait");
    assert_eq!(wish.cancellation.standing(State::Submitted), Standing::GivenUp);
}

#[test]
fn a_machine_action_is_lost_only_after_a_dozen_reads_and_an_hour() {
    let table = [
        // Reads without it before, now, and what follows.
        (0, 100, "note, unlisted 1: it is on disk"),
        (10, 90_000, "note, unlisted 11: it is on disk"),
        (11, 3_699, "note, unlisted 12: it is on disk"),
        (11, 3_700, "end as timed_out"),
        (500, 3_700, "end as timed_out"),
    ];
    for (unlisted, now, expected) in table {
        let mut wish = wish();
        wish.cancellation.unlisted = unlisted;
        assert_eq!(step(&wish, None, now), expected, "{unlisted} {now}");
    }
    let mut seen = wish();
    seen.cancellation.unlisted = 5;
    seen.cancellation.next_at = None;
    assert_eq!(step(&seen, Some(&record("Pending")), 100), "give up, unlisted 0: it is on disk");
}

#[test]
fn the_limit_is_reached_at_its_very_moment() {
    let limit = SignedDuration::from_hours(24);
    assert_eq!(overdue(&action(State::Submitted), limit, at(86_399)), None);
    let reason = overdue(&action(State::Submitted), limit, at(86_400)).unwrap();
    assert!(reason.starts_with("Pending at Defender for 24 h, the limit"), "{reason}");
    let none = Action { machine_action: None, ..action(State::Submitted) };
    assert_eq!(overdue(&none, limit, at(1_000_000)), None);
}

fn refusal(status: u16) -> Refusal {
    Refusal { status, code: String::new(), message: String::new(), correlation_id: None }
}

#[test]
fn every_outcome_says_when_to_call_and_when_to_look_again() {
    let lost = || CancelOutcome::Unknown { why: "no answer".to_owned(), status: None };
    let throttled =
        |secs| CancelOutcome::Throttled { refusal: refusal(429), wait: SignedDuration::from_secs(secs) };
    let table = [
        // The how many-eth call, its outcome, when the next may be, and when the list is read.
        (1, CancelOutcome::Taken, Some(10), 5),
        (3, CancelOutcome::Taken, Some(40), 5),
        (1, CancelOutcome::Refused(refusal(400)), Some(10), 5),
        (2, lost(), Some(20), 5),
        (1, CancelOutcome::Unauthorized(refusal(401)), Some(10), 10),
        (1, CancelOutcome::NotSent { why: "refused".to_owned() }, Some(10), 10),
        (1, throttled(60), Some(60), 60),
        (9, throttled(60), Some(900), 900),
        (11, lost(), Some(900), 5),
        (12, lost(), None, 5),
        (12, CancelOutcome::Taken, None, 5),
        (12, throttled(60), None, 900),
        (1, CancelOutcome::Forbidden(refusal(403)), None, 5),
    ];
    for (tries, outcome, next, look) in table {
        let then = after_call(tries, &outcome, start_of_time());
        let context = format!("{tries} {outcome:?}");
        assert_eq!(then.finding.next_at, next.map(at), "{context}");
        assert_eq!(then.look_at, at(look), "{context}");
        assert_eq!(then.finding.why.starts_with("given up after 12 calls"), tries == 12, "{context}");
    }
}

#[test]
fn all_calls_for_one_wish_are_bounded_in_number_and_time() {
    let mut now = start_of_time();
    let mut calls = 0;
    for tries in 1.. {
        calls = tries;
        match after_call(tries, &CancelOutcome::Taken, now).finding.next_at {
            Some(next_at) => now = next_at,
            None => break,
        }
    }
    assert_eq!(calls, 12);
    let minutes = now.duration_since(start_of_time()).as_mins();
    assert!((60..=120).contains(&minutes), "{minutes}");
}

#[test]
fn answers_are_classified_by_their_status() {
    let table = [
        (200, "taken"),
        (201, "taken"),
        (204, "taken"),
        (307, "unknown"),
        (400, "refused"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "refused"),
        (408, "unknown"),
        (409, "refused"),
        (425, "unknown"),
        (429, "throttled"),
        (500, "unknown"),
        (503, "unknown"),
    ];
    for (status, expected) in table {
        let answer = Answer { status, retry_after: None, body: bytes::Bytes::new() };
        assert_eq!(classify_cancel(&answer, start_of_time()).as_str(), expected, "{status}");
    }
}

#[test]
fn a_cancellation_stands_as_its_action_does() {
    let pending = wish().cancellation;
    for state in State::ALL {
        let expected = match state {
            State::Cancelled => Standing::Done,
            _ if state.is_final() => Standing::TooLate,
            _ => Standing::Pending,
        };
        assert_eq!(pending.standing(state), expected, "{state}");
    }
}
