//! Metrics of the service itself: connections, configuration, audit, log, callbacks.

use super::{Metric, counter, gauge};

/// Version of the running binary, in a label; always 1.
pub const BUILD_INFO: Metric =
    gauge("quarantine_bridge_build_info", "Version of the running binary, in a label; always 1.");

/// Connections that were closed before HTTP, by reason: `address`, `tls`, `tls_timeout`.
pub const CONNECTIONS_REFUSED: Metric = counter(
    "quarantine_bridge_connections_refused_total",
    "Connections closed before a request, by reason: address has too many, tls failed, tls_timeout, not_http came.",
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

/// Whether the last try to read the configuration again failed.
pub const CONFIG_RELOAD_FAILED: Metric = gauge(
    "quarantine_bridge_config_reload_failed",
    "1 while the configuration on disk is wrong and an older one is in use, else 0.",
);

/// When the configuration in use was read.
pub const CONFIG_LOADED: Metric = gauge(
    "quarantine_bridge_config_loaded_timestamp_seconds",
    "When the configuration in use was read, in seconds since 1970.",
);

/// By how much the time of day was behind that of the last run when the service started.
pub const CLOCK_SET_BACK: Metric = gauge(
    "quarantine_bridge_clock_set_back_seconds",
    "By how much, at the least, the time of day was behind the last run's when the service started, in seconds; else 0.",
);

/// Bytes that may still be written where the store lies.
pub const STORE_ROOM: Metric = gauge(
    "quarantine_bridge_store_free_bytes",
    "Bytes that may still be written on the disk of the store; absent where the system does not tell.",
);

/// Bytes that must be free for deliveries to be accepted.
pub const STORE_ROOM_MIN: Metric = gauge(
    "quarantine_bridge_store_free_bytes_min",
    "Bytes that must be free on the disk of the store: with fewer, /readyz is 503 and writes may fail.",
);

/// How many entries the audit has.
pub const AUDIT_ENTRIES: Metric = gauge("quarantine_bridge_audit_entries", "Entries in the audit.");

/// When the audit was last signed.
pub const AUDIT_CHECKPOINT: Metric = gauge(
    "quarantine_bridge_audit_checkpoint_timestamp_seconds",
    "When the last checkpoint of the audit was signed, in seconds since 1970; 0 if none was.",
);

/// What retention has deleted, by what it was: actions, deliveries, messages.
pub const PRUNED: Metric =
    counter("quarantine_bridge_pruned_total", "What retention has deleted: actions, deliveries, messages.");

/// Log lines that could not be written.
pub const LOG_LINES_DROPPED: Metric = counter(
    "quarantine_bridge_log_lines_dropped_total",
    "Log lines dropped because standard error is full, broken, or read too slowly.",
);

/// Sendings of messages to callbacks, by callback and result.
pub const CALLBACK_SENDINGS: Metric = counter(
    "quarantine_bridge_callback_sendings_total",
    "Sendings of messages to callbacks, by callback and result: delivered, or why not.",
);

/// Messages to callbacks that are kept, by callback and state.
pub const CALLBACK_MESSAGES: Metric =
    gauge("quarantine_bridge_callback_messages", "Messages to callbacks, by callback and state.");

/// Age of the oldest message that a callback has not taken yet.
pub const CALLBACK_OLDEST: Metric = gauge(
    "quarantine_bridge_callback_oldest_queued_seconds",
    "Age of the oldest message that is to be sent to a callback, by callback; 0 if there is none.",
);

/// Traces of actions that have ended, by result: sent, dropped.
pub const TRACES: Metric = counter(
    "quarantine_bridge_traces_total",
    "Traces of actions that have ended, by result: sent, or dropped because the collector refused them or was too far behind.",
);

/// How many listen to events.
pub const EVENT_LISTENERS: Metric = gauge("quarantine_bridge_event_listeners", "Open streams of events.");

/// All of them.
pub(super) const ALL: &[Metric] = &[
    BUILD_INFO,
    CONNECTIONS_REFUSED,
    TLS_CERTIFICATE_EXPIRY,
    TLS_RELOADS,
    CONFIG_RELOAD_FAILED,
    CONFIG_LOADED,
    CLOCK_SET_BACK,
    STORE_ROOM,
    STORE_ROOM_MIN,
    AUDIT_ENTRIES,
    AUDIT_CHECKPOINT,
    PRUNED,
    LOG_LINES_DROPPED,
    CALLBACK_SENDINGS,
    CALLBACK_MESSAGES,
    CALLBACK_OLDEST,
    TRACES,
    EVENT_LISTENERS,
];
