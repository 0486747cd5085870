//! Finds the one device and the one file that an alert means, or says why it cannot. Pure.
//!
//! It asks; who calls it brings the answers and calls again. Whatever is missing, doubtful or contradictory ends in an
//! `Unresolved`, never in a guess.

mod choose;
mod file;
mod machine;
mod steps;

use jiff::Timestamp;

use crate::alert::{Completion, EntityPair, Found, HeldReason, Question, Target, Unresolved};

pub use steps::{Plan, Step, plan};

/// Which ways of naming a device or a file a source may be resolved by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How a device's own id is taken.
    pub id: IdRule,
    /// The ways besides, in the order in which they are tried.
    pub by: [(By, bool); 6],
}

/// How Defender's id of a device, as the alert gives it, is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdRule {
    /// As it is: the call itself fails if there is no such device.
    AsGiven,
    /// Defender is asked whether it has the device, and whether its name is the alert's.
    Confirmed,
}

/// A way to find a device or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Entra ID's id of the device.
    AadDeviceId,
    /// Its exact DNS name.
    Fqdn,
    /// Its host name.
    HostName,
    /// Its address at the time of the alert.
    Ip,
    /// The file's SHA256.
    Sha256,
    /// The file's MD5.
    Md5,
}

impl By {
    /// Returns the key of the configuration that switches it.
    pub fn key(self) -> &'static str {
        match self {
            Self::AadDeviceId => "aad_device_id",
            Self::Fqdn => "fqdn",
            Self::HostName => "host_name",
            Self::Ip => "ip",
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
        }
    }
}

impl Default for Rules {
    /// All but the address, which moves from device to device; the device's own id as it is given.
    fn default() -> Self {
        let by = [By::AadDeviceId, By::Fqdn, By::HostName, By::Ip, By::Sha256, By::Md5];
        Self { id: IdRule::AsGiven, by: by.map(|by| (by, by != By::Ip)) }
    }
}

impl Rules {
    /// Says whether a way is on.
    pub fn allow(&self, by: By) -> bool {
        self.by.contains(&(by, true))
    }

    /// Switches a way.
    pub fn set(&mut self, by: By, is_on: bool) {
        for (known, on) in &mut self.by {
            if *known == by {
                *on = is_on;
            }
        }
    }
}

/// What is given to find device and file by.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// What the alert says.
    pub pair: &'a EntityPair,
    /// When the alert happened.
    pub occurred_at: Option<Timestamp>,
    /// What a person added.
    pub completion: Option<&'a Completion>,
    /// Which ways may be gone.
    pub rules: &'a Rules,
    /// Now.
    pub now: Timestamp,
}

/// How far the search has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// This must be known first.
    Ask(Question),
    /// This is the target, and how it was found, a line a fact.
    Resolved(Target, Vec<String>),
    /// There is none that is beyond doubt.
    Unresolved(Unresolved),
}

/// Why the search does not go on.
enum Stop {
    Ask(Question),
    Hold(Unresolved),
}

impl Stop {
    fn hold(reason: HeldReason, evidence: impl Into<String>) -> Self {
        Self::Hold(Unresolved::new(reason, evidence))
    }
}

/// What is known so far: the answer to a question, if there is one.
pub type Known<'k> = dyn Fn(&Question) -> Option<Found> + 'k;

/// Looks for device and file, as far as what is known allows.
pub fn resolve(given: &Given<'_>, known: &Known<'_>) -> Resolution {
    match both(given, known) {
        Ok((target, facts)) => Resolution::Resolved(target, facts),
        Err(Stop::Ask(question)) => Resolution::Ask(question),
        Err(Stop::Hold(unresolved)) => Resolution::Unresolved(unresolved),
    }
}

fn both(given: &Given<'_>, known: &Known<'_>) -> Result<(Target, Vec<String>), Stop> {
    let (machine_id, by_machine) = machine::find(given, known)?;
    let (sha1, by_file) = file::find(given, known)?;
    if sha1.equals_machine(machine_id) {
        let evidence =
            format!("{sha1} is both the device's id and the file's SHA1: one was taken for the other");
        return Err(Stop::hold(HeldReason::FileHashMismatch, evidence));
    }
    Ok((Target { machine_id, sha1 }, vec![by_machine, by_file]))
}

/// Returns the answer to a question, or asks it.
fn ask(question: Question, known: &Known<'_>) -> Result<Found, Stop> {
    match known(&question) {
        None => Err(Stop::Ask(question)),
        Some(Found::Refused(why)) => {
            let evidence = format!("Defender refused to look for {question}: {why}");
            Err(Stop::hold(HeldReason::LookupRefused, evidence))
        }
        Some(found) => Ok(found),
    }
}
