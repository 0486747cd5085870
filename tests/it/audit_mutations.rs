//! Whatever is changed in the audit is found: 10,000 random mutations of its file, and as many of its table.

use std::iter;

use quarantine_bridge::alert::Who;
use quarantine_bridge::audit::{
    Chain, Checkpoint, Deed, Digest, Entry, Move, SignedCheckpoint, SigningKey, Subject, Verifier, Wrong,
    read_line, record_line,
};
use quarantine_bridge::store::{Options, Store, verify_audit};
use rusqlite::{Connection, params};

use crate::harness::{start_of_time, wait_until_unlocked};

const MUTATIONS: usize = 10_000;

/// How many entries the record has. Each mutation is looked for in all of them.
const ENTRIES: u64 = 24;

fn entry(seq: u64) -> Entry {
    let at = start_of_time().as_millisecond() + i64::try_from(seq).unwrap();
    let subject = Subject {
        action: format!("019ca945-0a00-7000-8000-{seq:012}"),
        delivery: "019ca945-0a00-7000-8000-000000000003".to_owned(),
        source: "soc".to_owned(),
        alert_id: format!("a{seq}"),
        alert_sha256: Some(Digest::of(b"body")),
        key_id: Some("0123456789ab".to_owned()),
        machine_id: Some(format!("{seq:040x}")),
        sha1: Some(format!("{:040x}", seq + 1)),
        machine_action: None,
    };
    let change = Move {
        from: Some("decided".to_owned()),
        to: "queued".to_owned(),
        who: Who::Bridge.to_string(),
        why: "every guard passes".to_owned(),
        facts: vec!["severity: pass, severity high, floor low".to_owned()],
    };
    let deed = Deed::Decision { policy: Some(Digest::of(b"policy")), moves: vec![change] };
    Entry {
        seq,
        at,
        who: Who::Bridge.to_string(),
        token: None,
        principal: None,
        subject: Some(subject),
        deed,
    }
}

/// A record: the text of each entry and its digest.
fn record() -> Vec<(String, Digest)> {
    let mut chain = Chain::default();
    let add = |seq| {
        let text = entry(seq).text().unwrap();
        let digest = chain.digest_of(text.as_bytes());
        chain.follow(text.as_bytes(), digest).unwrap();
        (text, digest)
    };
    (1..=ENTRIES).map(add).collect()
}

/// The checkpoint of the whole record, and what verifies it.
fn verifier(key: &SigningKey, record: &[(String, Digest)]) -> Verifier {
    let (seq, hash) = (ENTRIES, record.last().unwrap().1);
    let checkpoint = Checkpoint { seq, hash, at: 0, previous: None, key: key.public().id() };
    let text = checkpoint.sign(key).unwrap().text().unwrap();
    let keys = vec![key.public()];
    let checkpoint = SignedCheckpoint::read(&text, &keys).unwrap();
    Verifier::new(keys, &[checkpoint])
}

/// Verifies a file, line by line, as the command does.
fn verify(file: &[u8], mut verifier: Verifier) -> Result<(), String> {
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").ok_or("the last line is cut off")?;
        let (text, digest) = read_line(line).ok_or("a line is not as it is written")?;
        verifier.follow(text, digest).map_err(|wrong| wrong.to_string())?;
    }
    verifier.finish().map(|_| ()).map_err(|wrong| wrong.to_string())
}

fn written(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain(iter::once(b'\n'))).collect()
}

const KINDS: [&str; 7] = ["flip", "delete", "insert", "swap", "truncate", "insert a byte", "delete a byte"];

/// Mutates a file in the way of this number.
fn mutated(kind: usize, lines: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut lines = lines.to_vec();
    let count = lines.len();
    let (one, other) = (random.usize(..count), random.usize(..count));
    match kind {
        1 => drop(lines.remove(one)),
        2 => lines.insert(other, lines[one].clone()),
        3 => lines.swap(one, (one + 1 + random.usize(..count - 1)) % count),
        _ => {}
    }
    let mut file = written(&lines);
    let at = random.usize(..file.len());
    match kind {
        0 => file[at] ^= 1 << random.u8(..8),
        4 => file.truncate(at),
        5 => file.insert(at, random.u8(..)),
        6 => drop(file.remove(at)),
        _ => {}
    }
    file
}

#[test]
fn every_mutation_of_the_file_is_found() {
    let record = record();
    let key = SigningKey::generate().unwrap();
    let lines: Vec<Vec<u8>> =
        record.iter().map(|(text, digest)| record_line(text, *digest).into_bytes()).collect();
    let sound = written(&lines);
    verify(&sound, verifier(&key, &record)).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    let mut found = [0; KINDS.len()];
    let mut same = 0;
    while found.iter().sum::<usize>() < MUTATIONS {
        let kind = random.usize(..KINDS.len());
        let file = mutated(kind, &lines, &mut random);
        // A byte taken from a pair of equal ones, or put beside its like, may leave the file as it was: no mutation.
        if file == sound {
            same += 1;
            continue;
        }
        assert!(verify(&file, verifier(&key, &record)).is_err(), "{} was not found", KINDS[kind]);
        found[kind] += 1;
    }
    eprintln!("{MUTATIONS} mutations of the file, all found: {KINDS:?} {found:?}; {same} changed nothing");
}

#[test]
fn a_whole_tail_that_is_cut_off_is_found_by_a_checkpoint_alone() {
    let record = record();
    let key = SigningKey::generate().unwrap();
    let lines: Vec<Vec<u8>> =
        record.iter().map(|(text, digest)| record_line(text, *digest).into_bytes()).collect();
    for left in 0..lines.len() {
        let file = written(&lines[..left]);
        assert_eq!(
            verify(&file, Verifier::new(Vec::new(), &[])),
            Ok(()),
            "without a checkpoint it is not seen"
        );
        let wrong = verify(&file, verifier(&key, &record)).unwrap_err();
        assert!(wrong.contains("it was cut off"), "{wrong}");
    }
}

#[test]
fn a_record_that_is_written_anew_is_found_by_a_checkpoint() {
    let record = record();
    let key = SigningKey::generate().unwrap();
    let mut chain = Chain::default();
    let mut verifier = verifier(&key, &record);
    let mut wrong = None;
    for seq in 1..=ENTRIES {
        let who = if seq == 3 { "somebody else".to_owned() } else { Who::Bridge.to_string() };
        let text = Entry { who, ..entry(seq) }.text().unwrap();
        let digest = chain.digest_of(text.as_bytes());
        chain.follow(text.as_bytes(), digest).unwrap();
        wrong = verifier.follow(text.as_bytes(), digest).err();
    }
    assert_eq!(wrong, Some(Wrong::Rewritten { seq: ENTRIES }));
}

/// Puts rows into the table, in place of those that are there.
fn fill(db: &Connection, record: &[(String, Digest)]) {
    db.execute_batch("DELETE FROM audit").unwrap();
    let mut insert = db.prepare_cached("INSERT INTO audit (seq, entry, hash) VALUES (?1, ?2, ?3)").unwrap();
    for (seq, (text, digest)) in (1_i64..).zip(record) {
        insert.execute(params![seq, text, digest.as_bytes()]).unwrap();
    }
}

/// Mutates the table in the way of this number.
fn mutate(kind: usize, db: &Connection, record: &[(String, Digest)], random: &mut fastrand::Rng) {
    let last = i64::try_from(ENTRIES).unwrap();
    let (one, other) = (random.i64(1..=last), random.i64(1..last));
    let other = if other >= one { other + 1 } else { other };
    let (text, digest) = &record[usize::try_from(one - 1).unwrap()];
    let run = |sql: &str| db.execute(sql, params![one, other]).unwrap();
    match kind {
        0 if random.bool() => {
            let mut bytes = text.clone().into_bytes();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
            let sql = "UPDATE audit SET entry = CAST(?2 AS TEXT) WHERE seq = ?1";
            db.execute(sql, params![one, bytes]).unwrap();
        }
        0 => {
            let mut hash = *digest.as_bytes();
            hash[random.usize(..32)] ^= 1 << random.u8(..8);
            db.execute("UPDATE audit SET hash = ?2 WHERE seq = ?1", params![one, hash]).unwrap();
        }
        1 if random.bool() => {
            run("DELETE FROM audit WHERE seq = ?1 AND ?2 > 0");
        }
        // The gap closed, as if nothing had been there.
        1 => {
            run("DELETE FROM audit WHERE seq = ?1 AND ?2 > 0");
            run("UPDATE audit SET seq = -seq WHERE seq > ?1 AND ?2 > 0");
            run("UPDATE audit SET seq = -seq - 1 WHERE seq < 0 AND ?1 > 0 AND ?2 > 0");
        }
        2 => {
            run("UPDATE audit SET seq = -seq WHERE seq >= ?1 AND ?2 > 0");
            run("UPDATE audit SET seq = 1 - seq WHERE seq < 0 AND ?1 > 0 AND ?2 > 0");
            run(
                "INSERT INTO audit SELECT ?1, entry, hash FROM audit WHERE seq = CASE WHEN ?2 < ?1 THEN ?2 ELSE ?2 + 1 END",
            );
        }
        3 => {
            run("UPDATE audit SET seq = -1 WHERE seq = ?1 AND ?2 > 0");
            run("UPDATE audit SET seq = ?1 WHERE seq = ?2");
            run("UPDATE audit SET seq = ?2 WHERE seq = -1 AND ?1 > 0");
        }
        _ => {
            run("DELETE FROM audit WHERE seq >= ?1 AND ?2 > 0");
        }
    }
}

#[tokio::test]
async fn every_mutation_of_the_table_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { path: folder.path().join("bridge.db") };
    drop(Store::open(&options).unwrap());
    wait_until_unlocked(&options.path).await;
    let db = Connection::open(&options.path).unwrap();
    // What an attacker with the right to write the file would do first. Nothing here need outlive a power cut.
    db.execute_batch(
        "DROP TRIGGER audit_is_in_order; DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;
         PRAGMA synchronous = OFF;",
    )
    .unwrap();
    let record = record();
    let key = SigningKey::generate().unwrap();
    fill(&db, &record);
    verify_audit(&options, verifier(&key, &record)).unwrap().unwrap();
    let mut random = fastrand::Rng::with_seed(12);
    let mut found = [0; 5];
    for _ in 0..MUTATIONS {
        let kind = random.usize(..found.len());
        let tx = db.unchecked_transaction().unwrap();
        fill(&db, &record);
        mutate(kind, &db, &record, &mut random);
        tx.commit().unwrap();

        let verified = verify_audit(&options, verifier(&key, &record)).unwrap();

        assert!(verified.is_err(), "{} was not found: {verified:?}", KINDS[kind]);
        found[kind] += 1;
    }
    eprintln!("{MUTATIONS} mutations of the table, all found: {:?} {found:?}", &KINDS[..5]);
}
