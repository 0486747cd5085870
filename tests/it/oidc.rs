//! The keys of issuers: fetched, kept, renewed, and refused when nobody can vouch for them.

use std::sync::Arc;

use jiff::SignedDuration;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::jwt::{Issuer, KeyAddress, KeySet};
use quarantine_bridge::oidc::{Keys, KeysUnavailable, keys};
use quarantine_bridge::telemetry::Metrics;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::issuer::{FakeIssuer, SigningPair};
use crate::harness::{poll, start_of_time};

/// Keys with what fetches them, and a clock to move.
struct Rig {
    issuer: Issuer,
    keys: Keys,
    clock: Clock,
    metrics: Metrics,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Rig {
    fn start(issuer: Issuer) -> Self {
        let (clock, metrics) = (Clock::manual(start_of_time()), Metrics::new());
        let (keys, fetcher) = keys([issuer.clone()], &clock, &metrics).unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(fetcher.run(stopped));
        Self { issuer, keys, clock, metrics, _stop: stop, _tasks: tasks }
    }

    fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        self.keys.current(&self.issuer)
    }

    async fn renewed(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        self.keys.renewed(&self.issuer).await
    }

    fn advance(&self, hours: i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
    }

    fn advance_secs(&self, secs: i64) {
        self.clock.advance(SignedDuration::from_secs(secs));
    }

    async fn wait_until_known(&self) {
        poll("the keys", || self.current().is_ok()).await;
    }

    /// How many fetches ended so.
    fn fetches(&self, result: &str) -> u32 {
        let name = "quarantine_bridge_issuer_fetches_total";
        let line = format!("{name}{{issuer=\"{}\",result=\"{result}\"}} ", self.issuer.name);
        let text = self.metrics.render();
        let value = text.lines().find_map(|have| have.strip_prefix(line.as_str()));
        value.map_or(0, |value| value.parse().unwrap())
    }

    async fn wait_for_failures(&self, count: u32) {
        poll("a failed fetch", || {
            // A look at the keys is what makes a due fetch start at once.
            drop(self.current());
            self.fetches("error") >= count
        })
        .await;
    }
}

fn one() -> SigningPair {
    SigningPair::new("one", "ES256")
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_by_discovery_or_from_their_own_address() {
    let fake = FakeIssuer::start(&[&one()]);
    for issuer in [fake.by_key_set(), fake.by_discovery()] {
        let rig = Rig::start(issuer);
        rig.wait_until_known().await;
        assert_eq!(rig.current().unwrap().len(), 1);
        assert_eq!((rig.fetches("ok"), rig.fetches("error")), (1, 0));
        let text = rig.metrics.render();
        let at = format!(
            "quarantine_bridge_issuer_keys_fetched_timestamp_seconds{{issuer=\"{}\"}} {}",
            rig.issuer.name,
            start_of_time().as_second()
        );
        assert!(text.lines().any(|line| line == at), "{text}");
    }
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn nothing_is_known_before_the_first_fetch() {
    let fake = FakeIssuer::start(&[&one()]);
    let clock = Clock::manual(start_of_time());
    let (keys, _fetcher) = keys([fake.by_key_set()], &clock, &Metrics::new()).unwrap();
    assert_eq!(keys.current(&fake.by_key_set()).err(), Some(KeysUnavailable));
    assert_eq!(keys.current(&fake.by_discovery()).err(), Some(KeysUnavailable), "of no source");
    assert_eq!(fake.asked(), 0);
}

#[tokio::test]
async fn keys_are_renewed_after_an_hour() {
    let fake = FakeIssuer::start(&[&one()]);
    let rig = Rig::start(fake.by_key_set());
    rig.wait_until_known().await;
    rig.advance_secs(3_599);
    assert!(rig.current().is_ok());
    assert_eq!(fake.asked(), 1);
    fake.set(|answers| answers.keys.push(SigningPair::new("two", "ES256").jwk()));
    rig.advance_secs(1);
    poll("the renewed keys", || rig.current().is_ok_and(|set| set.len() == 2)).await;
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn old_keys_serve_for_a_day_while_the_issuer_is_away_and_then_no_more() {
    let mut fake = FakeIssuer::start(&[&one()]);
    let rig = Rig::start(fake.by_discovery());
    rig.wait_until_known().await;
    fake.stop().await;
    for hour in 1..24 {
        rig.advance(1);
        rig.wait_for_failures(hour).await;
        assert!(rig.current().is_ok(), "after {hour} hours");
    }
    rig.advance_secs(3_599);
    assert!(rig.current().is_ok());
    rig.advance_secs(1);
    assert_eq!(rig.current().err(), Some(KeysUnavailable));
    assert_eq!(rig.renewed().await.err(), Some(KeysUnavailable));
}

#[tokio::test]
async fn keys_come_back_with_the_issuer() {
    let fake = FakeIssuer::start(&[&one()]);
    fake.set(|answers| answers.status = 503);
    let rig = Rig::start(fake.by_key_set());
    rig.wait_for_failures(1).await;
    assert_eq!(rig.current().err(), Some(KeysUnavailable));
    fake.set(|answers| answers.status = 200);
    rig.advance_secs(10);
    rig.wait_until_known().await;
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn an_unknown_key_brings_one_look_at_the_issuer_a_minute_whoever_asks() {
    let fake = FakeIssuer::start(&[&one()]);
    let rig = Rig::start(fake.by_key_set());
    rig.wait_until_known().await;
    fake.set(|answers| answers.keys.push(SigningPair::new("two", "ES256").jwk()));
    for minute in 1..4 {
        rig.advance_secs(60);
        let flood = futures_util::future::join_all((0..500).map(|_| rig.renewed())).await;
        assert!(flood.iter().all(Result::is_ok));
        assert!(flood.iter().flatten().all(|set| set.len() == 2));
        assert_eq!(fake.asked(), 1 + minute);
    }
    rig.advance_secs(59);
    assert_eq!(rig.renewed().await.unwrap().len(), 2, "what was fetched within the minute is the answer");
    assert_eq!(fake.asked(), 4);
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_new_key_out_and_no_old_one_in() {
    let mut fake = FakeIssuer::start(&[&one()]);
    let rig = Rig::start(fake.by_key_set());
    rig.wait_until_known().await;
    rig.clock.set_by(SignedDuration::from_hours(-30));
    fake.set(|answers| answers.keys.push(SigningPair::new("two", "ES256").jwk()));
    rig.advance_secs(60);
    assert_eq!(rig.renewed().await.unwrap().len(), 2);

    fake.stop().await;
    rig.clock.set_by(SignedDuration::from_hours(-30));
    rig.advance(24);
    assert_eq!(rig.current().err(), Some(KeysUnavailable), "24 hours have passed whatever the clock says");
}

#[tokio::test]
async fn the_issuer_is_not_asked_more_often_while_it_fails() {
    let fake = FakeIssuer::start(&[&one()]);
    let rig = Rig::start(fake.by_key_set());
    rig.wait_until_known().await;
    fake.set(|answers| answers.status = 500);
    rig.advance(2);
    for _ in 0..100 {
        assert_eq!(rig.renewed().await.err(), Some(KeysUnavailable), "a token with a new key may be good");
        assert!(rig.current().is_ok(), "one with an old key is judged by the old set");
    }
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn what_is_no_key_set_is_not_taken() {
    let fake = FakeIssuer::start(&[&one()]);
    let bodies = [
        String::new(),
        "<html>".to_owned(),
        r#"{"keys":[]}"#.to_owned(),
        json!({"keys": [{"kty": "oct", "kid": "one", "k": "AAAA"}]}).to_string(),
        // A good set, but longer than 256 KiB.
        json!({"keys": [one().jwk()], "padding": "x".repeat(256 * 1024)}).to_string(),
    ];
    for body in bodies {
        fake.set(|answers| answers.body = Some(body.clone()));
        let rig = Rig::start(fake.by_key_set());
        rig.wait_for_failures(1).await;
        assert_eq!(rig.current().err(), Some(KeysUnavailable), "{}", body.len());
    }
}

#[tokio::test]
async fn redirects_and_other_answers_are_not_followed() {
    let fake = FakeIssuer::start(&[&one()]);
    for status in [201, 301, 302, 307, 404, 500] {
        fake.set(|answers| answers.status = status);
        let asked = fake.asked();
        let rig = Rig::start(fake.by_key_set());
        rig.wait_for_failures(1).await;
        assert_eq!(rig.current().err(), Some(KeysUnavailable), "{status}");
        assert_eq!(fake.asked(), asked + 1, "{status}");
    }
}

#[tokio::test]
async fn a_discovery_document_must_be_the_issuers_own_and_lead_to_a_safe_place() {
    let fake = FakeIssuer::start(&[&one()]);
    let (name, keys) = (fake.name(), format!("{}/keys", fake.url));
    let documents = [
        json!({"issuer": "https://other.example", "jwks_uri": keys}),
        json!({"issuer": format!("{name}/"), "jwks_uri": keys}),
        json!({"jwks_uri": keys}),
        json!({"issuer": name}),
        json!({"issuer": name, "jwks_uri": "http://keys.example/keys"}),
        json!({"issuer": name, "jwks_uri": "file:///etc/passwd"}),
        json!({"issuer": name, "jwks_uri": "no address"}),
        json!("a text"),
    ];
    for document in documents {
        fake.set(|answers| answers.discovery = Some(document.clone()));
        let rig = Rig::start(fake.by_discovery());
        rig.wait_for_failures(1).await;
        assert_eq!(rig.current().err(), Some(KeysUnavailable), "{document}");
    }
    assert_eq!(fake.asked(), 0, "no key set was asked for");
}

#[tokio::test]
async fn fetching_ends_when_the_service_stops() {
    let fake = FakeIssuer::start(&[&one()]);
    for issuers in [Vec::new(), vec![fake.by_key_set()]] {
        let (_keys, fetcher) = keys(issuers, &Clock::system(), &Metrics::new()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(fetcher.run(stopped));
        assert!(running.try_join_next().is_none());
        stop.send_replace(true);
        running.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn several_issuers_are_kept_apart() {
    let (fake, other) =
        (FakeIssuer::start(&[&one()]), FakeIssuer::start(&[&one(), &SigningPair::new("two", "ES256")]));
    let issuers = [fake.by_key_set(), other.by_key_set(), fake.by_key_set()];
    let clock = Clock::manual(start_of_time());
    let (keys, fetcher) = keys(issuers, &clock, &Metrics::new()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(fetcher.run(stopped));
    let count = |fake: &FakeIssuer| keys.current(&fake.by_key_set()).map_or(0, |set| set.len());
    poll("the keys of both", || (count(&fake), count(&other)) == (1, 2)).await;
    assert_eq!(fake.asked(), 1, "two sources with one issuer share its keys");
}

#[tokio::test]
async fn issuers_that_come_later_are_fetched_and_those_that_stay_keep_their_keys() {
    let (fake, other) = (FakeIssuer::start(&[&one()]), FakeIssuer::start(&[&one()]));
    let rig = Rig::start(fake.by_key_set());
    rig.wait_until_known().await;

    rig.keys.replace([fake.by_key_set(), other.by_key_set()]).unwrap();
    assert!(rig.current().is_ok(), "it has its keys without another fetch");
    poll("the keys of the other", || rig.keys.current(&other.by_key_set()).is_ok()).await;
    assert_eq!((fake.asked(), other.asked()), (1, 1));

    rig.keys.replace([other.by_key_set()]).unwrap();
    assert_eq!(rig.current().err(), Some(KeysUnavailable), "nobody asks for it any more");
}

#[test]
fn the_discovery_document_is_where_the_specification_says() {
    let at = |issuer: &str| KeyAddress::discovered(issuer).map(|address| address.url().to_string());
    assert_eq!(
        at("https://sts.windows.net/tenant/").as_deref(),
        Some("https://sts.windows.net/tenant/.well-known/openid-configuration")
    );
    assert_eq!(
        at("https://login.microsoftonline.com/tenant/v2.0").as_deref(),
        Some("https://login.microsoftonline.com/tenant/v2.0/.well-known/openid-configuration")
    );
    for issuer in ["tenant", "", "https://a.example/?x=1", "https://a.example/#x"] {
        assert_eq!(at(issuer), None, "{issuer}");
    }
}
