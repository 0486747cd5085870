//! Devices and files that are protected.

use super::device::begins;
use super::{Case, No, Said, Says, known};
use crate::policy::facts::DeviceFacts;
use crate::policy::protect::{DeviceTrait, ProtectedDevice};

/// The device is not protected.
pub(super) fn device(case: &Case<'_>) -> Says {
    let rows = case.guards().protected_devices.iter().filter(|row| row.counts(case.now));
    let (mut strictest, mut missing): (Option<(No, String)>, Option<Said>) = (None, None);
    for row in rows {
        match fits(&row.by, &case.facts.device) {
            Ok(None) => {}
            Ok(Some(what)) => {
                let found = (row.no, told(row, &what));
                strictest = Some(match strictest {
                    Some(before) if before.0 >= found.0 => before,
                    _ => found,
                });
            }
            Err(said) => missing = missing.or(Some(said)),
        }
    }
    match (strictest, missing) {
        // What is denied is denied, whatever else is missing.
        (Some((No::Deny, why)), _) => Ok(Said::As(No::Deny, why)),
        (_, Some(said)) => Err(said),
        (Some((no, why)), None) => Ok(Said::As(no, why)),
        (None, None) => Ok(Said::Pass("no row that protects devices fits it".to_owned())),
    }
}

/// Returns what of the device makes it a protected one, if anything.
fn fits(by: &DeviceTrait, device: &DeviceFacts) -> Result<Option<String>, Said> {
    let same = |have: &str, wanted: &String| have.eq_ignore_ascii_case(wanted);
    let fits = match by {
        DeviceTrait::Tag(tag) => {
            known(&device.tags, "which tags the device has")?.iter().any(|have| same(have, tag))
        }
        DeviceTrait::Group(group) => {
            known(&device.group, "the device's group")?.as_ref().is_some_and(|have| same(have, group))
        }
        DeviceTrait::Name(name) => name_fits(known(&device.name, "the device's name")?, name),
        DeviceTrait::Os(os) => begins(known(&device.os_platform, "the device's system")?, os),
        DeviceTrait::Value(value) => {
            known(&device.value, "the device's value")?.as_ref().is_some_and(|have| same(have, value))
        }
    };
    let what = match by {
        DeviceTrait::Tag(tag) => format!("tag {tag}"),
        DeviceTrait::Group(group) => format!("group {group}"),
        DeviceTrait::Name(name) => format!("name {name}"),
        DeviceTrait::Os(os) => format!("system {os}"),
        DeviceTrait::Value(value) => format!("value {value}"),
    };
    Ok(fits.then_some(what))
}

/// Says whether a name is meant by a pattern. A pattern without a dot is compared with the host name too.
fn name_fits(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_ascii_lowercase(), pattern.to_ascii_lowercase());
    let host = name.split('.').next().unwrap_or_default();
    let whole = glob_fits(&name, &pattern);
    whole || !pattern.contains('.') && glob_fits(host, &pattern)
}

fn glob_fits(name: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(beginning)) => name.starts_with(beginning),
        (None, None) => name == pattern,
    }
}

fn told(row: &ProtectedDevice, what: &str) -> String {
    let owner = row.owner.as_ref().map(|owner| format!(", owner {owner}"));
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}"));
    format!(
        "the device is protected by its {what}{}{}",
        owner.unwrap_or_default(),
        reason.unwrap_or_default()
    )
}

/// The file is not on the list of files that are never quarantined.
#[expect(clippy::unnecessary_wraps, reason = "guards have one form, whether a fact can be missing or not")]
pub(super) fn file(case: &Case<'_>) -> Says {
    let Ok(target) = &case.candidate.target else {
        return Ok(Said::Incomplete("the file is not known".to_owned()));
    };
    let row = case.guards().protected_files.get(&target.sha1).filter(|row| row.counts(case.now));
    Ok(match row {
        Some(row) => Said::No(format!("the file is never quarantined, owner {}: {}", row.owner, row.reason)),
        None => Said::Pass("the file is on no list of files that are never quarantined".to_owned()),
    })
}
