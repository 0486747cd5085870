//! The words as types: what can be built, and how states follow each other.

use std::collections::HashSet;

use proptest::prelude::*;
use quarantine_bridge::alert::{
    ActionId, AlertId, Holder, MachineActionId, MachineId, Mode, Severity, Sha1, SignedId, SourceName, State,
    Who, from_millis, millis, parse_time,
};

#[test]
fn a_machine_id_and_a_sha1_are_40_hexadecimal_digits_in_lower_case() {
    let text = "0123456789ABCDEF0123456789abcdef01234567";
    assert_eq!(text.parse::<MachineId>().unwrap().to_string(), text.to_lowercase());
    assert_eq!(text.parse::<Sha1>().unwrap().to_string(), text.to_lowercase());
    for bad in [
        "",
        "0123",
        &text[1..],
        &format!("{text}0"),
        &text.replace('0', "g"),
        &format!(" {}", &text[1..]),
        &text.replace('0', "\u{ff10}"),
    ] {
        assert!(bad.parse::<MachineId>().is_err(), "{bad}");
        assert!(bad.parse::<Sha1>().is_err(), "{bad}");
    }
}

#[test]
fn a_sha1_that_stands_for_no_file_is_refused() {
    for digit in "0123456789abcdef".chars() {
        assert!(digit.to_string().repeat(40).parse::<Sha1>().is_err());
    }
    assert!("da39a3ee5e6b4b0d3255bfef95601890afd80709".parse::<Sha1>().is_err());
}

#[test]
fn ids_that_hide_or_break_lines_are_refused() {
    for bad in [
        "",
        " a",
        "a ",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\0b",
        "a\u{7f}b",
        "a\u{85}b",
        "a\u{200b}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "\u{feff}a",
        "a\u{e0041}",
    ] {
        assert!(bad.parse::<AlertId>().is_err(), "{bad:?}");
    }
    for good in [
        "a",
        "a b",
        "636688558380765161_2136280442",
        "guid@@notable@@hash",
        "/subscriptions/x/alerts/y",
        "Prüfung 7",
        "警报",
    ] {
        assert_eq!(good.parse::<AlertId>().unwrap().as_str(), good);
    }
}

#[test]
fn names_keep_to_their_letters() {
    for bad in ["", "A", "a b", "-a", "a.b", "a/b", &"a".repeat(65)] {
        assert!(bad.parse::<SourceName>().is_err(), "{bad}");
    }
    for bad in ["", "a.b", "a b", "\u{e9}", &"a".repeat(129)] {
        assert!(bad.parse::<SignedId>().is_err(), "{bad}");
    }
    for bad in ["", "a'b", "a b", "../x", &"a".repeat(129)] {
        assert!(bad.parse::<MachineActionId>().is_err(), "{bad}");
    }
    assert!("not-a-uuid".parse::<ActionId>().is_err());
}

#[test]
fn every_word_is_read_back() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    for severity in Severity::ALL {
        assert_eq!(severity.as_str().parse(), Ok(severity));
    }
    for mode in Mode::ALL {
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    for who in [
        Who::Source,
        Who::Bridge,
        Who::Defender,
        "token:token:a b".parse().unwrap(),
        Who::Operator("uid 0".to_owned()),
    ] {
        assert_eq!(who.to_string().parse::<Who>(), Ok(who.clone()));
        assert_eq!(who.principal().parse::<Who>(), Ok(who));
    }
    for name in ["alice", "a b:c#d", "x#0123456789ab"] {
        let who = Who::Token(Holder { name: name.to_owned(), token: Some("0123456789ab".to_owned()) });
        assert_eq!(who.principal().parse::<Who>(), Ok(who));
    }
    assert!("High".parse::<Severity>().is_err());
    assert!("".parse::<State>().is_err());
    assert!("Enforce".parse::<Mode>().is_err());
}

#[test]
fn from_every_state_an_end_can_be_reached_and_no_end_is_left() {
    let next = |state: State| State::ALL.into_iter().filter(move |other| state.may_become(*other));
    for state in State::ALL {
        assert_eq!(state.is_final(), next(state).count() == 0, "{state}");
        let mut reached = HashSet::from([state]);
        let mut todo = vec![state];
        while let Some(from) = todo.pop() {
            todo.extend(next(from).filter(|to| reached.insert(*to)));
        }
        assert!(reached.iter().any(|state| state.is_final()), "{state} leads nowhere");
    }
    let finals: Vec<_> = State::ALL.into_iter().filter(|state| state.is_final()).map(State::as_str).collect();
    let expected = [
        "succeeded",
        "failed",
        "timed_out",
        "cancelled",
        "denied",
        "expired",
        "shadowed",
        "superseded",
        "rejected",
    ];
    assert_eq!(finals, expected);
}

#[test]
fn only_a_queued_action_may_be_sent() {
    let before_sending: Vec<_> =
        State::ALL.into_iter().filter(|state| state.may_become(State::Sending)).collect();
    assert_eq!(before_sending, [State::Queued]);
    let back_to_queue: Vec<_> =
        State::ALL.into_iter().filter(|state| state.may_become(State::Queued)).collect();
    assert_eq!(back_to_queue, [State::Decided, State::Sending, State::Uncertain]);
}

#[test]
fn times_are_read_as_senders_write_them() {
    let same = [
        "2026-03-01T11:58:00.5Z",
        "2026-03-01T11:58:00.5000000Z",
        "2026-03-01T11:58:00.500000000999Z",
        "2026-03-01T12:58:00.5+01:00",
        "2026-03-01T11:58:00.500+0000",
        "2026-03-01 11:58:00.500 +00:00",
        "2026-03-01 11:58:00.500Z",
        " 2026-03-01T11:58:00.5z ",
    ];
    for text in same {
        assert_eq!(parse_time(text).map(millis), Some(1_772_366_280_500), "{text}");
    }
    for text in [
        "",
        "yesterday",
        "2026-03-01",
        "2026-03-01T11:58:00",
        "2026-13-01T11:58:00Z",
        "1772366280",
        "2026-03-01T25:00:00Z",
    ] {
        assert_eq!(parse_time(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn hexadecimal_ids_round_trip(bytes: [u8; 20]) {
        let text = hex::encode(bytes);
        prop_assert_eq!(text.parse::<MachineId>().unwrap().to_string(), text);
    }

    #[test]
    fn times_round_trip_as_milliseconds(at in 0_i64..4_000_000_000_000) {
        prop_assert_eq!(millis(from_millis(at)), at);
    }

    #[test]
    fn no_text_makes_an_id_panic(text: String) {
        let results = [
            text.parse::<MachineId>().is_ok(), text.parse::<Sha1>().is_ok(), text.parse::<AlertId>().is_ok(),
            text.parse::<SourceName>().is_ok(), parse_time(&text).is_some(),
        ];
        prop_assert!(results.len() == 5);
    }
}
