//! The words of OpenC2 that are known and not done here: they are answered 501. Any other word is a mistake, and answered 400.

/// Actions of the language (1.0, 3.3.1.1).
pub(super) const ACTIONS: &[&str] = &[
    "scan",
    "locate",
    "query",
    "deny",
    "contain",
    "allow",
    "start",
    "stop",
    "restart",
    "cancel",
    "set",
    "update",
    "redirect",
    "create",
    "delete",
    "detonate",
    "restore",
    "copy",
    "investigate",
    "remediate",
];

/// Targets of the language (1.0, 3.3.1.2), and that of the profiles of endpoint response.
pub(super) const TARGETS: &[&str] = &[
    "artifact",
    "command",
    "device",
    "domain_name",
    "email_addr",
    "idn_domain_name",
    "idn_email_addr",
    "ipv4_net",
    "ipv6_net",
    "ipv4_connection",
    "ipv6_connection",
    "iri",
    "mac_addr",
    "process",
    "properties",
    "uri",
    "er",
];

/// Arguments of the language (1.0, 3.3.1.4).
pub(super) const ARGUMENTS: &[&str] = &["start_time", "stop_time", "duration"];

/// Arguments of endpoint response (1.0, 2.1.4).
pub(super) const ENDPOINT_ARGUMENTS: &[&str] =
    &["account_status", "device_containment", "permitted_addresses", "scan_depth", "periodic_scan"];

/// What may name devices. A group is as many devices as somebody puts into it later.
pub(super) const DOWNSTREAM: &[&str] = &["device_groups"];

/// What may name a device.
pub(super) const DEVICE: &[&str] = &["idn_hostname"];

/// What may name a file. Defender finds it by its hash, wherever it lies.
pub(super) const FILE: &[&str] = &["path"];

/// Hashes.
pub(super) const HASHES: &[&str] = &["md5"];

/// Parts of a message (HTTPS transfer 1.1, 3.3.2). One that is not checked must not look as if it were.
pub(super) const MESSAGE: &[&str] = &["signature"];
