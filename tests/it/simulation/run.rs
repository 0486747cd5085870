//! One run: a scheduler that decides by its seed what happens next, and checks what must hold after each step.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fastrand::Rng;
use jiff::SignedDuration;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::simulator::{Credentials, State as Defender, new_state};
use quarantine_bridge::store::{Disk, InlineStore, Store};
use secrecy::SecretString;
use serde_json::Value;

use super::asker::{Asker, SWITCHED_ON, Told};
use super::bridge::Bridge;
use super::ledger::{Ledger, Policies, SETTLE};
use super::network::{Message, Outbox};
use super::number;
use super::scenario::{Delivery, Scenario};
use super::trace::{Sometimes, Trace};
use crate::harness::{CLIENT, SECRET, TENANT, start_of_time};

/// How long the quiet end may take at most: all that is held or waits for a clock that was set back has ended by then.
const QUIET_MAX: u64 = 6 * 86_400_000;

/// A run, from its seed.
pub(crate) struct Run {
    pub(super) seed: u64,
    pub(super) random: Rng,
    /// Draws about the kill switch, so that the others are as they were without it.
    pub(super) switch_random: Rng,
    /// Draws about retries.
    pub(super) retry_random: Rng,
    pub(super) scenario: Scenario,
    pub(super) trace: Trace,
    pub(super) sometimes: Sometimes,
    pub(super) step: u64,
    /// True time, in milliseconds since the beginning.
    pub(super) now: u64,
    /// The bridge's clock; it may be set.
    pub(super) clock: Clock,
    pub(super) defender: Defender,
    pub(super) inline: InlineStore,
    /// The store of a bridge that starts next.
    pub(super) store: Option<Store>,
    pub(super) bridge: Option<Bridge>,
    /// Where the bridge puts its requests, and where they are taken from.
    outbox: Outbox,
    sent_by_bridge: Receiver<Message>,
    pub(super) messages: Vec<Message>,
    pub(super) sent: u64,
    /// Deliveries that are not acknowledged yet.
    pub(super) due: Vec<Delivery>,
    pub(super) askers: Vec<Asker>,
    /// Every set of policies; the last is in force.
    pub(super) policies: Vec<Policies>,
    /// Which policies were in force when each of the waiting writes was made.
    pub(super) written_under: VecDeque<usize>,
    /// How many commits from now find the disk full.
    pub(super) full_for: u32,
    pub(super) ledger: Ledger,
    /// Whether everything goes well from now on.
    pub(super) goes_well: bool,
}

/// What a run has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) hash: u64,
    pub(crate) sometimes: Sometimes,
    pub(crate) steps: u64,
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Poll,
    Ask(usize),
    Commit,
    Message(usize),
    Post(usize),
    Start,
    Time,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let scenario = Scenario::of(&mut random);
        let (outbox, sent_by_bridge) = channel();
        let (inline, store) = InlineStore::new().unwrap();
        let credentials = Credentials::new(TENANT, CLIENT, SecretString::from(SECRET));
        let mut defender = new_state(Clock::manual(start_of_time()), credentials, scenario.world.clone());
        defender.switches = scenario.switches.clone();
        Self {
            seed,
            random,
            switch_random: Rng::with_seed(!seed),
            retry_random: Rng::with_seed(seed.rotate_left(32)),
            trace: Trace::new(number("SIMULATION_TRACE").is_some()),
            sometimes: Sometimes::default(),
            step: 0,
            now: 0,
            clock: Clock::manual(start_of_time()),
            defender,
            inline,
            store: Some(store),
            bridge: None,
            outbox,
            sent_by_bridge,
            messages: Vec::new(),
            sent: 0,
            due: scenario.deliveries.clone(),
            askers: Vec::new(),
            policies: vec![scenario.policies.clone()],
            written_under: VecDeque::new(),
            full_for: 0,
            ledger: Ledger::default(),
            goes_well: false,
            scenario,
        }
    }

    /// Runs a seed to its end.
    pub(crate) async fn to_end(seed: u64) -> Shown {
        let mut run = Self::new(seed);
        for _ in 0..run.scenario.choices {
            run.next().await;
        }
        run.goes_well = true;
        run.full_for = 0;
        run.note("from now on everything goes well");
        let begin = run.now;
        while run.is_busy() {
            run.next().await;
            if run.now - begin > QUIET_MAX {
                break;
            }
        }
        let lag = u64::from(run.scenario.switches.list_lag_ms);
        run.inline.look(|db| {
            run.ledger.check_outcomes(db, &mut run.sometimes);
            Ledger::tell_cancels(db, &mut run.sometimes);
            run.ledger.check_quiet(db, lag);
            Ledger::check_audit(db);
        });
        assert!(run.due.is_empty(), "a delivery was never taken");
        Shown { hash: run.trace.hash(), sometimes: std::mem::take(&mut run.sometimes), steps: run.step }
    }

    fn is_busy(&self) -> bool {
        !self.due.is_empty() || !self.askers.is_empty() || self.ledger.unfinished() > 0
    }

    pub(super) fn note(&mut self, what: impl fmt::Display) {
        let wall = self.clock.now();
        self.trace.add(format!("{:>6} +{:>9.3} s, {wall:.0}: {what}", self.step, seconds(self.now)));
    }

    pub(super) fn strikes(&mut self, rate: u32) -> bool {
        !self.goes_well && self.random.u32(..1_000) < rate
    }

    async fn next(&mut self) {
        self.step += 1;
        self.disturb();
        let choice = self.choose();
        match choice {
            Choice::Poll => self.poll(),
            Choice::Ask(n) => self.ask(n),
            Choice::Commit => self.commit(),
            Choice::Message(n) => self.deliver(n),
            Choice::Post(n) => self.post(n),
            Choice::Start => self.start(),
            Choice::Time => self.pass_time().await,
        }
        self.take_requests();
    }

    /// Draws what happens next from all that can.
    fn choose(&mut self) -> Choice {
        let mut can: Vec<(u32, Choice)> = Vec::new();
        match &self.bridge {
            None => can.push((3, Choice::Start)),
            Some(bridge) => {
                if bridge.process.is_woken() {
                    can.push((10, Choice::Poll));
                }
                let due = self.due.iter().enumerate().filter(|(_, delivery)| delivery.at <= self.now);
                can.extend(due.map(|(n, _)| (4, Choice::Post(n))).take(3));
            }
        }
        let askers = self.askers.iter().enumerate().filter(|(_, asker)| asker.answer.is_woken());
        can.extend(askers.map(|(n, _)| (10, Choice::Ask(n))));
        if self.inline.waiting() > 0 {
            can.push((10, Choice::Commit));
        }
        can.extend((0..self.messages.len()).map(|n| (6, Choice::Message(n))));
        let overdue = self.messages.iter().position(|message| self.deadline(message) <= self.now);
        if let Some(n) = overdue {
            return Choice::Message(n);
        }
        // A process that stands still for long is stopped and started, which is another thing.
        let weight = if can.is_empty() { 1 } else { 3 };
        can.push((weight, Choice::Time));
        let mut drawn = self.random.u32(..can.iter().map(|(weight, _)| *weight).sum::<u32>());
        let found = can.iter().find(|(weight, _)| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        found.map_or(Choice::Time, |(_, choice)| *choice)
    }

    /// When a message must have arrived, or its answer, in true time.
    fn deadline(&self, message: &Message) -> u64 {
        let most = if message.answer.is_none() { self.scenario.delay_max } else { 30_000 };
        message.left_at + most
    }

    async fn pass_time(&mut self) {
        let is_idle = self.messages.is_empty()
            && self.inline.waiting() == 0
            && self.bridge.as_ref().is_some_and(|bridge| !bridge.process.is_woken());
        let mut by = match (is_idle, self.goes_well) {
            (false, _) => [1, 20, 200, 1_000][self.random.usize(..4)],
            (true, false) => [1_000, 5_000, 5_000, 30_000][self.random.usize(..4)],
            (true, true) if self.random.u32(..3) > 0 => 5_000,
            (true, true) => 3_600_000,
        };
        let deadlines = self.messages.iter().map(|message| self.deadline(message).saturating_sub(self.now));
        by = deadlines.min().map_or(by, |until| by.min(until)).max(1);
        self.now += by;
        let signed = SignedDuration::from_millis(i64::try_from(by).unwrap());
        self.clock.advance(signed);
        self.defender.clock.advance(signed);
        tokio::time::advance(Duration::from_millis(by)).await;
    }

    /// Lets the bridge go on.
    fn poll(&mut self) {
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        let ended = bridge.process.poll();
        self.count_writes();
        if let Some(is_well) = ended {
            self.note(format!(
                "the process has ended, {}",
                if is_well { "as told" } else { "unable to start" }
            ));
            self.sometimes.saw(if is_well { "stop" } else { "start fails" });
            self.end_process();
        }
    }

    /// Remembers under which policies new writes were made.
    pub(super) fn count_writes(&mut self) {
        let current = self.policies.len() - 1;
        self.written_under.resize(self.inline.waiting(), current);
    }

    fn commit(&mut self) {
        let waiting = self.inline.waiting();
        let many = if self.random.bool() { waiting } else { self.random.usize(1..=waiting) };
        if self.full_for == 0 && self.strikes(self.scenario.rates.disk_full) {
            self.full_for = self.random.u32(1..5);
        }
        let disk = if self.full_for > 0 { Disk::Full } else { Disk::Fine };
        self.full_for = self.full_for.saturating_sub(1);
        let words = self.commit_group(many, disk);
        let result = if disk == Disk::Full { "disk full" } else { "commit" };
        for word in words {
            self.sometimes.saw(format!("{result} {word}"));
        }
    }

    /// Commits a group of writes; returns what they did or would have done.
    pub(super) fn commit_group(&mut self, many: usize, disk: Disk) -> Vec<&'static str> {
        let mut words = Vec::new();
        let ledger = &self.ledger;
        self.inline.commit(many, |db| {
            words.extend(ledger.peek(db));
            disk
        });
        self.note(format!("{disk:?} disk, {many} writes: {}", words.join(", ")));
        let versions: Vec<usize> = self.written_under.drain(..many).collect();
        if disk == Disk::Fine {
            let policies: Vec<&Policies> = versions.iter().map(|version| &self.policies[*version]).collect();
            let (now, seen) = (self.now, (&mut self.trace, &mut self.sometimes));
            self.inline.look(|db| self.ledger.learn(db, now, &policies, seen));
        }
        words
    }

    /// Takes over what the bridge has sent since.
    fn take_requests(&mut self) {
        let new: Vec<Message> = self.sent_by_bridge.try_iter().collect();
        for mut message in new {
            self.sent += 1;
            message.number = self.sent;
            message.left_at = self.now;
            self.note(format!("request {} leaves: {}", message.number, message.word()));
            if message.word() == "quarantine" {
                let now = self.now;
                self.inline.look(|db| self.ledger.leaves(db, &mut message, now));
                self.leaves_nothing_open(&message);
            }
            if message.word() == "cancel" {
                self.inline.look(|db| Ledger::cancels(db, &message));
            }
            self.messages.push(message);
        }
    }

    /// Another try leaves only when no machine action of the same alert can act there any more (I2), unless Defender's list
    /// was too slow to tell.
    fn leaves_nothing_open(&self, message: &Message) {
        let body: Value = serde_json::from_slice(&message.request.body).unwrap();
        let comment = body["Comment"].as_str().unwrap();
        let Some((alert, _)) = comment.split_once(" (retry of ") else {
            return;
        };
        let machine = message.request.path.split('/').nth(3).unwrap();
        let open = self.defender.open_on(machine, body["Sha1"].as_str().unwrap());
        let is_of_alert = |open: &&String| open.split(" (retry of ").next() == Some(alert);
        let is_slow = u64::from(self.scenario.switches.list_lag_ms) + self.scenario.delay_max > SETTLE;
        assert!(is_slow || !open.iter().any(|it| is_of_alert(&it)), "another try beside {open:?} (I2)");
    }

    fn start(&mut self) {
        let store = self.store.take().unwrap_or_else(|| self.inline.reopen().unwrap());
        let options = self.scenario.options(self.policies.last().unwrap());
        self.note("the process starts");
        self.bridge = Some(Bridge::start(store, options, &self.clock, &self.outbox));
    }

    /// What is left of a process that is gone.
    pub(super) fn end_process(&mut self) {
        self.bridge = None;
        self.sent_by_bridge.try_iter().for_each(drop);
        for asker in std::mem::take(&mut self.askers) {
            self.give_up(asker);
        }
        self.written_under.clear();
        // What waits for a commit is lost with it.
        self.store = Some(self.inline.reopen().unwrap());
        let mut messages = std::mem::take(&mut self.messages);
        // What is on its way may still arrive; answers have nobody to go to.
        messages.retain(|message| message.answer.is_none() && self.random.bool());
        messages.iter_mut().for_each(Message::orphan);
        self.messages = messages;
        self.inline.look(|db| {
            self.ledger.check_database(db);
            Ledger::check_audit(db);
        });
    }

    fn post(&mut self, n: usize) {
        let Some(bridge) = &self.bridge else {
            return;
        };
        let delivery = self.due.remove(n);
        let asker = Asker::send(bridge.store.clone(), delivery, self.clock.now());
        self.note(format!("{} is posted", asker.name()));
        self.askers.push(asker);
    }

    fn ask(&mut self, n: usize) {
        let told = self.askers[n].answer.poll();
        self.count_writes();
        let Some(told) = told else {
            return;
        };
        let asker = self.askers.remove(n);
        match told {
            Told::Taken(ids) => {
                self.note(format!("{} is acknowledged", asker.name()));
                for id in ids {
                    self.ledger.acknowledge(id);
                }
                self.inline.look(|db| self.ledger.check_database(db));
            }
            Told::Done(what) => {
                self.note(format!("{}: {what}", asker.name()));
                if what == SWITCHED_ON {
                    self.ledger.stop(true);
                }
                self.sometimes.saw(what);
            }
            Told::Failed => {
                self.note(format!("{} is put off", asker.name()));
                self.sometimes.saw("put off");
                self.give_up(asker);
            }
        }
    }

    /// A sender that was told nothing sends again later.
    fn give_up(&mut self, asker: Asker) {
        if let Some(mut delivery) = asker.delivery {
            delivery.at = self.now + self.random.u64(500..20_000);
            self.due.push(delivery);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let waiting = self.messages.len();
            eprintln!(
                "\nseed {} failed at step {}, {waiting} messages under way, {:?}, delays to {} ms, limits {:?}\n{}\nreplay it with:\n  SIMULATION_SEED={} cargo test --test it simulation\n",
                self.seed,
                self.step,
                self.scenario.switches,
                self.scenario.delay_max,
                self.scenario.limits,
                self.trace.show(),
                self.seed,
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "shown only")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
