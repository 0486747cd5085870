//! Standard output and standard error that are full, broken or closed.

use std::fs::OpenOptions;
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use futures_util::future::join_all;

use crate::audit;
use crate::harness::binary::{Serving, command};
use crate::report::{Plan, Row};
use crate::site::{FAST, Site};

const ALERTS: usize = 100;

/// Where the log goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Every write fails with ENOSPC.
    Full,
    /// Every write fails with EPIPE: whoever read has gone.
    Broken,
    /// The file descriptors are closed.
    Closed,
    /// Nobody reads: a write never ends.
    Stalled,
}

pub(crate) async fn run(_plan: Plan) -> Vec<Row> {
    join_all([
        serve_with("stdout and stderr full (/dev/full)", Output::Full),
        serve_with("their reader gone (EPIPE)", Output::Broken),
        serve_with("both closed", Output::Closed),
        serve_with("their reader stands still", Output::Stalled),
    ])
    .await
}

async fn serve_with(name: &str, output: Output) -> Row {
    let mut row = Row::new(name);
    let mut site = Site::new(&FAST.replace("\"warn\"", "\"debug\"")).await;
    let (reader, writer) = pipe().unwrap();
    let kept = (output == Output::Stalled).then_some(reader);
    let mut serving = start(&site, output, writer.into());
    site.installation.wait_until_ready().await;
    site.send_all(0..ALERTS).await;
    let records = site.audit(&mut row).await;
    audit::require_success(&records, &mut row);
    row.require(serving.has_ended().is_none(), "it does not serve any more");
    row.trials = ALERTS;
    // Lines to a closed standard error are lost without an error; those that nobody reads may still be waiting.
    if matches!(output, Output::Full | Output::Broken) {
        let dropped = dropped_lines(&site).await;
        row.note(format!("{dropped} log lines dropped, counted by the metric"));
        row.require(dropped > 0, "no dropped line is counted");
    }
    row.require(serving.terminate().await == Some(0), "no clean end");
    drop(kept);
    row
}

fn start(site: &Site, output: Output, writer: OwnedFd) -> Serving {
    let mut serve = command(&["serve"]);
    match output {
        Output::Full => {
            let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
            serve.stdout(full()).stderr(full());
        }
        Output::Broken | Output::Stalled => {
            serve.stdout(writer.try_clone().unwrap()).stderr(writer);
        }
        Output::Closed => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"]).stdin(Stdio::null());
            shell.arg(serve.get_program()).args(serve.get_args());
            serve = shell;
        }
    }
    site.installation.spawn(serve)
}

async fn dropped_lines(site: &Site) -> u64 {
    let text = site.metrics().await;
    let line = text.lines().find_map(|line| line.strip_prefix("quarantine_bridge_log_lines_dropped_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}
