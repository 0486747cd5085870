//! quarantine-bridge: a signed alert comes in over HTTP, and the file it names is stopped and quarantined on
//! the device it names, exactly once, with a record of why.
//!
//! The modules stand in the order in which an alert meets them. ARCHITECTURE.md draws the way.

pub mod alert;
pub mod audit;
pub mod budget;
pub mod callbacks;
pub mod checkpoints;
pub mod cli;
pub mod clock;
pub mod config;
pub mod defender;
pub mod dispatch;
pub mod graph;
pub mod http;
pub mod ingest;
pub mod kill_switch;
pub mod mapping;
pub mod microsoft;
pub mod notify;
pub mod oidc;
pub mod outgoing;
pub mod policy;
pub mod public_url;
pub mod relay;
pub mod retention;
pub mod simulator;
pub mod spool;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod undo;
