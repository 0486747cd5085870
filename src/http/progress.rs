//! Where a connection stands: in a head, in a request, or in what is left of a body.

use std::cell::Cell;
use std::fmt;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection may be without a request: idle and in the next head together.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(10);

/// The longest head, give or take a read. Senders' headers have some hundred bytes, a proxy's Client-Cert 4 KiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long the rest of a body may still come that was refused before its end, so that its sender reads the answer.
const LEFTOVER: Duration = Duration::from_secs(2);

/// How much goes on at once of what has no known end, so that few requests can hide behind it.
const CHUNKED_BYTES: usize = 256;

/// How much a body in chunks may have with all that is not body: sizes, extensions, trailers.
const CHUNKED_BYTES_MAX: usize = 1024 * 1024;

/// Where a connection stands; its requests move it on.
pub(super) struct Progress {
    phase: Cell<Phase>,
    /// Whoever reads waits for the answer to be given.
    reader: Cell<Option<Waker>>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("phase", &self.phase).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// A request's head is awaited.
    Head { until: Instant, bytes: usize, at_line_start: bool },
    /// A request is served; whoever reads its body has a limit of its own.
    Request { body: Body },
    /// The request was answered before all of its body had come.
    Leftover { until: Instant },
    /// The request is answered by a stream, whose end is the connection's.
    Stream,
}

/// What of a request's body has not come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// Nothing: it is there.
    None,
    /// So many bytes.
    Bytes(u64),
    /// Chunks till the last, of which so many bytes may come.
    Chunks(usize),
}

impl Body {
    /// One whose length is not known before its end.
    pub(super) fn chunked() -> Self {
        Self::Chunks(CHUNKED_BYTES_MAX)
    }
}

impl Progress {
    /// Begins with the first head.
    pub(super) fn new() -> Self {
        Self { phase: Cell::new(Phase::head()), reader: Cell::default() }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Says how many of these bytes go on to HTTP now, and counts on that: none of a request after this one.
    pub(super) fn pass(&self, bytes: &[u8]) -> usize {
        let (count, next) = self.phase.get().pass(bytes);
        self.phase.set(next);
        count
    }

    /// Is to be woken when the answer is given.
    pub(super) fn wake_after_answer(&self, reader: Waker) {
        self.reader.set(Some(reader));
    }

    /// A request's head is there.
    pub(super) fn begin(&self, body: Body) {
        self.phase.set(Phase::Request { body });
    }

    /// The request's body is there.
    pub(super) fn body_is_read(&self) {
        self.phase.set(Phase::Request { body: Body::None });
    }

    /// The request is being answered by a stream.
    pub(super) fn stream(&self) {
        self.phase.set(Phase::Stream);
    }

    /// The request is answered. Says whether the connection may serve another.
    pub(super) fn end(&self) -> bool {
        let has_leftover = match self.phase.get() {
            Phase::Stream => return false,
            Phase::Request { body: Body::None | Body::Bytes(0) } | Phase::Head { .. } => false,
            Phase::Request { .. } | Phase::Leftover { .. } => true,
        };
        let next = if has_leftover { Phase::Leftover { until: in_time(LEFTOVER) } } else { Phase::head() };
        self.phase.set(next);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        !has_leftover
    }
}

impl Phase {
    fn head() -> Self {
        Self::Head { until: in_time(BETWEEN_REQUESTS), bytes: 0, at_line_start: false }
    }

    /// Says whether no more is taken in.
    pub(super) fn is_too_long(self) -> bool {
        match self {
            Self::Head { bytes, .. } => bytes >= HEAD_BYTES_MAX,
            Self::Request { body: Body::Chunks(left) } => left == 0,
            Self::Request { body: Body::None | Body::Bytes(_) } | Self::Leftover { .. } | Self::Stream => {
                false
            }
        }
    }

    /// Says how many of these bytes go on, and the phase afterwards.
    fn pass(self, bytes: &[u8]) -> (usize, Self) {
        match self {
            Self::Head { until, bytes: before, at_line_start } => {
                let (count, at_line_start) = head_part(bytes, at_line_start);
                (count, Self::Head { until, bytes: before.saturating_add(count), at_line_start })
            }
            Self::Request { body: Body::None } | Self::Stream => (0, self),
            Self::Request { body: Body::Bytes(left) } => {
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                (count, Self::Request { body: Body::Bytes(left) })
            }
            Self::Request { body: Body::Chunks(left) } => {
                let count = bytes.len().min(CHUNKED_BYTES).min(left);
                (count, Self::Request { body: Body::Chunks(left.saturating_sub(count)) })
            }
            Self::Leftover { .. } => (bytes.len().min(CHUNKED_BYTES), self),
        }
    }
}

/// Counts the bytes up to the first empty line; says too whether the next byte begins a line.
fn head_part(bytes: &[u8], mut at_line_start: bool) -> (usize, bool) {
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if at_line_start => return (at.saturating_add(1), false),
            b'\n' => at_line_start = true,
            b'\r' => {}
            _ => at_line_start = false,
        }
    }
    (bytes.len(), at_line_start)
}

fn in_time(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}
