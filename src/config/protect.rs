//! What is protected: devices, files, and times in which nothing is sent without a person.

use std::fs;
use std::sync::Arc;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::alert::{Sha1, after, is_deceptive, parse_time};
use crate::policy::{DeviceTrait, Freeze, Guards, No, ProtectedDevice, ProtectedFile, When};

use super::reader::Section;
use super::text_file;

/// How long before its end a row is warned of.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The longest list of files that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Adds what a section protects.
pub(super) fn apply(section: &Section<'_>, guards: &mut Guards, now: Timestamp) {
    let devices: Vec<_> =
        section.list("protected_devices").iter().filter_map(|row| device(row, now)).collect();
    Arc::make_mut(&mut guards.protected_devices).extend(devices);
    let freezes: Vec<_> = section.list("change_freezes").iter().filter_map(freeze).collect();
    Arc::make_mut(&mut guards.freezes).extend(freezes);
    if let Some(name) = section.text("never_quarantine") {
        files(section, name, guards, now);
    }
}

/// `{ tag = "...", answer = "deny", owner = "...", reason = "...", expires = ... }`; or group, name, os or value.
fn device(row: &Section<'_>, now: Timestamp) -> Option<ProtectedDevice> {
    let word = |key| row.text(key).map(|text| text.trim().to_owned());
    let traits = [
        word("tag").map(DeviceTrait::Tag),
        word("group").map(DeviceTrait::Group),
        word("name").map(DeviceTrait::Name),
        word("os").map(DeviceTrait::Os),
        word("value").map(DeviceTrait::Value),
    ];
    let given: Vec<DeviceTrait> = traits.into_iter().flatten().collect();
    let no = match row.text("answer") {
        None | Some("deny") => No::Deny,
        Some("hold") => No::Hold,
        Some(other) => {
            row.complain("answer", format!("{other:?} is neither"), "write \"deny\" or \"hold\"");
            No::Deny
        }
    };
    let owner = row.required_text("owner", "write who wants it").map(ToOwned::to_owned);
    let reason = row.required_text("reason", "write why, for whoever finds a device protected");
    let expires_at = expiry(row, now);
    row.finish();
    let [by] = <[DeviceTrait; 1]>::try_from(given)
        .map_err(|_given| {
            row.complain(
                "",
                "names no device, or names it twice",
                "write one of tag, group, name, os, value",
            );
        })
        .ok()?;
    if is_too_wide(&by) {
        row.complain(
            "",
            "protects every device or none",
            "write what tells the protected devices from others",
        );
    }
    Some(ProtectedDevice { by, no, owner, reason: reason.map(ToOwned::to_owned), expires_at })
}

fn is_too_wide(by: &DeviceTrait) -> bool {
    let (DeviceTrait::Tag(text)
    | DeviceTrait::Group(text)
    | DeviceTrait::Name(text)
    | DeviceTrait::Os(text)
    | DeviceTrait::Value(text)) = by;
    text.trim_matches('*').is_empty()
}

/// Reads `expires`; warns of what has ended or ends soon.
fn expiry(row: &Section<'_>, now: Timestamp) -> Option<Timestamp> {
    let text = row.time_text("expires")?;
    let Some(at) = day_or_time(&text) else {
        row.complain("expires", format!("{text:?} is no time"), "write 2027-01-31 or 2027-01-31T00:00:00Z");
        return None;
    };
    if at <= now {
        row.warn("expires", "is over: the row protects nothing any more", "renew it or take it away");
    } else if at < after(now, ENDS_SOON) {
        row.warn(
            "expires",
            "is within 7 days; then the row protects nothing any more",
            "renew it if it is needed",
        );
    }
    Some(at)
}

/// A time, or a day, which ends with it.
fn day_or_time(text: &str) -> Option<Timestamp> {
    if let Ok(day) = text.parse::<jiff::civil::Date>().and_then(jiff::civil::Date::tomorrow)
        && text.len() == 10
    {
        return day.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    }
    parse_time(text)
}

/// `{ days = ["sat"], from = "22:00", until = "06:00", reason = "..." }`, or from and until as times.
fn freeze(row: &Section<'_>) -> Option<Freeze> {
    row.require("from", "write a time such as \"22:00\" beside days, or 2026-12-20T00:00:00Z");
    row.require("until", "write a time such as \"06:00\" beside days, or 2027-01-02T00:00:00Z");
    let (from, until) = (row.time_text("from"), row.time_text("until"));
    let reason = row.required_text("reason", "write why, for whoever reads the reason of a hold");
    let days = row.texts("days");
    row.finish();
    let (from, until, reason) = (from?, until?, reason?.to_owned());
    let when = if let Some(days) = days {
        When::Weekly {
            days: days.into_iter().filter_map(|day| weekday(row, day)).collect(),
            from: minutes(row, "from", &from)?,
            until: minutes(row, "until", &until)?,
        }
    } else {
        let (from, until) = (moment(row, "from", &from)?, moment(row, "until", &until)?);
        if until <= from {
            row.complain("until", "is not after from", "write the first moment after the freeze");
        }
        When::Once { from, until }
    };
    Some(Freeze { when, reason })
}

fn moment(row: &Section<'_>, key: &'static str, text: &str) -> Option<Timestamp> {
    let at = parse_time(text);
    if at.is_none() {
        let remedy = "write 2026-12-20T00:00:00Z, or add days for a freeze of every week";
        row.complain(key, format!("{text:?} is no time with a zone"), remedy);
    }
    at
}

fn weekday(row: &Section<'_>, word: &str) -> Option<Weekday> {
    let day = match word {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        other => {
            row.complain("days", format!("{other:?} is no day"), "write mon, tue, wed, thu, fri, sat or sun");
            return None;
        }
    };
    Some(day)
}

fn minutes(row: &Section<'_>, key: &'static str, text: &str) -> Option<u16> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let total = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && total <= 1_440).then_some(total)
    };
    let found = read();
    if found.is_none() {
        row.complain(key, format!("{text:?} is no time of day"), "write it as \"22:00\", in UTC");
    }
    found
}

/// Reads the list of files that are never quarantined: a line a file, `sha1 expiry owner reason`, with `never` for one
/// that does not end.
fn files(section: &Section<'_>, name: &str, guards: &mut Guards, now: Timestamp) {
    let path = section.resolve(name);
    section.note_file(&path);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX) {
        return section.complain("never_quarantine", format!("{} is too long", path.display()), "split it");
    }
    let text = match text_file::read(&path) {
        Ok(text) => text,
        Err(error) => {
            let problem = format!("{}: {error}", path.display());
            return section.complain("never_quarantine", problem, "name a readable file");
        }
    };
    let mut rows = Vec::new();
    let mut over = 0_u32;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((sha1, file)) = row(line) else {
            let problem = format!("{}, line {number}: cannot be read", path.display());
            let remedy = "write: SHA1, the day it ends or never, its owner (one word), and the reason";
            section.complain("never_quarantine", problem, remedy);
            continue;
        };
        let ends_soon = file.expires_at.is_some_and(|at| at < after(now, ENDS_SOON));
        over = over.saturating_add(u32::from(ends_soon));
        rows.push((sha1, file));
    }
    Arc::make_mut(&mut guards.protected_files).extend(rows);
    if over > 0 {
        let problem = format!("{over} rows of {} have ended or end within 7 days", path.display());
        section.warn("never_quarantine", problem, "renew them or take them away");
    }
}

fn row(line: &str) -> Option<(Sha1, ProtectedFile)> {
    let (sha1, rest) = line.split_once(char::is_whitespace)?;
    let (expiry, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let (owner, reason) = rest.trim_start().split_once(char::is_whitespace)?;
    let expires_at = if expiry == "never" { None } else { Some(day_or_time(expiry)?) };
    let reason = reason.trim();
    if reason.is_empty() || line.chars().any(|c| c != '\t' && is_deceptive(c)) {
        return None;
    }
    Some((
        sha1.parse().ok()?,
        ProtectedFile { owner: owner.to_owned(), reason: reason.to_owned(), expires_at },
    ))
}
