//! What is over and old is deleted, what is not is kept, and a duplicate is known all the same.

use std::fs;

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::simulator::Machine;
use quarantine_bridge::store::{Deleted, Retention};
use rusqlite::Connection;
use serde_json::json;

use crate::harness::binary::Installation;
use crate::harness::{Bridge, MACHINE, SHA1, Setup};

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Content goes after a day, duplicates are known for thirty.
async fn bridge() -> Bridge {
    let retention = Retention { after: days(1), duplicates: days(30) };
    Bridge::with(Setup { retention, ..Setup::default() }).await
}

async fn quarantine(bridge: &mut Bridge, alert_id: &str, machine: &str) -> String {
    let id = bridge.accept(alert_id, machine, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
    id
}

fn rows(bridge: &Bridge) -> Vec<(&'static str, i64)> {
    let db = Connection::open(bridge.database()).unwrap();
    let tables = [
        "actions",
        "alerts",
        "approvals",
        "attempts",
        "cancellations",
        "deliveries",
        "fetches",
        "history",
        "holds",
        "remembered",
    ];
    tables.map(|table| (table, count(&db, table))).to_vec()
}

fn count(db: &Connection, table: &str) -> i64 {
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_is_over_goes_after_its_time_and_is_not_found_any_more() {
    let mut bridge = bridge().await;
    let answer = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    let delivery = answer.body["delivery_id"].as_str().unwrap().to_owned();
    let id = answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    bridge.run_for(SignedDuration::from_secs(60)).await;

    bridge.clock.advance(days(1) - SignedDuration::from_mins(2));
    assert_eq!(bridge.prune().await, Deleted::default(), "not yet");
    bridge.clock.advance(SignedDuration::from_mins(2));
    let deleted = bridge.prune().await;

    assert_eq!((deleted.actions, deleted.deliveries), (1, 1));
    assert_eq!(bridge.get(&format!("/v1/actions/{id}")).await.status, 404);
    assert_eq!(bridge.get(&format!("/v1/deliveries/{delivery}")).await.status, 404);
    assert_eq!(bridge.get("/v1/actions").await.body["actions"], json!([]));
    assert_eq!(bridge.metric("quarantine_bridge_pruned_total{what=\"actions\"}"), Some(1.0));

    bridge.clock.advance(days(30));
    bridge.prune().await;
    assert!(rows(&bridge).iter().all(|(_, count)| *count == 0), "{:?}", rows(&bridge));
}

#[tokio::test]
async fn a_replay_is_a_duplicate_or_a_conflict_when_its_content_is_gone() {
    let mut bridge = bridge().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    let first = bridge.post("msg_1", body.clone()).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    bridge.clock.advance(days(29));
    assert_eq!(bridge.prune().await.actions, 1);

    let again = bridge.post("msg_1", body.clone()).await;
    assert_eq!(again.status, 200, "{:?}", again.body);
    assert_eq!(again.body["duplicate"], true);
    assert_eq!(again.body["delivery_id"], first.body["delivery_id"]);
    let other_body = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    assert_eq!(other_body.status, 409, "the same id and another body");

    // The same alert in a delivery of another id, as if it had just happened.
    let other_id = bridge.post("msg_2", bridge.alert("a1", MACHINE, SHA1)).await;
    assert_eq!((other_id.status, &other_id.body["duplicate"]), (200, &json!(true)), "{:?}", other_id.body);
    assert_eq!(other_id.body["alerts"][0]["actions"], json!([]));

    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn after_the_window_an_alert_that_is_too_old_cannot_act_any_more() {
    let mut bridge = bridge().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    bridge.post("msg_1", body.clone()).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    bridge.clock.advance(days(31));
    bridge.prune().await;
    assert!(rows(&bridge).iter().all(|(_, count)| *count == 0), "{:?}", rows(&bridge));

    let again = bridge.post("msg_1", body).await;
    assert_eq!(again.status, 202);
    let id = again.body["alerts"][0]["actions"][0]["id"].as_str().unwrap();
    bridge.run_for(SignedDuration::from_secs(60)).await;

    assert_eq!(bridge.state(id).await, "expired");
    assert_eq!(bridge.quarantines().len(), 1);
}

/// The alert named the device by its id first and by its name later: another pair, and the same device.
#[tokio::test]
async fn a_target_that_was_acted_on_is_known_by_another_name_when_its_action_is_gone() {
    let mut bridge = bridge().await;
    let machine = Machine {
        id: MACHINE.to_owned(),
        dns_name: "ws1.corp.example".to_owned(),
        files: vec![SHA1.to_owned()],
        ..Machine::default()
    };
    bridge.simulator.with(|state| state.world.machines = vec![machine]);
    quarantine(&mut bridge, "a1", MACHINE).await;
    bridge.clock.advance(days(2));
    assert_eq!(bridge.prune().await.actions, 1);

    let now = bridge.clock.now().to_string();
    let target = json!({"machine": {"dns_name": "ws1.corp.example"}, "file": {"sha1": SHA1}});
    let alert = json!({"alert_id": "a1", "severity": "high", "occurred_at": now, "targets": [target]});
    let answer = bridge.post("msg_2", alert.to_string()).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let id = answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap();
    bridge.run_for(SignedDuration::from_secs(60)).await;

    let action = bridge.action(id).await;
    assert_eq!(action["state"], "superseded", "{action}");
    assert!(action["history"].to_string().contains("retention has deleted it"), "{action}");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn nothing_unfinished_goes_nor_what_belongs_to_it() {
    let mut bridge = bridge().await;
    bridge.simulator.with(|state| state.switches.done_after_ms = u32::MAX);
    let waiting = bridge.accept("a1", MACHINE, SHA1).await;
    let two = json!([
        {"machine": {"id": "3333333333aaaaaaaaaa1111111111aaaaaaaaaa"}, "file": {"sha1": SHA1}},
        {"machine": {"id": "4444444444aaaaaaaaaa1111111111aaaaaaaaaa"}, "file": {"sha1": SHA1}}
    ]);
    let now = bridge.clock.now().to_string();
    let alert = json!({"alert_id": "a2", "severity": "high", "occurred_at": now, "targets": two});
    let answer = bridge.post("msg_2", alert.to_string()).await;
    assert_eq!(answer.status, 202);
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let before = rows(&bridge);
    let db = Connection::open(bridge.database()).unwrap();
    let one_ended =
        "UPDATE actions SET state = 'failed' WHERE state = 'submitted' AND machine_id LIKE '3333%'";
    assert_eq!(db.execute(one_ended, []).unwrap(), 1);
    let ended = "INSERT INTO history SELECT seq, 99, changed_at, 'submitted', 'failed', '', 'bridge', '[]' FROM actions
         WHERE state = 'failed'";
    assert_eq!(db.execute(ended, []).unwrap(), 1);

    bridge.clock.advance(days(10));
    let deleted = bridge.prune().await;

    assert_eq!((deleted.actions, deleted.deliveries), (0, 0), "the twin is under way still");
    let kept =
        |rows: Vec<(&'static str, i64)>| rows.into_iter().find(|(table, _)| *table == "actions").unwrap();
    assert_eq!(kept(rows(&bridge)), kept(before));
    assert_eq!(bridge.state(&waiting).await, "submitted");
}

#[tokio::test]
async fn a_delivery_stays_while_an_alert_that_it_refers_to_is_to_be_fetched() {
    let mut bridge = bridge().await;
    bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    let db = Connection::open(bridge.database()).unwrap();
    db.execute(
        "INSERT INTO fetches (delivery_id, source, alert_id, state, why, round, attempts, wanted_at, next_at)
         SELECT id, source, 'b1', 'pending', '', 1, 0, received_at, received_at FROM deliveries",
        [],
    )
    .unwrap();
    bridge.clock.advance(days(5));
    assert_eq!(bridge.prune().await.deliveries, 0);

    db.execute("UPDATE fetches SET state = 'failed', next_at = NULL", []).unwrap();
    assert_eq!(bridge.prune().await.deliveries, 1);
    assert_eq!(count(&db, "fetches"), 0);
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_deletes_nothing_at_once() {
    let mut bridge = bridge().await;
    let id = quarantine(&mut bridge, "a1", MACHINE).await;
    bridge.prune().await;
    bridge.clock.advance(days(300));

    let walk =
        bridge.store().begin_pruning(Retention { after: days(2), duplicates: days(30) }, bridge.clock.now());
    let mut walk = walk.await.unwrap();
    while !walk.is_over() {
        walk = bridge.store().prune(walk).await.unwrap();
        assert_eq!(walk.deleted.actions, 0);
    }
    assert_eq!(bridge.state(&id).await, "succeeded");
}

#[tokio::test]
async fn a_reload_changes_how_long_things_are_kept() {
    let mut bridge = bridge().await;
    quarantine(&mut bridge, "a1", MACHINE).await;
    bridge.reconfigure(|config| config.retention.after = days(20));
    bridge.clock.advance(days(10));
    assert_eq!(bridge.prune().await.actions, 0);
    bridge.reconfigure(|config| config.retention.after = days(5));
    assert_eq!(bridge.prune().await.actions, 1);
}

/// Pages that deleting has freed are used again, and the log is taken into the database. The audit is not pruned.
#[tokio::test]
async fn the_file_grows_by_the_audit_alone_while_it_is_filled_and_pruned() {
    let mut bridge = Bridge::with(Setup {
        mode: Mode::Shadow,
        retention: Retention { after: days(1), duplicates: days(1) },
        ..Setup::default()
    })
    .await;
    let mut sizes = Vec::new();
    for cycle in 0..5 {
        for n in 0..100 {
            let (id, alert_id) = (format!("msg_{cycle}_{n}"), format!("a{cycle}-{n}"));
            let machine = format!("{:040x}", cycle * 1_000 + n + 1);
            assert_eq!(bridge.post(&id, bridge.alert(&alert_id, &machine, SHA1)).await.status, 202);
        }
        bridge.drain().await;
        // Limits count for 31 days what was sent, or would have been.
        bridge.clock.advance(days(32));
        assert_eq!(bridge.prune().await.actions, 100);
        let db = Connection::open(bridge.database()).unwrap();
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let audit: i64 = db
            .query_row("SELECT sum(pgsize) FROM dbstat WHERE name = 'audit'", [], |row| row.get(0))
            .unwrap();
        sizes.push(fs::metadata(bridge.database()).unwrap().len() - u64::try_from(audit).unwrap());
    }
    let (second, last) = (sizes[1], sizes[4]);
    assert!(last <= second + second / 20, "{sizes:?}");
    assert_eq!(rows(&bridge).iter().map(|(_, count)| count).sum::<i64>(), 0);
}

#[test]
fn mistakes_in_the_section_are_told() {
    for (text, told) in [
        ("after = \"1h\"", "is not between 1 and 3660 days"),
        ("after = \"9999d\"", "is not between 1 and 3660 days"),
        ("duplicates = \"0d\"", "is not between 1 and 3660 days"),
        ("after = 90", "retention.after"),
        ("keep = \"90d\"", "is not a key of this section"),
    ] {
        let installation = Installation::new("http://127.0.0.1:9", &format!("[retention]\n{text}\n"));
        let output = installation.run(&["check"]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(complaint.contains(told), "{text}: {complaint}");
    }
    let installation = Installation::new("http://127.0.0.1:9", "[retention]\nduplicates = \"2d\"\n");
    installation.edit("min_severity = \"low\"", "min_severity = \"low\"\nmax_age = \"3d\"");
    let complaint = String::from_utf8(installation.run(&["check"]).stderr).unwrap();
    assert!(complaint.contains("shorter than the max_age of a source"), "{complaint}");
}
