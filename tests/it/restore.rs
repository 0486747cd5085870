//! Backups made beside a running service, and what a service that starts from one does before it sends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::store::{BackupError, Options, Store, StoreError, back_up};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::binary::{Installation, command, set_mode};
use crate::harness::{Bridge, MACHINE, SHA1, Setup, simulate, wait_until_unlocked, without_facts};

/// A backup in a folder of its own, which goes with the first value.
fn make_backup(bridge: &Bridge) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.db");
    back_up(&Options { path: bridge.database() }, &path, bridge.clock.now()).unwrap();
    (folder, path)
}

fn machine(n: usize) -> String {
    format!("{:040x}", n + 1)
}

fn made(bridge: &Bridge) -> usize {
    bridge.simulator.machine_actions().len()
}

#[tokio::test]
async fn what_was_sent_after_the_backup_is_not_sent_again() {
    let mut bridge = Bridge::start().await;
    // As many as a look at Defender's list takes, and more.
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(bridge.accept(&format!("a{n}"), &machine(n), SHA1).await);
    }
    let (_folder, backup) = make_backup(&bridge);
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!(made(&bridge), 30);

    let mut bridge = bridge.restore(&backup).await;
    bridge.run_for(SignedDuration::from_mins(5)).await;

    assert_eq!(made(&bridge), 30, "no second machine action");
    for id in &ids {
        let action = bridge.action(id).await;
        assert_eq!(action["state"], "succeeded", "{action}");
        assert_eq!(action["attempts"].as_array().unwrap().len(), 0, "it was found, not sent");
        assert!(action["history"].to_string().contains("restored from a backup"), "{action}");
    }
}

#[tokio::test]
async fn what_was_not_sent_is_sent_once_the_list_has_told() {
    let bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    let (_folder, backup) = make_backup(&bridge);
    let mut bridge = bridge.restore(&backup).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "queued", "the calls of the last hour are to be counted");
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!((bridge.state(&id).await.as_str(), made(&bridge)), ("uncertain", 0));

    bridge.run_for(SignedDuration::from_mins(3)).await;

    let action = bridge.action(&id).await;
    assert_eq!((action["state"].as_str(), made(&bridge)), (Some("succeeded"), 1), "{action}");
}

/// Its sender had delivered it before the restore already, after the backup: the database has never heard of it.
#[tokio::test]
async fn an_alert_that_was_lost_and_comes_again_is_not_sent_again() {
    let mut bridge = Bridge::start().await;
    let (_folder, backup) = make_backup(&bridge);
    bridge.clock.advance(SignedDuration::from_mins(1));
    let body = bridge.alert("a1", MACHINE, SHA1);
    assert_eq!(bridge.post("msg_1", body.clone()).await.status, 202);
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!(made(&bridge), 1);

    let mut bridge = bridge.restore(&backup).await;
    bridge.clock.advance(SignedDuration::from_mins(1));
    let again = bridge.post("msg_1", body).await;
    assert_eq!(again.status, 202, "it is new to this database");
    let new = bridge.accept("a2", &machine(7), SHA1).await;
    bridge.run_for(SignedDuration::from_mins(5)).await;

    assert_eq!(made(&bridge), 2, "the lost one once, and the new one");
    let id = again.body["alerts"][0]["actions"][0]["id"].as_str().unwrap();
    assert_eq!(bridge.state(id).await, "succeeded");
    assert_eq!(bridge.state(&new).await, "succeeded");

    // What happens from now on cannot have been sent then, and need not wait.
    bridge.clock.advance(SignedDuration::from_mins(10));
    let later = bridge.accept("a3", &machine(8), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&later).await, "submitted");
}

/// A playbook that asks again names the time of its asking, which says nothing of whether it has asked before.
#[tokio::test]
async fn what_a_playbook_asks_for_again_after_a_restore_is_looked_up_first() {
    let mut bridge = Bridge::with(Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }).await;
    let token = bridge.requester("soar", None);
    let (_folder, backup) = make_backup(&bridge);
    let asked = |bridge: &Bridge, alert_id: &str, machine: &str| {
        json!({"alert_id": alert_id, "severity": "high", "occurred_at": bridge.clock.now().to_string(),
            "machine": {"id": machine}, "file": {"sha1": SHA1}})
    };
    bridge.post_as("/v1/actions", &token, &asked(&bridge, "run-4711", MACHINE)).await;
    bridge.run_for(SignedDuration::from_secs(60)).await;
    assert_eq!(made(&bridge), 1);

    let mut bridge = bridge.restore(&backup).await;
    bridge.run_for(SignedDuration::from_mins(6)).await;
    let again = bridge.post_as("/v1/actions", &token, &asked(&bridge, "run-4711", MACHINE)).await;
    assert_eq!(again.status, 202, "it is new to this database");
    bridge.run_for(SignedDuration::from_mins(5)).await;

    assert_eq!(made(&bridge), 1, "no second machine action");
    assert_eq!(bridge.state(again.body["id"].as_str().unwrap()).await, "succeeded");
    bridge.clock.advance(SignedDuration::from_hours(31 * 24));
    let later = bridge.post_as("/v1/actions", &token, &asked(&bridge, "run-4712", &machine(8))).await;
    bridge.drain().await;
    assert_eq!(bridge.state(later.body["id"].as_str().unwrap()).await, "submitted");
}

#[tokio::test]
async fn calls_that_the_backup_does_not_know_count() {
    let mut bridge = Bridge::with(Setup { calls_per_minute: 2, ..Setup::default() }).await;
    let (_folder, backup) = make_backup(&bridge);
    bridge.clock.advance(SignedDuration::from_secs(5));
    for n in 0..2 {
        bridge.accept(&format!("a{n}"), &machine(n), SHA1).await;
    }
    bridge.drain().await;
    assert_eq!(made(&bridge), 2);

    let mut bridge = bridge.restore(&backup).await;
    bridge.run_for(SignedDuration::from_mins(2)).await;

    assert_eq!(calls(&bridge), 2);
    // Once: another start does not count them again.
    let mut bridge = bridge.restart().await;
    bridge.run_for(SignedDuration::from_mins(2)).await;
    assert_eq!(calls(&bridge), 2);
}

fn calls(bridge: &Bridge) -> i64 {
    let db = Connection::open(bridge.database()).unwrap();
    db.query_row("SELECT count(*) FROM calls WHERE api = 'quarantine'", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn nothing_is_sent_after_a_restore_while_the_list_cannot_be_read() {
    let bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    let (_folder, backup) = make_backup(&bridge);
    let mut bridge = bridge.restore(&backup).await;
    bridge.simulator.with(|state| state.switches.roles = vec!["Machine.StopAndQuarantine".to_owned()]);
    bridge.run_for(SignedDuration::from_mins(20)).await;
    assert_eq!((bridge.state(&id).await.as_str(), made(&bridge)), ("queued", 0));
}

#[tokio::test]
async fn a_submitted_action_is_followed_after_a_restore() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "submitted");
    let (_folder, backup) = make_backup(&bridge);
    let mut bridge = bridge.restore(&backup).await;
    bridge.run_for(SignedDuration::from_mins(2)).await;
    assert_eq!((bridge.state(&id).await.as_str(), made(&bridge)), ("succeeded", 1));
}

#[tokio::test]
async fn a_backup_is_made_beside_a_running_service_and_is_private() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let serving = installation.serve();
    installation.wait_until_ready().await;

    let output = installation.run(&["backup", "copy.db"]);

    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("copy.db: ") && said.contains("0 actions, checked"), "{said}");
    let copy = installation.path("copy.db");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let db = Connection::open(&copy).unwrap();
    let marks = "SELECT count(*) FROM marks WHERE name = 'backup_at'";
    assert_eq!(db.query_row(marks, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    let source = Connection::open(installation.path("bridge.db")).unwrap();
    assert_eq!(source.query_row(marks, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "in the copy only");
    let left: Vec<_> =
        fs::read_dir(installation.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");

    let before = fs::read(&copy).unwrap();
    let again = installation.run(&["backup", "copy.db"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("is there already and is left alone"));
    assert_eq!(fs::read(&copy).unwrap(), before);
    let json = installation.run(&["backup", "other.db", "--json"]);
    let facts: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(facts["actions"], 0);
    assert_eq!(installation.run(&["check", "--database"]).status.code(), Some(0));
    assert_eq!(serving.terminate().await, Some(0));
}

#[test]
fn a_backup_that_cannot_be_made_says_why() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let none = installation.run(&["backup", "copy.db"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8(none.stderr).unwrap().contains("there is no database"));

    drop(Store::open(&Options { path: installation.path("bridge.db") }).unwrap());
    let no_folder = installation.run(&["backup", "missing/copy.db"]);
    assert_eq!(no_folder.status.code(), Some(74));
    assert!(String::from_utf8(no_folder.stderr).unwrap().contains("its folder must exist and have room"));
    assert_eq!(command(&["backup"]).output().unwrap().status.code(), Some(2));
}

#[tokio::test]
async fn a_backup_of_a_damaged_database_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { path: folder.path().join("bridge.db") };
    drop(Store::open(&options).unwrap());
    wait_until_unlocked(&options.path).await;
    // Whoever closes last folds the log; here nobody is waited for.
    let db = Connection::open(&options.path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let mut bytes = fs::read(&options.path).unwrap();
    let half = bytes.len() / 2;
    bytes[4_096..half].fill(0xff);
    fs::write(&options.path, bytes).unwrap();

    let refused = back_up(&options, &folder.path().join("copy.db"), Clock::system().now()).unwrap_err();

    assert!(matches!(refused, BackupError::Store(StoreError::Corrupt(_))), "{refused}");
    let left = fs::read_dir(folder.path()).unwrap().filter(|it| {
        let name = it.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("copy.db") || name.to_string_lossy().contains("partial")
    });
    assert_eq!(left.count(), 0);
}

/// SQLite would play the old log into the new file, and mix the two.
#[tokio::test]
async fn a_backup_beside_the_log_of_the_old_database_is_refused() {
    let bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    let (_folder, backup) = make_backup(&bridge);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.db");
    fs::copy(bridge.database().with_file_name("bridge.db-wal"), folder.path().join("bridge.db-wal")).unwrap();
    fs::copy(&backup, &path).unwrap();
    set_mode(&path, 0o600);

    let refused = Store::open(&Options { path: path.clone() }).unwrap_err();

    assert_eq!(refused, StoreError::LogOfAnother(folder.path().join("bridge.db-wal")));
    fs::remove_file(folder.path().join("bridge.db-wal")).unwrap();
    Store::open(&Options { path }).unwrap();
}
