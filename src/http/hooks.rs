//! `POST /v1/hooks/{source}` and `/v1/hooks/{source}/{token}`: verify, map, accept, answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time;
use url::form_urlencoded;

use crate::alert::{Reason, RefusedAlert, SourceName, SubscriptionNotice};
use crate::ingest::jwt::JwtError;
use crate::ingest::{RawDelivery, Verified, VerifyError, verify, verify_with_keys};
use crate::mapping::{Format, MapError, Mapped, MapperError};
use crate::oidc::KeysUnavailable;
use crate::store::{Accept, Accepted, Receipt, StoreError};
use crate::telemetry::metric;

use super::admission::{self, PutOff};
use super::failures::Door;
use super::problem::{Problem, ProblemKind};
use super::{Context, Source, body, client, view};

/// The longest token that Microsoft Graph may ask to be repeated.
const VALIDATION_CHARS_MAX: usize = 1024;

/// The reason told where nobody knows whether a token is good.
const KEYS_UNAVAILABLE: &str = "token_keys_unavailable";
/// How long the answer may take after the last byte of a delivery. Some senders give up after 3 seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn receive(
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let source = source(&context, &path).ok_or_else(Problem::nothing_here)?;
    if source.gate.answers_validation()
        && let Some(token) = validation_token(request.query_string())
    {
        return Ok(plain(token));
    }
    let body = body::read(&request, payload, &context.long_bodies).await?;
    let delivery = client::delivery(&request, body, &context.proxies);
    take(&context, &source, &request, delivery).await
}

/// For sources that can set nothing but an address: its last part is their token.
pub(super) async fn receive_by_path(
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let (name, token) = path.into_inner();
    let source = source(&context, &name).filter(|source| source.gate.has_path_token());
    let source = source.ok_or_else(Problem::nothing_here)?;
    let body = body::read(&request, payload, &context.long_bodies).await?;
    let delivery = client::delivery(&request, body, &context.proxies);
    let delivery = RawDelivery { path_token: Some(token.into()), ..delivery };
    take(&context, &source, &request, delivery).await
}

fn source(context: &Context, name: &str) -> Option<Arc<Source>> {
    context.source(&name.parse().ok()?)
}

/// What Microsoft Graph asks to be repeated when a subscription is made, to see that it is wanted.
fn validation_token(query: &str) -> Option<String> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let (_, token) = parameters.find(|(name, _)| name == "validationToken")?;
    let is_plain = token.chars().all(|c| !c.is_control()) && token.chars().count() <= VALIDATION_CHARS_MAX;
    is_plain.then(|| token.into_owned())
}

/// An answer for senders that want to be answered, and that nothing is done about.
fn plain(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)
}

async fn take(
    context: &Context,
    source: &Source,
    request: &HttpRequest,
    delivery: RawDelivery,
) -> Result<HttpResponse, Problem> {
    let all = async {
        let verified = believe(context, source, &delivery, context.clock.now()).await?;
        take_in(context, source, &delivery, verified).await
    };
    promptly(context, source, request, all).await
}

/// Takes something in, or has it sent again if that takes too long. The answer tells what is left of the source's quota.
pub(super) async fn promptly<T>(
    context: &Context,
    source: &Source,
    request: &HttpRequest,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let now = context.clock.now();
    let answer = time::timeout(ANSWER_WITHIN, work).await;
    let ended_at = context.clock.now();
    context.admission.show(request, source, ended_at);
    let took = ended_at.duration_since(now).as_secs_f64();
    context.metrics.observe(&metric::ACCEPT_DURATION, &[], took);
    // What the store has begun may still come to its end. That is safe: whoever sends again is recognised.
    answer.unwrap_or_else(|_| Err(PutOff::Late.tell(context, source)))
}

/// Takes in a delivery whose sender is proven, if there is room for it.
async fn take_in(
    context: &Context,
    source: &Source,
    delivery: &RawDelivery,
    verified: Verified,
) -> Result<HttpResponse, Problem> {
    let now = context.clock.now();
    admission::admit(context, source, now).await?;
    check_content_type(delivery)?;
    let mapped = map(context, Arc::clone(&source.format), verified.body().clone()).await;
    let mapped = mapped.map_err(|put_off| put_off.tell(context, source))?;
    // That it is a test is not signed. So whoever names an alert is not believed that it is none.
    if source.gate.is_test(&delivery.headers) && mapped.alerts.is_empty() && mapped.references.is_empty() {
        tracing::info!(source = source.name.as_str(), "a test of the sender: answered, nothing done");
        return Ok(plain("A test: nothing was done.".to_owned()));
    }
    for reason in mapped.refused.iter().flat_map(|refused| &refused.problems) {
        let labels = [("source", source.name.as_str()), ("reason", reason.reason.as_str())];
        context.metrics.count(&metric::ALERTS_REFUSED, &labels);
    }
    accept(context, source, verified, mapped, now).await
}

/// Proves the sender. A failure is told to the log and the metrics only.
pub(super) async fn believe(
    context: &Context,
    source: &Source,
    delivery: &RawDelivery,
    now: Timestamp,
) -> Result<Verified, Problem> {
    let name = source.name.as_str();
    let door = Door::Source(source.name.clone());
    let waits = context.admission.check_failures(&door, &delivery.peer, now);
    waits.map_err(|put_off| put_off.tell(context, source))?;
    let not_believed = |reason: &'static str, error: &dyn fmt::Display| {
        context.metrics.count(&metric::SIGNATURE_FAILURES, &[("source", name), ("reason", reason)]);
        context.source_health.note_failure(&source.name, reason, now);
        tracing::warn!(source = name, reason, %error, "a delivery was not believed");
    };
    let verified = judge(context, source, delivery, now).await.map_err(|error| {
        not_believed(KEYS_UNAVAILABLE, &error);
        Problem::new(ProblemKind::IssuerUnavailable, "Nothing was stored. Send it again.")
    })?;
    let verified = verified.map_err(|error| {
        not_believed(error.reason(), &error);
        context.admission.record_failure(&door, &delivery.peer, now);
        Problem::unauthorized()
    })?;
    context.key_uses.note(source, verified.key_id(), &context.metrics, now);
    context.source_health.note(&source.name, now);
    if let Some(signed_at) = verified.signed_at() {
        let skew = now.duration_since(signed_at).as_secs_f64();
        context.metrics.set(&metric::CLOCK_SKEW, &[("source", name)], skew);
    }
    let at = now.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
    context.metrics.set(&metric::SOURCE_LAST_DELIVERY, &[("source", name)], at);
    Ok(verified)
}

/// Verifies a delivery, with the keys of the token's issuer if the source has one.
///
/// A token with an unknown key gets a second chance: the issuer may have a new key.
async fn judge(
    context: &Context,
    source: &Source,
    delivery: &RawDelivery,
    now: Timestamp,
) -> Result<Result<Verified, VerifyError>, KeysUnavailable> {
    let Some(issuer) = source.gate.issuer() else {
        return Ok(verify(&source.name, &source.gate, delivery, now));
    };
    let keys = context.keys.current(issuer)?;
    let verified = verify_with_keys(&source.name, &source.gate, delivery, &keys, now);
    if !matches!(verified, Err(VerifyError::Jwt(JwtError::KeyUnknown))) {
        return Ok(verified);
    }
    let keys = context.keys.renewed(issuer).await?;
    Ok(verify_with_keys(&source.name, &source.gate, delivery, &keys, now))
}

/// Takes `application/json` and `application/*+json`; the header is not signed, so nothing else depends on
/// it.
pub(super) fn check_content_type(delivery: &RawDelivery) -> Result<(), Problem> {
    let value = delivery.headers.only("content-type").unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = media_type.strip_prefix("application/").unwrap_or_default();
    if subtype == "json" || subtype.ends_with("+json") {
        return Ok(());
    }
    let detail = "The content type must be application/json.";
    Err(Problem::new(ProblemKind::UnsupportedMediaType, detail))
}

/// Reads the alerts. A body that cannot be read at all is kept like one without alerts.
pub(super) async fn map(context: &Context, format: Arc<Format>, body: Bytes) -> Result<Mapped, PutOff> {
    match context.mapper.map(format, body).await {
        Ok(mapped) => Ok(mapped),
        Err(MapperError::Map(error)) => Ok(error.into()),
        Err(MapperError::Busy | MapperError::TooSlow) => Err(PutOff::Mapper),
    }
}

async fn accept(
    context: &Context,
    source: &Source,
    delivery: Verified,
    mapped: Mapped,
    now: Timestamp,
) -> Result<HttpResponse, Problem> {
    let key = delivery.key().to_string();
    let Mapped { alerts, refused, references, notices, .. } = mapped;
    tell_notices(context, source, &notices);
    let accept = Accept { delivery, alerts, refused: refused.clone(), references, notices, now };
    let receipt = context.store.accept(accept).await;
    let result = match &receipt {
        Ok(Receipt::New(_)) => "new",
        Ok(Receipt::Duplicate(_)) => "duplicate",
        Ok(Receipt::Refused(_)) => "refused",
        Ok(Receipt::Conflict(_)) => "conflict",
        Err(_) => "unavailable",
    };
    let name = source.name.as_str();
    context.metrics.count(&metric::DELIVERIES, &[("source", name), ("result", result)]);
    tracing::info!(source = name, delivery = key, result, "delivery");
    if receipt == Err(StoreError::Busy) {
        return Err(PutOff::Store.tell(context, source));
    }
    match receipt? {
        Receipt::New(accepted) => Ok(answer(context, &source.name, 202, &accepted, &refused)),
        Receipt::Duplicate(accepted) => Ok(answer(context, &source.name, 200, &accepted, &refused)),
        Receipt::Refused(id) => Err(refusal(&refused).with("delivery_id", json!(id.to_string()))),
        Receipt::Conflict(id) => {
            let detail = "A delivery id may be used again for the same body only.";
            let problem = Problem::new(ProblemKind::Conflict, detail);
            Err(problem.with("delivery_id", json!(id.to_string())))
        }
    }
}

/// Tells people what Graph says about its subscription: only they can do something about it.
fn tell_notices(context: &Context, source: &Source, notices: &[SubscriptionNotice]) {
    let name = source.name.as_str();
    for SubscriptionNotice { lifecycle, subscription } in notices {
        let (notice, remedy) = (lifecycle.as_str(), lifecycle.remedy());
        context.metrics.count(&metric::SUBSCRIPTION_NOTICES, &[("source", name), ("notice", notice)]);
        tracing::warn!(source = name, notice, subscription, remedy, "a notice about the Graph subscription");
    }
}

/// The answer when something became an action, or will.
pub(super) fn answer(
    context: &Context,
    source: &SourceName,
    status: u16,
    accepted: &Accepted,
    refused: &[RefusedAlert],
) -> HttpResponse {
    let alerts: Vec<Value> = accepted
        .alerts
        .iter()
        .map(|alert| {
            let actions: Vec<Value> = alert
                .actions
                .iter()
                .map(|action| {
                    json!({"id": action.id.to_string(), "state": action.state.as_str(),
                           "duplicate": !action.is_new, "url": context.url(&format!("/v1/actions/{}", action.id)),
                           "estimated_send_at": view::time(context.estimate(source, action))})
                })
                .collect();
            json!({"alert_id": alert.alert_id.as_str(), "duplicate": alert.is_duplicate(), "actions": actions})
        })
        .collect();
    let fetches: Vec<Value> = accepted
        .fetches
        .iter()
        .map(|fetch| json!({"alert_id": fetch.alert_id.as_str(), "duplicate": !fetch.is_new}))
        .collect();
    let is_duplicate = status == 200;
    let body = json!({
        "delivery_id": accepted.delivery_id.to_string(), "duplicate": is_duplicate, "alerts": alerts,
        "fetches": fetches, "refused": refused,
    });
    let mut all = accepted.alerts.iter().flat_map(|alert| &alert.actions);
    let location = match (all.next(), all.next()) {
        (Some(only), None) => format!("/v1/actions/{}", only.id),
        _ => format!("/v1/deliveries/{}", accepted.delivery_id),
    };
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status).insert_header(("Location", context.url(&location))).json(body)
}

/// The answer when nothing became an action: 400 for what is no JSON, 422 for the rest. It is kept all the
/// same.
pub(super) fn refusal(refused: &[RefusedAlert]) -> Problem {
    let problems = refused.iter().flat_map(|refused| &refused.problems);
    let broken = problems.clone().find(|problem| problem.reason == Reason::Json);
    if let Some(broken) = broken {
        return Problem::new(ProblemKind::InvalidJson, broken.detail.clone());
    }
    let first = problems.clone().next();
    let detail = first.map_or_else(|| MapError::NoAlert.to_string(), |first| first.detail.clone());
    let errors: Vec<Value> = problems.map(|problem| json!(problem)).collect();
    Problem::new(ProblemKind::Unmappable, detail).with("errors", json!(errors))
}
