//! Gathers what guards look at from Defender's answers, or says what must be asked. Pure.

use jiff::Timestamp;

use crate::alert::{Action, FileRecord, FileStats, Found, Machine, MachineId, Question, Target};
use crate::policy::{DeviceFacts, Fact, Facts, FileFacts, Guards, Need};

use super::answers::{Order, was_asked_since};

/// What came of a question: an answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Learned {
    /// When it was asked.
    pub(super) at: Timestamp,
    /// And when among all questions.
    pub(super) order: Order,
    /// The answer.
    pub(super) answer: Result<Found, String>,
}

/// What is known so far: what came of a question, if it was asked and that is not too long ago.
pub(super) type LearnedBy<'k> = dyn Fn(&Question) -> Option<Learned> + 'k;

/// How far the gathering has come.
#[derive(Debug)]
pub(super) enum Gathered {
    /// These must be asked first.
    Ask(Vec<Question>),
    /// All that could be learned.
    All(Box<Facts>),
}

/// Returns the question that answers a need.
fn question(need: Need, target: Target) -> Question {
    match need {
        Need::Device => Question::Machine(target.machine_id),
        Need::File => Question::FileBySha1(target.sha1),
        Need::Prevalence => Question::FileStats(target.sha1),
        Need::Sightings => Question::FileMachines(target.sha1),
    }
}

/// Gathers what the guards that are on look at. What they do not look at is not asked for.
///
/// That the file was not seen on the device is believed only of a list that was asked for since the action came, and after
/// the device was known: others may have asked for it before.
pub(super) fn gather(
    action: &Action,
    target: Target,
    guards: &Guards,
    learned: &LearnedBy<'_>,
    now: Timestamp,
) -> Gathered {
    let needs = Need::ALL.into_iter().filter(|need| guards.needs(*need));
    let (mut missing, mut facts) = (Vec::new(), Facts::default());
    let mut device_known = 0;
    for need in needs {
        let question = question(need, target);
        let late_enough = |learned: &Learned| {
            let lacks =
                matches!(&learned.answer, Ok(Found::SeenOn(list)) if !list.contains(&target.machine_id));
            let is_after_both =
                was_asked_since(action.accepted_at, learned.at, now) && learned.order.asked >= device_known;
            !lacks || is_after_both
        };
        let Some(Learned { at, order, answer }) = learned(&question).filter(late_enough) else {
            missing.push(question);
            // Of a device that is not known no more is asked.
            if need == Need::Device {
                break;
            }
            continue;
        };
        facts.learned_at = Some(facts.learned_at.map_or(at, |oldest| oldest.min(at)));
        match need {
            Need::Device => {
                device_known = order.answered;
                facts.device = device(answer, target.machine_id);
            }
            Need::File => read_file(&mut facts.file, answer, target),
            Need::Prevalence => read_prevalence(&mut facts.file, answer),
            Need::Sightings => facts.seen_on_device = sighting(answer, target.machine_id),
        }
    }
    if missing.is_empty() { Gathered::All(Box::new(facts)) } else { Gathered::Ask(missing) }
}

/// Why an answer is none.
fn no_answer(answer: Result<Found, String>, nothing: &str) -> String {
    match answer {
        Err(why) => format!("Defender could not be asked: {why}"),
        Ok(Found::Forbidden(why)) => format!("the app registration may not ask: {why}"),
        Ok(Found::Refused(why)) => format!("Defender refused the question: {why}"),
        Ok(Found::Machines(_) | Found::File(_) | Found::Stats(_) | Found::SeenOn(_)) => nothing.to_owned(),
    }
}

fn device(answer: Result<Found, String>, id: MachineId) -> DeviceFacts {
    let machine = match answer {
        Ok(Found::Machines(list)) => list.into_iter().find(|machine| machine.id == id),
        other => return DeviceFacts::unknown(&no_answer(other, "Defender does not know the device")),
    };
    machine.map_or_else(|| DeviceFacts::unknown("Defender does not know the device"), device_facts)
}

fn device_facts(machine: Machine) -> DeviceFacts {
    let traits = machine.traits;
    DeviceFacts {
        name: Fact::of(machine.dns_name.map(|name| name.to_string()), "name"),
        os_platform: Fact::of(machine.os_platform, "system"),
        os_version: Fact::of(traits.os_version, "version of its system"),
        os_build: Fact::of(traits.os_build, "build of its system"),
        onboarding: Fact::of(machine.onboarding_status, "onboarding status"),
        health: Fact::of(machine.health_status, "health status"),
        last_seen: Fact::of(traits.last_seen, "time at which it was last seen"),
        tags: Fact::of(traits.tags, "tags"),
        group: Fact::of(traits.group, "device group"),
        value: Fact::of(traits.value, "device value"),
    }
}

fn read_file(facts: &mut FileFacts, answer: Result<Found, String>, target: Target) {
    let record = match answer {
        Ok(Found::File(record)) => record.filter(|record| record.sha1 == Some(target.sha1)),
        other => return facts.set_record_unknown(&no_answer(other, "Defender does not know the file")),
    };
    let Some(FileRecord { traits, .. }) = record else {
        return facts.set_record_unknown("Defender does not know the file");
    };
    facts.signer = Fact::of(traits.signer, "signer");
    facts.issuer = Fact::of(traits.issuer, "issuer of a certificate");
    facts.is_certificate_valid = Fact::of(traits.is_certificate_valid, "validity of a certificate");
    facts.determination = Fact::of(traits.determination, "determination");
}

fn read_prevalence(facts: &mut FileFacts, answer: Result<Found, String>) {
    let stats = match answer {
        Ok(Found::Stats(stats)) => stats,
        other => return facts.set_prevalence_unknown(&no_answer(other, "Defender does not know the file")),
    };
    let Some(FileStats { organisation_prevalence, global_prevalence }) = stats else {
        return facts.set_prevalence_unknown("Defender does not know the file");
    };
    facts.organisation_prevalence = Fact::of(organisation_prevalence, "prevalence in the organisation");
    facts.global_prevalence = Fact::of(global_prevalence, "prevalence in the world");
}

fn sighting(answer: Result<Found, String>, id: MachineId) -> Fact<bool> {
    match answer {
        Ok(Found::SeenOn(machines)) => Fact::Known(machines.contains(&id)),
        other => Fact::Unknown(no_answer(other, "Defender gave no list of devices")),
    }
}
