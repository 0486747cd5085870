//! Devices and files that alerts name otherwise than Defender does, looked up at the simulator.

use jiff::SignedDuration;
use quarantine_bridge::alert::{
    Alert, EntityPair, FileEntity, Found, FoundAt, MachineEntity, Mode, Question, Severity, after, before,
};
use quarantine_bridge::dispatch::Answers;
use quarantine_bridge::dispatch::resolve::{By, IdRule, Rules};
use quarantine_bridge::simulator::{
    CallRecord, Fault, FaultKind, GuidLiteral, KnownFile, Machine, Place, Sighting,
};
use serde_json::Value;

use crate::harness::{Bridge, MACHINE, SHA1, Setup, start_of_time, without_facts};

const AAD: &str = "0b5c8d1e-1111-4222-8333-444455556666";
const SHA256: &str = "abababababababababababababababababababababababababababababababcd";
const MD5: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "3333333333cccccccccc3333333333cccccccccc";

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn fault(place: Place, kind: FaultKind, times: Option<u32>) -> Fault {
    Fault { place, kind, times }
}

fn throttled(seconds: u32) -> FaultKind {
    FaultKind::Throttled { retry_after: Some(seconds.to_string()), code: "429".to_owned() }
}

/// The device that the tests are about.
fn ws1() -> Machine {
    Machine {
        id: MACHINE.to_owned(),
        dns_name: "ws1.corp.example".to_owned(),
        aad_device_id: Some(AAD.to_owned()),
        files: vec![SHA1.to_owned()],
        last_ip: "10.0.0.7".to_owned(),
        ..Machine::default()
    }
}

fn file() -> KnownFile {
    KnownFile {
        sha1: Some(SHA1.to_owned()),
        sha256: Some(SHA256.to_owned()),
        md5: Some(MD5.to_owned()),
        ..KnownFile::default()
    }
}

fn all() -> Rules {
    let mut rules = Rules::default();
    rules.set(By::Ip, true);
    rules
}

/// A bridge against a tenant with these devices and the one file.
async fn bridge(setup: Setup, machines: Vec<Machine>) -> Bridge {
    // These tests are about finding device and file; what guards ask besides has tests of its own.
    let bridge = Bridge::with(Setup { guards: without_facts, ..setup }).await;
    bridge.simulator.with(|state| {
        state.world.any_machine = false;
        state.world.machines = machines;
        state.world.files = vec![file()];
    });
    bridge
}

async fn usual() -> Bridge {
    bridge(Setup { rules: all(), ..Setup::default() }, vec![ws1()]).await
}

fn named(name: &str) -> MachineEntity {
    MachineEntity { dns_name: Some(name.to_owned()), ..MachineEntity::default() }
}

fn pair(machine: MachineEntity, file: FileEntity) -> EntityPair {
    EntityPair { machine, file, candidates: Vec::new(), found_at: FoundAt::default() }
}

fn by_sha1() -> FileEntity {
    FileEntity { sha1: SHA1.parse().ok(), ..FileEntity::default() }
}

fn by_sha256() -> FileEntity {
    FileEntity { sha256: SHA256.parse().ok(), ..FileEntity::default() }
}

async fn accept(bridge: &Bridge, alert_id: &str, machine: MachineEntity, file: FileEntity) -> String {
    bridge.accept_pairs(alert_id, vec![pair(machine, file)]).await.remove(0)
}

/// The look-ups that Defender saw: of devices and of files.
fn lookups(bridge: &Bridge) -> Vec<CallRecord> {
    let is_lookup = |call: &CallRecord| {
        call.method == "GET"
            && (call.path.starts_with("/api/machines") || call.path.starts_with("/api/files"))
            && !call.path.starts_with("/api/machineactions")
    };
    bridge.simulator.calls().into_iter().filter(is_lookup).collect()
}

fn states(action: &Value) -> Vec<&str> {
    action["history"].as_array().unwrap().iter().map(|change| change["to"].as_str().unwrap()).collect()
}

fn facts(action: &Value) -> String {
    let history = action["history"].as_array().unwrap();
    history.iter().map(|change| change["facts"].to_string()).collect()
}

#[tokio::test]
async fn each_way_to_name_device_and_file_leads_to_the_one_call() {
    let at_ip = MachineEntity { ip: "10.0.0.7".parse().ok(), ..MachineEntity::default() };
    let aad = MachineEntity { aad_device_id: AAD.parse().ok(), ..MachineEntity::default() };
    let by_md5 = FileEntity { md5: MD5.parse().ok(), ..FileEntity::default() };
    for (machine, file, paths) in [
        (aad, by_sha1(), vec![format!("/api/machines?%24filter=aadDeviceId+eq+%27{AAD}%27")]),
        (
            named("WS1.corp.example."),
            by_sha1(),
            vec!["/api/machines?%24filter=computerDnsName+eq+%27ws1.corp.example%27".to_owned()],
        ),
        (
            named("WS1$"),
            by_sha1(),
            vec!["/api/machines?%24filter=startswith%28computerDnsName%2C%27ws1%27%29".to_owned()],
        ),
        (
            at_ip,
            by_sha1(),
            vec!["/api/machines/findbyip(ip='10.0.0.7',timestamp=2026-03-01T12:00:00Z)".to_owned()],
        ),
        (
            MachineEntity { id: MACHINE.parse().ok(), ..MachineEntity::default() },
            by_sha256(),
            vec![format!("/api/files/{SHA256}")],
        ),
        (
            named("ws1"),
            by_md5,
            vec![
                "/api/machines?%24filter=startswith%28computerDnsName%2C%27ws1%27%29".to_owned(),
                format!("/api/files/{MD5}"),
            ],
        ),
    ] {
        let mut bridge = usual().await;
        let id = accept(&bridge, "a1", machine.clone(), file).await;

        bridge.run_for(seconds(40)).await;

        let action = bridge.action(&id).await;
        let way = ["accepted", "resolving", "decided", "queued", "sending", "submitted", "succeeded"];
        assert_eq!(states(&action), way, "{machine:?}: {action}");
        assert_eq!(action["target"]["machine_id"], MACHINE);
        assert_eq!(action["target"]["sha1"], SHA1);
        let seen: Vec<String> = lookups(&bridge).into_iter().map(|call| call.path).collect();
        assert_eq!(seen, paths);
        assert_eq!(bridge.quarantines().len(), 1);
        assert!(facts(&action).contains("machine: 1111111111aaaaaaaaaa1111111111aaaaaaaaaa"), "{action}");
    }
}

#[tokio::test]
async fn a_guid_is_asked_for_bare_where_quotes_are_refused() {
    let mut bridge = usual().await;
    bridge.simulator.with(|state| state.switches.guid = GuidLiteral::Bare);
    let aad = MachineEntity { aad_device_id: AAD.parse().ok(), ..MachineEntity::default() };
    let id = accept(&bridge, "a1", aad, by_sha1()).await;

    bridge.drain().await;

    assert_eq!(bridge.action(&id).await["target"]["machine_id"], MACHINE);
    assert_eq!(lookups(&bridge).len(), 2);
    // Both calls count.
    assert_eq!(
        bridge.metric("quarantine_bridge_lookups_left{api=\"machines\",window=\"hour\"}"),
        Some(1498.0)
    );
}

#[tokio::test]
async fn a_long_list_is_read_to_its_end_before_a_name_is_believed() {
    let mut machines = vec![ws1()];
    machines.extend((0..6).map(|n| Machine {
        id: format!("{n:040x}"),
        dns_name: format!("ws1{n}.corp.example"),
        ..Machine::default()
    }));
    let mut bridge = bridge(Setup::default(), machines).await;
    bridge.simulator.with(|state| state.switches.page_size = 2);
    let id = accept(&bridge, "a1", named("ws1"), by_sha1()).await;

    bridge.drain().await;

    assert_eq!(lookups(&bridge).len(), 4);
    assert_eq!(bridge.action(&id).await["target"]["machine_id"], MACHINE);
}

#[tokio::test]
async fn a_list_that_does_not_end_or_leads_elsewhere_is_not_believed() {
    for (page_size, kind) in [
        (1, None),
        (100, Some(FaultKind::NextLink { url: "http://127.0.0.1:9/api/machines?$skip=1".to_owned() })),
    ] {
        let mut machines = vec![ws1()];
        machines.extend((0..6).map(|n| Machine {
            id: format!("{n:040x}"),
            dns_name: format!("ws1{n}.corp.example"),
            ..Machine::default()
        }));
        let mut bridge = bridge(Setup::default(), machines).await;
        bridge.simulator.with(|state| state.switches.page_size = page_size);
        if let Some(kind) = kind {
            bridge.simulator.play(fault(Place::Machines, kind, None));
        }
        let id = accept(&bridge, "a1", named("ws1"), by_sha1()).await;

        bridge.drain().await;

        let action = bridge.action(&id).await;
        assert_eq!((&action["state"], &action["held_reason"]), (&"held".into(), &"lookup_refused".into()));
        assert!(action["target"].is_null());
    }
}

#[tokio::test]
async fn whatever_is_in_doubt_is_held_with_its_reason_and_listed_by_it() {
    let twin =
        Machine { id: OTHER.to_owned(), dns_name: "ws1.other.example".to_owned(), ..Machine::default() };
    let offline = Machine {
        dns_name: "ws2".to_owned(),
        health_status: Some("Inactive".to_owned()),
        id: "4".repeat(39) + "5",
        ..Machine::default()
    };
    let mut bridge = bridge(Setup { rules: all(), ..Setup::default() }, vec![ws1(), twin, offline]).await;
    let at_ip = MachineEntity { ip: "192.0.2.10".parse().ok(), ..MachineEntity::default() };
    let disagreeing = MachineEntity { aad_device_id: AAD.parse().ok(), ..named("ws9") };
    let unknown = FileEntity { sha256: "12".repeat(32).parse().ok(), ..FileEntity::default() };
    let cases = [
        ("machine_ambiguous", named("ws1"), by_sha1()),
        ("machine_unknown", named("ws7"), by_sha1()),
        ("machine_not_onboarded", named("ws2"), by_sha1()),
        ("machines_disagree", disagreeing, by_sha1()),
        ("ip_ambiguous", at_ip, by_sha1()),
        ("machine_not_named", named("ws*"), by_sha1()),
        ("ambiguous_pair", MachineEntity::default(), by_sha1()),
        ("file_unknown", named("ws1.corp.example"), unknown),
        ("file_not_named", named("ws1.corp.example"), FileEntity::default()),
    ];
    let mut ids = Vec::new();
    for (reason, machine, file) in &cases {
        ids.push(accept(&bridge, reason, machine.clone(), file.clone()).await);
    }

    bridge.run_for(seconds(30)).await;

    for ((reason, ..), id) in cases.iter().zip(&ids) {
        let action = bridge.action(id).await;
        assert_eq!(action["held_reason"], *reason, "{action}");
        assert_eq!(action["state"], "held");
        assert!(facts(&action).contains(&format!("reason: {reason}")), "{action}");
        assert!(facts(&action).contains(&format!("target: hold, {reason}: ")), "{action}");
        let page = bridge.get(&format!("/v1/actions?state=held&reason={reason}")).await;
        let listed: Vec<_> = page.body["actions"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(listed, [id.as_str()]);
        let line = format!("quarantine_bridge_unresolved_total{{source=\"soc\",reason=\"{reason}\"}}");
        assert_eq!(bridge.metric(&line), Some(1.0), "{reason}");
    }
    assert_eq!(bridge.quarantines().len(), 0);
    assert_eq!(bridge.get("/v1/actions?reason=nonsense").await.status, 400);

    bridge.clock.advance(SignedDuration::from_hours(24));
    bridge.drain().await;
    let action = bridge.action(&ids[0]).await;
    assert_eq!((&action["state"], &action["held_reason"]), (&"expired".into(), &Value::Null));
}

#[tokio::test]
async fn who_had_an_address_is_asked_for_the_time_of_the_alert() {
    let seen = |ip: &str, minutes| Sighting {
        ip: ip.to_owned(),
        at: before(start_of_time(), SignedDuration::from_mins(minutes)).to_string(),
    };
    let then = Machine { sightings: vec![seen("10.0.0.7", 30)], ..ws1() };
    let now = Machine {
        id: OTHER.to_owned(),
        dns_name: "ws2".to_owned(),
        last_ip: "10.0.0.7".to_owned(),
        sightings: vec![seen("10.0.0.7", 0)],
        ..Machine::default()
    };
    let mut bridge = bridge(Setup { rules: all(), ..Setup::default() }, vec![then, now]).await;
    let machine = MachineEntity { ip: "10.0.0.7".parse().ok(), ..MachineEntity::default() };
    let alert = |id: &str, minutes| Alert {
        alert_id: id.parse().unwrap(),
        severity: Some(Severity::High),
        title: String::new(),
        occurred_at: Some(before(start_of_time(), SignedDuration::from_mins(minutes))),
        url: None,
        targets: vec![pair(machine.clone(), by_sha1())],
    };
    let early = bridge.accept_alert(alert("early", 40)).await.remove(0);
    let between = bridge.accept_alert(alert("between", 15)).await.remove(0);
    let late = bridge.accept_alert(alert("late", 5)).await.remove(0);

    bridge.drain().await;

    assert_eq!(bridge.action(&early).await["target"]["machine_id"], MACHINE);
    assert_eq!(bridge.action(&between).await["held_reason"], "ip_ambiguous");
    assert_eq!(bridge.action(&late).await["target"]["machine_id"], OTHER);
}

#[tokio::test]
async fn the_address_that_the_internet_sees_finds_nobody() {
    let mut bridge = usual().await;
    let machine = MachineEntity { ip: "198.51.100.7".parse().ok(), ..MachineEntity::default() };
    let id = accept(&bridge, "a1", machine, by_sha1()).await;
    bridge.drain().await;
    assert_eq!(bridge.action(&id).await["held_reason"], "machine_unknown");
}

#[tokio::test]
async fn an_id_is_confirmed_if_the_source_says_so() {
    let rules = Rules { id: IdRule::Confirmed, ..Rules::default() };
    let merged = Machine { id: OTHER.to_owned(), merged_into: Some(MACHINE.to_owned()), ..ws1() };
    let mut bridge = bridge(Setup { rules, ..Setup::default() }, vec![ws1(), merged]).await;
    let by_id = |id: &str| MachineEntity { id: id.parse().ok(), ..MachineEntity::default() };
    let known = accept(&bridge, "known", by_id(MACHINE), by_sha1()).await;
    let unknown = accept(&bridge, "unknown", by_id(&"5".repeat(40).replacen('5', "6", 1)), by_sha1()).await;
    let old = accept(&bridge, "old", by_id(OTHER), by_sha1()).await;
    let other_name = MachineEntity { dns_name: Some("ws2".to_owned()), ..by_id(MACHINE) };
    let other_name = accept(&bridge, "other-name", other_name, by_sha1()).await;

    bridge.drain().await;

    assert_eq!(bridge.action(&known).await["target"]["machine_id"], MACHINE);
    assert_eq!(bridge.action(&unknown).await["held_reason"], "machine_unknown");
    assert_eq!(bridge.action(&old).await["target"]["machine_id"], MACHINE);
    assert_eq!(bridge.action(&other_name).await["held_reason"], "machines_disagree");
}

#[tokio::test]
async fn a_hash_that_defender_does_not_echo_holds_the_action() {
    let mut bridge = usual().await;
    let other = KnownFile { sha256: Some("cd".repeat(32)), found_by: Some(SHA256.to_owned()), ..file() };
    bridge.simulator.with(|state| state.world.files = vec![other]);
    let id = accept(&bridge, "a1", named("ws1"), by_sha256()).await;
    bridge.drain().await;
    assert_eq!(bridge.action(&id).await["held_reason"], "file_hash_mismatch");
}

#[tokio::test]
async fn without_the_role_for_files_only_look_ups_of_files_are_held() {
    let mut bridge = usual().await;
    bridge.simulator.with(|state| state.switches.roles.retain(|role| role != "File.Read.All"));
    let by_sha1 = accept(&bridge, "sha1", named("ws1"), by_sha1()).await;
    let by_sha256 = accept(&bridge, "sha256", named("ws1"), by_sha256()).await;

    bridge.drain().await;

    assert_eq!(bridge.state(&by_sha1).await, "submitted");
    let action = bridge.action(&by_sha256).await;
    assert_eq!(action["held_reason"], "file_lookup_forbidden");
    assert!(action.to_string().contains("give the app registration the role File.Read.All"), "{action}");
}

#[tokio::test]
async fn many_actions_with_one_question_share_one_answer() {
    let mut bridge = usual().await;
    for n in 0..20 {
        accept(&bridge, &format!("a{n}"), named("ws1"), by_sha256()).await;
    }

    bridge.drain().await;

    assert_eq!(lookups(&bridge).len(), 2);
    accept(&bridge, "later", named("WS1"), by_sha256()).await;
    bridge.clock.advance(seconds(299));
    bridge.drain().await;
    assert_eq!(lookups(&bridge).len(), 2, "an answer is believed for a short while");
}

#[tokio::test]
async fn an_answer_about_a_device_is_believed_for_five_minutes() {
    let mut bridge = usual().await;
    accept(&bridge, "a1", named("ws1"), by_sha1()).await;
    bridge.drain().await;

    bridge.clock.advance(seconds(300));
    accept(&bridge, "a2", named("ws1"), by_sha1()).await;
    bridge.drain().await;

    assert_eq!(lookups(&bridge).len(), 2);
}

#[tokio::test]
async fn an_answer_from_before_the_clock_was_set_back_is_not_believed() {
    let mut bridge = usual().await;
    accept(&bridge, "a1", named("ws1"), by_sha1()).await;
    bridge.drain().await;

    bridge.clock.advance(SignedDuration::from_mins(20));
    bridge.clock.set_by(SignedDuration::from_mins(-19));
    accept(&bridge, "a2", named("ws1"), by_sha1()).await;
    bridge.drain().await;

    assert_eq!(lookups(&bridge).len(), 2, "the first answer is 20 minutes old, and seems a minute old");
}

#[tokio::test]
async fn a_failed_look_up_is_tried_again_with_backoff_and_holds_up_nobody_else() {
    for kind in [
        FaultKind::Status { status: 500 },
        FaultKind::Status { status: 503 },
        FaultKind::RequestLost,
        FaultKind::Garbage,
        FaultKind::Truncated,
        FaultKind::Redirect,
        FaultKind::Unauthorized,
        FaultKind::Forbidden2023,
    ] {
        let mut bridge = usual().await;
        bridge.simulator.play(fault(Place::Machines, kind.clone(), Some(3)));
        let looked_up = accept(&bridge, "a1", named("ws1"), by_sha1()).await;
        let as_given = bridge.accept("a2", OTHER, SHA1).await;
        bridge.simulator.with(|state| state.world.any_machine = true);
        bridge.drain().await;
        assert_eq!(bridge.state(&looked_up).await, "resolving", "{kind:?}");
        assert_eq!(bridge.state(&as_given).await, "submitted", "{kind:?}");
        assert_eq!(lookups(&bridge).len(), 1);

        bridge.run_for(seconds(60)).await;

        assert_eq!(bridge.state(&looked_up).await, "succeeded", "{kind:?}");
        assert_eq!(lookups(&bridge).len(), 4, "{kind:?}");
    }
}

#[tokio::test]
async fn while_defender_is_away_the_sender_is_answered_and_in_the_end_the_alert_expires() {
    let mut bridge = usual().await;
    bridge.simulator.play(fault(Place::Machines, FaultKind::Status { status: 503 }, None));
    let id = accept(&bridge, "a1", named("ws1"), by_sha1()).await;

    bridge.run_for(SignedDuration::from_mins(59)).await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "resolving");
    assert_eq!(action["waiting_for"], "Defender, to learn which device and file are meant");
    let asked = lookups(&bridge).len();
    assert!((50..=80).contains(&asked), "with backoff to a minute: {asked} look-ups in an hour");

    bridge.run_for(SignedDuration::from_mins(2)).await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "expired");
    assert!(action.to_string().contains("could not be looked up in time"));
    assert_eq!(bridge.quarantines().len(), 0);
}

#[tokio::test]
async fn defenders_limit_is_waited_for() {
    let mut bridge = usual().await;
    bridge.simulator.play(fault(Place::Machines, throttled(120), Some(1)));
    let id = accept(&bridge, "a1", named("ws1"), by_sha1()).await;

    bridge.run_for(seconds(115)).await;
    assert_eq!(lookups(&bridge).len(), 1);
    assert_eq!(bridge.state(&id).await, "resolving");
    // Files have a limit of their own, and so has the call.
    let other = MachineEntity { id: MACHINE.parse().ok(), ..MachineEntity::default() };
    let by_file = accept(&bridge, "a2", other, by_sha256()).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&by_file).await, "submitted");

    bridge.run_for(seconds(60)).await;
    assert_ne!(bridge.state(&id).await, "resolving");
}

#[tokio::test]
async fn look_ups_keep_their_own_limits_and_never_take_from_the_calls() {
    let setup = Setup { lookups_per_minute: 5, rules: all(), ..Setup::default() };
    let machines = (0..12).map(|n| Machine {
        id: format!("{n:040x}"),
        dns_name: format!("host{n}.corp.example"),
        files: vec![SHA1.to_owned()],
        ..Machine::default()
    });
    let mut bridge = bridge(setup, machines.collect()).await;
    bridge.simulator.with(|state| state.switches.per_minute = 5);
    for n in 0..12 {
        let name = format!("host{n}.corp.example");
        accept(&bridge, &format!("a{n}"), named(&name), by_sha1()).await;
    }

    let mut seen = Vec::new();
    for _ in 0..4 {
        bridge.drain().await;
        seen.push(lookups(&bridge).len());
        bridge.run_for(seconds(65)).await;
    }

    assert_eq!(seen, [5, 10, 12, 12]);
    assert!(lookups(&bridge).iter().all(|call| call.status == 200), "never over Defender's limit");
    let page = bridge.get("/v1/actions?state=succeeded&limit=200").await;
    assert_eq!(page.body["actions"].as_array().unwrap().len(), 12);
    let left = bridge.metric("quarantine_bridge_budget_left{window=\"hour\"}").unwrap();
    assert!(left >= 1488.0, "look-ups do not count as calls: {left}");
}

#[tokio::test]
async fn the_most_urgent_is_looked_up_first() {
    let setup = Setup { lookups_per_minute: 1, rules: all(), ..Setup::default() };
    let machines = ["low", "high"].map(|name| Machine {
        id: format!("{:040x}", name.len()),
        dns_name: name.to_owned(),
        files: vec![SHA1.to_owned()],
        ..Machine::default()
    });
    let mut bridge = bridge(setup, machines.to_vec()).await;
    for (name, severity) in [("low", Severity::Low), ("high", Severity::Critical)] {
        bridge
            .accept_alert(Alert {
                alert_id: name.parse().unwrap(),
                severity: Some(severity),
                title: String::new(),
                occurred_at: Some(bridge.clock.now()),
                url: None,
                targets: vec![pair(named(name), by_sha1())],
            })
            .await;
    }

    bridge.drain().await;

    let seen = lookups(&bridge);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].path.contains("high"), "{seen:?}");
}

#[tokio::test]
async fn a_restart_starts_the_search_over() {
    let mut bridge = usual().await;
    bridge.simulator.play(fault(Place::Machines, FaultKind::Status { status: 503 }, Some(1)));
    let id = accept(&bridge, "a1", named("ws1"), by_sha256()).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "resolving");

    let mut bridge = bridge.restart().await;
    bridge.run_for(seconds(40)).await;

    assert_eq!(bridge.state(&id).await, "succeeded");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn what_is_not_acted_on_anyway_is_not_looked_up() {
    for mode in [Mode::Enforce, Mode::Shadow] {
        let setup = Setup { mode, min_severity: Severity::Critical, ..Setup::default() };
        let mut bridge = bridge(setup, vec![ws1()]).await;
        let id = accept(&bridge, "a1", named("ws1"), by_sha1()).await;

        bridge.drain().await;

        let action = bridge.action(&id).await;
        assert_eq!(action["state"], if mode == Mode::Shadow { "shadowed" } else { "denied" });
        assert!(facts(&action).contains("not_looked_up"), "{action}");
        assert_eq!(action["held_reason"], Value::Null);
        assert!(bridge.simulator.calls().is_empty());
    }
}

#[tokio::test]
async fn two_names_of_one_device_in_one_alert_make_one_call() {
    let mut bridge = usual().await;
    let pairs = vec![
        pair(named("ws1"), by_sha1()),
        pair(named("ws1.corp.example"), by_sha256()),
        pair(MachineEntity { id: MACHINE.parse().ok(), ..MachineEntity::default() }, by_sha1()),
    ];
    let ids = bridge.accept_pairs("a1", pairs).await;
    assert_eq!(ids.len(), 3);

    bridge.run_for(seconds(60)).await;

    let mut states = Vec::new();
    for id in &ids {
        states.push(bridge.state(id).await);
    }
    states.sort();
    assert_eq!(states, ["succeeded", "superseded", "superseded"]);
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn hostile_names_never_reach_defender() {
    let mut bridge = usual().await;
    for (n, name) in [
        "ws1' or 1 eq 1 or 'a' eq 'a",
        "ws1') or startswith(computerDnsName,'",
        "../../machineactions",
        "ws1/../../files",
        "ws1%27%20or",
        "*",
        "ws1\u{202e}",
        "wѕ1",
        "127.0.0.1",
        "localhost",
        "ws1\r\nHost: x",
        "ws1?$filter=",
    ]
    .iter()
    .enumerate()
    {
        let id = accept(&bridge, &format!("a{n}"), named(name), by_sha1()).await;
        bridge.drain().await;
        assert_eq!(bridge.action(&id).await["held_reason"], "machine_not_named", "{name:?}");
    }
    assert!(bridge.simulator.calls().is_empty());
}

#[test]
fn answers_are_few_fresh_and_never_from_the_future() {
    let now = start_of_time();
    let question = |n: u32| Question::Machine(format!("{n:040x}").parse().unwrap());
    let mut answers = Answers::at_most(3);
    for n in 0..10 {
        answers.keep(question(n), Found::Machines(Vec::new()), after(now, seconds(i64::from(n))));
    }
    assert_eq!(answers.len(), 3);
    let later = after(now, seconds(9));
    assert!(answers.get(&question(9), later, None).is_some());
    assert!(answers.get(&question(6), later, None).is_none(), "the first to end makes room");
    assert!(answers.get(&question(9), now, None).is_none(), "the clock was set back");
    assert!(
        answers.get(&question(9), after(later, seconds(60)), None).is_none(),
        "nothing found lives a minute"
    );
    assert!(answers.get(&question(9), later, Some(later)).is_some());
    let asked_too_early = answers.get(&question(9), after(later, seconds(1)), Some(after(later, seconds(1))));
    assert!(asked_too_early.is_none());
    // Whoever says a time that is ahead said it before the clock was set back, when all was forgotten.
    assert!(answers.get(&question(9), later, Some(after(later, seconds(1)))).is_some());
    answers.forget();
    assert!(answers.is_empty());
}
