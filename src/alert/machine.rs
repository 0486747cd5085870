//! Defender's own records of devices and files, as far as they tell which one is meant.

use core::net::IpAddr;

use jiff::Timestamp;

use super::dns_name::DnsName;
use super::hashes::{MachineId, Md5, Sha1, Sha256};
use super::ids::AadDeviceId;

/// Defender's record of a device. Words are as Defender wrote them; a word that is absent is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// Its DNS name; absent too if it is none.
    pub dns_name: Option<DnsName>,
    /// Entra ID's id of it; absent when it has not joined.
    pub aad_device_id: Option<AadDeviceId>,
    /// The last address of its own network card, never the one that the internet sees.
    pub last_ip: Option<IpAddr>,
    /// `Onboarded`, `CanBeOnboarded`, `Unsupported` or `InsufficientInfo`.
    pub onboarding_status: Option<String>,
    /// `Active`, `Inactive`, or a kind of trouble.
    pub health_status: Option<String>,
    /// Such as `Windows11`.
    pub os_platform: Option<String>,
    /// The record that stands for this one since the two were found to be one device.
    pub merged_into: Option<MachineId>,
    /// Defender suspects that two records are one device, or two devices one record.
    pub is_potential_duplication: bool,
    /// What guards look at besides.
    pub traits: MachineTraits,
}

/// What Defender says of a device besides which one it is. What is absent is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineTraits {
    /// The version of its system, such as `1709` or `23H2`.
    pub os_version: Option<String>,
    /// The build of its system, such as `22631`.
    pub os_build: Option<u64>,
    /// When it last sent a full report; about once a day (reference, defender-api 3.1).
    pub last_seen: Option<Timestamp>,
    /// Its tags.
    pub tags: Option<Vec<String>>,
    /// Its device group; known and `None` if it is in none.
    pub group: Option<Option<String>>,
    /// `Normal`, `Low` or `High`; known and `None` if nobody has set it.
    pub value: Option<Option<String>>,
}

/// Defender's record of a file. A hash that is absent or malformed in it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// SHA1 of its content.
    pub sha1: Option<Sha1>,
    /// SHA256 of its content.
    pub sha256: Option<Sha256>,
    /// MD5 of its content.
    pub md5: Option<Md5>,
    /// What guards look at besides.
    pub traits: FileTraits,
}

/// What Defender says of a file besides which one it is. What is absent is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileTraits {
    /// Whom its certificate names; known and `None` if it is not signed.
    pub signer: Option<Option<String>>,
    /// Who issued its certificate; known and `None` if it is not signed.
    pub issuer: Option<Option<String>>,
    /// Whether an agent has verified its certificate; false if it is not signed.
    pub is_certificate_valid: Option<bool>,
    /// What Defender holds it for, such as `Unknown`, `Pua` or `Clean`.
    pub determination: Option<String>,
}

/// How widely a file is spread. What is absent is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStats {
    /// On how many devices of the organisation it was seen in the last 30 days.
    pub organisation_prevalence: Option<u64>,
    /// On how many devices of the world it was seen.
    pub global_prevalence: Option<u64>,
}
