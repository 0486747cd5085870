//! What a seed stands for: sources, alerts, the tenant, how often what goes wrong.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{
    Alert, EntityPair, FileEntity, FoundAt, MachineEntity, Mode, Severity, SourceName, after, before,
};
use quarantine_bridge::dispatch::Options;
use quarantine_bridge::ingest::{Gate, RawDelivery, Verified, sign, verify};
use quarantine_bridge::policy::{Guard, Guards, No, Policy, ProtectedFile, ProtectedFiles};
use quarantine_bridge::simulator::{KnownFile, Machine, Switches, WindowKind, World};

use crate::harness::{all_off, key, start_of_time};

/// The devices: two usual ones, one that cannot be helped, one with a twin's name.
pub(crate) const MACHINES: [&str; 4] = [
    "1111111111aaaaaaaaaa1111111111aaaaaaaaaa",
    "2222222222aaaaaaaaaa2222222222aaaaaaaaaa",
    "3333333333aaaaaaaaaa3333333333aaaaaaaaaa",
    "4444444444aaaaaaaaaa4444444444aaaaaaaaaa",
];

/// The files: two usual ones, one that no policy lets be quarantined, one that Microsoft signed.
pub(crate) const FILES: [&str; 4] = [
    "1111111111bbbbbbbbbb1111111111bbbbbbbbbb",
    "2222222222bbbbbbbbbb2222222222bbbbbbbbbb",
    "3333333333bbbbbbbbbb3333333333bbbbbbbbbb",
    "4444444444bbbbbbbbbb4444444444bbbbbbbbbb",
];

/// The file that no policy lets be quarantined.
pub(crate) const PROTECTED: &str = FILES[2];

/// A file that was never seen on any device.
const UNSEEN: &str = "5555555555bbbbbbbbbb5555555555bbbbbbbbbb";

const SOURCES: [&str; 3] = ["soc", "siem", "edr"];

/// How often something happens, in a thousand chances. Each is nothing in a third of the seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) crash: u32,
    pub(crate) stop: u32,
    pub(crate) step_clock: u32,
    pub(crate) reload: u32,
    pub(crate) complete: u32,
    pub(crate) cancel: u32,
    pub(crate) others: u32,
    pub(crate) disk_full: u32,
    pub(crate) not_sent: u32,
    pub(crate) request_lost: u32,
    pub(crate) answer_lost: u32,
    pub(crate) call_fault: u32,
    pub(crate) list_fault: u32,
    pub(crate) lookup_fault: u32,
    pub(crate) token_fault: u32,
}

/// A delivery that a sender will make, again and again until it is taken.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// When, in milliseconds since the beginning.
    pub(crate) at: u64,
    pub(crate) id: String,
    pub(crate) source: SourceName,
    pub(crate) alerts: Vec<Alert>,
}

/// What a seed stands for.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) policies: HashMap<SourceName, Policy>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) world: World,
    pub(crate) switches: Switches,
    pub(crate) rates: Rates,
    /// The longest that a message is on its way, in milliseconds.
    pub(crate) delay_max: u64,
    /// Calls a minute and an hour.
    pub(crate) limits: [u32; 2],
    /// How many choices are made before everything goes well again.
    pub(crate) choices: u32,
}

impl Scenario {
    /// Makes the scenario of a seed.
    pub(crate) fn of(random: &mut Rng) -> Self {
        let policies = SOURCES.iter().map(|name| (name.parse().unwrap(), policy(random))).collect();
        Self {
            policies,
            deliveries: deliveries(random),
            world: world(random),
            switches: switches(random),
            rates: rates(random),
            delay_max: if random.u32(..4) == 0 { 28_000 } else { 1_500 },
            limits: if random.bool() { [3, 12] } else { [100, 1_500] },
            choices: random.u32(300..1_500),
        }
    }

    /// The options of dispatch under some policies.
    pub(crate) fn options(&self, policies: &HashMap<SourceName, Policy>) -> Options {
        let [minute, hour] = self.limits;
        Options { calls_per_minute: minute, calls_per_hour: hour, ..Options::new(policies.clone()) }
    }
}

/// A policy: usually one that lets alerts pass.
pub(crate) fn policy(random: &mut Rng) -> Policy {
    let mode = match random.u32(..20) {
        0 => Mode::Shadow,
        1 => Mode::Approve,
        _ => Mode::Enforce,
    };
    let min_severity = if random.u32(..8) == 0 { Severity::High } else { Severity::Low };
    let minutes = [5, 60, 240, 1_500][random.usize(..4)];
    // The guards that look at Defender's facts and at what was sent have tests of their own; here mode, severity and age decide,
    // and which file it is.
    Policy::new(mode, min_severity, SignedDuration::from_mins(minutes)).with_guards(guards)
}

fn guards(guards: &mut Guards) {
    all_off(guards);
    guards.set(Guard::ProtectedFile, Some(No::Deny));
    let row = ProtectedFile { owner: "test".to_owned(), reason: "ours".to_owned(), expires_at: None };
    let mut files = ProtectedFiles::default();
    files.extend([(PROTECTED.parse().unwrap(), row)]);
    guards.protected_files = Arc::new(files);
}

fn rates(random: &mut Rng) -> Rates {
    let mut rate = |max: u32| if random.u32(..3) > 0 { random.u32(1..=max) } else { 0 };
    Rates {
        crash: rate(15),
        stop: rate(5),
        step_clock: rate(4),
        reload: rate(10),
        complete: rate(20),
        cancel: rate(30),
        others: rate(15),
        disk_full: rate(80),
        not_sent: rate(300),
        request_lost: rate(300),
        answer_lost: rate(500),
        call_fault: rate(500),
        list_fault: rate(400),
        lookup_fault: rate(400),
        token_fault: rate(500),
    }
}

fn switches(random: &mut Rng) -> Switches {
    let lag = match random.u32(..6) {
        0..=1 => 0,
        2..=3 => random.u32(..25_000),
        4 => random.u32(..60_000),
        _ => random.u32(60_000..300_000),
    };
    Switches {
        // Whether a limit is kept is looked at here, where the calls arrive.
        per_minute: 1_000_000,
        per_hour: 1_000_000,
        window: WindowKind::Sliding,
        list_lag_ms: lag,
        page_size: [5, 20, 1_000][random.usize(..3)],
        in_progress_after_ms: random.u32(..5_000),
        done_after_ms: [1_000, 26_000, 200_000][random.usize(..3)],
        token_life_s: [100, 600, 3_599][random.usize(..3)],
        ..Switches::default()
    }
}

fn world(random: &mut Rng) -> World {
    let names = ["one.corp.example", "two.corp.example", "mac.corp.example", "two.corp.example"];
    let ends = ["Succeeded", "Succeeded", "Failed", "TimeOut", "Cancelled"];
    let mut machine = |n: usize| Machine {
        id: MACHINES[n].to_owned(),
        dns_name: names[n].to_owned(),
        os_platform: if n == 2 { "macOS" } else { "Windows11" }.to_owned(),
        files: FILES[..3].iter().map(|file| (*file).to_owned()).collect(),
        is_offline: n == 1 && random.u32(..5) == 0,
        signed_files: vec![FILES[3].to_owned()],
        ends_as: ends[random.usize(..ends.len())].to_owned(),
        ..Machine::default()
    };
    let machines = (0..MACHINES.len()).map(&mut machine).collect();
    let file = |n: usize| KnownFile {
        sha1: Some(FILES[n].to_owned()),
        sha256: Some(sha256(n)),
        ..KnownFile::default()
    };
    World { machines, files: (0..FILES.len()).map(file).collect(), ..World::default() }
}

fn sha256(file: usize) -> String {
    format!("{file}{file}cc").repeat(16)
}

fn deliveries(random: &mut Rng) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = Vec::new();
    let mut at = 0;
    for n in 0..random.usize(5..30) {
        // Bursts and pauses.
        at += [0, 0, random.u64(..10_000), random.u64(..240_000)][random.usize(..4)];
        let again = all.get(random.usize(..=all.len() * 4)).cloned();
        all.push(match again {
            // The same delivery, or the same alerts in another one.
            Some(known) if random.bool() => Delivery { at, ..known },
            Some(known) => Delivery { at, id: format!("msg_{n}"), ..known },
            None => delivery(random, n, at),
        });
    }
    all
}

fn delivery(random: &mut Rng, n: usize, at: u64) -> Delivery {
    let source = SOURCES[random.usize(..SOURCES.len())].parse().unwrap();
    let alerts = (0..if random.u32(..5) == 0 { 2 } else { 1 }).map(|part| {
        // Two sources may have the same alert.
        let id = if random.u32(..8) == 0 { random.usize(..4) } else { n };
        alert(random, &format!("a{id}-{part}"), at)
    });
    Delivery { at, id: format!("msg_{n}"), source, alerts: alerts.collect() }
}

fn alert(random: &mut Rng, id: &str, at: u64) -> Alert {
    let made = after(start_of_time(), SignedDuration::from_millis(i64::try_from(at).unwrap()));
    let occurred_at = match random.u32(..40) {
        0 => None,
        1 => Some(after(made, SignedDuration::from_mins(random.i64(1..30)))),
        2 => Some(before(made, SignedDuration::from_mins(random.i64(30..120)))),
        _ => Some(before(made, SignedDuration::from_secs(random.i64(0..90)))),
    };
    let severity = (random.u32(..30) > 0).then(|| Severity::ALL[random.usize(1..5)]);
    let mut targets = vec![pair(random)];
    match random.u32(..8) {
        0 => targets.push(pair(random)),
        // The same device and file in another way.
        1 => targets.push(EntityPair { machine: named(0), ..targets[0].clone() }),
        _ => {}
    }
    targets.dedup_by(|a, b| a.machine.key() == b.machine.key() && a.file.key() == b.file.key());
    Alert {
        alert_id: id.parse().unwrap(),
        severity,
        title: "simulated".to_owned(),
        occurred_at,
        url: None,
        targets,
    }
}

fn pair(random: &mut Rng) -> EntityPair {
    let machine = match random.u32(..16) {
        0 => named(0),
        1 => named(1),
        2 => MachineEntity { dns_name: Some("nobody.corp.example".to_owned()), ..MachineEntity::default() },
        3 => with_id(random.usize(..MACHINES.len())),
        _ => with_id(random.usize(..2)),
    };
    let file = match random.u32(..16) {
        0 => FileEntity { sha256: Some(sha256(random.usize(..3)).parse().unwrap()), ..FileEntity::default() },
        1 => FileEntity { sha256: Some(sha256(9).parse().unwrap()), ..FileEntity::default() },
        2 => with_sha1([UNSEEN, FILES[3], PROTECTED][random.usize(..3)]),
        _ => with_sha1(FILES[random.usize(..2)]),
    };
    EntityPair { machine, file, candidates: Vec::new(), found_at: FoundAt::default() }
}

fn named(n: usize) -> MachineEntity {
    // The second name belongs to two devices.
    let name = ["one.corp.example", "two.corp.example"][n];
    MachineEntity { dns_name: Some(name.to_owned()), ..MachineEntity::default() }
}

fn with_id(n: usize) -> MachineEntity {
    MachineEntity { id: Some(MACHINES[n].parse().unwrap()), ..MachineEntity::default() }
}

fn with_sha1(sha1: &str) -> FileEntity {
    FileEntity { sha1: Some(sha1.parse().unwrap()), ..FileEntity::default() }
}

impl Delivery {
    /// Signs the delivery as its sender does, and has it verified.
    pub(crate) fn verified(&self, now: Timestamp) -> Verified {
        let body =
            Bytes::from(format!("{:?}", self.alerts.iter().map(|it| &it.alert_id).collect::<Vec<_>>()));
        let signature = sign(&key(), &self.id.parse().unwrap(), now, &body);
        let seconds = now.as_second().to_string();
        let headers =
            [("webhook-id", &self.id), ("webhook-timestamp", &seconds), ("webhook-signature", &signature)];
        let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes())).collect();
        let gate = Gate::standard_webhooks(vec![key()]).unwrap();
        verify(&self.source, &gate, &RawDelivery { headers, body, ..RawDelivery::default() }, now).unwrap()
    }
}
