//! `GET /v1/sources`, and what deliveries and requests tell of themselves in headers and logs.

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::http::{Quota, Rate};
use quarantine_bridge::ingest::{Gate, SigningKey};
use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Bridge, MACHINE, SHA1, Setup, WHSEC, key};

/// The source `soc`, with a key that ends.
fn gate() -> Gate {
    let ends =
        SigningKey::from_whsec(&WHSEC.to_owned().into(), Some("2027-01-31T00:00:00Z".parse().unwrap()));
    Gate::standard_webhooks(vec![ends.unwrap()]).unwrap()
}

async fn sources(bridge: &Bridge) -> Vec<Value> {
    let answer = bridge.get("/v1/sources").await;
    assert_eq!(answer.status, 200);
    answer.body["sources"].as_array().unwrap().clone()
}

#[tokio::test]
async fn sources_tell_how_they_do() {
    let bridge = Bridge::with(Setup { gate, playbooks: Some(Mode::Shadow), ..Setup::default() }).await;
    let key_id = key().id().to_string();
    let unused = json!({"id": key_id, "last_used_at": null, "not_after": "2027-01-31T00:00:00.000Z"});
    let fresh = json!({"name": "soc", "format": "bridge", "signs_body": true, "believed_at": null,
                       "last_action_at": null, "failures": [], "keys": [unused]});
    let asks = json!({"name": "playbooks", "format": null, "signs_body": false, "believed_at": null,
                      "last_action_at": null, "failures": [], "keys": []});
    assert_eq!(sources(&bridge).await, [asks, fresh]);

    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.clock.advance(SignedDuration::from_secs(60));
    for _ in 0..2 {
        let forged = bridge.signed("msg_2", b"{}".to_vec()).body("{ }");
        assert_eq!(bridge.send(forged).await.status, 401);
    }
    assert_eq!(bridge.send(bridge.request("/v1/hooks/soc").body("{}")).await.status, 401);

    let soc = &sources(&bridge).await[1];
    assert_eq!(soc["believed_at"], "2026-03-01T12:00:00.000Z");
    assert_eq!(soc["last_action_at"], "2026-03-01T12:00:00.000Z");
    assert_eq!(soc["keys"][0]["last_used_at"], "2026-03-01T12:00:00.000Z");
    let at = "2026-03-01T12:01:00.000Z";
    let failures = json!([{"reason": "header_missing", "count": 1, "last_at": at},
                          {"reason": "mismatch", "count": 2, "last_at": at}]);
    assert_eq!(soc["failures"], failures);
    assert!(!soc.to_string().contains(WHSEC));
    let bridge = bridge.restart().await;
    let soc = &sources(&bridge).await[1];
    assert_eq!((&soc["believed_at"], &soc["failures"]), (&Value::Null, &json!([])));
    assert_eq!(soc["last_action_at"], "2026-03-01T12:00:00.000Z");
}

#[tokio::test]
async fn a_sender_is_told_what_is_left_of_its_quota_and_a_stranger_is_not() {
    let quota = Quota { rate: Rate::per_minute(60, 10), retries_429: true };
    let bridge = Bridge::with(Setup { quota, ..Setup::default() }).await;
    let answer = bridge.post("msg_1", bridge.alert("a1", MACHINE, SHA1)).await;
    assert_eq!(answer.headers["ratelimit-policy"], "\"source\";q=10;w=10");
    assert_eq!(answer.headers["ratelimit"], "\"source\";r=9;t=1");
    bridge.clock.advance(SignedDuration::from_millis(500));
    let refused = bridge.post("msg_2", b"{}".to_vec()).await;
    assert_eq!((refused.status, refused.headers["ratelimit"].as_str()), (422, "\"source\";r=8;t=2"));

    let stranger = bridge.send(bridge.request("/v1/hooks/soc").body("{}")).await;

    assert_eq!(stranger.status, 401);
    assert!(!stranger.headers.keys().any(|name| name.starts_with("ratelimit")));
}

#[tokio::test]
async fn a_traceparent_is_in_the_log_if_it_is_one() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01";
    let bad = [
        "00-4BF92F3577B34DA6A3CE929D0E0E4737-00f0670000000207-01",
        "00-00000000000000000000000000000000-00f0670000000208-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4738-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4739-00f0670000000207",
        "ff-4bf92f3577b34da6a3ce929d0e0e473a-00f0670000000207-01",
    ];
    for traceparent in bad.iter().chain([&good]) {
        let request = client.post(installation.url("/v1/hooks/soc")).header("traceparent", *traceparent);
        assert_eq!(request.body("{}").send().await.unwrap().status(), 401);
    }

    assert_eq!(serving.terminate().await, Some(0));

    let log = installation.log();
    assert!(log.contains(good), "{log}");
    assert!(bad.iter().all(|traceparent| !log.contains(traceparent)), "{log}");
}
