//! Metrics of what is asked of Microsoft: tokens, calls, budgets, look-ups.

use super::{Metric, counter, gauge};

/// Calls of Defender, Graph and Entra ID, by API and HTTP status.
pub const DEFENDER_REQUESTS: Metric = counter(
    "quarantine_bridge_defender_requests_total",
    "Requests to Defender, Graph and Entra ID, by API and HTTP status; status none if no answer came.",
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

/// When the certificate ends that proves who asks for tokens.
pub const CREDENTIAL_EXPIRY: Metric = gauge(
    "quarantine_bridge_credential_expiry_timestamp_seconds",
    "When the certificate that proves who asks for tokens ends, in seconds since 1970, by API; absent without one.",
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

/// All of them.
pub(super) const ALL: &[Metric] = &[
    DEFENDER_REQUESTS,
    OUTCOMES,
    BUDGET_LEFT,
    BUDGET_USED,
    BUDGET_LIMIT,
    BUDGET_RESERVE,
    LOOKUPS,
    LOOKUPS_LEFT,
    CANCEL_CALLS,
    DEVICES_WAITED_FOR,
    LONGEST_WAIT,
    SENDING_PAUSED,
    BREAKER_OPEN,
    UNCERTAIN_AGE,
    RECONCILED,
    ROLES_MISSING,
    TOKEN_EXPIRY,
    CREDENTIAL_EXPIRY,
    ISSUER_FETCHES,
    ISSUER_KEYS_FETCHED,
    FETCHES,
    FETCHES_PENDING,
    SUBSCRIPTION_NOTICES,
];
