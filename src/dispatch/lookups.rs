//! Asks Defender what must be known of devices and files: each question once for all who ask, within limits of its own.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Action, Api, Found, LookupApi, Question, Steady, after, before, lies_ahead};
use crate::budget::{Permit, Share};
use crate::defender::{Defender, LookedUp, ReadError};
use crate::store::StoreError;
use crate::telemetry::metric;

use super::answers::{Answers, KnownAnswer, Order};
use super::calls::number;
use super::decide::{self, Next};
use super::facts::Learned;
use super::{Dispatcher, Done, backoff};

/// How many actions are looked at in one turn.
const RESOLVE_MAX: u32 = 200;

/// How many questions may be under way at once.
const IN_FLIGHT_MAX: usize = 4;

/// How often a question is asked in a row before its fact counts as unknown.
const FACT_TRIES: u32 = 3;

/// How many questions that failed are remembered.
const FAILED_MAX: usize = 10_000;

/// What is known, what is being asked, and what may be asked.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pub(super) answers: Answers,
    in_flight: HashSet<Question>,
    failed: HashMap<Question, Failed>,
    machines: Lane,
    files: Lane,
    file_stats: Lane,
    file_machines: Lane,
    /// The number of the last question that was asked or answered.
    number: u64,
}

/// A question that found no answer.
#[derive(Debug, Clone)]
struct Failed {
    times: u32,
    /// How often of them Defender was asked in vain. Without a token it is not asked, and nothing could be sent.
    in_vain: u32,
    at: Timestamp,
    again_at: Timestamp,
    why: String,
}

/// One part of the API: whether it is left alone for a while.
#[derive(Debug)]
struct Lane {
    failures: u32,
    paused_until: Timestamp,
}

impl Default for Lane {
    fn default() -> Self {
        Self { failures: 0, paused_until: Timestamp::MIN }
    }
}

impl Lane {
    fn fail(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.paused_until = after(now, backoff::after_failures(self.failures));
    }
}

impl Lookups {
    fn lane(&self, api: LookupApi) -> &Lane {
        match api {
            LookupApi::Machines => &self.machines,
            LookupApi::Files => &self.files,
            LookupApi::FileStats => &self.file_stats,
            LookupApi::FileMachines => &self.file_machines,
        }
    }

    fn lane_mut(&mut self, api: LookupApi) -> &mut Lane {
        match api {
            LookupApi::Machines => &mut self.machines,
            LookupApi::Files => &mut self.files,
            LookupApi::FileStats => &mut self.file_stats,
            LookupApi::FileMachines => &mut self.file_machines,
        }
    }

    /// The time of day was set back by so much: nothing is left alone longer for that, and nothing that is known seems newer.
    pub(super) fn set_back(&mut self, by: SignedDuration) {
        self.answers.forget();
        let lanes = [&mut self.machines, &mut self.files, &mut self.file_stats, &mut self.file_machines];
        for lane in lanes {
            lane.paused_until = before(lane.paused_until, by);
        }
        for failed in self.failed.values_mut() {
            failed.again_at = before(failed.again_at, by);
        }
    }

    /// Says when a question may be asked; `free_at` is when the budget has room.
    fn when(&self, question: &Question, free_at: Timestamp, now: Timestamp) -> When {
        if self.in_flight.contains(question) {
            return When::Asked;
        }
        let again_at = self.failed.get(question).map_or(Timestamp::MIN, |failed| failed.again_at);
        let at = self.lane(question.api()).paused_until.max(free_at).max(again_at);
        if at > now {
            When::At(at)
        } else if self.in_flight.len() >= IN_FLIGHT_MAX {
            When::Later
        } else {
            When::Now
        }
    }

    /// Returns what came of a question about a fact. One that has failed several times in a row has come to nothing until
    /// it is asked again.
    pub(super) fn learned(
        &self,
        question: &Question,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Option<Learned> {
        if let Some(known) = self.answers.of_age(question, now, max_age) {
            let KnownAnswer { found, asked_at, order } = known;
            return Some(Learned { at: asked_at, order, answer: Ok(found.clone()) });
        }
        let failed = self.failed.get(question)?;
        let is_given_up = failed.in_vain >= FACT_TRIES && now < failed.again_at;
        let (at, order) = (failed.at, Order::default());
        is_given_up.then(|| Learned { at, order, answer: Err(failed.why.clone()) })
    }

    fn next_number(&mut self) -> u64 {
        self.number = self.number.saturating_add(1);
        self.number
    }

    fn fail(&mut self, question: Question, (why, was_asked): (String, bool), now: Timestamp) {
        self.lane_mut(question.api()).fail(now);
        if self.failed.len() >= FAILED_MAX {
            self.failed.retain(|_, failed| failed.again_at > now);
        }
        let before = self.failed.get(&question);
        let times = before.map_or(1, |failed| failed.times.saturating_add(1));
        let in_vain = before.map_or(0, |failed| failed.in_vain).saturating_add(u32::from(was_asked));
        let again_at = after(now, backoff::after_failures(times));
        self.failed.insert(question, Failed { times, in_vain, at: now, again_at, why });
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
    counted_at: Steady,
    /// Its number among all questions.
    number: u64,
    result: Result<Found, ReadError>,
    calls: u32,
}

impl Dispatcher {
    /// Decides actions about which all is known by now, and asks what the others need.
    pub(super) async fn start_lookups(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.show_lookups_left();
        let (mut waits, mut ready) = (Vec::new(), Vec::new());
        for action in self.store.resolving(now, RESOLVE_MAX).await? {
            match self.next_step(&action, now) {
                Next::Ready(undecided) => ready.push(*undecided),
                Next::Ask(questions) => {
                    let until = self.ask(&action, questions, now);
                    waits.extend(until.map(|at| decide::wait(&action, at)));
                }
            }
        }
        self.store.advance(waits).await?;
        self.decide_ready(ready, now).await
    }

    /// Asks what may be asked now; returns when to come back, if nothing is under way that will tell.
    pub(super) fn ask(
        &mut self,
        action: &Action,
        questions: Vec<Question>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut first: Option<Timestamp> = None;
        let mut is_under_way = false;
        for question in questions {
            match self.when(action, &question, now) {
                When::Now => {
                    self.start_lookup(question, now);
                    is_under_way = true;
                }
                When::At(at) => first = Some(first.map_or(at, |first| first.min(at))),
                When::Later | When::Asked => is_under_way = true,
            }
        }
        first.filter(|_| !is_under_way)
    }

    /// Says when a question may be asked for an action.
    fn when(&self, action: &Action, question: &Question, now: Timestamp) -> When {
        let (api, share) = (question.api().into(), Share::of(action.severity));
        let free_at = match self.calls.permit(api, share, 1, self.clock.steady()) {
            Permit::Now => Timestamp::MIN,
            Permit::WaitUntil(at) => self.time_of(at),
        };
        self.lookups.when(question, free_at, now)
    }

    /// Returns what comes next for an action, with what is known now.
    pub(super) fn next_step(&self, action: &Action, now: Timestamp) -> Next {
        let not_before = action.completion.as_ref().map(|completion| completion.at);
        let known = |question: &Question| self.lookups.answers.get(question, now, not_before).cloned();
        let source = self.options.source(&action.source);
        let max_age = source.map_or(SignedDuration::ZERO, |source| source.policy.guards.facts_max_age);
        let learned = |question: &Question| self.lookups.learned(question, now, max_age);
        decide::next(action, source, &known, &learned, now)
    }

    fn start_lookup(&mut self, question: Question, now: Timestamp) {
        self.lookups.in_flight.insert(question.clone());
        let counted_at = self.clock.steady();
        self.calls.record(question.api().into(), self.clock.moment(), counted_at);
        let number = self.lookups.next_number();
        let defender = self.defender.clone();
        self.calls.start(Box::pin(async move {
            let LookedUp { found, calls } = look_up(&defender, &question).await;
            Done::Asked(Asked { question, since: now, counted_at, number, result: found, calls })
        }));
    }

    /// Keeps an answer; after a failure, the question and its part of the API wait.
    pub(super) fn asked(&mut self, asked: Asked) {
        let Asked { question, since, counted_at, number, result, calls } = asked;
        let now = self.clock.now();
        let api = question.api();
        self.count_lookups(api.into(), calls, counted_at);
        let lookups = &mut self.lookups;
        lookups.in_flight.remove(&question);
        let order = Order { asked: number, answered: lookups.next_number() };
        let lane = lookups.lane_mut(api);
        let labels = [("api", api.as_str()), ("result", word(&result))];
        self.metrics.count(&metric::LOOKUPS, &labels);
        match result {
            Ok(_) if lies_ahead(since, now) => {
                tracing::warn!(%question, "the time of day was set back while Defender was asked; it is asked again");
            }
            Ok(found) => {
                lane.failures = 0;
                lookups.failed.remove(&question);
                lookups.answers.keep_implied(&found, since, order);
                lookups.answers.keep_in_order(question, found, since, order);
            }
            Err(error) => self.asked_in_vain(question, &error, now),
        }
    }

    fn asked_in_vain(&mut self, question: Question, error: &ReadError, now: Timestamp) {
        let why = (error.to_string(), !matches!(error, ReadError::Token(_)));
        tracing::warn!(%error, %question, "a question to Defender found no answer; it will be asked again");
        if let ReadError::Throttled { wait, .. } = error {
            let until = self.clock.steady().after(*wait);
            self.calls.change(question.api().into(), |budget| budget.block(until));
        }
        self.lookups.fail(question, why, now);
    }

    /// Counts what a question really took: it may have read several pages, or failed before the first.
    fn count_lookups(&mut self, api: Api, calls: u32, counted_at: Steady) {
        let now = self.clock.steady();
        match calls {
            0 => self.calls.change(api, |budget| budget.release(counted_at)),
            calls => {
                self.calls.change(api, |budget| budget.answered(counted_at, now));
                (1..calls).for_each(|_| self.calls.record(api, self.clock.moment(), now));
            }
        }
    }

    fn show_lookups_left(&self) {
        for api in LookupApi::ALL {
            for window in self.calls.windows(api.into(), self.clock.steady()) {
                let labels = [("api", api.as_str()), ("window", window.window)];
                self.metrics.set(&metric::LOOKUPS_LEFT, &labels, number(window.left()));
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
        Ok(Found::SeenOn(list)) if list.is_empty() => "nothing",
        Ok(Found::File(None) | Found::Stats(None)) => "nothing",
        Ok(Found::Machines(_) | Found::File(Some(_)) | Found::Stats(Some(_)) | Found::SeenOn(_)) => "found",
        Ok(Found::Forbidden(_)) => "forbidden",
        Ok(Found::Refused(_)) => "refused",
        Err(ReadError::Throttled { .. }) => "throttled",
        Err(_) => "failed",
    }
}
