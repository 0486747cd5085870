//! `[callbacks.NAME]`: who is told what became of actions.

use std::ops::RangeInclusive;

use jiff::SignedDuration;
use url::Url;

use crate::alert::{EventType, Remind, SourceName};
use crate::callbacks::Callback;
use crate::ingest::SigningKey;
use crate::outgoing::{Reach, check_literal, is_safe_on_the_way};

use super::Secrets;
use super::auth::{keys, networks};
use super::reader::Section;

/// How many callbacks there may be. Each looks at the store twice a second.
const CALLBACKS_MAX: usize = 16;

/// How many reminders of one action there may be.
const REMINDERS_MAX: usize = 5;

/// The shortest and the longest of their times; no hold is longer.
const REMINDER_BOUNDS: RangeInclusive<SignedDuration> =
    SignedDuration::from_mins(1)..=SignedDuration::from_hours(7 * 24);

/// When a callback is reminded if it does not say.
const REMINDER: SignedDuration = SignedDuration::from_hours(1);

/// Reads every callback. `sources` are those that there are.
pub(super) fn read(root: &Section<'_>, secrets: Secrets, sources: &[SourceName]) -> Vec<Callback> {
    let section = root.section_or_empty("callbacks");
    let all = section.named();
    if all.len() > CALLBACKS_MAX {
        let problem = format!("has {} callbacks", all.len());
        section.complain("", problem, &format!("{CALLBACKS_MAX} are the most"));
    }
    let read = |(name, section): (&str, Section<'_>)| {
        let callback = callback(name, &section, secrets, sources);
        section.finish();
        callback
    };
    all.into_iter().filter_map(read).collect()
}

fn callback(name: &str, section: &Section<'_>, secrets: Secrets, sources: &[SourceName]) -> Option<Callback> {
    let name = match name.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            section.complain("", format!("{error}"), "rename the callback");
            None
        }
    };
    let allow_private = networks(section, "allow_private");
    let url = url(section);
    if let Some((url, allowed)) = url.as_ref().zip(allow_private.as_ref())
        && let Err(error) = check_literal(url, Reach::PublicAnd(allowed))
    {
        section.complain("url", error.to_string(), "add its network to allow_private, if it is meant");
    }
    let keys = keys(section, secrets, SigningKey::from_whsec);
    let events = events(section);
    let of_sources = of_sources(section, sources);
    let reminders = reminders(section);
    Some(Callback {
        name: name?,
        url: url?,
        keys: keys?,
        events: events?,
        sources: of_sources?,
        allow_private: allow_private?,
        reminders: reminders?,
    })
}

fn url(section: &Section<'_>) -> Option<Url> {
    let remedy = "write an address such as \"https://soar.example/hooks/quarantine\"";
    let text = section.required_text("url", remedy)?;
    let url: Url = section.parse("url", text, remedy)?;
    if !is_safe_on_the_way(&url) {
        let remedy = "write an https address; http is for this machine itself only";
        section.complain("url", "is not https: whoever is on the way could read what is told", remedy);
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        let remedy = "take them out: the signature proves who sends";
        section.complain("url", "has a user, a password or a fragment", remedy);
        return None;
    }
    Some(url)
}

fn events(section: &Section<'_>) -> Option<Vec<EventType>> {
    let Some(words) = section.texts("events") else {
        return Some(EventType::ALL.to_vec());
    };
    if words.is_empty() {
        section.complain("events", "is empty: nothing would be told", "leave it out for all events");
        return None;
    }
    let event = |word| section.parse("events", word, "write some of these, or leave it out for all");
    words.into_iter().map(event).collect()
}

/// `None` within: of all sources.
#[expect(clippy::option_option, reason = "what is left out is not what is wrong")]
fn of_sources(section: &Section<'_>, sources: &[SourceName]) -> Option<Option<Vec<SourceName>>> {
    let Some(names) = section.texts("sources") else {
        return Some(None);
    };
    if names.is_empty() {
        section.complain("sources", "is empty: nothing would be told", "leave it out for all sources");
        return None;
    }
    let known = |name: &str| {
        let found = sources.iter().find(|source| source.as_str() == name).cloned();
        if found.is_none() {
            section.complain(
                "sources",
                format!("{name:?} is no source"),
                "name sources of this configuration",
            );
        }
        found
    };
    names.into_iter().map(known).collect::<Option<Vec<_>>>().map(Some)
}

fn reminders(section: &Section<'_>) -> Option<Vec<Remind>> {
    let after = times(section, "remind_after")?.into_iter().map(Remind::After);
    let before = times(section, "remind_before_expiry")?.into_iter().map(Remind::BeforeExpiry);
    Some(after.chain(before).collect())
}

fn times(section: &Section<'_>, key: &'static str) -> Option<Vec<SignedDuration>> {
    let Some(texts) = section.texts(key) else {
        return Some(vec![REMINDER]);
    };
    if texts.len() > REMINDERS_MAX {
        section.complain(key, "has too many times", "write five at most");
        return None;
    }
    let time = |text: &str| {
        let time = super::parse_duration(text);
        let time = time.filter(|time| REMINDER_BOUNDS.contains(time));
        if time.is_none() {
            section.complain(
                key,
                format!("{text:?} is no time from 1 minute to 7 days"),
                "write \"1h\" or so",
            );
        }
        time
    };
    texts.into_iter().map(time).collect()
}
