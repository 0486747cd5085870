//! A sender's place in a trace of its own: kept with what it brought, shown and told, and believed by nobody.

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Traceparent};
use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::{Bridge, MACHINE, SHA1, Setup};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Delivers an alert with these headers; returns its action.
async fn delivered(bridge: &Bridge, alert_id: &str, traces: &[&str]) -> Value {
    let request = bridge.signed(&format!("msg_{alert_id}"), bridge.alert(alert_id, MACHINE, SHA1));
    let request = traces.iter().fold(request, |request, trace| request.header("traceparent", *trace));
    let answer = bridge.send(request).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    bridge.action(answer.body["alerts"][0]["actions"][0]["id"].as_str().unwrap()).await
}

#[tokio::test]
async fn it_is_kept_with_the_delivery_and_told_with_its_actions() {
    let receiver = Receiver::start();
    let setup = Setup { callbacks: vec![receiver.callback("soar")], ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;

    let action = delivered(&bridge, "a1", &[TRACE]).await;

    assert_eq!(action["traceparent"], TRACE);
    let delivery = format!("/v1/deliveries/{}", action["delivery_id"].as_str().unwrap());
    assert_eq!(bridge.get(&delivery).await.body["traceparent"], TRACE);
    bridge.run_for(SignedDuration::from_mins(1)).await;
    bridge.tell().await;
    assert_eq!(receiver.received()[0].json()["data"]["traceparent"], TRACE);
    // The first delivery of an alert is what brought it, also after a restart.
    let again = bridge.signed("msg_again", bridge.alert("a1", MACHINE, SHA1)).header("traceparent", OTHER);
    assert_eq!(bridge.send(again).await.status, 200);
    let bridge = bridge.restart().await;
    assert_eq!(bridge.action(action["id"].as_str().unwrap()).await["traceparent"], TRACE);
}

#[tokio::test]
async fn what_is_not_of_its_form_is_none_and_nothing_else_goes_by_it() {
    let bridge = Bridge::start().await;
    let bad = ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207", "x", "", &TRACE.to_uppercase()];
    for (n, trace) in bad.iter().enumerate() {
        assert_eq!(
            delivered(&bridge, &format!("a{n}"), &[trace]).await["traceparent"],
            Value::Null,
            "{trace}"
        );
    }
    assert_eq!(delivered(&bridge, "two", &[TRACE, OTHER]).await["traceparent"], Value::Null);
    assert_eq!(delivered(&bridge, "none", &[]).await["traceparent"], Value::Null);
}

#[tokio::test]
async fn whoever_asks_for_an_action_has_one_too() {
    let bridge = Bridge::with(Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }).await;
    let token = bridge.requester("playbook", None);
    let asked =
        json!({"alert_id": "a1", "severity": "high", "machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let request = bridge.request("/v1/actions").bearer_auth(&token).header("traceparent", TRACE);
    let answer = bridge.send(request.body(asked.to_string())).await;
    assert_eq!(bridge.action(answer.body["id"].as_str().unwrap()).await["traceparent"], TRACE);
}

#[test]
fn a_place_in_a_trace_is_of_its_form() {
    for bad in [
        "00-00000000000000000000000000000000-00f0670000000207-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f0670000000207-01",
    ] {
        assert!(bad.parse::<Traceparent>().is_err(), "{bad}");
    }
    assert_eq!(TRACE.parse::<Traceparent>().unwrap().to_string(), TRACE);
}
