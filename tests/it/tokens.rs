//! Tokens of the API: what is shown of them, when they were last used, and that one that was taken away opens nothing.

use jiff::SignedDuration;
use quarantine_bridge::store::Scope;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Bridge, poll};

/// The public part of a token.
pub(crate) fn token_id(token: &str) -> String {
    token.split('_').nth(1).unwrap().to_owned()
}

/// The entries of the audit about an act.
fn acts(bridge: &Bridge, act: &str) -> Vec<Value> {
    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let entries = texts.map(|text| serde_json::from_str::<Value>(&text.unwrap()).unwrap());
    entries.filter(|entry| entry["deed"]["act"] == act).collect()
}

async fn shown(bridge: &Bridge, token: &str) -> Value {
    let reader = bridge.token_of("reader", &[Scope::TokensRead]);
    let mut found = bridge.get_as("/v1/tokens?limit=200", &reader).await.body;
    let mut found = found["tokens"].as_array_mut().unwrap().iter_mut();
    found.find(|it| it["id"] == token_id(token)).unwrap().take()
}

/// The last use goes to the disk with the next commit, and nobody waits for that.
fn last_use(bridge: &Bridge, token: &str) -> Option<i64> {
    let db = Connection::open(bridge.database()).unwrap();
    let sql = "SELECT last_used_at FROM tokens WHERE id = ?1";
    db.query_row(sql, [token_id(token)], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_from_the_answer_on() {
    let bridge = Bridge::start().await;
    let leaked = bridge.token_of("grafana", &[Scope::ActionsRead]);
    let lead = bridge.token_of("lead", &[Scope::TokensRevoke]);
    assert_eq!(bridge.get_as("/v1/actions", &leaked).await.status, 200);
    let path = format!("/v1/tokens/{}/revoke", token_id(&leaked));
    for bad in [json!({}), json!({"reason": ""}), json!({"reason": "r", "all": true})] {
        assert_eq!(bridge.post_as(&path, &lead, &bad).await.status, 400, "{bad}");
    }

    let revoked = bridge.post_as(&path, &lead, &json!({"reason": "it was in a ticket"})).await;

    assert_eq!(bridge.get_as("/v1/actions", &leaked).await.status, 401);
    assert_eq!((revoked.status, &revoked.body["status"]), (200, &json!("revoked")));
    let again = bridge.post_as(&path, &lead, &json!({"reason": "another reason"})).await;
    assert_eq!(
        (again.status, &again.body["revoked"]),
        (200, &revoked.body["revoked"]),
        "the first word stands"
    );
    assert_eq!(revoked.body["revoked"]["by"], "token:lead");
    let entries = acts(&bridge, "revoke_token");
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["who"], &entries[0]["deed"]["reason"]),
        (&json!("token:lead"), &json!("it was in a ticket"))
    );
    assert_eq!(entries[0]["deed"]["to"], format!("token {} \"grafana\"", token_id(&leaked)));
    let nobody = bridge.post_as("/v1/tokens/000000000000/revoke", &lead, &json!({"reason": "r"})).await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn the_last_use_is_kept_once_a_minute_and_through_a_restart() {
    let bridge = Bridge::start().await;
    let token = bridge.token_of("grafana", &[Scope::Metrics]);
    assert_eq!(shown(&bridge, &token).await["last_used_at"], Value::Null);
    let first = bridge.clock.now().as_millisecond();
    assert_eq!(bridge.get_as("/v1/actions", &token).await.status, 403, "also a use that was refused is one");
    poll("the first use", || last_use(&bridge, &token) == Some(first)).await;

    bridge.clock.advance(SignedDuration::from_secs(59));
    assert_eq!(bridge.get_as("/metrics", &token).await.status, 200);
    bridge.clock.advance(SignedDuration::from_secs(1));
    // What was left for the writer before this is on disk when this is.
    let lead = bridge.token_of("lead", &[Scope::TokensRevoke]);
    let unused = bridge.token_of("unused", &[Scope::Metrics]);
    let path = format!("/v1/tokens/{}/revoke", token_id(&unused));
    assert_eq!(bridge.post_as(&path, &lead, &json!({"reason": "r"})).await.status, 200);
    assert_eq!(last_use(&bridge, &token), Some(first), "within the minute nothing is written");
    assert_eq!(bridge.get_as("/metrics", &token).await.status, 200);
    poll("the next use", || last_use(&bridge, &token) == Some(first + 60_000)).await;

    let bridge = bridge.restart().await;
    assert_eq!(shown(&bridge, &token).await["last_used_at"], "2026-03-01T12:01:00.000Z");
    let forged = format!("{}{}", &token[..token.len() - 8], "00000000");
    bridge.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(bridge.get_as("/metrics", &forged).await.status, 401);
    assert_eq!(
        shown(&bridge, &token).await["last_used_at"],
        "2026-03-01T12:01:00.000Z",
        "a forged one is none"
    );
}

#[tokio::test]
async fn tokens_are_listed_a_page_at_a_time_without_their_secrets() {
    let bridge = Bridge::start().await;
    let token = bridge.token_of("grafana", &[Scope::Metrics, Scope::ActionsRead]);
    let reader = bridge.token_of("reader", &[Scope::TokensRead]);
    let (mut ids, mut next) = (Vec::new(), String::new());
    loop {
        let page = bridge.get_as(&format!("/v1/tokens?limit=1&cursor={next}"), &reader).await;
        assert!(!page.body.to_string().contains(token.rsplit('_').next().unwrap()));
        ids.extend(
            page.body["tokens"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        match page.body["next_cursor"].as_str() {
            Some(cursor) => next = cursor.to_owned(),
            None => break,
        }
    }
    assert_eq!(ids.len(), 3, "the harness has one too");
    assert!(ids.is_sorted() && ids.contains(&token_id(&token)));

    let one = shown(&bridge, &token).await;
    assert_eq!((&one["name"], &one["scopes"]), (&json!("grafana"), &json!(["metrics", "actions:read"])));
    assert_eq!((&one["status"], &one["revoked"]), (&json!("active"), &Value::Null));
    assert_eq!(bridge.get_as("/v1/tokens?name=x", &reader).await.status, 400);
    bridge.clock.advance(SignedDuration::from_hours(24 * 364));
    let other = bridge.token_of("later", &[Scope::Metrics]);
    assert_eq!(shown(&bridge, &other).await["status"], "active");
    assert_eq!(shown(&bridge, &token).await["status"], "active");
    bridge.clock.advance(SignedDuration::from_hours(24));
    assert_eq!(shown(&bridge, &token).await["status"], "expired");
}

#[tokio::test]
async fn the_command_revokes_beside_a_running_service_and_its_next_request_is_refused() {
    let bridge = Bridge::start().await;
    let token = bridge.token_of("grafana", &[Scope::Metrics]);
    assert_eq!(bridge.get_as("/metrics", &token).await.status, 200);
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation
        .edit("path = \"bridge.db\"", &format!("path = {:?}", bridge.database().display().to_string()));
    let run = |arguments: &[&str]| installation.told(arguments);
    let id = token_id(&token);

    let (code, told, said) = run(&["token", "revoke", &id, "--reason", "it was in a ticket"]);
    assert_eq!(bridge.get_as("/metrics", &token).await.status, 401);

    assert_eq!(code, 0, "{said}");
    assert!(told.contains("revoked") && told.contains("it was in a ticket"), "{told}");
    assert_eq!(run(&["token", "revoke", "000000000000", "--reason", "r"]).0, 1);
    assert_eq!(run(&["token", "revoke", &id, "--reason", " "]).0, 2);
    let (_, listed, _) = run(&["token", "list"]);
    assert!(
        listed.lines().any(|line| line.starts_with(&format!("{id} revoked \"grafana\" [metrics]"))),
        "{listed}"
    );
    let (_, listed, _) = run(&["token", "list", "--json"]);
    let facts: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let one = facts.iter().find(|it| it["id"] == id).unwrap();
    assert_eq!(
        (&one["revoked"]["reason"], &one["status"]),
        (&json!("it was in a ticket"), &json!("revoked"))
    );
    assert!(!listed.contains(token.rsplit('_').next().unwrap()));
    assert!(acts(&bridge, "revoke_token")[0]["who"].as_str().unwrap().starts_with("operator:uid "));
}

#[tokio::test]
async fn a_token_that_opens_nothing_is_counted_by_reason() {
    let bridge = Bridge::start().await;
    let token = bridge.token_of("grafana", &[Scope::ActionsRead]);
    let revoked = bridge.token_of("old", &[Scope::ActionsRead]);
    let lead = bridge.token_of("lead", &[Scope::TokensRevoke]);
    let path = format!("/v1/tokens/{}/revoke", token_id(&revoked));
    assert_eq!(bridge.post_as(&path, &lead, &json!({"reason": "r"})).await.status, 200);
    let last = if token.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &token[..token.len() - 1]);
    let unknown = token.replacen(&token_id(&token), &"0".repeat(token_id(&token).len()), 1);
    let count = |reason: &str| {
        bridge.metric(&format!("quarantine_bridge_caller_failures_total{{reason=\"{reason}\"}}"))
    };

    for (bad, reason) in [(&wrong, "wrong_secret"), (&unknown, "unknown"), (&revoked, "revoked")] {
        assert_eq!(count(reason), None);
        assert_eq!(bridge.get_as("/v1/actions", bad).await.status, 401, "{reason}");
        assert_eq!(count(reason), Some(1.0), "{reason}");
    }
    bridge.clock.advance(SignedDuration::from_hours(24 * 400));
    assert_eq!(bridge.get_as("/v1/actions", &token).await.status, 401);
    assert_eq!(count("expired"), Some(1.0));
}
