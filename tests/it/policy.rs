//! The decision table: every guard with pass, fail and unknown, in every mode.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::Weekday;
use quarantine_bridge::alert::{HeldReason, Mode, Severity, State, Target, Unresolved, after, before};
use quarantine_bridge::policy::{
    Answer, Approval, Approvals, Candidate, Decision, DeviceFacts, DeviceTrait, Fact, Facts, FileFacts,
    Finding, Freeze, Guard, Guards, Limit, LimitKey, No, OwnFacts, Policy, ProtectedDevice, ProtectedFile,
    Verdict, When, decide, source_unknown,
};

use crate::harness::{MACHINE, SHA1, start_of_time};

/// Guards that look at nothing that could be unknown.
const LOOK_AT_NO_FACT: [Guard; 1] = [Guard::ChangeFreeze];

/// All that a decision depends on.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) candidate: Candidate,
    pub(crate) facts: Facts,
    pub(crate) policy: Policy,
}

impl Case {
    pub(crate) fn decide(&self, mode: Mode) -> Verdict {
        self.decide_with(mode, &Approvals::default())
    }

    pub(crate) fn decide_with(&self, mode: Mode, approvals: &Approvals) -> Verdict {
        let policy = Policy { source_mode: mode, ..self.policy.clone() };
        decide(&self.candidate, &self.facts, approvals, &policy, start_of_time())
    }

    fn guards(&mut self) -> &mut Guards {
        Arc::make_mut(&mut self.policy.guards)
    }
}

fn known<T>(value: T) -> Fact<T> {
    Fact::Known(value)
}

fn unknown<T>() -> Fact<T> {
    Fact::Unknown("nobody knows".to_owned())
}

fn text(text: &str) -> Fact<String> {
    known(text.to_owned())
}

/// An action that every guard lets pass.
pub(crate) fn good() -> Case {
    let now = start_of_time();
    let hour = SignedDuration::from_hours(1);
    let policy = Policy::new(Mode::Enforce, Severity::Medium, SignedDuration::from_mins(60))
        .with_guards(|guards| guards.trusted_publishers = vec!["Contoso".to_owned()]);
    let counts: BTreeMap<String, u64> = policy.guards.limits.iter().map(|limit| (limit.label(), 0)).collect();
    Case {
        candidate: Candidate {
            severity: Some(Severity::High),
            occurred_at: Some(before(now, SignedDuration::from_mins(5))),
            completed_at: None,
            mode_max: None,
            target: Ok(Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() }),
        },
        facts: Facts {
            learned_at: Some(now),
            device: DeviceFacts {
                name: text("ws1.corp.example"),
                os_platform: text("Windows10"),
                os_version: text("22H2"),
                os_build: known(19_045),
                onboarding: text("Onboarded"),
                health: text("Active"),
                last_seen: known(before(now, hour)),
                tags: known(vec!["floor-3".to_owned()]),
                group: known(Some("clients".to_owned())),
                value: known(Some("Normal".to_owned())),
            },
            file: FileFacts {
                signer: known(None),
                issuer: known(None),
                is_certificate_valid: known(false),
                determination: text("Malware"),
                organisation_prevalence: known(1),
                global_prevalence: known(3),
            },
            seen_on_device: known(true),
            own: OwnFacts {
                targets_of_alert: known(1),
                last_quarantined_at: known(None),
                undone_until: known(None),
                counts: known(counts),
                blast_breaker_since: known(None),
                actions_of_source: known(10),
            },
        },
        policy,
    }
}

/// One row: the guard, what it is to answer, and what is otherwise than in a good case. Unknown facts are marked.
struct Row(Guard, Answer, IsUnknown, Box<dyn Fn(&mut Case)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsUnknown {
    Yes,
    No,
}

fn row(guard: Guard, answer: Answer, change: impl Fn(&mut Case) + 'static) -> Row {
    Row(guard, answer, IsUnknown::No, Box::new(change))
}

fn missing(guard: Guard, change: impl Fn(&mut Case) + 'static) -> Row {
    Row(guard, Answer::Hold, IsUnknown::Yes, Box::new(change))
}

fn unresolved() -> Unresolved {
    Unresolved::new(HeldReason::FileUnknown, "nothing like it")
}

fn about_the_alert() -> Vec<Row> {
    use Answer::{Deny, Expire, Hold, Pass};
    let now = start_of_time();
    let minutes = SignedDuration::from_mins;
    let severe =
        |answer, severity| row(Guard::Severity, answer, move |case| case.candidate.severity = Some(severity));
    let aged = |answer, at| row(Guard::Age, answer, move |case| case.candidate.occurred_at = Some(at));
    let completed = |answer, age, ago| {
        row(Guard::Age, answer, move |case| {
            case.candidate.occurred_at = Some(before(now, age));
            case.candidate.completed_at = Some(before(now, ago));
        })
    };
    let named = |answer, count| {
        row(Guard::Targets, answer, move |case| case.facts.own.targets_of_alert = known(count))
    };
    vec![
        severe(Pass, Severity::Critical),
        severe(Pass, Severity::Medium),
        severe(Deny, Severity::Low),
        severe(Deny, Severity::Informational),
        row(Guard::Severity, Deny, |case| case.guards().severities = vec![Severity::Critical]),
        row(Guard::Severity, Pass, |case| case.guards().severities = vec![Severity::High]),
        missing(Guard::Severity, |case| case.candidate.severity = None),
        aged(Pass, now),
        aged(Pass, before(now, minutes(60))),
        aged(Expire, before(before(now, minutes(60)), SignedDuration::from_millis(1))),
        aged(Expire, before(now, minutes(60 * 24 * 365))),
        aged(Pass, after(now, minutes(5))),
        aged(Hold, after(now, minutes(6))),
        completed(Pass, minutes(60 * 20), minutes(59)),
        completed(Expire, minutes(60 * 20), minutes(61)),
        missing(Guard::Age, |case| case.candidate.occurred_at = None),
        row(Guard::Target, Pass, |_| {}),
        row(Guard::Target, Hold, |case| {
            case.guards().set(Guard::ProtectedFile, None);
            case.candidate.target = Err(unresolved());
        }),
        missing(Guard::Target, |case| {
            case.guards().set(Guard::ProtectedFile, None);
            case.candidate.target = Err(Unresolved::new(HeldReason::MachineUnknown, "nothing like it"));
        }),
        named(Pass, 5),
        named(Hold, 6),
        row(Guard::Targets, Deny, |case| {
            case.guards().set(Guard::Targets, Some(No::Deny));
            case.facts.own.targets_of_alert = known(6);
        }),
        missing(Guard::Targets, |case| case.facts.own.targets_of_alert = unknown()),
    ]
}

fn about_the_device() -> Vec<Row> {
    use Answer::{Deny, Hold, Pass};
    let os = |answer, platform: &'static str, version: &'static str| {
        row(Guard::Os, answer, move |case| {
            case.facts.device.os_platform = text(platform);
            case.facts.device.os_version = text(version);
        })
    };
    let by_build = |answer, build| {
        row(Guard::Os, answer, move |case| {
            case.facts.device.os_version = text("Other");
            case.facts.device.os_build = known(build);
        })
    };
    let server = |answer, no| {
        row(Guard::Os, answer, move |case| {
            case.guards().os.server = no;
            case.facts.device.os_platform = text("WindowsServer2022");
        })
    };
    let state = |answer, onboarding: &'static str, health: &'static str, hours| {
        row(Guard::DeviceState, answer, move |case| {
            case.facts.device.onboarding = text(onboarding);
            case.facts.device.health = text(health);
            case.facts.device.last_seen = known(before(start_of_time(), SignedDuration::from_hours(hours)));
        })
    };
    vec![
        os(Pass, "Windows10", "1703"),
        os(Pass, "Windows10WVD", "21H2"),
        os(Pass, "Windows11", "23H2"),
        os(Deny, "Windows10", "1607"),
        os(Deny, "Windows10", "1511"),
        os(Deny, "Windows8.1", "6.3"),
        os(Deny, "Windows7", "6.1"),
        os(Deny, "Linux", "22.04"),
        os(Deny, "macOS", "14"),
        by_build(Pass, 15_063),
        by_build(Deny, 15_062),
        server(Hold, Some(No::Hold)),
        server(Deny, Some(No::Deny)),
        server(Pass, None),
        missing(Guard::Os, |case| {
            // Whatever the rows that protect would look at.
            case.facts.device.os_platform = unknown();
        }),
        missing(Guard::Os, |case| {
            case.facts.device.os_version = unknown();
            case.facts.device.os_build = unknown();
        }),
        state(Pass, "Onboarded", "Active", 7 * 24),
        state(Hold, "Onboarded", "Active", 7 * 24 + 1),
        state(Hold, "Onboarded", "Inactive", 1),
        state(Hold, "Onboarded", "ImpairedCommunication", 1),
        state(Hold, "CanBeOnboarded", "Active", 1),
        missing(Guard::DeviceState, |case| case.facts.device.health = unknown()),
        missing(Guard::DeviceState, |case| case.facts.device.onboarding = unknown()),
        missing(Guard::DeviceState, |case| case.facts.device.last_seen = unknown()),
        row(Guard::SeenOnDevice, Pass, |_| {}),
        row(Guard::SeenOnDevice, Hold, |case| case.facts.seen_on_device = known(false)),
        missing(Guard::SeenOnDevice, |case| case.facts.seen_on_device = unknown()),
    ]
}

/// A row of the configuration that protects devices.
fn protected(by: DeviceTrait, no: No) -> ProtectedDevice {
    let (owner, reason) = (Some("it-ops".to_owned()), Some("it must not stop".to_owned()));
    ProtectedDevice { by, no, owner, reason, expires_at: None }
}

fn protect(answer: Answer, by: DeviceTrait) -> Row {
    row(Guard::ProtectedDevice, answer, move |case| {
        Arc::make_mut(&mut case.guards().protected_devices).push(protected(by.clone(), No::Deny));
    })
}

fn about_protection() -> Vec<Row> {
    use Answer::{Deny, Hold, Pass};
    let name = |name: &str| DeviceTrait::Name(name.to_owned());
    let tagged = |tag: &'static str| {
        row(Guard::ProtectedDevice, Deny, move |case| case.facts.device.tags = known(vec![tag.to_owned()]))
    };
    let listed = |answer, no, expires_at| {
        row(Guard::ProtectedFile, answer, move |case| {
            case.guards().set(Guard::ProtectedFile, Some(no));
            let file =
                ProtectedFile { owner: "it-ops".to_owned(), reason: "our own agent".to_owned(), expires_at };
            Arc::make_mut(&mut case.guards().protected_files).extend([(SHA1.parse().unwrap(), file)]);
        })
    };
    let now = start_of_time();
    vec![
        row(Guard::ProtectedDevice, Pass, |_| {}),
        tagged("Tier0"),
        tagged("domaincontroller"),
        tagged("quarantine-protect"),
        row(Guard::ProtectedDevice, Deny, |case| case.facts.device.value = known(Some("High".to_owned()))),
        row(Guard::ProtectedDevice, Pass, |case| case.facts.device.value = known(None)),
        row(Guard::ProtectedDevice, Pass, |case| case.facts.device.group = known(None)),
        protect(Deny, DeviceTrait::Group("Clients".to_owned())),
        protect(Pass, DeviceTrait::Group("Servers".to_owned())),
        protect(Deny, name("ws1.corp.example")),
        protect(Deny, name("WS1")),
        protect(Deny, name("ws*")),
        protect(Deny, name("*.corp.example")),
        protect(Deny, name("*corp*")),
        protect(Pass, name("ws")),
        protect(Pass, name("ws1.other.example")),
        protect(Deny, DeviceTrait::Os("windows10".to_owned())),
        protect(Pass, DeviceTrait::Os("WindowsServer".to_owned())),
        protect(Deny, DeviceTrait::Value("normal".to_owned())),
        row(Guard::ProtectedDevice, Hold, |case| {
            let row = protected(DeviceTrait::Tag("floor-3".to_owned()), No::Hold);
            Arc::make_mut(&mut case.guards().protected_devices).push(row);
        }),
        row(Guard::ProtectedDevice, Pass, |case| {
            let row = protected(DeviceTrait::Tag("floor-3".to_owned()), No::Deny);
            let row = ProtectedDevice { expires_at: Some(start_of_time()), ..row };
            Arc::make_mut(&mut case.guards().protected_devices).push(row);
        }),
        // A row that denies does so, whatever another one lacks.
        row(Guard::ProtectedDevice, Deny, |case| {
            case.facts.device.group = unknown();
            let rows = [DeviceTrait::Group("x".to_owned()), DeviceTrait::Tag("floor-3".to_owned())];
            let rows = rows.map(|by| protected(by, No::Deny));
            Arc::make_mut(&mut case.guards().protected_devices).extend(rows);
        }),
        missing(Guard::ProtectedDevice, |case| case.facts.device.tags = unknown()),
        missing(Guard::ProtectedDevice, |case| case.facts.device.value = unknown()),
        missing(Guard::ProtectedDevice, |case| {
            case.facts.device.name = unknown();
            let row = protected(DeviceTrait::Name("dc*".to_owned()), No::Deny);
            Arc::make_mut(&mut case.guards().protected_devices).push(row);
        }),
        row(Guard::ProtectedFile, Pass, |_| {}),
        listed(Deny, No::Deny, None),
        listed(Hold, No::Hold, None),
        listed(Deny, No::Deny, Some(after(now, SignedDuration::from_secs(1)))),
        listed(Pass, No::Deny, Some(now)),
        row(Guard::ProtectedFile, Deny, |case| {
            let zero = "5ba93c9db0cff93f52b521d7420e43f6eda2784f".parse().unwrap();
            case.candidate.target = Ok(Target { machine_id: MACHINE.parse().unwrap(), sha1: zero });
        }),
    ]
}

fn about_the_file() -> Vec<Row> {
    use Answer::{Deny, Hold, Pass};
    let signed = |guard, answer, signer: &'static str, issuer: &'static str, is_valid| {
        row(guard, answer, move |case| {
            case.facts.file.signer = known(Some(signer.to_owned()));
            case.facts.file.issuer = known(Some(issuer.to_owned()));
            case.facts.file.is_certificate_valid = known(is_valid);
        })
    };
    let microsoft =
        |answer, signer, issuer, is_valid| signed(Guard::MicrosoftSigned, answer, signer, issuer, is_valid);
    let publisher =
        |answer, signer, is_valid| signed(Guard::TrustedPublisher, answer, signer, "Some CA", is_valid);
    let spread = |answer, organisation, global| {
        row(Guard::Prevalence, answer, move |case| {
            case.guards().prevalence.global_deny = Some(1_000_000);
            case.facts.file.organisation_prevalence = known(organisation);
            case.facts.file.global_prevalence = known(global);
        })
    };
    vec![
        microsoft(Pass, "Fabrikam", "Some CA", true),
        microsoft(Deny, "Microsoft Corporation", "Microsoft Code Signing PCA", true),
        microsoft(Deny, "Microsoft Windows", "x", true),
        microsoft(Deny, "Windows Publisher", "Test Windows Production PCA 2011", true),
        microsoft(Deny, "x", "Microsoft Windows Production PCA 2011", true),
        microsoft(Pass, "Microsoft Corporation", "Microsoft Code Signing PCA", false),
        microsoft(Pass, "Microsofty Ltd", "Some CA", true),
        row(Guard::MicrosoftSigned, Hold, |case| {
            case.guards().set(Guard::MicrosoftSigned, Some(No::Hold));
            case.facts.file.signer = known(Some("Microsoft Windows".to_owned()));
            case.facts.file.is_certificate_valid = known(true);
        }),
        missing(Guard::MicrosoftSigned, |case| {
            case.guards().trusted_publishers.clear();
            case.facts.file.signer = unknown();
        }),
        missing(Guard::MicrosoftSigned, |case| case.facts.file.issuer = unknown()),
        missing(Guard::MicrosoftSigned, |case| {
            case.facts.file.signer = known(Some("Fabrikam".to_owned()));
            case.facts.file.is_certificate_valid = unknown();
        }),
        publisher(Pass, "Fabrikam", true),
        publisher(Deny, "contoso", true),
        publisher(Pass, "Contoso", false),
        missing(Guard::TrustedPublisher, |case| {
            case.guards().set(Guard::MicrosoftSigned, None);
            case.facts.file.signer = unknown();
        }),
        missing(Guard::TrustedPublisher, |case| {
            case.guards().set(Guard::MicrosoftSigned, None);
            case.facts.file.signer = known(Some("Contoso".to_owned()));
            case.facts.file.is_certificate_valid = unknown();
        }),
        row(Guard::Determination, Pass, |case| case.facts.file.determination = text("Unknown")),
        row(Guard::Determination, Hold, |case| case.facts.file.determination = text("clean")),
        missing(Guard::Determination, |case| case.facts.file.determination = unknown()),
        spread(Pass, 24, 9_999),
        spread(Hold, 25, 0),
        spread(Hold, 0, 10_000),
        spread(Deny, 1_000, 0),
        spread(Deny, 0, 1_000_000),
        row(Guard::Prevalence, Deny, |case| {
            case.facts.file.organisation_prevalence = known(1_000);
            case.facts.file.global_prevalence = unknown();
        }),
        missing(Guard::Prevalence, |case| case.facts.file.organisation_prevalence = unknown()),
        missing(Guard::Prevalence, |case| case.facts.file.global_prevalence = unknown()),
    ]
}

fn about_ourselves() -> Vec<Row> {
    use Answer::{Deny, Hold, Pass};
    let now = start_of_time();
    let hours = SignedDuration::from_hours;
    let undone = |answer, until| {
        row(Guard::Undone, answer, move |case| case.facts.own.undone_until = known(Some(until)))
    };
    let quarantined = |answer, ago| {
        row(Guard::CoolDown, answer, move |case| {
            case.facts.own.last_quarantined_at = known(Some(before(now, ago)));
        })
    };
    // 2026-03-01 is a Sunday; it is 12:00.
    let frozen = |answer, days: &'static [Weekday], from, until| {
        row(Guard::ChangeFreeze, answer, move |case| {
            let freeze =
                Freeze { when: When::Weekly { days: days.into(), from, until }, reason: "x".to_owned() };
            case.guards().freezes = Arc::new(vec![freeze]);
        })
    };
    let once = |answer, from, until| {
        row(Guard::ChangeFreeze, answer, move |case| {
            let freeze = Freeze { when: When::Once { from, until }, reason: "end of year".to_owned() };
            case.guards().freezes = Arc::new(vec![freeze]);
        })
    };
    let counted = |answer, keys: &'static [LimitKey], count| {
        row(Guard::BlastRadius, answer, move |case| {
            let limit = Limit::new(3, hours(1), keys);
            case.facts.own.counts = known(BTreeMap::from([(limit.label(), count)]));
            case.guards().limits = Arc::new(vec![limit]);
        })
    };
    vec![
        row(Guard::Undone, Pass, |_| {}),
        undone(Deny, after(now, SignedDuration::from_secs(1))),
        undone(Pass, now),
        missing(Guard::Undone, |case| case.facts.own.undone_until = unknown()),
        quarantined(Hold, hours(1)),
        quarantined(Pass, hours(24)),
        quarantined(Pass, SignedDuration::from_mins(1)),
        missing(Guard::CoolDown, |case| case.facts.own.last_quarantined_at = unknown()),
        row(Guard::ChangeFreeze, Pass, |_| {}),
        frozen(Hold, &[Weekday::Sunday], 0, 1_440),
        frozen(Pass, &[Weekday::Monday], 0, 1_440),
        frozen(Hold, &[Weekday::Sunday], 720, 721),
        frozen(Pass, &[Weekday::Sunday], 721, 1_440),
        frozen(Hold, &[Weekday::Saturday], 1_320, 721),
        frozen(Pass, &[Weekday::Saturday], 1_320, 720),
        frozen(Hold, &[Weekday::Sunday], 720, 360),
        once(Hold, now, after(now, hours(1))),
        once(Pass, before(now, hours(1)), now),
        counted(Pass, &[LimitKey::Hash], 2),
        counted(Hold, &[LimitKey::Hash], 3),
        counted(Hold, &[], 4),
        row(Guard::BlastRadius, Deny, |case| {
            case.guards().set(Guard::BlastRadius, Some(No::Deny));
            let full = case.policy.guards.limits.iter().map(|limit| (limit.label(), 1_000)).collect();
            case.facts.own.counts = known(full);
        }),
        missing(Guard::BlastRadius, |case| case.facts.own.counts = unknown()),
        missing(Guard::BlastRadius, |case| case.facts.own.counts = known(BTreeMap::new())),
        row(Guard::BlastBreaker, Pass, |_| {}),
        row(Guard::BlastBreaker, Hold, move |case| case.facts.own.blast_breaker_since = known(Some(now))),
        row(Guard::BlastBreaker, Deny, move |case| {
            case.guards().set(Guard::BlastBreaker, Some(No::Deny));
            case.facts.own.blast_breaker_since = known(Some(now));
        }),
        missing(Guard::BlastBreaker, |case| case.facts.own.blast_breaker_since = unknown()),
        row(Guard::FirstActions, Pass, |_| {}),
        row(Guard::FirstActions, Hold, |case| case.facts.own.actions_of_source = known(9)),
        row(Guard::FirstActions, Pass, |case| {
            case.guards().first_actions = 0;
            case.facts.own.actions_of_source = known(0);
        }),
        missing(Guard::FirstActions, |case| case.facts.own.actions_of_source = unknown()),
    ]
}

fn rows() -> Vec<Row> {
    let families =
        [about_the_alert(), about_the_device(), about_protection(), about_the_file(), about_ourselves()];
    families.into_iter().flatten().collect()
}

/// What a guard found.
fn found(verdict: &Verdict, guard: Guard) -> &Finding {
    verdict.trace.iter().find(|finding| finding.guard == guard).unwrap()
}

#[test]
fn a_good_case_passes_every_guard_and_is_sent() {
    let verdict = good().decide(Mode::Enforce);
    assert_eq!(verdict.decision, Decision::Send, "{verdict:?}");
    let asked: Vec<Guard> = verdict.trace.iter().map(|finding| finding.guard).collect();
    assert_eq!(asked, Guard::of_actions().collect::<Vec<_>>(), "every guard is asked, in order");
    assert!(
        verdict.trace.iter().all(|finding| finding.answer == Answer::Pass && !finding.evidence.is_empty())
    );
}

#[test]
fn every_guard_answers_as_the_table_says() {
    for (n, Row(guard, answer, _, change)) in rows().iter().enumerate() {
        let mut case = good();
        change(&mut case);
        let verdict = case.decide(Mode::Enforce);
        let finding = found(&verdict, *guard);
        assert_eq!(finding.answer, *answer, "row {n} of {guard}: {finding:?}");
        assert!(!finding.evidence.is_empty(), "row {n} of {guard}");
        assert_eq!(
            verdict.trace.len(),
            Guard::of_actions().count(),
            "every guard is asked, whatever others say"
        );
        // What the row is not about changes nothing, but for facts that several guards look at.
        let decision = match answer {
            Answer::Expire => Decision::Expire,
            Answer::Deny => Decision::Deny,
            Answer::Hold => Decision::Hold,
            Answer::Pass => Decision::Send,
        };
        let others = verdict.trace.iter().filter(|it| it.guard != *guard).map(|it| it.answer).max().unwrap();
        if others <= *answer {
            assert_eq!(verdict.decision, decision, "row {n} of {guard}: {verdict:?}");
        }
    }
}

#[test]
fn the_table_has_pass_fail_and_unknown_of_every_guard() {
    let rows = rows();
    let has = |guard: Guard, fits: &dyn Fn(&Row) -> bool| rows.iter().any(|row| row.0 == guard && fits(row));
    for guard in Guard::of_actions() {
        assert!(has(guard, &|row| row.1 == Answer::Pass), "{guard} has no row that passes");
        let fails = has(guard, &|row| row.1 != Answer::Pass && row.2 == IsUnknown::No);
        assert!(fails, "{guard} has no row that fails");
        let is_file_alone = guard == Guard::ProtectedFile;
        let unknown = has(guard, &|row| row.2 == IsUnknown::Yes);
        assert!(
            unknown || is_file_alone || LOOK_AT_NO_FACT.contains(&guard),
            "{guard} has no row of an unknown fact"
        );
    }
    // Of the list of files only the file itself could be unknown.
    let mut case = good();
    case.candidate.target = Err(unresolved());
    assert_eq!(found(&case.decide(Mode::Enforce), Guard::ProtectedFile).answer, Answer::Hold);
}

#[test]
fn a_guard_that_is_off_passes_whatever_is_missing() {
    for guard in Guard::switchable() {
        for Row(_, answer, _, change) in rows().iter().filter(|row| row.0 == guard) {
            let mut case = good();
            change(&mut case);
            case.guards().set(guard, None);
            let verdict = case.decide(Mode::Enforce);
            assert_eq!(found(&verdict, guard).answer, Answer::Pass, "{guard}, {answer:?}");
            assert_eq!(found(&verdict, guard).evidence, "switched off");
        }
    }
}

#[test]
fn the_mode_lowers_what_the_guards_allow_and_never_raises_it() {
    for Row(guard, _, _, change) in rows() {
        let mut case = good();
        change(&mut case);
        let enforced = case.decide(Mode::Enforce).decision;
        let strictest = case.decide(Mode::Enforce).trace.iter().map(|it| it.answer).max().unwrap();
        let approved = if enforced == Decision::Send { Decision::Hold } else { enforced };
        assert_eq!(case.decide(Mode::Approve).decision, approved, "{guard}");
        assert_eq!(case.decide(Mode::Shadow).decision, Decision::Shadow(strictest), "{guard}");
    }
}

#[test]
fn the_global_mode_can_only_lower_a_sources_mode() {
    for source in Mode::ALL {
        for max in Mode::ALL {
            let policy = Policy { mode_max: max, source_mode: source, ..good().policy };
            assert_eq!(policy.mode(), source.min(max));
            let told = policy.told_mode();
            assert!(told.contains(policy.mode().as_str()), "{told}");
            assert_eq!(told.contains("mode_max"), source > max, "{told}");
        }
    }
}

#[test]
fn shadow_approve_and_enforce_find_the_same_bit_for_bit() {
    for Row(guard, _, _, change) in rows() {
        let mut case = good();
        change(&mut case);
        let trace = |mode| case.decide(mode).trace;
        assert_eq!(trace(Mode::Shadow), trace(Mode::Enforce), "{guard}");
        assert_eq!(trace(Mode::Approve), trace(Mode::Enforce), "{guard}");
    }
}

#[test]
fn the_strictest_answer_wins_and_its_first_guard_is_the_reason() {
    let mut case = good();
    case.candidate.severity = None;
    case.facts.own.targets_of_alert = known(9);
    let verdict = case.decide(Mode::Enforce);
    assert_eq!((verdict.decision, &verdict.reason), (Decision::Hold, &verdict.trace[0].evidence));
    let open: Vec<Guard> = verdict.open_holds.iter().map(|hold| hold.guard).collect();
    assert_eq!(open, [Guard::Severity, Guard::Targets]);

    case.candidate.occurred_at = Some(before(start_of_time(), SignedDuration::from_hours(9)));
    let verdict = case.decide(Mode::Enforce);
    assert_eq!((verdict.decision, &verdict.reason), (Decision::Expire, &verdict.trace[1].evidence));
}

#[test]
fn what_defender_said_too_long_ago_is_not_known_any_more() {
    let now = start_of_time();
    for (learned_at, decision) in [
        (before(now, SignedDuration::from_mins(10)), Decision::Send),
        (before(now, SignedDuration::from_secs(601)), Decision::Hold),
        (after(now, SignedDuration::from_mins(4)), Decision::Send),
        (after(now, SignedDuration::from_mins(6)), Decision::Hold),
    ] {
        let mut case = good();
        case.facts.learned_at = Some(learned_at);
        let verdict = case.decide(Mode::Enforce);
        assert_eq!(verdict.decision, decision, "{learned_at}: {verdict:?}");
    }
}

fn approval(by: &str, guards: &[Guard]) -> Approval {
    Approval { by: by.to_owned(), guards: guards.to_vec(), at: start_of_time() }
}

#[test]
fn approvals_satisfy_the_holds_that_they_name_and_no_denial_nor_age() {
    for Row(guard, answer, _, change) in rows() {
        let mut case = good();
        change(&mut case);
        let all: Vec<Guard> = Guard::ALL.to_vec();
        let two = Approvals(vec![approval("token:a", &all), approval("token:b", &all)]);
        // An approval moves the time from which age counts; the age itself is never approved away.
        let verdict = case.decide_with(Mode::Enforce, &two);
        let strictest = verdict.trace.iter().map(|it| it.answer).max().unwrap();
        let incomplete = verdict.trace.iter().any(|it| it.answer == Answer::Hold && it.approvers.is_none());
        let expected = match strictest {
            Answer::Expire => Decision::Expire,
            Answer::Deny => Decision::Deny,
            Answer::Hold if incomplete => Decision::Hold,
            Answer::Hold | Answer::Pass => Decision::Send,
        };
        assert_eq!(verdict.decision, expected, "{guard}, {answer:?}: {verdict:?}");
    }
}

#[test]
fn as_many_persons_approve_as_a_guard_asks_for_and_one_person_counts_once() {
    let mut case = good();
    let full = case.policy.guards.limits.iter().map(|limit| (limit.label(), 1_000)).collect();
    case.facts.own.counts = known(full);
    let decision = |approvals: Vec<Approval>| case.decide_with(Mode::Enforce, &Approvals(approvals)).decision;
    let limits = [Guard::BlastRadius];

    let open = case.decide(Mode::Enforce).open_holds;

    assert_eq!(
        open.iter().map(|hold| (hold.guard, hold.approvers)).collect::<Vec<_>>(),
        [(Guard::BlastRadius, Some(2))]
    );
    assert_eq!(decision(vec![approval("a", &limits)]), Decision::Hold);
    assert_eq!(decision(vec![approval("a", &limits), approval("a", &limits)]), Decision::Hold);
    assert_eq!(decision(vec![approval("a", &limits), approval("b", &[Guard::Os])]), Decision::Hold);
    assert_eq!(decision(vec![approval("a", &limits), approval("b", &limits)]), Decision::Send);
}

#[test]
fn in_mode_approve_a_person_must_approve_the_mode_itself() {
    let decision = |guards: &[Guard]| {
        good().decide_with(Mode::Approve, &Approvals(vec![approval("a", guards)])).decision
    };
    assert_eq!(decision(&[Guard::Os]), Decision::Hold);
    assert_eq!(decision(&[Guard::Mode]), Decision::Send);
    let open = good().decide(Mode::Approve).open_holds;
    assert_eq!(open.iter().map(|hold| hold.guard).collect::<Vec<_>>(), [Guard::Mode]);
}

#[test]
fn every_decision_leads_to_its_state() {
    assert_eq!(good().decide(Mode::Enforce).state(), State::Queued);
    assert_eq!(good().decide(Mode::Approve).state(), State::Held);
    assert_eq!(good().decide(Mode::Shadow).state(), State::Shadowed);
    let mut low = good();
    low.candidate.severity = Some(Severity::Low);
    assert_eq!(low.decide(Mode::Enforce).state(), State::Denied);
    let mut old = good();
    old.candidate.occurred_at = Some(before(start_of_time(), SignedDuration::from_hours(9)));
    assert_eq!(old.decide(Mode::Enforce).state(), State::Expired);
    assert_eq!(source_unknown().state(), State::Held);
}

#[test]
fn guards_and_answers_are_read_back_from_the_lines_of_the_history() {
    for Row(_, _, _, change) in rows() {
        let mut case = good();
        change(&mut case);
        for finding in case.decide(Mode::Enforce).trace {
            assert_eq!(Finding::read(&finding.line()), Some((finding.guard, finding.answer)));
        }
    }
    assert_eq!(Finding::read("machine: 1111 as the alert gives it"), None);
    assert_eq!(Finding::read("no such guard: hold, x"), None);
}

/// The audit names policies by it.
#[test]
fn a_policy_with_another_list_of_protected_files_has_another_version() {
    let listed = |reason: &str| {
        let (owner, reason) = ("soc".to_owned(), reason.to_owned());
        let file = ProtectedFile { owner, reason, expires_at: None };
        good().policy.with_guards(|guards| {
            Arc::make_mut(&mut guards.protected_files).extend([(SHA1.parse().unwrap(), file)]);
        })
    };
    let (one, other) = (listed("a tool of our own"), listed("a tool of theirs"));
    assert_eq!(one.version(), listed("a tool of our own").version());
    assert_ne!(one.version(), other.version());
    assert_ne!(one.version(), good().policy.version());
}

#[test]
fn the_built_in_files_are_what_they_are_said_to_be() {
    let digest = |content: &[u8]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, content);
        hex::encode(digest.as_ref())
    };
    let contents: [&[u8]; 4] = [b"\0", b"\n", b"\r\n", b" "];
    let built_in = quarantine_bridge::policy::BUILT_IN_FILES;
    assert_eq!(built_in.map(|(sha1, _)| sha1.to_owned()), contents.map(digest));
    assert_eq!(quarantine_bridge::policy::built_in_files().len(), built_in.len());
}
