//! What a caller of the API asked for, beside the alert, the device and the file.

use super::mode::Mode;
use super::who::Who;

/// What a caller of the API asked for, beside the alert, the device and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// Who asked.
    pub by: Who,
    /// How far the action may go at most: what the caller's token allows, or less if the caller asked for less. Nothing,
    /// if neither says more than the source.
    pub mode_max: Option<Mode>,
    /// What the caller adds for people, in one line. It is no part of Defender's comment, which is a key.
    pub note: Option<String>,
}
