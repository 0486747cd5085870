//! What is asked of Defender to learn which device or file an alert means, and what it answers.

use core::net::IpAddr;
use std::fmt;

use jiff::Timestamp;

use super::dns_name::DnsName;
use super::hashes::{MachineId, Md5, Sha1, Sha256};
use super::ids::AadDeviceId;
use super::machine::{FileRecord, FileStats, Machine};

/// A question to Defender. Equal questions share one answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// The device with this id.
    Machine(MachineId),
    /// The devices with this id in Entra ID.
    MachinesByAadDeviceId(AadDeviceId),
    /// The devices with exactly this name.
    MachinesByName(DnsName),
    /// The devices whose name begins with this host name; it is a name alone.
    MachinesByHostName(DnsName),
    /// The devices that had this address within 15 minutes of a time.
    MachinesByIp {
        /// The address.
        ip: IpAddr,
        /// The time.
        at: Timestamp,
    },
    /// The file with this SHA1.
    FileBySha1(Sha1),
    /// The file with this SHA256.
    FileBySha256(Sha256),
    /// The file with this MD5.
    FileByMd5(Md5),
    /// How widely the file with this SHA1 is spread.
    FileStats(Sha1),
    /// The devices on which the file with this SHA1 was seen.
    FileMachines(Sha1),
}

/// The parts of Defender's API that questions go to. Each has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LookupApi {
    /// `/api/machines`, in all its forms.
    Machines,
    /// `/api/files`.
    Files,
    /// `/api/files/{sha1}/stats`.
    FileStats,
    /// `/api/files/{sha1}/machines`.
    FileMachines,
}

impl LookupApi {
    /// All.
    pub const ALL: [Self; 4] = [Self::Machines, Self::Files, Self::FileStats, Self::FileMachines];

    /// Returns the word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machines => "machines",
            Self::Files => "files",
            Self::FileStats => "file_stats",
            Self::FileMachines => "file_machines",
        }
    }
}

impl Question {
    /// Returns the part of the API that it goes to.
    pub fn api(&self) -> LookupApi {
        match self {
            Self::Machine(_)
            | Self::MachinesByAadDeviceId(_)
            | Self::MachinesByName(_)
            | Self::MachinesByHostName(_)
            | Self::MachinesByIp { .. } => LookupApi::Machines,
            Self::FileBySha1(_) | Self::FileBySha256(_) | Self::FileByMd5(_) => LookupApi::Files,
            Self::FileStats(_) => LookupApi::FileStats,
            Self::FileMachines(_) => LookupApi::FileMachines,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(id) => write!(f, "the device with machine id {id}"),
            Self::MachinesByAadDeviceId(id) => write!(f, "devices with Entra device id {id}"),
            Self::MachinesByName(name) => write!(f, "devices named {name}"),
            Self::MachinesByHostName(name) => write!(f, "devices with host name {name}"),
            Self::MachinesByIp { ip, at } => write!(f, "devices with address {ip} at {at:.0}"),
            Self::FileBySha1(sha1) => write!(f, "the file with SHA1 {sha1}"),
            Self::FileBySha256(sha256) => write!(f, "the file with SHA256 {sha256}"),
            Self::FileByMd5(md5) => write!(f, "the file with MD5 {md5}"),
            Self::FileStats(sha1) => write!(f, "the prevalence of the file with SHA1 {sha1}"),
            Self::FileMachines(sha1) => write!(f, "the devices with the file with SHA1 {sha1}"),
        }
    }
}

/// What Defender answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The devices that fit; none if there is none.
    Machines(Vec<Machine>),
    /// The file; none if Defender does not know it.
    File(Option<FileRecord>),
    /// How widely a file is spread; none if Defender does not know it.
    Stats(Option<FileStats>),
    /// The devices on which a file was seen; none if there is none.
    SeenOn(Vec<MachineId>),
    /// The token has no right to ask. In Defender's words.
    Forbidden(String),
    /// It will not answer this question, however often it is asked. In its words.
    Refused(String),
}
