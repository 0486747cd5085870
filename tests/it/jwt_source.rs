//! Sources whose senders show a token of an issuer: deliveries over HTTP, and the configuration.

use std::fs;

use jiff::SignedDuration;
use quarantine_bridge::config::{Config, Secrets, load};
use quarantine_bridge::ingest::jwt::{Algorithm, Caller, CallerClaim, Jwt, KeyAddress};
use quarantine_bridge::mapping::BuiltIn;
use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::issuer::{AUDIENCE, FakeIssuer, PLAYBOOK, SigningPair, claims};
use crate::harness::{Answer, Bridge, CLIENT, MACHINE, SECRET, SHA1, Setup, TENANT, poll, simulate};

/// A bridge whose only source is a playbook with an identity of an issuer.
struct Rig {
    bridge: Bridge,
    issuer: FakeIssuer,
}

impl Rig {
    async fn start(issuer: FakeIssuer) -> Self {
        let jwt = Jwt {
            issuer: issuer.by_discovery(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![Algorithm::Es256],
            callers: vec![Caller { claim: CallerClaim::Oid, value: PLAYBOOK.to_owned() }],
            roles: vec!["Alerts.Send".to_owned()],
            max_age: None,
        };
        let bridge = Bridge::with(Setup { jwt: Some(jwt), ..Setup::default() }).await;
        Self { bridge, issuer }
    }

    fn claims(&self) -> Value {
        claims(&self.issuer.name(), self.bridge.clock.now())
    }

    fn token(&self, key: &SigningPair) -> String {
        key.token(&self.claims())
    }

    async fn post(&self, alert_id: &str, authorization: &str) -> Answer {
        let body = self.bridge.alert(alert_id, MACHINE, SHA1);
        self.bridge
            .send(self.bridge.request("/v1/hooks/soc").header("authorization", authorization).body(body))
            .await
    }

    async fn post_with(&self, alert_id: &str, key: &SigningPair) -> Answer {
        self.post(alert_id, &format!("Bearer {}", self.token(key))).await
    }

    /// Waits until the answer is no longer that nobody knows.
    async fn settled(&self, alert_id: &str, key: &SigningPair) -> Answer {
        for _ in 0..1_000 {
            let answer = self.post_with(alert_id, key).await;
            if answer.status != 503 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
        panic!("the issuer's keys stay unknown");
    }

    async fn wait_for_keys(&self) {
        self.wait_for_fetches("ok", 1.0).await;
    }

    /// Waits until so many fetches have ended so.
    async fn wait_for_fetches(&self, result: &str, count: f64) {
        let line = format!(
            "quarantine_bridge_issuer_fetches_total{{issuer=\"{}\",result=\"{result}\"}}",
            self.issuer.name()
        );
        poll("the issuer's answer", || self.bridge.metric(&line) >= Some(count)).await;
    }

    fn failures(&self, reason: &str) -> Option<f64> {
        let line =
            format!("quarantine_bridge_signature_failures_total{{source=\"soc\",reason=\"{reason}\"}}");
        self.bridge.metric(&line)
    }
}

fn pair(kid: &'static str) -> SigningPair {
    SigningPair::new(kid, "ES256")
}

#[track_caller]
fn is_put_off(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body["type"], "urn:quarantine-bridge:problem:issuer-unavailable");
    assert_eq!(answer.headers["retry-after"], "10");
}

#[tokio::test]
async fn a_delivery_with_a_good_token_is_accepted_once() {
    let key = pair("one");
    let mut rig = Rig::start(FakeIssuer::start(&[&key])).await;
    rig.wait_for_keys().await;

    let first = rig.post_with("a1", &key).await;
    let second = rig.post_with("a1", &key).await;

    assert_eq!((first.status, second.status), (202, 200), "{first:?}");
    rig.bridge.drain().await;
    assert_eq!(rig.bridge.quarantines().len(), 1);
    let delivery = format!("/v1/deliveries/{}", first.body["delivery_id"].as_str().unwrap());
    let delivery = rig.bridge.get(&delivery).await.body;
    assert_eq!(delivery["key_id"], PLAYBOOK);
    assert_eq!(delivery["signed_at"], Value::Null);
    assert!(delivery["delivery_key"].as_str().unwrap().starts_with("sha256:"));
    let uses = format!("quarantine_bridge_key_uses_total{{source=\"soc\",key_id=\"{PLAYBOOK}\"}}");
    assert_eq!(rig.bridge.metric(&uses), Some(2.0));
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let (key, stranger) = (pair("one"), pair("one"));
    let rig = Rig::start(FakeIssuer::start(&[&key])).await;
    rig.wait_for_keys().await;
    let good = format!("Bearer {}", rig.token(&key));
    let body = || rig.bridge.alert("a1", MACHINE, SHA1);
    let hook = || rig.bridge.request("/v1/hooks/soc").body(body());
    let mut expired = rig.claims();
    expired["exp"] = json!(rig.bridge.clock.now().as_second() - 60);
    let requests = [
        ("no token", hook(), "header_missing"),
        (
            "the token twice",
            hook().header("authorization", &good).header("authorization", &good),
            "header_repeated",
        ),
        (
            "a second scheme",
            hook().header("authorization", &good).header("authorization", "Basic eDp5"),
            "header_repeated",
        ),
        ("a token in another header", hook().header("x-authorization", &good), "header_missing"),
        (
            "letters that are not ASCII",
            hook().header("authorization", format!("{good}ä")),
            "header_malformed",
        ),
        (
            "a huge header",
            hook().header("authorization", format!("Bearer {}", "a".repeat(9_000))),
            "header_malformed",
        ),
        ("lower case", hook().header("authorization", good.replace("Bearer", "bearer")), "token_malformed"),
        ("a cut token", hook().header("authorization", &good[..good.len() - 1]), "token_signature"),
        (
            "expired",
            hook().header("authorization", format!("Bearer {}", key.token(&expired))),
            "token_expired",
        ),
        (
            "another's key",
            hook().header("authorization", format!("Bearer {}", rig.token(&stranger))),
            "token_signature",
        ),
        ("a signature as other sources have", rig.bridge.signed("msg_1", body()), "header_missing"),
    ];
    for (what, request, reason) in requests {
        let before = rig.failures(reason).unwrap_or(0.0);
        let answer = rig.bridge.send(request).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(rig.failures(reason), Some(before + 1.0), "{what}");
        assert_eq!(answer.body["detail"], "The signature or token is missing or wrong.", "{what}");
    }
    let in_the_address = rig.bridge.request(&format!("/v1/hooks/soc?access_token={}", rig.token(&key)));
    assert_eq!(rig.bridge.send(in_the_address.body(body())).await.status, 401);
    assert_eq!(rig.bridge.get("/v1/actions").await.body["actions"], json!([]));
    assert_eq!(rig.post("a1", &good).await.status, 202, "and the good one does");
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_taken_without_a_restart_and_an_old_one_ends() {
    let (old, new) = (pair("old"), pair("new"));
    let rig = Rig::start(FakeIssuer::start(&[&old])).await;
    rig.wait_for_keys().await;
    assert_eq!(rig.post_with("a1", &old).await.status, 202);
    rig.bridge.clock.advance(SignedDuration::from_mins(2));
    rig.issuer.set(|answers| answers.keys = vec![new.jwk()]);

    assert_eq!(rig.settled("a2", &new).await.status, 202);
    assert_eq!(rig.post_with("a3", &old).await.status, 401);
    assert_eq!(rig.issuer.asked(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_reaches_the_issuer_once_a_minute() {
    let (key, unknown) = (pair("one"), pair("unknown"));
    let rig = Rig::start(FakeIssuer::start(&[&key])).await;
    rig.wait_for_keys().await;
    for _ in 0..3 {
        rig.bridge.clock.advance(SignedDuration::from_mins(1));
        let asked = rig.issuer.asked();
        assert_eq!(rig.settled("a1", &unknown).await.status, 401);
        let flood = futures_util::future::join_all((0..100).map(|_| rig.post_with("a1", &unknown))).await;
        assert!(flood.iter().all(|answer| answer.status == 401));
        assert_eq!(rig.issuer.asked(), asked + 1);
    }
    // A token that is bad in other ways never makes the service ask.
    rig.bridge.clock.advance(SignedDuration::from_mins(1));
    let mut claims = rig.claims();
    claims["aud"] = json!("api://other");
    let asked = rig.issuer.asked();
    assert_eq!(rig.post("a1", &format!("Bearer {}", unknown.token(&claims))).await.status, 401);
    assert_eq!(rig.post_with("a1", &key).await.status, 202);
    assert_eq!(rig.issuer.asked(), asked);
}

#[tokio::test]
async fn while_the_issuer_is_away_old_keys_serve_for_a_day_and_then_deliveries_are_put_off() {
    let (key, new) = (pair("one"), pair("new"));
    let rig = Rig::start(FakeIssuer::start(&[&key])).await;
    rig.wait_for_keys().await;
    rig.issuer.set(|answers| answers.status = 503);
    rig.bridge.clock.advance(SignedDuration::from_hours(23));
    assert_eq!(rig.post_with("a1", &key).await.status, 202);
    is_put_off(&rig.post_with("a2", &new).await);

    rig.bridge.clock.advance(SignedDuration::from_hours(1));
    is_put_off(&rig.post_with("a3", &key).await);
    is_put_off(&rig.post("a3", "Bearer nonsense").await);
    assert!(rig.failures("token_keys_unavailable") >= Some(3.0));

    // One that is still under way would count from the new time on.
    rig.wait_for_fetches("error", 2.0).await;
    rig.issuer.set(|answers| answers.status = 200);
    rig.bridge.clock.advance(SignedDuration::from_secs(60));
    assert_eq!(rig.settled("a3", &key).await.status, 202);
}

#[tokio::test]
async fn a_service_starts_without_its_issuer() {
    let key = pair("one");
    let issuer = FakeIssuer::start(&[&key]);
    issuer.set(|answers| answers.status = 500);
    let rig = Rig::start(issuer).await;
    assert_eq!(rig.bridge.get_openly("/readyz").await.status, 200);
    is_put_off(&rig.post_with("a1", &key).await);
    rig.issuer.set(|answers| answers.status = 200);
    rig.bridge.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(rig.settled("a1", &key).await.status, 202);
}

/// A source of the real binary with the simulator as its issuer.
fn source(simulator: &str) -> String {
    format!(
        r#"
[sources.playbook]
format = "bridge"
mode = "shadow"
accept_unsigned = true
[sources.playbook.auth]
scheme = "jwt"
issuer = "{simulator}/{TENANT}/v2.0"
audience = ["api://quarantine-bridge"]
allow = {{ azp = ["{CLIENT}"] }}
roles = ["Alerts.Send"]
allow_insecure_loopback = true
"#
    )
}

#[tokio::test]
async fn the_simulator_is_an_issuer_for_a_rehearsal_with_the_real_binary() {
    let (simulator, _tasks) = simulate(quarantine_bridge::clock::Clock::system());
    let installation = Installation::new(&simulator.url(), &source(&simulator.url()));
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}&scope=api://quarantine-bridge/.default"
    );
    let token = client
        .post(format!("{}/{TENANT}/oauth2/v2.0/token", simulator.url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let token: Value = serde_json::from_str(&token.send().await.unwrap().text().await.unwrap()).unwrap();
    let token = token["access_token"].as_str().unwrap();
    let target = json!({"machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let alert = json!({"alert_id": "a1", "severity": "high", "title": "test", "targets": [target],
        "occurred_at": quarantine_bridge::clock::Clock::system().now().to_string()});

    let mut statuses = Vec::new();
    while statuses.last().is_none_or(|status| *status == 503) && statuses.len() < 1_000 {
        let request = client.post(installation.url("/v1/hooks/playbook")).bearer_auth(token);
        let request = request.header("content-type", "application/json").body(alert.to_string());
        statuses.push(request.send().await.unwrap().status().as_u16());
    }

    assert_eq!(statuses.last(), Some(&202), "{statuses:?}\n{}", installation.log());
    assert!(!installation.log().contains(token), "the token is not in the log");
    assert_eq!(serving.terminate().await, Some(0));
}

const GOOD: &str = r#"
scheme = "jwt"
issuer = "https://sts.windows.net/tenant/"
audience = ["api://quarantine-bridge"]
allow = { oid = ["0b8bd1e2"] }
"#;

/// Reads a configuration whose only source has this `[auth]`.
fn read(auth: &str) -> Result<Config, Vec<(String, String)>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarantine-bridge.toml");
    let text = format!(
        r#"
[store]
path = "bridge.db"
[defender]
tenant_id = "t"
client_id = "c"
client_secret = {{ file = "secret" }}
[sources.soc]
format = "bridge"
mode = "approve"
accept_unsigned = true
[sources.soc.auth]
{auth}"#
    );
    fs::write(&path, text).unwrap();
    let complaints = |complaints: quarantine_bridge::config::Complaints| {
        complaints.0.into_iter().map(|it| (it.key, format!("{}; {}", it.problem, it.remedy))).collect()
    };
    load(&path, Secrets::Skip).map_err(complaints)
}

#[test]
fn good_configurations_are_taken() {
    let issuer = |auth: &str| {
        let config = read(auth).unwrap_or_else(|complaints| panic!("{auth}: {complaints:?}"));
        config.http.sources[0].gate.issuer().unwrap().clone()
    };
    let plain = issuer(GOOD);
    assert_eq!(plain.name, "https://sts.windows.net/tenant/");
    assert_eq!(Some(plain.keys), KeyAddress::discovered("https://sts.windows.net/tenant/"));
    let by_address = issuer(&format!("{GOOD}jwks_url = \"https://keys.example/keys?p=1\"\n"));
    assert_eq!(by_address.keys, KeyAddress::Jwks("https://keys.example/keys?p=1".parse().unwrap()));
    let all = r#"
algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
roles = ["A", "B"]
max_token_age = "1h"
allow_insecure_loopback = false
jwks_url = "https://keys.example/keys"
"#;
    let named = GOOD.replace("https://sts.windows.net/tenant/", "a name that is no address");
    assert_eq!(issuer(&format!("{named}{all}")).name, "a name that is no address");
    let here = GOOD.replace("https://sts.windows.net/tenant/", "http://127.0.0.1:8421/tenant/v2.0");
    assert_eq!(
        issuer(&format!("{here}allow_insecure_loopback = true")).name,
        "http://127.0.0.1:8421/tenant/v2.0"
    );
}

#[test]
fn every_bad_value_is_complained_about() {
    let instead = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replace(from, to)
    };
    let and = |more: &str| format!("{GOOD}{more}\n");
    let issuer = |name: &str| instead("https://sts.windows.net/tenant/", name);
    let table = [
        (instead("issuer =", "issuers ="), "issuer", "is missing"),
        (issuer(""), "issuer", "is no issuer"),
        (issuer(" https://sts.windows.net/tenant/"), "issuer", "is no issuer"),
        (issuer("a name"), "issuer", "set jwks_url"),
        (issuer("http://sts.windows.net/tenant/"), "issuer", "not safe"),
        (issuer("http://127.0.0.1:8421/tenant"), "issuer", "allow_insecure_loopback"),
        (issuer("https://user:word@sts.windows.net/tenant/"), "issuer", "not safe"),
        (issuer("https://sts.windows.net/tenant?x=1"), "issuer", "set jwks_url"),
        (issuer("http://10.0.0.1/") + "allow_insecure_loopback = true", "issuer", "not safe"),
        (issuer("ftp://127.0.0.1/") + "allow_insecure_loopback = true", "issuer", "not safe"),
        (and("jwks_url = \"keys\""), "jwks_url", "address of the issuer's key set"),
        (and("jwks_url = \"http://keys.example/\""), "jwks_url", "not safe"),
        (and("jwks_url = \"file:///etc/keys\""), "jwks_url", "not safe"),
        (and("jwks_url = \"https://keys.example/#x\""), "jwks_url", "not safe"),
        (and("allow_insecure_loopback = \"yes\""), "allow_insecure_loopback", "true or false"),
        (instead("audience =", "audiences ="), "audience", "names nobody"),
        (instead("[\"api://quarantine-bridge\"]", "[]"), "audience", "names nobody"),
        (instead("[\"api://quarantine-bridge\"]", "[\"\"]"), "audience", "is in no token"),
        (instead("[\"api://quarantine-bridge\"]", "\"api://quarantine-bridge\""), "audience", "array"),
        (and("algorithms = []"), "algorithms", "names none"),
        (and("algorithms = [\"none\"]"), "algorithms", "not one of"),
        (and("algorithms = [\"RS256\", \"HS256\"]"), "algorithms", "not one of"),
        (and("algorithms = [\"rs256\"]"), "algorithms", "not one of"),
        (and("algorithms = [\"RS512\"]"), "algorithms", "not one of"),
        (instead("allow = { oid = [\"0b8bd1e2\"] }", ""), "allow", "is missing"),
        (instead("{ oid = [\"0b8bd1e2\"] }", "{}"), "allow", "names no caller"),
        (instead("{ oid = [\"0b8bd1e2\"] }", "{ oid = [] }"), "allow", "names no caller"),
        (instead("{ oid = [\"0b8bd1e2\"] }", "[\"0b8bd1e2\"]"), "allow", "a table"),
        (instead("[\"0b8bd1e2\"]", "[\"\"]"), "allow.oid", "is in no token"),
        (instead("[\"0b8bd1e2\"]", &format!("[\"{}\"]", "x".repeat(257))), "allow.oid", "is in no token"),
        (instead("[\"0b8bd1e2\"]", "[\"a\\nb\"]"), "allow.oid", "is in no token"),
        (instead("[\"0b8bd1e2\"]", "[1]"), "allow.oid", "no text"),
        (instead("oid =", "iod ="), "allow.iod", "do you mean"),
        (and("roles = [\"\"]"), "roles", "is in no token"),
        (and("roles = \"A\""), "roles", "array"),
        (and("max_token_age = \"1s\""), "max_token_age", "shorter than a minute"),
        (and("max_token_age = 60"), "max_token_age", "a text"),
        (and("[sources.soc.auth.also]\nscheme = \"bearer\"\nsecrets = []"), "also.scheme", "Authorization"),
        (and(&format!("[sources.soc.auth.also]{GOOD}")), "also.scheme", "Authorization"),
        (and("secrets = []"), "secrets", "not a key"),
        (and("tolerance = \"300s\""), "tolerance", "not a key"),
    ];
    for (auth, key, words) in table {
        let complaints = read(&auth).map(drop).expect_err(&auth);
        let key = format!("sources.soc.auth.{key}");
        let fits = complaints.iter().any(|(have, text)| *have == key && text.contains(words));
        assert!(fits, "{auth}\n{key}: {words}\n{complaints:?}");
    }
}

#[test]
fn a_token_signs_no_body_so_it_must_be_accepted_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarantine-bridge.toml");
    let text = |more: &str| {
        format!(
            "[store]\npath = \"b.db\"\n[defender]\ntenant_id = \"t\"\nclient_id = \"c\"\nclient_secret = {{ file = \"s\" }}\n\
             [sources.soc]\nformat = \"bridge\"\n{more}\n[sources.soc.auth]{GOOD}"
        )
    };
    for (more, key) in [
        ("mode = \"approve\"", "sources.soc.accept_unsigned"),
        ("mode = \"enforce\"\naccept_unsigned = true", "sources.soc.mode"),
    ] {
        fs::write(&path, text(more)).unwrap();
        let complaints = load(&path, Secrets::Skip).unwrap_err();
        assert!(complaints.0.iter().any(|complaint| complaint.key == key), "{complaints}");
    }
    fs::write(
        &path,
        text("mode = \"enforce\"\naccept_unsigned = true\nenforce_unsigned = \"I accept the risk\""),
    )
    .unwrap();
    assert!(load(&path, Secrets::Skip).is_ok());
}

#[test]
fn the_example_for_senders_with_an_identity_is_right_and_has_every_key() {
    let example = include_str!("../../quarantine-bridge.example.toml");
    let (_, block) = example.split_once("# [sources.sentinel]\n").unwrap();
    let (_, block) = block.split_once("# [sources.sentinel.auth]\n").unwrap();
    let lines = block.lines().map_while(|line| line.strip_prefix('#'));
    let auth = lines.map(str::trim_start).collect::<Vec<_>>().join("\n") + "\n";
    let config = read(&auth).unwrap_or_else(|complaints| panic!("{auth}: {complaints:?}"));
    assert!(config.http.sources[0].gate.issuer().is_some());
    let complaints = read(&format!("{auth}no_such_key_anywhere = 1")).map(drop).unwrap_err();
    let (_, text) = complaints.iter().find(|(key, _)| key.ends_with("no_such_key_anywhere")).unwrap();
    let keys = text.split_once("the keys here are ").unwrap().1;
    for key in keys.split(", ").filter(|key| !["also", "allow_cidrs"].contains(key)) {
        assert!(auth.contains(&format!("{key} = ")), "{key} is not in the example");
    }
    // The book's example differs in the values only.
    let page = include_str!("../../docs/sources/entra-id.md");
    let (_, block) = page.split_once("[sources.sentinel.auth]\n").unwrap();
    let (auth, _) = block.split_once("```").unwrap();
    assert!(read(auth).is_ok(), "{auth}");
    assert!(BuiltIn::named("graph-alert-v2").is_some());
}
