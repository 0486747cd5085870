//! The texts with which Defender and Entra ID say no, as they were seen.

use serde_json::{Value, json};

use super::call::Answered;

/// Correlation id of every refusal; the real one differs each time.
pub(super) const TARGET: &str = "43f4cb08-8fac-4b65-9db1-745c2ae65f3a";

/// An answer before it is written: status and body, or a no.
pub(super) type Reply = Result<(u16, Value), No>;

/// A no of Defender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct No {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after: Option<String>,
}

impl No {
    /// Defender's usual envelope (reference, defender-api 1.4).
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let body = json!({"error": {"code": code, "message": message, "target": TARGET}});
        Self { status, body, retry_after: None }
    }

    /// The envelope of the OData parser.
    pub(super) fn odata(message: &str) -> Self {
        let message = format!("The query specified in the URI is not valid. {message}");
        let body = json!({"error": {"code": "", "message": message, "details": []}});
        Self { status: 400, body, retry_after: None }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Invalid or expired authorization header")
    }

    pub(super) fn missing_role(required: &str, have: &[String]) -> Self {
        let message = format!(
            "Missing application roles. API required roles: {required}, application roles: {}.",
            have.join(",")
        );
        Self::new(403, "Forbidden", message)
    }

    pub(super) fn forbidden_2021() -> Self {
        let message = "The application does not have any of the required application permissions \
                       (Machine.StopAndQuarantine) to access the resource.";
        Self::new(403, "Forbidden", message)
    }

    pub(super) fn machine_not_found(id: &str) -> Self {
        Self::new(404, "ResourceNotFound", format!("Machine {id} was not found"))
    }

    pub(super) fn file_not_found(sha1: &str, machine: &str) -> Self {
        let message = format!("Sha1 {sha1} was not found in machine {machine}");
        Self::new(404, "ResourceNotFound", message)
    }

    pub(super) fn active_request() -> Self {
        Self::new(400, "ActiveRequestAlreadyExists", "Action is already in progress")
    }

    pub(super) fn throttled(code: &str, message: &str, retry_after: Option<String>) -> Self {
        Self { retry_after, ..Self::new(429, code, message) }
    }

    pub(super) fn respond(&self) -> Answered {
        let answered = Answered::json(self.status, &self.body);
        match &self.retry_after {
            Some(value) => answered.with_header("Retry-After", value),
            None => answered,
        }
    }
}
