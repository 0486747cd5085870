//! One request and what it is answered, whatever carries them: HTTP, or a simulation.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::faults::Place;
use super::managed::Host;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Where it was sent, such as `http://127.0.0.1:8080`; links to further pages begin with it.
    pub base: String,
    /// Path with query.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `Metadata`.
    pub metadata: Option<String>,
    /// The header `X-IDENTITY-HEADER`.
    pub identity_header: Option<String>,
    /// Whether it came through a proxy.
    pub is_forwarded: bool,
    /// The body.
    pub body: Bytes,
}

/// What a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body, or as much of it as is sent.
    pub body: Bytes,
    /// Whether the connection is dropped after that.
    pub hangs_up: bool,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// A token of a tenant.
    Token(String),
    /// A token of a managed identity.
    Managed(Host),
    /// StopAndQuarantineFile on a machine.
    Quarantine(String),
    MachineActions,
    MachineAction(String),
    Cancel(String),
    Machines,
    Machine(String),
    File(String),
    /// How widely a file is spread.
    FileStats(String),
    /// The devices on which a file was seen.
    FileMachines(String),
    /// An alert of Microsoft Graph.
    Alert(String),
}

impl Request {
    /// Returns the path without the query.
    pub(super) fn bare_path(&self) -> &str {
        self.path.split_once('?').map_or(&self.path, |(path, _)| path)
    }

    /// Returns the query.
    pub(super) fn query(&self) -> &str {
        self.path.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the body as JSON, null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Finds what it asks for.
    pub(super) fn route(&self) -> Option<Route> {
        let decode = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let segments: Vec<String> = self.bare_path().split('/').skip(1).map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (self.method.as_str(), segments.as_slice()) {
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => Some(Route::Token((*tenant).to_owned())),
            ("GET", ["metadata", "identity", "oauth2", "token"]) => Some(Route::Managed(Host::Vm)),
            ("GET", ["msi", "token"]) => Some(Route::Managed(Host::AppService)),
            ("GET", ["v1.0", "security", "alerts_v2", id]) => Some(Route::Alert((*id).to_owned())),
            (method, ["api", "v1.0", rest @ ..] | ["api", rest @ ..]) => defender_route(method, rest),
            _ => None,
        }
    }
}

fn defender_route(method: &str, segments: &[&str]) -> Option<Route> {
    let owned = |id: &&str| (*id).to_owned();
    Some(match (method, segments) {
        ("POST", ["machines", id, "StopAndQuarantineFile"]) => Route::Quarantine(owned(id)),
        ("GET", ["machineactions"]) => Route::MachineActions,
        ("GET", ["machineactions", id]) => Route::MachineAction(owned(id)),
        ("POST", ["machineactions", id, "cancel"]) => Route::Cancel(owned(id)),
        ("GET", ["machines"]) => Route::Machines,
        ("GET", ["machines", id]) => Route::Machine(owned(id)),
        ("GET", ["files", hash]) => Route::File(owned(hash)),
        ("GET", ["files", hash, "stats"]) => Route::FileStats(owned(hash)),
        ("GET", ["files", hash, "machines"]) => Route::FileMachines(owned(hash)),
        _ => return None,
    })
}

impl Route {
    /// Where faults strike it, and whose limits it counts against.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Token(_) | Self::Managed(_) => Place::Token,
            Self::Quarantine(_) => Place::Quarantine,
            Self::MachineActions | Self::MachineAction(_) => Place::MachineActions,
            Self::Cancel(_) => Place::Cancel,
            Self::Machines | Self::Machine(_) => Place::Machines,
            Self::File(_) => Place::Files,
            Self::FileStats(_) => Place::FileStats,
            Self::FileMachines(_) => Place::FileMachines,
            Self::Alert(_) => Place::Alerts,
        }
    }
}

impl Answered {
    /// An answer in JSON.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// An answer in another form.
    pub(super) fn text(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into(), hangs_up: false }
    }

    /// The beginning of an answer, after which the connection is dropped.
    pub(super) fn broken_off(beginning: &'static str) -> Self {
        let body = Bytes::from_static(beginning.as_bytes());
        Self { status: 201, headers: Vec::new(), body, hangs_up: true }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}
