//! Undo: what it takes by state, the mark that keeps a quarantine from coming back, and who may set and take it.

use jiff::SignedDuration;
use quarantine_bridge::alert::{Action, State, SupersededBy};
use quarantine_bridge::simulator::Machine;
use quarantine_bridge::store::{Scope, StoreError};
use quarantine_bridge::undo::{Need, Portal, Recipe, StepKind, recipe};
use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::binary::Installation;
use crate::harness::{Bridge, MACHINE, SHA1, Setup, action};

/// An action whose device has a name.
fn named(state: State) -> Action {
    let mut action = action(state);
    action.pair.machine.dns_name = Some("ws-0147.corp.example".parse().unwrap());
    action
}

fn kinds(recipe: &Recipe) -> Vec<StepKind> {
    recipe.steps.iter().map(|step| step.kind).collect()
}

#[test]
fn every_state_has_its_recipe() {
    use StepKind::{Allow, Cancel, Device, Mark, Portal as InPortal};
    let restore = vec![InPortal, Device, Allow, Mark];
    let first_cancel = vec![Cancel, InPortal, Device, Allow, Mark];
    for state in State::ALL {
        let (need, steps, says) = match state {
            State::Accepted | State::Resolving | State::Decided | State::Held | State::Queued => {
                (Need::Nothing, vec![Cancel], "nothing need be undone")
            }
            State::Denied | State::Expired | State::Shadowed | State::Rejected | State::Cancelled => {
                (Need::Nothing, Vec::new(), "nothing need be undone")
            }
            State::Sending | State::Uncertain => (Need::Unknown, first_cancel.clone(), "not known yet"),
            State::Submitted => (Need::Cancel, first_cancel.clone(), "Pending"),
            State::Succeeded => (Need::Restore, restore.clone(), "stopped and quarantined"),
            State::Failed | State::TimedOut => {
                (Need::Check, restore.clone(), "See whether the file is there")
            }
            State::Superseded => (Need::Check, restore.clone(), "This action sent nothing"),
        };
        let recipe = recipe(&named(state), None, Portal::Commercial);
        assert_eq!((recipe.need, kinds(&recipe)), (need, steps), "{state}");
        assert!(recipe.why.contains(says), "{state}: {}", recipe.why);
    }
}

#[test]
fn the_steps_name_what_they_are_about_and_warn() {
    let recipe = recipe(&named(State::Succeeded), None, Portal::Commercial);
    let [portal, device, allow, mark] = &recipe.steps[..] else { panic!("{recipe:?}") };

    assert!(portal.what.contains(MACHINE) && portal.what.contains("ws-0147.corp.example"), "{portal:?}");
    assert!(portal.what.contains("5382f7ea-7557-4ab7-9782-d50480024a4e"), "{portal:?}");
    assert_eq!(portal.link.as_deref(), Some("https://security.microsoft.com/action-center/history"));
    let line = r#""%ProgramFiles%\Windows Defender\MpCmdRun.exe" -Restore -Name EUS:Win32/CustomEnterpriseBlock -All"#;
    assert_eq!(device.command.as_deref(), Some(line));
    let warning = device.warning.as_ref().unwrap();
    assert!(
        warning.contains("every file that a custom block has quarantined on this device in the last 30 days"),
        "{warning}"
    );
    assert!(allow.what.contains(SHA1) && allow.command.is_none(), "{allow:?}");
    let marks = format!("quarantine-bridge undo {} --mark --reason \"...\"", Uuid::nil());
    assert_eq!(mark.command.as_deref(), Some(marks.as_str()));
}

#[test]
fn another_cloud_has_another_portal_and_another_machine_action_is_named() {
    let theirs = SupersededBy {
        machine_action_id: "00000000-0000-4000-8000-000000000001".to_owned(),
        requestor: Some("lead@example.com".to_owned()),
        status: "Succeeded".to_owned(),
    };
    let superseded = Action { machine_action: None, ..named(State::Superseded) };

    let in_defense = recipe(&superseded, Some(&theirs), Portal::Defense);
    assert!(in_defense.steps[0].link.as_ref().is_some_and(|it| it.starts_with("https://security.apps.mil/")));
    let recipe = recipe(&superseded, Some(&theirs), Portal::Government);

    assert!(recipe.why.contains("lead@example.com"), "{}", recipe.why);
    assert!(recipe.steps[0].what.contains(&theirs.machine_action_id));
    let links = recipe.steps.iter().filter_map(|step| step.link.as_ref());
    assert!(links.clone().count() == 3 && links.into_iter().all(|it| it.contains("security.microsoft.us")));
}

/// The acts that persons did, with what they were done to and how it was.
fn acts(bridge: &Bridge, act: &str) -> Vec<Value> {
    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let entries = texts.map(|text| serde_json::from_str::<Value>(&text.unwrap()).unwrap());
    entries.filter(|entry| entry["deed"]["act"] == act).collect()
}

async fn mark(bridge: &Bridge, id: &str, body: Value) -> crate::harness::Answer {
    let token = bridge.token_of("lead", &[Scope::ActionsUndo]);
    bridge.post_as(&format!("/v1/actions/{id}/undo"), &token, &body).await
}

#[tokio::test]
async fn what_was_undone_is_marked_shown_listed_and_in_the_audit() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let calls = bridge.quarantines().len();
    let recipe = bridge.get(&format!("/v1/actions/{id}/undo")).await;
    assert_eq!((recipe.status, &recipe.body["need"]), (200, &json!("restore")));
    assert_eq!(bridge.action(&id).await["undo_mark"], Value::Null, "asking does nothing");

    let marked = mark(&bridge, &id, json!({"reason": "our own installer"})).await;

    assert_eq!(marked.status, 200, "{:?}", marked.body);
    let shown = &marked.body["undo_mark"];
    assert_eq!((&shown["by"], &shown["reason"]), (&json!("token:lead"), &json!("our own installer")));
    assert_eq!(shown["until"], "2026-03-31T12:01:00.000Z", "30 days");
    let listed = bridge.get("/v1/undo-marks").await;
    assert_eq!(listed.body, json!({"undo_marks": [shown], "next_cursor": null}));
    let entry = &acts(&bridge, "undo_action")[0];
    assert_eq!((&entry["who"], &entry["subject"]["action"]), (&json!("token:lead"), &json!(id)));
    assert_eq!(entry["deed"]["reason"], "our own installer");
    assert_eq!(bridge.quarantines().len(), calls, "Defender is asked nothing");

    bridge.clock.advance(SignedDuration::from_hours(30 * 24));
    assert_eq!(bridge.action(&id).await["undo_mark"], Value::Null, "it is over");
    assert_eq!(bridge.get("/v1/undo-marks").await.body["undo_marks"], json!([]));
}

#[tokio::test]
async fn a_later_mark_ends_no_earlier_and_a_bad_one_is_refused() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    for bad in [
        json!({}),
        json!({"reason": " "}),
        json!({"reason": "r", "days": 0}),
        json!({"reason": "r", "days": 367}),
        json!({"reason": "r", "force": true}),
    ] {
        assert_eq!(mark(&bridge, &id, bad.clone()).await.status, 400, "{bad}");
    }
    assert_eq!(mark(&bridge, &Uuid::nil().to_string(), json!({"reason": "r"})).await.status, 404);
    assert_eq!(acts(&bridge, "undo_action"), Vec::<Value>::new());

    let long = mark(&bridge, &id, json!({"reason": "first", "days": 90})).await;
    let short = mark(&bridge, &id, json!({"reason": "second", "days": 1})).await;

    assert_eq!(long.body["undo_mark"]["until"], short.body["undo_mark"]["until"]);
    assert_eq!(short.body["undo_mark"]["reason"], "second");
    let before = acts(&bridge, "undo_action")[1]["deed"]["before"].clone();
    assert!(before.as_str().unwrap().ends_with("by token:lead: first"), "{before}");
}

#[tokio::test]
async fn an_action_that_sent_nothing_has_nothing_to_undo() {
    let mut bridge = Bridge::start().await;
    let server = "9".repeat(40);
    let device =
        Machine { id: server.clone(), os_platform: "WindowsServer2022".to_owned(), ..Machine::default() };
    bridge.simulator.with(|state| state.world.machines.push(device));
    let id = bridge.accept("a1", &server, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");

    let recipe = bridge.get(&format!("/v1/actions/{id}/undo")).await.body;
    let marked = mark(&bridge, &id, json!({"reason": "r"})).await;

    assert_eq!(recipe["need"], "nothing");
    assert!(recipe["why"].as_str().unwrap().contains("nothing need be undone"), "{recipe}");
    assert_eq!((marked.status, &marked.body["status"]), (409, &json!(409)));
    assert!(marked.body["type"].as_str().unwrap().ends_with("not-undoable"));
    assert_eq!(bridge.get("/v1/undo-marks").await.body["undo_marks"], json!([]));
}

/// One call a minute: the second alert about the pair waits, decided, while the first one is undone.
#[tokio::test]
async fn an_action_that_waits_is_denied_in_the_transaction_of_its_intent() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 1, ..Setup::default() }).await;
    let first = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    bridge.clock.advance(SignedDuration::from_hours(25));
    bridge.accept("a2", &"5".repeat(40), SHA1).await;
    let waits = bridge.accept("a3", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&waits).await, "queued");

    assert_eq!(mark(&bridge, &first, json!({"reason": "r"})).await.status, 200);
    bridge.run_for(SignedDuration::from_mins(2)).await;

    let denied = bridge.action(&waits).await;
    assert_eq!(denied["state"], "denied");
    assert!(denied["history"].to_string().contains("such a quarantine was undone"), "{denied}");
    assert_eq!(bridge.quarantines().len(), 2, "the other two");
}

#[tokio::test]
async fn the_mark_holds_for_every_alert_until_it_is_taken_away() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    mark(&bridge, &id, json!({"reason": "our own installer", "days": 90})).await;
    bridge.clock.advance(SignedDuration::from_hours(48));
    let denied = bridge.accept("a2", MACHINE, SHA1).await;
    let other_device = bridge.accept("a3", &"5".repeat(40), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&denied).await, "denied");
    assert_eq!(bridge.state(&other_device).await, "submitted");

    let said = json!({"machine_id": MACHINE, "sha1": SHA1, "reason": "it was malware after all"});
    let maker = bridge.new_token(&[Scope::ActionsUndo]);
    let chief = bridge.token_of("chief", &[Scope::UndoMarksRemove]);
    assert_eq!(bridge.post_as("/v1/undo-marks/remove", &maker, &said).await.status, 403);
    let removed = bridge.post_as("/v1/undo-marks/remove", &chief, &said).await;
    let again = bridge.post_as("/v1/undo-marks/remove", &chief, &said).await;

    assert_eq!((removed.status, again.status), (200, 404));
    assert_eq!(removed.body["reason"], "our own installer");
    let entry = &acts(&bridge, "remove_undo_mark")[0];
    assert_eq!(entry["who"], "token:chief");
    assert_eq!(entry["deed"]["to"], format!("machine {MACHINE}, SHA1 {SHA1}"));
    assert_eq!(entry["deed"]["reason"], "it was malware after all");
    let sent = bridge.accept("a4", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&sent).await, "submitted");
}

#[tokio::test]
async fn marks_are_listed_a_page_at_a_time() {
    let mut bridge = Bridge::start().await;
    for (alert, device) in [("a1", "3"), ("a2", "4"), ("a3", "5")] {
        let id = bridge.accept(alert, &device.repeat(40), SHA1).await;
        bridge.drain().await;
        assert_eq!(mark(&bridge, &id, json!({"reason": alert})).await.status, 200);
    }

    let first = bridge.get("/v1/undo-marks?limit=2").await.body;
    let next = first["next_cursor"].as_str().unwrap();
    let second = bridge.get(&format!("/v1/undo-marks?limit=2&cursor={next}")).await.body;

    let reasons = |page: &Value| -> Vec<String> {
        let marks = page["undo_marks"].as_array().unwrap().iter();
        marks.map(|mark| mark["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((reasons(&first), reasons(&second)), (vec!["a1".into(), "a2".into()], vec!["a3".into()]));
    assert_eq!(second["next_cursor"], Value::Null);
    for bad in ["limit=0", "cursor=7", "device=x"] {
        assert_eq!(bridge.get(&format!("/v1/undo-marks?{bad}")).await.status, 400, "{bad}");
    }
}

/// If the audit cannot be written, neither is the mark.
#[tokio::test]
async fn a_mark_and_its_entry_are_one() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let db = Connection::open(bridge.database()).unwrap();
    db.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON audit WHEN instr(NEW.entry, 'undo_action')
         BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .unwrap();

    let refused = mark(&bridge, &id, json!({"reason": "r"})).await;

    assert_eq!(refused.status, 503);
    assert_eq!(bridge.get("/v1/undo-marks").await.body["undo_marks"], json!([]));
    let failed: Result<_, StoreError> = bridge.store().undo_marks(None, 9, bridge.clock.now()).await;
    assert_eq!(failed.unwrap(), Vec::new());
    db.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(mark(&bridge, &id, json!({"reason": "r"})).await.status, 200);
}

#[tokio::test]
async fn the_command_shows_marks_lists_and_takes_away_beside_a_running_service() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    // The tests' clock stands in March; a mark by the command is of today.
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation
        .edit("path = \"bridge.db\"", &format!("path = {:?}", bridge.database().display().to_string()));
    let run = |arguments: &[&str]| installation.told(arguments);

    let (code, shown, said) = run(&["undo", &id]);
    assert_eq!(code, 0, "{said}");
    assert!(shown.contains("MpCmdRun.exe") && shown.contains("Mind: It restores every file"), "{shown}");
    let (_, shown, _) = run(&["undo", &id, "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        bridge.get(&format!("/v1/actions/{id}/undo")).await.body
    );
    assert_eq!(acts(&bridge, "undo_action"), Vec::<Value>::new(), "showing does nothing");
    assert_eq!(run(&["undo", &id, "--mark"]).0, 2, "a reason is needed");
    assert_eq!(run(&["undo", &id, "--mark", "--reason", " "]).0, 2);
    assert_eq!(run(&["undo", &Uuid::nil().to_string()]).0, 1);

    let (code, shown, said) = run(&["undo", &id, "--mark", "--reason", "our own installer", "--days", "90"]);
    assert_eq!(code, 0, "{said}");
    assert!(shown.contains(&format!("{SHA1} is not quarantined again on {MACHINE}")), "{shown}");
    let by = bridge.action(&id).await["undo_mark"]["by"].clone();
    assert!(by.as_str().unwrap().starts_with("operator:uid "), "{by}");
    let (_, listed, _) = run(&["undo-marks", "list", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()["reason"], "our own installer");
    let remove = ["undo-marks", "remove", "--machine-id", MACHINE, "--sha1", SHA1, "--reason", "r"];
    assert_eq!(run(&remove).0, 0);
    assert_eq!(run(&remove).0, 1, "it is gone");
    assert_eq!(run(&["undo-marks", "list"]), (0, String::new(), String::new()));
    assert_eq!(bridge.action(&id).await["undo_mark"], Value::Null);
    assert_eq!((acts(&bridge, "undo_action").len(), acts(&bridge, "remove_undo_mark").len()), (1, 1));
}
