//! Who runs a command, and why: the user of the system, as the audit names it, and the reason given.

use anyhow::Context as _;
use rustix::process::getuid;

use crate::alert::{REASON_CHARS_MAX, Who, reason_text};

/// Returns who runs this command. The number is what the system vouches for; a name in the environment is not.
pub(super) fn operator() -> Who {
    Who::Operator(format!("uid {}", getuid().as_raw()))
}

/// Returns what `--reason` says, as it is kept.
pub(super) fn why(reason: &str) -> anyhow::Result<String> {
    let told = || format!("--reason must be one line of 1 to {REASON_CHARS_MAX} visible characters");
    reason_text(reason).with_context(told)
}
