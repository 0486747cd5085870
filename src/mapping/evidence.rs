//! What a format says of the evidence of an alert: the role of each target, and what is no target and why.

use std::fmt;

use serde::Serialize;

use super::output::word;

/// What the format says of one alert's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The alert's id, if a readable one was found.
    pub alert_id: Option<String>,
    /// The role of each target of the alert, in its order.
    pub roles: Vec<Option<Role>>,
    /// What is no target, and why.
    pub left_out: Vec<LeftOut>,
}

/// Evidence that is no target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What it is called in the payload.
    pub name: Option<String>,
    /// What part it played.
    pub role: Option<Role>,
    /// Why it is no target.
    pub why: Why,
    /// JSON path of the place in the payload.
    pub found_at: Option<String>,
}

/// What part a file played in what an alert tells, a fixed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A file that was found.
    File,
    /// The image of a process.
    Process,
    /// The image of the process that started it.
    Parent,
    /// A library or driver that was loaded.
    ImageLoaded,
    /// A file that was written.
    Created,
    /// A file that was changed.
    Changed,
    /// A hash that stands alone.
    Hash,
}

/// Why evidence is no target, a fixed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The source does not call it malicious or detected.
    NotMalicious,
    /// The source has dealt with it already.
    Remediated,
    /// The image of a process.
    ProcessImage,
    /// The image of a parent process.
    Parent,
    /// A library that a process loaded.
    LoadedImage,
    /// A file in the folder of Windows, or signed as part of it.
    SystemFile,
    /// The state of a file before it was changed, or a file that was deleted.
    BeforeChange,
    /// The payload gives no hash of it.
    NoHash,
    /// Its hash stands for no file.
    Placeholder,
    /// Its hash is not of the form of one.
    MalformedHash,
    /// It was not on a device.
    NotOnDevice,
    /// What to look for, not what was found.
    Indicator,
    /// It was on a device that does not run Windows.
    NotWindows,
    /// The payload only refers to the alert.
    ReferenceOnly,
    /// The product's alerts name no file.
    NoFile,
    /// The payload holds a single observable, so that a hash is without its device.
    SingleObservable,
    /// The source calls the alert resolved or closed.
    Resolved,
    /// The payload tells a change of something told before.
    Update,
    /// A test or a sample.
    Test,
}

const ROLES: &[Role] =
    &[Role::File, Role::Process, Role::Parent, Role::ImageLoaded, Role::Created, Role::Changed, Role::Hash];

const WHYS: &[Why] = &[
    Why::NotMalicious,
    Why::Remediated,
    Why::ProcessImage,
    Why::Parent,
    Why::LoadedImage,
    Why::SystemFile,
    Why::BeforeChange,
    Why::NoHash,
    Why::Placeholder,
    Why::MalformedHash,
    Why::NotOnDevice,
    Why::Indicator,
    Why::NotWindows,
    Why::ReferenceOnly,
    Why::NoFile,
    Why::SingleObservable,
    Why::Resolved,
    Why::Update,
    Why::Test,
];

impl Role {
    /// Returns the word used by formats and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Process => "process",
            Self::Parent => "parent",
            Self::ImageLoaded => "image_loaded",
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Hash => "hash",
        }
    }

    pub(super) fn named(text: &str) -> Option<Self> {
        ROLES.iter().copied().find(|role| role.as_str() == text)
    }
}

impl Why {
    /// Returns the word used by formats and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotMalicious => "not_malicious",
            Self::Remediated => "remediated",
            Self::ProcessImage => "process_image",
            Self::Parent => "parent",
            Self::LoadedImage => "loaded_image",
            Self::SystemFile => "system_file",
            Self::BeforeChange => "before_change",
            Self::NoHash => "no_hash",
            Self::Placeholder => "placeholder",
            Self::MalformedHash => "malformed_hash",
            Self::NotOnDevice => "not_on_device",
            Self::Indicator => "indicator",
            Self::NotWindows => "not_windows",
            Self::ReferenceOnly => "reference_only",
            Self::NoFile => "no_file",
            Self::SingleObservable => "single_observable",
            Self::Resolved => "resolved",
            Self::Update => "update",
            Self::Test => "test",
        }
    }

    /// Returns the reason in words, for a person.
    pub fn explained(self) -> &'static str {
        match self {
            Self::NotMalicious => "its source does not call it malicious or detected",
            Self::Remediated => "its source has dealt with it already",
            Self::ProcessImage => "the image of a process; it is never taken for the file",
            Self::Parent => "the image of a parent process",
            Self::LoadedImage => "a library that the process loaded, not what the alert is about",
            Self::SystemFile => "it lies in the folder of Windows or is signed as part of it",
            Self::BeforeChange => "the file as it was before it was changed or deleted",
            Self::NoHash => "the payload gives no hash of it",
            Self::Placeholder => "its hash is a placeholder that stands for no file",
            Self::MalformedHash => "its hash is not of the form of one",
            Self::NotOnDevice => "it was not on a device",
            Self::Indicator => "it says what to look for, not what was found where",
            Self::NotWindows => "it was on a device that does not run Windows",
            Self::ReferenceOnly => "the payload only refers to the alert; docs/formats.md says what to send",
            Self::NoFile => "such an alert names no file; docs/formats.md says what to send instead",
            Self::SingleObservable => "a single observable does not tell on which device a file was",
            Self::Resolved => "its source calls the alert resolved or closed",
            Self::Update => "the payload tells a change of an alert, not a new one",
            Self::Test => "a test or a sample, not an alert",
        }
    }

    pub(super) fn named(text: &str) -> Option<Self> {
        WHYS.iter().copied().find(|why| why.as_str() == text)
    }

    /// Says whether this is about the whole message: nothing in it is to be acted on.
    pub(super) fn settles(self) -> bool {
        matches!(self, Self::Resolved | Self::Update | Self::Test)
    }

    /// Returns all words, for the message about one that is none of them.
    pub(super) fn all() -> Vec<&'static str> {
        WHYS.iter().map(|why| why.as_str()).collect()
    }
}

impl Role {
    /// Returns all words, for the message about one that is none of them.
    pub(super) fn all() -> Vec<&'static str> {
        ROLES.iter().map(|role| role.as_str()).collect()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("(no name)");
        write!(f, "{}: {}", word(name), self.why.explained())
    }
}
