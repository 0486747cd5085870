//! What policy says besides the decision: in which words, what move it means, and its report on a shadow source.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{HeldReason, Mode, State, Target, Unresolved, after, before};
use quarantine_bridge::policy::{
    Against, Answer, Approval, Approvals, Decided, DeviceFacts, DeviceTrait, Fact, Facts, FileFacts, Freeze,
    Guard, Guards, LONGEST_PERIOD, Limit, LimitKey, Need, No, Policy, ProtectedDevice, Shadowed, Undecided,
    When, decided, promotion,
};
use serde_json::json;

use crate::harness::{SHA1, action, start_of_time};
use crate::policy::{Case, good};

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn changed(change: impl FnOnce(&mut Case)) -> Case {
    let mut case = good();
    change(&mut case);
    case
}

fn with_guards(change: impl FnOnce(&mut Guards)) -> Case {
    let case = good();
    Case { policy: case.policy.clone().with_guards(change), ..case }
}

/// What a guard answers, and in which words.
#[track_caller]
fn says(case: &Case, guard: Guard, answer: Answer, evidence: &str) {
    let verdict = case.decide(Mode::Enforce);
    let finding = verdict.trace.iter().find(|finding| finding.guard == guard).unwrap();
    assert_eq!((finding.answer, finding.evidence.as_str()), (answer, evidence));
    assert!(
        verdict.facts().contains(&format!("{guard}: {}, {evidence}", answer.as_str())),
        "{:?}",
        verdict.facts()
    );
}

fn by(name: &str, guards: &[Guard], at: Timestamp) -> Approval {
    Approval { by: name.to_owned(), guards: guards.to_vec(), at }
}

#[test]
fn how_long_ago_is_told_as_people_say_it() {
    let told = |seconds| {
        changed(|case| {
            case.policy.max_age = SignedDuration::from_hours(24 * 10);
            case.candidate.occurred_at = Some(before(start_of_time(), SignedDuration::from_secs(seconds)));
        })
    };
    for (seconds, text) in [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "119 min"),
        (7_200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ] {
        says(&told(seconds), Guard::Age, Answer::Pass, &format!("{text} old, limit 10 days"));
    }
}

#[test]
fn what_is_not_known_is_told_with_the_reason() {
    let why = "the tenant has not granted it";
    let about_device = changed(|case| case.facts.device = DeviceFacts::unknown(why));
    says(&about_device, Guard::Os, Answer::Hold, &format!("the device's system is not known: {why}"));
    let mut file = good().facts.file;
    file.set_record_unknown(why);
    assert_eq!(file.organisation_prevalence, Fact::Known(1), "the rest stays");
    let about_record = changed(|case| case.facts.file = file.clone());
    let evidence = format!("what Defender holds the file for is not known: {why}");
    says(&about_record, Guard::Determination, Answer::Hold, &evidence);
    assert_eq!(
        (&file.signer, &file.issuer),
        (&Fact::Unknown(why.to_owned()), &Fact::Unknown(why.to_owned()))
    );
    let mut file = good().facts.file;
    file.set_prevalence_unknown(why);
    assert_eq!(file.determination, Fact::Known("Malware".to_owned()), "the rest stays");
    let about_spread = changed(|case| case.facts.file = file);
    let evidence = format!("how many devices of the organisation have the file is not known: {why}");
    says(&about_spread, Guard::Prevalence, Answer::Hold, &evidence);
    let nothing = FileFacts::unknown(why);
    assert_eq!(nothing.global_prevalence, Fact::Unknown(why.to_owned()));
    assert_eq!(nothing.is_certificate_valid, Fact::Unknown(why.to_owned()));

    assert_eq!(Fact::of(Some(1), "x"), Fact::Known(1));
    assert_eq!(Fact::<u8>::of(None, "x").known(), None);
    assert_eq!(Fact::<u8>::of(None, "tag"), Fact::Unknown("Defender's record has no tag".to_owned()));
}

#[test]
fn a_device_that_several_rows_fit_is_told_by_the_first_of_the_strictest() {
    let row = |tag: &str, no, reason: Option<&str>| ProtectedDevice {
        by: DeviceTrait::Tag(tag.to_owned()),
        no,
        owner: Some("it-ops".to_owned()),
        reason: reason.map(ToOwned::to_owned),
        expires_at: None,
    };
    let case = |rows: [ProtectedDevice; 2]| {
        let mut case = with_guards(|guards| {
            guards.protected_devices = Arc::new(rows.to_vec());
            guards.set(Guard::ProtectedDevice, Some(No::Deny));
        });
        case.facts.device.tags = Fact::Known(vec!["one".to_owned(), "two".to_owned()]);
        case
    };
    let (one, two) = (|no| row("one", no, Some("first")), |no| row("two", no, None));
    let first = "the device is protected by its tag one, owner it-ops: first";
    let second = "the device is protected by its tag two, owner it-ops";
    let (hold, deny) = (Answer::Hold, Answer::Deny);
    says(&case([one(No::Hold), two(No::Hold)]), Guard::ProtectedDevice, hold, first);
    says(&case([one(No::Deny), two(No::Deny)]), Guard::ProtectedDevice, deny, first);
    says(&case([one(No::Deny), two(No::Hold)]), Guard::ProtectedDevice, deny, first);
    says(&case([one(No::Hold), two(No::Deny)]), Guard::ProtectedDevice, deny, second);

    let now = start_of_time();
    let until = |at| ProtectedDevice { expires_at: at, ..one(No::Deny) }.counts(now);
    assert!(until(None) && until(Some(after(now, minutes(1)))));
    assert!(!until(Some(now)) && !until(Some(before(now, minutes(1)))));
}

#[test]
fn a_version_of_windows_10_that_never_was_is_told_by_its_build() {
    let case = |version: &str, build| {
        changed(|case| {
            case.facts.device.os_version = Fact::Known(version.to_owned());
            case.facts.device.os_build = Fact::Known(build);
        })
    };
    for version in ["19H1", "22H3", "22H0", "100H1", "1499", "10000"] {
        says(
            &case(version, 15_062),
            Guard::Os,
            Answer::Deny,
            &format!("Windows10 {version} is older than 1703"),
        );
        says(&case(version, 15_063), Guard::Os, Answer::Pass, &format!("Windows10 {version}"));
    }
    says(&case("20H1", 1), Guard::Os, Answer::Pass, "Windows10 20H1");
}

#[test]
fn an_alert_about_what_was_quarantined_at_that_moment_asks_for_nothing_new() {
    let last = before(start_of_time(), minutes(5));
    let case = |occurred_at| {
        changed(|case| {
            case.facts.own.last_quarantined_at = Fact::Known(Some(last));
            case.candidate.occurred_at = Some(occurred_at);
        })
    };
    let evidence = "it was quarantined there 5 min ago, limit 24 h";
    says(&case(last), Guard::CoolDown, Answer::Pass, evidence);
    says(&case(after(last, minutes(1))), Guard::CoolDown, Answer::Hold, evidence);
}

#[test]
fn an_open_breaker_lets_out_what_enough_persons_have_approved_whatever_it_was() {
    let since = before(start_of_time(), minutes(5));
    let case = changed(|case| case.facts.own.blast_breaker_since = Fact::Known(Some(since)));
    let open = "the breaker on blast radius is open since 2026-03-01T11:55:00Z";
    let no = format!("{open}: every action needs a person's approval");
    says(&case, Guard::BlastBreaker, Answer::Hold, &no);
    let approvals = Approvals(vec![by("token:a", &[Guard::Os], since), by("token:a", &[Guard::Os], since)]);
    assert_eq!((approvals.persons(), approvals.of(Guard::Os), approvals.of(Guard::Mode)), (1, 1, 0));
    let verdict = case.decide_with(Mode::Enforce, &approvals);
    let finding = verdict.trace.iter().find(|finding| finding.guard == Guard::BlastBreaker).unwrap();
    assert_eq!(
        (finding.answer, finding.evidence.clone()),
        (Answer::Pass, format!("{open}; approvals of the action: 1"))
    );
    let four_eyes = Case {
        policy: case.policy.clone().with_guards(|guards| guards.set_approvers(Guard::BlastBreaker, 2)),
        ..case
    };
    assert_eq!(four_eyes.decide_with(Mode::Enforce, &approvals).state(), State::Held);
}

#[test]
fn the_last_approval_counts_for_the_age() {
    let (now, hour) = (start_of_time(), SignedDuration::from_hours(1));
    let case = changed(|case| case.candidate.occurred_at = Some(before(now, hour.saturating_mul(3))));
    assert_eq!(case.decide(Mode::Enforce).state(), State::Expired);
    let first = by("token:a", &[Guard::Os], before(now, hour.saturating_mul(2)));
    let last = by("token:b", &[Guard::Os], before(now, minutes(7)));
    assert_eq!(Approvals::default().last_at(), None);
    let stale = Approvals(vec![first.clone()]);
    assert_eq!(case.decide_with(Mode::Enforce, &stale).state(), State::Expired);
    for approvals in [Approvals(vec![first.clone(), last.clone()]), Approvals(vec![last, first])] {
        assert_eq!(approvals.last_at(), Some(before(now, minutes(7))));
        let verdict = case.decide_with(Mode::Enforce, &approvals);
        assert!(
            verdict.facts().contains(&"age: pass, a person looked at it 7 min ago, limit 60 min".to_owned())
        );
        assert_eq!(verdict.to_string(), "send: every guard passes or is approved");
    }
}

#[test]
fn a_verdict_says_what_would_have_been_done_and_why() {
    let os =
        |platform: &str| changed(|case| case.facts.device.os_platform = Fact::Known(platform.to_owned()));
    let late = changed(|case| case.candidate.occurred_at = Some(before(start_of_time(), minutes(120))));
    let new = changed(|case| case.facts.own.actions_of_source = Fact::Known(9));
    let server = "WindowsServer2022 is a Windows Server";
    let mac = "files are not quarantined on macOS: only on Windows 10 from 1703 on and 11";
    let first = "the source had 9 actions so far; a person approves the first 10";
    let old = "the alert is 2 h old, the limit is 60 min";
    for (case, enforced, shadowed, would_be_sent) in [
        (good(), "send: every guard passes".to_owned(), "shadow: would have been sent".to_owned(), true),
        (
            os("WindowsServer2022"),
            format!("hold: {server}"),
            format!("shadow: would have been held: {server}"),
            false,
        ),
        (os("macOS"), format!("deny: {mac}"), format!("shadow: would have been denied: {mac}"), false),
        (late, format!("expire: {old}"), format!("shadow: would have expired: {old}"), false),
        // What only the approval of a new source's first actions holds counts as sent.
        (new, format!("hold: {first}"), format!("shadow: would have been held: {first}"), true),
    ] {
        let (in_earnest, in_shadow) = (case.decide(Mode::Enforce), case.decide(Mode::Shadow));
        assert_eq!((in_earnest.to_string(), in_shadow.to_string()), (enforced, shadowed));
        assert_eq!(
            (in_earnest.would_be_sent(), in_shadow.would_be_sent()),
            (false, would_be_sent),
            "{in_shadow}"
        );
        assert_eq!(in_shadow.facts().len(), Guard::of_actions().count());
    }
}

#[test]
fn a_freeze_every_week_may_go_over_midnight_or_last_a_whole_day() {
    let freeze = |from, until| Freeze {
        when: When::Weekly { days: vec![Weekday::Saturday], from, until },
        reason: "r".to_owned(),
    };
    // 2026-02-28 was a Saturday.
    let covers = |freeze: &Freeze, at: &str| freeze.covers(at.parse().unwrap());
    let day = freeze(8 * 60, 17 * 60);
    assert!(covers(&day, "2026-02-28T08:00:00Z") && covers(&day, "2026-02-28T16:59:59Z"));
    assert!(!covers(&day, "2026-02-28T07:59:59Z") && !covers(&day, "2026-02-28T17:00:00Z"));
    assert!(!covers(&day, "2026-03-01T09:00:00Z"));
    let night = freeze(22 * 60, 6 * 60);
    assert!(covers(&night, "2026-02-28T22:00:00Z") && covers(&night, "2026-03-01T05:59:00Z"));
    assert!(!covers(&night, "2026-02-28T05:00:00Z") && !covers(&night, "2026-02-28T21:59:00Z"));
    assert!(!covers(&night, "2026-03-01T06:00:00Z") && !covers(&night, "2026-03-01T23:00:00Z"));
    // From a time to the same is a whole day from then on.
    let whole = freeze(12 * 60, 12 * 60);
    assert!(covers(&whole, "2026-02-28T12:00:00Z") && covers(&whole, "2026-03-01T11:59:00Z"));
    assert!(!covers(&whole, "2026-02-28T11:59:00Z") && !covers(&whole, "2026-03-01T12:00:00Z"));
    assert!(!covers(&whole, "2026-03-02T11:00:00Z"));
}

#[test]
fn limits_have_names_by_which_counts_are_kept() {
    for key in LimitKey::ALL {
        assert_eq!(key.as_str().parse(), Ok(key));
        assert_eq!(key.to_string(), key.as_str());
    }
    assert_eq!(LimitKey::ALL.map(LimitKey::as_str), ["hash", "device", "source", "rule"]);
    let error = "user".parse::<LimitKey>().unwrap_err();
    assert_eq!(error.to_string(), "\"user\" is not hash, device, source or rule");
    let hour = SignedDuration::from_hours(1);
    assert_eq!(Limit::new(1, hour, &[]).label(), "all, 3600 s");
    assert_eq!(Limit::new(1, hour, &[LimitKey::Rule, LimitKey::Hash]).label(), "hash+rule, 3600 s");
    assert_eq!(LONGEST_PERIOD.as_hours(), 744);
}

#[test]
fn what_the_configuration_can_switch_and_what_is_asked_for_it() {
    let fixed = [Guard::Severity, Guard::Age, Guard::Target];
    let (all, switchable): (BTreeSet<_>, BTreeSet<_>) =
        (Guard::of_actions().collect(), Guard::switchable().collect());
    assert_eq!(all.difference(&switchable).copied().collect::<Vec<_>>(), fixed);

    let needs = |need, on: &[Guard], change: fn(&mut Guards)| {
        let mut guards = Guards::default();
        change(&mut guards);
        Guard::switchable().filter(|guard| !on.contains(guard)).for_each(|guard| guards.set(guard, None));
        guards.needs(need)
    };
    let as_usual = |_: &mut Guards| {};
    for (need, guards) in [
        (Need::Device, &[Guard::Os, Guard::DeviceState, Guard::ProtectedDevice][..]),
        (Need::File, &[Guard::MicrosoftSigned, Guard::Determination]),
        (Need::Prevalence, &[Guard::Prevalence]),
        (Need::Sightings, &[Guard::SeenOnDevice]),
    ] {
        assert!(!needs(need, &[], as_usual), "{need:?}");
        for guard in guards {
            assert!(needs(need, &[*guard], as_usual), "{need:?} for {guard}");
        }
    }
    assert!(
        !needs(Need::Device, &[Guard::ProtectedDevice], |guards| guards.protected_devices = Arc::default())
    );
    assert!(!needs(Need::File, &[Guard::TrustedPublisher], as_usual), "none is trusted");
    let contoso = |guards: &mut Guards| guards.trusted_publishers = vec!["Contoso".to_owned()];
    assert!(needs(Need::File, &[Guard::TrustedPublisher], contoso));

    let mut guards = Guards::default();
    guards.set_approvers(Guard::Os, 2);
    assert_eq!((guards.switch(Guard::Os).approvers, guards.switch(Guard::Os).no), (2, Some(No::Hold)));
    guards.set_approvers(Guard::Os, 1);
    assert_eq!(guards, Guards::default());
}

/// Decides an action of the good case.
fn decide(case: &Case, state: State, found: Result<Target, Unresolved>, approvals: &Approvals) -> Decided {
    let mut action = action(state);
    (action.severity, action.occurred_at) = (case.candidate.severity, case.candidate.occurred_at);
    let found = found.map(|target| (target, vec!["machine: as the alert gives it".to_owned()]));
    let undecided = Undecided { action, policy: Some(case.policy.clone()), found, facts: Facts::default() };
    decided(&undecided, &case.facts, approvals, start_of_time())
}

#[test]
fn a_decision_moves_the_action_and_says_until_when() {
    let (now, case) = (start_of_time(), good());
    let target = case.candidate.target.clone().unwrap();
    let sent = decide(&case, State::Accepted, Ok(target), &Approvals::default());
    let moves: Vec<_> = sent.advance.changes.iter().map(|it| (it.from.unwrap(), it.to)).collect();
    let (accepted, resolving, settled) = (State::Accepted, State::Resolving, State::Decided);
    assert_eq!(moves, [(accepted, resolving), (resolving, settled), (settled, State::Queued)]);
    let patch = &sent.advance.patch;
    assert_eq!((patch.target, patch.next_at, patch.held_reason), (Some(target), Some(now), None));
    let occurred_at = case.candidate.occurred_at.unwrap();
    assert_eq!(patch.expires_at, Some(after(occurred_at, minutes(60))), "by the alert's age");

    let approved = Approvals(vec![by("token:a", &[Guard::Os], now)]);
    let sent = decide(&case, State::Resolving, Ok(target), &approved);
    assert_eq!(sent.advance.changes.len(), 2, "it was looked for before");
    assert_eq!(sent.advance.patch.expires_at, Some(after(now, minutes(60))), "by the approval");

    let held = with_guards(|guards| guards.hold_limit = minutes(30));
    let unresolved = Unresolved::new(HeldReason::FileUnknown, "nothing like it");
    let held = decide(&held, State::Resolving, Err(unresolved), &Approvals::default());
    assert_eq!(held.verdict.state(), State::Held);
    assert_eq!(held.unresolved, Some(HeldReason::FileUnknown));
    let patch = &held.advance.patch;
    assert_eq!((patch.target, patch.held_reason), (None, Some(HeldReason::FileUnknown)));
    assert_eq!(patch.expires_at, Some(after(now, minutes(30))));

    let not_looked_up = Unresolved::new(HeldReason::NotLookedUp, "whatever it names");
    let held = decide(&good(), State::Resolving, Err(not_looked_up), &Approvals::default());
    assert_eq!((held.unresolved, held.advance.patch.held_reason), (None, None), "nobody can complete that");
}

fn shadowed(minute: i64, machine: u64, rule: &str, facts: &[&str]) -> Shadowed {
    let target =
        Target { machine_id: format!("{machine:040x}").parse().unwrap(), sha1: SHA1.parse().unwrap() };
    Shadowed {
        at: after(start_of_time(), SignedDuration::from_mins(minute)),
        rule: rule.to_owned(),
        target: Some(target),
        why: format!("at minute {minute}"),
        facts: facts.iter().map(|line| (*line).to_owned()).collect(),
    }
}

#[test]
fn the_fullest_period_of_each_limit_is_found_by_what_it_counts_apart() {
    let pass = ["os: pass, Windows11"];
    let actions = [
        shadowed(0, 1, "a", &pass),
        shadowed(10, 1, "a", &pass),
        shadowed(59, 2, "b", &pass),
        // A period is over when it is over: minute 0 counts no more.
        shadowed(60, 1, "a", &pass),
        shadowed(300, 3, "a", &pass),
    ];
    let hour = SignedDuration::from_hours(1);
    let keys: [&[LimitKey]; 5] =
        [&[], &[LimitKey::Hash], &[LimitKey::Device], &[LimitKey::Rule], &[LimitKey::Source]];
    let limits = keys.map(|keys| Limit::new(2, hour, keys));

    let report = promotion(&actions, &limits);

    let never = Against { limit: limits[0].clone(), peak: 0, at: None };
    assert_eq!(promotion(&[], &limits[..1]).limits, [never]);
    let peaks: Vec<u64> = report.limits.iter().map(|against| against.peak).collect();
    assert_eq!(peaks, [3, 3, 2, 2, 3]);
    let at = after(start_of_time(), SignedDuration::from_mins(59));
    assert_eq!(report.limits[0].at, Some(at));
    assert_eq!((report.devices, report.files), (3, 1));
}

#[test]
fn what_only_limits_and_the_first_actions_hold_counts_as_sent_and_nothing_else_does() {
    let actions = [
        shadowed(0, 1, "a", &["os: pass, x", "blast_radius: hold, full"]),
        shadowed(1, 2, "a", &["os: pass, x", "first_actions: hold, new"]),
        shadowed(2, 3, "a", &["os: hold, a server", "blast_radius: hold, full"]),
        shadowed(3, 4, "a", &["os: hold, a server", "undone: deny, undone"]),
        shadowed(4, 5, "a", &["age: expire, too old"]),
        // A record without what guards found is no reason to send.
        shadowed(5, 6, "a", &[]),
    ];

    let report = promotion(&actions, &[Limit::new(1, SignedDuration::from_hours(1), &[])]);

    assert_eq!((report.devices, report.limits[0].peak), (2, 2));
    let count = |answer| report.answers.get(&answer).copied().unwrap_or(0);
    assert_eq!(Answer::ALL.map(count), [0, 4, 1, 1]);
    assert_eq!(report.reasons[&(Answer::Hold, Some(Guard::Os))].count, 1);
    assert_eq!(report.reasons[&(Answer::Deny, Some(Guard::Undone))].example, "at minute 3");
    assert_eq!(report.guards[&Guard::BlastRadius][&Answer::Hold], 2);
    assert_eq!(report.reasons[&(Answer::Hold, None)].count, 1, "the record without any");
    assert!(!report.guards[&Guard::Os].contains_key(&Answer::Pass));
}

#[test]
fn who_asks_for_an_action_can_lower_its_mode_and_is_told_only_then() {
    let policy = good().policy;
    for (max, told) in [
        (None, "mode enforce"),
        (Some(Mode::Enforce), "mode enforce"),
        (Some(Mode::Approve), "mode approve (the source's is enforce; who asked for it may go no further)"),
        (Some(Mode::Shadow), "mode shadow (the source's is enforce; who asked for it may go no further)"),
    ] {
        assert_eq!(policy.told_mode_within(max), told);
    }
    let lowered = Policy { mode_max: Mode::Shadow, ..policy };
    let told = "mode shadow (the source's is enforce; [policy] mode_max lowers it)";
    assert_eq!(lowered.told_mode_within(Some(Mode::Approve)), told);
}

#[test]
fn a_golden_case_writes_a_fact_as_it_is_or_why_it_is_not_known() {
    let written = json!({"seen_on_device": true, "file": {"determination": {"unknown": "no role"}}});
    let facts: Facts = serde_json::from_value(written).unwrap();
    assert_eq!(facts.seen_on_device, Fact::Known(true));
    assert_eq!(facts.file.determination, Fact::Unknown("no role".to_owned()));
    assert_eq!(facts.file.global_prevalence, Fact::Unknown("it was not asked for".to_owned()));
}
