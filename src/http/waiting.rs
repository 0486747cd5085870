//! `Prefer: wait=N` (RFC 7240): the answer is given when the action has come to rest, or after so many seconds.
//!
//! Whoever waits holds a connection and looks at the store once for each commit at most; both are bounded.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponseBuilder};
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};

use crate::alert::{ActionId, State};

use super::Context;

/// The longest wait, in seconds. A longer one that is asked for is cut to it.
const WAIT_SECS_MAX: u64 = 30;

/// How many may wait at once. Others are answered at once.
const WAITERS_MAX: usize = 200;

/// How long one who waits rests between two looks, however often the store changes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Those who wait.
#[derive(Debug)]
pub(super) struct Waiters {
    places: Semaphore,
    /// One of them looks at a time: a commit wakes them all.
    looks: Semaphore,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { places: Semaphore::new(WAITERS_MAX), looks: Semaphore::new(1) }
    }
}

/// That an answer was waited for, and how long at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied(Duration);

impl Applied {
    /// Tells the caller, if it was done.
    pub(super) fn tell(applied: Option<Self>, answer: &mut HttpResponseBuilder) {
        if let Some(Self(wait)) = applied {
            answer.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
        }
    }

    /// Returns how long it was waited at most.
    pub(super) fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

/// Says whether the bridge or Defender is about to move the action on. One that is held waits for a person, and no playbook is
/// to wait for that.
pub(super) fn is_pending(state: State) -> bool {
    !state.is_final() && state != State::Held
}

/// Waits, if the caller prefers that, until the action has come to rest. Tells whether the wish was met; it is not where
/// too many wait already. A service that stops keeps nobody waiting.
pub(super) async fn wait(
    context: &Context,
    request: &HttpRequest,
    id: ActionId,
    state: State,
) -> Option<Applied> {
    let wait = preferred(request)?;
    let _place = context.waiters.places.try_acquire().ok()?;
    if is_pending(state) {
        let mut stopping = context.stopping.clone();
        tokio::select! {
            () = until_at_rest(context, id) => {}
            () = time::sleep(wait) => {}
            // An error says that nobody is left to tell: then nothing stops it.
            Ok(_) = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
    Some(Applied(wait))
}

/// Waits until the action has come to rest, is gone, or cannot be looked at.
async fn until_at_rest(context: &Context, id: ActionId) {
    let mut commits = context.store.commits();
    loop {
        commits.mark_unchanged();
        let looked_at = Instant::now();
        if !is_pending_now(context, id).await || commits.changed().await.is_err() {
            return;
        }
        time::sleep(BETWEEN_LOOKS.saturating_sub(looked_at.elapsed())).await;
    }
}

async fn is_pending_now(context: &Context, id: ActionId) -> bool {
    let Ok(_turn) = context.waiters.looks.acquire().await else {
        return false;
    };
    matches!(context.store.state(id).await, Ok(Some(state)) if is_pending(state))
}

/// Reads how long the caller prefers to wait: the first `wait` of all `Prefer` headers. What is not of its form is no
/// preference.
fn preferred(request: &HttpRequest) -> Option<Duration> {
    let headers = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    let preferences = headers.flat_map(|value| value.split(','));
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let seconds: u64 = waits.next()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(WAIT_SECS_MAX)))
}
