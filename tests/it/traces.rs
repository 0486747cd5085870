//! Traces: one of each action, from delivery to its end, as a collector gets it over OTLP.

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::traces::Options;
use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::receiver::Receiver;
use crate::harness::{Bridge, MACHINE, SHA1, Setup, poll, simulate};

/// The spans that a collector got, as they came.
fn spans(collector: &Receiver) -> Vec<Value> {
    let mut spans = Vec::new();
    for received in collector.received() {
        assert_eq!(received.headers["content-type"], "application/json");
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        let resource = &body["resourceSpans"][0];
        let name = json!({"key": "service.name", "value": {"stringValue": "quarantine-bridge"}});
        assert_eq!(resource["resource"]["attributes"][0], name);
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().iter().cloned());
    }
    spans
}

fn names(spans: &[Value]) -> Vec<&str> {
    spans.iter().map(|span| span["name"].as_str().unwrap()).collect()
}

fn time(span: &Value, field: &str) -> Timestamp {
    Timestamp::from_nanosecond(span[field].as_str().unwrap().parse().unwrap()).unwrap()
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s str> {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|it| it["key"] == key).and_then(|it| it["value"]["stringValue"].as_str())
}

fn options(collector: &Receiver) -> Options {
    Options::new(collector.base().parse().unwrap())
}

fn set_up(collector: &Receiver) -> Setup {
    Setup { traces: Some(options(collector)), ..Setup::default() }
}

/// One file of many.
fn file(number: u16) -> String {
    format!("{number:040}")
}

fn named<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name} in {spans:?}"))
}

#[tokio::test]
async fn one_trace_has_an_action_from_delivery_to_its_end_across_a_restart() {
    let collector = Receiver::start();
    let mut bridge = Bridge::with(set_up(&collector)).await;
    bridge.trace().await;
    let accepted_at = bridge.clock.now();
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.run_for(SignedDuration::from_secs(10)).await;
    assert_eq!(bridge.state(&id).await, "submitted");
    bridge.trace().await;
    assert!(spans(&collector).is_empty(), "it is told when it is over");

    let mut bridge = bridge.restart().await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
    // The end is on disk, so nothing is lost if the process is gone before it was told.
    let mut bridge = bridge.restart().await;
    bridge.trace().await;
    bridge.trace().await;

    let spans = spans(&collector);
    assert_eq!(
        names(&spans),
        ["action", "accept", "resolve", "decide", "queue", "track", "intent", "call", "succeeded"]
    );
    let trace_id = id.replace('-', "");
    assert!(spans.iter().all(|span| span["traceId"] == trace_id.as_str()), "{spans:?}");
    let (whole, rest) = spans.split_first().unwrap();
    assert_eq!(whole["parentSpanId"], Value::Null);
    assert!(rest.iter().all(|span| span["parentSpanId"] == whole["spanId"]), "{rest:?}");
    let mut ids: Vec<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert!(ids.iter().all(|id| id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit())), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "each span has its own id");
    assert_eq!(time(whole, "startTimeUnixNano"), accepted_at);
    for span in rest {
        let (begin, end) = (time(span, "startTimeUnixNano"), time(span, "endTimeUnixNano"));
        assert!(begin <= end && time(whole, "startTimeUnixNano") <= begin, "{span}");
        assert!(end <= time(whole, "endTimeUnixNano"), "{span}");
    }
    let track = named(&spans, "track");
    assert!(time(track, "endTimeUnixNano") > time(track, "startTimeUnixNano"), "{track}");
    assert_eq!(attribute(whole, "quarantine_bridge.machine_id"), Some(MACHINE));
    assert_eq!(attribute(whole, "quarantine_bridge.sha1"), Some(SHA1));
    assert_eq!(attribute(whole, "quarantine_bridge.alert"), Some("a1"));
    assert_eq!(attribute(whole, "quarantine_bridge.state"), Some("succeeded"));
    let call = named(&spans, "call");
    assert_eq!((call["kind"].as_u64(), call["status"]["code"].as_u64()), (Some(3), Some(1)));
    assert_eq!(attribute(call, "quarantine_bridge.outcome"), Some("accepted"));
    assert_eq!(bridge.metric("quarantine_bridge_traces_total{result=\"sent\"}"), Some(1.0));
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_later_and_one_that_refuses_is_left() {
    let collector = Receiver::start();
    let mut bridge = Bridge::with(set_up(&collector)).await;
    bridge.trace().await;
    for status in [503, 429, 401, 404] {
        let id = bridge.accept(&format!("a{status}"), MACHINE, &file(status)).await;
        bridge.run_for(SignedDuration::from_secs(40)).await;
        assert_eq!(bridge.state(&id).await, "succeeded", "nothing waits for a collector");
        collector.answer(status);
        bridge.trace().await;
        assert_eq!(bridge.metric("quarantine_bridge_traces_total{result=\"dropped\"}"), None, "{status}");
        collector.answer(200);
        let before = spans(&collector).len();
        bridge.trace().await;
        let told = spans(&collector).split_off(before);
        assert_eq!(named(&told, "action")["traceId"], id.replace('-', "").as_str(), "{status}");
    }
    assert_eq!(bridge.metric("quarantine_bridge_traces_total{result=\"sent\"}"), Some(4.0));

    collector.answer(400);
    bridge.accept("a400", MACHINE, &file(400)).await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    bridge.trace().await;
    collector.answer(200);
    let before = collector.received().len();
    bridge.trace().await;
    assert_eq!(collector.received().len(), before, "what was refused is not sent again");
    assert_eq!(bridge.metric("quarantine_bridge_traces_total{result=\"dropped\"}"), Some(1.0));
}

#[tokio::test]
async fn what_nobody_could_be_told_of_is_dropped_and_counted_at_some_time() {
    let collector = Receiver::start();
    let traces = Some(Options { behind_max: 3, ..options(&collector) });
    let mut bridge = Bridge::with(Setup { traces, ..Setup::default() }).await;
    bridge.trace().await;
    collector.answer(503);
    bridge.accept("old", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    bridge.trace().await;
    bridge.clock.advance(SignedDuration::from_mins(11));
    let new = bridge.accept("new", MACHINE, &file(1)).await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    let tried = spans(&collector).len();
    collector.answer(200);

    bridge.trace().await;

    let told = spans(&collector).split_off(tried);
    assert!(
        !told.is_empty() && told.iter().all(|span| span["traceId"] == new.replace('-', "").as_str()),
        "{told:?}"
    );
    assert_eq!(bridge.metric("quarantine_bridge_traces_total{result=\"dropped\"}"), Some(1.0));
    assert_eq!(bridge.metric("quarantine_bridge_traces_total{result=\"sent\"}"), Some(1.0));
}

#[tokio::test]
async fn an_action_of_which_nothing_was_sent_and_one_whose_answer_was_lost_have_traces_too() {
    use quarantine_bridge::simulator::{Fault, FaultKind, Place};
    let collector = Receiver::start();
    let mut bridge = Bridge::with(set_up(&collector)).await;
    bridge.trace().await;
    bridge.simulator.play(Fault { place: Place::Quarantine, kind: FaultKind::AnswerLost, times: Some(1) });
    let lost = bridge.accept("lost", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_mins(3)).await;
    assert_eq!(bridge.state(&lost).await, "succeeded");
    bridge.trace().await;
    let told = spans(&collector);
    let call = named(&told, "call");
    assert_eq!(call["status"]["code"].as_u64(), Some(2), "{call}");
    assert!(names(&told).contains(&"reconcile"), "{:?}", names(&told));

    let before = told.len();
    bridge.reconfigure(|config| {
        config
            .dispatch
            .policies
            .values_mut()
            .for_each(|policy| policy.min_severity = quarantine_bridge::alert::Severity::Critical);
    });
    bridge.accept("mild", MACHINE, &file(1)).await;
    bridge.drain().await;
    bridge.trace().await;
    let told = spans(&collector).split_off(before);
    assert_eq!(names(&told).last(), Some(&"denied"), "{:?}", names(&told));
    assert!(!names(&told).contains(&"call") && !names(&told).contains(&"intent"), "{:?}", names(&told));
}

#[tokio::test]
async fn without_a_collector_nothing_is_kept_and_with_one_only_what_comes_from_then_on_is_told() {
    let collector = Receiver::start();
    let mut bridge = Bridge::start().await;
    bridge.accept("before", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    bridge.trace().await;
    assert_eq!(bridge.store().traced().await.unwrap(), None);
    let traces = options(&collector);
    let mut bridge = bridge.restart_with(|setup| setup.traces = Some(traces)).await;
    bridge.trace().await;
    assert!(spans(&collector).is_empty());
    bridge.clock.advance(SignedDuration::from_mins(11));
    let id = bridge.accept("after", MACHINE, &file(1)).await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    bridge.trace().await;
    let trace = id.replace('-', "");
    assert!(spans(&collector).iter().all(|span| span["traceId"] == trace.as_str()));
}

#[tokio::test]
async fn the_real_service_tells_its_collector() {
    let (simulator, _tasks) = simulate(Clock::system());
    simulator.with(|state| (state.switches.in_progress_after_ms, state.switches.done_after_ms) = (10, 50));
    let collector = Receiver::start();
    let more =
        format!("[dispatch]\nlook_every = \"50ms\"\n[telemetry]\notlp_endpoint = \"{}\"\n", collector.base());
    let installation = Installation::new(&simulator.url(), &more);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    poll("the place in the audit", || mark(&installation).is_some()).await;
    let now = Clock::system().now().to_string();
    let body = json!({"alert_id": "a1", "severity": "high", "occurred_at": now,
                      "targets": [{"machine": MACHINE, "file": SHA1}]});
    let client = Client::builder().no_proxy().build().unwrap();
    let request = installation.signed(&client, &crate::harness::key(), "msg_1", &body.to_string());
    assert_eq!(request.send().await.unwrap().status(), 202);
    poll("the trace", || !spans(&collector).is_empty()).await;
    assert_eq!(names(&spans(&collector)).last(), Some(&"succeeded"));
    assert_eq!(serving.terminate().await, Some(0));
}

fn mark(installation: &Installation) -> Option<i64> {
    let db = rusqlite::Connection::open(installation.path("bridge.db")).unwrap();
    db.query_row("SELECT value FROM marks WHERE name = 'traced_to'", [], |row| row.get(0)).ok()
}

#[test]
fn a_collector_must_be_safe_on_the_way() {
    for (line, words) in [
        ("otlp_endpoint = \"http://collector.example:4318\"", "allow_plain_http = true"),
        ("otlp_endpoint = \"ftp://127.0.0.1\"", "is no base address"),
        ("otlp_endpoint = \"http://127.0.0.1:4318/?a\"", "is no base address"),
        ("otlp_endpoint = \"nowhere\"", "/v1/traces is added"),
        ("otlp_endpoints = \"http://127.0.0.1\"", "do you mean otlp_endpoint?"),
    ] {
        let installation = Installation::new("http://127.0.0.1:9", &format!("[telemetry]\n{line}\n"));
        let (status, _, told) = installation.told(&["check"]);
        assert!(status == 78 && told.contains(words), "{line}: {told}");
    }
    for line in [
        "otlp_endpoint = \"https://collector.example\"",
        "otlp_endpoint = \"http://c:4318\"\nallow_plain_http = true",
    ] {
        let installation = Installation::new("http://127.0.0.1:9", &format!("[telemetry]\n{line}\n"));
        assert_eq!(installation.told(&["check"]).0, 0, "{line}");
    }
}

#[tokio::test]
async fn a_senders_place_in_its_own_trace_is_linked_to() {
    let collector = Receiver::start();
    let mut bridge = Bridge::with(set_up(&collector)).await;
    bridge.trace().await;
    let request = bridge.signed("msg_a1", bridge.alert("a1", MACHINE, SHA1));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01";
    assert_eq!(bridge.send(request.header("traceparent", traceparent)).await.status, 202);
    bridge.accept("a2", &"5".repeat(40), SHA1).await;
    bridge.drain().await;
    bridge.run_for(SignedDuration::from_mins(1)).await;

    bridge.trace().await;

    let spans = spans(&collector);
    let link = json!([{"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f0670000000207"}]);
    let links: Vec<&Value> =
        spans.iter().map(|span| &span["links"]).filter(|links| !links.is_null()).collect();
    assert_eq!(links, [&link]);
    assert_eq!(spans.iter().filter(|span| span["name"] == "action").count(), 2);
}
