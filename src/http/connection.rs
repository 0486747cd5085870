//! A client's connection: one request at a time, and no stalling in a head, between requests or in taking an answer.
//!
//! The framework limits the first head of a connection only, takes in a hundred and more requests that are sent
//! without waiting, and waits without end for a client to take its answer.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::dev::Extensions;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::ingest::ClientCertificate;

use super::certificate;
use super::places::Place;
use super::progress::{Body, Phase, Progress};

/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;

/// How long a client may take to take what the service has written, 32 KiB or a whole answer.
const ANSWER_TAKEN: Duration = Duration::from_secs(10);

/// What the bytes travel through.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The certificate that the client has proven by TLS.
    fn certificate(&self) -> Option<ClientCertificate> {
        let Self::Tls(stream) = self else {
            return None;
        };
        let chain = stream.get_ref().1.peer_certificates()?;
        chain.first().map(|der| certificate::read(der))
    }

    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream),
        }
    }
}

/// A connection with its limits.
pub(super) struct Connection {
    stream: Stream,
    progress: Rc<Progress>,
    /// What was read and has not gone on.
    ahead: BytesMut,
    /// Whether HTTP has something that it has not looked at.
    is_handed_on: bool,
    /// Ends the phase that it is in.
    phase_end: Pin<Box<Sleep>>,
    /// Ends a client that does not take its answer; there only while it does not.
    untaken: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(stream: Stream, place: Option<Place>) -> Self {
        Self {
            stream,
            progress: Rc::new(Progress::new()),
            ahead: BytesMut::new(),
            is_handed_on: false,
            phase_end: Box::pin(sleep(Duration::ZERO)),
            untaken: None,
            _place: place,
        }
    }

    /// Tells the connection's requests what is known of it.
    pub(super) fn tell(&self, data: &mut Extensions) {
        data.insert(Rc::clone(&self.progress));
        if let Some(certificate) = self.stream.certificate() {
            data.insert(certificate);
        }
    }

    /// Says whether a moment has come, and asks to be woken when it does.
    fn is_past(&mut self, until: Instant, cx: &mut Context<'_>) -> bool {
        if self.phase_end.deadline() != until {
            self.phase_end.as_mut().reset(until);
        }
        self.phase_end.as_mut().poll(cx).is_ready()
    }

    /// Reads something, if nothing is left from the last time. Nothing afterwards means that there is no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(self.stream.reader().poll_read(cx, &mut buffer))?;
            self.ahead.extend_from_slice(buffer.filled());
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for a client to go that only listens. What it asks meanwhile is not read.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            ready!(self.poll_fill(cx))?;
            if self.ahead.is_empty() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    "the listener has gone",
                )));
            }
        }
        Poll::Pending
    }

    /// Gives a client that does not take what was written some time.
    fn wait_for_client(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let timer = self.untaken.get_or_insert_with(|| Box::pin(sleep(ANSWER_TAKEN)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer"))
    }
}

impl AsyncRead for Connection {
    /// Hands on what belongs to one request, and ends the connection's bytes where a limit does.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.untaken.is_some() {
            // Who does not take answers gets no more questions in; `poll_flush` wakes.
            return Poll::Pending;
        }
        let phase = this.progress.phase();
        match phase {
            Phase::Request { body } => {
                this.progress.wake_after_answer(cx.waker().clone());
                if matches!(body, Body::None | Body::Bytes(0)) {
                    return Poll::Pending;
                }
            }
            Phase::Stream => return this.poll_gone(cx),
            Phase::Head { until, .. } | Phase::Leftover { until } => {
                if this.is_past(until, cx) {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        if std::mem::take(&mut this.is_handed_on) {
            // HTTP looks at what it has when nothing more is there, and others have their turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if phase.is_too_long() {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_fill(cx))?;
        let most = this.ahead.len().min(buffer.remaining());
        let count = this.progress.pass(this.ahead.get(..most).unwrap_or_default());
        buffer.put_slice(&this.ahead.split_to(count));
        this.is_handed_on = count > 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.stream.writer().poll_write(cx, bytes) {
            Poll::Pending => this.wait_for_client(cx).map(Err),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.stream.writer().poll_flush(cx) {
            Poll::Pending => this.wait_for_client(cx).map(Err),
            done @ Poll::Ready(_) => {
                if this.untaken.take().is_some() {
                    cx.waker().wake_by_ref();
                }
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.stream.writer().poll_shutdown(cx) {
            Poll::Pending => this.wait_for_client(cx).map(Err),
            done @ Poll::Ready(_) => done,
        }
    }
}
