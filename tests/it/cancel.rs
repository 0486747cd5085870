//! Cancelling an action, in every state, through every answer of Defender, and at the limit of its source.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use quarantine_bridge::alert::{
    Advance, Change, EntityPair, FileEntity, FoundAt, MachineEntity, Mode, Outcome, Patch, State, Target,
    Who, after,
};
use quarantine_bridge::dispatch::next;
use quarantine_bridge::simulator::{DuplicateAnswer, Fault, FaultKind, Machine, Place};
use quarantine_bridge::store::{Cancel, Cancelled, Intent, Scope};
use serde_json::{Value, json};

use crate::harness::{Answer, Bridge, MACHINE, SHA1, take_device_offline, weighed};

use State::{
    Accepted, Cancelled as Ended, Decided, Denied, Expired, Failed, Held, Queued, Rejected, Resolving,
    Sending, Shadowed, Submitted, Succeeded, Superseded, TimedOut, Uncertain,
};

/// How long a finished machine action is shared.
const SHARE_WINDOW: SignedDuration = SignedDuration::from_mins(10);

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn fault(place: Place, kind: FaultKind, times: u32) -> Fault {
    Fault { place, kind, times: Some(times) }
}

async fn cancel(bridge: &Bridge, id: &str) -> Answer {
    let token = bridge.new_token(&[Scope::ActionsCancel]);
    let said = json!({"reason": "false alarm"});
    bridge.post_as(&format!("/v1/actions/{id}/cancel"), &token, &said).await
}

fn code(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

fn states(action: &Value) -> Vec<&str> {
    action["history"].as_array().unwrap().iter().map(|change| change["to"].as_str().unwrap()).collect()
}

fn last(action: &Value) -> &Value {
    action["history"].as_array().unwrap().last().unwrap()
}

/// An action that Defender has and whose device is offline.
async fn submitted() -> (Bridge, String) {
    let mut bridge = Bridge::start().await;
    take_device_offline(&bridge.simulator);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "submitted");
    (bridge, id)
}

/// Runs for hours, looking every few minutes as the bridge itself does then.
async fn run_long(bridge: &mut Bridge, time: SignedDuration) {
    let end = after(bridge.clock.now(), time);
    while bridge.clock.now() < end {
        bridge.clock.advance(seconds(300).min(end.duration_since(bridge.clock.now())));
        bridge.drain().await;
        // What a look has found out may need another one.
        for _ in 0..3 {
            bridge.clock.advance(seconds(5).min(end.duration_since(bridge.clock.now())));
            bridge.drain().await;
        }
    }
}

/// The way from `accepted` to a state.
fn way_to(state: State) -> Vec<State> {
    let decided = vec![Resolving, Decided];
    let more = match state {
        Accepted => return vec![],
        Resolving => return vec![Resolving],
        Decided => return decided,
        Held | Denied | Shadowed | Queued => vec![state],
        Expired => return vec![Expired],
        Ended => return vec![Ended],
        Superseded => vec![Queued, Superseded],
        Sending => vec![Queued, Sending],
        Rejected => vec![Queued, Sending, Rejected],
        Uncertain => vec![Queued, Sending, Uncertain],
        Submitted => vec![Queued, Sending, Submitted],
        Succeeded | Failed | TimedOut => vec![Queued, Sending, Submitted, state],
    };
    [decided, more].concat()
}

async fn put_into(bridge: &Bridge, id: &str, state: State) {
    let mut changes = Vec::new();
    let mut from = Accepted;
    for to in way_to(state) {
        let why = "put there by the test".to_owned();
        let at = bridge.clock.now();
        changes.push(Change { at, from: Some(from), to, why, who: Who::Bridge, facts: Vec::new() });
        from = to;
    }
    let target = Target { machine_id: MACHINE.parse().unwrap(), sha1: SHA1.parse().unwrap() };
    let patch = Patch { target: Some(target), ..Patch::default() };
    let advance = Advance { action: id.parse().unwrap(), expected: Accepted, changes, patch };
    bridge.store().advance(vec![advance]).await.unwrap();
    assert_eq!(bridge.state(id).await, state.as_str());
}

#[tokio::test]
async fn in_every_state_a_cancel_ends_it_is_remembered_or_is_refused() {
    for state in State::ALL {
        let bridge = Bridge::start().await;
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        put_into(&bridge, &id, state).await;

        let first = cancel(&bridge, &id).await;
        let second = cancel(&bridge, &id).await;

        let (status, then, standing) = match state {
            Accepted | Resolving | Decided | Held | Queued => (200, Ended, json!("done")),
            Ended => (200, Ended, Value::Null),
            Sending | Uncertain | Submitted => (202, state, json!("pending")),
            Succeeded | Failed | TimedOut | Denied | Expired | Shadowed | Superseded | Rejected => {
                (409, state, Value::Null)
            }
        };
        assert_eq!(first.status, status, "{state}: {first:?}");
        assert_eq!(
            (second.status, &second.body.get("cancellation")),
            (status, &first.body.get("cancellation"))
        );
        if status == 409 {
            assert_eq!(code(&first), "not-cancellable");
        }
        let action = bridge.action(&id).await;
        assert_eq!(action["state"], then.as_str(), "{state}");
        assert_eq!(action["cancellation"]["status"], standing, "{state}");
        if standing == "done" {
            let change = last(&action);
            assert_eq!((&change["who"], &change["why"]), (&json!("token:test"), &json!("false alarm")));
            assert_eq!(action["cancellation"]["by"], "token:test");
        }
    }
}

#[tokio::test]
async fn what_was_cancelled_in_time_is_never_sent() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    assert_eq!(cancel(&bridge, &id).await.status, 200);

    bridge.run_for(seconds(60)).await;

    assert_eq!(bridge.state(&id).await, "cancelled");
    assert!(bridge.quarantines().is_empty());
    assert!(bridge.cancels().is_empty());
}

#[tokio::test]
async fn a_reason_is_needed_and_an_action() {
    let bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    let token = bridge.new_token(&[Scope::ActionsCancel]);
    let path = format!("/v1/actions/{id}/cancel");
    for said in
        [json!({}), json!({"reason": " "}), json!({"reason": "a\nb"}), json!({"reason": "r", "force": true})]
    {
        assert_eq!(bridge.post_as(&path, &token, &said).await.status, 400, "{said}");
    }
    let said = json!({"reason": "r"});
    let missing = "/v1/actions/019d4418-5b00-7c2e-9a61-402d1b9e6f02/cancel";
    assert_eq!(bridge.post_as(missing, &token, &said).await.status, 404);
    assert_eq!(bridge.state(&id).await, "accepted");
}

#[tokio::test]
async fn what_defender_has_is_cancelled_there_with_who_and_why() {
    let (mut bridge, id) = submitted().await;

    let answer = cancel(&bridge, &id).await;
    assert_eq!((answer.status, &answer.body["state"]), (202, &json!("submitted")));
    assert_eq!(answer.body["waiting_for"], "Defender, to cancel it");
    bridge.run_for(seconds(20)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "cancelled", "{action}");
    assert_eq!(action["machine_action"]["status"], "Cancelled");
    let cancellation = &action["cancellation"];
    assert_eq!((&cancellation["status"], &cancellation["calls"]), (&json!("done"), &json!(1)));
    assert_eq!(cancellation["last_call"]["outcome"], "taken");
    assert_eq!(last(&action)["who"], "defender");
    let fact = last(&action)["facts"][0].as_str().unwrap();
    assert!(
        fact.starts_with("token:test wanted it cancelled at ") && fact.ends_with(": false alarm"),
        "{fact}"
    );
    let made = action["machine_action"]["id"].as_str().unwrap();
    let calls = bridge.cancels();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["path"], format!("/api/machineactions/{made}/cancel"));
    assert_eq!(calls[0]["body"], json!({"Comment": "Cancelled by token:test: false alarm"}));
    assert_eq!(cancel(&bridge, &id).await.status, 200);
    assert_eq!(bridge.metric("quarantine_bridge_cancel_calls_total{outcome=\"taken\"}"), Some(1.0));
}

#[tokio::test]
async fn a_device_that_was_faster_is_told_as_it_is() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Cancel, FaultKind::Status { status: 503 }, 100));
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(seconds(10)).await;
    assert_eq!(cancel(&bridge, &id).await.status, 202);

    bridge.run_for(seconds(60)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "succeeded");
    assert_eq!(action["cancellation"]["status"], "too_late");
    assert!(last(&action)["facts"][0].as_str().unwrap().contains("wanted it cancelled"));
    assert_eq!(cancel(&bridge, &id).await.status, 409);
    let before = bridge.cancels().len();
    bridge.run_for(seconds(600)).await;
    assert_eq!(bridge.cancels().len(), before, "nothing is cancelled that is over");
}

#[tokio::test]
async fn every_answer_to_the_cancel_call_leads_on() {
    // What Defender answers first, how many calls it takes then, and what the action ends as.
    let throttled = FaultKind::Throttled { retry_after: Some("60".to_owned()), code: "429".to_owned() };
    let table = [
        (FaultKind::AnswerLost, 1, "unknown"),
        (FaultKind::RequestLost, 2, "taken"),
        (FaultKind::ActedThenStatus { status: 502 }, 1, "unknown"),
        (FaultKind::Status { status: 503 }, 2, "taken"),
        (FaultKind::Truncated, 1, "unknown"),
        (FaultKind::Unauthorized, 2, "taken"),
        (throttled, 2, "taken"),
        (FaultKind::Redirect, 2, "taken"),
    ];
    for (kind, calls, outcome) in table {
        let (mut bridge, id) = submitted().await;
        bridge.simulator.play(fault(Place::Cancel, kind.clone(), 1));
        assert_eq!(cancel(&bridge, &id).await.status, 202);

        bridge.run_for(seconds(180)).await;

        let action = bridge.action(&id).await;
        assert_eq!(action["state"], "cancelled", "{kind:?}: {action}");
        assert_eq!(action["cancellation"]["calls"], calls, "{kind:?}");
        assert_eq!(action["cancellation"]["last_call"]["outcome"], outcome, "{kind:?}");
        assert_eq!(bridge.cancels().len(), calls, "{kind:?}");
    }
}

#[tokio::test]
async fn a_role_that_is_missing_is_told_and_not_tried_again_until_asked() {
    let (mut bridge, id) = submitted().await;
    let roles = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>();
    bridge.simulator.with(|state| state.switches.cancel_roles = roles(&["Machine.CollectForensic"]));
    assert_eq!(cancel(&bridge, &id).await.status, 202);
    run_long(&mut bridge, SignedDuration::from_hours(2)).await;

    let action = bridge.action(&id).await;
    assert_eq!((&action["state"], &action["final"]), (&json!("submitted"), &json!(false)));
    assert_eq!(action["cancellation"]["status"], "given_up");
    let why = action["cancellation"]["why"].as_str().unwrap();
    assert!(why.contains("Machine.CollectForensic") && why.contains("request it again"), "{why}");
    assert_eq!(bridge.cancels().len(), 1);

    bridge.simulator.with(|state| state.switches.cancel_roles = roles(&["Machine.StopAndQuarantine"]));
    assert_eq!(cancel(&bridge, &id).await.status, 202);
    run_long(&mut bridge, SignedDuration::from_mins(10)).await;
    assert_eq!(bridge.state(&id).await, "cancelled");
    assert_eq!(bridge.action(&id).await["cancellation"]["calls"], 2);
}

/// It was seen that Defender takes the call and the action stays Pending.
#[tokio::test]
async fn a_cancel_that_does_nothing_is_tried_a_dozen_times_and_given_up() {
    let (mut bridge, id) = submitted().await;
    bridge.simulator.with(|state| state.switches.cancel_is_idle = true);
    assert_eq!(cancel(&bridge, &id).await.status, 202);

    run_long(&mut bridge, SignedDuration::from_hours(6)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "submitted");
    assert_eq!(action["cancellation"]["status"], "given_up");
    assert!(action["cancellation"]["why"].as_str().unwrap().starts_with("given up after 12 calls"));
    assert_eq!(bridge.cancels().len(), 12);
}

#[tokio::test]
async fn while_the_outcome_is_unknown_a_cancel_waits_for_it() {
    // How the call was lost, the states that follow, and how many cancel calls that takes.
    let table = [
        (FaultKind::RequestLost, vec!["uncertain", "queued", "cancelled"], 0),
        (FaultKind::AnswerLost, vec!["uncertain", "submitted", "cancelled"], 1),
    ];
    for (kind, way, calls) in table {
        let mut bridge = Bridge::start().await;
        take_device_offline(&bridge.simulator);
        bridge.simulator.play(fault(Place::Quarantine, kind, 1));
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        assert_eq!(bridge.state(&id).await, "uncertain");

        assert_eq!(cancel(&bridge, &id).await.status, 202);
        bridge = bridge.restart().await;
        bridge.run_for(seconds(240)).await;

        let action = bridge.action(&id).await;
        assert_eq!(states(&action)[5..], way, "{action}");
        assert_eq!(action["cancellation"]["status"], "done");
        assert_eq!(bridge.quarantines().len(), 1);
        assert_eq!(bridge.cancels().len(), calls);
        if calls == 0 {
            assert_eq!(
                (&last(&action)["who"], &last(&action)["why"]),
                (&json!("token:test"), &json!("false alarm"))
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_turns_out_not_to_be_sent_is_not_tried_again() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    put_into(&bridge, &id, Queued).await;
    let now = bridge.clock.now();
    let action = id.parse().unwrap();
    let Intent::Recorded(intent) =
        bridge.store().record_intent(action, weighed(Mode::Enforce), SHARE_WINDOW, now).await.unwrap()
    else {
        panic!("no intent");
    };
    assert_eq!(cancel(&bridge, &id).await.status, 202);
    let outcome = Outcome::NotSent { why: "connection refused".to_owned() };
    let record = bridge.store().action(action).await.unwrap().unwrap();
    let advance = next(&record.action, &intent.tried(), &outcome, None, now);
    bridge.store().record_outcome(intent.attempt(), outcome, advance, (now, None)).await.unwrap();
    assert!(matches!(
        bridge.store().record_intent(action, weighed(Mode::Enforce), SHARE_WINDOW, now).await.unwrap(),
        Intent::Gone
    ));

    bridge.run_for(seconds(30)).await;

    assert_eq!(states(&bridge.action(&id).await)[3..], ["queued", "sending", "queued", "cancelled"]);
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn a_wish_and_its_call_survive_a_crash_between_record_and_call() {
    let (mut bridge, id) = submitted().await;
    assert_eq!(cancel(&bridge, &id).await.status, 202);
    let now = bridge.clock.now();
    let recorded = bridge.store().record_cancel(id.parse().unwrap(), now).await.unwrap();
    assert_eq!(recorded.unwrap().tries(), 1);
    assert!(bridge.cancels().is_empty());

    bridge = bridge.restart().await;
    let before = bridge.action(&id).await;
    assert_eq!(
        (&before["cancellation"]["calls"], &before["cancellation"]["status"]),
        (&json!(1), &json!("pending"))
    );
    assert_eq!(before["cancellation"]["last_call"]["outcome"], Value::Null);
    bridge.run_for(seconds(30)).await;

    assert_eq!(bridge.state(&id).await, "cancelled");
    assert_eq!(bridge.cancels().len(), 1);
    assert_eq!(bridge.action(&id).await["cancellation"]["calls"], 2);
}

#[tokio::test]
async fn a_machine_action_that_two_actions_share_is_cancelled_when_both_are() {
    let (mut bridge, first) = submitted().await;
    bridge.simulator.with(|state| state.switches.duplicate = DuplicateAnswer::OpenAction);
    let second = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.run_for(seconds(60)).await;
    assert_eq!(bridge.simulator.machine_actions().len(), 1);
    let made = |action: &Value| action["machine_action"]["id"].as_str().map(ToOwned::to_owned);
    assert_eq!(made(&bridge.action(&first).await), made(&bridge.action(&second).await));

    assert_eq!(cancel(&bridge, &first).await.status, 202);
    bridge.run_for(seconds(600)).await;
    let action = bridge.action(&first).await;
    assert_eq!(
        (&action["state"], &action["cancellation"]["status"]),
        (&json!("submitted"), &json!("pending"))
    );
    let why = action["cancellation"]["why"].as_str().unwrap();
    assert!(why.contains(&second), "{why}");
    assert!(bridge.cancels().is_empty());

    assert_eq!(cancel(&bridge, &second).await.status, 202);
    bridge.run_for(seconds(120)).await;
    assert_eq!(bridge.state(&first).await, "cancelled");
    assert_eq!(bridge.state(&second).await, "cancelled");
    assert_eq!(bridge.cancels().len(), 1);
}

/// Defender may answer a call with the open machine action of somebody else.
#[tokio::test]
async fn a_machine_action_of_somebody_else_is_not_cancelled() {
    let mut bridge = Bridge::start().await;
    take_device_offline(&bridge.simulator);
    let by_hand = |state: &mut quarantine_bridge::simulator::State| {
        state.quarantine_as("analyst@corp.example", MACHINE, SHA1, "by hand")
    };
    assert!(bridge.simulator.with(by_hand));
    bridge.simulator.with(|state| state.switches.duplicate = DuplicateAnswer::OpenAction);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    if bridge.state(&id).await != "submitted" {
        // It may have been seen before the call that somebody else's does the same.
        assert_eq!(bridge.state(&id).await, "superseded");
        return;
    }
    assert_eq!(bridge.quarantines().len(), 1);

    assert_eq!(cancel(&bridge, &id).await.status, 202);
    bridge.run_for(seconds(60)).await;

    let action = bridge.action(&id).await;
    assert_eq!(
        (&action["state"], &action["cancellation"]["status"]),
        (&json!("submitted"), &json!("given_up"))
    );
    assert!(
        action["cancellation"]["why"].as_str().unwrap().contains("made by analyst@corp.example, not by us"),
        "{action}"
    );
    assert!(bridge.cancels().is_empty());
}

#[tokio::test]
async fn an_offline_device_is_shown_and_measured_and_cancelled_at_the_limit() {
    let (mut bridge, id) = submitted().await;
    let since = bridge.action(&id).await["machine_action"]["since"].clone();
    assert_eq!(bridge.action(&id).await["waiting_for_device_since"], Value::Null);
    run_long(&mut bridge, SignedDuration::from_hours(1)).await;
    assert_eq!(bridge.action(&id).await["waiting_for_device_since"], since);
    assert_eq!(
        bridge.get("/v1/actions?state=submitted").await.body["actions"][0]["waiting_for_device_since"],
        since
    );
    assert_eq!(bridge.get("/metrics").await.status, 200);
    let gauge = |name: &str| format!("quarantine_bridge_machine_actions_{name}{{source=\"soc\"}}");
    assert_eq!(bridge.metric(&gauge("waiting_for_device")), Some(1.0));
    assert_eq!(bridge.metric(&gauge("oldest_pending_seconds")), Some(3_600.0));

    run_long(&mut bridge, SignedDuration::from_hours(22)).await;
    bridge = bridge.restart().await;
    run_long(&mut bridge, SignedDuration::from_mins(59)).await;
    assert_eq!(bridge.action(&id).await["cancellation"], Value::Null);
    assert!(bridge.cancels().is_empty());

    run_long(&mut bridge, SignedDuration::from_mins(10)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "cancelled", "{action}");
    assert_eq!(
        (&action["cancellation"]["by"], &action["cancellation"]["status"]),
        (&json!("bridge"), &json!("done"))
    );
    let reason = action["cancellation"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("Pending at Defender for 24 h"), "{reason}");
    assert_eq!(bridge.cancels().len(), 1);
    assert_eq!(bridge.get("/metrics").await.status, 200);
    assert_eq!(bridge.metric(&gauge("waiting_for_device")), None);
}

/// What stood in the way of a person's wish may be gone when the limit is reached. The limit asks once, not for ever.
#[tokio::test]
async fn the_limit_wants_once_more_what_a_person_wanted_in_vain() {
    let (mut bridge, id) = submitted().await;
    bridge.simulator.with(|state| state.switches.cancel_roles = vec!["Machine.CollectForensic".to_owned()]);
    assert_eq!(cancel(&bridge, &id).await.status, 202);
    run_long(&mut bridge, SignedDuration::from_hours(23)).await;
    assert_eq!(bridge.action(&id).await["cancellation"]["status"], "given_up");
    assert_eq!(bridge.cancels().len(), 1);

    run_long(&mut bridge, SignedDuration::from_hours(10)).await;

    let cancellation = &bridge.action(&id).await["cancellation"];
    assert_eq!((&cancellation["by"], &cancellation["status"]), (&json!("bridge"), &json!("given_up")));
    assert_eq!(bridge.cancels().len(), 2);
}

#[tokio::test]
async fn the_limit_is_that_of_the_source_and_counts_for_what_is_in_progress_too() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.done_after_ms = 4_000_000_000);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    run_long(&mut bridge, SignedDuration::from_mins(20)).await;
    assert_eq!(bridge.action(&id).await["machine_action"]["status"], "InProgress");
    bridge.reconfigure(|config| {
        config.dispatch.pending_max.insert("soc".parse().unwrap(), SignedDuration::from_mins(30));
    });

    run_long(&mut bridge, SignedDuration::from_mins(9)).await;
    assert_eq!(bridge.state(&id).await, "submitted");
    run_long(&mut bridge, SignedDuration::from_mins(10)).await;

    assert_eq!(bridge.state(&id).await, "cancelled", "{}", bridge.action(&id).await);
}

#[tokio::test]
async fn a_machine_action_that_defender_has_lost_comes_to_an_end() {
    let (mut bridge, id) = submitted().await;
    bridge.simulator.with(|state| state.switches.list_lag_ms = u32::MAX);
    run_long(&mut bridge, SignedDuration::from_mins(24 * 60 + 30)).await;
    let action = bridge.action(&id).await;
    assert_eq!(
        (&action["state"], &action["cancellation"]["status"]),
        (&json!("submitted"), &json!("pending"))
    );

    run_long(&mut bridge, SignedDuration::from_mins(90)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "timed_out");
    assert!(last(&action)["why"].as_str().unwrap().contains("not known"), "{action}");
    assert_eq!(last(&action)["who"], "bridge");
    assert!(bridge.cancels().is_empty());
}

#[tokio::test]
async fn cancels_of_a_whole_fleet_stay_within_defenders_limits() {
    let mut bridge = Bridge::start().await;
    let machine = |n: u32| Machine {
        id: format!("{n:040x}"),
        files: vec![SHA1.to_owned()],
        is_offline: true,
        ..Machine::default()
    };
    bridge.simulator.with(|state| {
        state.world.machines = (1..=150).map(machine).collect();
        state.switches.per_minute = 100;
        state.switches.per_hour = 1_500;
    });
    let mut ids = Vec::new();
    for n in 1..=150 {
        ids.push(bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await);
    }
    bridge.run_for(seconds(120)).await;
    for id in &ids {
        assert_eq!(cancel(&bridge, id).await.status, 202);
    }

    run_long(&mut bridge, SignedDuration::from_mins(20)).await;

    let mut ends = BTreeMap::new();
    for id in &ids {
        *ends.entry(bridge.state(id).await).or_insert(0) += 1;
    }
    assert_eq!(ends, BTreeMap::from([("cancelled".to_owned(), 150)]));
    assert_eq!(bridge.cancels().len(), 150);
    assert!(bridge.cancels().iter().all(|call| call["status"] == 200));
}

/// Whichever comes first, the other finds it so.
#[tokio::test]
async fn a_cancel_and_an_intent_at_the_same_moment_never_both_win() {
    let bridge = Bridge::start().await;
    let mut seen = BTreeMap::new();
    for round in 0..200 {
        let id = bridge.accept(&format!("a{round}"), &format!("{round:040x}"), SHA1).await;
        let action = id.parse().unwrap();
        let now = bridge.clock.now();
        put_on_machine(&bridge, &id, round).await;
        let wish = Cancel { action, reason: "r".to_owned(), who: "token:t".parse().unwrap(), now };
        let (store, other) = (bridge.store().clone(), bridge.store().clone());
        let (intent, cancelled) =
            (store.record_intent(action, weighed(Mode::Enforce), SHARE_WINDOW, now), other.cancel(wish));
        let (intent, cancelled) = if round % 2 == 0 {
            tokio::join!(intent, cancelled)
        } else {
            let (cancelled, intent) = tokio::join!(cancelled, intent);
            (intent, cancelled)
        };
        let (intent, cancelled) = (intent.unwrap(), cancelled.unwrap());
        let state = bridge.state(&id).await;
        match (&intent, cancelled) {
            (Intent::Recorded(_), Cancelled::Wanted) => assert_eq!(state, "sending"),
            (Intent::Gone, Cancelled::Ended) => assert_eq!(state, "cancelled"),
            both => panic!("round {round}: {both:?}, {state}"),
        }
        *seen.entry(state).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "each comes first at times: {seen:?}");
}

async fn put_on_machine(bridge: &Bridge, id: &str, round: u32) {
    let mut from = Accepted;
    let mut changes = Vec::new();
    for to in way_to(Queued) {
        let at = bridge.clock.now();
        let why = "put there by the test".to_owned();
        changes.push(Change { at, from: Some(from), to, why, who: Who::Bridge, facts: Vec::new() });
        from = to;
    }
    let machine_id = format!("{round:040x}").parse().unwrap();
    let target = Some(Target { machine_id, sha1: SHA1.parse().unwrap() });
    let patch = Patch { target, next_at: Some(bridge.clock.now()), ..Patch::default() };
    let advance = Advance { action: id.parse().unwrap(), expected: Accepted, changes, patch };
    bridge.store().advance(vec![advance]).await.unwrap();
}

/// The same through the whole service: nothing that was cancelled at once reaches Defender, and nothing is lost.
#[tokio::test]
async fn cancels_that_come_while_dispatch_sends_are_each_one_or_the_other() {
    let mut bridge = Bridge::start().await;
    let token = bridge.new_token(&[Scope::ActionsCancel]);
    let mut answers = BTreeMap::new();
    for round in 0..100_usize {
        let machine = format!("{:040x}", round + 1);
        let id = bridge.accept(&format!("a{round}"), &machine, SHA1).await;
        let request = bridge.request(&format!("/v1/actions/{id}/cancel")).bearer_auth(&token);
        let request = request.body("{\"reason\": \"r\"}");
        let cancelled = async {
            for _ in 0..round % 60 {
                tokio::task::yield_now().await;
            }
            request.send().await.unwrap().status().as_u16()
        };
        let ((), status) = tokio::join!(bridge.drain(), cancelled);
        answers.insert(id, (status, machine));
    }
    let now: Vec<String> = bridge.simulator.machine_actions().into_iter().map(|it| it.machine_id).collect();
    for (id, (status, machine)) in &answers {
        let state = bridge.state(id).await;
        match status {
            200 => {
                assert_eq!(state, "cancelled");
                assert!(!now.contains(machine), "{id} was cancelled and sent");
            }
            202 => assert!(now.contains(machine)),
            other => panic!("{other}"),
        }
    }
    bridge.run_for(seconds(60)).await;
    for id in answers.keys() {
        assert!(["cancelled", "succeeded"].contains(&bridge.state(id).await.as_str()));
    }
    let at_once = answers.values().filter(|(status, _)| *status == 200).count();
    eprintln!("{at_once} of {} were cancelled before they were sent", answers.len());
}

/// A twin is another action of the same alert that turns out to mean the same: it is not held back by one that was cancelled
/// before anything was sent.
#[tokio::test]
async fn an_action_is_not_superseded_by_one_that_was_never_sent() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| {
        let machine = Machine { id: MACHINE.to_owned(), files: vec![SHA1.to_owned()], ..Machine::default() };
        state.world.machines = vec![Machine { dns_name: "ws1.corp.example".to_owned(), ..machine }];
    });
    let pair = |machine| EntityPair {
        machine,
        file: FileEntity { sha1: SHA1.parse().ok(), ..FileEntity::default() },
        candidates: Vec::new(),
        found_at: FoundAt::default(),
    };
    let by_id = MachineEntity { id: MACHINE.parse().ok(), ..MachineEntity::default() };
    let by_name = MachineEntity { dns_name: Some("ws1.corp.example".to_owned()), ..MachineEntity::default() };
    let ids = bridge.accept_pairs("a1", vec![pair(by_id), pair(by_name)]).await;
    assert_eq!(cancel(&bridge, &ids[0]).await.status, 200);

    bridge.run_for(seconds(40)).await;

    assert_eq!(bridge.state(&ids[1]).await, "succeeded");
}
