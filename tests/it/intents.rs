//! What the store promises about moves and intents, asked of it directly.

use bytes::Bytes;
use jiff::SignedDuration;
use quarantine_bridge::alert::{
    ActionId, Advance, Alert, Api, Change, EntityPair, FileEntity, FoundAt, MachineEntity, Mode, Moment,
    Outcome, Patch, Severity, State, Steady, Target, Who,
};
use quarantine_bridge::ingest::{Gate, RawDelivery, Verified, sign, verify};
use quarantine_bridge::store::{Accept, Intent, LateCall, Options, Receipt, Store, StoreError};
use tempfile::TempDir;

use crate::harness::{MACHINE, SHA1, key, start_of_time, weighed};

/// How long a finished machine action is shared.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

fn open() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Options { path: folder.path().join("bridge.db") }).unwrap();
    (folder, store)
}

fn target() -> Target {
    Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() }
}

pub(crate) fn verified(id: &str) -> Verified {
    let (now, body) = (start_of_time(), Bytes::from_static(b"{}"));
    let signature = sign(&key(), &id.parse().unwrap(), now, &body);
    let seconds = now.as_second().to_string();
    let headers = [("webhook-id", id), ("webhook-timestamp", &seconds), ("webhook-signature", &signature)];
    let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes())).collect();
    let gate = Gate::standard_webhooks(vec![key()]).unwrap();
    verify(&"soc".parse().unwrap(), &gate, &RawDelivery { headers, body, ..RawDelivery::default() }, now)
        .unwrap()
}

/// Accepts an alert about the one target; returns its action.
async fn accept(store: &Store, alert_id: &str) -> ActionId {
    let machine = MachineEntity { id: Some(target().machine_id), ..MachineEntity::default() };
    let file = FileEntity { sha1: Some(target().sha1), ..FileEntity::default() };
    let alert = Alert {
        alert_id: alert_id.parse().unwrap(),
        severity: Some(Severity::High),
        title: String::new(),
        occurred_at: Some(start_of_time()),
        url: None,
        targets: vec![EntityPair { machine, file, candidates: Vec::new(), found_at: FoundAt::default() }],
    };
    let delivery = verified(&format!("msg_{alert_id}"));
    let accept = Accept {
        delivery,
        alerts: vec![alert],
        refused: Vec::new(),
        references: Vec::new(),
        notices: Vec::new(),
        now: start_of_time(),
    };
    match store.accept(accept).await.unwrap() {
        Receipt::New(accepted) => accepted.alerts[0].actions[0].id,
        other => panic!("{other:?}"),
    }
}

fn moves(action: ActionId, expected: State, to: &[State]) -> Advance {
    let mut from = expected;
    let mut changes = Vec::new();
    for to in to {
        let (at, why) = (start_of_time(), String::new());
        changes.push(Change { at, from: Some(from), to: *to, why, who: Who::Bridge, facts: Vec::new() });
        from = *to;
    }
    let patch = Patch { target: Some(target()), next_at: Some(start_of_time()), ..Patch::default() };
    Advance { action, expected, changes, patch }
}

fn queue(action: ActionId) -> Advance {
    moves(action, State::Accepted, &[State::Resolving, State::Decided, State::Queued])
}

async fn state(store: &Store, action: ActionId) -> State {
    store.action(action).await.unwrap().unwrap().action.state
}

#[tokio::test]
async fn a_machine_never_has_two_intents_at_once() {
    let (_folder, store) = open();
    let (first, second) = (accept(&store, "a1").await, accept(&store, "a2").await);
    store.advance(vec![queue(first), queue(second)]).await.unwrap();

    let intent = store.record_intent(first, weighed(Mode::Enforce), WINDOW, start_of_time()).await.unwrap();
    assert!(matches!(intent, Intent::Recorded(_)));
    assert!(matches!(
        store.record_intent(second, weighed(Mode::Enforce), WINDOW, start_of_time()).await,
        Ok(Intent::Gone)
    ));
    assert_eq!(state(&store, second).await, State::Queued);

    // Nor while the outcome of the first is unknown.
    store.settle_after_restart(Moment { at: start_of_time(), steady: None }).await.unwrap();
    assert_eq!(state(&store, first).await, State::Uncertain);
    assert!(matches!(
        store.record_intent(second, weighed(Mode::Enforce), WINDOW, start_of_time()).await,
        Ok(Intent::Gone)
    ));
}

#[tokio::test]
async fn an_action_has_one_intent_at_a_time() {
    let (_folder, store) = open();
    let action = accept(&store, "a1").await;
    assert!(
        matches!(
            store.record_intent(action, weighed(Mode::Enforce), WINDOW, start_of_time()).await,
            Ok(Intent::Gone)
        ),
        "not queued"
    );
    store.advance(vec![queue(action)]).await.unwrap();

    let both = tokio::join!(
        store.record_intent(action, weighed(Mode::Enforce), WINDOW, start_of_time()),
        store.record_intent(action, weighed(Mode::Enforce), WINDOW, start_of_time())
    );

    let recorded =
        [both.0.unwrap(), both.1.unwrap()].iter().filter(|it| matches!(it, Intent::Recorded(_))).count();
    assert_eq!(recorded, 1);
}

#[tokio::test]
async fn a_call_that_is_answered_late_counts_from_then_on_in_the_next_run_too() {
    let (_folder, store) = open();
    let action = accept(&store, "a1").await;
    store.advance(vec![queue(action)]).await.unwrap();
    let at = |secs: i64| {
        let steady = Some(Steady::from_millis(secs * 1_000));
        Moment { at: start_of_time() + SignedDuration::from_secs(secs), steady }
    };
    let other = (Api::Machines, at(0));
    store.record_calls(vec![(Api::Quarantine, at(0)), other]).await.unwrap();
    let weighed = weighed(Mode::Enforce);
    let Intent::Recorded(intent) =
        store.record_intent(action, weighed, WINDOW, start_of_time()).await.unwrap()
    else {
        panic!("no intent");
    };

    let late = LateCall { api: Api::Quarantine, counted_at: Steady::from_millis(0), answered: at(5) };
    let outcome = Outcome::NotSent { why: "connection refused".to_owned() };
    let back = moves(action, State::Sending, &[State::Queued]);
    store.record_outcome(intent.attempt(), outcome, back, (start_of_time(), Some(late))).await.unwrap();

    assert_eq!(store.calls().await.unwrap(), [other, (Api::Quarantine, at(5))]);
}

/// When it left is not known: before the start, at the latest.
#[tokio::test]
async fn a_call_whose_answer_was_lost_with_the_service_counts_from_the_next_start_as_well() {
    let (_folder, store) = open();
    let action = accept(&store, "a1").await;
    store.advance(vec![queue(action)]).await.unwrap();
    let intent = store.record_intent(action, weighed(Mode::Enforce), WINDOW, start_of_time()).await.unwrap();
    assert!(matches!(intent, Intent::Recorded(_)));
    let started = Moment { at: start_of_time(), steady: Some(Steady::from_millis(9_000)) };

    assert_eq!(store.settle_after_restart(started).await.unwrap(), 1);
    assert_eq!(store.calls().await.unwrap(), [(Api::Quarantine, started)]);

    assert_eq!(store.settle_after_restart(started).await.unwrap(), 0);
    assert_eq!(store.calls().await.unwrap().len(), 1, "each is counted once");
}

#[tokio::test]
async fn policy_has_the_last_word_when_the_intent_is_recorded() {
    let (_folder, store) = open();
    let action = accept(&store, "a1").await;
    store.advance(vec![queue(action)]).await.unwrap();

    let intent = store.record_intent(action, weighed(Mode::Shadow), WINDOW, start_of_time()).await.unwrap();

    assert!(matches!(intent, Intent::Overruled(_)));
    assert_eq!(state(&store, action).await, State::Shadowed);
    assert!(store.action(action).await.unwrap().unwrap().attempts.is_empty());
}

#[tokio::test]
async fn moves_go_together_or_not_at_all_and_only_where_the_states_allow() {
    let (_folder, store) = open();
    let (first, second) = (accept(&store, "a1").await, accept(&store, "a2").await);

    let leap = moves(second, State::Accepted, &[State::Sending]);
    let refused = store.advance(vec![queue(first), leap]).await;

    assert!(matches!(refused, Err(StoreError::Statement(_))), "{refused:?}");
    assert_eq!((state(&store, first).await, state(&store, second).await), (State::Accepted, State::Accepted));
    let history = store.action(first).await.unwrap().unwrap().history;
    assert_eq!(history.len(), 1, "what was begun is undone");
}

#[tokio::test]
async fn a_move_from_where_the_action_no_longer_is_does_nothing() {
    let (_folder, store) = open();
    let action = accept(&store, "a1").await;
    store.advance(vec![queue(action)]).await.unwrap();
    store.advance(vec![queue(action)]).await.unwrap();
    assert_eq!(state(&store, action).await, State::Queued);
    assert_eq!(store.action(action).await.unwrap().unwrap().history.len(), 4);
}

#[tokio::test]
async fn after_damage_nothing_more_is_written() {
    let (folder, store) = open();
    let action = accept(&store, "a1").await;
    let other = rusqlite::Connection::open(folder.path().join("bridge.db")).unwrap();
    other.execute("UPDATE deliveries SET id = 'damaged'", []).unwrap();
    let again = |id| Accept {
        delivery: verified(id),
        alerts: Vec::new(),
        refused: Vec::new(),
        references: Vec::new(),
        notices: Vec::new(),
        now: start_of_time(),
    };
    assert!(matches!(store.accept(again("msg_a1")).await, Err(StoreError::Corrupt(_))));

    other.execute("UPDATE deliveries SET id = '019d4418-5b00-7c2e-9a61-3f0d8b7a5c11'", []).unwrap();

    assert!(matches!(store.accept(again("msg_new")).await, Err(StoreError::Corrupt(_))));
    assert!(store.advance(vec![queue(action)]).await.is_err());
    assert!(!store.is_writable().await);
}
