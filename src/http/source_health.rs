//! `GET /v1/sources`: who may send or ask, and how each has done since the service started.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use actix_web::HttpResponse;
use actix_web::web::Data;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alert::SourceName;

use super::problem::Problem;
use super::{Context, Source, view};

/// What was seen of each source since the start.
#[derive(Debug, Default)]
pub(super) struct SourceHealth {
    #[expect(clippy::disallowed_types, reason = "held for one look or one note, never across an await")]
    seen: std::sync::Mutex<HashMap<SourceName, Seen>>,
}

/// What was seen of one source.
#[derive(Debug, Clone, Default)]
struct Seen {
    believed_at: Option<Timestamp>,
    /// By reason: how often it was not believed, and when last.
    failures: BTreeMap<&'static str, (u64, Timestamp)>,
}

impl SourceHealth {
    /// Notes that the source was believed.
    pub(super) fn note(&self, source: &SourceName, now: Timestamp) {
        self.with(source, |seen| seen.believed_at = Some(now));
    }

    /// Notes that somebody was not believed to be the source.
    pub(super) fn note_failure(&self, source: &SourceName, reason: &'static str, now: Timestamp) {
        self.with(source, |seen| {
            let (count, at) = seen.failures.entry(reason).or_insert((0, now));
            (*count, *at) = (count.saturating_add(1), now);
        });
    }

    fn with(&self, source: &SourceName, note: impl FnOnce(&mut Seen)) {
        note(self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(source.clone()).or_default());
    }

    fn of(&self, source: &SourceName) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned().unwrap_or_default()
    }
}

/// Lists every source that is configured now, by name.
pub(super) async fn list(context: Data<Context>) -> Result<HttpResponse, Problem> {
    let configured = context.sources.borrow().clone();
    let mut sources: Vec<&Source> = configured.all().collect();
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    let mut shown = Vec::new();
    for source in sources {
        let last_action_at = context.store.last_action_at(source.name.clone()).await?;
        shown.push(one(&context, source, last_action_at));
    }
    Ok(HttpResponse::Ok().json(json!({"sources": shown})))
}

fn one(context: &Context, source: &Source, last_action_at: Option<Timestamp>) -> Value {
    let seen = context.source_health.of(&source.name);
    let asks = source.gate.takes_api_tokens();
    let failures = seen.failures.iter().map(
        |(reason, (count, at))| json!({"reason": reason, "count": count, "last_at": view::time(Some(*at))}),
    );
    let keys = source.gate.keys().into_iter().map(|(id, not_after)| {
        let used_at = context.key_uses.last(&source.name, &id);
        json!({"id": id.as_str(), "last_used_at": view::time(used_at), "not_after": view::time(not_after)})
    });
    json!({
        "name": source.name.as_str(),
        "format": (!asks).then(|| source.format.name()),
        "signs_body": source.gate.signs_body(),
        "believed_at": view::time(seen.believed_at),
        "last_action_at": view::time(last_action_at),
        "failures": failures.collect::<Vec<_>>(),
        "keys": keys.collect::<Vec<_>>(),
    })
}
