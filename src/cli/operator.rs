//! Who runs a command: the user of the system, as the audit names it.

use rustix::process::getuid;

use crate::alert::Who;

/// Returns who runs this command. The number is what the system vouches for; a name in the environment is not.
pub(super) fn operator() -> Who {
    Who::Operator(format!("uid {}", getuid().as_raw()))
}
