//! Defender's own records of devices and files, as far as they tell which one is meant.

use core::net::IpAddr;

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
}

/// Defender's record of a file. A hash that is absent or malformed in it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRecord {
    /// SHA1 of its content.
    pub sha1: Option<Sha1>,
    /// SHA256 of its content.
    pub sha256: Option<Sha256>,
    /// MD5 of its content.
    pub md5: Option<Md5>,
}
