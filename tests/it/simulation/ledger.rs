//! What is known from outside of every action, and what must always hold of it.
//!
//! Times are true: milliseconds since the beginning, whatever the bridge's clock says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Severity, SourceName, State};
use quarantine_bridge::audit::{Chain, Digest};
use quarantine_bridge::policy::Policy;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::network::{Call, Message};
use super::scenario::PROTECTED;
use super::trace::{Sometimes, Trace};

/// The settle time of the simulated bridge, in milliseconds.
pub(crate) const SETTLE: u64 = 60_000;

/// The policies that were in force when something was written.
pub(crate) type Policies = HashMap<SourceName, Policy>;

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    actions: BTreeMap<i64, Known>,
    /// Ids of actions that were acknowledged to a sender.
    acknowledged: BTreeSet<String>,
    calls: BTreeMap<Call, Made>,
    /// When quarantine calls arrived at Defender.
    arrivals: Vec<u64>,
    /// The kill switch was acknowledged as on, and nobody has asked for it to be off since.
    is_stopped: bool,
}

#[derive(Debug)]
struct Known {
    name: String,
    state: State,
    changes: i64,
}

/// A quarantine call.
#[derive(Debug, Clone, Copy)]
struct Made {
    left_at: u64,
    /// When its machine action was made, if it made one.
    created_at: Option<u64>,
}

/// One row of the history.
struct Moved {
    action: i64,
    n: i64,
    from: Option<State>,
    to: State,
}

/// Returns the moves that the database has and the ledger does not know.
fn moves(db: &Connection, known: &BTreeMap<i64, Known>) -> Vec<Moved> {
    let mut statement = db.prepare_cached("SELECT seq FROM actions ORDER BY seq").unwrap();
    let actions: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut statement = db
        .prepare_cached(
            "SELECT n, from_state, to_state FROM history WHERE action_seq = ?1 AND n > ?2 ORDER BY n",
        )
        .unwrap();
    let mut all = Vec::new();
    for action in actions {
        let changes = known.get(&action).map_or(0, |known| known.changes);
        let mut rows = statement.query(params![action, changes]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let from: Option<String> = row.get(1).unwrap();
            let to: String = row.get(2).unwrap();
            let from = from.map(|word| word.parse().unwrap());
            all.push(Moved { action, n: row.get(0).unwrap(), from, to: to.parse().unwrap() });
        }
    }
    all
}

impl Ledger {
    /// Says what the writes in a transaction are about to do, in words of the list of what must happen.
    pub(crate) fn peek(&self, db: &Connection) -> BTreeSet<&'static str> {
        let mut words: BTreeSet<_> = moves(db, &self.actions).iter().map(kind).collect();
        if words.is_empty() {
            words.insert("note");
        }
        words
    }

    /// Takes in what was committed, and checks it.
    pub(crate) fn learn(
        &mut self,
        db: &Connection,
        now: u64,
        policies: &[&Policies],
        (trace, sometimes): (&mut Trace, &mut Sometimes),
    ) {
        for moved in moves(db, &self.actions) {
            let name = self.known(db, moved.action).name.clone();
            let from = moved.from.map_or("nothing", State::as_str);
            let why: String = db
                .prepare_cached("SELECT why FROM history WHERE action_seq = ?1 AND n = ?2")
                .unwrap()
                .query_row(params![moved.action, moved.n], |row| row.get(0))
                .unwrap();
            trace.add(format!("      {name}: {from} -> {}: {}", moved.to, without_ids(&why)));
            sometimes.saw(format!("state {}", moved.to));
            if let Some(from) = moved.from {
                sometimes.saw(format!("move {from} -> {}", moved.to));
            }
            self.check_move(&moved);
            match (moved.from, moved.to) {
                (_, State::Sending) => check_intent(db, moved.action, policies),
                (Some(State::Uncertain), State::Queued) => self.check_requeue(moved.action, now),
                _ => {}
            }
            let known = self.known(db, moved.action);
            known.state = moved.to;
            known.changes = moved.n;
        }
        self.check_database(db);
        let mut statement = db
            .prepare_cached("SELECT empty_reads FROM actions WHERE state = 'uncertain' AND empty_reads > 0")
            .unwrap();
        let reads = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        reads.for_each(|reads| sometimes.saw(format!("reconcile empty read {}", reads.unwrap())));
    }

    /// Says whether an action is uncertain.
    pub(crate) fn is_any_uncertain(&self) -> bool {
        self.actions.values().any(|known| known.state == State::Uncertain)
    }

    fn known(&mut self, db: &Connection, action: i64) -> &mut Known {
        self.actions.entry(action).or_insert_with(|| Known {
            name: name(db, action),
            state: State::Accepted,
            changes: 0,
        })
    }

    /// Every move is legal, and history is a chain.
    fn check_move(&self, moved: &Moved) {
        let known = &self.actions[&moved.action];
        assert_eq!(moved.n, known.changes + 1, "{}: history has a gap", known.name);
        match moved.from {
            None => assert_eq!((moved.n, moved.to), (1, State::Accepted), "{}: it begins astray", known.name),
            Some(from) => {
                assert_eq!(from, known.state, "{}: history is no chain", known.name);
                assert!(from.may_become(moved.to), "{}: {from} never becomes {}", known.name, moved.to);
            }
        }
    }

    /// The settle time has passed before an action is queued again.
    fn check_requeue(&self, action: i64, now: u64) {
        let last = self.calls.range(call(action, 0)..call(action + 1, 0)).next_back();
        // Without a call, the process died between intent and call.
        if let Some((_, made)) = last {
            let waited = now - made.left_at;
            let name = &self.actions[&action].name;
            assert!(waited >= SETTLE, "{name}: queued again {waited} ms after its call");
        }
    }

    /// What must hold of the database after every commit.
    pub(crate) fn check_database(&self, db: &Connection) {
        let count =
            |sql: &str| -> i64 { db.prepare_cached(sql).unwrap().query_row([], |row| row.get(0)).unwrap() };
        let doubled = count(
            "SELECT count(*) FROM (SELECT machine_id FROM actions WHERE state IN ('sending', 'uncertain')
             GROUP BY machine_id HAVING count(*) > 1)",
        );
        assert_eq!(doubled, 0, "a machine has two calls under way");
        let mut statement = db.prepare_cached("SELECT id, seq, state FROM actions").unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut found = 0;
        while let Some(row) = rows.next().unwrap() {
            let (id, seq): (String, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
            let state: String = row.get(2).unwrap();
            found += usize::from(self.acknowledged.contains(&id));
            let known = &self.actions[&seq];
            assert_eq!(known.state.as_str(), state, "{}: history and state do not agree", known.name);
        }
        assert_eq!(found, self.acknowledged.len(), "an acknowledged action is lost (I1)");
    }

    /// Remembers what a sender was told.
    pub(crate) fn acknowledge(&mut self, id: String) {
        self.acknowledged.insert(id);
    }

    /// The kill switch is acknowledged as on, or somebody asks for it to be off.
    pub(crate) fn stop(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// Says whether no call may leave.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The audit is one chain from its beginning (I8).
    pub(crate) fn check_audit(db: &Connection) {
        let mut chain = Chain::default();
        let mut statement = db.prepare_cached("SELECT entry, hash FROM audit ORDER BY seq").unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (text, digest): (String, [u8; 32]) = (row.get(0).unwrap(), row.get(1).unwrap());
            let followed = chain.follow(text.as_bytes(), Digest::from_bytes(digest));
            assert!(followed.is_ok(), "{followed:?} (I8)");
        }
    }

    /// A quarantine call leaves: its intent is on disk, and was not used before (I3, I9); nobody has stopped it (I4), and its file
    /// is not a protected one (I5).
    pub(crate) fn leaves(&mut self, db: &Connection, message: &mut Message, now: u64) {
        let machine = message.request.path.split('/').nth(3).unwrap().to_owned();
        let body: Value = serde_json::from_slice(&message.request.body).unwrap();
        assert!(!self.is_stopped, "a call for {machine} although the kill switch is on (I4)");
        assert_ne!(body["Sha1"], PROTECTED, "a call for a protected file (I5)");
        let mut statement = db
            .prepare_cached(
                "SELECT a.seq, t.n, a.sha1, l.alert_id, t.ended_at, a.retry_of FROM actions a JOIN alerts l ON l.seq = a.alert_seq
                 JOIN attempts t ON t.action_seq = a.seq AND t.n = a.attempts
                 WHERE a.machine_id = ?1 AND a.state = 'sending'",
            )
            .unwrap();
        let mut rows = statement.query([&machine]).unwrap();
        let row = rows
            .next()
            .unwrap()
            .unwrap_or_else(|| panic!("a call for {machine} without an intent on disk (I3)"));
        let made = call(row.get(0).unwrap(), row.get(1).unwrap());
        let (sha1, alert_id): (String, String) = (row.get(2).unwrap(), row.get(3).unwrap());
        let ended_at: Option<i64> = row.get(4).unwrap();
        assert_eq!(ended_at, None, "a call for an intent that has an outcome (I3)");
        assert_eq!(body["Sha1"], sha1, "a call for another file than the intent's (I9)");
        let before: Option<String> = row.get(5).unwrap();
        let retry = before.map(|before| format!(" (retry of {before})")).unwrap_or_default();
        let comment = format!("Stop and quarantine file on machine due to alert {alert_id}{retry}");
        assert_eq!(body["Comment"], comment, "a call that names another alert (I9)");
        let before = self.calls.insert(made, Made { left_at: now, created_at: None });
        assert!(before.is_none(), "two calls for one intent (I3)");
        message.call = Some(made);
    }

    /// A cancel call leaves: somebody has wished it, and it is on disk.
    pub(crate) fn cancels(db: &Connection, message: &Message) {
        let id = message.request.path.split('/').nth(3).unwrap().to_owned();
        let mut statement = db
            .prepare_cached(
                "SELECT count(*) FROM cancellations c JOIN actions a ON a.seq = c.action_seq
                 WHERE a.machine_action_id = ?1 AND c.called_at IS NOT NULL AND c.ended_at IS NULL",
            )
            .unwrap();
        let wishes: i64 = statement.query_row([&id], |row| row.get(0)).unwrap();
        assert!(wishes > 0, "a cancel call that nobody wished");
    }

    /// Counts how cancel calls ended.
    pub(crate) fn tell_cancels(db: &Connection, sometimes: &mut Sometimes) {
        let mut statement =
            db.prepare_cached("SELECT outcome FROM cancellations WHERE outcome IS NOT NULL").unwrap();
        let outcomes = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        outcomes.for_each(|outcome| sometimes.saw(format!("cancel outcome {}", outcome.unwrap())));
    }

    /// A quarantine call has arrived at Defender: within its limits (I7), if the network is not slower than allowed for.
    pub(crate) fn arrives(&mut self, now: u64, limits: Option<[u32; 2]>) {
        self.arrivals.push(now);
        let Some(limits) = limits else {
            return;
        };
        for (limit, window) in limits.into_iter().zip([60_000, 3_600_000]) {
            let count = |begin: u64| self.arrivals.iter().filter(|at| **at >= begin).count();
            let sliding = count((now + 1).saturating_sub(window));
            let fixed = count(now - now % window);
            let most = usize::try_from(limit).unwrap();
            assert!(
                sliding <= most,
                "{sliding} calls in a sliding window of {window} ms, limit {limit} (I7)"
            );
            assert!(fixed <= most, "{fixed} calls in a fixed window of {window} ms, limit {limit} (I7)");
        }
    }

    /// Defender has made a machine action for a call: the first of its action (I2), unless the list had not shown the
    /// first one for longer than the settle time. Returns whether it was such a second one.
    pub(crate) fn creates(&mut self, made: Call, now: u64, lag: u64) -> bool {
        let earlier: Vec<Made> = self
            .calls
            .range(call(made.action, 0)..call(made.action + 1, 0))
            .filter_map(|(_, made)| made.created_at.map(|_| *made))
            .collect();
        if let Some(call) = self.calls.get_mut(&made) {
            call.created_at = Some(now);
        }
        let name = &self.actions[&made.action].name;
        for first in &earlier {
            let unlisted = first.created_at.unwrap_or(0) + lag - first.left_at;
            assert!(
                unlisted > SETTLE,
                "{name}: a second machine action (I2); the first was in the list {unlisted} ms after its call"
            );
        }
        !earlier.is_empty()
    }

    /// Says whether any action may still have a call that is not known, because the list was too slow.
    pub(crate) fn is_beyond_window(&self, action: i64, lag: u64) -> bool {
        let calls = self.calls.range(call(action, 0)..call(action + 1, 0));
        calls.filter_map(|(_, made)| made.created_at.map(|at| at + lag - made.left_at)).any(|it| it > SETTLE)
    }

    /// An attempt of which the bridge believes that nothing happened has made no machine action.
    pub(crate) fn check_outcomes(&self, db: &Connection, sometimes: &mut Sometimes) {
        let mut statement = db
            .prepare_cached("SELECT action_seq, n, outcome FROM attempts WHERE outcome IS NOT NULL")
            .unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let made = call(row.get(0).unwrap(), row.get(1).unwrap());
            let outcome: String = row.get(2).unwrap();
            let created = self.calls.get(&made).and_then(|made| made.created_at);
            let is_nothing =
                matches!(outcome.as_str(), "not_sent" | "unauthorized" | "throttled" | "refused");
            let name = &self.actions[&made.action].name;
            assert!(!is_nothing || created.is_none(), "{name}: {outcome}, but Defender acted");
            assert!(outcome != "accepted" || created.is_some(), "{name}: accepted, but Defender did nothing");
            sometimes.saw(format!("outcome {outcome}"));
        }
    }

    /// Everything has come to its end (I10), and what Defender did for an action is known.
    pub(crate) fn check_quiet(&self, db: &Connection, lag: u64) {
        for (action, known) in &self.actions {
            assert!(known.state.is_final(), "{}: still {} at the end (I10)", known.name, known.state);
            let calls = self.calls.range(call(*action, 0)..call(action + 1, 0));
            if calls.filter(|(_, made)| made.created_at.is_some()).count() == 0
                || self.is_beyond_window(*action, lag)
            {
                continue;
            }
            let mut statement =
                db.prepare_cached("SELECT machine_action_id FROM actions WHERE seq = ?1").unwrap();
            let id: Option<String> = statement.query_row([action], |row| row.get(0)).unwrap();
            assert!(id.is_some(), "{}: {}, and its machine action is not known", known.name, known.state);
        }
    }

    /// Returns how many actions are not at their end.
    pub(crate) fn unfinished(&self) -> usize {
        self.actions.values().filter(|known| !known.state.is_final()).count()
    }
}

fn call(action: i64, attempt: i64) -> Call {
    Call { action, attempt }
}

/// Names a move by what made it.
fn kind(moved: &Moved) -> &'static str {
    match (moved.from, moved.to) {
        (None, _) => "accept",
        (_, State::Sending) => "intent",
        (Some(State::Sending), _) => "outcome",
        (Some(State::Uncertain), _) => "settle",
        (Some(State::Submitted), _) => "track",
        (Some(State::Held), State::Resolving) => "complete",
        (_, State::Cancelled) => "cancel",
        (_, State::Expired) => "expire",
        _ => "decide",
    }
}

fn name(db: &Connection, action: i64) -> String {
    let alert: String = db
        .prepare_cached("SELECT l.source || '/' || l.alert_id FROM actions a JOIN alerts l ON l.seq = a.alert_seq WHERE a.seq = ?1")
        .unwrap()
        .query_row([action], |row| row.get(0))
        .unwrap();
    format!("#{action} {alert}")
}

/// Policy allowed the intent (I6: also its age), as policy was when it was asked.
fn check_intent(db: &Connection, action: i64, policies: &[&Policies]) {
    let mut statement = db
        .prepare_cached(
            "SELECT a.source, l.severity, l.occurred_at,
                 max(coalesce(a.completed_at, 0), CASE WHEN a.retry_of IS NULL THEN 0 ELSE a.accepted_at END),
                 a.intent_at FROM actions a
             JOIN alerts l ON l.seq = a.alert_seq WHERE a.seq = ?1",
        )
        .unwrap();
    let (source, severity, occurred_at, completed_at, intent_at): (
        String,
        Option<String>,
        Option<i64>,
        Option<i64>,
        i64,
    ) = statement
        .query_row([action], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap();
    let source: SourceName = source.parse().unwrap();
    let severity: Severity = severity.expect("no call without a severity").parse().unwrap();
    let fresh = occurred_at.expect("no call without a time").max(completed_at.unwrap_or(i64::MIN));
    let age = SignedDuration::from_millis(intent_at - fresh);
    let allows = |policy: &Policy| {
        policy.mode() == Mode::Enforce && severity >= policy.min_severity && age <= policy.max_age
    };
    let is_allowed = policies.iter().any(|policies| policies.get(&source).is_some_and(allows));
    assert!(is_allowed, "an intent for #{action} that no policy in force allows, age {age:#} (I6)");
}

/// Leaves out ids that are made at random: words of 36 characters with four hyphens.
fn without_ids(why: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    why.split(' ')
        .map(|word| if is_id(word.trim_matches([',', ';', '.'])) { "…" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}
