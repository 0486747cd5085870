//! The store on disk: its schema, its lock, its damage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use quarantine_bridge::alert::{Moment, Who};
use quarantine_bridge::store::{ActionFilter, Options, Store, StoreError, TurnOff, turn_off_beside};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::harness::{start_of_time, wait_until_unlocked};

/// The migrations and the SHA-256 of each, which may never change once it has been released.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_first.sql", FIRST),
    ("0002_entities_and_keys.sql", SECOND),
    ("0003_resolution.sql", THIRD),
    ("0004_fetches.sql", FOURTH),
    ("0005_cancellations.sql", FIFTH),
    ("0006_sharing.sql", SIXTH),
    ("0007_queue.sql", SEVENTH),
    ("0008_retention.sql", EIGHTH),
    ("0009_guards.sql", NINTH),
    ("0010_audit.sql", TENTH),
    ("0011_kill_switch.sql", ELEVENTH),
    ("0012_approvals.sql", TWELFTH),
    ("0013_blast_breaker.sql", THIRTEENTH),
    ("0014_tokens.sql", FOURTEENTH),
    ("0015_words.sql", FIFTEENTH),
    ("0016_requests.sql", SIXTEENTH),
    ("0017_links.sql", SEVENTEENTH),
    ("0018_callbacks.sql", EIGHTEENTH),
    ("0019_lists.sql", NINETEENTH),
    ("0020_seals.sql", TWENTIETH),
    ("0021_retries.sql", TWENTY_FIRST),
    ("0022_traces.sql", TWENTY_SECOND),
];

const TWENTY_SECOND: &str = "0fa1ec32ca2c49c3617cf69f7388b8a6c3fba603dd7e9c9bdd15ec4ace8d2e61";

const TWENTY_FIRST: &str = "9bf493b85c01abccbdcc21f633d7617ff25ec0e4aa0d84ab722443c29d090bd9";

const TWENTIETH: &str = "24f83f0db6a25fe3639c5b5e2868543648a55bcca00af71c586d4f479e4a7bcb";

const FIFTEENTH: &str = "8b338425dd3040ca7f7f70481e8e0cc410de6ea78e72532a15f4b3f8e82b4e58";

const SEVENTEENTH: &str = "2b385ad2d4703713204feda5fa162a9f17e6119474f37ee7d37be30f9533ceb4";

const FIRST: &str = "395a7fe3e0960a7e1b7de0f7b097c1f31a5bcace4efc03cd7ac8bd61bcb7e378";

const SECOND: &str = "451ddddf8af550ee7d4b29c49a2ba26d127236a06d1df9f751ce076713defb87";

const THIRD: &str = "91ff1284e38bc6dee28c438aa13eff41d817409b5daae511a4bc07d6bd11d58f";

const FOURTH: &str = "a7414dae0ff54b9d51e7ab4569832bd4fb4730f5c74df86c300b494fc88b1a84";

const FIFTH: &str = "5c7b253a92166a180eb3ad8b16be9338d95146a37c4151a8a32f442460a27a2b";
const TWELFTH: &str = "5ec01a6b85cc344714fbf2e965566a8a2ed816512313154d7c0b59ed6a8015bd";

const FOURTEENTH: &str = "799f7b42bc54a5a1cb89c3bc1550df100b3763a4838b3a43eb1270744b48ebb9";

const SIXTEENTH: &str = "83ba579008287ddd6f26de67e486649d9e50532f52fd6bfcb225cf1d47f6e7a0";

const EIGHTEENTH: &str = "e5a73537a50b979b776d45e90960ac7da9d5f665bcf968bb499b39fac1b3bf19";

const NINETEENTH: &str = "371cb8de4544da83a3de74a96db009e70a9900fdbd429f23c3e80cc1ba47e93c";

const THIRTEENTH: &str = "d14d9bf12c222196cb6ec979f37a99a83a2831dd372b6a2c5906ab66157a1462";

const NINTH: &str = "494c8aa97e1e1a3d230bc71d14be6c28672d4b86936c82364f32f58197e3331d";

const ELEVENTH: &str = "63e09bcf9dad5246fd00a6f435eeb0335d77ea434ad75b2fdbee0b1529e2ebf3";

const SIXTH: &str = "488d7eb890ceb9f10e5e531e9df9835b0d1e0ada13034ea5d9620b38bb28b6fd";

const SEVENTH: &str = "14f0a9aef9fdd18b0ca40d5f0dc7c5a4bdca242fbe4c774305fadbbf837f3818";

const EIGHTH: &str = "37addbe983c5be992bd08f60d3cbdff9b146ea8a6270e7facf412beb60ea8f66";

const TENTH: &str = "9e22afc3ec942552bee11df43e9daeb9a05c8a5d861c04701cfeac3557576ffd";

fn folder() -> (TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.db");
    (folder, Options { path })
}

fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations")
}

#[test]
fn an_applied_migration_never_changes() {
    let mut found: Vec<_> = fs::read_dir(migrations()).unwrap().map(|it| it.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, MIGRATIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, digest) in MIGRATIONS {
        let text = fs::read(migrations().join(name)).unwrap();
        assert_eq!(hex::encode(Sha256::digest(text)), *digest, "{name}");
    }
}

/// Each migration has sample data of its schema; all are applied in turn over it, and then the whole is opened and read.
#[tokio::test]
async fn a_database_of_every_earlier_schema_is_opened_with_its_data() {
    for (applied, _) in MIGRATIONS.iter().enumerate() {
        let (_folder, options) = folder();
        let db = Connection::open(&options.path).unwrap();
        for (name, _) in &MIGRATIONS[..=applied] {
            db.execute_batch(&fs::read_to_string(migrations().join(name)).unwrap()).unwrap();
            let sample = format!("tests/data/migrations/{}.sql", &name[..4]);
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join(sample);
            db.execute_batch(&fs::read_to_string(sample).unwrap()).unwrap();
        }
        db.pragma_update(None, "application_id", 0x7162_7267).unwrap();
        db.pragma_update(None, "user_version", i64::try_from(applied + 1).unwrap()).unwrap();
        drop(db);

        let store = Store::open(&options).unwrap();

        assert_eq!(store.calls().await.unwrap().len(), 1 + usize::from(applied >= 6));
        assert_eq!(
            store.settle_after_restart(Moment { at: start_of_time(), steady: None }).await.unwrap(),
            1
        );
        let page = store.actions(ActionFilter { limit: 10, ..ActionFilter::default() }).await.unwrap();
        let states: Vec<_> = page.actions.iter().map(|record| record.action.state.as_str()).collect();
        assert_eq!(states, ["expired", "uncertain"]);
        assert_eq!(page.actions[1].history.len(), 6);
        let delivery = "019ca945-0a00-7000-8000-000000000003".parse().unwrap();
        assert_eq!(store.delivery(delivery).await.unwrap().unwrap().refused.len(), 1);
        assert_eq!(store.token("0123456789ab".to_owned()).await.unwrap().unwrap().scopes.len(), 2);
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let (_folder, options) = folder();
    drop(Store::open(&options).unwrap());
    let db = Connection::open(&options.path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();

    wait_until_unlocked(&options.path).await;
    let refused = Store::open(&options).unwrap_err();

    let known = i64::try_from(MIGRATIONS.len()).unwrap();
    assert_eq!(refused, StoreError::Newer { found: 99, known });
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let (_folder, options) = folder();
    let db = Connection::open(&options.path).unwrap();
    db.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();

    assert_eq!(Store::open(&options).unwrap_err(), StoreError::Foreign(options.path.clone()));

    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (_folder, options) = folder();
    let text = "not a database, but long enough to look at: ".repeat(100);
    fs::write(&options.path, &text).unwrap();

    assert_eq!(Store::open(&options).unwrap_err(), StoreError::Foreign(options.path.clone()));

    assert_eq!(fs::read_to_string(&options.path).unwrap(), text);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let (folder, _) = folder();
    let path = folder.path().join("missing/bridge.db");
    let error = Store::open(&Options { path }).unwrap_err();
    assert!(error.to_string().contains("its folder must exist"), "{error}");
}

#[test]
fn a_second_instance_is_refused() {
    let (_folder, options) = folder();
    let first = Store::open(&options).unwrap();

    let refused = Store::open(&options).unwrap_err();

    assert_eq!(refused, StoreError::InUse(options.path.clone()));
    drop(first);
}

#[tokio::test]
async fn a_second_instance_is_refused_by_whatever_name_the_database_goes() {
    for is_made_before in [true, false] {
        for first in 0..4 {
            let (folder, options) = folder();
            if is_made_before {
                drop(Store::open(&options).unwrap());
                wait_until_unlocked(&options.path).await;
            }
            let links = tempfile::tempdir().unwrap();
            let at = |name: &str| links.path().join(name);
            symlink(&options.path, at("file.db")).unwrap();
            symlink("file.db", at("chain.db")).unwrap();
            symlink(folder.path(), at("folder")).unwrap();
            let through_the_folder = at("folder").join(options.path.file_name().unwrap());
            let names = [options.path.clone(), at("file.db"), at("chain.db"), through_the_folder];
            let running = Store::open(&Options { path: names[first].clone() }).unwrap();
            for second in &names {
                let refused = Store::open(&Options { path: second.clone() });
                assert!(matches!(refused, Err(StoreError::InUse(_))), "{:?}, then {second:?}", names[first]);
            }
            assert_eq!(fs::read_dir(links.path()).unwrap().count(), 3, "nothing lies beside a link");
            drop(running);
        }
    }
}

#[tokio::test]
async fn a_write_from_beside_through_a_link_sees_the_service() {
    let (folder, options) = folder();
    drop(Store::open(&options).unwrap());
    wait_until_unlocked(&options.path).await;
    let db = Connection::open(&options.path).unwrap();
    db.pragma_update(None, "user_version", 21).unwrap();
    drop(db);
    // Whoever holds the lock is a service: then the database is not brought up to date.
    let lock = fs::OpenOptions::new().write(true).open(lock_of(&options.path)).unwrap();
    lock.lock().unwrap();
    let link = folder.path().join("link");
    symlink(&options.path, &link).unwrap();

    let (who, now) = (Who::Operator("test".to_owned()), start_of_time());
    let off = TurnOff { who, reason: "r".to_owned(), now };
    let refused = turn_off_beside(&Options { path: link }, &off).unwrap_err();

    assert!(matches!(refused, StoreError::OtherVersion { found: 21, .. }), "{refused}");
}

fn lock_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

#[tokio::test]
async fn a_value_that_only_damage_can_have_put_there_is_told_and_not_guessed() {
    let (_folder, options) = folder();
    let db = Connection::open(&options.path).unwrap();
    db.execute_batch(&fs::read_to_string(migrations().join("0001_first.sql")).unwrap()).unwrap();
    db.execute_batch(include_str!("../data/migrations/0001.sql")).unwrap();
    db.pragma_update(None, "application_id", 0x7162_7267).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    let store = Store::open(&options).unwrap();
    for damage in [
        "UPDATE actions SET state = 'sent'",
        "UPDATE actions SET machine_id = 'x', state = 'queued'",
        "UPDATE alerts SET severity = 'urgent'",
        "UPDATE history SET facts = '{'",
        "UPDATE history SET who = 'me'",
    ] {
        db.execute_batch("SAVEPOINT damage").unwrap();
        db.execute_batch(damage).unwrap();
        db.execute_batch("RELEASE damage").unwrap();
        let read = store.actions(ActionFilter { limit: 10, ..ActionFilter::default() }).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{damage}: {read:?}");
    }
}

#[test]
fn every_commit_is_synced_and_written_ahead() {
    let (_folder, options) = folder();
    drop(Store::open(&options).unwrap());
    let db = Connection::open(&options.path).unwrap();
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

/// The lists that people ask for use an index, however many actions there are. What dispatch asks names its index itself.
#[test]
fn lists_are_read_by_index() {
    let (_folder, options) = folder();
    drop(Store::open(&options).unwrap());
    let db = Connection::open(&options.path).unwrap();
    for (query, index) in [
        ("SELECT seq FROM actions WHERE state = 'accepted' ORDER BY seq LIMIT 1", "actions_by_state"),
        ("SELECT seq FROM actions WHERE state = 'succeeded' ORDER BY seq DESC LIMIT 1", "actions_by_state"),
        (
            "SELECT seq FROM actions WHERE held_reason = 'a' ORDER BY seq DESC LIMIT 1",
            "actions_by_held_reason",
        ),
        ("SELECT seq FROM actions WHERE source = 'a' ORDER BY seq DESC LIMIT 1", "actions_by_source"),
    ] {
        let plan: String =
            db.query_row(&format!("EXPLAIN QUERY PLAN {query}"), [], |row| row.get("detail")).unwrap();
        assert!(plan.contains(index), "{query}: {plan}");
    }
}
