//! Logs and metrics.

mod log;
pub mod metric;
mod metrics;

pub use log::{LogFormat, Logs, start_logs};
pub use metrics::{Labels, Metrics};
