//! Graph's change notifications: the alert that one refers to is fetched, and becomes what it would have become had it
//! been delivered.

use jiff::SignedDuration;
use quarantine_bridge::alert::{GraphAlertId, Mode, after};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::config::{Secrets, load};
use quarantine_bridge::ingest::{
    ClientStates, Gate, Place as TokenPlace, RawDelivery, Scheme, StaticToken, verify,
};
use quarantine_bridge::simulator::{Fault, FaultKind, Place};
use quarantine_bridge::store::{Accept, Options, Receipt, Scope, Store};
use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup, poll, simulate, start_of_time};

const STATE: &str = "client-state-0123456789abcdef";
const ALERT: &str = "da637551227677560813_-961444813";
const OTHER: &str = "dac6b87b3c-5e1f-4f0a-9c2d-8e7f6a5b4c3d_1";
const SUBSCRIPTION: &str = "76222963-cc7b-42d2-882d-8aaa69cb2ba3";

fn gate() -> Gate {
    let state = StaticToken::read(&STATE.to_owned().into(), &TokenPlace::Bearer, None).unwrap();
    Gate::new(Scheme::ClientStates(ClientStates::new(vec![state])), Vec::new(), Vec::new())
}

async fn start() -> Bridge {
    Bridge::with(Setup { format: "graph-notification", graph: true, gate, ..Setup::default() }).await
}

/// One notification, as Graph sends it.
fn of(alert_id: &str, change: &str) -> Value {
    let resource = format!("security/alerts_v2/{alert_id}");
    json!({
        "subscriptionId": SUBSCRIPTION, "subscriptionExpirationDateTime": "2026-03-20T11:00:00Z",
        "tenantId": "00000000-0000-4000-8000-000000000001", "clientState": STATE, "changeType": change,
        "resource": resource,
        "resourceData": {"@odata.type": "#microsoft.graph.security.alert", "@odata.id": resource, "id": alert_id},
    })
}

fn lifecycle(word: &str) -> Value {
    json!({
        "subscriptionId": SUBSCRIPTION, "subscriptionExpirationDateTime": "2026-03-20T11:00:00Z",
        "tenantId": "00000000-0000-4000-8000-000000000001", "clientState": STATE, "lifecycleEvent": word,
    })
}

/// An alert as Graph has it, with one file on one device.
fn alert(id: &str, verdict: &str, created: &str) -> Value {
    json!({
        "id": id, "severity": "high", "status": "new", "title": "Malware", "createdDateTime": created,
        "alertWebUrl": "https://security.microsoft.com/alerts/1",
        "evidence": [
            {"@odata.type": "#microsoft.graph.security.deviceEvidence", "mdeDeviceId": MACHINE,
             "deviceDnsName": "ws-0147.corp.example", "osPlatform": "Windows11", "remediationStatus": "none"},
            {"@odata.type": "#microsoft.graph.security.fileEvidence", "verdict": verdict, "remediationStatus": "none",
             "detectionStatus": "detected", "mdeDeviceId": MACHINE, "roles": [], "tags": [],
             "fileDetails": {"sha1": SHA1, "sha256": null, "fileName": "a.exe", "filePath": "C:\\Users\\j.doe"}},
        ],
    })
}

/// Gives Graph an alert that has just happened.
fn give(bridge: &Bridge, id: &str, verdict: &str) {
    let alert = alert(id, verdict, &bridge.clock.now().to_string());
    bridge.simulator.with(|state| {
        state.world.alerts.retain(|it| it["id"] != id);
        state.world.alerts.push(alert);
    });
}

async fn notify(bridge: &Bridge, notifications: &[Value]) -> Answer {
    let body = json!({"value": notifications}).to_string();
    bridge.send(bridge.request("/v1/hooks/soc").body(body)).await
}

/// Posts one notification of the alert; returns the delivery's id.
async fn notify_created(bridge: &Bridge) -> String {
    let answer = notify(bridge, &[of(ALERT, "created")]).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    answer.body["delivery_id"].as_str().unwrap().to_owned()
}

async fn delivery(bridge: &Bridge, id: &str) -> Value {
    let answer = bridge.get(&format!("/v1/deliveries/{id}")).await;
    assert_eq!(answer.status, 200);
    answer.body
}

/// The delivery's only fetch.
async fn fetch_of(bridge: &Bridge, id: &str) -> Value {
    let delivery = delivery(bridge, id).await;
    assert_eq!(delivery["fetches"].as_array().unwrap().len(), 1);
    delivery["fetches"][0].clone()
}

/// The requests that Graph saw, as path and status.
fn asked(bridge: &Bridge) -> Vec<(String, u16)> {
    let calls = bridge.simulator.calls();
    let asked = calls.iter().filter(|call| call.path.starts_with("/v1.0/security/"));
    asked.map(|call| (call.path.clone(), call.status)).collect()
}

fn play(bridge: &Bridge, kind: FaultKind, times: Option<u32>) {
    bridge.simulator.play(Fault { place: Place::Alerts, kind, times });
}

/// Moves the clock and fetches, step by step.
async fn fetch_for(bridge: &mut Bridge, time: SignedDuration) {
    let step = SignedDuration::from_secs((time.as_secs() / 60).max(5));
    let end = after(bridge.clock.now(), time);
    bridge.fetch().await;
    while bridge.clock.now() < end {
        bridge.clock.advance(step);
        bridge.fetch().await;
    }
}

#[tokio::test]
async fn a_notification_becomes_a_machine_action() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");

    let answer = notify(&bridge, &[of(ALERT, "created")]).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["fetches"], json!([{"alert_id": ALERT, "duplicate": false}]));
    let id = answer.body["delivery_id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("/v1/deliveries/{id}"));
    let before = fetch_of(&bridge, id).await;
    assert_eq!((&before["state"], &before["attempts"]), (&json!("pending"), &json!(0)));
    bridge.fetch().await;
    bridge.drain().await;

    assert_eq!(asked(&bridge), [(format!("/v1.0/security/alerts_v2/{ALERT}"), 200)]);
    let quarantines = bridge.quarantines();
    assert_eq!(quarantines.len(), 1);
    assert_eq!(quarantines[0]["path"], format!("/api/machines/{MACHINE}/StopAndQuarantineFile"));
    assert_eq!(quarantines[0]["body"]["Sha1"], SHA1);
    let delivery = delivery(&bridge, id).await;
    assert_eq!(delivery["fetches"][0]["state"], "fetched");
    assert_eq!(delivery["fetches"][0]["next_at"], Value::Null);
    assert_eq!(delivery["alert_ids"], json!([ALERT]));
    let actions = bridge.get(&format!("/v1/actions?alert_id={ALERT}")).await.body;
    assert_eq!(actions["actions"][0]["state"], "submitted");
    assert_eq!(actions["actions"][0]["delivery_id"], id);
    let counted = "quarantine_bridge_fetches_total{source=\"soc\",result=\"fetched\"}";
    assert_eq!(bridge.metric(counted), Some(1.0));
    assert_eq!(bridge.metric("quarantine_bridge_fetches_pending"), Some(0.0));
}

#[tokio::test]
async fn the_token_is_for_graph_and_is_asked_for_once() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    give(&bridge, OTHER, "malicious");
    notify(&bridge, &[of(ALERT, "created"), of(OTHER, "created")]).await;
    bridge.fetch().await;

    let calls = bridge.simulator.calls();
    let tokens: Vec<_> = calls.iter().filter(|call| call.path.ends_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].body["scope"], "https://graph.microsoft.com/.default");
    assert_eq!(bridge.metric("quarantine_bridge_token_roles_missing{api=\"graph\"}"), Some(0.0));
    assert_eq!(asked(&bridge).iter().map(|(_, status)| *status).collect::<Vec<_>>(), [200, 200]);
}

#[tokio::test]
async fn the_same_notification_again_is_known_and_makes_no_second_action() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;

    let waiting = notify(&bridge, &[of(ALERT, "created")]).await;
    assert_eq!((waiting.status, &waiting.body["duplicate"]), (200, &json!(true)));
    assert_eq!(waiting.body["delivery_id"], id);
    bridge.fetch().await;
    bridge.drain().await;
    assert_eq!(asked(&bridge).len(), 1);
    // Graph repeats itself letter by letter when the alert changes again: it must be fetched again.
    let later = notify(&bridge, &[of(ALERT, "created")]).await;
    assert_eq!((later.status, &later.body["fetches"][0]["duplicate"]), (202, &json!(false)));
    assert_eq!(later.body["alerts"][0]["duplicate"], true);
    bridge.fetch().await;
    bridge.drain().await;
    let updated = notify(&bridge, &[of(ALERT, "updated")]).await;
    assert_eq!(updated.status, 202);
    bridge.fetch().await;
    bridge.drain().await;

    assert_eq!(asked(&bridge).len(), 3);
    assert_eq!(bridge.quarantines().len(), 1);
    assert_eq!(bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_alert_that_turns_malicious_later_is_acted_on_then() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "unknown");
    let answer = notify(&bridge, &[of(ALERT, "updated")]).await;
    let id = answer.body["delivery_id"].as_str().unwrap().to_owned();
    bridge.fetch().await;
    let first = delivery(&bridge, &id).await;
    assert_eq!(first["fetches"][0]["state"], "fetched");
    assert_eq!(first["refused"][0]["alert_id"], ALERT);
    assert_eq!(first["refused"][0]["problems"][0]["reason"], "no_target");
    let refused = "quarantine_bridge_alerts_refused_total{source=\"soc\",reason=\"no_target\"}";
    assert_eq!(bridge.metric(refused), Some(1.0));

    give(&bridge, ALERT, "malicious");
    assert_eq!(notify(&bridge, &[of(ALERT, "updated")]).await.status, 202);
    bridge.fetch().await;
    bridge.drain().await;

    assert_eq!(bridge.quarantines().len(), 1);
    let second = delivery(&bridge, &id).await;
    assert_eq!((&second["refused"], &second["alert_ids"]), (&json!([]), &json!([ALERT])));
}

#[tokio::test]
async fn a_source_in_approve_mode_holds_what_was_fetched() {
    let setup =
        Setup { mode: Mode::Approve, format: "graph-notification", graph: true, gate, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    give(&bridge, ALERT, "malicious");
    notify_created(&bridge).await;
    bridge.fetch().await;
    bridge.drain().await;
    assert_eq!(bridge.get("/v1/actions").await.body["actions"][0]["state"], "held");
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn an_alert_that_graph_does_not_have_yet_is_waited_for_and_then_given_up() {
    let mut bridge = start().await;
    let id = notify_created(&bridge).await;
    bridge.fetch().await;
    let early = fetch_of(&bridge, &id).await;
    assert_eq!((&early["state"], &early["attempts"]), (&json!("pending"), &json!(1)));
    assert!(early["why"].as_str().unwrap().contains("does not have the alert yet"), "{early}");

    fetch_for(&mut bridge, SignedDuration::from_mins(5)).await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "pending");
    // 1, 2, 4 ... 60 s apart: not a storm.
    assert!((8..16).contains(&asked(&bridge).len()), "{}", asked(&bridge).len());
    fetch_for(&mut bridge, SignedDuration::from_mins(7)).await;

    let late = fetch_of(&bridge, &id).await;
    assert_eq!(late["state"], "failed");
    assert!(late["why"].as_str().unwrap().contains("for 10 minutes"), "{late}");
    let counted = "quarantine_bridge_fetches_total{source=\"soc\",result=\"failed\"}";
    assert_eq!(bridge.metric(counted), Some(1.0));
    let asked_before = asked(&bridge).len();
    fetch_for(&mut bridge, SignedDuration::from_mins(5)).await;
    assert_eq!(asked(&bridge).len(), asked_before);
}

#[tokio::test]
async fn an_alert_that_comes_late_is_fetched() {
    let mut bridge = start().await;
    let id = notify_created(&bridge).await;
    fetch_for(&mut bridge, SignedDuration::from_mins(2)).await;
    give(&bridge, ALERT, "malicious");
    fetch_for(&mut bridge, SignedDuration::from_mins(2)).await;
    bridge.drain().await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again() {
    let throttled =
        FaultKind::Throttled { retry_after: Some("40".to_owned()), code: "TooManyRequests".to_owned() };
    for fault in [
        FaultKind::Status { status: 500 },
        FaultKind::Status { status: 503 },
        FaultKind::RequestLost,
        FaultKind::Truncated,
        FaultKind::Redirect,
        FaultKind::Unauthorized,
        throttled,
    ] {
        let mut bridge = start().await;
        give(&bridge, ALERT, "malicious");
        let id = notify_created(&bridge).await;
        play(&bridge, fault.clone(), Some(2));
        bridge.fetch().await;
        let first = fetch_of(&bridge, &id).await;
        assert_eq!(first["state"], "pending", "{fault:?}");
        assert!(first["next_at"].is_string(), "{fault:?}");

        fetch_for(&mut bridge, SignedDuration::from_mins(3)).await;
        bridge.drain().await;

        assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched", "{fault:?}");
        assert_eq!(asked(&bridge).len(), 3, "{fault:?}");
        assert_eq!(bridge.quarantines().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_at_once() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;
    play(&bridge, FaultKind::Unauthorized, Some(1));
    bridge.fetch().await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
    let tokens = bridge.simulator.calls().iter().filter(|call| call.path.ends_with("/token")).count();
    assert_eq!(tokens, 2);
}

#[tokio::test]
async fn throttling_stops_all_asking_for_as_long_as_graph_says() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let retry_after = Some("120".to_owned());
    play(&bridge, FaultKind::Throttled { retry_after, code: "TooManyRequests".to_owned() }, Some(1));
    notify_created(&bridge).await;
    bridge.fetch().await;

    notify(&bridge, &[of(OTHER, "created")]).await;
    fetch_for(&mut bridge, SignedDuration::from_secs(115)).await;
    assert_eq!(asked(&bridge).len(), 1);
    fetch_for(&mut bridge, SignedDuration::from_secs(10)).await;
    assert!(asked(&bridge).len() >= 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_fetch_wait_longer() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let retry_after = Some("120".to_owned());
    play(&bridge, FaultKind::Throttled { retry_after, code: "TooManyRequests".to_owned() }, Some(1));
    let id = notify_created(&bridge).await;
    bridge.fetch().await;

    bridge.clock.set_by(SignedDuration::from_hours(-2));
    // The loop of the actions is the one that notices.
    bridge.drain().await;
    fetch_for(&mut bridge, SignedDuration::from_secs(115)).await;
    assert_eq!(asked(&bridge).len(), 1, "Graph's wait is kept");
    fetch_for(&mut bridge, SignedDuration::from_secs(10)).await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
}

#[tokio::test]
async fn without_the_permission_it_waits_and_says_which_one_is_missing() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;
    bridge.simulator.with(|state| state.switches.graph_roles.clear());
    fetch_for(&mut bridge, SignedDuration::from_mins(5)).await;
    let waits = fetch_of(&bridge, &id).await;
    assert_eq!(waits["state"], "pending");
    assert!(waits["why"].as_str().unwrap().contains("SecurityAlert.Read.All"), "{waits}");
    assert_eq!(bridge.metric("quarantine_bridge_token_roles_missing{api=\"graph\"}"), Some(1.0));
    assert!(asked(&bridge).is_empty());

    bridge.simulator.with(|state| state.switches.graph_roles.push("SecurityAlert.ReadWrite.All".to_owned()));
    play(&bridge, FaultKind::Forbidden2023, Some(1));
    fetch_for(&mut bridge, SignedDuration::from_secs(65)).await;
    let refused = fetch_of(&bridge, &id).await;
    assert!(refused["why"].as_str().unwrap().contains("SecurityAlert.Read.All"), "{refused}");
    fetch_for(&mut bridge, SignedDuration::from_secs(65)).await;

    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
}

#[tokio::test]
async fn what_cannot_pass_is_given_up_until_the_notification_comes_again() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;
    play(&bridge, FaultKind::Status { status: 400 }, Some(1));
    bridge.fetch().await;
    let failed = fetch_of(&bridge, &id).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["why"].as_str().unwrap().contains("400"), "{failed}");
    assert!(failed["ended_at"].is_string());

    assert_eq!(notify(&bridge, &[of(ALERT, "created")]).await.status, 202);
    bridge.fetch().await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
}

#[tokio::test]
async fn a_replay_of_the_delivery_fetches_again() {
    let mut bridge = start().await;
    let id = notify_created(&bridge).await;
    play(&bridge, FaultKind::Status { status: 410 }, Some(1));
    bridge.fetch().await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "failed");
    give(&bridge, ALERT, "malicious");

    let token = bridge.new_token(&[Scope::DeliveriesReplay]);
    let answer = bridge.post_as(&format!("/v1/deliveries/{id}/replay"), &token, &json!({})).await;
    assert_eq!((answer.status, &answer.body["fetches"][0]["alert_id"]), (202, &json!(ALERT)));
    bridge.fetch().await;
    bridge.drain().await;

    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
    assert_eq!(bridge.quarantines().len(), 1);
}

/// What was fetched before the last notification may be old: it is accepted, and the alert is fetched again.
#[tokio::test]
async fn a_notification_during_a_fetch_makes_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Options { path: folder.path().join("bridge.db") }).unwrap();
    let body = json!({"value": [of(ALERT, "updated")]}).to_string();
    let raw = RawDelivery { body: body.into(), ..RawDelivery::default() };
    let source = "soc".parse().unwrap();
    let now = start_of_time();
    let delivery = verify(&source, &gate(), &raw, now).unwrap();
    let accept = Accept {
        delivery,
        alerts: Vec::new(),
        refused: Vec::new(),
        references: vec![ALERT.parse().unwrap()],
        notices: Vec::new(),
        now,
    };
    assert!(matches!(store.accept(accept.clone()).await.unwrap(), Receipt::New(_)));
    let early = store.due_fetches(now, 10).await.unwrap().pop().unwrap();
    assert!(matches!(store.accept(accept).await.unwrap(), Receipt::Duplicate(_)));

    assert!(store.accept_fetched(early, Vec::new(), Vec::new(), now).await.unwrap().is_some());
    let late = store.due_fetches(now, 10).await.unwrap();
    assert_eq!(late.len(), 1);
    for fetch in late {
        assert!(store.accept_fetched(fetch, Vec::new(), Vec::new(), now).await.unwrap().is_some());
    }
    assert_eq!(store.pending_fetches().await.unwrap(), (0, None));
}

/// Two readers of one row, as after a restart that came too early: the second changes nothing.
#[tokio::test]
async fn what_has_ended_is_not_ended_again() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;
    let stale = bridge.store().due_fetches(bridge.clock.now(), 10).await.unwrap().pop().unwrap();
    let stale_too = bridge.store().due_fetches(bridge.clock.now(), 10).await.unwrap().pop().unwrap();
    bridge.fetch().await;

    bridge.store().fetch_failed(stale, "too late".to_owned(), bridge.clock.now()).await.unwrap();
    let again = bridge.store().accept_fetched(stale_too, Vec::new(), Vec::new(), bridge.clock.now()).await;

    assert_eq!(again.unwrap(), None);
    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
}

#[test]
fn only_what_can_be_part_of_an_address_is_an_id() {
    for good in [ALERT, OTHER, "a", &"a".repeat(128)] {
        assert_eq!(good.parse::<GraphAlertId>().unwrap().as_str(), good);
    }
    for bad in ["", ".", "..", "a/b", "a%2fb", "a b", "a?x", "a#x", "\u{e9}", "a\n", &"a".repeat(129)] {
        assert!(bad.parse::<GraphAlertId>().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn another_alert_than_the_one_asked_for_is_not_taken() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    bridge.simulator.with(|state| {
        state.world.alerts[0]["value"] = json!([alert(OTHER, "malicious", "2026-03-01T12:00:00Z")]);
    });
    let id = notify_created(&bridge).await;
    bridge.fetch().await;
    bridge.drain().await;
    let failed = fetch_of(&bridge, &id).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["why"].as_str().unwrap().contains("another alert"), "{failed}");
    assert!(bridge.quarantines().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_no_alert_or_too_long_is_told() {
    let mut bridge = start().await;
    let id = notify_created(&bridge).await;
    play(&bridge, FaultKind::Garbage, Some(1));
    give(&bridge, ALERT, "malicious");
    bridge.fetch().await;
    let garbage = delivery(&bridge, &id).await;
    assert_eq!(garbage["fetches"][0]["state"], "fetched");
    assert_eq!(garbage["refused"][0]["alert_id"], ALERT);
    assert_eq!(garbage["refused"][0]["problems"][0]["reason"], "json");

    let long = "x".repeat(300 * 1024);
    bridge.simulator.with(|state| state.world.alerts[0]["description"] = json!(long));
    notify(&bridge, &[of(ALERT, "created")]).await;
    bridge.fetch().await;
    let long = fetch_of(&bridge, &id).await;
    assert_eq!(long["state"], "failed");
    assert!(long["why"].as_str().unwrap().contains("256 KiB"), "{long}");
}

#[tokio::test]
async fn a_restart_takes_up_what_was_to_be_fetched() {
    let bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;

    let mut bridge = bridge.restart().await;
    bridge.fetch().await;
    bridge.drain().await;

    assert_eq!(fetch_of(&bridge, &id).await["state"], "fetched");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn what_is_not_fetched_in_time_fails_and_says_why() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let id = notify_created(&bridge).await;
    play(&bridge, FaultKind::Status { status: 500 }, None);
    fetch_for(&mut bridge, SignedDuration::from_mins(59)).await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "pending");
    fetch_for(&mut bridge, SignedDuration::from_mins(3)).await;
    let expired = fetch_of(&bridge, &id).await;
    assert_eq!(expired["state"], "failed");
    assert!(expired["why"].as_str().unwrap().contains("max_age"), "{expired}");
}

#[tokio::test]
async fn notices_about_the_subscription_are_counted_and_nothing_is_done() {
    let mut bridge = start().await;
    let words = ["reauthorizationRequired", "subscriptionRemoved", "missed", "somethingNew"];
    let answer = notify(&bridge, &words.map(lifecycle)).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    bridge.fetch().await;
    bridge.drain().await;

    for notice in ["reauthorizationRequired", "subscriptionRemoved", "missed", "other"] {
        let line =
            format!("quarantine_bridge_subscription_notices_total{{source=\"soc\",notice=\"{notice}\"}}");
        assert_eq!(bridge.metric(&line), Some(1.0), "{notice}");
    }
    assert!(asked(&bridge).is_empty());
    let delivery = delivery(&bridge, answer.body["delivery_id"].as_str().unwrap()).await;
    assert_eq!((&delivery["outcome"], &delivery["fetches"]), (&json!("accepted"), &json!([])));
}

#[tokio::test]
async fn a_mixed_batch_is_taken_apart() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    give(&bridge, OTHER, "unknown");
    let mut with_content = of(OTHER, "updated");
    with_content["encryptedContent"] = json!({"data": "AAAA", "dataKey": "BBBB", "dataSignature": "CCCC"});
    let mut elsewhere = of(ALERT, "created");
    elsewhere["resource"] = json!("security/incidents/7");
    let batch = [
        of(ALERT, "created"),
        of(ALERT, "updated"),
        with_content,
        of("da1_1", "deleted"),
        of("../../users", "created"),
        of("", "created"),
        elsewhere,
        lifecycle("missed"),
    ];
    let answer = notify(&bridge, &batch).await;
    assert_eq!(answer.status, 202);
    let ids: Vec<_> = answer.body["fetches"].as_array().unwrap().iter().map(|it| &it["alert_id"]).collect();
    assert_eq!(ids, [ALERT, OTHER]);
    let refused = answer.body["refused"].as_array().unwrap();
    let reasons: Vec<_> = refused.iter().map(|it| it["problems"][0]["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["settled", "alert_id", "alert_id", "no_target"]);
    bridge.fetch().await;
    bridge.drain().await;

    assert_eq!(asked(&bridge).len(), 2);
    assert_eq!(bridge.quarantines().len(), 1);
    let delivery = delivery(&bridge, answer.body["delivery_id"].as_str().unwrap()).await;
    // Those of the notifications, and that of the alert without a target.
    assert_eq!(delivery["refused"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_wrong_client_state_lets_nothing_in() {
    let mut bridge = start().await;
    give(&bridge, ALERT, "malicious");
    let mut wrong = of(ALERT, "created");
    wrong["clientState"] = json!("client-state-0123456789abcdeF");
    let mut missing = of(ALERT, "created");
    missing.as_object_mut().unwrap().remove("clientState");
    for batch in [vec![wrong.clone()], vec![missing], vec![of(ALERT, "created"), wrong]] {
        assert_eq!(notify(&bridge, &batch).await.status, 401);
    }
    bridge.fetch().await;
    assert!(asked(&bridge).is_empty());
}

#[tokio::test]
async fn graph_is_answered_when_the_subscription_is_made() {
    let bridge = start().await;
    let answer = bridge.send(bridge.request("/v1/hooks/soc?validationToken=Validation%3A+1")).await;
    assert_eq!((answer.status, &answer.body), (200, &json!("Validation: 1")));
}

#[tokio::test]
async fn where_graph_is_not_enabled_any_more_what_waits_fails_in_the_end() {
    let setup = Setup { format: "graph-notification", gate, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    let id = notify_created(&bridge).await;
    bridge.fetch().await;
    let waits = fetch_of(&bridge, &id).await;
    assert!(waits["why"].as_str().unwrap().contains("[graph] is not enabled"), "{waits}");
    bridge.clock.advance(SignedDuration::from_mins(61));
    bridge.fetch().await;
    assert_eq!(fetch_of(&bridge, &id).await["state"], "failed");
}

const GRAPH_SOURCE: &str = r#"
[sources.graph]
format = "graph-notification"
mode = "enforce"
accept_unsigned = true
enforce_unsigned = "I accept the risk"
[sources.graph.policy]
first_actions = 0
[sources.graph.auth]
scheme = "graph"
secrets = [{ file = "client-state" }]
"#;

fn installation(url: &str, graph: &str) -> Installation {
    let installation = Installation::new(url, &format!("{GRAPH_SOURCE}{graph}"));
    installation.write_secret("client-state", STATE);
    installation
}

/// The keys and the words of what is wrong with a configuration.
fn complaints(graph: &str) -> Vec<(String, String)> {
    let installation = installation("http://127.0.0.1:9", graph);
    match load(&installation.config(), Secrets::Read) {
        Ok(_) => Vec::new(),
        Err(complaints) => {
            complaints.0.into_iter().map(|it| (it.key, format!("{} {}", it.problem, it.remedy))).collect()
        }
    }
}

#[test]
fn a_source_of_notifications_needs_graph() {
    for off in ["", "[graph]\nenabled = false\n"] {
        let found = complaints(off);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "sources.graph.format");
        assert!(found[0].1.contains("add [graph] with enabled = true"), "{found:?}");
    }
    assert_eq!(complaints("[graph]\nenabled = true\n"), []);
}

#[test]
fn explain_tells_what_is_fetched() {
    let installation = installation("http://127.0.0.1:9", "[graph]\nenabled = true\n");
    let body = json!({"value": [of(ALERT, "created"), lifecycle("missed")]});
    installation.write("notification.json", &body.to_string());
    let output = installation.run(&["explain", "notification.json", "--source", "graph"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("reference  {ALERT}: fetched from Microsoft Graph")), "{text}");
    assert!(text.contains("notice     missed"), "{text}");
}

/// A format of one's own may refer to alerts too; where nobody fetches them, that is refused and told.
#[tokio::test]
async fn without_graph_a_reference_is_refused_and_told() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.write("mine.jq", "{fetch: .id, found_at: \"$.id\"}");
    installation.edit("format = \"bridge\"", "format_file = \"mine.jq\"");
    installation.write("payload.json", &json!({"id": ALERT}).to_string());
    let told = || {
        let output = installation.run(&["explain", "payload.json", "--source", "soc"]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = told();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("$.id: the body only refers to the alert; with [graph] enabled = true"), "{text}");

    installation.edit("[store]", "[graph]\nenabled = true\n[store]");
    let (code, text) = told();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn bad_values_of_graph_are_told() {
    for (line, key) in [
        ("enabled = 1", "graph.enabled"),
        ("api_url = \"http://graph.microsoft.com\"", "graph.api_url"),
        ("api_url = \"nowhere\"", "graph.api_url"),
        ("scope = 1", "graph.scope"),
        ("token = \"x\"", "graph.token"),
    ] {
        let graph =
            format!("[graph]\n{}{line}\n", if line.contains("enabled") { "" } else { "enabled = true\n" });
        let found = complaints(&graph);
        assert!(found.iter().any(|(found, _)| found == key), "{line}: {found:?}");
    }
}

#[test]
fn another_host_than_microsofts_must_be_allowed() {
    let installation =
        installation("http://127.0.0.1:9", "[graph]\nenabled = true\napi_url = \"https://graph.example\"\n");
    assert!(load(&installation.config(), Secrets::Read).is_ok());
    installation.edit("allow_custom_endpoint = true", "");
    installation.edit("api_url = \"http://127.0.0.1:9\"", "");
    installation.edit("login_url = \"http://127.0.0.1:9\"", "");
    let found = load(&installation.config(), Secrets::Read).unwrap_err().0;
    assert_eq!(found.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["graph.api_url"]);
}

/// The real binary is killed while Graph is being asked; after it is started again, the alert is fetched and acted on.
#[tokio::test]
async fn a_kill_while_graph_is_asked_loses_nothing() {
    let clock = Clock::system();
    let (simulator, _tasks) = simulate(clock.clone());
    let created = clock.now().to_string();
    simulator.with(|state| state.world.alerts.push(alert(ALERT, "malicious", &created)));
    simulator.play(Fault { place: Place::Alerts, kind: FaultKind::Delay { ms: 600_000 }, times: Some(1) });
    let url = simulator.url();
    let installation = installation(&url, &format!("[graph]\nenabled = true\napi_url = \"{url}\"\n"));
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let body = json!({"value": [of(ALERT, "created")]}).to_string();
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(installation.url("/v1/hooks/graph")).header("content-type", "application/json");
    assert_eq!(request.body(body).send().await.unwrap().status(), 202);
    poll("Graph to be asked", || simulator.with(|state| !state.faults.is_waiting(Place::Alerts))).await;
    serving.kill();

    let serving = installation.serve();
    installation.wait_until_ready().await;
    poll("the machine action", || simulator.machine_actions().len() == 1).await;

    assert_eq!(serving.terminate().await, Some(0));
    assert_eq!(simulator.machine_actions()[0].sha1, SHA1);
}
