//! Everything that can go wrong with a request, in one table (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::store::StoreError;

/// Kinds of problems. Callers depend on their words and statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// A query parameter is wrong.
    InvalidParameter,
    /// The body is not JSON that is taken.
    InvalidJson,
    /// The body of a request to the API is not of its form.
    InvalidBody,
    /// The caller is not known. Says no more, on purpose.
    Unauthorized,
    /// The token does not allow it.
    Forbidden,
    /// There is nothing there.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// The body did not come whole and in time.
    RequestTimeout,
    /// Another body came under the same delivery id.
    Conflict,
    /// The action does not wait to be completed, or not by this.
    NotCompletable,
    /// The action is over and cannot be cancelled.
    NotCancellable,
    /// The action is not tried again.
    NotRetryable,
    /// Nothing was quarantined that could be undone.
    NotUndoable,
    /// The signal file keeps the kill switch on.
    SignalFile,
    /// The action does not wait for a person's decision, or not for this.
    NotApprovable,
    /// No links are made here.
    LinksOff,
    /// The source is not configured any more, or not in this way.
    SourceUnknown,
    /// The callback wants nothing any more, or is not configured any more.
    CallbackClosed,
    /// The delivery is no payload that a format reads.
    NotReplayable,
    /// Another request under the same idempotency key is being answered.
    StillRunning,
    /// The action was there, and has been deleted.
    Gone,
    /// The idempotency key was used for another request.
    KeyReused,
    /// The body is too long.
    TooLarge,
    /// The body is not of a type that is taken.
    UnsupportedMediaType,
    /// No alert in the body can become an action.
    Unmappable,
    /// The store cannot be written or read.
    StoreUnavailable,
    /// More is going on than can be served.
    Busy,
    /// The keys of a token's issuer are not known.
    IssuerUnavailable,
    /// The source has delivered more than it may.
    OverQuota,
    /// Too many actions are unfinished.
    QueueFull,
    /// As many listen to events as may.
    TooManyListeners,
    /// The service is not ready.
    NotReady,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The kind.
    pub kind: ProblemKind,
    /// Last part of its `type`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Its `title`.
    pub title: &'static str,
    /// Seconds to wait before trying again, if that may help.
    pub retry_after: Option<u32>,
}

const fn row(kind: ProblemKind, code: &'static str, status: u16, title: &'static str) -> Row {
    Row { kind, code, status, title, retry_after: None }
}

const fn retry(row: Row, seconds: u32) -> Row {
    Row { retry_after: Some(seconds), ..row }
}

/// All kinds of problems.
pub const TABLE: &[Row] = &[
    row(ProblemKind::InvalidParameter, "invalid-parameter", 400, "A parameter is wrong."),
    row(ProblemKind::InvalidJson, "invalid-json", 400, "The body is not JSON that is taken here."),
    row(ProblemKind::InvalidBody, "invalid-body", 400, "The body is not of its form."),
    row(ProblemKind::Unauthorized, "unauthorized", 401, "The request is not authenticated."),
    row(ProblemKind::Forbidden, "forbidden", 403, "The token does not allow this."),
    row(ProblemKind::NotFound, "not-found", 404, "There is nothing here."),
    row(ProblemKind::MethodNotAllowed, "method-not-allowed", 405, "Not with this method."),
    row(ProblemKind::RequestTimeout, "request-timeout", 408, "The body did not come whole and in time."),
    row(ProblemKind::Conflict, "conflict", 409, "Another body came under the same delivery id."),
    row(ProblemKind::NotCompletable, "not-completable", 409, "The action does not wait for this."),
    row(ProblemKind::NotCancellable, "not-cancellable", 409, "The action is over."),
    row(ProblemKind::NotRetryable, "not-retryable", 409, "The action is not tried again."),
    row(ProblemKind::NotUndoable, "not-undoable", 409, "There is nothing to undo."),
    row(ProblemKind::SignalFile, "signal-file", 409, "The signal file keeps the kill switch on."),
    row(ProblemKind::NotApprovable, "not-approvable", 409, "The action does not wait for this decision."),
    row(ProblemKind::LinksOff, "links-off", 409, "No links are made here."),
    row(ProblemKind::SourceUnknown, "source-unknown", 409, "The source is not configured any more."),
    row(ProblemKind::CallbackClosed, "callback-closed", 409, "The callback cannot be told anything now."),
    row(ProblemKind::NotReplayable, "not-replayable", 409, "The delivery cannot be read again."),
    row(ProblemKind::StillRunning, "still-running", 409, "The same request is being answered."),
    row(ProblemKind::Gone, "gone", 410, "The action has been deleted."),
    row(ProblemKind::TooLarge, "too-large", 413, "The body is too long."),
    row(ProblemKind::UnsupportedMediaType, "unsupported-media-type", 415, "The body is not plain JSON."),
    row(ProblemKind::Unmappable, "unmappable", 422, "No alert in the body can become an action."),
    row(ProblemKind::KeyReused, "key-reused", 422, "The idempotency key was used for another request."),
    retry(row(ProblemKind::StoreUnavailable, "store-unavailable", 503, "Nothing can be stored now."), 5),
    retry(row(ProblemKind::Busy, "busy", 503, "Too much is going on."), 2),
    retry(
        row(ProblemKind::IssuerUnavailable, "issuer-unavailable", 503, "The token cannot be judged now."),
        10,
    ),
    retry(row(ProblemKind::OverQuota, "over-quota", 503, "The source delivers more than it may."), 1),
    retry(row(ProblemKind::QueueFull, "queue-full", 503, "Too many actions are unfinished."), 30),
    retry(row(ProblemKind::TooManyListeners, "too-many-listeners", 503, "As many listen as may."), 30),
    retry(row(ProblemKind::NotReady, "not-ready", 503, "The service is not ready."), 2),
];

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Problem {
    row: Row,
    detail: String,
    members: Map<String, Value>,
    /// The methods that are allowed, where another was used.
    allow: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        // Every kind has a row; a test walks the table.
        let fallback = row(kind, "internal", 500, "Something is wrong with the service.");
        let row = TABLE.iter().find(|row| row.kind == kind).copied().unwrap_or(fallback);
        Self { row, detail: detail.into(), members: Map::new(), allow: None }
    }

    /// Adds a member of its own.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Says how long to wait before trying again, in whole seconds.
    pub(super) fn after(mut self, wait: SignedDuration) -> Self {
        let begun = u32::from(wait.subsec_nanos() > 0);
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(begun);
        self.row.retry_after = Some(seconds.max(1));
        self
    }

    /// Answers 429, for senders that say that they send again after it.
    pub(super) fn with_429(mut self) -> Self {
        self.row.status = StatusCode::TOO_MANY_REQUESTS.as_u16();
        self
    }

    /// The one answer to every caller who is not known.
    pub(crate) fn unauthorized() -> Self {
        Self::new(ProblemKind::Unauthorized, "The signature or token is missing or wrong.")
    }

    /// The one answer wherever there is nothing.
    pub(super) fn nothing_here() -> Self {
        Self::new(ProblemKind::NotFound, "")
    }

    /// The answer where another method is to be used.
    pub(crate) fn method_not_allowed(allow: &str) -> Self {
        let problem = Self::new(ProblemKind::MethodNotAllowed, format!("Use {allow}."));
        Self { allow: Some(allow.to_owned()), ..problem }
    }

    /// Writes the answer; `instance` names the request.
    pub(super) fn respond(&self, instance: Option<&str>) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.row.retry_after {
            response.insert_header(("Retry-After", seconds.to_string()));
        }
        if self.row.kind == ProblemKind::Unauthorized {
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        if let Some(method) = &self.allow {
            response.insert_header(("Allow", method.as_str()));
        }
        response.content_type("application/problem+json").body(self.body(instance).to_string())
    }

    /// Returns its status.
    pub(super) fn status(&self) -> u16 {
        self.row.status
    }

    /// Returns what it says about this one case, or its title.
    pub(super) fn text(&self) -> &str {
        if self.detail.is_empty() { self.row.title } else { &self.detail }
    }

    /// Returns how many seconds to wait before trying again, if that may help.
    pub(super) fn retry_after(&self) -> Option<u32> {
        self.row.retry_after
    }

    /// Returns what it says; `instance` names the request.
    pub(super) fn body(&self, instance: Option<&str>) -> Value {
        let mut body = self.members.clone();
        body.insert("type".to_owned(), json!(format!("urn:quarantine-bridge:problem:{}", self.row.code)));
        body.insert("title".to_owned(), json!(self.row.title));
        body.insert("status".to_owned(), json!(self.row.status));
        if !self.detail.is_empty() {
            body.insert("detail".to_owned(), json!(self.detail));
        }
        if let Some(instance) = instance {
            body.insert("instance".to_owned(), json!(format!("urn:uuid:{instance}")));
        }
        Value::Object(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.row.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.respond(None)
    }
}

impl From<StoreError> for Problem {
    /// The cause is for the log, not for the caller.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request could not use the store");
        Self::new(ProblemKind::StoreUnavailable, "Nothing was stored. Send it again later.")
    }
}

pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::nothing_here())
}
