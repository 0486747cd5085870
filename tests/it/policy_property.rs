//! Random alerts, facts and policies: what must never be sent is never sent, whatever comes together.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use quarantine_bridge::alert::{HeldReason, Mode, Severity, Target, Unresolved, after, before};
use quarantine_bridge::policy::{
    Answer, Approval, Approvals, Candidate, Decision, DeviceFacts, DeviceTrait, Fact, Facts, FileFacts,
    Guard, Guards, Limit, LimitKey, Need, No, OwnFacts, Policy, ProtectedDevice, ProtectedFile, Verdict,
    decide,
};

use crate::harness::{MACHINE, SHA1, start_of_time};

/// How many cases are tried, if the environment does not ask for the long form.
const CASES: u64 = 20_000;

/// The variable that says how many; 1,000,000 is the long form.
const CASES_VARIABLE: &str = "POLICY_CASES";

#[derive(Debug, Clone)]
struct Case {
    candidate: Candidate,
    facts: Facts,
    approvals: Approvals,
    policy: Policy,
    now: Timestamp,
}

/// Numbers that are the same for the same seed (splitmix64), so that a case that fails can be played again.
struct Dice {
    state: u64,
    /// How likely in a thousand anything is otherwise than in a case that is sent.
    wildness: u64,
}

impl Dice {
    fn new(seed: u64) -> Self {
        let mut dice = Self { state: seed, wildness: 0 };
        dice.wildness = *dice.one_of(&[5, 30, 100, 300]);
        dice
    }

    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.below(list.len().try_into().unwrap());
        &list[usize::try_from(index).unwrap()]
    }

    fn is_wild(&mut self) -> bool {
        self.below(1_000) < self.wildness
    }

    /// The good value, another one, or none.
    fn fact<T>(&mut self, good: T, other: impl FnOnce(&mut Self) -> T) -> Fact<T> {
        match (self.is_wild(), self.below(3)) {
            (false, _) => Fact::Known(good),
            (true, 0) => Fact::Unknown("nobody knows".to_owned()),
            (true, _) => Fact::Known(other(self)),
        }
    }

    fn word(&mut self, words: &[&str]) -> String {
        (*self.one_of(words)).to_owned()
    }

    fn text(&mut self, good: &str, others: &[&str]) -> Fact<String> {
        self.fact(good.to_owned(), |dice| dice.word(others))
    }

    fn maybe(&mut self, others: &[&str]) -> Fact<Option<String>> {
        self.fact(None, |dice| Some(dice.word(others)))
    }

    /// A time from four days ago to a day from now.
    fn near(&mut self) -> Timestamp {
        let seconds = i64::try_from(self.below(5 * 86_400)).unwrap() - 4 * 86_400;
        after(start_of_time(), SignedDuration::from_secs(seconds))
    }

    fn expiry(&mut self) -> Option<Timestamp> {
        let at = self.near();
        (self.below(2) == 0).then_some(at)
    }

    fn no(&mut self) -> No {
        *self.one_of(&[No::Hold, No::Deny])
    }

    fn device(&mut self) -> DeviceFacts {
        let an_hour_ago = before(start_of_time(), SignedDuration::from_hours(1));
        DeviceFacts {
            name: self.text("ws1.corp.example", &["dc1.corp.example", "ws2"]),
            os_platform: self.text("Windows10", &["Windows11", "WindowsServer2019", "Linux", "Windows7"]),
            os_version: self.text("22H2", &["1607", "1703", "Other"]),
            os_build: self.fact(19_045, |dice| 15_000 + dice.below(100)),
            onboarding: self.text("Onboarded", &["CanBeOnboarded"]),
            health: self.text("Active", &["Inactive", "NoSensorData"]),
            last_seen: self.fact(an_hour_ago, |dice| before(dice.near(), SignedDuration::from_hours(24 * 5))),
            tags: self.fact(Vec::new(), |dice| vec![dice.word(&["a", "b", "Tier0"])]),
            group: self.maybe(&["clients", "servers"]),
            value: self.maybe(&["Normal", "High"]),
        }
    }

    fn file(&mut self) -> FileFacts {
        FileFacts {
            signer: self.maybe(&["Microsoft Corporation", "Contoso", "Fabrikam"]),
            issuer: self.maybe(&["Microsoft Code Signing PCA", "Some CA"]),
            is_certificate_valid: self.fact(false, |dice| dice.below(2) == 0),
            determination: self.text("Malware", &["Unknown", "Clean"]),
            organisation_prevalence: self.fact(1, |dice| dice.below(1_200)),
            global_prevalence: self.fact(1, |dice| dice.below(12_000)),
        }
    }

    fn own(&mut self, limits: &[Limit]) -> OwnFacts {
        let counts = limits.iter().map(|limit| {
            let count = if self.is_wild() { self.below(10) } else { 0 };
            (limit.label(), count)
        });
        let counts: BTreeMap<String, u64> = counts.collect();
        OwnFacts {
            targets_of_alert: self.fact(1, |dice| dice.below(8)),
            last_quarantined_at: self.fact(None, |dice| Some(dice.near())),
            undone_until: self.fact(None, |dice| Some(dice.near())),
            counts: self.fact(counts, |_| BTreeMap::new()),
            blast_breaker_since: self.fact(None, |dice| Some(dice.near())),
            actions_of_source: self.fact(10, |dice| dice.below(10)),
        }
    }

    fn guards(&mut self) -> Guards {
        let keys =
            |dice: &mut Self| (0..dice.below(3)).map(|_| *dice.one_of(&LimitKey::ALL)).collect::<Vec<_>>();
        let limits = (0..self.below(4)).map(|_| {
            let hours = SignedDuration::from_hours(1 + i64::try_from(self.below(2)).unwrap());
            let max = u32::try_from(1 + self.below(8)).unwrap();
            Limit::new(max, hours, &keys(self))
        });
        let limits = Arc::new(limits.collect());
        let first_actions = u32::try_from(self.below(6)).unwrap();
        let max_targets = u32::try_from(1 + self.below(6)).unwrap();
        let mut guards = Guards { first_actions, max_targets, limits, ..Guards::default() };
        for guard in Guard::switchable() {
            match self.below(8) {
                0 => guards.set(guard, None),
                1 => guards.set(guard, Some(self.no())),
                _ => {}
            }
            guards.set_approvers(guard, if self.below(4) == 0 { 2 } else { 1 });
        }
        for _ in 0..self.below(3) {
            let by = match self.below(4) {
                0 => DeviceTrait::Tag(self.word(&["a", "b"])),
                1 => DeviceTrait::Group("servers".to_owned()),
                2 => DeviceTrait::Name("dc*".to_owned()),
                _ => DeviceTrait::Os("WindowsServer".to_owned()),
            };
            let row =
                ProtectedDevice { by, no: self.no(), owner: None, reason: None, expires_at: self.expiry() };
            Arc::make_mut(&mut guards.protected_devices).push(row);
        }
        if self.is_wild() {
            let (owner, reason) = ("x".to_owned(), "x".to_owned());
            let file = ProtectedFile { owner, reason, expires_at: self.expiry() };
            Arc::make_mut(&mut guards.protected_files).extend([(SHA1.parse().unwrap(), file)]);
        }
        guards.trusted_publishers = vec!["Contoso".to_owned()];
        guards
    }

    fn policy(&mut self) -> Policy {
        let mode =
            |dice: &mut Self| if dice.below(2) == 0 { Mode::Enforce } else { *dice.one_of(&Mode::ALL) };
        let floor = if self.is_wild() { *self.one_of(&Severity::ALL) } else { Severity::Low };
        let max_age = SignedDuration::from_hours(1 + i64::try_from(self.below(72)).unwrap());
        let policy = Policy::new(mode(self), floor, max_age);
        Policy { mode_max: mode(self), guards: Arc::new(self.guards()), ..policy }
    }

    fn approvals(&mut self) -> Approvals {
        if self.below(2) == 0 {
            return Approvals::default();
        }
        let approvals = (0..=self.below(3)).map(|_| {
            let guards = Guard::ALL.into_iter().filter(|_| self.below(3) > 0).collect();
            Approval { by: self.word(&["token:a", "token:b", "token:c"]), guards, at: self.near() }
        });
        Approvals(approvals.collect())
    }

    fn case(&mut self) -> Case {
        let policy = self.policy();
        let now = start_of_time();
        let learned_at = if self.is_wild() { self.near() } else { before(now, SignedDuration::from_mins(1)) };
        let target = Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() };
        let unresolved = Unresolved::new(HeldReason::FileUnknown, "nothing like it");
        let severity = self.fact(Severity::High, |dice| *dice.one_of(&Severity::ALL));
        let occurred_at = self.fact(before(now, SignedDuration::from_mins(5)), Self::near);
        Case {
            candidate: Candidate {
                severity: severity.known().copied(),
                occurred_at: occurred_at.known().copied(),
                completed_at: None,
                mode_max: None,
                target: if self.is_wild() { Err(unresolved) } else { Ok(target) },
            },
            facts: Facts {
                learned_at: Some(learned_at),
                device: self.device(),
                file: self.file(),
                seen_on_device: self.fact(true, |_| false),
                own: self.own(&policy.guards.limits),
            },
            approvals: self.approvals(),
            policy,
            now,
        }
    }
}

impl Case {
    fn decide_in(&self, mode: Mode) -> Verdict {
        let policy = Policy { source_mode: mode, mode_max: Mode::Enforce, ..self.policy.clone() };
        decide(&self.candidate, &self.facts, &self.approvals, &policy, self.now)
    }

    /// Says whether Defender was asked too long ago, or at a time that is still to come by more than clocks differ.
    fn is_stale(&self) -> bool {
        let age = self.facts.learned_at.map(|at| self.now.duration_since(at));
        age.is_some_and(|age| age > self.policy.guards.facts_max_age || age < SignedDuration::from_mins(-5))
    }

    /// Says whether so many persons have approved what a guard holds.
    fn approved(&self, guard: Guard) -> bool {
        let approving = self.approvals.0.iter().filter(|it| it.guards.contains(&guard));
        let mut by: Vec<&str> = approving.map(|it| it.by.as_str()).collect();
        by.sort_unstable();
        by.dedup();
        by.len() >= usize::from(self.policy.guards.switch(guard).approvers)
    }

    /// Says whether what a guard found may be sent: it is off, or it was set to hold and that is approved.
    fn may(&self, guard: Guard, no: No) -> bool {
        !self.policy.guards.is_on(guard) || no == No::Hold && self.approved(guard)
    }

    fn set_to(&self, guard: Guard) -> No {
        self.policy.guards.switch(guard).no.unwrap_or(No::Hold)
    }
}

/// Checks an action that was sent against plain readings of the rules that do not use the guards.
fn check_sent(case: &Case) -> Result<(), TestCaseError> {
    let (facts, guards) = (&case.facts, &case.policy.guards);
    // What was learned too long ago is unknown, and checked as such.
    let is_fresh = !case.is_stale();
    prop_assert!(case.candidate.target.is_ok(), "sent without a target");
    prop_assert_eq!(case.policy.mode() == Mode::Shadow, false);
    prop_assert!(case.policy.mode() == Mode::Enforce || case.approved(Guard::Mode), "sent in mode approve");
    // Expiry.
    let looked_at = case.approvals.0.iter().map(|it| it.at).max();
    let fresh_since = case.candidate.occurred_at.map(|at| looked_at.map_or(at, |by| by.max(at)));
    let expires_at = fresh_since.map(|at| after(at, case.policy.max_age));
    match expires_at {
        Some(at) => prop_assert!(case.now <= at, "sent after it expired"),
        None => prop_assert!(case.approved(Guard::Age), "sent without a time"),
    }
    // A protected device.
    let is = |have: &Fact<Option<String>>, word: &str| have.known().and_then(Option::as_deref) == Some(word);
    for row in guards.protected_devices.iter().filter(|row| row.expires_at.is_none_or(|at| case.now < at)) {
        let device = &facts.device;
        let fits = match &row.by {
            DeviceTrait::Tag(tag) => device.tags.known().is_some_and(|tags| tags.contains(tag)),
            DeviceTrait::Group(group) => is(&device.group, group),
            DeviceTrait::Value(value) => is(&device.value, value),
            DeviceTrait::Name(_) => device.name.known().is_some_and(|name| name.starts_with("dc")),
            DeviceTrait::Os(os) => device.os_platform.known().is_some_and(|have| have.starts_with(os)),
        };
        let is_allowed = case.may(Guard::ProtectedDevice, row.no);
        prop_assert!(!is_fresh || !fits || is_allowed, "sent to a protected device: {:?}", row);
    }
    // A protected hash.
    let listed = guards.protected_files.get(&SHA1.parse().unwrap());
    let listed = listed.filter(|row| row.expires_at.is_none_or(|at| case.now < at));
    let no = case.set_to(Guard::ProtectedFile);
    prop_assert!(listed.is_none() || case.may(Guard::ProtectedFile, no), "sent a protected file");
    // Past a limit.
    for limit in guards.limits.iter() {
        let count = facts.own.counts.known().and_then(|counts| counts.get(&limit.label()));
        let is_full = count.is_some_and(|count| *count >= u64::from(limit.max));
        let no = case.set_to(Guard::BlastRadius);
        prop_assert!(!is_full || case.may(Guard::BlastRadius, no), "sent past {}", limit.label());
    }
    // Past the breaker on blast radius: whatever a person has approved may go.
    let is_open = facts.own.blast_breaker_since.known().is_some_and(Option::is_some);
    let persons: BTreeSet<&str> = case.approvals.0.iter().map(|it| it.by.as_str()).collect();
    let switch = guards.switch(Guard::BlastBreaker);
    let is_approved = persons.len() >= usize::from(switch.approvers);
    prop_assert!(!is_open || switch.no.is_none() || is_approved, "sent past the open breaker");
    check_known(case)
}

/// An unknown fact of a guard that is on is never taken for one that passes.
fn check_known(case: &Case) -> Result<(), TestCaseError> {
    let (facts, guards) = (&case.facts, &case.policy.guards);
    let is_stale = case.is_stale();
    let device = &facts.device;
    let tags_matter = guards.protected_devices.iter().any(|row| matches!(row.by, DeviceTrait::Tag(_)));
    let unknown = [
        (Guard::Os, is_stale || device.os_platform.known().is_none()),
        (
            Guard::DeviceState,
            is_stale
                || device.onboarding.known().is_none()
                || device.health.known().is_none()
                || device.last_seen.known().is_none(),
        ),
        (Guard::ProtectedDevice, is_stale || tags_matter && device.tags.known().is_none()),
        (Guard::MicrosoftSigned, is_stale || facts.file.signer.known().is_none()),
        (Guard::TrustedPublisher, is_stale || facts.file.signer.known().is_none()),
        (Guard::Determination, is_stale || facts.file.determination.known().is_none()),
        (Guard::Prevalence, is_stale || facts.file.organisation_prevalence.known().is_none()),
        (Guard::SeenOnDevice, is_stale || facts.seen_on_device.known().is_none()),
        (Guard::Targets, facts.own.targets_of_alert.known().is_none()),
        (Guard::Undone, facts.own.undone_until.known().is_none()),
        (Guard::CoolDown, facts.own.last_quarantined_at.known().is_none()),
        (Guard::BlastRadius, !guards.limits.is_empty() && facts.own.counts.known().is_none()),
        (Guard::BlastBreaker, facts.own.blast_breaker_since.known().is_none()),
        (Guard::FirstActions, guards.first_actions > 0 && facts.own.actions_of_source.known().is_none()),
    ];
    for (guard, is_unknown) in unknown {
        prop_assert!(
            !is_unknown || case.may(guard, No::Hold),
            "sent although a fact of {} is unknown",
            guard
        );
    }
    Ok(())
}

/// The breaker opens for what a limit keeps back, and for nothing that is sent, shadowed or kept back otherwise for good.
fn check_breach(case: &Case, verdict: &Verdict) -> Result<(), TestCaseError> {
    let (own, guards) = (&case.facts.own, &case.policy.guards);
    let count = |limit: &Limit| own.counts.known().and_then(|counts| counts.get(&limit.label())).copied();
    let is_full = guards.limits.iter().any(|limit| count(limit) >= Some(u64::from(limit.max)));
    let is_on = guards.is_on(Guard::BlastRadius) && guards.is_on(Guard::BlastBreaker);
    let is_shadow = case.policy.mode() == Mode::Shadow;
    if verdict.breach.is_some() {
        prop_assert!(is_full && is_on && !is_shadow, "opened without a breach");
        prop_assert!(matches!(verdict.decision, Decision::Hold | Decision::Deny), "opened and sent");
    } else if verdict.decision == Decision::Hold && is_full && is_on {
        prop_assert!(case.approved(Guard::BlastRadius), "held past a limit, and the breaker is closed");
    }
    Ok(())
}

fn check(case: &Case) -> Result<bool, TestCaseError> {
    let verdict = decide(&case.candidate, &case.facts, &case.approvals, &case.policy, case.now);
    let (enforced, shadowed) = (case.decide_in(Mode::Enforce), case.decide_in(Mode::Shadow));
    prop_assert_eq!(&enforced.trace, &shadowed.trace, "shadow and enforce do not find the same");
    prop_assert_eq!(&verdict.trace, &enforced.trace);
    let lowered = match enforced.decision {
        Decision::Send => Answer::Pass,
        Decision::Hold => Answer::Hold,
        Decision::Deny => Answer::Deny,
        Decision::Expire => Answer::Expire,
        Decision::Shadow(_) => return Err(TestCaseError::fail("enforce decides shadow")),
    };
    prop_assert_eq!(shadowed.decision, Decision::Shadow(lowered), "shadow and enforce do not decide alike");
    if verdict.decision == Decision::Send {
        check_sent(case)?;
    }
    check_breach(case, &verdict)?;
    Ok(verdict.decision == Decision::Send)
}

#[test]
fn whatever_comes_together_nothing_is_sent_that_must_not_be() {
    #[expect(clippy::disallowed_methods, reason = "the long form is asked for by the environment")]
    let cases = env::var(CASES_VARIABLE).ok().and_then(|count| count.parse().ok()).unwrap_or(CASES);
    let mut sent = 0_u64;
    for seed in 0..cases {
        let case = Dice::new(seed).case();
        match check(&case) {
            Ok(is_sent) => sent += u64::from(is_sent),
            Err(wrong) => panic!("seed {seed}: {wrong}\n{case:#?}"),
        }
    }
    // Otherwise the test would prove nothing.
    assert!(sent > cases / 50, "only {sent} of {cases} were sent");
    eprintln!("{cases} cases, {sent} of them sent");
}

#[test]
fn what_no_guard_looks_at_is_not_asked_for() {
    let mut guards = Guards::default();
    assert!(Need::ALL.into_iter().all(|need| guards.needs(need)));
    for (need, of) in [
        (Need::Device, vec![Guard::Os, Guard::DeviceState, Guard::ProtectedDevice]),
        (Need::File, vec![Guard::MicrosoftSigned, Guard::Determination]),
        (Need::Prevalence, vec![Guard::Prevalence]),
        (Need::Sightings, vec![Guard::SeenOnDevice]),
    ] {
        for guard in of {
            guards.set(guard, None);
        }
        assert!(!guards.needs(need), "{need:?}");
    }
}
