//! Asks Defender what must be known of devices and files: each question once for all who ask, within limits of its own.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::alert::{Action, Found, LookupApi, Question, after};
use crate::defender::{Defender, LookedUp, ReadError};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::answers::Answers;
use super::decide::{self, Next};
use super::{Budget, Dispatcher, Done, Permit, backoff};

/// How many actions are looked at in one turn.
const RESOLVE_MAX: u32 = 200;

/// How many questions may be under way at once.
const IN_FLIGHT_MAX: usize = 4;

/// How many questions that failed are remembered.
const FAILED_MAX: usize = 10_000;

/// What is known, what is being asked, and what may be asked.
#[derive(Debug)]
pub(super) struct Lookups {
    pub(super) answers: Answers,
    in_flight: HashSet<Question>,
    failed: HashMap<Question, Failed>,
    machines: Lane,
    files: Lane,
}

/// A question that found no answer.
#[derive(Debug, Clone, Copy)]
struct Failed {
    times: u32,
    again_at: Timestamp,
}

/// One part of the API: its calls, and whether it is left alone for a while.
#[derive(Debug)]
struct Lane {
    budget: Budget,
    failures: u32,
    paused_until: Timestamp,
}

impl Lane {
    fn new(per_minute: u32, per_hour: u32) -> Self {
        let budget = Budget::new(per_minute, per_hour, Vec::new());
        Self { budget, failures: 0, paused_until: Timestamp::MIN }
    }

    /// Returns when the next call may be made.
    fn free_at(&self, now: Timestamp) -> Timestamp {
        match self.budget.permit(now) {
            Permit::Now => self.paused_until,
            Permit::WaitUntil(at) => at.max(self.paused_until),
        }
    }

    fn fail(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.paused_until = after(now, backoff::after_failures(self.failures));
    }
}

impl Lookups {
    pub(super) fn new(per_minute: u32, per_hour: u32) -> Self {
        Self {
            answers: Answers::default(),
            in_flight: HashSet::new(),
            failed: HashMap::new(),
            machines: Lane::new(per_minute, per_hour),
            files: Lane::new(per_minute, per_hour),
        }
    }

    pub(super) fn set_limits(&mut self, per_minute: u32, per_hour: u32) {
        for lane in [&mut self.machines, &mut self.files] {
            lane.budget.set_limits(per_minute, per_hour);
        }
    }

    fn lane(&self, api: LookupApi) -> &Lane {
        match api {
            LookupApi::Machines => &self.machines,
            LookupApi::Files => &self.files,
        }
    }

    fn lane_mut(&mut self, api: LookupApi) -> &mut Lane {
        match api {
            LookupApi::Machines => &mut self.machines,
            LookupApi::Files => &mut self.files,
        }
    }

    /// Says when a question may be asked.
    fn when(&self, question: &Question, now: Timestamp) -> When {
        if self.in_flight.contains(question) {
            return When::Asked;
        }
        let again_at = self.failed.get(question).map_or(Timestamp::MIN, |failed| failed.again_at);
        let at = self.lane(question.api()).free_at(now).max(again_at);
        if at > now {
            When::At(at)
        } else if self.in_flight.len() >= IN_FLIGHT_MAX {
            When::Later
        } else {
            When::Now
        }
    }

    fn fail(&mut self, question: Question, now: Timestamp) {
        self.lane_mut(question.api()).fail(now);
        if self.failed.len() >= FAILED_MAX {
            self.failed.retain(|_, failed| failed.again_at > now);
        }
        let times = self.failed.get(&question).map_or(1, |failed| failed.times.saturating_add(1));
        let again_at = after(now, backoff::after_failures(times));
        self.failed.insert(question, Failed { times, again_at });
    }
}

/// When a question may be asked.
enum When {
    Now,
    /// Not before then.
    At(Timestamp),
    /// When one that is under way has ended.
    Later,
    /// It is under way.
    Asked,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Asked {
    question: Question,
    /// When it was asked.
    since: Timestamp,
    result: Result<Found, ReadError>,
    calls: u32,
}

impl Dispatcher {
    /// Decides actions whose device and file are known by now, and asks what the others need.
    pub(super) async fn start_lookups(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.show_lookups_left(now);
        let mut advances = Vec::new();
        for action in self.store.resolving(now, RESOLVE_MAX).await? {
            match self.next_step(&action, now) {
                Next::Decided(decided) => {
                    self.tell_decided(&action, &decided);
                    advances.push(decided.advance);
                }
                Next::Ask(question) => match self.lookups.when(&question, now) {
                    When::Now => self.start_lookup(question, now),
                    When::At(at) => advances.push(decide::wait(&action, at)),
                    When::Later | When::Asked => {}
                },
            }
        }
        self.store.advance(advances).await
    }

    /// Returns what comes next for an action, with what is known now.
    pub(super) fn next_step(&self, action: &Action, now: Timestamp) -> Next {
        let not_before = action.completion.as_ref().map(|completion| completion.at);
        let known = |question: &Question| self.lookups.answers.get(question, now, not_before).cloned();
        decide::decide(action, self.options.source(&action.source), &known, now)
    }

    fn start_lookup(&mut self, question: Question, now: Timestamp) {
        self.lookups.in_flight.insert(question.clone());
        self.lookups.lane_mut(question.api()).budget.record(now);
        let defender = self.defender.clone();
        self.in_flight.push(Box::pin(async move {
            let LookedUp { found, calls } = look_up(&defender, &question).await;
            Done::Asked(Asked { question, since: now, result: found, calls })
        }));
    }

    /// Keeps an answer; after a failure, the question and its part of the API wait.
    pub(super) fn asked(&mut self, asked: Asked) {
        let Asked { question, since, result, calls } = asked;
        let now = self.clock.now();
        let api = question.api();
        let lookups = &mut self.lookups;
        lookups.in_flight.remove(&question);
        let lane = lookups.lane_mut(api);
        match calls {
            0 => lane.budget.release(since),
            calls => (1..calls).for_each(|_| lane.budget.record(now)),
        }
        let labels = [("api", api.as_str()), ("result", word(&result))];
        self.metrics.count(&metric::LOOKUPS, &labels);
        match result {
            Ok(found) => {
                lane.failures = 0;
                lookups.failed.remove(&question);
                lookups.answers.keep(question, found, since);
            }
            Err(error) => {
                tracing::warn!(%error, %question, "a question to Defender found no answer; it will be asked again");
                if let ReadError::Throttled { wait, .. } = error {
                    lane.budget.block(after(now, wait));
                }
                lookups.fail(question, now);
            }
        }
    }

    fn show_lookups_left(&self, now: Timestamp) {
        for api in LookupApi::ALL {
            let left = self.lookups.lane(api).budget.left(now);
            for (window, left) in ["minute", "hour"].into_iter().zip(left) {
                let left = u32::try_from(left).unwrap_or(u32::MAX);
                let labels = [("api", api.as_str()), ("window", window)];
                self.metrics.set(&metric::LOOKUPS_LEFT, &labels, f64::from(left));
            }
        }
    }
}

async fn look_up(defender: &Defender, question: &Question) -> LookedUp {
    let token = match defender.token().await {
        Ok(token) => token,
        Err(error) => return LookedUp { found: Err(error.into()), calls: 0 },
    };
    let looked_up = defender.look_up(&token, question).await;
    if matches!(looked_up.found, Err(ReadError::Unauthorized(_))) {
        defender.forget(&token).await;
    }
    looked_up
}

fn word(result: &Result<Found, ReadError>) -> &'static str {
    match result {
        Ok(Found::Machines(list)) if list.is_empty() => "nothing",
        Ok(Found::File(None)) => "nothing",
        Ok(Found::Machines(_) | Found::File(Some(_))) => "found",
        Ok(Found::Forbidden(_)) => "forbidden",
        Ok(Found::Refused(_)) => "refused",
        Err(ReadError::Throttled { .. }) => "throttled",
        Err(_) => "failed",
    }
}
