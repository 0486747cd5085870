//! `[retention]`: how long what is over is kept.

use jiff::SignedDuration;

use crate::store::Retention;

use super::reader::Section;

/// Less would take away what people look at the next day.
const SHORTEST: SignedDuration = SignedDuration::from_hours(24);

/// Ten years. More is an error in writing.
const LONGEST: SignedDuration = SignedDuration::from_hours(3_660 * 24);

/// Reads the section. `oldest` is the greatest `max_age` of the sources: an alert must be known for as long as it may be acted on.
pub(super) fn read(root: &Section<'_>, oldest: SignedDuration) -> Retention {
    let section = root.section_or_empty("retention");
    let mut retention = Retention::default();
    if let Some(after) = duration(&section, "after") {
        retention.after = after;
    }
    if let Some(duplicates) = duration(&section, "duplicates") {
        retention.duplicates = duplicates;
    }
    if retention.duplicates < oldest {
        section.complain(
            "duplicates",
            "is shorter than the max_age of a source: an alert could be acted on again after it was forgotten",
            "make it as long, or max_age shorter",
        );
    }
    section.finish();
    retention
}

fn duration(section: &Section<'_>, key: &'static str) -> Option<SignedDuration> {
    let time = section.duration(key)?;
    if (SHORTEST..=LONGEST).contains(&time) {
        return Some(time);
    }
    section.complain(key, "is not between 1 and 3660 days", "write a time such as \"90d\"");
    None
}
