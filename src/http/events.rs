//! `GET /v1/events`: changes of actions' states as they happen, as server-sent events.
//!
//! What is sent is read from the audit, which has each change in its transaction. The place in it is the event's id, so whoever comes
//! back with the last id goes on there, also after a restart. Nothing is kept for a listener: one who does not take what is sent is
//! let go, and resumes.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use tokio::time::sleep;
use url::form_urlencoded;

use crate::alert::{DeliveryId, SourceName, State, Steady, Traceparent, Who, from_millis};
use crate::audit::Entry;
use crate::ingest::VerifyError;
use crate::store::{AuditHead, AuditRow, StoreError};

use super::auth::{Caller, Shown};
use super::parameters::parse;
use super::problem::{Problem, ProblemKind};
use super::progress::Progress;
use super::{Context, body, view};

/// How many listeners there may be at once.
pub(super) const LISTENERS_MAX: usize = 32;

/// How often each looks. A command beside the service can change something too, so a wake-up would not do.
const EVERY: Duration = Duration::from_millis(500);

/// How long nothing may be sent: proxies end what is silent.
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(15);

/// How often it is looked whether the token of a listener who is told nothing is still good.
const CHECK: SignedDuration = SignedDuration::from_secs(15);

/// How long a listener that was let go waits before it comes back.
const RETRY_MILLIS: u32 = 3_000;

/// How many entries are read at once.
const PAGE: u32 = 100;

/// How many digits of an entry's digest its id has: they tell it from an entry that stands there after a restore.
const DIGEST_CHARS: usize = 8;

/// What a listener wants to hear of.
#[derive(Debug, Default)]
struct Wanted {
    after: Option<String>,
    source: Option<SourceName>,
    state: Option<State>,
}

/// Lets a caller listen.
pub(super) async fn listen(
    Caller(who): Caller,
    shown: Shown,
    request: HttpRequest,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted(&request)?;
    let place = match &wanted.after {
        Some(after) => known(after, &context).await?,
        None => Place::last(&context.store.audit_head().await?),
    };
    let full = || Problem::new(ProblemKind::TooManyListeners, format!("{LISTENERS_MAX} listen already."));
    let permit = Arc::clone(&context.listeners).try_acquire_owned().or(Err(full()))?;
    if let Some(progress) = request.conn_data::<Rc<Progress>>() {
        progress.stream();
    }
    let (now, stopping) = (context.clock.steady(), context.stopping.clone());
    let begin = format!("retry: {RETRY_MILLIS}\nid: {}\n\n", place.id);
    let listener = Listener {
        context,
        wanted,
        who,
        shown,
        place,
        begin: Some(begin),
        heard_at: now,
        checked_at: now,
        stopping,
        _permit: permit,
    };
    let stream = stream::unfold(listener, |mut listener| async move {
        let text = listener.next().await?;
        Some((Ok::<Bytes, actix_web::Error>(Bytes::from(text)), listener))
    });
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream").insert_header(("X-Accel-Buffering", "no"));
    Ok(response.streaming(stream))
}

/// A place in the audit.
struct Place {
    seq: u64,
    /// As listeners know it.
    id: String,
}

impl Place {
    fn new(seq: u64, digest: &str) -> Self {
        let digest: String = digest.chars().take(DIGEST_CHARS).collect();
        Self { seq, id: format!("{seq}-{digest}") }
    }

    fn of(row: &AuditRow) -> Self {
        Self::new(row.seq, &row.digest.to_string())
    }

    /// The place of the last entry.
    fn last(head: &AuditHead) -> Self {
        Self::new(head.entries, &head.digest.to_string())
    }
}

/// Returns how many listen now.
pub(super) fn listening(context: &Context) -> u32 {
    let count = LISTENERS_MAX.saturating_sub(context.listeners.available_permits());
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One who listens.
struct Listener {
    context: Data<Context>,
    wanted: Wanted,
    who: Who,
    shown: Shown,
    /// Up to where it was told, or need not be.
    place: Place,
    /// What it is told first.
    begin: Option<String>,
    /// When something was last sent.
    heard_at: Steady,
    /// When its token was last looked at.
    checked_at: Steady,
    stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Waits for what is to be sent next; nothing if the stream ends.
    async fn next(&mut self) -> Option<String> {
        if let Some(begin) = self.begin.take() {
            return Some(begin);
        }
        loop {
            if *self.stopping.borrow() {
                return None;
            }
            let looked = self.look().await;
            match looked.unwrap_or_else(|error| Looked::Ended(error.to_string())) {
                Looked::Heard(text) => return Some(text),
                Looked::More => continue,
                Looked::Nothing => {}
                Looked::Ended(why) => {
                    tracing::info!(why, who = self.who.principal(), "a listener to events is let go");
                    return None;
                }
            }
            tokio::select! {
                // An error says that nobody is left to tell: then nothing stops it.
                Ok(_) = self.stopping.wait_for(|stopping| *stopping) => return None,
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<Looked, StoreError> {
        let now = self.context.clock.steady();
        let rows = self.context.store.audit(self.place.seq, PAGE).await?;
        let heard: Vec<Heard> = rows.iter().filter_map(|row| self.wanted.heard(row)).collect();
        let traces =
            self.context.store.traceparents(heard.iter().filter_map(Heard::delivery).collect()).await?;
        let text: String = heard.iter().filter_map(|heard| heard.told(&traces)).collect();
        // Nothing is told that happened after a token was taken away.
        if !text.is_empty() || now.since(self.checked_at) >= CHECK {
            self.checked_at = now;
            if !self.shown.is_good(&self.context).await? {
                return Ok(Looked::Ended("its token is not good any more".to_owned()));
            }
        }
        if let Some(last) = rows.last() {
            self.place = Place::of(last);
        }
        if !text.is_empty() {
            self.heard_at = now;
            return Ok(Looked::Heard(text));
        }
        if now.since(self.heard_at) >= HEARTBEAT {
            self.heard_at = now;
            return Ok(Looked::Heard(self.heartbeat()));
        }
        Ok(if rows.is_empty() { Looked::Nothing } else { Looked::More })
    }

    /// A comment, and the place, which may have moved on past what is not wanted. Without data it is no event.
    fn heartbeat(&self) -> String {
        format!("id: {}\n: still here\n\n", self.place.id)
    }
}

/// What came of a look.
enum Looked {
    /// This is to be sent.
    Heard(String),
    /// Nothing that is wanted, but there may be more.
    More,
    /// Nothing.
    Nothing,
    /// The stream ends, for this reason.
    Ended(String),
}

impl Wanted {
    /// Reads an entry, if it is of an event that is wanted. Looking for a device or file alone is no change that is in the audit.
    fn heard(&self, row: &AuditRow) -> Option<Heard> {
        let entry = Entry::read(row.text.as_bytes()).ok()?;
        let (subject, _, state) = entry.last_move()?;
        let is_of_other = self.source.as_ref().is_some_and(|source| source.as_str() != subject.source);
        if is_of_other || self.state.is_some_and(|wanted| wanted != state) {
            return None;
        }
        Some(Heard { place: Place::of(row), entry })
    }
}

/// An event that is wanted.
struct Heard {
    place: Place,
    entry: Entry,
}

impl Heard {
    fn delivery(&self) -> Option<DeliveryId> {
        self.entry.subject.as_ref()?.delivery.parse().ok()
    }

    /// Writes the event.
    fn told(&self, traces: &HashMap<DeliveryId, Traceparent>) -> Option<String> {
        let entry = &self.entry;
        let ((subject, last, state), first) = (entry.last_move()?, entry.deed.moves().first()?);
        let target = subject.machine_id.as_ref().zip(subject.sha1.as_ref());
        let trace = self.delivery().and_then(|delivery| traces.get(&delivery));
        let data = json!({
            "at": view::time(Some(from_millis(entry.at))), "action_id": subject.action,
            "traceparent": trace.map(Traceparent::as_str), "source": subject.source, "alert_id": subject.alert_id,
            "target": target.map(|(machine_id, sha1)| json!({"machine_id": machine_id, "sha1": sha1})),
            "machine_action_id": subject.machine_action, "from": first.from, "state": state.as_str(),
            "final": state.is_final(), "why": last.why, "by": last.who,
        });
        Some(format!("id: {}\nevent: action\ndata: {data}\n\n", self.place.id))
    }
}

/// Finds the place that a listener names.
async fn known(after: &str, context: &Context) -> Result<Place, Problem> {
    if after == "0" {
        return Ok(Place { seq: 0, id: after.to_owned() });
    }
    let seq = after.split_once('-').and_then(|(seq, _)| seq.parse::<u64>().ok());
    let row = match seq {
        Some(seq) => context.store.audit(seq.saturating_sub(1), 1).await?.pop(),
        None => None,
    };
    let place = row.map(|row| Place::of(&row)).filter(|place| place.id == after);
    let detail = "There was no such event. If the database was restored from a backup, begin anew, and list the actions.";
    place.ok_or_else(|| Problem::new(ProblemKind::InvalidParameter, detail))
}

/// Reads what is wanted. The header is of one who comes back, so it counts more than the query, which is as it was at first.
fn wanted(request: &HttpRequest) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::default();
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        match name.as_ref() {
            "after" => wanted.after = Some(value.into_owned()),
            "source" => wanted.source = Some(parse(&name, &value)?),
            "state" => wanted.state = Some(parse(&name, &value)?),
            _ => {
                let detail = format!("There is no parameter {name:?}; there are after, source and state.");
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    match body::headers(request).only("last-event-id") {
        Ok("") | Err(VerifyError::HeaderMissing(_)) => {}
        Ok(last) => wanted.after = Some(last.to_owned()),
        // Beginning with what happens next would lose what was missed.
        Err(error) => return Err(Problem::new(ProblemKind::InvalidParameter, error.to_string())),
    }
    Ok(wanted)
}
