//! Log lines: one event a line on standard error, as JSON or as text.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// Plain text, for people.
    Text,
}

/// Starts logging. A second call changes nothing.
pub fn start_logs(format: LogFormat, level: LevelFilter) {
    let filter = EnvFilter::default().add_directive(level.into());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if logging has been started already, as by tests that share a process.
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    };
    drop(started);
}
