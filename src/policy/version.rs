//! Which policy it was: a digest of all its settings, so that the record can name it.

use sha2::{Digest as _, Sha256};

use super::Policy;

impl Policy {
    /// Returns the digest of all its settings. Two policies with the same one decide alike.
    ///
    /// It is made of what the derived `Debug` shows, so no setting can be left out. Another version of the bridge may have
    /// other settings and gives another digest.
    pub fn version(&self) -> [u8; 32] {
        Sha256::digest(format!("{self:?}")).into()
    }
}
