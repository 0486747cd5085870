//! The network between the bridge and Microsoft: requests under way, in the hands of the scheduler.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use bytes::Bytes;
use quarantine_bridge::microsoft::{Answer, Exchange, Failure, Play};
use quarantine_bridge::simulator::{Answered, Place, Request};
use tokio::sync::oneshot;

/// A request under way, or its answer.
pub(crate) struct Message {
    pub(crate) number: u64,
    pub(crate) place: Place,
    pub(crate) request: Request,
    /// When it left, in milliseconds since the beginning; set when the scheduler first sees it.
    pub(crate) left_at: u64,
    /// What a quarantine call is for.
    pub(crate) call: Option<Call>,
    /// What came back, once it has arrived.
    pub(crate) answer: Option<Result<Answer, Failure>>,
    /// The bridge, if it still waits.
    teller: Option<oneshot::Sender<Result<Answer, Failure>>>,
}

/// The intent that a quarantine call belongs to, by the order in which actions came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) action: i64,
    pub(crate) attempt: i64,
}

/// Where the bridge puts its requests.
pub(crate) type Outbox = Sender<Message>;

/// Makes an exchange that puts every request into the outbox.
pub(crate) fn exchange(outbox: &Outbox) -> Exchange {
    let outbox = outbox.clone();
    let play: Arc<Play> = Arc::new(move |request: reqwest::Request| {
        let (teller, told) = oneshot::channel();
        outbox.send(message(&request, teller)).unwrap();
        Box::pin(async move {
            // A process that is gone learns nothing more.
            told.await.unwrap_or_else(|_| Err(Failure::Lost("nobody answers".to_owned())))
        })
    });
    Exchange::Played(play)
}

fn message(request: &reqwest::Request, teller: oneshot::Sender<Result<Answer, Failure>>) -> Message {
    let url = request.url();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let authorization = request.headers().get("authorization").map(|it| it.to_str().unwrap().to_owned());
    let body = request.body().and_then(|body| body.as_bytes()).map(Bytes::copy_from_slice);
    let place = match url.path() {
        path if path.ends_with("/token") => Place::Token,
        path if path.ends_with("/StopAndQuarantineFile") => Place::Quarantine,
        path if path.ends_with("/cancel") => Place::Cancel,
        path if path.starts_with("/api/machineactions") => Place::MachineActions,
        path if path.starts_with("/api/machines") => Place::Machines,
        path if path.starts_with("/api/files") => Place::Files,
        path => panic!("a request for {path}"),
    };
    Message {
        number: 0,
        place,
        request: Request {
            method: request.method().to_string(),
            base: url.origin().ascii_serialization(),
            path: format!("{}{query}", url.path()),
            authorization,
            body: body.unwrap_or_default(),
            ..Request::default()
        },
        left_at: 0,
        call: None,
        answer: None,
        teller: Some(teller),
    }
}

impl Message {
    /// Tells the bridge what came of its request.
    pub(crate) fn tell(&mut self, result: Result<Answer, Failure>) {
        if let Some(teller) = self.teller.take() {
            drop(teller.send(result));
        }
    }

    /// Forgets the bridge, which is gone; what is under way may still arrive.
    pub(crate) fn orphan(&mut self) {
        self.teller = None;
    }

    pub(crate) fn is_orphan(&self) -> bool {
        self.teller.is_none()
    }

    pub(crate) fn word(&self) -> &'static str {
        match self.place {
            Place::Token => "token",
            Place::Quarantine => "quarantine",
            Place::MachineActions => "list",
            Place::Cancel => "cancel",
            Place::Machines => "machines",
            Place::Files => "files",
            Place::FileStats => "file stats",
            Place::FileMachines => "file machines",
            Place::Alerts => "alerts",
        }
    }
}

/// What reaches the bridge of an answer.
pub(crate) fn received(answered: Answered) -> Result<Answer, Failure> {
    if answered.hangs_up {
        return Err(Failure::Lost("the connection was dropped".to_owned()));
    }
    let retry_after = answered.headers.iter().find(|(name, _)| *name == "Retry-After");
    let retry_after = retry_after.map(|(_, value)| value.clone());
    Ok(Answer { status: answered.status, retry_after, body: answered.body })
}
