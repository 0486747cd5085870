//! Every test of the service, through its public surface.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::assertions_on_result_states,
    clippy::too_many_lines,
    reason = "a panic is a failed test, and a test may be a long table"
)]

mod api;
mod approvals;
mod audit;
mod audit_mutations;
mod backpressure;
mod blast_breaker;
mod breaker;
mod budget;
mod budget_api;
mod budget_simulation;
mod callbacks;
mod canaries;
mod cancel;
mod cancel_step;
mod cli;
mod client;
mod clouds;
mod complete;
mod connections;
mod contract;
mod credentials;
mod damage;
mod dispatch;
mod doctor;
mod documents;
mod events;
mod expiry;
mod formats;
mod formats_command;
mod gates;
mod graph;
mod guards;
mod harness;
mod hooks;
mod hostile;
mod ingest;
mod intents;
mod jaq;
mod jwt;
mod jwt_source;
mod kill_switch;
mod links;
mod logs;
mod lookups;
mod metrics;
mod notify;
mod oidc;
mod openc2;
mod outcome;
mod pairing;
mod place;
mod policy;
mod policy_command;
mod policy_property;
mod policy_pure;
mod principals;
mod programs;
mod promote;
mod queue;
mod reconcile;
mod relay;
mod reload;
mod requests;
mod resolve;
mod restore;
mod retention;
mod retry;
mod room;
mod rotation;
mod schemes;
mod secrets;
mod senders;
mod settle;
mod sharing;
mod simulation;
mod simulator;
mod sources;
mod spool;
mod store;
mod support;
mod tidy;
mod tls;
mod tokens;
mod traceparent;
mod traces;
mod traps;
mod undo;
mod values;
mod waiting;
