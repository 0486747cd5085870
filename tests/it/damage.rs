//! A damaged database is found out or harmless: whatever bit flips, no other target is acted on.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, mem};

use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Severity};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::defender::{self, Defender};
use quarantine_bridge::dispatch::{self, Dispatcher};
use quarantine_bridge::policy::{Guard, Policy};
use quarantine_bridge::simulator::Simulator;
use quarantine_bridge::store::{ActionFilter, Options, Scope, Store, StoreError, check_database};
use quarantine_bridge::telemetry::Metrics;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::binary::Installation;
use crate::harness::{
    Bridge, SHA1, Setup, all_off, identity, poll, start_of_time, wait_until_unlocked, without_facts,
};

const FLIPS: usize = 1_000;

/// Dispatch must not try the same for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// What came of opening a damaged database, reading it, and letting dispatch do what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    RefusedAtStart,
    FoundWhileRunning,
    Harmless,
}

/// One target that is decided on, and one alert that is not looked at yet. Their calls wait for a role.
async fn sound() -> (Bridge, TempDir, PathBuf) {
    let mut bridge = Bridge::with(Setup { guards: without_facts, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.switches.roles = vec!["Machine.Read.All".to_owned()]);
    bridge.accept("alert-1", &format!("{:040x}", 1), SHA1).await;
    bridge.drain().await;
    bridge.accept("alert-2", &format!("{:040x}", 2), SHA1).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.db");
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    bridge.simulator.with(|state| state.switches = quarantine_bridge::simulator::Switches::default());
    bridge
        .simulator
        .with(|state| (state.switches.per_minute, state.switches.per_hour) = (1_000_000, 1_000_000));
    (bridge, folder, path)
}

fn defender(simulator: &Simulator, clock: &Clock) -> Defender {
    let scope = "https://api.securitycenter.microsoft.com/.default".to_owned();
    let (api_url, identity) = (simulator.url().parse().unwrap(), identity(&simulator.url()));
    let options = defender::Options { api_url, identity, scope };
    Defender::new(&options, clock.clone(), Metrics::new()).unwrap()
}

async fn open_and_act(path: PathBuf, defender: &Defender, clock: &Clock) -> End {
    let policy = Policy::new(Mode::Enforce, Severity::Low, SignedDuration::from_mins(60));
    act_by(policy.with_guards(all_off), path, defender, clock).await
}

async fn act_by(policy: Policy, path: PathBuf, defender: &Defender, clock: &Clock) -> End {
    let Ok(store) = Store::open(&Options { path }) else {
        return End::RefusedAtStart;
    };
    let (_changes, options) =
        watch::channel(dispatch::Options::new(HashMap::from([("soc".parse().unwrap(), policy)])));
    let page = store.actions(ActionFilter { limit: 50, ..ActionFilter::default() }).await;
    let started =
        Dispatcher::start(store.clone(), defender.clone(), options, clock.clone(), Metrics::new()).await;
    let Ok(mut dispatcher) = started else {
        return End::RefusedAtStart;
    };
    let drained = dispatcher.drain().await;
    let is_sound = store.look_for_damage().await.is_ok();
    if page.is_ok() && drained.is_ok() && is_sound && store.is_writable().await {
        End::Harmless
    } else {
        End::FoundWhileRunning
    }
}

/// Forcing to disk is not what is tested here, and thousands of times it takes long.
fn folder_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn forget_calls(simulator: &Simulator) {
    simulator.with(|state| {
        state.calls.clear();
        drop(mem::take(&mut state.actions));
    });
}

/// The calls that were made, as device, file and alert.
fn called(simulator: &Simulator) -> BTreeSet<String> {
    let calls = simulator.calls();
    let quarantines = calls.iter().filter(|call| call.path.ends_with("/StopAndQuarantineFile"));
    quarantines.map(|call| format!("{} {}", call.path, call.body)).collect()
}

#[tokio::test]
async fn a_flip_in_any_of_1000_places_is_found_or_harmless() {
    let (bridge, _folder, sound) = sound().await;
    let clock = Clock::manual(start_of_time());
    let defender = defender(&bridge.simulator, &clock);
    let folder = folder_in_memory();
    let whole = folder.path().join("whole.db");
    fs::copy(&sound, &whole).unwrap();
    assert_eq!(open_and_act(whole, &defender, &clock).await, End::Harmless);
    let meant = called(&bridge.simulator);
    assert_eq!(meant.len(), 2, "{meant:?}");

    let bytes = fs::read(&sound).unwrap();
    // Places that hold something; what is free is harmless for certain.
    let places: Vec<usize> = (0..bytes.len()).filter(|place| bytes[*place] != 0).collect();
    let mut ends: HashMap<End, usize> = HashMap::new();
    // Several at a time: most of it is waiting.
    let mut flips = stream::iter(0..FLIPS)
        .map(|flip| {
            let place = places[flip * places.len() / FLIPS];
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << (flip % 8);
            let path = folder.path().join(format!("{flip}.db"));
            fs::write(&path, damaged).unwrap();
            let (defender, clock) = (defender.clone(), clock.clone());
            async move {
                let end = timeout(PATIENCE, open_and_act(path, &defender, &clock)).await;
                (place, end.unwrap_or_else(|_| panic!("about byte {place} dispatch comes to no end")))
            }
        })
        .buffer_unordered(8);
    while let Some((place, end)) = flips.next().await {
        *ends.entry(end).or_default() += 1;
        let astray: Vec<_> = called(&bridge.simulator).difference(&meant).cloned().collect();
        assert!(astray.is_empty(), "about byte {place}: {astray:?}");
        forget_calls(&bridge.simulator);
    }
    forget_calls(&bridge.simulator);
    eprintln!("{FLIPS} flips: {ends:?}");
    assert!(ends.len() == 3 && ends.values().all(|count| *count > 10), "{ends:?}");
}

/// What is written into one index shows up in the other then, as rows that are never done.
#[tokio::test]
async fn two_indices_on_one_page_are_found_and_not_taken_up_for_ever() {
    let (bridge, folder, sound) = sound().await;
    let clock = Clock::manual(start_of_time());
    let defender = defender(&bridge.simulator, &clock);
    let db = Connection::open(&sound).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'actions_undecided')
         WHERE name = 'sent_by_time';",
    )
    .unwrap();
    drop(db);

    let end = timeout(PATIENCE, open_and_act(folder.path().join("sound.db"), &defender, &clock)).await;

    assert_eq!(end, Ok(End::FoundWhileRunning));
    forget_calls(&bridge.simulator);
}

/// SQLite sees nothing wrong with it.
#[tokio::test]
async fn another_machine_id_in_the_place_of_the_one_decided_on_is_not_acted_on() {
    let (bridge, _folder, sound) = sound().await;
    let clock = Clock::manual(start_of_time());
    let defender = defender(&bridge.simulator, &clock);
    for column in
        ["machine_id", "given_machine_id", "sha1", "given_sha1", "source", "alert_seq", "given_dns_name"]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.db");
        fs::copy(&sound, &path).unwrap();
        let db = Connection::open(&path).unwrap();
        let other = format!(
            "UPDATE actions SET {column} = coalesce((SELECT {column} FROM actions WHERE seq = 2), 'x')
             WHERE seq = 1"
        );
        let other = other.replace(
            "(SELECT sha1 FROM actions WHERE seq = 2)",
            "'3333333333cccccccccc3333333333cccccccccc'",
        );
        let other = other.replace(
            "(SELECT given_sha1 FROM actions WHERE seq = 2)",
            "'3333333333cccccccccc3333333333cccccccccc'",
        );
        let other = other.replace("(SELECT source FROM actions WHERE seq = 2)", "'other'");
        let changed = db.execute(&other, []);
        drop(db);
        if column == "alert_seq" && changed.is_err() {
            // A pair has one action an alert, so the two differ in their pairs.
            continue;
        }
        assert_eq!(changed, Ok(1), "{column}");

        let end = open_and_act(path, &defender, &clock).await;

        assert_ne!(end, End::Harmless, "{column}");
    }
    forget_calls(&bridge.simulator);
}

/// An action of a source in mode approve that alice has approved, and whose call waits for a role.
async fn approved() -> (Bridge, TempDir, PathBuf) {
    let mode = Mode::Approve;
    let mut bridge = Bridge::with(Setup { mode, guards: without_facts, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.switches.roles = vec!["Machine.Read.All".to_owned()]);
    let id = bridge.accept("alert-1", &format!("{:040x}", 1), SHA1).await;
    bridge.drain().await;
    let said = json!({"holds": ["mode"], "reason": "looked at it"});
    let alice = bridge.token_of("alice", &[Scope::ActionsApprove]);
    let approved = bridge.post_as(&format!("/v1/actions/{id}/approve"), &alice, &said).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "queued");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("approved.db");
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    bridge.simulator.with(|state| state.switches = quarantine_bridge::simulator::Switches::default());
    (bridge, folder, path)
}

#[tokio::test]
async fn a_word_that_was_put_in_or_changed_by_hand_is_found_and_nothing_is_sent() {
    const PUT_IN: &str = "INSERT INTO approvals (action_seq, word, who, guards, reason, at)
        SELECT action_seq, word, 'token:bob#0123456789ab', guards, reason, at FROM approvals";
    let (bridge, _folder, sound) = approved().await;
    let clock = Clock::manual(start_of_time());
    let defender = defender(&bridge.simulator, &clock);
    let by_two = || {
        let policy = Policy::new(Mode::Approve, Severity::Low, SignedDuration::from_mins(60));
        policy.with_guards(all_off).with_guards(|guards| guards.set_approvers(Guard::Mode, 2))
    };
    let by_one = || by_two().with_guards(|guards| guards.set_approvers(Guard::Mode, 1));
    for (policy, damage, ends_harmless, calls) in [
        (by_one(), "SELECT 1", true, 1),
        // One has approved, and two must by now.
        (by_two(), "SELECT 1", true, 0),
        (by_two(), PUT_IN, false, 0),
        (by_one(), PUT_IN, false, 0),
        (by_one(), "UPDATE approvals SET who = 'token:alicd' || substr(who, 12)", false, 0),
        (by_one(), "UPDATE approvals SET guards = '[\"os\"]'", false, 0),
        (by_one(), "UPDATE approvals SET reason = 'looked at iu'", false, 0),
        (by_one(), "UPDATE approvals SET at = at + 1", false, 0),
        (by_one(), "UPDATE approvals SET via = 'cli'", false, 0),
        (by_one(), "UPDATE approvals SET word = 'deny'", false, 0),
        (by_one(), "DELETE FROM approvals", false, 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.db");
        fs::copy(&sound, &path).unwrap();
        Connection::open(&path).unwrap().execute_batch(damage).unwrap();

        let end = act_by(policy, path, &defender, &clock).await;

        assert_eq!(end == End::Harmless, ends_harmless, "{damage}: {end:?}");
        assert_eq!(called(&bridge.simulator).len(), calls, "{damage}");
        forget_calls(&bridge.simulator);
    }
}

/// What the alert tells is what guards look at, and what a person is shown who decides.
#[tokio::test]
async fn what_an_alert_tells_cannot_change_while_its_action_waits() {
    for damage in [
        "UPDATE alerts SET severity = 'critical'",
        "UPDATE alerts SET occurred_at = occurred_at + 1",
        "UPDATE alerts SET title = title || '!'",
        "UPDATE alerts SET url = 'https://soc.example/other'",
        "UPDATE actions SET accepted_at = accepted_at + 1",
        "UPDATE actions SET delivery_id = '019ca945-0a00-7000-8000-0000000000ff'",
        "UPDATE actions SET given_file_name = 'other.exe'",
        "UPDATE actions SET machine_found_at = 'elsewhere'",
        "UPDATE actions SET file_found_at = 'elsewhere'",
    ] {
        let bridge = Bridge::start().await;
        let id = bridge.accept("alert-1", &format!("{:040x}", 1), SHA1).await;
        let db = Connection::open(bridge.database()).unwrap();
        db.pragma_update(None, "foreign_keys", false).unwrap();
        assert_eq!(db.execute(damage, []).unwrap(), 1, "{damage}");
        let token = bridge.new_token(&[Scope::ActionsCancel]);

        let path = format!("/v1/actions/{id}/cancel");
        let cancelled = bridge.post_as(&path, &token, &json!({"reason": "r"})).await;

        assert_eq!(cancelled.status, 503, "{damage}: the seal does not fit");
    }
}

#[tokio::test]
async fn a_service_that_finds_damage_stops_and_says_so() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let options = Options { path: installation.path("bridge.db") };
    drop(Store::open(&options).unwrap());
    let db = Connection::open(&options.path).unwrap();
    db.execute_batch(
        "INSERT INTO alerts (source, alert_id, title) VALUES ('soc', 'a1', '');
         INSERT INTO actions (id, alert_seq, delivery_id, source, pair_key, severity_rank, accepted_at, state, changed_at)
         VALUES ('019ca945-0a00-7000-8000-00000000000a', 1, '019ca945-0a00-7000-8000-000000000001', 'soc', 'x', 3, 0,
                 'accepted', 0);",
    )
    .unwrap();
    wait_until_unlocked(&options.path).await;

    let mut serving = installation.serve();
    let mut code = None;
    poll("the service to stop by itself", || {
        code = serving.exit_code();
        code.is_some()
    })
    .await;

    assert_eq!(code, Some(74));
    let log = installation.log();
    assert!(log.contains("its seal does not fit"), "{log}");
    assert!(log.contains("the database is damaged"), "{log}");
}

#[tokio::test]
async fn a_service_does_not_start_on_a_damaged_database_and_says_so_by_its_code() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let options = Options { path: installation.path("bridge.db") };
    drop(Store::open(&options).unwrap());
    wait_until_unlocked(&options.path).await;
    let mut bytes = fs::read(&options.path).unwrap();
    bytes[4_096..].fill(0x5a);
    bytes[100..4_096].fill(0x5a);
    fs::write(&options.path, bytes).unwrap();

    for arguments in [&["serve"][..], &["kill-switch", "status"], &["audit", "verify"]] {
        let (code, _, error) = installation.told(arguments);
        assert_eq!(code, 74, "{arguments:?}: {error}");
        assert!(error.contains("the database is damaged"), "{error}");
    }
}

#[tokio::test]
async fn check_tells_of_damage() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let options = Options { path: installation.path("bridge.db") };
    drop(Store::open(&options).unwrap());
    wait_until_unlocked(&options.path).await;
    assert_eq!(installation.run(&["check", "--database"]).status.code(), Some(0));
    let mut bytes = fs::read(&options.path).unwrap();
    let end = bytes.len();
    bytes[8_192..end].fill(0x5a);
    fs::write(&options.path, bytes).unwrap();

    assert!(matches!(check_database(&options), Err(StoreError::Corrupt(_))));
    let output = installation.run(&["check", "--database"]);
    assert_eq!(output.status.code(), Some(74));
    assert!(String::from_utf8(output.stderr).unwrap().contains("the database is damaged"));
}
