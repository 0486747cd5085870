//! Actions that a caller of the API asks for: what is taken, how far it goes, who may approve it, and that asking again does
//! nothing twice.

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Severity};
use quarantine_bridge::http::{Limits, Quota, Rate};
use quarantine_bridge::ingest::{Gate, Scheme};
use quarantine_bridge::policy::{Guard, Guards};
use quarantine_bridge::store::{Retention, Scope};
use reqwest::RequestBuilder;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup};

const SHA256: &str = "5b1d0c7e9f2a4b6c8d0e1f3a5b7c9d1e2f4a6b8c0d2e4f6a8b0c1d3e5f7a9b1c";

fn setup() -> Setup {
    Setup { playbooks: Some(Mode::Enforce), ..Setup::default() }
}

fn asked(bridge: &Bridge, alert_id: &str) -> Value {
    json!({
        "alert_id": alert_id, "severity": "high", "occurred_at": bridge.clock.now().to_string(),
        "machine": {"id": MACHINE}, "file": {"sha1": SHA1},
    })
}

/// What was asked for with other members.
fn with(mut asked: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        asked[name] = value.clone();
    }
    asked
}

fn keyed(bridge: &Bridge, token: &str, key: &str, body: &Value) -> RequestBuilder {
    bridge.request("/v1/actions").bearer_auth(token).header("idempotency-key", key).body(body.to_string())
}

fn id(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap().to_owned()
}

fn code(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

/// The entries of the audit about requests.
fn audited(bridge: &Bridge) -> Vec<Value> {
    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let entries = texts.map(|text| serde_json::from_str::<Value>(&text.unwrap()).unwrap());
    entries.filter(|entry| entry["deed"]["act"] == "request_action").collect()
}

#[tokio::test]
async fn what_is_asked_for_is_done_and_tells_who_asked() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let change = json!({
        "title": "Malware", "url": "https://siem.example/a1", "note": "run 4711 of contain-host",
        "machine": {"id": MACHINE.to_uppercase(), "dns_name": "WS1.corp.example"},
        "file": {"sha1": SHA1, "sha256": SHA256, "name": "invoice.dll"},
    });
    let asked = with(asked(&bridge, "a1"), &change);

    let answer = bridge.post_as("/v1/actions", &token, &asked).await;

    assert_eq!((answer.status, &answer.body["state"]), (202, &json!("accepted")), "{:?}", answer.body);
    let id = id(&answer);
    assert_eq!(answer.headers["location"], format!("/v1/actions/{id}/status"));
    assert_eq!(answer.headers["retry-after"], "5");
    bridge.run_for(SignedDuration::from_mins(1)).await;
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "succeeded", "{action}");
    let requested = json!({"by": "token:playbook", "mode_max": null, "note": "run 4711 of contain-host"});
    assert_eq!(action["requested"], requested);
    assert_eq!(action["alert"]["title"], "Malware");
    assert_eq!(action["machine"]["dns_name"], "ws1.corp.example");
    assert_eq!(action["file"]["sha256"], SHA256);
    let first = &action["history"][0];
    assert_eq!((&first["who"], &first["why"]), (&json!("token:playbook"), &json!("asked for by the API")));
    let sent = bridge.quarantines();
    assert_eq!(sent.len(), 1);
    let comment = "Stop and quarantine file on machine due to alert a1";
    assert_eq!(sent[0]["body"]["Comment"], comment, "a note is no part of the key");
    let entries = audited(&bridge);
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["who"], &entries[0]["subject"]["action"]),
        (&json!("token:playbook"), &json!(id))
    );
    assert_eq!(entries[0]["deed"]["to"], "source playbooks");
}

#[tokio::test]
async fn a_device_and_a_file_can_be_named_in_other_ways() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let ways = [
        json!({"machine": {"dns_name": "ws1.corp.example"}}),
        json!({"machine": {"aad_device_id": "12f4b2b8-8a7e-4d0d-9b61-2f3a4f5b6c7d"}}),
        json!({"machine": {"ip": "192.0.2.7"}}),
        json!({"file": {"sha256": SHA256}}),
    ];
    for (n, way) in ways.iter().enumerate() {
        let asked = with(asked(&bridge, &format!("a{n}")), way);
        let answer = bridge.post_as("/v1/actions", &token, &asked).await;
        assert_eq!(answer.status, 202, "{way} {:?}", answer.body);
    }
    bridge.drain().await;
    let actions = bridge.get("/v1/actions?source=playbooks").await.body;
    let actions = actions["actions"].as_array().unwrap();
    assert_eq!(actions.len(), ways.len());
    assert!(actions.iter().all(|action| action["state"] != "accepted"));
}

#[tokio::test]
async fn what_is_wrong_is_told_and_nothing_is_kept() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let long = "x".repeat(501);
    let bad = [
        (json!({"alert_id": null}), "alert_id"),
        (json!({"alert_id": ""}), "alert id"),
        (json!({"alert_id": "a\u{202e}1"}), "alert id"),
        (json!({"alert_id": "x".repeat(513)}), "alert id"),
        (json!({"alert_id": 7}), "string"),
        (json!({"severity": null}), "severity"),
        (json!({"severity": "catastrophic"}), "severity"),
        (json!({"machine": null}), "machine"),
        (json!({"machine": {}}), "machine"),
        (json!({"machine": {"id": "../../"}}), "machine.id"),
        (json!({"machine": {"dns_name": "ws1' or 1 eq 1"}}), "machine.dns_name"),
        (json!({"machine": {"dns_name": "localhost"}}), "machine.dns_name"),
        (
            json!({"machine": {"aad_device_id": "00000000-0000-0000-0000-000000000000"}}),
            "machine.aad_device_id",
        ),
        (json!({"machine": {"ip": "127.0.0.1"}}), "machine.ip"),
        (json!({"machine": {"ip": "192.0.2.7"}, "occurred_at": null}), "occurred_at"),
        (json!({"machine": {"id": MACHINE, "name": "ws1"}}), "name"),
        (json!({"machine": {"id": SHA1}}), "same text"),
        (json!({"file": {}}), "file"),
        (json!({"file": {"sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}}), "file.sha1"),
        (json!({"file": {"sha256": "00"}}), "file.sha256"),
        (json!({"file": {"md5": "00"}}), "md5"),
        (json!({"occurred_at": "yesterday"}), "occurred_at"),
        (json!({"title": "two\nlines"}), "title"),
        (json!({"url": "javascript:alert(1)"}), "url"),
        (json!({"mode": "on"}), "mode"),
        (json!({"note": long}), "note"),
        (json!({"note": "a\u{202e}b"}), "note"),
        (json!({"comment": "x"}), "comment"),
        (json!({"source": "soc"}), "source"),
    ];
    for (change, named) in bad {
        let answer = bridge.post_as("/v1/actions", &token, &with(asked(&bridge, "a1"), &change)).await;
        assert_eq!((answer.status, code(&answer)), (400, "invalid-body"), "{change}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{change}: {detail}");
    }
    let twice = r#"{"alert_id": "a1", "alert_id": "a2"}"#;
    let request = bridge.request("/v1/actions").bearer_auth(&token);
    assert_eq!(bridge.send(request.body(twice)).await.status, 400, "a member that stands twice");
    let untyped = bridge.request("/v1/actions").bearer_auth(&token).header("content-type", "text/plain");
    assert_eq!(bridge.send(untyped.body(asked(&bridge, "a1").to_string())).await.status, 415);
    assert_eq!(bridge.get("/v1/actions").await.body["actions"], json!([]));
}

/// The least of what the source, the token and the request say, read again where policy decides.
#[tokio::test]
async fn an_action_goes_no_further_than_source_token_and_request_say() {
    // The same file on the same device, again and again.
    let guards = |guards: &mut Guards| guards.set(Guard::CoolDown, None);
    for source in Mode::ALL {
        let mut bridge = Bridge::with(Setup { playbooks: Some(source), guards, ..setup() }).await;
        for token in [None, Some(Mode::Shadow), Some(Mode::Approve), Some(Mode::Enforce)] {
            for request in [None, Some(Mode::Shadow), Some(Mode::Approve), Some(Mode::Enforce)] {
                let name = format!("{source} {token:?} {request:?}");
                let mode = request.map(Mode::as_str);
                let asked = with(asked(&bridge, &name), &json!({"mode": mode}));
                let answer =
                    bridge.post_as("/v1/actions", &bridge.requester("playbook", token), &asked).await;
                assert_eq!(answer.status, 202, "{name}");
                bridge.run_for(SignedDuration::from_mins(1)).await;
                let least = [Some(source), token, request].into_iter().flatten().min().unwrap();
                let state = match least {
                    Mode::Shadow => "shadowed",
                    Mode::Approve => "held",
                    Mode::Enforce => "succeeded",
                };
                let action = bridge.action(&id(&answer)).await;
                assert_eq!(action["state"], state, "{name}: {action}");
            }
        }
    }
}

#[tokio::test]
async fn the_global_mode_lowers_it_as_well() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", Some(Mode::Approve));
    let answer = bridge.post_as("/v1/actions", &token, &asked(&bridge, "a1")).await;
    bridge.reconfigure(|config| {
        config.dispatch.policies.values_mut().for_each(|policy| policy.mode_max = Mode::Shadow);
    });
    bridge.drain().await;
    assert_eq!(bridge.state(&id(&answer)).await, "shadowed");
}

/// A bit that flips must let nothing go further than was asked for, and nobody approve what they asked for.
#[tokio::test]
async fn how_far_it_may_go_and_who_asked_is_under_the_seal() {
    for flip in ["mode_max = NULL", "requested_by = 'token:another'"] {
        let bridge = Bridge::with(setup()).await;
        let token = bridge.requester("playbook", Some(Mode::Approve));
        let answer = bridge.post_as("/v1/actions", &token, &asked(&bridge, "a1")).await;
        let db = Connection::open(bridge.database()).unwrap();
        let changed = db.execute(&format!("UPDATE actions SET {flip} WHERE id = ?1"), [id(&answer)]).unwrap();
        assert_eq!(changed, 1);
        let cancel = bridge.new_token(&[Scope::ActionsCancel]);
        let path = format!("/v1/actions/{}/cancel", id(&answer));
        let cancelled = bridge.post_as(&path, &cancel, &json!({"reason": "r"})).await;
        assert_eq!(cancelled.status, 503, "{flip}: the seal does not fit");
    }
}

#[tokio::test]
async fn who_asked_cannot_approve_and_another_can() {
    let mut bridge = Bridge::with(Setup { playbooks: Some(Mode::Approve), ..setup() }).await;
    let both = [Scope::ActionsWrite, Scope::ActionsApprove];
    let (first, second) = (bridge.token_of("playbook-1", &both), bridge.token_of("playbook-2", &both));
    let renamed = bridge.token_of("playbook-1", &[Scope::ActionsApprove]);
    let answer = bridge.post_as("/v1/actions", &first, &asked(&bridge, "a1")).await;
    bridge.drain().await;
    let id = id(&answer);
    assert_eq!(bridge.state(&id).await, "held");
    let approve = format!("/v1/actions/{id}/approve");
    let said = json!({"holds": ["mode"], "reason": "looked at it"});

    let own = bridge.post_as(&approve, &first, &said).await;
    let same_name = bridge.post_as(&approve, &renamed, &said).await;
    let others = bridge.post_as(&approve, &second, &said).await;

    assert_eq!((own.status, same_name.status, others.status), (403, 403, 200));
    assert!(own.body["detail"].as_str().unwrap().contains("by asking for it"), "{:?}", own.body);
    bridge.run_for(SignedDuration::from_mins(1)).await;
    assert_eq!(bridge.state(&id).await, "succeeded");
}

#[tokio::test]
async fn only_a_token_of_the_source_asks_for_its_actions() {
    let bridge = Bridge::with(setup()).await;
    let body = asked(&bridge, "a1");
    let reader = bridge.new_token(&[Scope::ActionsRead]);
    assert_eq!(bridge.post_as("/v1/actions", &reader, &body).await.status, 403);
    let delivered = bridge.alert("a1", MACHINE, SHA1);
    let delivered =
        bridge.request("/v1/hooks/playbooks").bearer_auth(bridge.requester("p", None)).body(delivered);
    assert_eq!(bridge.send(delivered).await.status, 401, "no delivery proves such a source");
    let mine = bridge.post_as("/v1/actions", &bridge.requester("p", None), &body).await;
    let others = bridge.accept("a1", MACHINE, "3333333333cccccccccc3333333333cccccccccc").await;
    let status = async |id: &str| {
        bridge.get_as(&format!("/v1/actions/{id}/status"), &bridge.requester("p", None)).await.status
    };
    assert_eq!((status(&id(&mine)).await, status(&others).await), (202, 404));

    // A source that proves itself otherwise asks for nothing by the API, and neither does one that is gone.
    let without = Bridge::with(Setup { playbooks: None, ..Setup::default() }).await;
    let answer = without.post_as("/v1/actions", &without.requester("p", None), &body).await;
    assert_eq!((answer.status, code(&answer)), (409, "source-unknown"));
    let db = Connection::open(bridge.database()).unwrap();
    let token = bridge.requester("p", None);
    db.execute("UPDATE tokens SET source = 'soc'", []).unwrap();
    let answer = bridge.post_as("/v1/actions", &token, &body).await;
    assert_eq!((answer.status, code(&answer)), (409, "source-unknown"));
    db.execute("UPDATE tokens SET source = NULL", []).unwrap();
    assert_eq!(bridge.post_as("/v1/actions", &token, &body).await.status, 403);
}

#[tokio::test]
async fn the_networks_of_the_source_hold_for_its_callers() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    bridge.reconfigure(|config| {
        let playbooks = config.http.sources.iter_mut().find(|source| source.name.as_str() == "playbooks");
        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        playbooks.unwrap().gate = Gate::new(Scheme::ApiTokens, Vec::new(), networks);
    });

    assert_eq!(bridge.post_as("/v1/actions", &token, &asked(&bridge, "a1")).await.status, 401);
}

#[tokio::test]
async fn asking_again_is_answered_about_the_action_that_stands() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let first = bridge.post_as("/v1/actions", &token, &asked(&bridge, "a1")).await;

    let again =
        bridge.post_as("/v1/actions", &token, &with(asked(&bridge, "a1"), &json!({"note": "n"}))).await;

    assert_eq!((again.status, id(&again), &again.body["duplicate"]), (202, id(&first), &json!(true)));
    bridge.run_for(SignedDuration::from_mins(1)).await;
    let by_another = bridge.requester("other", Some(Mode::Shadow));
    let over = bridge.post_as("/v1/actions", &by_another, &asked(&bridge, "a1")).await;
    assert_eq!((over.status, &over.body["state"]), (200, &json!("succeeded")));
    assert_eq!(bridge.action(&id(&first)).await["requested"]["by"], "token:playbook");
    assert_eq!(bridge.quarantines().len(), 1);
    assert_eq!(audited(&bridge).len(), 1);
}

/// Who may only rehearse takes nothing away from who may act, whatever has become of the rehearsal meanwhile, also where retention
/// has deleted it.
#[tokio::test]
async fn what_was_asked_for_in_shadow_is_asked_for_anew_with_more() {
    for (is_over, is_pruned) in [(false, false), (true, false), (true, true)] {
        let mut bridge = Bridge::with(setup()).await;
        let shadow = bridge.requester("rehearsal", Some(Mode::Shadow));
        let playbook = bridge.requester("playbook", Some(Mode::Enforce));
        let body = asked(&bridge, "a1");
        let first = bridge.post_as("/v1/actions", &shadow, &body).await;
        let again = bridge.post_as("/v1/actions", &shadow, &body).await;
        assert_eq!(
            (id(&again), &again.body["duplicate"]),
            (id(&first), &json!(true)),
            "in shadow it is known"
        );
        if is_over {
            bridge.run_for(SignedDuration::from_mins(1)).await;
            assert_eq!(bridge.state(&id(&first)).await, "shadowed");
        }
        if is_pruned {
            bridge.clock.advance(SignedDuration::from_hours(24 * 200));
            bridge.prune().await;
            assert_eq!(bridge.get(&format!("/v1/actions/{}", id(&first))).await.status, 404);
        }
        let body = if is_pruned { asked(&bridge, "a1") } else { body };

        let real = bridge.post_as("/v1/actions", &playbook, &body).await;

        assert_eq!((real.status, &real.body["duplicate"]), (202, &json!(false)), "{real:?}");
        bridge.run_for(SignedDuration::from_mins(1)).await;
        assert_eq!(bridge.state(&id(&real)).await, "succeeded");
        for token in [&playbook, &shadow] {
            let known = bridge.post_as("/v1/actions", token, &body).await;
            assert_eq!(
                (id(&known), &known.body["duplicate"]),
                (id(&real), &json!(true)),
                "what is real stands"
            );
        }
        assert_eq!(bridge.quarantines().len(), 1);
    }
}

#[tokio::test]
async fn a_key_replays_its_answer_through_a_restart_for_its_caller_only() {
    let mut bridge = Bridge::with(setup()).await;
    let (token, other) = (bridge.requester("playbook", None), bridge.requester("other", None));
    let body = asked(&bridge, "a1");
    let first = bridge.send(keyed(&bridge, &token, "\"run 4711\"", &body)).await;
    assert_eq!(first.status, 202);
    bridge.run_for(SignedDuration::from_mins(1)).await;
    let bridge = bridge.restart().await;

    for key in ["\"run 4711\"", "run 4711"] {
        let again = bridge.send(keyed(&bridge, &token, key, &body)).await;
        assert_eq!(
            (again.status, &again.body),
            (202, &first.body),
            "as the first time, whatever became of it"
        );
        assert_eq!(again.headers["location"], first.headers["location"]);
    }
    let reused = bridge.send(keyed(&bridge, &token, "\"run 4711\"", &asked(&bridge, "a2"))).await;
    assert_eq!((reused.status, code(&reused)), (422, "key-reused"));
    let others = bridge.send(keyed(&bridge, &other, "\"run 4711\"", &asked(&bridge, "a3"))).await;
    assert_eq!(others.status, 202, "a key is its caller's");
    bridge.clock.advance(SignedDuration::from_hours(24));
    let after_a_day = bridge.send(keyed(&bridge, &token, "\"run 4711\"", &body)).await;
    assert_eq!(after_a_day.body, first.body);
    for bad in ["", "\"\"", "\"open", "\"a\"b\"", "\"a\\x\"", &"k".repeat(256)] {
        let answer = bridge.send(keyed(&bridge, &token, bad, &body)).await;
        assert_eq!((answer.status, code(&answer)), (400, "invalid-parameter"), "{bad}");
    }
    let twice = keyed(&bridge, &token, "a", &body).header("idempotency-key", "b");
    assert_eq!(bridge.send(twice).await.status, 400);
    assert_eq!(bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_playbook_that_goes_live_under_its_name_is_not_answered_as_in_the_rehearsal() {
    let mut bridge = Bridge::with(setup()).await;
    let rehearsal = bridge.requester("playbook", Some(Mode::Shadow));
    let (live, renewed) = (bridge.requester("playbook", None), bridge.requester("playbook", None));
    let body = asked(&bridge, "a1");
    let shadowed = bridge.send(keyed(&bridge, &rehearsal, "k", &body)).await;
    bridge.drain().await;
    assert_eq!(bridge.state(&id(&shadowed)).await, "shadowed");

    let first = bridge.send(keyed(&bridge, &live, "k", &body)).await;
    let again = bridge.send(keyed(&bridge, &renewed, "k", &body)).await;
    bridge.drain().await;

    assert_ne!(id(&first), id(&shadowed));
    assert_eq!(id(&again), id(&first), "a new token of the same name and limit asks for the same");
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn many_at_once_under_one_key_make_one_action() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let body = asked(&bridge, "a1");
    let all = (0..20).map(|_| bridge.send(keyed(&bridge, &token, "k", &body)));

    let answers = futures_util::future::join_all(all).await;

    let mut ids: Vec<String> = Vec::new();
    for answer in &answers {
        match answer.status {
            202 => ids.push(id(answer)),
            409 => assert_eq!(code(answer), "still-running"),
            other => panic!("{other}"),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(audited(&bridge).len(), 1);
    assert_eq!(bridge.send(keyed(&bridge, &token, "k", &body)).await.status, 202, "no key stays behind");
}

#[tokio::test]
async fn a_batch_has_an_outcome_for_each() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let known = bridge.post_as("/v1/actions", &token, &asked(&bridge, "a1")).await;
    let batch = json!({"actions": [
        asked(&bridge, "a1"), with(asked(&bridge, "a2"), &json!({"file": {}})), asked(&bridge, "a3"),
        with(asked(&bridge, "a3"), &json!({"machine": {"dns_name": "ws2.corp.example"}})), asked(&bridge, "a3"),
    ]});
    let request = || {
        let request = bridge.request("/v1/actions/batch").bearer_auth(&token);
        request.header("idempotency-key", "k").body(batch.to_string())
    };

    let answer = bridge.send(request()).await;

    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let items = answer.body["actions"].as_array().unwrap();
    let told: Vec<_> = items
        .iter()
        .map(|it| (it["status"].as_u64().unwrap(), it["action"]["duplicate"].as_bool()))
        .collect();
    let expected =
        [(202, Some(true)), (400, None), (202, Some(false)), (202, Some(false)), (202, Some(true))];
    assert_eq!(told, expected);
    assert_eq!(items[0]["action"]["id"], known.body["id"]);
    assert_eq!(items[2]["action"]["id"], items[4]["action"]["id"]);
    assert!(items[1]["problem"]["detail"].as_str().unwrap().contains("file"));
    let again = bridge.send(request()).await;
    assert_eq!((again.status, &again.body), (202, &answer.body));
    assert_eq!(bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_batch_is_bounded_and_is_refused_if_nothing_in_it_is_good() {
    let bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let batch = |count: usize| -> Value {
        let one = |n: usize| asked(&bridge, &format!("a{n}"));
        json!({"actions": (0..count).map(one).collect::<Vec<_>>()})
    };
    let post = async |body: Value| bridge.post_as("/v1/actions/batch", &token, &body).await;

    let (none, many, most) = (post(batch(0)).await, post(batch(101)).await, post(batch(100)).await);

    assert_eq!((none.status, many.status, most.status), (400, 413, 202));
    assert_eq!(most.body["actions"].as_array().unwrap().len(), 100);
    let bad = post(json!({"actions": [with(asked(&bridge, "b"), &json!({"severity": "bad"}))]})).await;
    assert_eq!((bad.status, code(&bad)), (422, "unmappable"));
    assert_eq!(bad.body["actions"][0]["status"], 400);
    assert_eq!(bridge.get("/v1/actions?limit=200").await.body["actions"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn the_quota_and_the_queue_bound_requests_as_deliveries() {
    let quota = Quota { rate: Rate::per_minute(60, 2), retries_429: true };
    let bridge = Bridge::with(Setup { quota, ..setup() }).await;
    let token = bridge.requester("playbook", None);
    let post = async |alert_id: &str| bridge.post_as("/v1/actions", &token, &asked(&bridge, alert_id)).await;
    let (first, second) = (post("a1").await, post("a2").await);
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.headers["ratelimit-policy"], "\"source\";q=2;w=2");
    assert_eq!(first.headers["ratelimit"], "\"source\";r=1;t=1");
    assert_eq!(second.headers["ratelimit"], "\"source\";r=0;t=2");
    let over = post("a3").await;
    assert_eq!((over.status, code(&over)), (429, "over-quota"));
    assert_eq!(over.headers["retry-after"], "1");
    assert_eq!(over.headers["ratelimit"], "\"source\";r=0;t=2");
    bridge.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(post("a3").await.status, 202);

    let limits = Limits { unfinished_max: 1, ..Setup::default().limits };
    let full = Bridge::with(Setup { limits, ..setup() }).await;
    let token = full.requester("playbook", None);
    assert_eq!(full.post_as("/v1/actions", &token, &asked(&full, "a1")).await.status, 202);
    let answer = full.post_as("/v1/actions", &token, &asked(&full, "a2")).await;
    assert_eq!((answer.status, code(&answer)), (503, "queue-full"));
}

#[tokio::test]
async fn the_status_is_202_until_the_action_is_over_or_waits_for_a_person() {
    let mut bridge = Bridge::with(setup()).await;
    let token = bridge.requester("playbook", None);
    let answer = bridge.post_as("/v1/actions", &token, &asked(&bridge, "a1")).await;
    let status_url = answer.headers["location"].clone();
    let status = async |bridge: &Bridge| bridge.get_as(&status_url, &token).await;
    let early = status(&bridge).await;
    assert_eq!((early.status, early.headers["retry-after"].as_str()), (202, "5"));
    assert_eq!(early.headers["location"], status_url);
    bridge.run_for(SignedDuration::from_mins(1)).await;
    let late = status(&bridge).await;
    assert_eq!((late.status, &late.body["state"]), (200, &json!("succeeded")));
    assert!(!late.headers.contains_key("retry-after"));

    let held = with(asked(&bridge, "a2"), &json!({"mode": "approve"}));
    let held = bridge.post_as("/v1/actions", &token, &held).await;
    bridge.drain().await;
    let held = bridge.get_as(&held.headers["location"].clone(), &token).await;
    assert_eq!((held.status, &held.body["state"], &held.body["final"]), (200, &json!("held"), &json!(false)));
}

#[tokio::test]
async fn what_retention_has_deleted_is_not_done_again() {
    let retention = Retention { after: SignedDuration::from_hours(24), ..Retention::default() };
    let mut bridge = Bridge::with(Setup { retention, ..setup() }).await;
    let token = bridge.requester("playbook", None);
    let body = asked(&bridge, "a1");
    let answer = bridge.post_as("/v1/actions", &token, &body).await;
    bridge.run_for(SignedDuration::from_mins(1)).await;
    bridge.clock.advance(SignedDuration::from_hours(24 * 3));
    assert_eq!(bridge.prune().await.actions, 1);

    let again = bridge.post_as("/v1/actions", &token, &body).await;

    assert_eq!((again.status, code(&again)), (410, "gone"));
    assert_eq!(bridge.get_as(&answer.headers["location"].clone(), &token).await.status, 404);
}

#[tokio::test]
async fn what_was_asked_for_is_not_read_again_as_a_payload() {
    let bridge = Bridge::with(setup()).await;
    let answer = bridge.post_as("/v1/actions", &bridge.requester("p", None), &asked(&bridge, "a1")).await;
    let delivery = bridge.action(&id(&answer)).await["delivery_id"].as_str().unwrap().to_owned();
    let kept = bridge.get(&format!("/v1/deliveries/{delivery}")).await.body;
    assert_eq!(kept["alert_ids"], json!(["a1"]));
    let replay = bridge.new_token(&[Scope::DeliveriesReplay]);

    let again = bridge.post_as(&format!("/v1/deliveries/{delivery}/replay"), &replay, &json!({})).await;

    assert_eq!((again.status, code(&again)), (409, "not-replayable"));
}

#[tokio::test]
async fn the_severity_floor_and_the_age_of_the_source_hold_for_requests() {
    let mut bridge = Bridge::with(Setup { min_severity: Severity::High, ..setup() }).await;
    let token = bridge.requester("playbook", None);
    let post = async |bridge: &Bridge, body: Value| id(&bridge.post_as("/v1/actions", &token, &body).await);
    let mild = post(&bridge, with(asked(&bridge, "mild"), &json!({"severity": "low"}))).await;
    let old = with(asked(&bridge, "old"), &json!({"occurred_at": "2026-03-01T10:00:00Z"}));
    let old = post(&bridge, old).await;
    let timeless = post(&bridge, with(asked(&bridge, "timeless"), &json!({"occurred_at": null}))).await;

    bridge.drain().await;

    let states = [bridge.state(&mild).await, bridge.state(&old).await, bridge.state(&timeless).await];
    assert_eq!(states, ["denied", "expired", "held"]);
}

#[test]
fn a_token_that_asks_is_bound_to_a_source_that_takes_it() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.edit(
        "[server]",
        "[sources.playbooks]\nmode = \"approve\"\naccept_unsigned = true\n[sources.playbooks.auth]\nscheme = \"api\"\n[server]",
    );
    let create =
        |more: &[&str]| installation.told(&[&["token", "create", "--name", "p", "--json"], more].concat());
    let write = ["--scope", "actions:write"];

    let (code, told, said) = create(&[&write[..], &["--source", "playbooks", "--mode", "approve"]].concat());

    assert_eq!(code, 0, "{said}");
    let facts: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&facts["source"], &facts["mode"]), (&json!("playbooks"), &json!("approve")));
    let (_, listed, _) = installation.told(&["token", "list"]);
    assert!(listed.contains("[actions:write] for source playbooks in mode approve at most"), "{listed}");
    for (more, why) in [
        (&write[..], "needs --source"),
        (&["--scope", "metrics", "--source", "playbooks"], "is for the scope"),
        (&["--scope", "actions:write", "--source", "soc"], "is not \"api\""),
        (&["--scope", "actions:write", "--source", "nobody"], "has no source"),
        (&["--scope", "metrics", "--mode", "shadow"], "--source"),
        (
            &["--scope", "actions:write", "--source", "playbooks", "--mode", "on"],
            "shadow, approve or enforce",
        ),
    ] {
        let (code, _, said) = create(more);
        assert!(code != 0 && said.contains(why), "{more:?}: {said}");
    }
    installation.edit("scheme = \"api\"", "scheme = \"api\"\nallow_cidrs = [\"192.0.2.0/24\"]");
    assert_eq!(installation.told(&["check"]).0, 0);
    installation.edit("mode = \"approve\"", "mode = \"enforce\"\nformat = \"bridge\"");
    let (code, _, said) = installation.told(&["check"]);
    assert_eq!(code, 78);
    assert!(said.contains("sources.playbooks.format: is for payloads"), "{said}");
    assert!(said.contains("enforce_unsigned"), "{said}");
}
