//! `[policy]`: how far any source may go and how the guards are set; `[sources.NAME.policy]` sets them for one source.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Mode, Severity};
use crate::clock::Clock;
use crate::policy::{Guard, Guards, LONGEST_PERIOD, Limit, LimitKey, No};

use super::reader::Section;
use super::{protect, whole};

/// What holds for all sources, unless their own section says otherwise.
#[derive(Debug)]
pub(super) struct Global {
    pub(super) mode_max: Mode,
    guards: Guards,
    now: Timestamp,
}

/// Reads the section that holds for all sources.
pub(super) fn read(root: &Section<'_>) -> Global {
    let now = Clock::system().now();
    let section = root.section_or_empty("policy");
    let modes = "write \"shadow\", \"approve\" or \"enforce\": no source goes further than that";
    let mode_max = section.text("mode_max").and_then(|text| section.parse("mode_max", text, modes));
    let mut guards = Guards::default();
    apply(&section, &mut guards, now);
    section.finish();
    Global { mode_max: mode_max.unwrap_or(Mode::Enforce), guards, now }
}

/// Reads how the guards of one source are set.
pub(super) fn of_source(source: &Section<'_>, global: &Global) -> Guards {
    let mut guards = global.guards.clone();
    let section = source.section_or_empty("policy");
    apply(&section, &mut guards, global.now);
    guards.severities = severities(source);
    section.finish();
    guards
}

/// Sets what a section says; the rest stays. Lists of what is protected grow, no section takes protection away.
fn apply(section: &Section<'_>, guards: &mut Guards, now: Timestamp) {
    switches(section, guards);
    approvers(section, guards);
    limits(section, guards);
    numbers(section, guards);
    durations(section, guards);
    if let Some(no) = section.text("windows_server").map(|word| server(section, word)) {
        guards.os.server = no;
    }
    if let Some(names) = section.texts("trusted_publishers") {
        guards.trusted_publishers = names.into_iter().map(ToOwned::to_owned).collect();
    }
    if let Some(words) = section.texts("clean_determinations") {
        guards.clean_determinations = words.into_iter().map(ToOwned::to_owned).collect();
    }
    protect::apply(section, guards, now);
}

/// `hold`, `deny` or `off` for each guard.
fn switches(section: &Section<'_>, guards: &mut Guards) {
    let table = section.section_or_empty("guards");
    for guard in Guard::switchable() {
        let Some(word) = table.text(guard.as_str()) else {
            continue;
        };
        match word {
            "hold" => guards.set(guard, Some(No::Hold)),
            "deny" => guards.set(guard, Some(No::Deny)),
            "off" => guards.set(guard, None),
            _ => {
                let remedy = "write \"hold\" (a person must approve), \"deny\" or \"off\"";
                table.complain(
                    guard.as_str(),
                    format!("{word:?} is nothing that a guard can be set to"),
                    remedy,
                );
            }
        }
    }
    table.finish();
}

/// How many persons must approve what a guard holds.
fn approvers(section: &Section<'_>, guards: &mut Guards) {
    let table = section.section_or_empty("approvers");
    for guard in Guard::ALL.into_iter().filter(|guard| !matches!(guard, Guard::Source | Guard::Target)) {
        match table.integer(guard.as_str()) {
            None => {}
            Some(1) => guards.set_approvers(guard, 1),
            Some(2) => guards.set_approvers(guard, 2),
            Some(other) => {
                table.complain(
                    guard.as_str(),
                    format!("{other} is not 1 or 2"),
                    "write 1, or 2 for four eyes",
                );
            }
        }
    }
    table.finish();
}

fn numbers(section: &Section<'_>, guards: &mut Guards) {
    const ANY: std::ops::RangeInclusive<u32> = 1..=u32::MAX;
    let number = |key| whole(section, key, ANY).map(u64::from);
    if let Some(max) = whole(section, "max_targets", 1..=10_000) {
        guards.max_targets = max;
    }
    if let Some(first) = whole(section, "first_actions", 0..=10_000) {
        guards.first_actions = first;
    }
    fleet(section, guards);
    let prevalence = &mut guards.prevalence;
    prevalence.organisation_hold = number("organisation_hold").unwrap_or(prevalence.organisation_hold);
    prevalence.organisation_deny = number("organisation_deny").unwrap_or(prevalence.organisation_deny);
    prevalence.global_hold = number("global_hold").unwrap_or(prevalence.global_hold);
    prevalence.global_deny = number("global_deny").or(prevalence.global_deny);
}

/// A file on one percent of the fleet is denied, and no more devices than that are touched in a day.
fn fleet(section: &Section<'_>, guards: &mut Guards) {
    let Some(fleet) = whole(section, "fleet_size", 1..=u32::MAX) else {
        return;
    };
    let one_percent = fleet.div_ceil(100);
    guards.prevalence.organisation_deny = u64::from(one_percent);
    let limit = Limit::new(one_percent, SignedDuration::from_hours(24), &[]);
    Arc::make_mut(&mut guards.limits).push(limit);
}

fn durations(section: &Section<'_>, guards: &mut Guards) {
    let (second, day) = (SignedDuration::from_secs(1), SignedDuration::from_hours(24));
    let minute = SignedDuration::from_mins(1);
    let hour = SignedDuration::from_hours(1);
    if let Some(time) = duration(section, "facts_max_age", minute, hour) {
        guards.facts_max_age = time;
    }
    if let Some(time) = duration(section, "last_seen_max", hour, day.saturating_mul(180)) {
        guards.last_seen_max = time;
    }
    if let Some(time) = duration(section, "cool_down", second, LONGEST_PERIOD) {
        guards.cool_down = time;
    }
    if let Some(time) = duration(section, "hold_limit", minute.saturating_mul(5), day.saturating_mul(7)) {
        guards.hold_limit = time;
    }
}

fn duration(
    section: &Section<'_>,
    key: &'static str,
    shortest: SignedDuration,
    longest: SignedDuration,
) -> Option<SignedDuration> {
    let time = section.duration(key)?;
    if time < shortest || time > longest {
        let problem = format!("is not between {} s and {} s", shortest.as_secs(), longest.as_secs());
        section.complain(key, problem, "write a time between the two, such as \"24h\"");
        return None;
    }
    Some(time)
}

fn server(section: &Section<'_>, word: &str) -> Option<No> {
    match word {
        "pass" => None,
        "deny" => Some(No::Deny),
        "hold" => Some(No::Hold),
        other => {
            let remedy = "write \"hold\" (a person must approve), \"deny\" or \"pass\"";
            section.complain("windows_server", format!("{other:?} is none of the three"), remedy);
            Some(No::Deny)
        }
    }
}

/// The rows that a section gives stand for those before it.
fn limits(section: &Section<'_>, guards: &mut Guards) {
    if !section.has("blast_radius") {
        return;
    }
    let rows = section.list("blast_radius");
    guards.limits = Arc::new(rows.iter().filter_map(limit).collect());
}

fn limit(row: &Section<'_>) -> Option<Limit> {
    row.require("max", "write how many actions there may be in the period");
    row.require("period", "write how long the period is, such as \"1h\"");
    let max = whole(row, "max", 1..=1_000_000);
    let period = duration(row, "period", SignedDuration::from_secs(1), LONGEST_PERIOD);
    let remedy = "write a list of hash, device, source and rule, or an empty one to count all";
    let words = row.texts("keys").unwrap_or_default();
    let keys: Option<Vec<LimitKey>> = words.iter().map(|word| row.parse("keys", word, remedy)).collect();
    row.finish();
    Some(Limit::new(max?, period?, &keys?))
}

/// The severities that a source may act on.
fn severities(source: &Section<'_>) -> Vec<Severity> {
    let words = source.texts("severities").unwrap_or_default();
    let read = |word: &&str| source.parse("severities", word, "write a list of the five");
    words.iter().filter_map(read).collect()
}
