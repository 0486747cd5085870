//! Who runs a command, and why: the user of the system, as the audit names it, and the reason given.

use rustix::process::getuid;

use crate::alert::{REASON_CHARS_MAX, Who, reason_text};

use super::exit::{Failure, USAGE};

/// Returns who runs this command. The number is what the system vouches for; a name in the environment is not.
pub(super) fn operator() -> Who {
    Who::Operator(format!("uid {}", getuid().as_raw()))
}

/// Returns what `--reason` says, as it is kept.
pub(super) fn why(reason: &str) -> anyhow::Result<String> {
    reason_text(reason).ok_or_else(|| {
        let text = format!("--reason must be one line of 1 to {REASON_CHARS_MAX} visible characters");
        Failure { code: USAGE, text }.into()
    })
}
