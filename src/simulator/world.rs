//! The devices of the simulated tenant and the files seen on them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The simulated tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Its devices.
    pub machines: Vec<Machine>,
    /// Take any well-formed machine id for a Windows 11 device on which every file was seen.
    pub any_machine: bool,
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
    /// SHA1s of the files seen on it.
    pub files: Vec<String>,
    /// SHA1s of files on it that Microsoft signed; they are refused.
    pub signed_files: Vec<String>,
    /// Whether its actions stay Pending.
    pub is_offline: bool,
    /// How its actions end: `Succeeded`, `Failed`, `TimeOut` or `Cancelled`.
    pub ends_as: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            id: String::new(),
            dns_name: "host.example.test".to_owned(),
            os_platform: "Windows11".to_owned(),
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

    /// Returns the record of the machine as `GET /api/machines/{id}` answers it.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "mergedIntoMachineId": null, "isPotentialDuplication": false, "isExcluded": false,
            "exclusionReason": null, "computerDnsName": self.dns_name, "firstSeen": "2026-01-05T08:00:00.1234567Z",
            "lastSeen": "2026-01-06T08:00:00.12Z", "osPlatform": self.os_platform, "osVersion": null,
            "osProcessor": "x64", "version": "23H2", "lastIpAddress": "192.0.2.10",
            "lastExternalIpAddress": "198.51.100.7", "agentVersion": "10.8760.22621.1", "osBuild": 22631,
            "healthStatus": if self.is_offline { "Inactive" } else { "Active" }, "deviceValue": "Normal",
            "rbacGroupId": 0, "rbacGroupName": null, "riskScore": "None", "exposureLevel": "Low", "isAadJoined": false,
            "aadDeviceId": null, "machineTags": [], "defenderAvStatus": "Updated", "onboardingStatus": "Onboarded",
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

    /// Says whether a file was seen on a device.
    pub(super) fn has_seen(&self, machine: &Machine, sha1: &str) -> bool {
        let same = |have: &String| have.eq_ignore_ascii_case(sha1);
        let is_known = self.machines.iter().any(|known| known.id == machine.id);
        machine.files.iter().chain(&machine.signed_files).any(same) || !is_known
    }
}
