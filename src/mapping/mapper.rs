//! The threads that format programs run on, and the watchdog over each run.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::{Cancel, Format, MapError, Mapped, RunError, map};

/// How long one payload may wait and take: a delivery is answered within a second. The fuel of a run lasts about a tenth
/// of it, so only a machine that is overloaded comes this far.
const PATIENCE: Duration = Duration::from_millis(800);

/// Stack for running programs: the interpreter recurses as deep as a program is high, in a debug build by
/// some 10 KiB a level.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// How many payloads may wait for one thread.
const WAITING_MAX: usize = 256;

/// Reads payloads on threads of its own, so that no program can hold up the server.
#[derive(Debug, Clone)]
pub struct Mapper {
    threads: Arc<[mpsc::Sender<Request>]>,
    next: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Request {
    format: Arc<Format>,
    payload: Bytes,
    cancel: Cancel,
    answer: oneshot::Sender<Result<Mapped, MapError>>,
}

/// Why a payload was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapperError {
    /// It was looked at, and this is wrong with it.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Every thread has more to do than it should.
    #[error("too many payloads wait to be read")]
    Busy,
    /// It waited for a thread, or its run took, too long. What a program may do is limited by fuel, not by time, so this
    /// says nothing about the payload.
    #[error("the payload was not read within 800 ms: the machine does too much else")]
    TooSlow,
}

impl Mapper {
    /// Starts the threads. They end when the last handle is dropped.
    pub fn start(threads: usize) -> io::Result<Self> {
        let start = |index: usize| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            let name = format!("mapper-{index}");
            let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES);
            thread.spawn(move || serve(receiver))?;
            Ok(sender)
        };
        let threads: io::Result<Vec<_>> = (0..threads.max(1)).map(start).collect();
        Ok(Self { threads: threads?.into(), next: Arc::default() })
    }

    /// Reads one payload.
    pub async fn map(&self, format: Arc<Format>, payload: Bytes) -> Result<Mapped, MapperError> {
        let (answer, answered) = oneshot::channel();
        let cancel = Cancel::default();
        let request = Request { format, payload, cancel: cancel.clone(), answer };
        self.hand_over(request)?;
        match time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => Ok(result?),
            // The thread is gone: it can only have been lost with this request.
            Ok(Err(_)) => Err(MapError::Program(RunError::Broken).into()),
            Err(_) => {
                cancel.stop();
                Err(MapperError::TooSlow)
            }
        }
    }

    /// Gives a request to the next thread in turn, or to another if that one is busy.
    fn hand_over(&self, mut request: Request) -> Result<(), MapperError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turns = self.threads.iter().cycle().skip(first.checked_rem(self.threads.len()).unwrap_or(0));
        for thread in turns.take(self.threads.len()) {
            match thread.try_send(request) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                    request = back;
                }
            }
        }
        Err(MapperError::Busy)
    }
}

/// Runs work that reads payloads on a thread with the stack that it needs, and waits for it.
pub fn on_mapping_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work)?;
        // What a panic carries is for the panic hook, which has told it.
        thread.join().map_err(|_panic| io::Error::other("the thread that reads payloads panicked"))
    })
}

fn serve(mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.blocking_recv() {
        // The asker may have given up while it waited; then nobody wants the answer.
        if request.cancel.is_stopped() {
            continue;
        }
        let result = map(&request.format, &request.payload, &request.cancel);
        drop(request.answer.send(result));
    }
}
