//! What is answered: OpenC2's response, in a message if the command came in one (HTTPS transfer 1.0 and 1.1).

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::alert::State;
use crate::store::ActionRecord;

use super::super::body;
use super::super::problem::Problem;

const CONTENT_TYPE: &str = "application/openc2+json;version=1.0";

/// The longest id of a request that is taken, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The status of a command that is not done yet.
const PROCESSING: u16 = 102;

/// A command that is not done, and why.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    text: Cow<'static, str>,
    retry_after: Option<u32>,
}

impl Refused {
    fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    /// It is not of its form.
    pub(super) fn malformed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, text)
    }

    /// It is for something that is not here.
    pub(super) fn not_found(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, text)
    }

    /// It is good OpenC2, and not done here.
    pub(super) fn not_done(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(501, text)
    }

    /// In the words of the profile (endpoint response 1.0, 2.3.3.2).
    pub(super) fn no_device() -> Self {
        Self::malformed("Downstream device argument not populated")
    }
}

impl From<Problem> for Refused {
    /// OpenC2 has fewer statuses than HTTP.
    fn from(problem: Problem) -> Self {
        let status = match problem.status() {
            401 => 401,
            403 => 403,
            404 | 410 => 404,
            // Another request under the same id is being answered, or the source is gone: it may be there later.
            409 | 429 | 503 => 503,
            500.. => 500,
            _ => 400,
        };
        let text = match problem.status() {
            422 => Cow::from("Another command came under this command_id. Nothing was stored."),
            _ => problem.text().to_owned().into(),
        };
        Self { status, text, retry_after: problem.retry_after() }
    }
}

/// A response.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) text: Option<String>,
    pub(super) results: Option<Value>,
    /// Where to ask how the action stands.
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<u32>,
    /// How long the answer was waited for, if it was.
    pub(super) applied: Option<u64>,
}

impl Response {
    /// That the command has come.
    pub(super) fn acknowledged() -> Self {
        Self { status: PROCESSING, ..Self::default() }
    }

    /// How an action stands. Only what is surely done is 200.
    pub(super) fn of(record: &ActionRecord) -> Self {
        let state = record.action.state;
        let why = record.history.last().map(|change| change.why.clone()).unwrap_or_default();
        let (status, text) = match state {
            State::Succeeded => (200, None),
            State::Superseded if has_succeeded(record) => (200, Some(why)),
            State::Denied => (403, Some(format!("Denied: {why}"))),
            State::Shadowed => (403, Some(format!("Shadow mode, nothing was sent: {why}"))),
            State::Failed | State::Rejected => (500, Some(format!("Cannot access file: {why}"))),
            State::TimedOut => (500, Some(format!("Cannot access device: {why}"))),
            State::Cancelled | State::Expired | State::Superseded => {
                (500, Some(format!("It is {state}: {why}")))
            }
            State::Held => (PROCESSING, Some(format!("It waits for a person: {why}"))),
            State::Accepted
            | State::Resolving
            | State::Decided
            | State::Queued
            | State::Sending
            | State::Submitted
            | State::Uncertain => (PROCESSING, None),
        };
        Self { status, text, ..Self::default() }
    }

    /// Says whether the command is not done yet.
    pub(super) fn is_interim(&self) -> bool {
        self.status == PROCESSING
    }
}

/// Says whether somebody else's machine action has done what this one should do.
fn has_succeeded(record: &ActionRecord) -> bool {
    record.superseded_by.as_ref().is_some_and(|by| by.status.eq_ignore_ascii_case("Succeeded"))
}

impl From<Refused> for Response {
    fn from(refused: Refused) -> Self {
        let Refused { status, text, retry_after } = refused;
        Self { status, text: Some(text.into_owned()), retry_after, ..Self::default() }
    }
}

/// What a command came in, and its response goes in.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    is_message: bool,
    /// The id that the message has.
    in_message: Option<String>,
    /// The id that HTTP's header has.
    in_header: Option<String>,
}

/// As much of a body as tells in what form to answer.
#[derive(Deserialize, Default)]
struct Outside {
    headers: Option<OutsideHeaders>,
    body: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct OutsideHeaders {
    request_id: Option<String>,
}

impl Envelope {
    /// Looks at a request, whatever its body is.
    pub(super) fn of(request: &HttpRequest, body: &[u8]) -> Self {
        let outside: Outside = serde_json::from_slice(body).unwrap_or_default();
        let in_message = outside.headers.and_then(|headers| headers.request_id);
        let in_header = body::headers(request).only("x-request-id").ok().map(ToOwned::to_owned);
        Self {
            is_message: outside.body.is_some(),
            in_message: in_message.filter(|id| is_sound(id)),
            in_header: in_header.filter(|id| is_sound(id)),
        }
    }

    /// Returns the id of the request.
    pub(super) fn request_id(&self) -> Option<&str> {
        self.in_message.as_deref().or(self.in_header.as_deref())
    }

    /// Writes a response.
    pub(super) fn write(&self, response: &Response, now: Timestamp) -> HttpResponse {
        // HTTP has no last answer of 102.
        let status = if response.is_interim() { 200 } else { response.status };
        let mut answer = HttpResponse::build(StatusCode::from_u16(status).unwrap_or_default());
        if let Some(id) = &self.in_header {
            answer.insert_header(("X-Request-Id", id.as_str()));
        }
        if status == 401 {
            answer.insert_header(("WWW-Authenticate", "Bearer"));
        }
        if let Some(location) = &response.location {
            answer.insert_header(("Location", location.as_str()));
        }
        if let Some(seconds) = response.retry_after {
            answer.insert_header(("Retry-After", seconds.to_string()));
        }
        if let Some(seconds) = response.applied {
            answer.insert_header(("Preference-Applied", format!("wait={seconds}")));
        }
        answer.content_type(CONTENT_TYPE).body(self.body(response, now).to_string())
    }

    fn body(&self, response: &Response, now: Timestamp) -> Value {
        let mut content = json!({"status": response.status});
        if let Value::Object(members) = &mut content {
            members.extend(response.text.as_ref().map(|text| ("status_text".to_owned(), json!(text))));
            members.extend(response.results.as_ref().map(|it| ("results".to_owned(), it.clone())));
        }
        if !self.is_message {
            return content;
        }
        let mut headers = json!({"created": now.as_millisecond()});
        if let (Value::Object(members), Some(id)) = (&mut headers, self.request_id()) {
            members.insert("request_id".to_owned(), json!(id));
        }
        json!({"headers": headers, "body": {"openc2": {"response": content}}})
    }
}

/// Says whether an id can stand in a header.
fn is_sound(id: &str) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
