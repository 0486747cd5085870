//! The quarantine call: what it checks, in which order, and what it makes.
//!
//! The order is that of reference/defender-api.md, section 13, after admission.

use serde_json::{Map, Value, json};

use super::machine_actions::SimulatedAction;
use super::refusals::{No, Reply};
use super::state::State;
use super::switches::{DuplicateAnswer, DuplicateKey};
use super::world::{Machine, World};

/// As whom the callers of the API stand in their machine actions.
pub(super) const CALLER: &str = "quarantine-bridge simulator";

impl State {
    /// Lets somebody else, such as an analyst in the portal, stop and quarantine a file. Says whether Defender took it.
    pub fn quarantine_as(&mut self, requestor: &str, machine_id: &str, sha1: &str, comment: &str) -> bool {
        let Ok(machine) = target(&self.world, machine_id, sha1) else {
            return false;
        };
        if open_action(self, &machine, sha1).is_some() {
            return false;
        }
        let now = self.now();
        self.actions.add(&machine, sha1, (requestor, comment), now);
        true
    }

    /// Returns the comments of the machine actions that are open on a device for a file.
    pub fn open_on(&self, machine_id: &str, sha1: &str) -> Vec<String> {
        let (now, pace) = (self.now(), self.pace());
        let all = self.actions.all().iter();
        let open = all.filter(|action| {
            action.machine_id == machine_id && action.sha1 == sha1 && action.is_open(pace, now)
        });
        open.map(|action| action.comment.clone()).collect()
    }
}

/// Serves StopAndQuarantineFile on a machine.
pub(super) fn stop_and_quarantine(state: &mut State, id: &str, sent: &Value) -> Reply {
    let Value::Object(fields) = sent else {
        return Err(No::new(400, "InvalidRequestBody", "Request body is incorrect"));
    };
    let comment = required(fields, "Comment")?;
    let sha1 = required(fields, "Sha1")?;
    let machine = target(&state.world, id, sha1)?;
    let (now, pace) = (state.now(), state.pace());
    if let Some(open) = open_action(state, &machine, sha1) {
        return match state.switches.duplicate {
            DuplicateAnswer::BadRequest => Err(No::active_request()),
            DuplicateAnswer::OpenAction => Ok((201, open.to_json(pace, now))),
        };
    }
    let action = state.actions.add(&machine, sha1, (CALLER, comment), now);
    let mut record = action.to_json(pace, now);
    if let Value::Object(fields) = &mut record {
        let context = "https://api.securitycenter.microsoft.com/api/$metadata#MachineActions/$entity";
        fields.insert("@odata.context".to_owned(), json!(context));
    }
    Ok((201, record))
}

/// Returns a parameter; its name is case-sensitive.
pub(super) fn required<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, No> {
    let given = fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = || No::new(400, "MissingRequiredParameter", format!("Parameter {name} is missing"));
    given.ok_or_else(missing)
}

/// Finds the machine, if the file can be quarantined there.
fn target(world: &World, id: &str, sha1: &str) -> Result<Machine, No> {
    if sha1.len() != 40 || !sha1.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(No::new(400, "InvalidHashValue", format!("Hash value {sha1} is invalid")));
    }
    let machine = world.machine(id).ok_or_else(|| No::machine_not_found(id))?;
    if !machine.is_supported() {
        let message = format!("OS Platform {} isn't supported for this action", machine.os_platform);
        return Err(No::new(400, "OsPlatformNotSupported", message));
    }
    if !world.has_seen(&machine, sha1) {
        return Err(No::file_not_found(sha1, id));
    }
    if machine.signed_files.iter().any(|signed| signed.eq_ignore_ascii_case(sha1)) {
        return Err(No::new(403, "DisallowedOperation", "The file is signed by Microsoft"));
    }
    Ok(machine)
}

/// Finds an action in the way of a new one.
fn open_action<'a>(state: &'a State, machine: &Machine, sha1: &str) -> Option<&'a SimulatedAction> {
    let same_file = |have: &str| match state.switches.duplicate_key {
        DuplicateKey::Machine => true,
        DuplicateKey::MachineAndFile => have.eq_ignore_ascii_case(sha1),
    };
    let (now, pace) = (state.now(), state.pace());
    state.actions.all().iter().find(|action| {
        action.machine_id == machine.id && same_file(&action.sha1) && action.is_open(pace, now)
    })
}
