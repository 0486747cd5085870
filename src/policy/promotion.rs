//! What a shadow source would have done over a time, held against the limits: to decide whether it may do more.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::alert::{Target, before};

use super::guard::{Answer, Finding, Guard};
use super::limits::{Limit, LimitKey};

/// One action that a source in shadow mode had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadowed {
    /// When it was decided.
    pub at: Timestamp,
    /// The alert's title, which stands for its rule.
    pub rule: String,
    /// Device and file, if they were known.
    pub target: Option<Target>,
    /// The reason.
    pub why: String,
    /// What the guards found, as the history keeps it.
    pub facts: Vec<String>,
}

/// What a source would have done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promotion {
    /// How many actions, by what would have been done.
    pub answers: BTreeMap<Answer, u64>,
    /// How many, by what would have been done and the first guard that said so.
    pub reasons: BTreeMap<(Answer, Option<Guard>), Reason>,
    /// How often each guard held and denied.
    pub guards: BTreeMap<Guard, BTreeMap<Answer, u64>>,
    /// How many devices would have been touched.
    pub devices: u64,
    /// How many files.
    pub files: u64,
    /// How it compares with the limits.
    pub limits: Vec<Against>,
}

/// How often something was the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reason {
    /// How often.
    pub count: u64,
    /// The last one in words.
    pub example: String,
}

/// What would have been sent against one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// The limit.
    pub limit: Limit,
    /// The most that would have been sent in one period.
    pub peak: u64,
    /// When that was reached.
    pub at: Option<Timestamp>,
}

/// Sums up.
///
/// Against the limits counts what would have been sent but for the limits themselves, for the breaker that they open and for the
/// approval of a new source's first actions.
pub fn promotion(actions: &[Shadowed], limits: &[Limit]) -> Promotion {
    let mut report = Promotion::default();
    let (mut devices, mut files) = (BTreeSet::new(), BTreeSet::new());
    let mut sent: Vec<&Shadowed> = Vec::new();
    for action in actions {
        let found: Vec<(Guard, Answer)> =
            action.facts.iter().filter_map(|line| Finding::read(line)).collect();
        let strictest = found.iter().map(|(_, answer)| *answer).max().unwrap_or(Answer::Hold);
        add(report.answers.entry(strictest).or_default());
        let first = found.iter().find(|(_, answer)| *answer == strictest && *answer != Answer::Pass);
        let reason = report.reasons.entry((strictest, first.map(|(guard, _)| *guard))).or_default();
        add(&mut reason.count);
        reason.example.clone_from(&action.why);
        for (guard, answer) in &found {
            if *answer != Answer::Pass {
                add(report.guards.entry(*guard).or_default().entry(*answer).or_default());
            }
        }
        let is_sent = |(guard, answer): &(Guard, Answer)| {
            *answer == Answer::Pass
                || *answer == Answer::Hold
                    && matches!(guard, Guard::BlastRadius | Guard::BlastBreaker | Guard::FirstActions)
        };
        if found.iter().all(is_sent) && !found.is_empty() {
            sent.push(action);
            devices.extend(action.target.map(|target| target.machine_id));
            files.extend(action.target.map(|target| target.sha1));
        }
    }
    sent.sort_by_key(|action| action.at);
    report.devices = count(devices.len());
    report.files = count(files.len());
    report.limits = limits.iter().map(|limit| against(limit, &sent)).collect();
    report
}

fn add(number: &mut u64) {
    *number = number.saturating_add(1);
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Finds the fullest period of a limit; `sent` is in order of time.
fn against(limit: &Limit, sent: &[&Shadowed]) -> Against {
    let mut apart: BTreeMap<Vec<String>, Vec<Timestamp>> = BTreeMap::new();
    for action in sent {
        let key = limit.keys.iter().map(|key| part(*key, action)).collect();
        apart.entry(key).or_default().push(action.at);
    }
    let mut fullest = Against { limit: limit.clone(), peak: 0, at: None };
    for times in apart.values() {
        let mut first = 0;
        for (last, at) in times.iter().enumerate() {
            let begin = before(*at, limit.period);
            while times.get(first).is_some_and(|time| *time <= begin) {
                first = first.saturating_add(1);
            }
            let within = count(last.saturating_sub(first)).saturating_add(1);
            if within > fullest.peak {
                fullest.peak = within;
                fullest.at = Some(*at);
            }
        }
    }
    fullest
}

fn part(key: LimitKey, action: &Shadowed) -> String {
    let target = action.target;
    match key {
        LimitKey::Hash => target.map(|target| target.sha1.to_string()).unwrap_or_default(),
        LimitKey::Device => target.map(|target| target.machine_id.to_string()).unwrap_or_default(),
        LimitKey::Rule => action.rule.clone(),
        // All are of one source.
        LimitKey::Source => String::new(),
    }
}
