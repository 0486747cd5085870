//! Devices and files as senders name them, and the pair that an action needs.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::hashes::{MachineId, Md5, Sha1, Sha256};
use super::ids::AadDeviceId;

/// A device as the sender names it. No field is present only where the sender does not say which device it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MachineEntity {
    /// Defender's own id.
    pub id: Option<MachineId>,
    /// Entra ID's id of the device.
    pub aad_device_id: Option<AadDeviceId>,
    /// The device's DNS name, or its host name alone.
    pub dns_name: Option<String>,
    /// An address of the device at the time of the alert.
    pub ip: Option<IpAddr>,
}

impl MachineEntity {
    /// Returns the text that tells this entity from others within one alert.
    pub fn key(&self) -> String {
        match self {
            Self { id: Some(id), .. } => format!("id:{id}"),
            Self { aad_device_id: Some(id), .. } => format!("aad_device_id:{id}"),
            Self { dns_name: Some(name), .. } => format!("dns_name:{}", name.to_ascii_lowercase()),
            Self { ip: Some(ip), .. } => format!("ip:{ip}"),
            Self { id: None, aad_device_id: None, dns_name: None, ip: None } => String::new(),
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
    /// MD5 of its content.
    pub md5: Option<Md5>,
    /// Its name, for people.
    pub name: Option<String>,
}

impl FileEntity {
    /// Returns the text that tells this entity from others within one alert.
    pub fn key(&self) -> String {
        match (self.sha1, self.sha256, self.md5) {
            (Some(sha1), ..) => format!("sha1:{sha1}"),
            (None, Some(sha256), _) => format!("sha256:{sha256}"),
            (None, None, Some(md5)) => format!("md5:{md5}"),
            (None, None, None) => String::new(),
        }
    }
}

/// A device and a file that one alert puts together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityPair {
    /// The device; empty where the alert does not say which.
    pub machine: MachineEntity,
    /// The file on that device.
    pub file: FileEntity,
    /// The devices that it may have been, where the alert names several and does not say which.
    pub candidates: Vec<MachineEntity>,
    /// Where in the payload they stood, for people.
    pub found_at: FoundAt,
}

impl EntityPair {
    /// Returns the text that tells this pair from others within one alert.
    pub fn key(&self) -> String {
        format!("{} {}", self.machine.key(), self.file.key())
    }
}

/// Where in the payload a pair stood, as JSON paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundAt {
    /// Path of the device's id.
    pub machine: Option<String>,
    /// Path of the file's hash.
    pub file: Option<String>,
}

/// A resolved pair: one device and one file, as Defender knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The device.
    pub machine_id: MachineId,
    /// The file.
    pub sha1: Sha1,
}

/// Says whether an address can be one device's alone: those that many have at once name none.
pub fn is_of_one_device(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local)
}
