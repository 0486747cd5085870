//! Every test of the service, through its public surface.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a failed test"
)]

mod api;
mod dispatch;
mod formats;
mod harness;
mod hooks;
mod ingest;
mod programs;
