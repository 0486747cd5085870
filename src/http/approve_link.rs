//! `/approve/{link}`: the page of a one-time link. Looking at it does nothing; its form says the approver's word.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use crate::alert::{REASON_CHARS_MAX, State, reason_text};
use crate::ingest::Headers;
use crate::store::{ActionRecord, Choice, Judged, KeptLink, UseLink, UsedLink};
use crate::telemetry::metric;

use super::link::Link;
use super::page::{self, Form};
use super::problem::Problem;
use super::{Context, approvals, body, client, failures::Door};

/// The longest form that is read: a reason of 500 characters, each written as up to twelve.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Shows what is to be decided. Scanners of mail look at links too, so nothing else happens.
pub(super) async fn show(
    request: HttpRequest,
    path: Path<String>,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let now = context.clock.now();
    match prove(&context, &request, &path, now).await? {
        Ok(proven) => Ok(proven.over(now).unwrap_or_else(|| proven.form(&context, None, now))),
        Err(answer) => Ok(answer),
    }
}

/// Takes the approver's word.
pub(super) async fn decide(
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let now = context.clock.now();
    let proven = match prove(&context, &request, &path, now).await? {
        Ok(proven) => proven,
        Err(answer) => return Ok(answer),
    };
    let body = body::read(&request, payload, &context.long_bodies).await?;
    if let Some(answer) = proven.over(now) {
        context.metrics.count(&metric::LINKS, &[("result", "refused")]);
        return Ok(answer);
    }
    let form = Said::read(&body);
    let is_ours = form.once.as_bytes().ct_eq(proven.once.as_bytes());
    if !comes_from_page(&body::headers(&request), &context) || !bool::from(is_ours) {
        context.metrics.count(&metric::LINKS, &[("result", "refused")]);
        return Ok(page::foreign());
    }
    let (Some(choice), Some(reason)) = (form.choice, reason_text(&form.reason)) else {
        let note =
            format!("Nothing was done: write a reason, one line of 1 to {REASON_CHARS_MAX} characters.");
        return Ok(proven.form(&context, Some(&note), now));
    };
    let said = UseLink { link: proven.link.clone(), choice, reason, now };
    let used = context.store.use_link(said).await?;
    tracing::info!(link = proven.link.id, who = %proven.link.approver, result = %used, "a link was used");
    Ok(answer(&context, &proven, &used))
}

/// A link that was proven, and what it is about.
struct Proven {
    link: KeptLink,
    record: ActionRecord,
    once: String,
}

impl Proven {
    /// Says why there is nothing to decide, if that is so.
    fn over(&self, now: Timestamp) -> Option<HttpResponse> {
        let Self { link, record, .. } = self;
        if let Some(used) = link.used {
            return Some(page::used(link, &used));
        }
        match record.action.state {
            State::Held if record.action.expires_at.is_some_and(|at| at <= now) => {
                return Some(page::not_held(State::Expired));
            }
            State::Held => {}
            state => return Some(page::not_held(state)),
        }
        (!link.is_about(&record.action, &record.holds)).then(page::stale)
    }

    /// Shows the form.
    fn form(&self, context: &Context, note: Option<&str>, now: Timestamp) -> HttpResponse {
        let Self { link, record, once } = self;
        context.metrics.count(&metric::LINKS, &[("result", "shown")]);
        page::form(&Form { link, record, once, note, now })
    }
}

/// Proves a link, or answers: the same for every link that is wrong or over. Failures count against the address.
async fn prove(
    context: &Context,
    request: &HttpRequest,
    text: &str,
    now: Timestamp,
) -> Result<Result<Proven, HttpResponse>, Problem> {
    let peer = client::peer(request, &body::headers(request), &context.proxies);
    let wait = context.admission.wait(&Door::Links, &peer, now);
    if wait > SignedDuration::ZERO {
        return Ok(Err(page::too_often(wait)));
    }
    if let Some((link, once)) = known(context, text, now).await?
        && let Some(record) = context.store.action(link.action).await?
    {
        return Ok(Ok(Proven { link, record, once }));
    }
    context.admission.record_failure(&Door::Links, &peer, now);
    context.metrics.count(&metric::LINKS, &[("result", "unknown")]);
    Ok(Err(page::nothing_here()))
}

async fn known(context: &Context, text: &str, now: Timestamp) -> Result<Option<(KeptLink, String)>, Problem> {
    let (Some(key), Some((link, code))) = (&context.link_key, Link::parse(text)) else {
        return Ok(None);
    };
    let kept = context.store.link(link.id().to_owned(), now).await?;
    let kept = kept.filter(|kept| key.proves(&link, code, kept));
    Ok(kept.map(|kept| (kept.clone(), key.once(&link, &kept))))
}

/// Says whether a form was sent by our page, as far as the browser tells. The page sends no referrer, so its origin is `null`
/// where the browser tells the site as well.
fn comes_from_page(headers: &Headers, context: &Context) -> bool {
    let is_form = headers.only("content-type").is_ok_and(|value| {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if headers.contains("sec-fetch-site") {
        return is_form && headers.only("sec-fetch-site") == Ok("same-origin");
    }
    if !headers.contains("origin") {
        return is_form;
    }
    let ours = context.public_url.as_ref().map(super::PublicUrl::origin);
    is_form && headers.only("origin").is_ok_and(|origin| ours.is_some_and(|ours| ours == origin))
}

/// What the form says. What stands twice, or is not known, says nothing.
#[derive(Default)]
struct Said {
    once: String,
    choice: Option<Choice>,
    reason: String,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let mut said = Self::default();
        if body.len() > FORM_BYTES_MAX {
            return said;
        }
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if seen.contains(&name) {
                return Self::default();
            }
            match &*name {
                "once" => said.once = value.into_owned(),
                "choice" => said.choice = Choice::read(&value),
                "reason" => said.reason = value.into_owned(),
                _ => return Self::default(),
            }
            seen.push(name);
        }
        said
    }
}

/// Tells what came of it.
fn answer(context: &Context, proven: &Proven, used: &UsedLink) -> HttpResponse {
    let count = |result| context.metrics.count(&metric::LINKS, &[("result", result)]);
    match used {
        UsedLink::Judged(judged) => {
            approvals::count(context, judged);
            let (result, answer) = match judged {
                Judged::Resumed => ("approved", page::approved()),
                Judged::Kept => ("kept", page::kept()),
                Judged::Denied => ("denied", page::denied()),
                Judged::Already => ("already", page::already()),
                Judged::OwnAction => ("refused", page::own_action()),
                Judged::NotHeld(state) => ("refused", page::not_held(*state)),
                Judged::NoSuchHold(_) | Judged::NotApprovable(_) => ("refused", page::stale()),
                Judged::Missing => ("unknown", page::nothing_here()),
            };
            count(result);
            answer
        }
        UsedLink::Before(before) => {
            count("refused");
            page::used(&proven.link, before)
        }
        UsedLink::Stale => {
            count("refused");
            page::stale()
        }
        UsedLink::Over => {
            count("unknown");
            page::nothing_here()
        }
    }
}
