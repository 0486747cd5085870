//! Callers of the API that an issuer knows: which of its tokens open what, who they are in the record, and that nobody decides about
//! what they have asked for, whatever they show.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{Mode, Principal, PrincipalId, Who};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::config::{Complaints, Secrets, load};
use quarantine_bridge::http::{Principals, Role};
use quarantine_bridge::ingest::jwt::{Algorithm, Identity, Issuer, JwtError, KeyAddress, KeySet};
use quarantine_bridge::policy::{Guard, Guards};
use quarantine_bridge::store::{Bound, Scope};
use reqwest::Client;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::approvals::server;
use crate::harness::binary::Installation;
use crate::harness::issuer::{FakeIssuer, SigningPair};
use crate::harness::{
    Answer, Bridge, CLIENT, MACHINE, SECRET, SHA1, Setup, TENANT as SIMULATED_TENANT, poll, simulate,
    start_of_time,
};
use crate::links::{LINK_KEY, path_of};

pub(crate) const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const AUDIENCE: &str = "3f0c5d1e-7a2b-4c6d-8e9f-0a1b2c3d4e5f";
const ALICE: &str = "0b8bd1e2-52d3-44c6-9a3f-4d9d0c5c9a10";
const BOB: &str = "1c9ce2f3-63e4-45d7-8b40-5e0e1d6d0b21";

/// An issuer, and a bridge that takes its tokens.
pub(crate) struct Issued {
    pub(crate) issuer: FakeIssuer,
    pub(crate) key: SigningPair,
}

impl Issued {
    pub(crate) fn new() -> Self {
        let key = SigningPair::new("one", "ES256");
        Self { issuer: FakeIssuer::start(&[&key]), key }
    }

    fn identity(&self) -> Identity {
        Identity {
            issuer: self.issuer.by_discovery(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![Algorithm::Es256],
            tenant: Some(TENANT.to_owned()),
            roles: "roles".to_owned(),
        }
    }

    /// A role of each scope's name.
    pub(crate) fn principals(&self) -> Principals {
        let role = |scope: Scope| Role {
            name: scope.to_string(),
            scopes: vec![scope],
            bound: (scope == Scope::ActionsWrite).then(|| bound(None)),
        };
        Principals { identity: self.identity(), roles: Scope::ALL.map(role).to_vec() }
    }

    pub(crate) async fn bridge(&self, setup: Setup) -> Bridge {
        let bridge = Bridge::with(Setup {
            principals: Some(self.principals()),
            playbooks: Some(Mode::Enforce),
            ..setup
        })
        .await;
        self.wait_for_keys(&bridge).await;
        bridge
    }

    pub(crate) async fn wait_for_keys(&self, bridge: &Bridge) {
        let name = self.issuer.name();
        let line = format!("quarantine_bridge_issuer_fetches_total{{issuer=\"{name}\",result=\"ok\"}}");
        poll("the issuer's keys", || bridge.metric(&line) >= Some(1.0)).await;
    }

    /// The claims of a good token, as Entra ID writes them in version 2 for a person.
    pub(crate) fn claims(&self, oid: &str, roles: &[&str], now: Timestamp) -> Value {
        claims(&self.issuer.name(), oid, roles, now)
    }

    pub(crate) fn token(&self, bridge: &Bridge, oid: &str, scopes: &[Scope]) -> String {
        let roles: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        self.key.token(&self.claims(oid, &roles, bridge.clock.now()))
    }
}

fn claims(issuer: &str, oid: &str, roles: &[&str], now: Timestamp) -> Value {
    let now = now.as_second();
    json!({
        "aud": AUDIENCE, "iss": issuer, "iat": now - 300, "nbf": now - 300, "exp": now + 3_600,
        "azp": "5f1d3a90-7f0e-4c0e-8f6f-0d7b6f0a2c11", "azpacr": "0", "oid": oid, "sub": "pairwise",
        "tid": TENANT, "preferred_username": format!("{}@corp.example", if oid == BOB { "bob" } else { "alice" }),
        "roles": roles, "scp": "access", "ver": "2.0",
    })
}

fn bound(mode: Option<Mode>) -> Bound {
    Bound { source: "playbooks".parse().unwrap(), mode }
}

fn asked(alert_id: &str) -> Value {
    json!({"alert_id": alert_id, "severity": "high", "machine": {"id": MACHINE}, "file": {"sha1": SHA1}})
}

fn entries(bridge: &Bridge, act: &str) -> Vec<Value> {
    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let entries = texts.map(|text| serde_json::from_str::<Value>(&text.unwrap()).unwrap());
    entries.filter(|entry| entry["deed"]["act"] == act).collect()
}

/// Approves whatever holds an action.
async fn approve(bridge: &Bridge, id: &str, token: &str) -> Answer {
    let shown = bridge.action(id).await;
    let holds: Vec<&Value> = shown["holds"].as_array().unwrap().iter().map(|hold| &hold["guard"]).collect();
    let body = json!({"holds": holds, "reason": "r"});
    bridge.post_as(&format!("/v1/actions/{id}/approve"), token, &body).await
}

/// What an issuer's token says, against what is wanted, without a service.
static KEY: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("one", "ES256"));

fn identity() -> Identity {
    let name = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let keys = KeyAddress::discovered(&name).unwrap();
    Identity {
        issuer: Issuer { name, keys },
        audiences: vec![AUDIENCE.to_owned()],
        algorithms: vec![Algorithm::Es256],
        tenant: Some(TENANT.to_owned()),
        roles: "roles".to_owned(),
    }
}

fn check_with(identity: &Identity, token: &str) -> Result<(String, Vec<String>), JwtError> {
    let keys = KeySet::parse(json!({"keys": [KEY.jwk()]}).to_string().as_bytes()).unwrap();
    let proven = identity.check(&format!("Bearer {token}"), &keys, start_of_time())?;
    Ok((Who::Principal(proven.principal).principal(), proven.roles))
}

fn good() -> Value {
    claims(&identity().issuer.name, ALICE, &["Bridge.Read"], start_of_time())
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn a_token_proves_who_the_issuer_says_and_nothing_that_is_not_meant_for_us() {
    let id = format!("{TENANT}/{ALICE}");
    let (who, roles) = check_with(&identity(), &KEY.token(&good())).unwrap();
    assert_eq!((who, roles), (format!("oidc:alice@corp.example#{id}"), vec!["Bridge.Read".to_owned()]));

    let now = start_of_time().as_second();
    let no_roles = check_with(&identity(), &KEY.token(&with("roles", Value::Null))).unwrap().1;
    assert_eq!(no_roles, Vec::<String>::new());
    for (what, claims, reason) in [
        ("another issuer", with("iss", json!("https://sts.windows.net/x/")), "token_issuer"),
        ("another audience", with("aud", json!("https://graph.microsoft.com")), "token_audience"),
        ("others besides", with("aud", json!([AUDIENCE, "x"])), "token_audience"),
        ("expired", with("exp", json!(now - 61)), "token_expired"),
        ("no end", with("exp", Value::Null), "token_malformed"),
        ("not yet", with("nbf", json!(now + 61)), "token_early"),
        ("another tenant", with("tid", json!(ALICE)), "token_tenant"),
        ("no tenant", with("tid", Value::Null), "token_tenant"),
        ("version 1", with("ver", json!("1.0")), "token_no_access"),
        ("an ID token", with("azp", Value::Null), "token_no_access"),
        ("an ID token with a nonce", with("nonce", json!("n")), "token_no_access"),
        ("nobody", with("oid", Value::Null), "token_malformed"),
        ("an empty name", with("oid", json!("")), "token_malformed"),
        ("somebody who would be another", with("oid", json!("x#y")), "token_malformed"),
        ("roles that are no texts", with("roles", json!([1])), "token_malformed"),
    ] {
        let error = check_with(&identity(), &KEY.token(&claims)).unwrap_err();
        assert_eq!(error.reason(), reason, "{what}");
        // Whatever else is wrong, its key does not matter: nobody makes the service ask the issuer by it.
        let unknown = SigningPair::new("unknown", "ES256");
        assert_eq!(check_with(&identity(), &unknown.token(&claims)).unwrap_err().reason(), reason, "{what}");
    }
    let none = KEY.sign(r#"{"alg":"none","kid":"one"}"#, &good().to_string());
    assert_eq!(check_with(&identity(), &none), Err(JwtError::Algorithm));
    let shared = KEY.sign(r#"{"alg":"HS256","kid":"one"}"#, &good().to_string());
    assert_eq!(check_with(&identity(), &shared), Err(JwtError::Algorithm));
    let other = SigningPair::new("one", "ES256");
    assert_eq!(check_with(&identity(), &other.token(&good())), Err(JwtError::Signature));
}

#[test]
fn another_issuer_names_its_callers_by_sub_and_roles_as_it_likes() {
    let identity = Identity { tenant: None, roles: "groups".to_owned(), ..identity() };
    let mut claims = with("groups", json!("soc"));
    claims["preferred_username"] = json!("A\u{202e}lice\n\u{0}\u{200b} ");
    let (who, roles) = check_with(&identity, &KEY.token(&claims)).unwrap();
    assert_eq!(who, format!("oidc:Alice#{}/pairwise", identity.issuer.name));
    assert_eq!(roles, ["soc"]);
    // Without a name that shows something, the id is the name.
    claims["preferred_username"] = json!("\u{200b}");
    let id = format!("{}/pairwise", identity.issuer.name);
    assert_eq!(check_with(&identity, &KEY.token(&claims)).unwrap().0, format!("oidc:{id}#{id}"));
}

#[test]
fn whoever_is_kept_is_read_back_as_the_same() {
    let id: PrincipalId = format!("{TENANT}/{ALICE}").parse().unwrap();
    for name in ["alice@corp.example", "a#b", "oidc:x", "#", "a:b#c/d"] {
        let who = Who::Principal(Principal::new(id.clone(), name));
        assert_eq!(who.principal().parse(), Ok(who.clone()), "{name}");
        assert_eq!(who.person(), format!("oidc:{id}"));
    }
    assert!("oidc:alice".parse::<Who>().is_err(), "nobody is known by a name alone");
}

#[tokio::test]
async fn roles_open_what_they_are_mapped_to_and_the_record_names_who_it_was() {
    let issued = Issued::new();
    let bridge = issued.bridge(Setup::default()).await;
    let reader = issued.token(&bridge, ALICE, &[Scope::ActionsRead, Scope::AuditRead]);

    assert_eq!(bridge.get_as("/v1/actions", &reader).await.status, 200);
    let refused = bridge.post_as("/v1/kill-switch/on", &reader, &json!({"reason": "r"})).await;
    assert_eq!(refused.status, 403);
    let switcher = issued.token(&bridge, ALICE, &[Scope::KillSwitchOn]);
    let on = bridge.post_as("/v1/kill-switch/on", &switcher, &json!({"reason": "r"})).await;

    assert_eq!((on.status, &on.body["by"]), (200, &json!("oidc:alice@corp.example")));
    let entry = &entries(&bridge, "turn_kill_switch_on")[0];
    assert_eq!(entry["who"], "oidc:alice@corp.example");
    assert_eq!(entry["principal"], format!("{TENANT}/{ALICE}"));
    assert_eq!(entry.get("token"), None);
    let page = bridge.get_as("/v1/audit", &reader).await;
    assert_eq!(page.status, 200, "{:?}", page.body);
}

#[tokio::test]
async fn a_playbook_with_an_identity_asks_and_nobody_decides_about_their_own() {
    let issued = Issued::new();
    let mut bridge = issued.bridge(Setup::default()).await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let both = [Scope::ActionsWrite, Scope::ActionsApprove, Scope::ActionsRead];
    let alice = issued.token(&bridge, ALICE, &both);

    let taken = bridge.post_as("/v1/actions", &alice, &asked("a1")).await;
    assert_eq!(taken.status, 202, "{:?}", taken.body);
    let id = taken.body["id"].as_str().unwrap().to_owned();
    bridge.drain().await;
    let shown = bridge.action(&id).await;
    assert_eq!(
        (&shown["state"], &shown["requested"]["by"]),
        (&json!("held"), &json!("oidc:alice@corp.example"))
    );
    let delivery = format!("/v1/deliveries/{}", shown["delivery_id"].as_str().unwrap());
    assert_eq!(bridge.get(&delivery).await.body["key_id"], format!("{TENANT}/{ALICE}"));
    let status = bridge.get_as(&format!("/v1/actions/{id}/status"), &alice).await;
    assert_eq!(status.status, 200);

    assert_eq!(approve(&bridge, &id, &alice).await.status, 403, "by the token that asked");
    // Another application, another name, capitals: it is the same person.
    let mut other = issued.claims(ALICE, &["actions:approve"], bridge.clock.now());
    other["azp"] = json!("99999999-0000-0000-0000-000000000000");
    other["preferred_username"] = json!("alice.smith@corp.example");
    assert_eq!(approve(&bridge, &id, &issued.key.token(&other)).await.status, 403, "by another token");
    // Our own token under the name that the issuer gives may be the same person's.
    let ours = bridge.token_of("Alice@corp.example", &[Scope::ActionsApprove]);
    assert_eq!(approve(&bridge, &id, &ours).await.status, 403, "by a token of ours");
    let namesake = {
        let mut claims = issued.claims(BOB, &["actions:approve"], bridge.clock.now());
        claims["preferred_username"] = json!("playbooks");
        issued.key.token(&claims)
    };
    assert_eq!(approve(&bridge, &id, &namesake).await.status, 403, "by the source's namesake");

    let bob = issued.token(&bridge, BOB, &[Scope::ActionsApprove]);
    let approved = approve(&bridge, &id, &bob).await;
    assert_eq!(approved.status, 200, "{:?}", approved.body);
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
    let entry = &entries(&bridge, "approve_action")[0];
    assert_eq!(entry["principal"], format!("{TENANT}/{BOB}"));
}

#[tokio::test]
async fn one_person_counts_once_whatever_they_show() {
    let issued = Issued::new();
    let two = |guards: &mut Guards| {
        guards.set_approvers(Guard::Os, 2);
    };
    let mut bridge = issued.bridge(Setup { guards: two, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;

    let by_issuer = issued.token(&bridge, ALICE, &[Scope::ActionsApprove]);
    let ours = bridge.token_of("alice@corp.example", &[Scope::ActionsApprove]);
    assert_eq!(approve(&bridge, &id, &by_issuer).await.status, 202);
    let again = approve(&bridge, &id, &ours).await;
    assert_eq!((again.status, &again.body["state"]), (200, &json!("held")), "it was said before");
    let bob = issued.token(&bridge, BOB, &[Scope::ActionsApprove]);
    assert_eq!(approve(&bridge, &id, &bob).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
}

/// A person can ask Entra ID for tokens that do not show their name.
#[tokio::test]
async fn whoever_shows_no_name_may_hold_any_token_of_ours() {
    let issued = Issued::new();
    let two = |guards: &mut Guards| {
        guards.set_approvers(Guard::Os, 2);
    };
    let mut bridge = issued.bridge(Setup { guards: two, ..Setup::default() }).await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let nameless = |oid: &str, roles: &[&str]| {
        let mut claims = issued.claims(oid, roles, bridge.clock.now());
        claims.as_object_mut().unwrap().remove("preferred_username");
        issued.key.token(&claims)
    };
    let asker = nameless(ALICE, &["actions:write"]);
    let hidden = nameless(ALICE, &["actions:approve"]);
    let program = {
        let mut claims = issued.claims(ALICE, &["actions:write"], bridge.clock.now());
        let members = claims.as_object_mut().unwrap();
        members.retain(|name, _| name != "preferred_username" && name != "scp");
        members.insert("sub".to_owned(), json!(ALICE));
        issued.key.token(&claims)
    };
    let ours = bridge.token_of("alice@corp.example", &[Scope::ActionsApprove]);
    let bob = issued.token(&bridge, BOB, &[Scope::ActionsApprove]);

    let by_a_person = bridge.post_as("/v1/actions", &asker, &asked("a1")).await;
    let by_a_program = bridge.post_as("/v1/actions", &program, &asked("a2")).await;
    let delivered = bridge.accept("a3", MACHINE, SHA1).await;
    bridge.drain().await;
    let id = |answer: &Answer| answer.body["id"].as_str().unwrap().to_owned();

    assert_eq!(approve(&bridge, &id(&by_a_person), &ours).await.status, 403, "it may be its own request");
    assert_eq!(
        approve(&bridge, &id(&by_a_person), &bob).await.status,
        202,
        "an issuer tells two persons apart"
    );
    assert_eq!(approve(&bridge, &id(&by_a_program), &ours).await.status, 202, "an application is nobody's");

    assert_eq!(approve(&bridge, &delivered, &ours).await.status, 202);
    let again = approve(&bridge, &delivered, &hidden).await;
    assert_eq!((again.status, &again.body["state"]), (200, &json!("held")), "it may have been said before");
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 0);
    assert_eq!(approve(&bridge, &delivered, &bob).await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn roles_that_are_for_two_sources_ask_for_none_and_a_mode_is_a_limit() {
    let issued = Issued::new();
    let role = |name: &str, bound: Bound| Role {
        name: name.to_owned(),
        scopes: vec![Scope::ActionsWrite, Scope::ActionsRetry],
        bound: Some(bound),
    };
    let other = Bound { source: "other".parse().unwrap(), mode: None };
    let roles = vec![role("Ask", bound(Some(Mode::Approve))), role("AskOther", other)];
    let principals = Principals { roles, ..issued.principals() };
    let setup = Setup { playbooks: Some(Mode::Enforce), principals: Some(principals), ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    issued.wait_for_keys(&bridge).await;
    let token = |roles: &[&str]| issued.key.token(&issued.claims(ALICE, roles, bridge.clock.now()));
    let (of_both, of_one) = (token(&["Ask", "AskOther"]), token(&["Ask"]));

    let both = bridge.post_as("/v1/actions", &of_both, &asked("a1")).await;
    let one = bridge.post_as("/v1/actions", &of_one, &asked("a1")).await;

    assert_eq!((both.status, one.status), (403, 202), "{:?}", both.body);
    bridge.drain().await;
    let id = one.body["id"].as_str().unwrap();
    assert_eq!(bridge.state(id).await, "held");
    // Nor do they have anything tried again, which would know no limit.
    let (path, said) = (format!("/v1/actions/{id}/retry"), json!({"reason": "r"}));
    assert_eq!(bridge.post_as(&path, &of_both, &said).await.status, 403);
    assert_eq!(bridge.post_as(&path, &of_one, &said).await.status, 409, "a held action is not over");
}

#[tokio::test]
async fn without_the_issuer_nobody_is_let_in_and_our_own_tokens_still_are() {
    let issued = Issued::new();
    issued.issuer.set(|answers| answers.status = 500);
    let bridge = Bridge::with(Setup { principals: Some(issued.principals()), ..Setup::default() }).await;
    let token = issued.token(&bridge, ALICE, &[Scope::ActionsRead]);

    let away = bridge.get_as("/v1/actions", &token).await;
    assert_eq!((away.status, &away.headers["retry-after"]), (503, &"10".to_owned()));
    assert_eq!(away.body["type"], "urn:quarantine-bridge:problem:issuer-unavailable");
    assert_eq!(bridge.get("/v1/actions").await.status, 200);
    // What is no such token in any case is no reason to ask again.
    let mut expired = issued.claims(ALICE, &["actions:read"], bridge.clock.now());
    expired["exp"] = json!(0);
    for bad in [issued.key.token(&expired), "qb_0123".to_owned(), "nonsense".to_owned()] {
        assert_eq!(bridge.get_as("/v1/actions", &bad).await.status, 401, "{bad}");
    }
    let failures = |reason: &str| {
        bridge.metric(&format!("quarantine_bridge_caller_failures_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((failures("token_expired"), failures("token_malformed")), (Some(1.0), Some(2.0)));
    assert_eq!(failures("keys_unavailable"), Some(1.0));

    issued.issuer.set(|answers| answers.status = 200);
    bridge.clock.advance(SignedDuration::from_secs(10));
    let mut status = 503;
    for _ in 0..1_000 {
        status = bridge.get_as("/v1/actions", &token).await.status;
        if status != 503 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_reaches_the_issuer_once_a_minute() {
    let issued = Issued::new();
    let bridge = issued.bridge(Setup::default()).await;
    let unknown = SigningPair::new("unknown", "ES256");
    let forged = unknown.token(&issued.claims(ALICE, &["actions:read"], bridge.clock.now()));
    let asked = issued.issuer.asked();
    let flood = async || {
        futures_util::future::join_all((0..100).map(|_| bridge.get_as("/v1/actions", &forged))).await
    };

    assert!(flood().await.iter().all(|answer| answer.status == 401), "just fetched: there is no such key");
    assert_eq!(issued.issuer.asked(), asked);
    bridge.clock.advance(SignedDuration::from_mins(1));
    assert!(flood().await.iter().all(|answer| matches!(answer.status, 401 | 503)));
    assert!(flood().await.iter().all(|answer| answer.status == 401));
    assert_eq!(issued.issuer.asked(), asked + 1);
}

#[tokio::test]
async fn other_roles_count_from_the_reload_on_and_without_the_section_nobody_is_let_in() {
    let issued = Issued::new();
    let bridge = issued.bridge(Setup::default()).await;
    let token = issued.token(&bridge, ALICE, &[Scope::ActionsRead]);
    let status = async || bridge.get_as("/v1/actions", &token).await.status;

    assert_eq!(status().await, 200);
    let none = Principals { roles: Vec::new(), ..issued.principals() };
    bridge.reconfigure(|config| config.http.principals = Some(none));
    assert_eq!(status().await, 403);
    bridge.reconfigure(|config| config.http.principals = None);
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let issued = Issued::new();
    let bridge = issued.bridge(Setup::default()).await;
    let token = issued.token(&bridge, ALICE, &[Scope::ActionsRead]);
    let client = Client::builder().no_proxy().build().unwrap();
    let mut response = client.get(bridge.url("/v1/events")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.chunk().await.unwrap().is_some());

    bridge.clock.advance(SignedDuration::from_secs(3_600 + 60));
    while response.chunk().await.unwrap().is_some() {}
    assert_eq!(bridge.get_as("/v1/events", &token).await.status, 401);
}

#[tokio::test]
async fn a_link_that_nobody_here_could_take_away_is_short_lived() {
    let issued = Issued::new();
    let setup = Setup { link_key: Some(LINK_KEY), ..Setup::default() };
    let mut bridge = issued.bridge(setup).await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    bridge.token_of("bob@corp.example", &[Scope::ActionsApprove]);
    let link = async |oid: &str, minutes: u32| {
        let token = issued.token(&bridge, oid, &[Scope::LinksCreate]);
        let said = json!({"approver": "bob@corp.example", "minutes": minutes});
        bridge.post_as(&format!("/v1/actions/{id}/links"), &token, &said).await
    };

    assert_eq!(link(ALICE, 61).await.status, 400);
    assert_eq!(link(BOB, 60).await.status, 403, "whoever may be the approver makes no link");
    let made = link(ALICE, 60).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let page = bridge.get_openly(&path_of(&made).unwrap()).await;
    assert_eq!(page.status, 200);
    bridge.clock.advance(SignedDuration::from_mins(60));
    assert_eq!(bridge.get_openly(&path_of(&made).unwrap()).await.status, 404);
}

/// What is in front of the section in a configuration of its own.
const BEFORE: &str = r#"
[store]
path = "bridge.db"
[defender]
tenant_id = "t"
client_id = "c"
client_secret = { file = "secret" }
[sources.playbooks]
mode = "approve"
accept_unsigned = true
[sources.playbooks.auth]
scheme = "api"
[sources.soc]
format = "bridge"
mode = "shadow"
[sources.soc.auth]
scheme = "standard-webhooks"
secrets = [{ file = "secret" }]
"#;

const GOOD: &str = r#"
[api.oidc]
tenant = "72F988BF-86f1-41af-91ab-2d7cd011db47"
audience = ["3f0c5d1e-7a2b-4c6d-8e9f-0a1b2c3d4e5f"]
[[api.oidc.roles]]
role = "Bridge.Ask"
scopes = ["actions:write", "actions:read"]
source = "playbooks"
mode = "approve"
"#;

fn read(text: &str) -> Result<Principals, Vec<(String, String)>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarantine-bridge.toml");
    fs::write(&path, format!("{BEFORE}{text}")).unwrap();
    let complaints = |complaints: Complaints| {
        complaints.0.into_iter().map(|it| (it.key, format!("{}; {}", it.problem, it.remedy))).collect()
    };
    load(&path, Secrets::Skip).map(|config| config.http.principals.unwrap()).map_err(complaints)
}

#[test]
fn a_tenant_stands_for_its_issuer_and_another_issuer_can_be_named() {
    let read = |text: &str| read(text).unwrap_or_else(|complaints| panic!("{text}: {complaints:?}"));
    let entra = read(GOOD);
    assert_eq!(entra.issuer().name, format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    assert_eq!(Some(&entra.issuer().keys), KeyAddress::discovered(&entra.issuer().name).as_ref());
    assert_eq!(entra.identity.tenant.as_deref(), Some(TENANT));
    assert_eq!(
        (entra.identity.algorithms.as_slice(), entra.identity.roles.as_str()),
        (&[Algorithm::Rs256][..], "roles")
    );
    assert_eq!(entra.roles[0].bound, Some(bound(Some(Mode::Approve))));
    let government = format!("https://login.microsoftonline.us/{TENANT}/v2.0");
    let named = read(&GOOD.replace("audience", &format!("issuer = \"{government}\"\naudience")));
    assert_eq!((named.issuer().name.as_str(), named.identity.tenant.is_some()), (government.as_str(), true));
    let other = "issuer = \"https://idp.example\"\nroles_claim = \"groups\"\nalgorithms = [\"ES256\"]";
    let other = read(&GOOD.replace("tenant = \"72F988BF-86f1-41af-91ab-2d7cd011db47\"", other));
    assert_eq!((other.identity.tenant.as_ref(), other.identity.roles.as_str()), (None, "groups"));
}

#[test]
fn every_mistake_about_callers_is_told() {
    let instead = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replace(from, to)
    };
    let tenant = "tenant = \"72F988BF-86f1-41af-91ab-2d7cd011db47\"";
    let audience = "[\"3f0c5d1e-7a2b-4c6d-8e9f-0a1b2c3d4e5f\"]";
    let table = [
        ("[api]".to_owned(), "api.oidc", "section is missing"),
        (instead(tenant, ""), "api.oidc.issuer", "so is tenant"),
        (instead(tenant, "tenant = \"common\""), "api.oidc.tenant", "no GUID"),
        (instead(tenant, "issuer = \"http://idp.example\""), "api.oidc.issuer", "not safe"),
        (instead(audience, "[]"), "api.oidc.audience", "names nobody"),
        (instead("audience", "algorithms = [\"HS256\"]\naudience"), "api.oidc.algorithms", "not one of"),
        (instead("audience", "roles_claim = \"\"\naudience"), "api.oidc.roles_claim", "is in no token"),
        (instead("audience", "secret = \"x\"\naudience"), "api.oidc.secret", "not a key"),
        (instead("role = \"Bridge.Ask\"", ""), "api.oidc.roles[0].role", "is missing"),
        (instead("actions:read", "actions:*"), "api.oidc.roles[0].scopes", "unknown scope"),
        (instead("[\"actions:write\", \"actions:read\"]", "[]"), "api.oidc.roles[0].scopes", "names none"),
        (instead("\"actions:write\", ", ""), "api.oidc.roles[0].source", "is for the scope"),
        (instead("source = \"playbooks\"\nmode = \"approve\"", ""), "api.oidc.roles[0].source", "is missing"),
        (instead("source = \"playbooks\"", ""), "api.oidc.roles[0].mode", "without source"),
        (instead("playbooks", "soc"), "api.oidc.roles[0].source", "no source that asks"),
        (instead("mode = \"approve\"", "mode = \"all\""), "api.oidc.roles[0].mode", "all"),
        (
            format!("{GOOD}{}", GOOD.split_once("[[").unwrap().1.replacen("api", "[[api", 1)),
            "api.oidc.roles",
            "twice",
        ),
    ];
    for (text, key, words) in table {
        let complaints = read(&text).map(drop).expect_err(&text);
        let fits = complaints.iter().any(|(have, text)| have == key && text.contains(words));
        assert!(fits, "{text}\n{key}: {words}\n{complaints:?}");
    }
}

#[test]
fn the_examples_for_callers_with_an_identity_are_right_and_have_every_key() {
    let example = include_str!("../../quarantine-bridge.example.toml");
    let (_, block) = example.split_once("# [api.oidc]\n").unwrap();
    let lines = block.lines().map_while(|line| line.strip_prefix('#'));
    let block = format!("[api.oidc]\n{}\n", lines.map(str::trim_start).collect::<Vec<_>>().join("\n"));
    // The example for another issuer stands beside the one for Entra ID.
    let entra = block.replace("\nissuer = ", "\n# issuer = ").replace("\njwks_url = ", "\n# jwks_url = ");
    assert!(read(&entra).is_ok(), "{entra}\n{:?}", read(&entra));
    for section in ["[api.oidc]\n", "[[api.oidc.roles]]\n"] {
        let unknown = entra.replacen(section, &format!("{section}no_such_key_anywhere = 1\n"), 1);
        let complaints = read(&unknown).map(drop).unwrap_err();
        let (_, text) = complaints.iter().find(|(key, _)| key.ends_with("no_such_key_anywhere")).unwrap();
        for key in text.split_once("the keys here are ").unwrap().1.split(", ").filter(|key| *key != "roles")
        {
            assert!(block.contains(&format!("\n{key} = ")), "{key} is not in the example");
        }
    }
    let page = include_str!("../../docs/reference/api.md");
    let (_, block) = page.split_once("[api.oidc]\n").unwrap();
    // The source that it names is in this test's configuration already.
    let (block, _) = block.split_once("\n# The source").unwrap();
    assert!(read(&format!("[api.oidc]\n{block}")).is_ok(), "{block}");
}

#[tokio::test]
async fn the_simulator_is_an_issuer_for_callers_too_and_a_reload_takes_other_roles() {
    let (simulator, _tasks) = simulate(Clock::system());
    let oidc = format!(
        r#"
[api.oidc]
issuer = "{}/{SIMULATED_TENANT}/v2.0"
audience = ["api://quarantine-bridge"]
allow_insecure_loopback = true
[[api.oidc.roles]]
role = "Alerts.Send"
scopes = ["actions:read"]
"#,
        simulator.url()
    );
    let installation = Installation::new(&simulator.url(), &oidc);
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}&scope=api://quarantine-bridge/.default"
    );
    let token = client
        .post(format!("{}/{SIMULATED_TENANT}/oauth2/v2.0/token", simulator.url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let token: Value = serde_json::from_str(&token.send().await.unwrap().text().await.unwrap()).unwrap();
    let token = token["access_token"].as_str().unwrap();
    let status = async |path: &str| {
        let request = client.get(installation.url(path)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let becomes = async |path: &str, wanted: u16| {
        let mut ticks = interval(Duration::from_millis(20));
        for _ in 0..1_000 {
            if status(path).await == wanted {
                return true;
            }
            ticks.tick().await;
        }
        false
    };

    assert!(becomes("/v1/actions", 200).await, "{}", installation.log());
    assert_eq!(status("/v1/audit").await, 403);
    installation.edit("scopes = [\"actions:read\"]", "scopes = [\"audit:read\"]");
    serving.hang_up();
    assert!(becomes("/v1/audit", 200).await, "{}", installation.log());
    assert_eq!(status("/v1/actions").await, 403);
    assert!(!installation.log().contains(token), "the token is not in the log");
    assert_eq!(serving.terminate().await, Some(0));
}
