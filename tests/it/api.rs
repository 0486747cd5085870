//! Reading back: actions, deliveries, health, metrics, and who may.

use jiff::SignedDuration;
use quarantine_bridge::store::Scope;
use serde_json::json;

use crate::harness::{Bridge, MACHINE, SHA1};

#[tokio::test]
async fn actions_are_listed_newest_first_page_by_page() {
    let bridge = Bridge::start().await;
    for n in 0..7 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }

    let mut seen = Vec::new();
    let mut path = "/v1/actions?limit=3".to_owned();
    for size in [3, 3, 1] {
        let page = bridge.get(&path).await.body;
        let actions = page["actions"].as_array().unwrap();
        assert_eq!(actions.len(), size);
        seen.extend(actions.iter().map(|action| action["alert"]["id"].as_str().unwrap().to_owned()));
        path = format!("/v1/actions?limit=3&cursor={}", page["next_cursor"].as_str().unwrap_or_default());
    }

    assert_eq!(seen, ["a6", "a5", "a4", "a3", "a2", "a1", "a0"]);
    assert!(path.ends_with('='), "the last page has no cursor");
}

#[tokio::test]
async fn actions_are_found_by_state_source_and_alert() {
    let mut bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.run_for(SignedDuration::from_secs(40)).await;
    bridge.accept("a2", MACHINE, SHA1).await;

    let ids = async |query: &str| {
        let page = bridge.get(&format!("/v1/actions?{query}")).await.body;
        let actions = page["actions"].as_array().unwrap().iter();
        actions.map(|action| action["alert"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(ids("state=succeeded").await, ["a1"]);
    assert_eq!(ids("state=accepted").await, ["a2"]);
    assert_eq!(ids("alert_id=a2").await, ["a2"]);
    assert_eq!(ids("source=soc").await, ["a2", "a1"]);
    assert_eq!(ids("source=other").await, Vec::<String>::new());
    assert_eq!(ids("source=soc&state=succeeded&alert_id=a1").await, ["a1"]);
    assert_eq!(ids("source=soc&state=succeeded&alert_id=a2").await, Vec::<String>::new());
}

#[tokio::test]
async fn actions_are_found_by_device_file_and_time() {
    let mut bridge = Bridge::start().await;
    let other = "3333333333cccccccccc3333333333cccccccccc";
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.clock.advance(SignedDuration::from_secs(60));
    bridge.accept("a2", other, SHA1).await;
    bridge.clock.advance(SignedDuration::from_secs(60));
    bridge.accept("a3", MACHINE, other).await;
    let ids = async |bridge: &Bridge, query: &str| {
        let page = bridge.get(&format!("/v1/actions?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        let actions = page.body["actions"].as_array().unwrap().iter();
        actions.map(|action| action["alert"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&bridge, &format!("machine_id={MACHINE}")).await, Vec::<String>::new(), "not known yet");

    bridge.drain().await;

    assert_eq!(ids(&bridge, &format!("machine_id={}", MACHINE.to_uppercase())).await, ["a3", "a1"]);
    assert_eq!(ids(&bridge, &format!("sha1={SHA1}")).await, ["a2", "a1"]);
    assert_eq!(ids(&bridge, &format!("machine_id={MACHINE}&sha1={SHA1}&source=soc")).await, ["a1"]);
    assert_eq!(ids(&bridge, "since=2026-03-01T12:01:00Z").await, ["a3", "a2"]);
    assert_eq!(ids(&bridge, "until=2026-03-01T12:01:00Z").await, ["a1"]);
    let between = "since=2026-03-01T12:01:00Z&until=2026-03-01T12:02:00.000Z&alert_id=a2";
    assert_eq!(ids(&bridge, between).await, ["a2"]);
    let first = bridge.get(&format!("/v1/actions?machine_id={MACHINE}&limit=1")).await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&bridge, &format!("machine_id={MACHINE}&limit=1&cursor={cursor}")).await, ["a1"]);
}

#[tokio::test]
async fn the_document_is_served_as_it_stands() {
    let bridge = Bridge::start().await;
    let answer = bridge.get_openly("/openapi.yaml").await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/yaml"));
    assert_eq!(answer.body, json!(include_str!("../../openapi.yaml")));
}

#[tokio::test]
async fn a_query_that_is_wrong_is_told_and_never_ignored() {
    let bridge = Bridge::start().await;
    for query in [
        "state=done",
        "source=SOC",
        "limit=0",
        "machine_id=ws1",
        "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "since=yesterday",
        "until=",
        "limit=201",
        "limit=x",
        "cursor=x",
        "alert_id=",
        "status=queued",
    ] {
        let answer = bridge.get(&format!("/v1/actions?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.body["type"], "urn:quarantine-bridge:problem:invalid-parameter");
    }
}

#[tokio::test]
async fn a_delivery_is_read_back_as_it_came() {
    let bridge = Bridge::start().await;
    let alert = bridge.alert("a1", MACHINE, SHA1);
    let answer = bridge.post("msg_1", alert.clone()).await;

    let delivery =
        bridge.get(&format!("/v1/deliveries/{}", answer.body["delivery_id"].as_str().unwrap())).await.body;

    assert_eq!(delivery["body"], String::from_utf8(alert).unwrap());
    assert_eq!(delivery["delivery_key"], "msg_1");
    assert_eq!(delivery["source"], "soc");
    assert_eq!(delivery["outcome"], "accepted");
    assert_eq!(delivery["alert_ids"], json!(["a1"]));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let bridge = Bridge::start().await;
    for path in [
        "/v1/actions/018f0000-0000-7000-8000-000000000000",
        "/v1/actions/1",
        "/v1/deliveries/018f0000-0000-7000-8000-000000000000",
        "/v1/deliveries/x",
        "/v1",
        "/",
    ] {
        assert_eq!(bridge.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn every_route_asks_for_its_scope_and_no_other() {
    let bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    let delivery = bridge.action(&id).await["delivery_id"].as_str().unwrap().to_owned();
    let routes = [
        ("/v1/actions".to_owned(), Scope::ActionsRead),
        (format!("/v1/actions/{id}"), Scope::ActionsRead),
        (format!("/v1/deliveries/{delivery}"), Scope::ActionsRead),
        ("/v1/budget".to_owned(), Scope::ActionsRead),
        ("/metrics".to_owned(), Scope::Metrics),
    ];
    for (path, needed) in routes {
        for scope in Scope::ALL {
            let answer = bridge.get_as(&path, &bridge.new_token(&[scope])).await;
            let expected = if scope == needed { 200 } else { 403 };
            assert_eq!(answer.status, expected, "{path} with {scope}");
        }
        assert_eq!(bridge.get_openly(&path).await.status, 401, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(bridge.get_openly(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_token_that_is_wrong_expired_or_malformed_opens_nothing() {
    let bridge = Bridge::start().await;
    let good = bridge.new_token(&[Scope::ActionsRead]);
    let last = if good.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &good[..good.len() - 1]);
    let unknown = format!("qb_{}{}", "0".repeat(12), &good[15..]);
    for token in ["", "x", "qb_", &good[3..], &good.to_uppercase(), &wrong, &unknown, &format!("{good} ")] {
        let answer = bridge.get_as("/v1/actions", token).await;
        // A space at the end is not part of a header's value.
        let expected = if token.trim_end() == good { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{token}");
    }
    assert_eq!(bridge.get_as("/v1/actions", &good).await.status, 200);

    bridge.clock.advance(SignedDuration::from_hours(24 * 365));
    assert_eq!(bridge.get_as("/v1/actions", &good).await.status, 401);
}

#[tokio::test]
async fn tokens_are_kept_as_hashes_only() {
    let bridge = Bridge::start().await;
    let token = bridge.new_token(&[Scope::ActionsRead]);
    let secret = token.rsplit('_').next().unwrap();
    let db = rusqlite::Connection::open(bridge.database()).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let bytes = std::fs::read(bridge.database()).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let mut bridge = Bridge::start().await;
    bridge.accept("a1", MACHINE, SHA1).await;
    bridge.post("msg_2", "{}").await;
    bridge.run_for(SignedDuration::from_secs(40)).await;

    let text = bridge.get("/metrics").await.body;
    let text = text.as_str().unwrap();

    for line in [
        "quarantine_bridge_deliveries_total{source=\"soc\",result=\"new\"} 1",
        "quarantine_bridge_deliveries_total{source=\"soc\",result=\"refused\"} 1",
        "quarantine_bridge_alerts_refused_total{source=\"soc\",reason=\"no_target\"} 1",
        "quarantine_bridge_decisions_total{source=\"soc\",decision=\"send\"} 1",
        "quarantine_bridge_state_changes_total{state=\"succeeded\"} 1",
        "quarantine_bridge_outcomes_total{outcome=\"accepted\"} 1",
        "quarantine_bridge_defender_requests_total{api=\"stop_and_quarantine\",status=\"201\"} 1",
        "quarantine_bridge_budget_left{window=\"hour\"} 1499",
        "quarantine_bridge_actions{state=\"queued\"} 0",
        "quarantine_bridge_sending_paused 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn every_metric_has_a_prefix_a_help_and_a_unit_where_it_needs_one() {
    use quarantine_bridge::telemetry::metric::{ALL, Kind};
    for metric in ALL.into_iter().flatten() {
        assert!(metric.name.starts_with("quarantine_bridge_"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
    }
}
