//! Tells one callback: makes messages of what has happened, and sends them.
//!
//! It looks at the store only. If the process dies between a sending and its record, the message is sent again, under the same id.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::alert::EventType;
use crate::store::{AuditRow, DueMessage, NewMessage, Sending, Sent, StoreError};
use crate::telemetry::metric;

use super::destination::Destination;
use super::event::{self, Event};
use super::{Answer, Parts, judge};

/// How often it looks. A command beside the service can make something happen too, so a wake-up would not do.
const EVERY: Duration = Duration::from_millis(500);

/// How often it looks for reminders.
const REMIND_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How many entries, messages or reminders are looked at in one turn.
const PAGE: u32 = 200;

/// How many messages are under way at once to one callback.
const IN_FLIGHT_MAX: usize = 4;

/// Tells one callback.
pub(super) struct Courier {
    to: Arc<Destination>,
    parts: Parts,
    in_flight: FuturesUnordered<InFlight>,
    /// What is under way, by its place in the store.
    busy: HashSet<i64>,
    reminded_at: Option<Timestamp>,
}

type InFlight = Pin<Box<dyn Future<Output = (DueMessage, Answer)> + Send>>;

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Courier {
    pub(super) fn new(to: Arc<Destination>, parts: Parts) -> Self {
        Self { to, parts, in_flight: FuturesUnordered::new(), busy: HashSet::new(), reminded_at: None }
    }

    /// Says whether it goes there, by the same way.
    pub(super) fn goes_to(&self, destination: &Destination) -> bool {
        self.to.callback == destination.callback
    }

    /// Works for as long as it is awaited. What is under way goes on when it is awaited again.
    pub(super) async fn run(&mut self) {
        loop {
            if let Err(error) = self.turn().await {
                tracing::error!(callback = %self.to.callback.name, %error, "a callback cannot use the store");
            }
            tokio::select! {
                Some((message, answer)) = self.in_flight.next() => self.finished(message, answer).await,
                () = sleep(EVERY) => {}
            }
        }
    }

    /// Works until nothing more can be done at this moment of the clock.
    pub(super) async fn drain(&mut self) -> Result<(), StoreError> {
        loop {
            let has_made_some = self.turn().await?;
            match self.in_flight.next().await {
                Some((message, answer)) => self.finished(message, answer).await,
                None if has_made_some => {}
                None => return Ok(()),
            }
        }
    }

    /// Makes messages of what has happened and starts what is due; says whether there may be more.
    async fn turn(&mut self) -> Result<bool, StoreError> {
        let now = self.parts.clock.now();
        let name = self.to.callback.name.clone();
        let has_reminded = self.remind(now).await?;
        let Some(work) = self.parts.store.callback_work(name, now, PAGE).await? else {
            return Ok(false);
        };
        for message in work.due {
            if self.in_flight.len() < IN_FLIGHT_MAX && self.busy.insert(message.seq) {
                self.start(message);
            }
        }
        let has_told = self.tell(work.told_to, &work.entries, now).await?;
        Ok(has_reminded || has_told)
    }

    /// Makes messages of what stands in the audit after a place; says whether anything does.
    async fn tell(&mut self, from: u64, entries: &[AuditRow], now: Timestamp) -> Result<bool, StoreError> {
        let Some(last) = entries.last() else {
            return Ok(false);
        };
        let mut messages = Vec::new();
        let wanted = |event: &Event| self.to.callback.wants(event.kind, &event.source);
        for event in entries.iter().filter_map(read).filter(wanted) {
            let record = self.parts.store.action(event.action).await?;
            let body = event.body(record.as_ref(), self.parts.public_url.as_ref());
            messages.push(NewMessage { id: event.id, event: event.kind, action: event.action, body });
        }
        let name = self.to.callback.name.clone();
        self.parts.store.queue_messages(name, (from, last.seq), messages, now).await?;
        Ok(true)
    }

    /// Makes reminders that are due, now and then; says whether there were any.
    async fn remind(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let callback = &self.to.callback;
        let is_time = |at: Timestamp| now < at || now.duration_since(at) >= REMIND_EVERY;
        if callback.reminders.is_empty() || self.reminded_at.is_some_and(|at| !is_time(at)) {
            return Ok(false);
        }
        let (store, name) = (&self.parts.store, &callback.name);
        let due = store.due_reminders(name.clone(), callback.reminders.clone(), now).await?;
        let due = due.into_iter().filter(|due| callback.wants(EventType::Reminder, due.source.as_str()));
        let mut reminders = Vec::new();
        for due in due.take(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
            let Some(record) = store.action(due.action).await? else {
                continue;
            };
            let event = event::reminder(due.id, &record, now);
            let body = event.body(Some(&record), self.parts.public_url.as_ref());
            reminders.push(NewMessage { id: event.id, event: event.kind, action: event.action, body });
        }
        if reminders.is_empty() {
            self.reminded_at = Some(now);
            return Ok(false);
        }
        store.queue_reminders(name.clone(), reminders, now).await?;
        Ok(true)
    }

    fn start(&mut self, message: DueMessage) {
        let (to, clock) = (Arc::clone(&self.to), self.parts.clock.clone());
        self.in_flight.push(Box::pin(async move {
            let answer = to.post(&message, clock.now()).await;
            (message, answer)
        }));
    }

    async fn finished(&mut self, message: DueMessage, answer: Answer) {
        let now = self.parts.clock.now();
        let sending = Sending {
            callback: self.to.callback.name.clone(),
            seq: message.seq,
            attempts: message.attempts,
            sent: judge(&answer, &message.id, message.attempts, now),
            status: answer.status(),
            why: answer.told(),
            now,
        };
        self.show(&message, &answer, &sending.sent);
        // Before the record: if that is broken off, the message is sent again, and not left alone for ever.
        self.busy.remove(&message.seq);
        if let Err(error) = self.parts.store.record_sending(sending).await {
            tracing::error!(%error, "what came of a message cannot be stored; it is sent again");
            sleep(EVERY).await;
        }
    }

    fn show(&self, message: &DueMessage, answer: &Answer, sent: &Sent) {
        let callback = self.to.callback.name.as_str();
        let labels = [("callback", callback), ("result", answer.word())];
        self.parts.metrics.count(&metric::CALLBACK_SENDINGS, &labels);
        match sent {
            Sent::Delivered => tracing::info!(callback, message = message.id, "the callback was told"),
            Sent::Again(at) => not_told(callback, &message.id, &answer.told(), Some(*at)),
            Sent::Dead | Sent::Gone => not_told(callback, &message.id, &answer.told(), None),
        }
    }
}

fn not_told(callback: &str, message: &str, why: &str, next_at: Option<Timestamp>) {
    let next_at = next_at.map(tracing::field::display);
    tracing::warn!(
        callback,
        message,
        why,
        next_at,
        "the callback was not told; without next_at, that is given up"
    );
}

/// Reads the event of an entry. One that cannot be read is damaged, and must not hold up what comes after it.
fn read(row: &AuditRow) -> Option<Event> {
    event::of(row).unwrap_or_else(|error| {
        tracing::error!(entry = row.seq, %error, "an entry of the audit cannot be read; callbacks are not told of it");
        None
    })
}
