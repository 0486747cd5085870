//! The way of an action through every answer that Defender can give.

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Severity};
use quarantine_bridge::simulator::{DuplicateAnswer, DuplicateKey, Fault, FaultKind, Machine, Place};
use serde_json::{Value, json};

use crate::harness::{Bridge, MACHINE, SHA1, Setup, simulate, take_device_offline, without_facts};

fn fault(place: Place, kind: FaultKind, times: u32) -> Fault {
    Fault { place, kind, times: Some(times) }
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The states that an action went through.
fn states(action: &Value) -> Vec<&str> {
    action["history"].as_array().unwrap().iter().map(|change| change["to"].as_str().unwrap()).collect()
}

fn last_why(action: &Value) -> &str {
    action["history"].as_array().unwrap().last().unwrap()["why"].as_str().unwrap()
}

#[tokio::test]
async fn an_alert_becomes_a_quarantined_file() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(40)).await;

    let action = bridge.action(&id).await;
    let way = ["accepted", "resolving", "decided", "queued", "sending", "submitted", "succeeded"];
    assert_eq!(states(&action), way);
    let calls = bridge.quarantines();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["path"], format!("/api/machines/{MACHINE}/StopAndQuarantineFile"));
    let comment = "Stop and quarantine file on machine due to alert a1";
    assert_eq!(calls[0]["body"], json!({"Comment": comment, "Sha1": SHA1}));
    assert_eq!(action["machine_action"]["status"], "Succeeded");
}

#[tokio::test]
async fn success_is_not_reported_before_defender_reports_it() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(20)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "submitted");
    assert_eq!(action["machine_action"]["status"], "InProgress");
    assert_eq!(action["waiting_for"], "the device");
}

#[tokio::test]
async fn every_end_that_defender_reports_is_told_as_such() {
    let ends = [
        ("Failed", "failed"),
        ("TimeOut", "timed_out"),
        ("Cancelled", "cancelled"),
        ("Succeeded", "succeeded"),
    ];
    for (defenders, ours) in ends {
        let mut bridge = Bridge::start().await;
        let machine = Machine {
            id: MACHINE.to_owned(),
            files: vec![SHA1.to_owned()],
            ends_as: defenders.to_owned(),
            ..Machine::default()
        };
        bridge.simulator.with(|state| state.world.machines = vec![machine]);
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(40)).await;

        assert_eq!(bridge.state(&id).await, ours);
    }
}

#[tokio::test]
async fn an_unknown_status_is_no_end() {
    let mut bridge = Bridge::start().await;
    let machine = Machine {
        id: MACHINE.to_owned(),
        files: vec![SHA1.to_owned()],
        ends_as: "SomeNewStatus".to_owned(),
        ..Machine::default()
    };
    bridge.simulator.with(|state| state.world.machines = vec![machine]);
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(60)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "submitted");
    assert_eq!(action["machine_action"]["status"], "SomeNewStatus");
}

#[tokio::test]
async fn an_offline_device_shows_as_waiting() {
    let mut bridge = Bridge::start().await;
    take_device_offline(&bridge.simulator);
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(600)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "submitted");
    let waiting = action["waiting_for"].as_str().unwrap();
    assert!(waiting.contains("Pending at Defender for 10 min"), "{waiting}");
}

#[tokio::test]
async fn many_submitted_actions_are_read_with_few_calls() {
    let mut bridge = Bridge::start().await;
    for n in 0..30 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }

    bridge.run_for(seconds(40)).await;

    let calls = bridge.simulator.calls();
    let reads = calls.iter().filter(|call| call.path.starts_with("/api/machineactions")).count();
    let page = bridge.get("/v1/actions?state=succeeded&limit=200").await;
    assert_eq!(page.body["actions"].as_array().unwrap().len(), 30);
    assert!(reads <= 10, "{reads} reads for 30 actions");
}

/// Faults after which Defender has acted, though nobody here knows.
fn lost_answers() -> Vec<FaultKind> {
    vec![
        FaultKind::AnswerLost,
        FaultKind::Truncated,
        FaultKind::Garbage,
        FaultKind::ActedThenStatus { status: 500 },
        FaultKind::ActedThenStatus { status: 502 },
        FaultKind::ActedThenStatus { status: 503 },
        FaultKind::ActedThenStatus { status: 504 },
        FaultKind::ActedThenStatus { status: 408 },
        FaultKind::ActedThenStatus { status: 409 },
    ]
}

#[tokio::test]
async fn a_lost_answer_is_found_in_defenders_list_and_never_sent_again() {
    for kind in lost_answers() {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(fault(Place::Quarantine, kind.clone(), 1));
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(120)).await;

        let action = bridge.action(&id).await;
        let way =
            ["accepted", "resolving", "decided", "queued", "sending", "uncertain", "submitted", "succeeded"];
        assert_eq!(states(&action), way, "{kind:?}");
        assert_eq!(bridge.quarantines().len(), 1, "{kind:?}");
        assert_eq!(bridge.metric("quarantine_bridge_reconciled_total{result=\"adopted\"}"), Some(1.0));
    }
}

/// Faults after which Defender has not acted, which nobody here knows either.
#[tokio::test]
async fn a_lost_request_is_sent_again_only_after_two_empty_reads_and_the_settle_time() {
    let kinds = [
        FaultKind::RequestLost,
        FaultKind::Status { status: 500 },
        FaultKind::Status { status: 502 },
        FaultKind::Redirect,
    ];
    for kind in kinds {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(fault(Place::Quarantine, kind.clone(), 1));
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(55)).await;
        assert_eq!(bridge.state(&id).await, "uncertain", "{kind:?}");
        assert_eq!(bridge.quarantines().len(), 1, "{kind:?}");

        bridge.run_for(seconds(60)).await;
        let action = bridge.action(&id).await;
        assert_eq!(action["state"], "succeeded", "{kind:?}");
        assert_eq!(action["attempts"].as_array().unwrap().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn while_the_list_cannot_be_read_nothing_uncertain_is_sent_again() {
    let kinds = [
        FaultKind::Status { status: 500 },
        FaultKind::Forbidden2023,
        FaultKind::Garbage,
        FaultKind::AnswerLost,
        FaultKind::Throttled { retry_after: None, code: "429".to_owned() },
        FaultKind::Unauthorized,
    ];
    for kind in kinds {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
        bridge.simulator.play(Fault { place: Place::MachineActions, kind: kind.clone(), times: None });
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(900)).await;
        assert_eq!(bridge.state(&id).await, "uncertain", "{kind:?}");
        assert_eq!(bridge.quarantines().len(), 1, "{kind:?}");

        bridge.simulator.with(|state| state.faults.clear());
        bridge.run_for(seconds(240)).await;
        assert_eq!(bridge.state(&id).await, "succeeded", "{kind:?}");
    }
}

#[tokio::test]
async fn an_uncertain_action_that_is_settled_too_late_is_not_sent_again() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    bridge.simulator.play(fault(Place::MachineActions, FaultKind::Status { status: 500 }, 1_000_000));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(SignedDuration::from_mins(61)).await;
    assert_eq!(bridge.state(&id).await, "uncertain");
    bridge.simulator.with(|state| state.faults.clear());
    bridge.run_for(SignedDuration::from_mins(12)).await;

    let action = bridge.action(&id).await;
    assert_eq!(states(&action)[5..], ["uncertain", "queued", "expired"]);
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn a_list_that_lags_less_than_the_settle_time_leads_to_no_second_call() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.list_lag_ms = 55_000);
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::AnswerLost, 1));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(180)).await;

    assert_eq!(bridge.state(&id).await, "succeeded");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn a_first_call_that_is_listed_after_later_ones_is_still_found() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.list_lag_ms = 20 * 60_000);
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::AnswerLost, 1));
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1_000));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(SignedDuration::from_mins(25)).await;

    assert_eq!(bridge.state(&id).await, "succeeded");
    assert!(bridge.quarantines().len() > 5);
    assert_eq!(bridge.simulator.machine_actions().len(), 1);
}

#[tokio::test]
async fn a_list_in_many_pages_is_read_whole() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.page_size = 1);
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::AnswerLost, 5));
    for n in 0..5 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }

    bridge.run_for(seconds(120)).await;

    let page = bridge.get("/v1/actions?state=succeeded").await;
    assert_eq!(page.body["actions"].as_array().unwrap().len(), 5);
    assert_eq!(bridge.quarantines().len(), 5);
}

#[tokio::test]
async fn a_list_that_goes_on_at_another_host_is_not_followed() {
    let mut bridge = Bridge::start().await;
    let (elsewhere, _tasks) = simulate(bridge.clock.clone());
    let url = format!("{}/api/machineactions", elsewhere.url());
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    bridge.simulator.play(fault(Place::MachineActions, FaultKind::NextLink { url }, 1_000));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(300)).await;

    assert_eq!(bridge.state(&id).await, "uncertain");
    assert!(elsewhere.calls().is_empty(), "the token was shown to another host");
}

#[tokio::test]
async fn clear_refusals_end_the_action_with_defenders_own_words() {
    let refusals = [
        (FaultKind::Status { status: 400 }, 400, "", ""),
        (FaultKind::Status { status: 404 }, 404, "", ""),
        (FaultKind::Status { status: 405 }, 405, "", ""),
    ];
    for (kind, status, code, message) in refusals {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(fault(Place::Quarantine, kind.clone(), 1));
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(120)).await;

        let action = bridge.action(&id).await;
        let attempt = &action["attempts"][0];
        assert_eq!(action["state"], "rejected", "{kind:?}");
        assert_eq!(attempt["http_status"], status, "{kind:?}");
        assert_eq!(attempt["code"], code, "{kind:?}");
        assert!(attempt["message"].as_str().unwrap().contains(message), "{attempt}");
        assert_eq!(bridge.quarantines().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn an_unsupported_device_or_a_signed_file_is_rejected() {
    // The guards would not let them be sent.
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    let linux = Machine { id: "a".repeat(39) + "1", os_platform: "Linux".to_owned(), ..Machine::default() };
    let windows =
        Machine { id: MACHINE.to_owned(), signed_files: vec![SHA1.to_owned()], ..Machine::default() };
    let on_linux = linux.id.clone();
    bridge.simulator.with(|state| state.world.machines = vec![linux, windows]);
    let first = bridge.accept("a1", &on_linux, SHA1).await;
    let second = bridge.accept("a2", MACHINE, SHA1).await;

    bridge.drain().await;

    let first = bridge.action(&first).await;
    assert_eq!(
        (&first["state"], &first["attempts"][0]["code"]),
        (&json!("rejected"), &json!("OsPlatformNotSupported"))
    );
    let second = bridge.action(&second).await;
    assert_eq!(
        (&second["state"], &second["attempts"][0]["code"]),
        (&json!("rejected"), &json!("DisallowedOperation"))
    );
}

#[tokio::test]
async fn a_429_is_honoured_for_every_action() {
    let waits = [
        (Some("30"), 30),
        (Some("0"), 1),
        (None, 60),
        (Some("Sun, 01 Mar 2026 12:00:45 GMT"), 45),
        (Some("soon"), 60),
    ];
    for (retry_after, wait) in waits {
        let mut bridge = Bridge::start().await;
        let retry_after = retry_after.map(ToOwned::to_owned);
        let kind = FaultKind::Throttled { retry_after, code: "429".to_owned() };
        bridge.simulator.play(fault(Place::Quarantine, kind.clone(), 1));
        bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        bridge.accept("a2", &"3".repeat(40), SHA1).await;
        bridge.drain().await;
        assert_eq!(bridge.quarantines().len(), 1, "{kind:?}");

        bridge.clock.advance(seconds(wait - 1));
        bridge.drain().await;
        assert_eq!(bridge.quarantines().len(), 1, "{kind:?}");

        bridge.clock.advance(seconds(1));
        bridge.drain().await;
        assert_eq!(bridge.quarantines().len(), 3, "{kind:?}");
        assert_eq!(bridge.metric("quarantine_bridge_outcomes_total{outcome=\"throttled\"}"), Some(1.0));
    }
}

#[tokio::test]
async fn a_401_costs_one_fresh_token_and_no_action() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::Unauthorized, 1));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(60)).await;

    assert_eq!(bridge.state(&id).await, "succeeded");
    let calls = bridge.simulator.calls();
    let tokens = calls.iter().filter(|call| call.path.ends_with("/token")).count();
    assert_eq!(tokens, 2);
}

#[tokio::test]
async fn a_token_that_defender_never_takes_pauses_sending() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(Fault { place: Place::Quarantine, kind: FaultKind::Unauthorized, times: None });
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(600)).await;

    assert_eq!(bridge.state(&id).await, "queued");
    let calls = bridge.quarantines().len();
    assert!((3..=16).contains(&calls), "{calls} calls in ten minutes");
    assert_eq!(bridge.metric("quarantine_bridge_sending_paused"), Some(1.0));
}

#[tokio::test]
async fn while_entra_id_gives_no_token_actions_wait() {
    let kinds =
        [FaultKind::TemporarilyUnavailable, FaultKind::InvalidClient, FaultKind::Status { status: 500 }];
    for kind in kinds {
        let mut bridge = Bridge::start().await;
        bridge.simulator.play(Fault { place: Place::Token, kind: kind.clone(), times: None });
        let id = bridge.accept("a1", MACHINE, SHA1).await;

        bridge.run_for(seconds(120)).await;
        assert_eq!(bridge.state(&id).await, "resolving", "{kind:?}");
        assert_eq!(bridge.action(&id).await["attempts"], json!([]), "{kind:?}");

        bridge.simulator.with(|state| state.faults.clear());
        bridge.run_for(seconds(120)).await;
        assert_eq!(bridge.state(&id).await, "succeeded", "{kind:?}");
    }
}

#[tokio::test]
async fn a_token_without_the_needed_roles_is_reported_and_not_used() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.switches.roles = vec!["Machine.Read.All".to_owned()]);
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(60)).await;
    assert_eq!(bridge.state(&id).await, "resolving");
    assert_eq!(bridge.quarantines().len(), 0);
    assert_eq!(bridge.metric("quarantine_bridge_token_roles_missing{api=\"defender\"}"), Some(1.0));

    bridge.simulator.with(|state| {
        let roles = ["Machine.StopAndQuarantine", "Machine.ReadWrite.All", "File.Read.All"];
        state.switches.roles = roles.map(ToOwned::to_owned).into();
    });
    bridge.run_for(seconds(120)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
}

#[tokio::test]
async fn while_entra_id_is_away_the_old_token_is_used_to_its_end() {
    let mut bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.simulator.play(fault(Place::Token, FaultKind::Status { status: 503 }, 1_000));

    // Less than five minutes are left of it: it would be renewed.
    bridge.clock.advance(SignedDuration::from_mins(57));
    let in_time = bridge.accept("a2", &"5".repeat(40), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&in_time).await, "submitted");
    let tokens = bridge.simulator.calls().iter().filter(|call| call.path.ends_with("/token")).count();
    assert_eq!(tokens, 2, "a second fetch would hold every call up");

    bridge.clock.advance(SignedDuration::from_mins(4));
    let late = bridge.accept("a3", &"6".repeat(40), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&late).await, "resolving");
}

#[tokio::test]
async fn many_calls_at_once_fetch_one_token() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Token, FaultKind::Delay { ms: 50 }, 1));
    for n in 0..8 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }
    bridge.drain().await;
    let tokens = bridge.simulator.calls().iter().filter(|call| call.path.ends_with("/token")).count();
    assert_eq!((tokens, bridge.quarantines().len()), (1, 8));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_not_earlier() {
    let mut bridge = Bridge::start().await;
    for minute in 0..110 {
        bridge.accept(&format!("a{minute}"), &format!("{minute:040x}"), SHA1).await;
        bridge.drain().await;
        bridge.clock.advance(seconds(60));
    }
    bridge.run_for(seconds(120)).await;

    let calls = bridge.simulator.calls();
    let tokens = calls.iter().filter(|call| call.path.ends_with("/token")).count();
    let refused = calls.iter().filter(|call| call.status == 401).count();
    assert_eq!((tokens, refused), (3, 0));
}

#[tokio::test]
async fn a_duplicate_of_our_own_open_action_is_adopted() {
    let mut bridge = Bridge::start().await;
    // The first answer is lost while the list lags for longer than the settle time: the documented window in
    // which a second call goes out.
    bridge.simulator.with(|state| {
        state.switches.list_lag_ms = 100_000;
        state.switches.done_after_ms = 200_000;
    });
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::AnswerLost, 1));
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(400)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "succeeded");
    assert_eq!(action["attempts"][1]["outcome"], "active_request");
    assert_eq!(bridge.simulator.machine_actions().len(), 1);
}

/// A second call for a device is answered 201 with the machine action that is open there, whatever its file.
fn answer_with_what_is_open(bridge: &Bridge) {
    bridge.simulator.with(|state| {
        state.switches.duplicate = DuplicateAnswer::OpenAction;
        state.switches.duplicate_key = DuplicateKey::Machine;
    });
}

#[tokio::test]
async fn an_answer_that_names_another_file_is_not_taken_as_ours() {
    let mut bridge = Bridge::start().await;
    answer_with_what_is_open(&bridge);
    bridge.accept("a3", MACHINE, SHA1).await;
    bridge.run_for(seconds(4)).await;
    let other = "45".repeat(20);
    let id = bridge.accept("a4", MACHINE, &other).await;
    bridge.run_for(seconds(400)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["attempts"][0]["outcome"], "active_request");
    let of_calls: Vec<_> = states(&action).into_iter().skip_while(|state| *state != "sending").collect();
    assert_eq!(of_calls, ["sending", "uncertain", "queued", "sending", "submitted", "succeeded"]);
    let made = bridge.simulator.machine_actions();
    let files: Vec<&str> = made.iter().map(|made| made.sha1.as_str()).collect();
    assert_eq!(files, [SHA1, other.as_str()]);
    assert_eq!(action["machine_action"]["id"], made[1].id);
    assert_eq!(bridge.quarantines().len(), 3);
}

#[tokio::test]
async fn while_another_file_is_open_there_no_call_goes_out_without_two_reads() {
    let mut bridge = Bridge::start().await;
    answer_with_what_is_open(&bridge);
    bridge.simulator.with(|state| state.switches.done_after_ms = 100_000_000);
    bridge.accept("a3", MACHINE, SHA1).await;
    bridge.run_for(seconds(4)).await;
    let id = bridge.accept("a4", MACHINE, &"45".repeat(20)).await;
    bridge.run_for(seconds(3_600)).await;

    let action = bridge.action(&id).await;
    let attempts = action["attempts"].as_array().unwrap().len();
    let calls = bridge.simulator.calls();
    let is_post = |path: &str| path.ends_with("StopAndQuarantineFile");
    let paths: Vec<&str> = calls.iter().map(|call| call.path.as_str()).collect();
    // Before the first call, between the first two, then between those of this action, and after the last.
    let mut stretches: Vec<_> = paths.split(|path| is_post(path)).skip(2).collect();
    stretches.pop();
    for between in stretches {
        let reads = between.iter().filter(|path| path.contains("machineId+eq")).count();
        assert!(reads >= 2, "{between:?}");
    }
    assert!((2..=62).contains(&attempts), "one a minute, not {attempts}");
    assert_eq!(bridge.simulator.machine_actions().len(), 1);
    assert_ne!(action["state"], "succeeded");
}

#[tokio::test]
async fn a_record_that_names_another_file_moves_nothing_and_is_never_cancelled() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.simulator.with(|state| state.actions.all_mut()[0].sha1 = "45".repeat(20));
    bridge.run_for(seconds(60)).await;
    assert_eq!(bridge.state(&id).await, "submitted");
    assert_eq!(bridge.action(&id).await["machine_action"]["status"], "Pending");

    bridge.run_for(SignedDuration::from_hours(26)).await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "timed_out");
    assert!(last_why(&action).contains("what became of it is not known"), "{action}");
    assert!(!bridge.simulator.calls().iter().any(|call| call.path.ends_with("/cancel")));
}

#[tokio::test]
async fn one_call_at_a_time_goes_to_a_machine() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(fault(Place::Quarantine, FaultKind::RequestLost, 1));
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.accept("a2", MACHINE, &"4".repeat(39).replace('4', "45")[..40]).await;
    bridge.accept("a3", &"6".repeat(40), SHA1).await;

    bridge.run_for(seconds(50)).await;
    let calls = bridge.quarantines();
    let there = calls.iter().filter(|call| call["path"].as_str().unwrap().contains(MACHINE)).count();
    assert_eq!((calls.len(), there), (2, 1), "the other machine's call went out, the second here waits");

    bridge.run_for(seconds(240)).await;
    let page = bridge.get("/v1/actions?state=succeeded").await;
    assert_eq!(page.body["actions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_budget_survives_a_restart() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 5, ..Setup::default() }).await;
    for n in 0..8 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 5);

    let mut bridge = bridge.restart().await;
    bridge.clock.advance(seconds(61));
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 5, "the window is a little longer than a minute");

    bridge.clock.advance(seconds(1));
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 8);
    bridge.run_for(seconds(120)).await;
}

#[tokio::test]
async fn the_most_severe_go_first() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 1, ..Setup::default() }).await;
    for (n, severity) in ["low", "high", "critical", "medium"].into_iter().enumerate() {
        let alert = String::from_utf8(bridge.alert(severity, &format!("{n:040x}"), SHA1)).unwrap();
        let alert = alert.replace("\"high\"", &format!("\"{severity}\""));
        assert_eq!(bridge.post(&format!("msg_{n}"), alert).await.status, 202);
    }

    bridge.run_for(seconds(260)).await;

    let calls = bridge.quarantines();
    let comments: Vec<_> = calls
        .iter()
        .map(|call| call["body"]["Comment"].as_str().unwrap().rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(comments, ["critical", "high", "medium", "low"]);
}

#[tokio::test]
async fn a_shadow_source_decides_and_never_calls() {
    let mut bridge = Bridge::with(Setup { mode: Mode::Shadow, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(60)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "shadowed");
    assert_eq!(last_why(&action), "would have been sent");
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn an_approve_source_holds_and_expires_after_a_day() {
    let mut bridge = Bridge::with(Setup { mode: Mode::Approve, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");

    bridge.clock.advance(SignedDuration::from_hours(23));
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");

    bridge.clock.advance(SignedDuration::from_hours(1));
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "expired");
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn an_alert_that_grows_too_old_in_the_queue_is_not_sent() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.play(Fault {
        place: Place::Token,
        kind: FaultKind::TemporarilyUnavailable,
        times: None,
    });
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.simulator.with(|state| state.faults.clear());

    bridge.clock.advance(SignedDuration::from_mins(61));
    bridge.drain().await;

    assert_eq!(bridge.state(&id).await, "expired");
    assert_eq!(bridge.quarantines().len(), 0);
}

#[tokio::test]
async fn an_alert_that_comes_too_old_or_too_mild_is_not_sent() {
    let mut bridge = Bridge::with(Setup { min_severity: Severity::Critical, ..Setup::default() }).await;
    let mild = bridge.accept("mild", MACHINE, SHA1).await;
    let alert = bridge.alert("old", MACHINE, SHA1);
    bridge.clock.advance(SignedDuration::from_mins(90));
    let answer = bridge.post("msg_old", alert).await;
    let old = answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();

    bridge.drain().await;

    assert_eq!(bridge.state(&mild).await, "expired");
    assert_eq!(bridge.state(&old).await, "expired");
    let mild = bridge.accept("mild2", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&mild).await, "denied");
    assert_eq!(bridge.quarantines().len(), 0);
}

#[tokio::test]
async fn what_is_not_known_holds_the_action() {
    let mut bridge = Bridge::start().await;
    let now = bridge.clock.now().to_string();
    let machine = json!({"id": MACHINE});
    let file = json!({"sha1": SHA1});
    let cases = [
        json!({"alert_id": "no severity", "occurred_at": now, "targets": [{"machine": machine, "file": file}]}),
        json!({"alert_id": "odd severity", "severity": "urgent", "occurred_at": now, "targets": [{"machine": machine, "file": file}]}),
        json!({"alert_id": "no time", "severity": "high", "targets": [{"machine": machine, "file": file}]}),
        json!({"alert_id": "odd time", "severity": "high", "occurred_at": "yesterday", "targets": [{"machine": machine, "file": file}]}),
        json!({"alert_id": "time without zone", "severity": "high", "occurred_at": "2026-03-01T12:00:00", "targets": [{"machine": machine, "file": file}]}),
        json!({"alert_id": "future", "severity": "high", "occurred_at": "2026-03-01T13:00:00Z", "targets": [{"machine": machine, "file": file}]}),
        json!({"alert_id": "no machine id", "severity": "high", "occurred_at": now, "targets": [{"machine": {"dns_name": "ws1"}, "file": file}]}),
        json!({"alert_id": "no sha1", "severity": "high", "occurred_at": now, "targets": [{"machine": machine, "file": {"sha256": "ab".repeat(32)}}]}),
    ];
    for (n, case) in cases.iter().enumerate() {
        let answer = bridge.post(&format!("msg_{n}"), case.to_string()).await;
        assert_eq!(answer.status, 202, "{case}");
    }

    bridge.run_for(seconds(60)).await;

    let held = bridge.get("/v1/actions?state=held").await;
    assert_eq!(held.body["actions"].as_array().unwrap().len(), cases.len());
    assert_eq!(bridge.quarantines().len(), 0);
}

#[tokio::test]
async fn a_crash_between_intent_and_answer_is_settled_by_defenders_list() {
    for acted in [true, false] {
        let mut bridge = Bridge::start().await;
        let kind = if acted { FaultKind::AnswerLost } else { FaultKind::RequestLost };
        bridge.simulator.play(fault(Place::Quarantine, kind, 1));
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.drain().await;
        // What the disk holds if the power goes before the answer.
        let db = rusqlite::Connection::open(bridge.database()).unwrap();
        db.execute("UPDATE actions SET state = 'sending'", []).unwrap();
        db.execute("DELETE FROM history WHERE to_state = 'uncertain'", []).unwrap();
        drop(db);

        let mut bridge = bridge.restart().await;
        bridge.run_for(seconds(180)).await;

        assert_eq!(bridge.state(&id).await, "succeeded");
        assert_eq!(bridge.quarantines().len(), if acted { 1 } else { 2 });
    }
}

#[tokio::test]
async fn what_never_left_is_tried_again_without_a_look() {
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let api_url = Some(format!("http://{free}"));
    let setup = Setup { api_url, guards: without_facts, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;

    bridge.run_for(seconds(30)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "queued");
    let attempts = action["attempts"].as_array().unwrap();
    assert!((3..=7).contains(&attempts.len()), "with backoff: {} attempts", attempts.len());
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "not_sent"), "{attempts:?}");
    assert!(!states(&action).contains(&"uncertain"));
}
