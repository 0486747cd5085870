//! Log lines: one a line on standard error, as JSON or as text. Nothing waits or fails because of whoever reads them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::alert::is_deceptive;

/// How many lines may wait for whoever reads them; more are dropped. One has some 300 bytes.
const WAITING_MAX: usize = 4_096;

/// How long the end waits for the last lines.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The framework logs each connection that ends early as an error, also where a client's bytes were no HTTP, and hands the same to
/// whoever serves: `http::listener` logs it as what it is.
const NOT_LOGGED: &str = "actix_http::h1::dispatcher=off";

/// Lines that could not be written. Standard error is one for the whole process, and so is this.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// Plain text, for people.
    Text,
}

/// Running logs. The last lines are written when it is dropped.
#[derive(Debug)]
#[must_use = "the last lines are written when it is dropped"]
pub struct Logs(SyncSender<Entry>);

/// What the thread that writes is sent.
#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Tell when all before it is written.
    Flush(SyncSender<()>),
}

/// Starts logging. A second call changes nothing. Fails if the thread that writes cannot be started.
pub fn start_logs(format: LogFormat, level: LevelFilter) -> io::Result<Logs> {
    let (entries, waiting) = sync_channel(WAITING_MAX);
    thread::Builder::new().name("log-writer".to_owned()).spawn(move || write_all(&waiting))?;
    let logs = Logs(entries.clone());
    let quiet = NOT_LOGGED.parse().map_err(io::Error::other)?;
    let filter = EnvFilter::default().add_directive(level.into()).add_directive(quiet);
    // What cannot be written is counted, not told: there is nowhere to tell it.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let builder = builder.with_writer(move || Line(entries.clone())).with_ansi(false);
    // Fails only if logging has been started already, as by tests that share a process.
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    };
    drop(started);
    Ok(logs)
}

/// Returns how many lines could not be written since the start of the process.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn count_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// Writes lines to standard error, for as long as somebody logs.
fn write_all(waiting: &Receiver<Entry>) {
    for entry in waiting {
        match entry {
            Entry::Line(line) => {
                // A full disk, or a reader that has gone.
                if io::stderr().write_all(&line).is_err() {
                    count_dropped();
                }
            }
            Entry::Flush(done) => {
                // Whoever waited may have given up.
                let _is_awaited = done.try_send(()).is_ok();
            }
        }
    }
}

/// One line on its way. To write it never fails and never waits.
struct Line(SyncSender<Entry>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Entry::Line(plain(line))).is_err() {
            count_dropped();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes out whatever would end a line early, move what is around it or hide itself: what others have said must not look like a
/// line of ours. The form is JSON's, so a line that is JSON stays so.
fn plain(line: &[u8]) -> Vec<u8> {
    let (text, end) = match line.split_last() {
        Some((b'\n', text)) => (text, "\n"),
        _ => (line, ""),
    };
    let is_plain = |b: &u8| (b' '..=b'~').contains(b);
    if text.iter().all(is_plain) {
        return line.to_vec();
    }
    let mut shown = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(text).chars() {
        if is_deceptive(c) {
            let mut units = [0; 2];
            shown.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown.push_str(end);
    shown.into_bytes()
}

impl Drop for Logs {
    fn drop(&mut self) {
        let (done, is_done) = sync_channel(1);
        // Whoever reads may stand still.
        let is_written =
            self.0.try_send(Entry::Flush(done)).is_ok() && is_done.recv_timeout(FLUSH_WITHIN).is_ok();
        if !is_written {
            count_dropped();
        }
    }
}
