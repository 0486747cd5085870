//! How an uncertain action is found in Defender's list, and when it may be sent again.

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{
    Action, EntityPair, FileEntity, FoundAt, MachineAction, MachineEntity, State, Target, Unsettled, after,
    before, comment,
};
use quarantine_bridge::dispatch::{Match, Settle, find, settle};

use crate::harness::{MACHINE, SHA1, action, start_of_time};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn at(second: i64) -> Timestamp {
    after(start_of_time(), seconds(second))
}

/// An action whose first intent was recorded at the start of time, and its last at second 100.
fn unsettled() -> Unsettled {
    let target = Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() };
    let machine = MachineEntity { id: Some(target.machine_id), ..MachineEntity::default() };
    let file = FileEntity { sha1: Some(target.sha1), ..FileEntity::default() };
    let action = Action {
        pair: EntityPair { machine, file, candidates: Vec::new(), found_at: FoundAt::default() },
        changed_at: at(100),
        attempts: 2,
        machine_action: None,
        ..action(State::Uncertain)
    };
    Unsettled {
        action,
        intent_at: at(100),
        first_intent_at: start_of_time(),
        empty_reads: 0,
        empty_read_at: None,
        is_surely_unmade: false,
        crashes: 0,
        taken: Vec::new(),
    }
}

/// The machine action that its call would have made.
fn ours() -> MachineAction {
    MachineAction {
        id: "5382f7ea-7557-4ab7-9782-d50480024a4e".to_owned(),
        status: "Pending".to_owned(),
        machine_id: Some(MACHINE.to_owned()),
        file: Some(SHA1.to_owned()),
        comment: Some(comment(&"a1".parse().unwrap(), None)),
        requestor: Some("quarantine-bridge".to_owned()),
        created_at: Some(at(100)),
    }
}

/// What a record is like, how it comes to be so, and what it is taken for.
type Case<'a> = (&'a str, &'a dyn Fn(&mut MachineAction), &'a str);

#[test]
fn only_the_same_device_file_and_comment_are_ours() {
    let of = |change: &dyn Fn(&mut MachineAction)| {
        let mut record = ours();
        change(&mut record);
        match find(&unsettled(), &[record]) {
            Match::Ours(_) => "ours",
            Match::Other(_) => "other",
            Match::Nothing => "nothing",
        }
    };
    let table: [Case<'_>; 14] = [
        ("as it is", &|_| {}, "ours"),
        ("whatever its status", &|it| it.status = "Failed".to_owned(), "ours"),
        ("upper case", &|it| it.file = Some(SHA1.to_uppercase()), "ours"),
        ("no time", &|it| it.created_at = None, "ours"),
        ("by the first call", &|it| it.created_at = Some(start_of_time()), "ours"),
        (
            "by a clock that is a day slow",
            &|it| it.created_at = Some(before(start_of_time(), seconds(86_400))),
            "ours",
        ),
        (
            "by others, before the first call",
            &|it| {
                it.comment = None;
                it.status = "Succeeded".to_owned();
                it.created_at = Some(before(start_of_time(), seconds(601)));
            },
            "nothing",
        ),
        ("another device", &|it| it.machine_id = Some("9".repeat(40)), "nothing"),
        ("no device", &|it| it.machine_id = None, "nothing"),
        ("another file", &|it| it.file = Some("9".repeat(40)), "nothing"),
        ("no file", &|it| it.file = None, "nothing"),
        ("another comment", &|it| it.comment = Some("by hand".to_owned()), "other"),
        ("another alert", &|it| it.comment = it.comment.take().map(|text| text + "1"), "other"),
        (
            "by others, and in vain",
            &|it| {
                it.comment = None;
                it.status = "Cancelled".to_owned();
            },
            "nothing",
        ),
    ];
    for (name, change, expected) in table {
        assert_eq!(of(change), expected, "{name}");
    }
}

#[test]
fn ours_is_found_beside_others() {
    let other = MachineAction { comment: None, ..ours() };
    let list = [other.clone(), ours(), other];
    assert!(matches!(find(&unsettled(), &list), Match::Ours(_)));
}

/// Where a read at this second takes the action, after so many empty reads of which the last was at that second.
fn settled(reads: u32, last: Option<i64>, now: i64, found: Match<'_>) -> Option<State> {
    let unsettled = Unsettled { empty_reads: reads, empty_read_at: last.map(at), ..unsettled() };
    let advance = settle(&unsettled, found, Settle::after(seconds(60)), at(now));
    advance.changes.last().map(|change| change.to)
}

#[test]
fn a_second_call_needs_two_reads_apart_and_the_settle_time() {
    let table = [
        // Empty reads before, the last of them at, now, and where it goes. The last intent was at second 100.
        (0, None, 500, None),
        (1, Some(100), 129, None),
        (1, Some(100), 159, None),
        (1, Some(100), 160, Some(State::Queued)),
        (1, Some(140), 169, None),
        (1, Some(140), 170, Some(State::Queued)),
        (2, Some(130), 159, None),
        (2, Some(130), 160, Some(State::Queued)),
    ];
    for (reads, last, now, expected) in table {
        assert_eq!(settled(reads, last, now, Match::Nothing), expected, "{reads} {last:?} {now}");
    }
}

#[test]
fn what_is_found_is_adopted_at_once_and_what_others_did_is_not_done_again() {
    let ours = ours();
    assert_eq!(settled(0, None, 100, Match::Ours(&ours)), Some(State::Submitted));
    // Ours may be listed later than theirs.
    assert_eq!(settled(0, None, 500, Match::Other(&ours)), None);
    assert_eq!(settled(1, Some(140), 170, Match::Other(&ours)), Some(State::Superseded));
}

#[test]
fn a_record_whose_id_cannot_be_one_is_not_adopted() {
    let strange = MachineAction { id: "' or id ne '".to_owned(), ..ours() };
    assert_eq!(settled(1, Some(100), 500, Match::Ours(&strange)), None);
}
