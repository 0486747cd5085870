//! Tools of the system that inject what no test code in the product could: strace, faketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::SignedDuration;

use crate::harness::binary::command;

/// Fails if a tool is missing, with what to install: a family that cannot strike must not pass.
pub(crate) fn require(program: &str, package: &str) {
    let found = Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "{program} is not installed: apt-get install {package}");
}

/// What strace does to the service.
#[derive(Debug, Clone)]
pub(crate) struct Inject {
    /// System calls, separated by commas.
    pub(crate) calls: String,
    /// What happens at which of them, such as `error=EIO:when=3`. Each thread counts for itself.
    pub(crate) what: String,
    /// Only calls on this file.
    pub(crate) path: Option<PathBuf>,
}

impl Inject {
    pub(crate) fn new(calls: &str, what: impl Into<String>) -> Self {
        Self { calls: calls.to_owned(), what: what.into(), path: None }
    }

    pub(crate) fn on(self, path: PathBuf) -> Self {
        Self { path: Some(path), ..self }
    }

    /// `serve` under strace, which writes what it did to this file. The service is the child; strace watches from aside.
    pub(crate) fn serve(&self, trace: &Path) -> Command {
        let serve = command(&["serve"]);
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-qq", "-e", "signal=none", "-o"]).arg(trace);
        // With it, the service does not stand still at other system calls, but no signal comes.
        if !self.what.contains("signal=") {
            strace.arg("--seccomp-bpf");
        }
        strace.args(["-e", &format!("trace={}", self.calls)]);
        strace.args(["-e", &format!("inject={}:{}", self.calls, self.what)]);
        if let Some(path) = &self.path {
            strace.arg("-P").arg(path);
        }
        strace.arg(serve.get_program()).args(serve.get_args());
        strace
    }
}

/// How many system calls strace changed.
pub(crate) fn injected(trace: &Path) -> usize {
    fs::read_to_string(trace).unwrap_or_default().matches("(INJECTED)").count()
}

/// A wall clock that the campaign moves. The monotonic clock goes on as it is, as when a real clock is set.
pub(crate) struct WallClock(PathBuf);

impl WallClock {
    pub(crate) fn new(file: PathBuf) -> Self {
        require("faketime", "faketime");
        let clock = Self(file);
        clock.set(SignedDuration::ZERO);
        clock
    }

    /// Sets it so far ahead of the true time.
    pub(crate) fn set(&self, ahead: SignedDuration) {
        // Renamed into place: nobody reads half of it.
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{:+}\n", ahead.as_secs())).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    /// `serve` with this clock.
    pub(crate) fn serve(&self) -> Command {
        let mut serve = command(&["serve"]);
        serve.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", &self.0);
        serve.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        serve
    }
}

/// Where Debian keeps the library: in a folder named after the machine.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let mut files = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    files.find(|file| file.exists()).expect("apt-get install libfaketime")
}
