//! Schemes over HTTP: addresses with a token, senders that ask or test first, and who gets a 2xx at all.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use quarantine_bridge::alert::{Mode, Who};
use quarantine_bridge::http::{Access, ApiToken, table};
use quarantine_bridge::ingest::{
    ClientStates, Gate, Place, Preset, Scheme, SecretEncoding, Signature, SigningKey, StaticToken, Tokens,
};
use quarantine_bridge::simulator::Machine;
use quarantine_bridge::store::{RevokeToken, Scope};
use reqwest::Client;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::binary::Installation;
use crate::harness::issuer::SigningPair;
use crate::harness::receiver::Receiver;
use crate::harness::{Bridge, MACHINE, SHA1, Setup};
use crate::links::LINK_KEY;
use crate::principals::Issued;
use crate::tokens::token_id;

const TOKEN: &str = "Zk3-a-static-token_9d1f7c2e8b4a6052";
/// Whom the issuer knows.
const CALLER: &str = "0b8bd1e2-52d3-44c6-9a3f-4d9d0c5c9a10";
const NOWHERE: &str = "http://127.0.0.1:9";

fn token(place: &Place) -> StaticToken {
    StaticToken::read(&TOKEN.to_owned().into(), place, None).unwrap()
}

fn tokens(place: Place) -> Gate {
    let tokens = vec![token(&place)];
    Gate::new(Scheme::Tokens(Tokens::new(place, tokens)), Vec::new(), Vec::new())
}

fn graph() -> Gate {
    let states = ClientStates::new(vec![token(&Place::Bearer)]);
    Gate::new(Scheme::ClientStates(states), Vec::new(), Vec::new())
}

fn rapid7() -> Gate {
    let key = SigningKey::read(&TOKEN.to_owned().into(), SecretEncoding::Utf8, None).unwrap();
    let signature = Signature::new(Preset::named("rapid7").unwrap().owned(), vec![key]).unwrap();
    Gate::new(Scheme::Signature(Box::new(signature)), Vec::new(), Vec::new())
}

async fn bridge(gate: fn() -> Gate) -> Bridge {
    Bridge::with(Setup { gate, ..Setup::default() }).await
}

#[tokio::test]
async fn a_token_in_the_path_lets_in_and_nothing_else_does() {
    let bridge = bridge(|| tokens(Place::Path)).await;
    let post = async |path: &str| {
        let body = bridge.alert("a1", MACHINE, SHA1);
        bridge.send(bridge.request(path).body(body)).await.status
    };

    assert_eq!(post(&format!("/v1/hooks/soc/{TOKEN}")).await, 202);
    assert_eq!(post(&format!("/v1/hooks/soc/{TOKEN}x")).await, 401);
    assert_eq!(post("/v1/hooks/soc").await, 401);
    assert_eq!(post(&format!("/v1/hooks/soc?token={TOKEN}")).await, 401);
    assert_eq!(post(&format!("/v1/hooks/other/{TOKEN}")).await, 404);
}

#[tokio::test]
async fn other_sources_have_no_address_with_a_token() {
    let bridge = Bridge::start().await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    let answer = bridge.send(bridge.request(&format!("/v1/hooks/soc/{TOKEN}")).body(body)).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_token_in_the_path_is_in_no_log_line() {
    let installation = Installation::new(NOWHERE, "");
    installation.write_secret("soc-secret", TOKEN);
    installation
        .edit("scheme = \"standard-webhooks\"", "scheme = \"path-token\"\nallow_cidrs = [\"127.0.0.1\"]");
    installation.edit("mode = \"enforce\"", "mode = \"shadow\"\naccept_unsigned = true");
    installation.edit("[server]", "[log]\nlevel = \"trace\"\n[server]");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let url = installation.url(&format!("/v1/hooks/soc/{TOKEN}"));

    let good = client.post(&url).header("content-type", "application/json").body("{}").send().await.unwrap();
    let wrong = client.post(format!("{url}-wrong")).body("{}").send().await.unwrap();

    assert_eq!((good.status().as_u16(), wrong.status().as_u16()), (422, 401));
    assert_eq!(serving.terminate().await, Some(0));
    let log = installation.log();
    assert!(log.contains("was not believed"), "{log}");
    assert!(!log.contains("static-token"), "{log}");
    assert!(!fs::read_to_string(installation.config()).unwrap().contains("static-token"));
}

#[tokio::test]
async fn graph_is_answered_with_its_own_token_and_only_where_graph_sends() {
    let asked = "/v1/hooks/soc?validationToken=Validation%3A+Testing%20%3Cb%3E";
    let with_graph = bridge(graph).await;

    let answer = with_graph.send(with_graph.request(asked)).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, json!("Validation: Testing <b>"));
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    for bad in ["validationToken=a%0D%0Ab", &format!("validationToken={}", "a".repeat(1025)), "other=1"] {
        let answer = with_graph.send(with_graph.request(&format!("/v1/hooks/soc?{bad}"))).await;
        assert_eq!(answer.status, 401, "{bad}");
    }
    let without = Bridge::start().await;
    assert_eq!(without.send(without.request(asked)).await.status, 401);
}

#[tokio::test]
async fn a_test_of_rapid7_is_answered_and_nothing_is_kept_unless_it_is_forged_or_names_an_alert() {
    let bridge = bridge(rapid7).await;
    let mac_of = |body: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
        mac.update(body);
        STANDARD.encode(mac.finalize().into_bytes())
    };
    let sent = |mac: &str, event: &str, body: &[u8]| {
        let request = bridge.request("/v1/hooks/soc").header("x-rapid7-signature", mac);
        bridge.send(request.header("x-rapid7-event", event).body(body.to_vec()))
    };
    let (ping, alert) = (br#"{"message":"test"}"#.as_slice(), bridge.alert("a1", MACHINE, SHA1));

    let test = sent(&mac_of(ping), "test", ping).await;
    let forged = sent("AAAA", "test", ping).await;
    let no_test = sent(&mac_of(ping), "alert", ping).await;
    assert_eq!((test.status, forged.status, no_test.status), (200, 401, 422));
    assert_eq!(bridge.get("/v1/actions").await.body["actions"], json!([]));

    // The header is not signed: whoever adds it on the way does not make an alert vanish.
    let real = sent(&mac_of(&alert), "test", &alert).await;
    assert_eq!(real.status, 202, "{:?}", real.body);
}

#[tokio::test]
async fn an_array_of_alerts_is_answered_alert_by_alert() {
    let bridge = bridge(|| tokens(Place::Bearer)).await;
    let good = |id: &str| -> Value { serde_json::from_slice(&bridge.alert(id, MACHINE, SHA1)).unwrap() };
    let body = json!([good("a1"), {"alert_id": "a2", "targets": []}, good("a3"), good("a1")]).to_string();

    let answer = bridge.send(bridge.request("/v1/hooks/soc").bearer_auth(TOKEN).body(body)).await;

    assert_eq!(answer.status, 202);
    let ids: Vec<_> = answer.body["alerts"].as_array().unwrap().iter().map(|it| &it["alert_id"]).collect();
    assert_eq!(ids, ["a1", "a3", "a1"]);
    assert_eq!(answer.body["refused"][0]["alert_id"], "a2");
    assert_eq!(bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len(), 2);
}

/// What is replayed a month later under the same body is known, and what comes under the same id too.
#[tokio::test]
async fn what_came_thirty_days_ago_is_still_known() {
    let bridge = bridge(|| tokens(Place::Bearer)).await;
    let body = bridge.alert("a1", MACHINE, SHA1);
    let post =
        async || bridge.send(bridge.request("/v1/hooks/soc").bearer_auth(TOKEN).body(body.clone())).await;
    let first = post().await;
    bridge.clock.advance(jiff::SignedDuration::from_hours(24 * 31));

    let again = post().await;

    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(again.body["delivery_id"], first.body["delivery_id"]);
    assert_eq!(again.body["duplicate"], true);
}

/// Everybody at every door, each scope by a token of ours.
#[tokio::test]
async fn nobody_gets_a_2xx_who_should_not() {
    everybody_at_every_door(None).await;
}

/// The same, each scope by an app role in a token of an issuer.
#[tokio::test]
async fn nobody_gets_a_2xx_by_an_issuer_who_should_not() {
    everybody_at_every_door(Some(&Issued::new())).await;
}

/// Whoever holds a scope, by its name: a token of ours, or one of the issuer.
fn of_scopes(bridge: &Bridge, issued: Option<&Issued>) -> Vec<(String, Option<String>)> {
    let token = |scope: Scope| match issued {
        None => bridge.new_token(&[scope]),
        Some(issued) => issued.token(bridge, CALLER, &[scope]),
    };
    Scope::ALL.iter().map(|scope| (scope.to_string(), Some(token(*scope)))).collect()
}

/// Tokens of the issuer, or nearly, with every role there is.
fn bad_tokens(bridge: &Bridge, issued: &Issued) -> Vec<(String, Option<String>)> {
    let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let now = bridge.clock.now();
    let good = issued.claims(CALLER, &all, now);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        issued.key.token(&claims)
    };
    let forged = SigningPair::new(issued.key.kid, issued.key.alg).token(&good);
    let unknown = SigningPair::new("unknown", "ES256").token(&good);
    let header = |alg: &str| json!({"alg": alg, "kid": issued.key.kid}).to_string();
    [
        ("forged", forged),
        ("of an unknown key", unknown),
        ("unsigned", issued.key.sign(&header("none"), &good.to_string())),
        ("signed by a shared secret", issued.key.sign(&header("HS256"), &good.to_string())),
        ("expired", with("exp", json!(now.as_second() - 61))),
        ("of another tenant", with("tid", json!(CALLER))),
        ("of another issuer", with("iss", json!("https://issuer.example"))),
        ("for another service", with("aud", json!("api://other"))),
        ("of version 1", with("ver", json!("1.0"))),
        ("for a person to sign in", with("nonce", json!("n"))),
        ("without a role", with("roles", json!([]))),
        ("with roles that mean nothing here", with("roles", json!(["Admin", "actions:*", "Actions:Read"]))),
    ]
    .map(|(what, token)| (format!("the issuer's token, {what}"), Some(token)))
    .to_vec()
}

/// Who holds what, and the routes that answer 2xx to it. All other pairs must not.
#[expect(clippy::cognitive_complexity, reason = "a long table, and how each of its rows is tried")]
async fn everybody_at_every_door(issued: Option<&Issued>) {
    let receiver = Receiver::start();
    let callbacks = vec![receiver.callback("soar")];
    let gate = || tokens(Place::Bearer);
    let (playbooks, link_key) = (Some(Mode::Enforce), Some(LINK_KEY));
    let principals = issued.map(Issued::principals);
    let setup = Setup { gate, playbooks, principals, link_key, callbacks, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    let named = bridge.alert("a0", MACHINE, SHA1);
    let named =
        String::from_utf8(named).unwrap().replace(&format!("\"id\":\"{MACHINE}\""), "\"ip\":\"203.0.113.9\"");
    let unresolved = bridge.request("/v1/hooks/soc").bearer_auth(TOKEN).body(named);
    let unresolved = bridge.send(unresolved).await.body;
    let held = unresolved["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    bridge.drain().await;
    let accepted = bridge.request("/v1/hooks/soc").bearer_auth(TOKEN).body(bridge.alert("a1", MACHINE, SHA1));
    let accepted = bridge.send(accepted).await.body;
    let action = accepted["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    let delivery = accepted["delivery_id"].as_str().unwrap().to_owned();
    let server = "9".repeat(40);
    let device =
        Machine { id: server.clone(), os_platform: "WindowsServer2022".to_owned(), ..Machine::default() };
    bridge.simulator.with(|state| state.world.machines.push(device));
    let asked = |alert_id: &str| json!({"alert_id": alert_id, "severity": "high", "machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let requested = bridge.post_as("/v1/actions", &bridge.requester("p", None), &asked("r1")).await.body;
    let requested = requested["id"].as_str().unwrap().to_owned();
    let mut waiting = Vec::new();
    for alert_id in ["to approve", "to deny", "to link"] {
        let sent =
            bridge.request("/v1/hooks/soc").bearer_auth(TOKEN).body(bridge.alert(alert_id, &server, SHA1));
        let sent = bridge.send(sent).await.body;
        waiting.push(sent["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned());
    }
    bridge.drain().await;
    bridge.tell().await;
    // One that came to nothing.
    let sent =
        bridge.request("/v1/hooks/soc").bearer_auth(TOKEN).body(bridge.alert("to retry", MACHINE, SHA1));
    let sent = bridge.send(sent).await.body;
    let nothing = sent["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    let (cancel, reason) = (bridge.new_token(&[Scope::ActionsCancel]), json!({"reason": "r"}));
    bridge.post_as(&format!("/v1/actions/{nothing}/cancel"), &cancel, &reason).await;
    let message = receiver.received()[0].id().to_owned();
    let mut holders: Vec<(String, Option<String>)> = vec![
        ("nobody".to_owned(), None),
        ("a stranger's API token".to_owned(), Some(ApiToken::generate().reveal())),
        ("another word".to_owned(), Some("x".repeat(40))),
        ("the source".to_owned(), Some(TOKEN.to_owned())),
    ];
    holders.extend(of_scopes(&bridge, issued));
    if let Some(issued) = issued {
        issued.wait_for_keys(&bridge).await;
        holders.extend(bad_tokens(&bridge, issued));
    }
    let (revoked, ended) = (bridge.new_token(&Scope::ALL), bridge.new_token(&Scope::ALL));
    let (who, now) = (Who::Operator("test".to_owned()), bridge.clock.now());
    let revoke = RevokeToken { id: token_id(&revoked), reason: "r".to_owned(), who, now };
    bridge.store().revoke_token(revoke).await.unwrap();
    let db = Connection::open(bridge.database()).unwrap();
    db.execute(
        "UPDATE tokens SET expires_at = ?1 WHERE id = ?2",
        params![now.as_millisecond(), token_id(&ended)],
    )
    .unwrap();
    holders.push(("a token that was revoked".to_owned(), Some(revoked)));
    holders.push(("a token that has ended".to_owned(), Some(ended)));
    bridge.token_of("alice", &[Scope::ActionsApprove]);
    let spare = token_id(&bridge.new_token(&[Scope::Metrics]));
    let client = Client::builder().no_proxy().build().unwrap();
    let mut tried = 0;
    for (method, template, access) in table() {
        let id = match template {
            "/v1/actions/{id}/complete" => &held,
            "/v1/actions/{id}/approve" => &waiting[0],
            "/v1/actions/{id}/deny" => &waiting[1],
            "/v1/actions/{id}/status" => &requested,
            "/v1/actions/{id}/links" => &waiting[2],
            "/v1/actions/{id}/retry" => &nothing,
            "/v1/tokens/{id}/revoke" => &spare,
            "/v1/callbacks/{name}/messages/{id}/replay" => &message,
            _ if template.contains("deliveries") => &delivery,
            _ => &action,
        };
        let path = template
            .replace("{source}", "soc")
            .replace("{token}", TOKEN)
            .replace("{id}", id)
            .replace("{name}", "soar");
        for (holder, credential) in &holders {
            let request = client.request(method.parse().unwrap(), bridge.url(&path));
            let body = match template {
                "/v1/actions/{id}/complete"
                | "/v1/actions/{id}/cancel"
                | "/v1/actions/{id}/retry"
                | "/v1/actions/{id}/undo"
                | "/v1/actions/{id}/deny"
                | "/v1/kill-switch/on"
                | "/v1/tokens/{id}/revoke"
                | "/v1/callbacks/{name}/messages/{id}/replay"
                | "/v1/callbacks/{name}/replay"
                | "/v1/callbacks/{name}/resume"
                | "/v1/kill-switch/off"
                | "/v1/blast-breaker/close" => b"{\"reason\": \"r\"}".to_vec(),
                "/v1/actions" => asked("r2").to_string().into_bytes(),
                "/v1/openc2" | "/.well-known/openc2" => {
                    br#"{"action": "query", "target": {"features": []}}"#.to_vec()
                }
                "/v1/actions/batch" => json!({"actions": [asked("r3")]}).to_string().into_bytes(),
                "/v1/actions/{id}/approve" => {
                    b"{\"holds\": [\"os\", \"seen_on_device\"], \"reason\": \"r\"}".to_vec()
                }
                "/v1/actions/{id}/links" => b"{\"approver\": \"alice\"}".to_vec(),
                "/v1/undo-marks/remove" => {
                    json!({"machine_id": MACHINE, "sha1": SHA1, "reason": "r"}).to_string().into_bytes()
                }
                _ => bridge.alert("a2", MACHINE, SHA1),
            };
            let request = if method == "POST" { request.body(body) } else { request };
            let request = request.header("content-type", "application/json");
            let request = match credential {
                Some(credential) => request.bearer_auth(credential),
                None => request,
            };
            let status = bridge.send(request).await.status;
            tried += 1;
            let may = may(template, access, holder);
            assert_eq!((200..300).contains(&status), may, "{method} {template} as {holder}: {status}");
        }
    }
    eprintln!("{tried} pairs of route and holder, none let in that should not be");
}

/// Who may, by the table that the service itself goes by.
fn may(template: &str, access: Access, holder: &str) -> bool {
    match access {
        Access::Open => true,
        // There is no such link.
        Access::Link => false,
        // The source's token is for the header, and there is no such address.
        Access::Source => holder == "the source" && !template.ends_with("{token}"),
        Access::Token(scope) => holder == scope.as_str(),
    }
}
