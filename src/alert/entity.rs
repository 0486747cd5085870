//! Devices and files as senders name them, and the pair that an action needs.

use super::ids::{MachineId, Sha1, Sha256};

/// A device as the sender names it. At least one field is present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineEntity {
    /// Defender's own id.
    pub id: Option<MachineId>,
    /// The device's DNS name.
    pub dns_name: Option<String>,
}

impl MachineEntity {
    /// Returns the text that tells this entity from others within one alert.
    pub fn key(&self) -> String {
        match (self.id, &self.dns_name) {
            (Some(id), _) => format!("id:{id}"),
            (None, Some(name)) => format!("dns_name:{}", name.to_ascii_lowercase()),
            (None, None) => String::new(),
        }
    }
}

/// A file as the sender names it. At least one hash is present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileEntity {
    /// SHA1 of its content.
    pub sha1: Option<Sha1>,
    /// SHA256 of its content.
    pub sha256: Option<Sha256>,
    /// Its name, for people.
    pub name: Option<String>,
}

impl FileEntity {
    /// Returns the text that tells this entity from others within one alert.
    pub fn key(&self) -> String {
        match (self.sha1, self.sha256) {
            (Some(sha1), _) => format!("sha1:{sha1}"),
            (None, Some(sha256)) => format!("sha256:{sha256}"),
            (None, None) => String::new(),
        }
    }
}

/// A device and a file that one alert puts together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityPair {
    /// The device.
    pub machine: MachineEntity,
    /// The file on that device.
    pub file: FileEntity,
    /// Where in the payload they stood, for people.
    pub found_at: FoundAt,
}

/// Where in the payload a pair stood, as JSON paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundAt {
    /// Path of the device's id.
    pub machine: Option<String>,
    /// Path of the file's hash.
    pub file: Option<String>,
}

impl EntityPair {
    /// Returns the target if the sender named it completely.
    pub fn as_given(&self) -> Result<Target, Unresolved> {
        let machine_id = self.machine.id.ok_or(Unresolved::MachineIdMissing)?;
        let sha1 = self.file.sha1.ok_or(Unresolved::Sha1Missing)?;
        Ok(Target { machine_id, sha1 })
    }
}

/// A resolved pair: one device and one file, as Defender knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The device.
    pub machine_id: MachineId,
    /// The file.
    pub sha1: Sha1,
}

/// Why a pair of entities could not be made a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unresolved {
    /// The alert names the device otherwise than by Defender's id.
    MachineIdMissing,
    /// The alert names the file otherwise than by its SHA1.
    Sha1Missing,
}

impl Unresolved {
    /// Returns the word used in API, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineIdMissing => "machine_id_missing",
            Self::Sha1Missing => "sha1_missing",
        }
    }

    /// Returns what is missing, for a person.
    pub fn explained(self) -> &'static str {
        match self {
            Self::MachineIdMissing => "the alert does not give Defender's machine id of the device",
            Self::Sha1Missing => "the alert does not give the SHA1 of the file",
        }
    }
}
