//! How a quarantine is undone: the steps for a person, by what became of the action. Pure; nothing here is run.

use serde::Serialize;

use crate::alert::{Action, State, SupersededBy};

/// Restores what custom blocks have quarantined on a device (reference, defender-api 2).
const RESTORE: &str =
    "\"%ProgramFiles%\\Windows Defender\\MpCmdRun.exe\" -Restore -Name EUS:Win32/CustomEnterpriseBlock -All";

/// Where people see Defender, by the cloud that its API is in (reference, defender-api 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Portal {
    /// The commercial cloud, and GCC.
    #[default]
    Commercial,
    /// GCC High.
    Government,
    /// `DoD`.
    Defense,
}

impl Portal {
    fn address(self) -> &'static str {
        match self {
            Self::Commercial => "https://security.microsoft.com",
            Self::Government => "https://security.microsoft.us",
            Self::Defense => "https://security.apps.mil",
        }
    }
}

/// What there is to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Nothing: no call of this action has quarantined a file.
    Nothing,
    /// It is not known whether the call arrived.
    Unknown,
    /// Defender has it, and its device has not done it yet.
    Cancel,
    /// The file is in the device's quarantine.
    Restore,
    /// Another machine action covers it, or Defender does not say that it was done: look first.
    Check,
}

impl Need {
    /// Returns what there is to undo of an action in this state.
    pub fn of(state: State) -> Self {
        match state {
            State::Accepted
            | State::Resolving
            | State::Decided
            | State::Queued
            | State::Held
            | State::Denied
            | State::Expired
            | State::Shadowed
            | State::Rejected
            | State::Cancelled => Self::Nothing,
            State::Sending | State::Uncertain => Self::Unknown,
            State::Submitted => Self::Cancel,
            State::Succeeded => Self::Restore,
            State::Failed | State::TimedOut | State::Superseded => Self::Check,
        }
    }
}

/// How one action is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// The action.
    pub action_id: String,
    /// What there is to undo.
    pub need: Need,
    /// Why, for a person.
    pub why: String,
    /// What to do, in this order.
    pub steps: Vec<Step>,
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Cancel the action, by us.
    Cancel,
    /// Undo it in Defender's portal.
    Portal,
    /// Restore the file on the device itself.
    Device,
    /// Have Defender allow the file.
    Allow,
    /// Have us not quarantine it again.
    Mark,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is.
    pub kind: StepKind,
    /// What to do.
    pub what: String,
    /// The line to type, if there is one.
    pub command: Option<String>,
    /// Where to click, if there is such a place.
    pub link: Option<String>,
    /// What to know before.
    pub warning: Option<String>,
}

/// Returns how an action is undone.
pub fn recipe(action: &Action, superseded_by: Option<&SupersededBy>, portal: Portal) -> Recipe {
    let need = Need::of(action.state);
    let steps = match need {
        Need::Nothing if action.state.is_final() => Vec::new(),
        Need::Nothing => vec![cancel(action, "Cancel it, if it is not to be sent.")],
        Need::Unknown | Need::Cancel => {
            let what = "Cancel it: what Defender has not begun on the device it can still call off. The other steps are \
                        for the case that this comes too late.";
            [vec![cancel(action, what)], restore(action, superseded_by, portal)].concat()
        }
        Need::Restore | Need::Check => restore(action, superseded_by, portal),
    };
    Recipe { action_id: action.id.to_string(), need, why: why(action, superseded_by), steps }
}

fn why(action: &Action, superseded_by: Option<&SupersededBy>) -> String {
    let state = action.state;
    match state {
        State::Rejected => "Defender refused the call: nothing need be undone.".to_owned(),
        State::Cancelled if action.machine_action.is_some() => {
            "Defender cancelled it before the device did it: nothing need be undone.".to_owned()
        }
        State::Sending | State::Uncertain => {
            "It is not known yet whether the call arrived: Defender's list will tell.".to_owned()
        }
        State::Submitted => {
            let status = action.machine_action.as_ref().map_or("not known", |it| it.status.as_str());
            format!("Defender has it, and its status there is {status}: cancel it.")
        }
        State::Succeeded => "Defender says that the file was stopped and quarantined.".to_owned(),
        State::Failed => "Defender says that the device could not do it. See whether the file is there.".to_owned(),
        State::TimedOut => "Defender gave up waiting for the device. See whether the file is there.".to_owned(),
        State::Superseded => match superseded_by {
            Some(other) => format!(
                "This action sent nothing. Machine action {} of {} covers the same device and file: what that one did can be \
                 undone.",
                other.machine_action_id,
                other.requestor.as_deref().unwrap_or("somebody else"),
            ),
            None => "This action sent nothing. Another action of the same alert covers the same device and file: what that \
                     one did can be undone."
                .to_owned(),
        },
        State::Accepted
        | State::Resolving
        | State::Decided
        | State::Queued
        | State::Held
        | State::Denied
        | State::Expired
        | State::Shadowed
        | State::Cancelled => format!("It is {state}, and nothing of it is at Defender: nothing need be undone."),
    }
}

/// The cancellation that `/v1/actions/{id}/cancel` asks for.
fn cancel(action: &Action, what: &str) -> Step {
    let command = format!(
        "curl -sS -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \
         -d '{{\"reason\": \"...\"}}' http://127.0.0.1:8420/v1/actions/{}/cancel",
        action.id
    );
    Step {
        kind: StepKind::Cancel,
        what: format!("{what} The token needs the scope actions:cancel."),
        command: Some(command),
        link: None,
        warning: None,
    }
}

/// The steps for a file that is in the device's quarantine.
fn restore(action: &Action, superseded_by: Option<&SupersededBy>, portal: Portal) -> Vec<Step> {
    vec![
        in_portal(action, superseded_by, portal),
        on_device(action, portal),
        allow(action, portal),
        mark(action),
    ]
}

fn in_portal(action: &Action, superseded_by: Option<&SupersededBy>, portal: Portal) -> Step {
    let ours = action.machine_action.as_ref().map(|it| it.id.as_str());
    let id = ours.or(superseded_by.map(|it| it.machine_action_id.as_str())).unwrap_or("not known");
    let what = format!(
        "Open the Action center, tab History; find the action of kind Quarantine file on device {} (machine action {id}); \
         select it, and Undo.",
        device(action),
    );
    let link = Some(format!("{}/action-center/history", portal.address()));
    Step { kind: StepKind::Portal, what, command: None, link, warning: None }
}

fn on_device(action: &Action, portal: Portal) -> Step {
    let link = action.target.map(|target| format!("{}/machines/v2/{}", portal.address(), target.machine_id));
    let warning = "It restores every file that a custom block has quarantined on this device in the last 30 days, not this \
                   one alone. If nothing has that name, the name may end in !cl.";
    Step {
        kind: StepKind::Device,
        what: format!(
            "Or run this on device {}, in a command line opened as administrator. Defender's event 1009 on the device says \
             that a file was restored.",
            device(action)
        ),
        command: Some(RESTORE.to_owned()),
        link,
        warning: Some(warning.to_owned()),
    }
}

fn allow(action: &Action, portal: Portal) -> Step {
    let sha1 = action.target.map_or_else(|| "not known".to_owned(), |target| target.sha1.to_string());
    Step {
        kind: StepKind::Allow,
        what: format!(
            "If the file is good, have Defender allow it: Settings, Endpoints, Indicators, File hashes, add {sha1} with the \
             action Allow and an end. Else Defender itself, or another tool, may quarantine it again."
        ),
        command: None,
        link: Some(portal.address().to_owned()),
        warning: Some("An indicator is for every device of its scope, not for this one alone.".to_owned()),
    }
}

fn mark(action: &Action) -> Step {
    Step {
        kind: StepKind::Mark,
        what: "Mark it as undone: for 30 days no alert of any source has this file quarantined on this device by us."
            .to_owned(),
        command: Some(format!("quarantine-bridge undo {} --mark --reason \"...\"", action.id)),
        link: None,
        warning: None,
    }
}

/// Names the device: its id, and its name if the alert gave one.
fn device(action: &Action) -> String {
    let id = action.target.map_or_else(|| "not known".to_owned(), |target| target.machine_id.to_string());
    match &action.pair.machine.dns_name {
        Some(name) => format!("{id} ({name})"),
        None => id,
    }
}
