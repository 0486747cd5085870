//! The simulated Microsoft Graph: alerts, by its own token and role.

use serde_json::{Value, json};
use uuid::Uuid;

use super::credentials::GRAPH_AUDIENCES;
use super::faults::FaultKind;
use super::refusals::{No, Reply};
use super::state::State;

/// The roles of which one is needed.
const ROLES: [&str; 2] = ["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"];

pub(super) fn alert(state: &State, id: &str) -> Reply {
    let is_it = |alert: &&Value| alert.get("id").and_then(Value::as_str) == Some(id);
    let found = state.world.alerts.iter().find(is_it);
    found.map(|alert| (200, with_context(alert))).ok_or_else(|| no(404, "NotFound", "Alert not found."))
}

fn with_context(alert: &Value) -> Value {
    let mut alert = alert.clone();
    if let Value::Object(alert) = &mut alert {
        let context = "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2/$entity";
        alert.insert("@odata.context".to_owned(), json!(context));
    }
    alert
}

/// Checks what every call must have: a token for Graph, and a role.
pub(super) fn admit(state: &State, authorization: Option<&str>) -> Result<(), No> {
    let roles = state.credentials.roles_of(authorization, &GRAPH_AUDIENCES, state.now());
    let roles = roles.ok_or_else(unauthorized)?;
    if roles.iter().any(|role| ROLES.contains(&role.as_str())) { Ok(()) } else { Err(forbidden(&roles)) }
}

/// Returns the no of a fault that says one, in Graph's words.
pub(super) fn fault_no(kind: &FaultKind) -> Option<No> {
    match kind {
        FaultKind::Unauthorized => Some(unauthorized()),
        FaultKind::Forbidden2021 | FaultKind::Forbidden2023 => Some(forbidden(&[])),
        FaultKind::Throttled { retry_after, code } => {
            let throttled = no(429, code, "Too many requests.");
            Some(No { retry_after: retry_after.clone(), ..throttled })
        }
        _ => None,
    }
}

fn unauthorized() -> No {
    no(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")
}

fn forbidden(roles: &[String]) -> No {
    let message = format!(
        "Missing application roles. API required roles: {}, application roles: {}.",
        ROLES.join(","),
        roles.join(",")
    );
    no(403, "Forbidden", &message)
}

/// Graph's envelope (reference, defender-api 1.4).
fn no(status: u16, code: &str, message: &str) -> No {
    let id = Uuid::new_v4().to_string();
    let inner = json!({"date": "2026-03-01T12:00:00", "request-id": id, "client-request-id": id});
    let body = json!({"error": {"code": code, "message": message, "innerError": inner}});
    No { status, body, retry_after: None }
}
