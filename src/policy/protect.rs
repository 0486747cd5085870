//! Devices and files that are protected, and the built-in ones.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::alert::Sha1;

use super::settings::No;

/// A row that protects devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedDevice {
    /// Which devices.
    pub by: DeviceTrait,
    /// What is said of them.
    pub no: No,
    /// Who wanted it.
    pub owner: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
}

/// What makes a device a protected one. Texts are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceTrait {
    /// It has this tag.
    Tag(String),
    /// It is in this device group.
    Group(String),
    /// Its name is this one; `*` stands for any text at either end. A name without a dot is compared with the host name.
    Name(String),
    /// Its platform begins like this.
    Os(String),
    /// Its device value is this.
    Value(String),
}

impl ProtectedDevice {
    /// A row that is always there.
    fn built_in(by: DeviceTrait) -> Self {
        Self { by, no: No::Deny, owner: None, reason: Some("built in".to_owned()), expires_at: None }
    }

    /// Says whether the row counts at this time.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

/// The devices that are protected whatever the configuration says (reference, safety 3.2).
pub fn built_in_devices() -> Vec<ProtectedDevice> {
    let tag = |tag: &str| ProtectedDevice::built_in(DeviceTrait::Tag(tag.to_owned()));
    let mut rows: Vec<_> = ["Tier0", "DomainController", "quarantine-protect"].map(tag).into();
    rows.push(ProtectedDevice::built_in(DeviceTrait::Value("High".to_owned())));
    rows
}

/// A file that is never quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedFile {
    /// Who wanted it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
}

impl ProtectedFile {
    /// Says whether the row counts at this time.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

/// The files that are never quarantined, by their SHA1: there may be very many.
#[derive(Clone, PartialEq, Eq)]
pub struct ProtectedFiles {
    rows: BTreeMap<Sha1, ProtectedFile>,
    digest: [u8; 32],
}

impl Default for ProtectedFiles {
    /// Those that are protected whatever the configuration says.
    fn default() -> Self {
        let rows = built_in_files();
        Self { digest: digest(&rows), rows }
    }
}

impl fmt::Debug for ProtectedFiles {
    /// The digest stands for the rows: each decision names its policy by what this shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtectedFiles({}, {})", self.rows.len(), hex::encode(self.digest))
    }
}

impl ProtectedFiles {
    /// Returns the row of a file.
    pub fn get(&self, sha1: &Sha1) -> Option<&ProtectedFile> {
        self.rows.get(sha1)
    }

    /// Adds rows; a later one of the same file takes the place of an earlier.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = (Sha1, ProtectedFile)>) {
        self.rows.extend(rows);
        self.digest = digest(&self.rows);
    }
}

fn digest(rows: &BTreeMap<Sha1, ProtectedFile>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(format!("{row:?}"));
    }
    digest.finalize().into()
}

/// Contents that lie on every device and are nobody's program, by their SHA1.
///
/// That of the empty file is missing: it is no [`Sha1`] at all.
pub const BUILT_IN_FILES: [(&str, &str); 4] = [
    ("5ba93c9db0cff93f52b521d7420e43f6eda2784f", "a file of one zero byte"),
    ("adc83b19e793491b1c6ea0fd8b46cd9f32e592fc", "a file of one newline"),
    ("ba8ab5a0280b953aa97435ff8946cbcbb2755a27", "a file of one Windows newline"),
    ("b858cb282617fb0956d960215c8e84d1ccf909c6", "a file of one space"),
];

/// The files that are protected whatever the configuration says.
pub fn built_in_files() -> BTreeMap<Sha1, ProtectedFile> {
    let row = |(sha1, what): (&str, &str)| {
        let reason = format!("{what}; it lies on every device");
        let file = ProtectedFile { owner: "built in".to_owned(), reason, expires_at: None };
        sha1.parse().ok().map(|sha1| (sha1, file))
    };
    BUILT_IN_FILES.into_iter().filter_map(row).collect()
}
