//! Approvals: who may decide about a held action, what an approval covers, and what is looked at again.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{EntityPair, FileEntity, FoundAt, MachineEntity, Mode};
use quarantine_bridge::http::ApiToken;
use quarantine_bridge::policy::{Guard, Guards};
use quarantine_bridge::simulator::Machine;
use quarantine_bridge::store::Scope;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::binary::{command, set_mode};
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup};
use crate::links::{LINK_KEY, make_link, path_of, press};
use crate::tokens::token_id;

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub(crate) fn server() -> Machine {
    let os_platform = "WindowsServer2022".to_owned();
    Machine { id: MACHINE.to_owned(), os_platform, files: vec![SHA1.to_owned()], ..Machine::default() }
}

/// A bridge with an action that is held because its device is a server.
pub(crate) async fn held_with(setup: Setup) -> (Bridge, String) {
    let mut bridge = Bridge::with(Setup { link_key: Some(LINK_KEY), ..setup }).await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");
    (bridge, id)
}

pub(crate) async fn held() -> (Bridge, String) {
    held_with(Setup::default()).await
}

/// A way by which an approval or a denial can come. All that there are; a new one belongs here.
#[derive(Debug, Clone, Copy)]
enum Way {
    ApproveByApi,
    DenyByApi,
    ApproveByCommand,
    DenyByCommand,
    ApproveByLink,
    DenyByLink,
}

const WAYS: [Way; 6] = [
    Way::ApproveByApi,
    Way::DenyByApi,
    Way::ApproveByCommand,
    Way::DenyByCommand,
    Way::ApproveByLink,
    Way::DenyByLink,
];

impl Way {
    fn is_approval(self) -> bool {
        matches!(self, Self::ApproveByApi | Self::ApproveByCommand | Self::ApproveByLink)
    }

    /// The word by which it is kept.
    fn via(self) -> &'static str {
        match self {
            Self::ApproveByApi | Self::DenyByApi => "api",
            Self::ApproveByCommand | Self::DenyByCommand => "cli",
            Self::ApproveByLink | Self::DenyByLink => "link",
        }
    }
}

/// Decides about the hold of a server by one way; returns whether that was taken. A link is made in the name of the token.
async fn decide(bridge: &Bridge, way: Way, id: &str, token: &str) -> bool {
    let command = |word: &'static str| {
        let file = bridge.folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        set_mode(&file, 0o600);
        let (id, url) = (id.to_owned(), bridge.url("/"));
        async move { tokio::task::spawn_blocking(move || run(word, &id, &file, &url)).await.unwrap() }
    };
    match way {
        Way::ApproveByApi => approve(bridge, id, token, &["os"]).await.status == 200,
        Way::DenyByApi => deny(bridge, id, token).await.status == 200,
        Way::ApproveByCommand => command("approve").await,
        Way::DenyByCommand => command("deny").await,
        Way::ApproveByLink => by_link(bridge, id, token, "approve").await,
        Way::DenyByLink => by_link(bridge, id, token, "deny").await,
    }
}

async fn by_link(bridge: &Bridge, id: &str, token: &str, choice: &str) -> bool {
    let name = token.split('_').nth(1).and_then(|token| {
        let db = Connection::open(bridge.database()).unwrap();
        db.query_row("SELECT name FROM tokens WHERE id = ?1", [token], |row| row.get::<_, String>(0)).ok()
    });
    let made = make_link(bridge, id, &name.unwrap_or("nobody".to_owned())).await;
    match path_of(&made) {
        Some(path) => press(bridge, &path, choice, "looked at it").await.status == 200,
        None => false,
    }
}

fn run(word: &str, id: &str, token: &Path, url: &str) -> bool {
    let mut arguments = vec![word, id, "--reason", "looked at it", "--token-file", token.to_str().unwrap()];
    arguments.extend(["--url", url]);
    if word == "approve" {
        arguments.extend(["--hold", "os"]);
    }
    command(&arguments).output().unwrap().status.success()
}

pub(crate) async fn approve(bridge: &Bridge, id: &str, token: &str, holds: &[&str]) -> Answer {
    let said = json!({"holds": holds, "reason": "looked at it"});
    bridge.post_as(&format!("/v1/actions/{id}/approve"), token, &said).await
}

async fn deny(bridge: &Bridge, id: &str, token: &str) -> Answer {
    bridge.post_as(&format!("/v1/actions/{id}/deny"), token, &json!({"reason": "our own tool"})).await
}

pub(crate) fn person(bridge: &Bridge, name: &str) -> String {
    bridge.token_of(name, &[Scope::ActionsApprove])
}

pub(crate) fn code(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

#[tokio::test]
async fn by_every_way_a_person_decides_and_the_submitter_and_a_wrong_scope_are_refused() {
    for way in WAYS {
        let (mut bridge, id) = held().await;
        let everything_else: Vec<Scope> =
            Scope::ALL.into_iter().filter(|scope| *scope != Scope::ActionsApprove).collect();
        for token in [person(&bridge, "soc"), bridge.token_of("alice", &everything_else), "qb_x".to_owned()] {
            assert!(!decide(&bridge, way, &id, &token).await, "{way:?}");
            let action = bridge.action(&id).await;
            assert_eq!((&action["state"], &action["approvals"]), (&json!("held"), &json!([])), "{way:?}");
        }

        assert!(decide(&bridge, way, &id, &person(&bridge, "alice")).await, "{way:?}");
        bridge.drain().await;

        let is_approval = way.is_approval();
        let expected = if is_approval { "submitted" } else { "denied" };
        let action = bridge.action(&id).await;
        assert_eq!(action["state"], expected, "{way:?}: {action}");
        assert_eq!(bridge.quarantines().len(), usize::from(is_approval), "{way:?}");
        assert_eq!(action["approvals"][0]["by"], "token:alice");
        assert_eq!(action["approvals"][0]["via"], way.via());
        let act = if is_approval { "%approve_action%looked at it%" } else { "%deny_action%" };
        let db = Connection::open(bridge.database()).unwrap();
        let audited = "SELECT count(*) FROM audit WHERE entry LIKE '%token:alice%' AND entry LIKE ?1";
        assert_eq!(db.query_row(audited, [act], |row| row.get::<_, i64>(0)), Ok(1), "{way:?}");
        let history = action["history"].as_array().unwrap();
        let theirs = history.iter().find(|it| it["who"] == "token:alice").unwrap();
        let facts = if is_approval {
            json!(["approved by token:alice: os"])
        } else {
            json!(["no call for it was made"])
        };
        assert_eq!(theirs["facts"], facts, "{way:?}");
        let entry = "SELECT entry FROM audit WHERE entry LIKE '%token:alice%' AND entry LIKE ?1";
        let entry: String = db.query_row(entry, [act], |row| row.get(0)).unwrap();
        let entry: Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(entry["subject"]["action"], id.as_str(), "{way:?}: {entry}");
        assert_eq!(
            entry["deed"]["to"],
            if is_approval { json!("os") } else { Value::Null },
            "{way:?}: {entry}"
        );
    }
}

#[tokio::test]
async fn whoever_completed_an_action_may_not_decide_about_it() {
    let mut bridge = Bridge::with(Setup { link_key: Some(LINK_KEY), ..Setup::default() }).await;
    let named = |machine: Machine| Machine { dns_name: "ws1.corp.example".to_owned(), ..machine };
    let twin = Machine { id: "5".repeat(40), ..server() };
    bridge.simulator.with(|state| {
        state.world.any_machine = false;
        state.world.machines = vec![named(server()), named(twin)];
    });
    let id = bridge.accept_pairs("a1", vec![pair("ws1.corp.example")]).await.remove(0);
    bridge.drain().await;
    let carol = bridge.token_of("carol", &[Scope::ActionsComplete, Scope::ActionsApprove]);
    let said = json!({"machine_id": MACHINE, "reason": "by its asset tag"});
    assert_eq!(bridge.post_as(&format!("/v1/actions/{id}/complete"), &carol, &said).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.action(&id).await["holds"][0]["guard"], "os");

    for way in WAYS {
        assert!(!decide(&bridge, way, &id, &carol).await, "{way:?}");
    }
    let answer = approve(&bridge, &id, &carol, &["os"]).await;
    assert_eq!((answer.status, code(&answer)), (403, "forbidden"));
    assert!(decide(&bridge, Way::ApproveByApi, &id, &person(&bridge, "alice")).await);
}

#[tokio::test]
async fn whoever_had_the_delivery_read_again_may_not_decide_about_what_that_brought() {
    let (bridge, id) = held().await;
    // As a replay leaves it: the action's first state is by whoever asked for that.
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("UPDATE history SET who = 'token:dave' WHERE from_state IS NULL", []).unwrap();
    for way in WAYS {
        assert!(!decide(&bridge, way, &id, &person(&bridge, "dave")).await, "{way:?}");
    }
    assert!(decide(&bridge, Way::ApproveByApi, &id, &person(&bridge, "alice")).await);
}

#[tokio::test]
async fn a_new_token_of_the_same_name_makes_nobody_another_person_and_the_record_tells_them_apart() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    let db = Connection::open(bridge.database()).unwrap();
    // As a replay by an earlier token of dave's leaves it.
    db.execute("UPDATE history SET who = 'token:dave#0123456789ab' WHERE from_state IS NULL", []).unwrap();
    for name in ["dave", "Dave", " dave ", "soc", "SOC"] {
        let answer = approve(&bridge, &id, &person(&bridge, name), &["os"]).await;
        assert_eq!((answer.status, code(&answer)), (403, "forbidden"), "{name:?}");
    }

    let alice = person(&bridge, "alice");
    assert_eq!(approve(&bridge, &id, &alice, &["os"]).await.status, 200);

    assert_eq!(bridge.action(&id).await["approvals"][0]["by"], "token:alice");
    let text = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let principal = format!("token:alice#{}", token_id(&alice));
    assert_eq!(text("SELECT who FROM approvals"), principal);
    assert_eq!(text("SELECT who FROM history WHERE from_state = 'held'"), principal);
    let entry = text("SELECT entry FROM audit WHERE entry LIKE '%approve_action%'");
    let entry: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!((&entry["who"], &entry["token"]), (&json!("token:alice"), &json!(token_id(&alice))));
    assert_eq!(entry["deed"]["after"], "by api");
}

#[tokio::test]
async fn where_two_must_approve_another_spelling_of_a_name_is_no_second_person() {
    let (bridge, id) = held_with(Setup { guards: four_eyes, ..Setup::default() }).await;
    assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await.status, 202);
    assert_eq!(approve(&bridge, &id, &person(&bridge, "ALICE"), &["os"]).await.status, 200, "the same again");
    assert_eq!(bridge.state(&id).await, "held");
    assert_eq!(approve(&bridge, &id, &person(&bridge, "bob"), &["os"]).await.status, 200);
    assert_eq!(bridge.state(&id).await, "resolving");
}

/// Everybody who may not, by every way, and then two who may: where two must approve, neither is enough alone.
#[tokio::test]
async fn on_every_way_each_who_may_not_is_refused_and_two_who_may_are_needed() {
    let (mut bridge, id) = held_with(Setup { guards: four_eyes, ..Setup::default() }).await;
    let db = Connection::open(bridge.database()).unwrap();
    // As a replay, and as a completion before the last one, leave it.
    db.execute("UPDATE history SET who = 'token:replayer#0123456789ab' WHERE from_state IS NULL", [])
        .unwrap();
    db.execute(
        "INSERT INTO history (action_seq, n, at, from_state, to_state, why, who, facts)
         SELECT action_seq, 100, at, to_state, to_state, 'r', 'token:completer', '[]' FROM history
         WHERE from_state IS NULL",
        [],
    )
    .unwrap();
    // Whoever made a link for it, whether that was used or not.
    let maker = bridge.token_of("maker", &[Scope::LinksCreate, Scope::ActionsApprove]);
    person(&bridge, "first");
    let said = json!({"approver": "first"});
    assert_eq!(bridge.post_as(&format!("/v1/actions/{id}/links"), &maker, &said).await.status, 201);
    let every_other_scope: Vec<Scope> =
        Scope::ALL.into_iter().filter(|scope| *scope != Scope::ActionsApprove).collect();
    let who_may_not = [
        ("the source's namesake", person(&bridge, "soc")),
        ("its namesake in capitals", person(&bridge, "SOC")),
        ("the replayer", person(&bridge, "replayer")),
        ("the completer", person(&bridge, "completer")),
        ("the maker of a link", maker),
        ("a stranger with every other scope", bridge.token_of("stranger", &every_other_scope)),
        ("a stranger's own token", ApiToken::generate().reveal()),
    ];
    for way in WAYS {
        for (who, token) in &who_may_not {
            assert!(!decide(&bridge, way, &id, token).await, "{way:?} as {who}");
            let action = bridge.action(&id).await;
            let have = (&action["state"], &action["approvals"]);
            assert_eq!(have, (&json!("held"), &json!([])), "{way:?} as {who}");
        }
    }

    // The first and the second approver, each by another way.
    assert!(decide(&bridge, Way::ApproveByLink, &id, &person(&bridge, "first")).await);
    for way in [Way::ApproveByApi, Way::ApproveByCommand, Way::ApproveByLink] {
        decide(&bridge, way, &id, &person(&bridge, "first")).await;
        bridge.drain().await;
        assert_eq!(bridge.state(&id).await, "held", "{way:?}: the first one again is no second one");
    }
    assert!(decide(&bridge, Way::ApproveByLink, &id, &person(&bridge, "second")).await);
    // The chain of the history was made up above.
    db.execute("DELETE FROM history WHERE n = 100", []).unwrap();
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
}

pub(crate) fn four_eyes(guards: &mut Guards) {
    let mut switch = guards.switch(Guard::Os);
    switch.approvers = 2;
    guards.switches.insert(Guard::Os, switch);
}

#[tokio::test]
async fn where_two_persons_must_approve_one_alone_does_not_count_twice() {
    let (mut bridge, id) = held_with(Setup { guards: four_eyes, ..Setup::default() }).await;
    assert_eq!(
        bridge.action(&id).await["holds"],
        json!([{"guard": "os", "approvers": 2, "approved_by": []}])
    );
    // Another token of the same name is the same person.
    for _ in 0..2 {
        let answer = approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        bridge.drain().await;
        let action = bridge.action(&id).await;
        assert_eq!(
            (&action["state"], &action["holds"][0]["approved_by"]),
            (&json!("held"), &json!(["token:alice"]))
        );
    }
    assert!(bridge.quarantines().is_empty());

    assert_eq!(approve(&bridge, &id, &person(&bridge, "bob"), &["os"]).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "submitted");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn one_denial_is_enough_and_final() {
    let (mut bridge, id) = held_with(Setup { guards: four_eyes, ..Setup::default() }).await;
    assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await.status, 202);
    assert_eq!(deny(&bridge, &id, &person(&bridge, "bob")).await.status, 200);
    assert_eq!(deny(&bridge, &id, &person(&bridge, "bob")).await.status, 200, "the same again");
    let late = approve(&bridge, &id, &person(&bridge, "carol"), &["os"]).await;
    assert_eq!((late.status, code(&late)), (409, "not-approvable"));
    bridge.run_for(minutes(1)).await;
    assert_eq!(bridge.state(&id).await, "denied");
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn what_is_said_must_name_its_holds_and_give_a_reason() {
    let (bridge, id) = held().await;
    let alice = person(&bridge, "alice");
    let path = format!("/v1/actions/{id}/approve");
    for (said, status) in [
        (json!({"holds": ["os"]}), 400),
        (json!({"holds": ["os"], "reason": " "}), 400),
        (json!({"holds": [], "reason": "r"}), 400),
        (json!({"reason": "r"}), 400),
        (json!({"holds": ["os"], "reason": "r", "by": "bob"}), 400),
        (json!({"holds": ["prevalence"], "reason": "r"}), 409),
        (json!({"holds": ["os", "age"], "reason": "r"}), 409),
    ] {
        assert_eq!(bridge.post_as(&path, &alice, &said).await.status, status, "{said}");
    }
    let elsewhere = "/v1/actions/019d4418-5b00-7c2e-9a61-3f0d8b7a5c11/approve";
    let said = json!({"holds": ["os"], "reason": "r"});
    assert_eq!(bridge.post_as(elsewhere, &alice, &said).await.status, 404);
    assert_eq!(bridge.action(&id).await["approvals"], json!([]));
}

#[tokio::test]
async fn an_approval_helps_no_denial_and_no_device_that_is_not_known() {
    let mut bridge = Bridge::start().await;
    bridge.simulator.with(|state| state.world.any_machine = false);
    let id = bridge.accept_pairs("a1", vec![pair("ws-nobody")]).await.remove(0);
    bridge.drain().await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "held", "{action}");
    let target = json!({"guard": "target", "approvers": null, "approved_by": []});
    assert!(action["holds"].as_array().unwrap().contains(&target), "{action}");
    let answer = approve(&bridge, &id, &person(&bridge, "alice"), &["target"]).await;
    assert_eq!((answer.status, code(&answer)), (409, "not-approvable"));
}

fn pair(name: &str) -> EntityPair {
    EntityPair {
        machine: MachineEntity { dns_name: Some(name.to_owned()), ..MachineEntity::default() },
        file: FileEntity { sha1: SHA1.parse().ok(), ..FileEntity::default() },
        candidates: Vec::new(),
        found_at: FoundAt::default(),
    }
}

#[tokio::test]
async fn what_has_changed_since_the_hold_is_found_at_the_approval() {
    let tier0 = Machine { tags: vec!["Tier0".to_owned()], ..server() };
    let stale = Machine { health_status: Some("ImpairedCommunication".to_owned()), ..server() };
    for (machine, state) in [(tier0, "denied"), (stale, "held")] {
        let (mut bridge, id) = held().await;
        bridge.simulator.with(|world| world.world.machines = vec![machine]);
        // What Defender said is not believed for longer.
        bridge.clock.advance(minutes(11));

        assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await.status, 200);
        bridge.drain().await;

        let action = bridge.action(&id).await;
        assert_eq!(action["state"], state, "{action}");
        assert!(bridge.quarantines().is_empty());
        if state == "held" {
            let holds = json!([{"guard": "device_state", "approvers": 1, "approved_by": []}]);
            assert_eq!(action["holds"], holds, "what was approved is not asked for again");
        }
    }
}

#[tokio::test]
async fn what_changes_between_approval_and_call_stops_it_even_if_it_is_the_policy() {
    let setup = Setup { calls_per_minute: 1, ..Setup::default() };
    let (mut bridge, id) = held_with(setup).await;
    // The minute's one call goes elsewhere, so that the approved action waits.
    bridge.accept("other", &"5".repeat(40), SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
    assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "queued");

    bridge.reconfigure(|config| {
        for policy in config.dispatch.policies.values_mut() {
            *policy = policy.clone().with_guards(four_eyes);
        }
    });
    bridge.run_for(minutes(2)).await;

    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "held", "two must approve now: {action}");
    assert_eq!(bridge.quarantines().len(), 1);
    assert_eq!(approve(&bridge, &id, &person(&bridge, "bob"), &["os"]).await.status, 200);
    bridge.run_for(minutes(2)).await;
    assert_eq!(bridge.quarantines().len(), 2);
}

#[tokio::test]
async fn in_mode_approve_the_mode_itself_is_approved_and_the_age_counts_from_then() {
    let mut bridge = Bridge::with(Setup { mode: Mode::Approve, ..Setup::default() }).await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!(bridge.action(&id).await["holds"][0]["guard"], "mode");
    // Longer than an alert may be old by itself.
    bridge.run_for(minutes(90)).await;
    assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["mode"]).await.status, 200);
    bridge.drain().await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "submitted", "{action}");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn without_a_decision_it_expires_after_24_hours_and_reminders_count_it_until_then() {
    let (mut bridge, id) = held().await;
    let metrics = bridge.new_token(&[Scope::Metrics]);
    for (wait, counts) in [(14, [0, 0, 0]), (1, [1, 0, 0]), (45, [1, 1, 0]), (180, [1, 1, 1])] {
        bridge.clock.advance(minutes(wait));
        bridge.get_as("/metrics", &metrics).await;
        let long =
            |waited: &str| bridge.metric(&format!("quarantine_bridge_held_long{{waited=\"{waited}\"}}"));
        let have = ["15m", "60m", "240m"].map(long);
        assert_eq!(have, counts.map(|count| Some(f64::from(count))), "{wait}");
    }
    bridge.clock.advance(minutes(20 * 60));
    // Dispatch has not looked yet, and it is too late already.
    let late = approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await;
    assert_eq!((late.status, code(&late)), (409, "not-approvable"));
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "expired");
    assert!(bridge.quarantines().is_empty());
}

fn thirty_minutes(guards: &mut Guards) {
    guards.hold_limit = minutes(30);
}

fn an_hour(guards: &mut Guards) {
    guards.hold_limit = minutes(60);
}

/// How many minutes an action has until it expires.
async fn minutes_left(bridge: &Bridge, id: &str) -> i64 {
    let expires_at: Timestamp = bridge.action(id).await["expires_at"].as_str().unwrap().parse().unwrap();
    expires_at.duration_since(bridge.clock.now()).as_mins()
}

#[tokio::test]
async fn a_hold_waits_as_long_as_its_source_says_and_a_reload_counts_from_the_next_one_on() {
    let (mut bridge, id) = held_with(Setup { guards: thirty_minutes, ..Setup::default() }).await;
    assert_eq!(minutes_left(&bridge, &id).await, 30);
    bridge.reconfigure(|config| {
        for policy in config.dispatch.policies.values_mut() {
            *policy = policy.clone().with_guards(an_hour);
        }
    });
    let later = bridge.accept("a2", MACHINE, SHA1).await;
    bridge.drain().await;
    assert_eq!((minutes_left(&bridge, &id).await, minutes_left(&bridge, &later).await), (30, 60));

    bridge.clock.advance(minutes(30));
    let late = approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await;
    assert_eq!((late.status, code(&late)), (409, "not-approvable"));
    bridge.drain().await;
    assert_eq!((bridge.state(&id).await, bridge.state(&later).await), ("expired".into(), "held".into()));

    // What is held anew after a person's word has the whole time again.
    let stale = Machine { health_status: Some("ImpairedCommunication".to_owned()), ..server() };
    bridge.simulator.with(|world| world.world.machines = vec![stale]);
    assert_eq!(approve(&bridge, &later, &person(&bridge, "alice"), &["os"]).await.status, 200);
    assert_eq!(minutes_left(&bridge, &later).await, 60, "so has what is looked for after it");
    bridge.drain().await;
    assert_eq!((bridge.state(&later).await.as_str(), minutes_left(&bridge, &later).await), ("held", 60));
}

#[tokio::test]
async fn approvals_survive_a_restart_and_the_same_word_again_changes_nothing() {
    let (bridge, id) = held_with(Setup { guards: four_eyes, ..Setup::default() }).await;
    assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await.status, 202);
    let mut bridge = bridge.restart().await;
    assert_eq!(approve(&bridge, &id, &person(&bridge, "alice"), &["os"]).await.status, 200);
    assert_eq!(bridge.action(&id).await["approvals"].as_array().map(Vec::len), Some(1));
    let bob = person(&bridge, "bob");
    assert_eq!(approve(&bridge, &id, &bob, &["os"]).await.status, 200);
    bridge.drain().await;
    assert_eq!(
        approve(&bridge, &id, &bob, &["os"]).await.status,
        200,
        "the same again, when it has moved on"
    );
    let approvals: Value = bridge.action(&id).await["approvals"].clone();
    assert_eq!(approvals.as_array().map(Vec::len), Some(2));
    assert_eq!(bridge.quarantines().len(), 1);
}
