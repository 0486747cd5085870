//! The cancel call: what it checks, and what it changes (reference, defender-api 2).

use serde_json::Value;

use super::quarantine::required;
use super::refusals::{No, Reply};
use super::state::State;

/// Serves the cancelling of a machine action: only while it is not over.
pub(super) fn cancel(state: &mut State, id: &str, sent: &Value) -> Reply {
    let Value::Object(fields) = sent else {
        return Err(No::new(400, "InvalidRequestBody", "Request body is incorrect"));
    };
    let comment = required(fields, "Comment")?;
    let at = (state.pace(), state.now());
    let missing = || No::new(404, "ResourceNotFound", format!("Resource {id} was not found"));
    let is_open = state.actions.find(id).ok_or_else(missing)?.is_open(at.0, at.1);
    if !is_open {
        return Err(No::new(400, "BadRequest", "The action is over and cannot be cancelled"));
    }
    if !state.switches.cancel_is_idle {
        state.actions.cancel(id, comment, at);
    }
    let found = state.actions.find(id).ok_or_else(missing)?;
    Ok((200, found.to_json(at.0, at.1)))
}
