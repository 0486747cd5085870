//! What must hold after every test, whatever it did.

use std::collections::HashMap;

use quarantine_bridge::audit::Verifier;
use quarantine_bridge::store::{Options as StoreOptions, verify_audit};
use rusqlite::{Connection, OpenFlags};

use super::Bridge;

/// Checks that Defender never saw a call without an intent, nor made two machine actions for one action of
/// ours.
pub(super) fn check(bridge: &Bridge) {
    let db = Connection::open_with_flags(bridge.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    check_every_call_has_an_intent(bridge, &db);
    check_every_cancel_has_a_record(bridge, &db);
    check_one_machine_action_each(bridge);
    check_history_is_a_chain(&db);
    check_the_audit(bridge, &db);
}

fn check_every_call_has_an_intent(bridge: &Bridge, db: &Connection) {
    let intents: i64 = db.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).unwrap();
    let calls = i64::try_from(bridge.quarantines().len() - bridge.lost_calls).unwrap();
    assert!(calls <= intents, "{calls} calls, but only {intents} intents on disk");
}

fn check_every_cancel_has_a_record(bridge: &Bridge, db: &Connection) {
    let records: i64 =
        db.query_row("SELECT coalesce(sum(calls), 0) FROM cancellations", [], |row| row.get(0)).unwrap();
    let calls = i64::try_from(bridge.cancels().len()).unwrap();
    assert!(calls <= records, "{calls} cancel calls, but only {records} records on disk");
}

/// Nothing was sent that is not in the audit, and the audit is as it was written.
fn check_the_audit(bridge: &Bridge, db: &Connection) {
    let options = StoreOptions { path: bridge.database() };
    let verified = verify_audit(&options, Verifier::new(Vec::new(), &[])).unwrap().unwrap();
    let of_kind = |kind: &str| -> i64 {
        let sql = "SELECT count(*) FROM audit WHERE entry ->> '$.deed.kind' = ?1";
        db.query_row(sql, [kind], |row| row.get(0)).unwrap()
    };
    let calls = i64::try_from(bridge.quarantines().len() - bridge.lost_calls).unwrap();
    assert!(calls <= of_kind("intent"), "{calls} calls, but only {} in the audit", of_kind("intent"));
    let cancels = i64::try_from(bridge.cancels().len()).unwrap();
    assert!(cancels <= of_kind("cancel_call"), "{cancels} cancel calls, but only {}", of_kind("cancel_call"));
    let answered: i64 = db
        .query_row("SELECT count(*) FROM attempts WHERE outcome IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    assert!(
        answered <= of_kind("outcome"),
        "{answered} answers, but only {} in the audit",
        of_kind("outcome")
    );
    assert!(verified.entries > 0, "the configuration is in the audit");
}

fn check_one_machine_action_each(bridge: &Bridge) {
    let mut made: HashMap<_, u32> = HashMap::new();
    for action in bridge.simulator.machine_actions() {
        *made.entry((action.machine_id, action.sha1, action.comment)).or_default() += 1;
    }
    let doubled: Vec<_> = made.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "more than one machine action: {doubled:?}");
}

fn check_history_is_a_chain(db: &Connection) {
    let breaks: i64 = db
        .query_row(
            "SELECT count(*) FROM history h JOIN history next ON next.action_seq = h.action_seq AND next.n = h.n + 1
             WHERE next.from_state IS NOT h.to_state",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let astray: i64 = db
        .query_row(
            "SELECT count(*) FROM actions a WHERE a.state IS NOT
                 (SELECT to_state FROM history WHERE action_seq = a.seq ORDER BY n DESC LIMIT 1)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!((breaks, astray), (0, 0), "history and state do not agree");
}
