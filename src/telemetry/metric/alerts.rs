//! Metrics of deliveries, of those who send them, and of what becomes of actions.

use super::{Metric, counter, gauge, histogram};

/// Deliveries by source and result: new, duplicate, conflict, refused, unavailable.
pub const DELIVERIES: Metric =
    counter("quarantine_bridge_deliveries_total", "Deliveries of proven senders, by source and result.");

/// Deliveries that were not believed, by source and reason.
pub const SIGNATURE_FAILURES: Metric = counter(
    "quarantine_bridge_signature_failures_total",
    "Deliveries that were not believed, by source and reason.",
);

/// Tokens of callers that opened nothing, by reason: ours, and those of the issuer.
pub const CALLER_FAILURES: Metric = counter(
    "quarantine_bridge_caller_failures_total",
    "Tokens that were not believed at the API, by reason: ours (unknown, wrong_secret, expired, revoked), and those of the issuer in [api.oidc] (token_*, keys_unavailable).",
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

/// Queued actions, by severity.
pub const QUEUE: Metric = gauge(
    "quarantine_bridge_queue",
    "Actions that wait for their call, by severity; unknown counts as informational.",
);

/// Age of the oldest action that waits to be sent, by state.
pub const OLDEST_WAITING: Metric = gauge(
    "quarantine_bridge_oldest_waiting_seconds",
    "Since when the oldest action is accepted that waits to be sent, in seconds, by state: accepted, resolving, queued; 0 if none does.",
);

/// Actions whose device or file could not be found, by source and reason.
pub const UNRESOLVED: Metric = counter(
    "quarantine_bridge_unresolved_total",
    "Actions whose device or file could not be found beyond doubt, by source and reason.",
);

/// Actions that share a machine action instead of calling.
pub const SHARED: Metric = counter(
    "quarantine_bridge_shared_total",
    "Actions that share the machine action of an earlier one instead of calling Defender.",
);

/// Whether the kill switch is on.
pub const KILL_SWITCH: Metric =
    gauge("quarantine_bridge_kill_switch", "1 while the kill switch is on and nothing is sent, else 0.");

/// Whether the breaker on blast radius is open.
pub const BLAST_BREAKER_OPEN: Metric = gauge(
    "quarantine_bridge_blast_breaker_open",
    "1 while the breaker on blast radius is open and every action needs a person's approval, else 0.",
);

/// All of them.
pub(super) const ALL: &[Metric] = &[
    DELIVERIES,
    SIGNATURE_FAILURES,
    CALLER_FAILURES,
    KEY_USES,
    KEY_LAST_USE,
    DELIVERIES_PUT_OFF,
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
    QUEUE,
    OLDEST_WAITING,
    UNRESOLVED,
    SHARED,
    KILL_SWITCH,
    BLAST_BREAKER_OPEN,
];
