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

/// Connections that were closed before HTTP, by reason: `address`, `tls`, `tls_timeout`.
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

/// When each configured key was last used.
pub const KEY_LAST_USE: Metric = gauge(
    "quarantine_bridge_key_last_use_timestamp_seconds",
    "When each configured key was last believed, in seconds since 1970; 0 if not since the start.",
);

/// Deliveries that were answered "send it again later".
pub const DELIVERIES_PUT_OFF: Metric = counter(
    "quarantine_bridge_deliveries_put_off_total",
    "Deliveries to be sent again later, by source and reason: failures, over_quota, queue_full, mapper, store, late.",
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

/// Alerts that could not become actions, by source and reason.
pub const ALERTS_REFUSED: Metric = counter(
    "quarantine_bridge_alerts_refused_total",
    "Alerts that could not become actions, by source and reason.",
);

/// Time from the last byte of a delivery to its answer.
pub const ACCEPT_DURATION: Metric = histogram(
    "quarantine_bridge_accept_duration_seconds",
    "Time from the last byte of a delivery to its answer, in seconds.",
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

/// Actions that have waited for a person for long, by how long at least.
pub const HELD_LONG: Metric = gauge(
    "quarantine_bridge_held_long",
    "Actions that have waited for a person for so long or longer: 15m, 60m, 240m. After 24 h they expire.",
);

/// One-time links, by result: made, shown, approved, kept, denied, already, refused, unknown.
pub const LINKS: Metric = counter(
    "quarantine_bridge_links_total",
    "One-time links, by result: made, shown, approved, kept (another must approve), denied, already, refused, unknown.",
);

/// Decisions of policy, by source and decision.
pub const DECISIONS: Metric =
    counter("quarantine_bridge_decisions_total", "Decisions of policy, by source and decision.");

/// What guards found against actions when they were decided, by guard and answer.
pub const GUARDS: Metric = counter(
    "quarantine_bridge_guards_total",
    "Guards that did not pass when an action was decided, by guard and answer.",
);

/// Calls of Defender, Graph and Entra ID, by API and HTTP status.
pub const DEFENDER_REQUESTS: Metric = counter(
    "quarantine_bridge_defender_requests_total",
    "Requests to Defender, Graph and Entra ID, by API and HTTP status; status none if no answer came.",
);

/// How many entries the audit has.
pub const AUDIT_ENTRIES: Metric = gauge("quarantine_bridge_audit_entries", "Entries in the audit.");

/// When the audit was last signed.
pub const AUDIT_CHECKPOINT: Metric = gauge(
    "quarantine_bridge_audit_checkpoint_timestamp_seconds",
    "When the last checkpoint of the audit was signed, in seconds since 1970; 0 if none was.",
);

/// Outcomes of quarantine calls.
pub const OUTCOMES: Metric = counter(
    "quarantine_bridge_outcomes_total",
    "Outcomes of quarantine calls, as far as they are known when the call ends.",
);

/// Calls that the budget has left in each window.
pub const BUDGET_LEFT: Metric =
    gauge("quarantine_bridge_budget_left", "Quarantine calls left in Defender's windows, by window.");

/// Calls that the windows hold, by part of the API and window.
pub const BUDGET_USED: Metric = gauge(
    "quarantine_bridge_budget_used",
    "Calls in the windows of Defender's limits, by part of its API and window.",
);

/// Calls that the windows may hold, by part of the API and window.
pub const BUDGET_LIMIT: Metric = gauge(
    "quarantine_bridge_budget_limit",
    "Calls that a window may hold, by part of Defender's API and window.",
);

/// Calls of the windows that are kept for high and critical, by part of the API and window.
pub const BUDGET_RESERVE: Metric = gauge(
    "quarantine_bridge_budget_reserve",
    "Calls of a window that are kept for high and critical, by part of Defender's API and window.",
);

/// Queued actions, by severity.
pub const QUEUE: Metric = gauge(
    "quarantine_bridge_queue",
    "Actions that wait for their call, by severity; unknown counts as informational.",
);

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

/// Cancel calls of Defender by outcome.
pub const CANCEL_CALLS: Metric = counter(
    "quarantine_bridge_cancel_calls_total",
    "Calls that ask Defender to cancel a machine action, by outcome.",
);

/// Machine actions that wait for their devices, by source.
pub const DEVICES_WAITED_FOR: Metric = gauge(
    "quarantine_bridge_machine_actions_waiting_for_device",
    "Machine actions that have been Pending at Defender for 2 minutes or longer, by source.",
);

/// Age of the oldest machine action that waits for its device, by source.
pub const LONGEST_WAIT: Metric = gauge(
    "quarantine_bridge_machine_actions_oldest_pending_seconds",
    "Age of the oldest machine action that has been Pending at Defender for 2 minutes or longer, by source.",
);

/// Whether sending is paused, by reason; 1 or 0.
pub const SENDING_PAUSED: Metric = gauge(
    "quarantine_bridge_sending_paused",
    "1 while no quarantine call may leave: a breaker is open, or the list was not read yet after the start; else 0.",
);

/// Whether an upstream is left alone, by upstream, state and reason.
pub const BREAKER_OPEN: Metric = gauge(
    "quarantine_bridge_breaker_open",
    "1 while an upstream (quarantine, machine_actions, token) is left alone or probed, else 0; by state and reason.",
);

/// Actions that share a machine action instead of calling.
pub const SHARED: Metric = counter(
    "quarantine_bridge_shared_total",
    "Actions that share the machine action of an earlier one instead of calling Defender.",
);

/// Age of the oldest action whose call has an unknown outcome.
pub const UNCERTAIN_AGE: Metric = gauge(
    "quarantine_bridge_uncertain_oldest_seconds",
    "Since when the oldest uncertain action is uncertain, in seconds; 0 if none is. Above 900, a person must look.",
);

/// How reconciliation of uncertain actions ended, by result.
pub const RECONCILED: Metric =
    counter("quarantine_bridge_reconciled_total", "Uncertain actions settled by Defender's list, by result.");

/// Needed app roles that the last token lacked.
pub const ROLES_MISSING: Metric = gauge(
    "quarantine_bridge_token_roles_missing",
    "How many needed app roles the last token lacked, by API.",
);

/// When the current token expires.
pub const TOKEN_EXPIRY: Metric = gauge(
    "quarantine_bridge_token_expiry_timestamp_seconds",
    "When the current token expires, in seconds since 1970, by API.",
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

/// Fetches of alerts from Microsoft Graph, by source and result: fetched, again, failed.
pub const FETCHES: Metric = counter(
    "quarantine_bridge_fetches_total",
    "Fetches of alerts from Microsoft Graph, by source and result: fetched, again or failed.",
);

/// Alerts that are to be fetched.
pub const FETCHES_PENDING: Metric =
    gauge("quarantine_bridge_fetches_pending", "Alerts that are to be fetched from Microsoft Graph.");

/// Notices about subscriptions, by source and notice.
pub const SUBSCRIPTION_NOTICES: Metric = counter(
    "quarantine_bridge_subscription_notices_total",
    "Notices of Microsoft Graph about a subscription, by source and notice; a person must act on each.",
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

/// How many listen to events.
pub const EVENT_LISTENERS: Metric = gauge("quarantine_bridge_event_listeners", "Open streams of events.");

/// Whether the kill switch is on.
pub const KILL_SWITCH: Metric =
    gauge("quarantine_bridge_kill_switch", "1 while the kill switch is on and nothing is sent, else 0.");

/// Whether the breaker on blast radius is open.
pub const BLAST_BREAKER_OPEN: Metric = gauge(
    "quarantine_bridge_blast_breaker_open",
    "1 while the breaker on blast radius is open and every action needs a person's approval, else 0.",
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
    KEY_LAST_USE,
    DELIVERIES_PUT_OFF,
    CONFIG_RELOAD_FAILED,
    CONFIG_LOADED,
    ALERTS_REFUSED,
    ACCEPT_DURATION,
    SOURCE_LAST_DELIVERY,
    CLOCK_SKEW,
    STATE_CHANGES,
    ACTIONS,
    HELD_LONG,
    LINKS,
    DECISIONS,
    GUARDS,
    DEFENDER_REQUESTS,
    OUTCOMES,
    BUDGET_LEFT,
    BUDGET_USED,
    BUDGET_LIMIT,
    BUDGET_RESERVE,
    QUEUE,
    LOOKUPS,
    LOOKUPS_LEFT,
    UNRESOLVED,
    CANCEL_CALLS,
    DEVICES_WAITED_FOR,
    LONGEST_WAIT,
    SENDING_PAUSED,
    KILL_SWITCH,
    BLAST_BREAKER_OPEN,
    BREAKER_OPEN,
    SHARED,
    UNCERTAIN_AGE,
    RECONCILED,
    ROLES_MISSING,
    TOKEN_EXPIRY,
    ISSUER_FETCHES,
    ISSUER_KEYS_FETCHED,
    FETCHES,
    FETCHES_PENDING,
    SUBSCRIPTION_NOTICES,
    PRUNED,
    LOG_LINES_DROPPED,
    CALLBACK_SENDINGS,
    CALLBACK_MESSAGES,
    CALLBACK_OLDEST,
    EVENT_LISTENERS,
];
