//! `POST /v1/actions/{id}/links`: makes a one-time link by which an approver decides.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::alert::ActionId;
use crate::store::{KeptLink, MadeLink, MakeLink};
use crate::telemetry::metric;

use super::auth::Caller;
use super::link::Link;
use super::named::Named;
use super::problem::{Problem, ProblemKind};
use super::said;
use super::{Context, view};

/// How long a link lives if nobody says, and at most; in minutes.
const MINUTES: u32 = 60;
const MINUTES_MAX: u32 = 7 * 24 * 60;

/// What is said to make a link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    approver: String,
    minutes: Option<u32>,
}

/// Answers 201 with the link's address. It is told this once.
pub(super) async fn create(
    Caller(who): Caller,
    request: HttpRequest,
    Named(action): Named<ActionId>,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let (Some(key), Some(public_url)) = (&context.link_key, &context.public_url) else {
        let detail = "Links need link_key and public_url in [server] of the configuration, and a restart.";
        return Err(Problem::new(ProblemKind::LinksOff, detail));
    };
    let said: Wish = said::read(&request, payload, &context).await?;
    let minutes = said.minutes.unwrap_or(MINUTES);
    // A token of ours ends its links when it is taken away. Nobody here can take away an issuer's.
    let most = if who.principal_id().is_some() { MINUTES } else { MINUTES_MAX };
    if !(1..=most).contains(&minutes) {
        let detail = format!("minutes must be from 1 to {most}.");
        return Err(Problem::new(ProblemKind::InvalidBody, detail));
    }
    let link = Link::generate();
    let wish = MakeLink {
        id: link.id().to_owned(),
        secret_sha256: link.secret_sha256(),
        action,
        approver: said.approver,
        lifetime: SignedDuration::from_mins(minutes.into()),
        who,
        now: context.clock.now(),
    };
    let made = context.store.make_link(wish).await?;
    let MadeLink::Made(kept) = made else {
        return Err(refusal(&made));
    };
    context.metrics.count(&metric::LINKS, &[("result", "made")]);
    tracing::info!(%action, link = kept.id, approver = %kept.approver, made_by = %kept.made_by, "a link is made");
    let url = public_url.to(&format!("/approve/{}", key.text(&link, &kept)));
    Ok(HttpResponse::Created().json(shown(&kept, &url)))
}

fn shown(kept: &KeptLink, url: &str) -> Value {
    json!({
        "id": kept.id, "url": url, "action": kept.action.to_string(), "approver": kept.approver.to_string(),
        "holds": kept.holds, "expires_at": view::time(Some(kept.expires_at)),
    })
}

fn refusal(made: &MadeLink) -> Problem {
    let no = |detail: String| Problem::new(ProblemKind::NotApprovable, detail);
    match made {
        MadeLink::NotHeld(state) => no(format!("It is {state}; only a held action waits for a person.")),
        MadeLink::NotApprovable => {
            no("No approval helps it: something is missing, or must be completed.".into())
        }
        MadeLink::NoApprover => {
            no("approver must be the name of a token that is active and has the scope actions:approve."
                .into())
        }
        MadeLink::ApproverHasPart => {
            no("The approver has brought the action about, or has made a link for it.".into())
        }
        MadeLink::MakerHasPart => {
            let detail =
                "Whoever has brought an action about, or would be the approver, may not make a link for it.";
            Problem::new(ProblemKind::Forbidden, detail)
        }
        MadeLink::Missing | MadeLink::Made(_) => Problem::nothing_here(),
    }
}
