//! Why a person does something, in their own words.

use super::ids::is_deceptive;

/// How many characters a person's reason may have.
pub const REASON_CHARS_MAX: usize = 500;

/// Returns a reason as it is kept.
pub fn reason_text(text: &str) -> Option<String> {
    visible_line(text, REASON_CHARS_MAX)
}

/// Returns a text for people as it is kept, if it is one line of so many characters that says something and shows all that it says.
pub fn visible_line(text: &str, chars_max: usize) -> Option<String> {
    let text = text.trim();
    let is_sound = !text.is_empty() && text.chars().count() <= chars_max;
    (is_sound && !text.chars().any(is_deceptive)).then(|| text.to_owned())
}
