//! The devices of the simulated tenant, the files seen on them, and the files that Defender knows.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::alert::{before, parse_time};

/// How far from the time that is asked about a sighting of an address may lie.
const IP_WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// How many made-up devices are remembered.
const MADE_UP_MAX: usize = 100_000;

/// The simulated tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Its devices.
    pub machines: Vec<Machine>,
    /// The files that it can tell the hashes of.
    pub files: Vec<KnownFile>,
    /// The tenant's alerts, as `GET /v1.0/security/alerts_v2/{id}` of Microsoft Graph answers them.
    pub alerts: Vec<Value>,
    /// Take any well-formed machine id for a Windows 11 device on which every file was seen, and any SHA1 for a file that
    /// is not signed and hardly spread.
    pub any_machine: bool,
    /// The devices that were made up so far: every file was seen on them.
    #[serde(skip)]
    pub made_up: Vec<Machine>,
}

/// A simulated device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// Defender's id of it.
    pub id: String,
    /// Its DNS name.
    pub dns_name: String,
    /// Operating system, in Defender's words.
    pub os_platform: String,
    /// Its version, in Defender's words.
    pub os_version: Option<String>,
    /// Its build.
    pub os_build: Option<u64>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its device group.
    pub group: Option<String>,
    /// `Normal`, `Low` or `High`.
    pub device_value: Option<String>,
    /// When it last sent a full report, as RFC 3339; by default an hour ago.
    pub last_seen: Option<String>,
    /// Entra ID's id of it, if it has joined.
    pub aad_device_id: Option<String>,
    /// `Onboarded`, `CanBeOnboarded`, `Unsupported` or `InsufficientInfo`.
    pub onboarding_status: String,
    /// `Active`, `Inactive` or a kind of trouble; by default `Active`. A device that is offline is that for days.
    pub health_status: Option<String>,
    /// The device that its record was merged into.
    pub merged_into: Option<String>,
    /// Whether Defender suspects a duplicate.
    pub is_potential_duplication: bool,
    /// Why it is excluded from vulnerability management, if it is.
    pub exclusion_reason: Option<String>,
    /// The last address of its own network card.
    pub last_ip: String,
    /// The address that the internet sees.
    pub last_external_ip: String,
    /// Which addresses it had when; without any, `last_ip` at all times.
    pub sightings: Vec<Sighting>,
    /// SHA1s of the files seen on it.
    pub files: Vec<String>,
    /// SHA1s of files on it that Microsoft signed; they are refused.
    pub signed_files: Vec<String>,
    /// Whether its actions stay Pending.
    pub is_offline: bool,
    /// How its actions end: `Succeeded`, `Failed`, `TimeOut` or `Cancelled`.
    pub ends_as: String,
}

/// An address that a device had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// The address.
    pub ip: String,
    /// When, as RFC 3339.
    pub at: String,
}

/// A file that Defender knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownFile {
    /// SHA1 of its content.
    pub sha1: Option<String>,
    /// SHA256 of its content.
    pub sha256: Option<String>,
    /// MD5 of its content.
    pub md5: Option<String>,
    /// A hash under which it is found besides its own, to play a record that does not have what was asked for.
    pub found_by: Option<String>,
    /// Whom its certificate names, if it is signed.
    pub signer: Option<String>,
    /// Who issued its certificate.
    pub issuer: Option<String>,
    /// Whether an agent has verified its certificate; null if absent, and false if it is not signed.
    pub is_valid_certificate: Option<bool>,
    /// What Defender holds it for; `Unknown` if absent.
    pub determination: Option<String>,
    /// On how many devices of the world it was seen; 3 if absent.
    pub global_prevalence: Option<u64>,
    /// On how many devices of the tenant; if absent, on those of the world's devices that have it.
    pub organisation_prevalence: Option<u64>,
}

impl KnownFile {
    fn is_found_by(&self, hash: &str) -> bool {
        let all = [&self.sha1, &self.sha256, &self.md5, &self.found_by];
        all.into_iter().flatten().any(|have| have.eq_ignore_ascii_case(hash))
    }

    /// The file that Microsoft signed, as Defender's records have such.
    fn signed_by_microsoft(sha1: &str) -> Self {
        Self {
            sha1: Some(sha1.to_ascii_lowercase()),
            signer: Some("Microsoft Corporation".to_owned()),
            issuer: Some("Microsoft Code Signing PCA".to_owned()),
            is_valid_certificate: Some(true),
            ..Self::default()
        }
    }

    /// Returns the record of the file as `GET /api/files/{hash}` answers it.
    pub(super) fn to_json(&self) -> Value {
        let unsigned = self.signer.is_none().then_some(false);
        json!({
            "sha1": self.sha1, "sha256": self.sha256, "md5": self.md5,
            "globalPrevalence": self.global_prevalence.unwrap_or(3),
            "globalFirstObserved": "2026-01-05T08:00:00.1234567Z", "globalLastObserved": "2026-01-06T08:00:00Z",
            "size": 73_216, "fileType": null, "isPeFile": true, "filePublisher": self.signer, "fileProductName": null,
            "signer": self.signer, "issuer": self.issuer, "signerHash": null,
            "isValidCertificate": self.is_valid_certificate.or(unsigned),
            "determinationType": self.determination.as_deref().unwrap_or("Unknown"), "determinationValue": "",
        })
    }

    /// Returns how widely the file is spread as `GET /api/files/{hash}/stats` answers it; newer answers have two of the
    /// numbers as texts too (reference, defender-api 4).
    pub(super) fn stats_json(&self, seen: usize) -> Value {
        let organisation =
            self.organisation_prevalence.unwrap_or_else(|| u64::try_from(seen).unwrap_or(u64::MAX));
        let global = self.global_prevalence.unwrap_or(3);
        json!({
            "@odata.context": "https://api.security.microsoft.com/api/$metadata#microsoft.windowsDefenderATP.api.InOrgFileStats",
            "sha1": self.sha1, "organizationPrevalence": organisation, "orgFirstSeen": "2026-01-05T08:00:00Z",
            "orgLastSeen": "2026-01-06T08:00:00Z", "globallyPrevalence": global,
            "globalPrevalence": global.to_string(), "orgPrevalence": organisation.to_string(),
            "globalFirstObserved": "2026-01-05T08:00:00.1234567Z", "globalLastObserved": "2026-01-06T08:00:00Z",
            "topFileNames": ["tool.exe"],
        })
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            id: String::new(),
            dns_name: "host.example.test".to_owned(),
            os_platform: "Windows11".to_owned(),
            os_version: Some("23H2".to_owned()),
            os_build: Some(22_631),
            tags: Vec::new(),
            group: None,
            device_value: Some("Normal".to_owned()),
            last_seen: None,
            aad_device_id: None,
            onboarding_status: "Onboarded".to_owned(),
            health_status: None,
            merged_into: None,
            is_potential_duplication: false,
            exclusion_reason: None,
            last_ip: "192.0.2.10".to_owned(),
            last_external_ip: "198.51.100.7".to_owned(),
            sightings: Vec::new(),
            files: Vec::new(),
            signed_files: Vec::new(),
            is_offline: false,
            ends_as: "Succeeded".to_owned(),
        }
    }
}

impl Machine {
    /// Says whether Defender can quarantine files there.
    pub(super) fn is_supported(&self) -> bool {
        self.os_platform.starts_with("Windows")
    }

    fn health(&self) -> &str {
        self.health_status.as_deref().unwrap_or("Active")
    }

    /// Says whether it had an address within 15 minutes of a time.
    pub(super) fn had_ip(&self, ip: &str, at: Timestamp) -> bool {
        if self.sightings.is_empty() {
            return self.last_ip == ip;
        }
        let near = |seen: &Sighting| {
            parse_time(&seen.at).is_some_and(|seen_at| at.duration_since(seen_at).abs() <= IP_WINDOW)
        };
        self.sightings.iter().any(|seen| seen.ip == ip && near(seen))
    }

    /// Returns the record of the machine as `GET /api/machines/{id}` answers it.
    pub(super) fn to_json(&self, now: Timestamp) -> Value {
        let an_hour_ago = || format!("{:.7}", before(now, SignedDuration::from_hours(1)));
        json!({
            "id": self.id, "mergedIntoMachineId": self.merged_into,
            "isPotentialDuplication": self.is_potential_duplication,
            "isExcluded": self.exclusion_reason.is_some(), "exclusionReason": self.exclusion_reason,
            "computerDnsName": self.dns_name, "firstSeen": "2026-01-05T08:00:00.1234567Z",
            "lastSeen": self.last_seen.clone().unwrap_or_else(an_hour_ago), "osPlatform": self.os_platform,
            "osVersion": null, "osProcessor": "x64", "version": self.os_version, "lastIpAddress": self.last_ip,
            "lastExternalIpAddress": self.last_external_ip, "agentVersion": "10.8760.22621.1", "osBuild": self.os_build,
            "healthStatus": self.health(), "deviceValue": self.device_value,
            "rbacGroupId": 0, "rbacGroupName": self.group, "riskScore": "None", "exposureLevel": "Low", "isAadJoined": self.aad_device_id.is_some(),
            "aadDeviceId": self.aad_device_id, "machineTags": self.tags, "defenderAvStatus": "Updated",
            "onboardingStatus": self.onboarding_status,
            "osArchitecture": "64-bit", "managedBy": "Unknown", "ipAddresses": [], "vmMetadata": null,
        })
    }
}

impl World {
    /// Finds a device by its id, in any case.
    pub(super) fn machine(&self, id: &str) -> Option<Machine> {
        let known = self.machines.iter().find(|machine| machine.id.eq_ignore_ascii_case(id));
        let is_hex = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let made_up = || Machine { id: id.to_ascii_lowercase(), ..Machine::default() };
        known.cloned().or_else(|| (self.any_machine && is_hex).then(made_up))
    }

    /// Remembers a device that was made up.
    pub(super) fn note_made_up(&mut self, machine: &Machine) {
        let is_known = self.machines.iter().chain(&self.made_up).any(|known| known.id == machine.id);
        if !is_known && self.made_up.len() < MADE_UP_MAX {
            self.made_up.push(machine.clone());
        }
    }

    /// Finds a file by any of its hashes. What was seen on a device is known by its SHA1.
    pub(super) fn file(&self, hash: &str) -> Option<KnownFile> {
        let listed = self.files.iter().find(|file| file.is_found_by(hash));
        let same = |have: &String| have.eq_ignore_ascii_case(hash);
        let is_signed = self.machines.iter().any(|machine| machine.signed_files.iter().any(same));
        let is_seen = self.machines.iter().any(|machine| machine.files.iter().any(same));
        // Devices that are made up as they are asked for say nothing of how widely a file is spread.
        let organisation_prevalence = self.any_machine.then_some(1);
        let sha1 = Some(hash.to_ascii_lowercase());
        let by_sha1 = KnownFile { sha1, organisation_prevalence, ..KnownFile::default() };
        match listed {
            Some(file) => Some(file.clone()),
            None if is_signed => Some(KnownFile::signed_by_microsoft(hash)),
            None if is_seen || self.any_machine && hash.len() == 40 => Some(by_sha1),
            None => None,
        }
    }

    /// Returns the devices on which a file was seen.
    pub(super) fn seen_on(&self, sha1: &str) -> impl Iterator<Item = &Machine> {
        let has = move |machine: &&Machine| {
            machine.files.iter().chain(&machine.signed_files).any(|have| have.eq_ignore_ascii_case(sha1))
        };
        self.machines.iter().filter(has).chain(&self.made_up)
    }

    /// Says whether a file was seen on a device.
    pub(super) fn has_seen(&self, machine: &Machine, sha1: &str) -> bool {
        let same = |have: &String| have.eq_ignore_ascii_case(sha1);
        let is_known = self.machines.iter().any(|known| known.id == machine.id);
        machine.files.iter().chain(&machine.signed_files).any(same) || !is_known
    }
}
