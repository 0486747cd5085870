//! The formats that the bridge knows by name, and how a payload is read with one.

use super::pairing::Pairing;
use super::program::{Program, ProgramError, SHARED};
use super::reference::References;

/// A format that is built in.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The product that sends it.
    pub product: &'static str,
    /// What it reads, in one line.
    pub about: &'static str,
    /// Its jq program.
    pub code: &'static str,
}

/// Every built-in format.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "bridge",
        product: "any sender of your own",
        about: "our own plain form, for SOAR steps and senders made by hand",
        code: include_str!("formats/bridge.jq"),
    },
    BuiltIn {
        name: "defender-alert",
        product: "Microsoft Defender for Endpoint",
        about: "an alert, as GET /api/alerts/{id} answers it",
        code: include_str!("formats/defender-alert.jq"),
    },
    BuiltIn {
        name: "defender-incident",
        product: "Microsoft Defender XDR",
        about: "an incident, as GET /api/incidents answers it",
        code: include_str!("formats/defender-incident.jq"),
    },
    BuiltIn {
        name: "defender-hunting",
        product: "Microsoft Defender XDR",
        about: "AlertEvidence rows of the streaming API",
        code: include_str!("formats/defender-hunting.jq"),
    },
    BuiltIn {
        name: "defender-siem",
        product: "Microsoft Defender for Endpoint",
        about: "rows of the retired SIEM API",
        code: include_str!("formats/defender-siem.jq"),
    },
    BuiltIn {
        name: "graph-alert-v2",
        product: "Microsoft Graph security",
        about: "an alert or incident, as /security/alerts_v2 and /security/incidents answer it",
        code: include_str!("formats/graph-alert-v2.jq"),
    },
    BuiltIn {
        name: "graph-notification",
        product: "Microsoft Graph security",
        about: "a change notification: the alert is fetched, if [graph] is enabled",
        code: include_str!("formats/graph-notification.jq"),
    },
    BuiltIn {
        name: "sentinel-incident",
        product: "Microsoft Sentinel",
        about: "an incident, as the trigger of Logic Apps gives it",
        code: include_str!("formats/sentinel-incident.jq"),
    },
    BuiltIn {
        name: "sentinel-alert",
        product: "Microsoft Sentinel",
        about: "a row of the SecurityAlert table",
        code: include_str!("formats/sentinel-alert.jq"),
    },
    BuiltIn {
        name: "splunk-webhook",
        product: "Splunk Enterprise and Cloud",
        about: "the webhook alert action: one row of a search",
        code: include_str!("formats/splunk-webhook.jq"),
    },
    BuiltIn {
        name: "splunk-es",
        product: "Splunk Enterprise Security",
        about: "a notable, sent by the webhook alert action",
        code: include_str!("formats/splunk-es.jq"),
    },
    BuiltIn {
        name: "elastic-security",
        product: "Elastic Security",
        about: "a detection alert, from Kibana's webhook connector",
        code: include_str!("formats/elastic-security.jq"),
    },
    BuiltIn {
        name: "elastic-defend",
        product: "Elastic Defend",
        about: "an alert of the endpoint",
        code: include_str!("formats/elastic-defend.jq"),
    },
    BuiltIn {
        name: "wazuh",
        product: "Wazuh",
        about: "an alert: Sysmon, file integrity, VirusTotal, Defender's events",
        code: include_str!("formats/wazuh.jq"),
    },
    BuiltIn {
        name: "qradar-offense",
        product: "IBM QRadar",
        about: "an offense; never a target",
        code: include_str!("formats/qradar-offense.jq"),
    },
    BuiltIn {
        name: "ocsf-detection-finding",
        product: "OCSF (Amazon Security Lake and others)",
        about: "a Detection Finding, class 2004",
        code: include_str!("formats/ocsf-detection-finding.jq"),
    },
    BuiltIn {
        name: "google-secops",
        product: "Google SecOps (Chronicle)",
        about: "a detection with its UDM events",
        code: include_str!("formats/google-secops.jq"),
    },
    BuiltIn {
        name: "crowdstrike",
        product: "CrowdStrike Falcon",
        about: "a detection: Alerts API, event stream, Data Replicator",
        code: include_str!("formats/crowdstrike.jq"),
    },
    BuiltIn {
        name: "sentinelone",
        product: "SentinelOne",
        about: "a threat, a threat activity, or a STAR alert",
        code: include_str!("formats/sentinelone.jq"),
    },
    BuiltIn {
        name: "sumologic",
        product: "Sumo Logic Cloud SIEM",
        about: "an insight or signal with its records",
        code: include_str!("formats/sumologic.jq"),
    },
    BuiltIn {
        name: "datadog",
        product: "Datadog Cloud SIEM",
        about: "a signal, by the template of docs/formats.md",
        code: include_str!("formats/datadog.jq"),
    },
    BuiltIn {
        name: "graylog",
        product: "Graylog",
        about: "an HTTP notification with its fields and backlog",
        code: include_str!("formats/graylog.jq"),
    },
    BuiltIn {
        name: "panther",
        product: "Panther",
        about: "an alert, from a custom webhook",
        code: include_str!("formats/panther.jq"),
    },
    BuiltIn {
        name: "thehive",
        product: "TheHive 5",
        about: "an alert or case with its observables",
        code: include_str!("formats/thehive.jq"),
    },
    BuiltIn {
        name: "cortex-xsoar",
        product: "Cortex XSOAR",
        about: "an incident and its custom fields",
        code: include_str!("formats/cortex-xsoar.jq"),
    },
    BuiltIn {
        name: "cortex-xdr",
        product: "Cortex XDR and XSIAM",
        about: "an alert with its events",
        code: include_str!("formats/cortex-xdr.jq"),
    },
    BuiltIn {
        name: "insightidr",
        product: "Rapid7 InsightIDR",
        about: "an alert and its keys of interest",
        code: include_str!("formats/insightidr.jq"),
    },
    BuiltIn {
        name: "stix-observed-data",
        product: "STIX 2.1",
        about: "a bundle of observed data that was sighted",
        code: include_str!("formats/stix-observed-data.jq"),
    },
    BuiltIn {
        name: "cef",
        product: "CEF (ArcSight and others)",
        about: "CEF text inside JSON",
        code: include_str!("formats/cef.jq"),
    },
    BuiltIn {
        name: "leef",
        product: "LEEF (IBM and others)",
        about: "LEEF text inside JSON",
        code: include_str!("formats/leef.jq"),
    },
    BuiltIn {
        name: "alertmanager",
        product: "Prometheus Alertmanager, Grafana",
        about: "alerts by their labels",
        code: include_str!("formats/alertmanager.jq"),
    },
];

impl BuiltIn {
    /// Finds a built-in format by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|format| format.name == name)
    }

    /// Returns the program with the shared definitions in front, so that any jq can run it.
    pub fn standalone(&self) -> String {
        format!("{SHARED}\n{}", self.code)
    }
}

/// How many JSON values a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Exactly one.
    #[default]
    One,
    /// One or more run together, or one a line.
    Concatenated,
}

/// A format ready to run: a built-in one or a user's own.
#[derive(Debug)]
pub struct Format {
    name: String,
    program: Program,
    body: Body,
    pairing: Pairing,
    references: References,
}

impl Format {
    /// Loads a format from its program.
    pub fn load(name: &str, code: &str) -> Result<Self, ProgramError> {
        let program = Program::load(code)?;
        Ok(Self {
            name: name.to_owned(),
            program,
            body: Body::default(),
            pairing: Pairing::default(),
            references: References::default(),
        })
    }

    /// Returns the format for bodies of this kind.
    #[must_use]
    pub fn with_body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    /// Returns the format with this rule for files and devices that come without a stated pairing.
    #[must_use]
    pub fn with_pairing(self, pairing: Pairing) -> Self {
        Self { pairing, ..self }
    }

    /// Returns the format with this rule for alerts that a body only refers to.
    #[must_use]
    pub fn with_references(self, references: References) -> Self {
        Self { references, ..self }
    }

    pub(super) fn references(&self) -> References {
        self.references
    }

    pub(super) fn body(&self) -> Body {
        self.body
    }

    pub(super) fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }
}
