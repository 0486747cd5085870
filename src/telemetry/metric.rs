//! Every metric the service has: its name and what it means, in one table.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, in one line.
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, help }
}

/// Version of the running binary, in a label; always 1.
pub const BUILD_INFO: Metric =
    gauge("quarantine_bridge_build_info", "Version of the running binary, in a label; always 1.");

/// Deliveries by source and result: new, duplicate, conflict, refused, unavailable.
pub const DELIVERIES: Metric =
    counter("quarantine_bridge_deliveries_total", "Deliveries of proven senders, by source and result.");

/// Connections that were closed before HTTP, by reason.
pub const CONNECTIONS_REFUSED: Metric = counter(
    "quarantine_bridge_connections_refused_total",
    "Connections closed before HTTP, by reason: address has too many, tls failed, tls_timeout.",
);

/// When the listener's certificate ends.
pub const TLS_CERTIFICATE_EXPIRY: Metric = gauge(
    "quarantine_bridge_tls_certificate_expiry_timestamp_seconds",
    "When the first of the listener's certificates ends, in seconds since 1970.",
);

/// Changes of the listener's certificate, by result: loaded, refused.
pub const TLS_RELOADS: Metric = counter(
    "quarantine_bridge_tls_reloads_total",
    "Changes of the listener's certificate files, by result: loaded, refused.",
);

/// Deliveries that were not believed, by source and reason.
pub const SIGNATURE_FAILURES: Metric = counter(
    "quarantine_bridge_signature_failures_total",
    "Deliveries that were not believed, by source and reason.",
);

/// Believed deliveries by source and key: shows when an old key has gone quiet.
pub const KEY_USES: Metric = counter(
    "quarantine_bridge_key_uses_total",
    "Believed deliveries, by source and id of the key that signed.",
);

/// Alerts that could not become actions, by source and reason.
pub const ALERTS_REFUSED: Metric = counter(
    "quarantine_bridge_alerts_refused_total",
    "Alerts that could not become actions, by source and reason.",
);

/// Time from the first byte of a delivery's body to its answer.
pub const ACCEPT_DURATION: Metric = histogram(
    "quarantine_bridge_accept_duration_seconds",
    "Time from a delivery's headers to its answer, in seconds.",
);

/// When a source was last believed.
pub const SOURCE_LAST_DELIVERY: Metric = gauge(
    "quarantine_bridge_source_last_delivery_timestamp_seconds",
    "When a delivery of the source was last believed, in seconds since 1970.",
);

/// How far a sender's clock is off, by source.
pub const CLOCK_SKEW: Metric = gauge(
    "quarantine_bridge_clock_skew_seconds",
    "Time of receipt minus time of signature of the source's last delivery, in seconds.",
);

/// Changes of actions' states, by new state.
pub const STATE_CHANGES: Metric =
    counter("quarantine_bridge_state_changes_total", "Changes of actions' states, by the new state.");

/// Unfinished actions by state.
pub const ACTIONS: Metric = gauge("quarantine_bridge_actions", "Unfinished actions, by state.");

/// Decisions of policy, by source and decision.
pub const DECISIONS: Metric =
    counter("quarantine_bridge_decisions_total", "Decisions of policy, by source and decision.");

/// Calls of Defender and Entra ID, by API and HTTP status.
pub const DEFENDER_REQUESTS: Metric = counter(
    "quarantine_bridge_defender_requests_total",
    "Requests to Defender and Entra ID, by API and HTTP status; status none if no answer came.",
);

/// Outcomes of quarantine calls.
pub const OUTCOMES: Metric = counter(
    "quarantine_bridge_outcomes_total",
    "Outcomes of quarantine calls, as far as they are known when the call ends.",
);

/// Calls that the budget has left in each window.
pub const BUDGET_LEFT: Metric =
    gauge("quarantine_bridge_budget_left", "Quarantine calls left in Defender's windows, by window.");

/// Questions about devices and files, by part of the API and result.
pub const LOOKUPS: Metric = counter(
    "quarantine_bridge_lookups_total",
    "Questions to Defender about devices and files, by part of its API and result.",
);

/// Look-ups that their budgets have left in each window.
pub const LOOKUPS_LEFT: Metric = gauge(
    "quarantine_bridge_lookups_left",
    "Look-ups left in Defender's windows, by part of its API and window.",
);

/// Actions whose device or file could not be found, by source and reason.
pub const UNRESOLVED: Metric = counter(
    "quarantine_bridge_unresolved_total",
    "Actions whose device or file could not be found beyond doubt, by source and reason.",
);

/// Whether sending is paused, by reason; 1 or 0.
pub const SENDING_PAUSED: Metric = gauge(
    "quarantine_bridge_sending_paused",
    "1 while sending is paused because Defender or Entra ID refuses, else 0.",
);

/// How reconciliation of uncertain actions ended, by result.
pub const RECONCILED: Metric =
    counter("quarantine_bridge_reconciled_total", "Uncertain actions settled by Defender's list, by result.");

/// Needed app roles that the last token lacked.
pub const ROLES_MISSING: Metric =
    gauge("quarantine_bridge_token_roles_missing", "How many needed app roles the last token lacked.");

/// When the current token expires.
pub const TOKEN_EXPIRY: Metric = gauge(
    "quarantine_bridge_token_expiry_timestamp_seconds",
    "When the current token expires, in seconds since 1970.",
);

/// Fetches of an issuer's keys, by issuer and result: ok, error.
pub const ISSUER_FETCHES: Metric = counter(
    "quarantine_bridge_issuer_fetches_total",
    "Fetches of the keys of an issuer of tokens, by issuer and result.",
);

/// When the keys of an issuer were last fetched.
pub const ISSUER_KEYS_FETCHED: Metric = gauge(
    "quarantine_bridge_issuer_keys_fetched_timestamp_seconds",
    "When the keys of an issuer of tokens were last fetched, in seconds since 1970; they serve for 24 hours.",
);

/// All metrics.
pub const ALL: &[Metric] = &[
    BUILD_INFO,
    DELIVERIES,
    CONNECTIONS_REFUSED,
    TLS_CERTIFICATE_EXPIRY,
    TLS_RELOADS,
    SIGNATURE_FAILURES,
    KEY_USES,
    ALERTS_REFUSED,
    ACCEPT_DURATION,
    SOURCE_LAST_DELIVERY,
    CLOCK_SKEW,
    STATE_CHANGES,
    ACTIONS,
    DECISIONS,
    DEFENDER_REQUESTS,
    OUTCOMES,
    BUDGET_LEFT,
    LOOKUPS,
    LOOKUPS_LEFT,
    UNRESOLVED,
    SENDING_PAUSED,
    RECONCILED,
    ROLES_MISSING,
    TOKEN_EXPIRY,
    ISSUER_FETCHES,
    ISSUER_KEYS_FETCHED,
];
