//! What goes wrong or comes from outside: crashes, stops, clocks, reloads, people; and what becomes of messages.

use jiff::SignedDuration;
use quarantine_bridge::alert::ActionId;
use quarantine_bridge::microsoft::Failure;
use quarantine_bridge::simulator::Place;
use quarantine_bridge::store::{Cancel, Complete, Disk, Retry, TurnOff, TurnOn};

use super::asker::Asker;
use super::faults;
use super::network::received;
use super::run::Run;
use super::scenario::{FILES, MACHINES, policy};

/// How often the kill switch is turned, in a thousand steps, in a third of the seeds.
const SWITCH_RATE: u32 = 8;

/// How often an action is tried again, in a thousand steps, in half of the seeds.
const RETRY_RATE: u32 = 8;

impl Run {
    /// Lets something happen that nobody waits for, or nothing.
    pub(super) fn disturb(&mut self) {
        let rates = self.scenario.rates;
        // A crash is most telling while something is under way.
        let is_telling =
            self.inline.waiting() > 0 || self.messages.iter().any(|it| it.word() == "quarantine");
        if self.strikes(if is_telling { rates.crash * 5 } else { rates.crash }) {
            self.crash();
        }
        if self.strikes(rates.stop)
            && let Some(bridge) = &self.bridge
        {
            bridge.stop.send_replace(true);
            self.note("the process is told to stop");
        }
        if self.strikes(rates.step_clock) {
            let steps = [
                ("+10 min", 600),
                ("-10 min", -600),
                ("+1 h", 3_600),
                ("-1 h", -3_600),
                ("+1 h", 3_600),
                ("-1 h", -3_600),
                ("+1 day", 86_400),
                ("-1 day", -86_400),
            ];
            let (word, seconds) = steps[self.random.usize(..steps.len())];
            self.clock.set_by(SignedDuration::from_secs(seconds));
            self.note(format!("the clock is set, {word}"));
            self.sometimes.saw(format!("clock {word}"));
        }
        if self.strikes(rates.reload) {
            self.reload();
        }
        if self.strikes(rates.complete) {
            self.complete();
        }
        if self.strikes(rates.cancel) {
            self.cancel();
        }
        if !self.goes_well && self.seed.is_multiple_of(3) && self.switch_random.u32(..1_000) < SWITCH_RATE {
            self.turn_switch();
        }
        if !self.goes_well && self.seed.is_multiple_of(2) && self.retry_random.u32(..1_000) < RETRY_RATE {
            self.retry();
        }
        if self.strikes(rates.others) {
            let (machine, file) = (MACHINES[self.random.usize(..2)], FILES[self.random.usize(..2)]);
            if self.defender.quarantine_as("analyst", machine, file, "by hand") {
                self.note(format!("an analyst quarantines {file} on {machine}"));
                self.sometimes.saw("somebody else acts");
            }
        }
    }

    /// The process dies: where it stands, before a commit, or after a commit of which nobody learns.
    fn crash(&mut self) {
        if self.bridge.is_none() {
            return;
        }
        let waiting = self.inline.waiting();
        let moment = match (waiting, self.random.u32(..3)) {
            (0, _) | (_, 0) => "crash",
            (_, 1) => "crash before commit of",
            _ => "crash after commit of",
        };
        self.note(moment);
        if moment == "crash" {
            let stages = self.messages.iter().filter(|message| !message.is_orphan()).map(|message| {
                let stage = if message.answer.is_none() { "request" } else { "answer" };
                format!("crash with {stage} of {}", message.word())
            });
            let stages: Vec<String> = stages.collect();
            for stage in stages {
                self.sometimes.saw(stage);
            }
            self.sometimes.saw("crash");
        } else {
            let disk = if moment.contains("before") { Disk::Full } else { Disk::Fine };
            for word in self.commit_group(waiting, disk) {
                self.sometimes.saw(format!("{moment} {word}"));
            }
        }
        self.end_process();
    }

    /// The configuration is read again: one source has another policy, or is gone.
    fn reload(&mut self) {
        let mut policies = self.policies.last().unwrap().clone();
        let names = ["soc", "siem", "edr"];
        let name = names[self.random.usize(..names.len())].parse().unwrap();
        if self.random.u32(..4) == 0 {
            policies.remove(&name);
            self.sometimes.saw("reload without a source");
        } else {
            policies.insert(name, policy(&mut self.random));
            self.sometimes.saw("reload");
        }
        if let Some(bridge) = &self.bridge {
            bridge.options.send_replace(self.scenario.options(&policies));
        }
        self.note("the configuration is read again");
        self.policies.push(policies);
    }

    /// A person completes an action that is held, or believes that it is.
    fn complete(&mut self) {
        let Some((seq, action)) = self.some_action("'held', 'queued'") else {
            return;
        };
        let complete = Complete {
            action,
            machine_id: Some(MACHINES[self.random.usize(..2)].parse().unwrap()),
            sha1: Some(FILES[self.random.usize(..2)].parse().unwrap()),
            reason: "looked at".to_owned(),
            who: "token:person".parse().unwrap(),
            now: self.clock.now(),
        };
        let Some(bridge) = &self.bridge else {
            return;
        };
        let asker = Asker::complete(bridge.store.clone(), complete, format!("a person completes #{seq}"));
        self.note(asker.name());
        self.askers.push(asker);
    }

    /// A person cancels an action, wherever it is.
    fn cancel(&mut self) {
        let states =
            "'held', 'queued', 'queued', 'sending', 'uncertain', 'submitted', 'succeeded', 'cancelled'";
        let Some((seq, action)) = self.some_action(states) else {
            return;
        };
        let who = "token:person".parse().unwrap();
        let cancel = Cancel { action, reason: "a mistake".to_owned(), who, now: self.clock.now() };
        let Some(bridge) = &self.bridge else {
            return;
        };
        let asker = Asker::cancel(bridge.store.clone(), cancel, format!("a person cancels #{seq}"));
        self.note(asker.name());
        self.askers.push(asker);
    }

    /// A person has an action tried again, whatever became of it.
    fn retry(&mut self) {
        let states = "'failed', 'rejected', 'timed_out', 'cancelled', 'expired', 'succeeded', 'submitted'";
        let all = self.actions_in(states);
        let Some((seq, action)) = all.get(self.retry_random.usize(..all.len().max(1))).copied() else {
            return;
        };
        let Some(bridge) = &self.bridge else {
            return;
        };
        let retry = Retry {
            action,
            reason: "once more".to_owned(),
            who: "token:person".parse().unwrap(),
            mode_max: None,
            source: None,
            now: self.clock.now(),
        };
        let asker = Asker::retry(bridge.store.clone(), retry, format!("a person has #{seq} tried again"));
        self.note(asker.name());
        self.askers.push(asker);
    }

    /// A person turns the kill switch, one at a time.
    fn turn_switch(&mut self) {
        let Some(bridge) = &self.bridge else {
            return;
        };
        if self.askers.iter().any(Asker::turns_switch) {
            return;
        }
        let (store, now) = (bridge.store.clone(), self.clock.now());
        let (who, reason) = ("token:person".parse().unwrap(), "an exercise".to_owned());
        let asker = if self.ledger.is_stopped() || self.switch_random.u32(..3) == 0 {
            // It may take effect from now on.
            self.ledger.stop(false);
            Asker::turn_off(store, TurnOff { who, reason, now })
        } else {
            Asker::turn_on(store, TurnOn { who, reason, cancels: self.switch_random.bool(), now })
        };
        self.note(asker.name());
        self.askers.push(asker);
    }

    /// Draws an action in one of these states.
    fn some_action(&mut self, states: &str) -> Option<(i64, ActionId)> {
        let all = self.actions_in(states);
        all.get(self.random.usize(..all.len().max(1))).copied()
    }

    /// Returns the actions in these states.
    fn actions_in(&self, states: &str) -> Vec<(i64, ActionId)> {
        let sql = format!("SELECT seq, id FROM actions WHERE state IN ({states}) ORDER BY seq");
        self.inline.look(|db| {
            let mut statement = db.prepare_cached(&sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
            rows.map(Result::unwrap).map(|(seq, id)| (seq, id.parse().unwrap())).collect()
        })
    }

    /// Brings a message on: to Defender, or back to the bridge, or nowhere.
    pub(super) fn deliver(&mut self, n: usize) {
        let rates = self.scenario.rates;
        let place = self.messages[n].place;
        let (word, number) = (self.messages[n].word(), self.messages[n].number);
        if let Some(answer) = self.messages[n].answer.take() {
            let is_lost = self.strikes(rates.answer_lost) || self.now >= self.messages[n].left_at + 30_000;
            let mut message = self.messages.remove(n);
            let told = if is_lost { "answer lost" } else { "answer" };
            self.note(format!("{told} to request {number}: {word} {}", status(&answer)));
            self.sometimes.saw(format!("{told} {word}"));
            let is_unread = is_lost || !answer.as_ref().is_ok_and(|answer| answer.status == 200);
            if is_unread && place == Place::MachineActions && self.ledger.is_any_uncertain() {
                self.sometimes.saw("reconcile without a list");
            }
            message.tell(if is_lost {
                Err(Failure::Lost("the connection was reset".to_owned()))
            } else {
                answer
            });
            return;
        }
        if self.strikes(rates.not_sent) && !self.messages[n].is_orphan() {
            let mut message = self.messages.remove(n);
            self.note(format!("request {number} cannot leave: {word}"));
            self.sometimes.saw(format!("not sent {word}"));
            message.tell(Err(Failure::NotSent("connection refused".to_owned())));
            return;
        }
        if self.strikes(rates.request_lost) {
            let mut message = self.messages.remove(n);
            self.note(format!("request {number} is lost: {word}"));
            self.sometimes.saw(format!("request lost {word}"));
            message.tell(Err(Failure::Lost("the connection was reset".to_owned())));
            return;
        }
        let fault = if self.goes_well { None } else { faults::draw(&mut self.random, &rates, place) };
        if let Some(kind) = &fault {
            let name = faults::name(word, kind);
            self.note(&name);
            self.sometimes.saw(name);
        }
        let before = self.defender.actions.all().len();
        let answered = self.defender.answer(&self.messages[n].request, fault.as_ref());
        self.note(format!("request {number} arrives: {word}, answered {}", answered.status));
        if place == Place::Quarantine {
            self.arrived(n, self.defender.actions.all().len() > before);
        }
        if self.messages[n].is_orphan() {
            self.messages.remove(n);
        } else {
            self.messages[n].answer = Some(received(answered));
        }
    }

    /// Checks a quarantine call as Defender sees it.
    fn arrived(&mut self, n: usize, has_created: bool) {
        let is_slow = self.scenario.delay_max > 1_500;
        let limits = (!is_slow).then_some(self.scenario.limits);
        self.ledger.arrives(self.now, limits);
        let Some(call) = self.messages[n].call.filter(|_| has_created) else {
            return;
        };
        let lag = u64::from(self.scenario.switches.list_lag_ms);
        self.note(format!("Defender makes a machine action for #{}", call.action));
        if self.ledger.creates(call, self.now, lag) {
            self.sometimes.saw("a second machine action beyond the settle time");
        }
    }
}

fn status(answer: &Result<quarantine_bridge::microsoft::Answer, Failure>) -> String {
    answer.as_ref().map_or_else(|_| "none".to_owned(), |answer| answer.status.to_string())
}
