//! Why a person does something, in their own words.

use super::ids::is_deceptive;

/// How many characters a person's reason may have.
pub const REASON_CHARS_MAX: usize = 500;

/// Returns a reason as it is kept. It is for people: one line that says something and shows all that it says.
pub fn reason_text(text: &str) -> Option<String> {
    let text = text.trim();
    let is_sound = !text.is_empty() && text.chars().count() <= REASON_CHARS_MAX;
    (is_sound && !text.chars().any(is_deceptive)).then(|| text.to_owned())
}
