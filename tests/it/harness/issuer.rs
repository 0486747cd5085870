//! An issuer of tokens on loopback: its keys, its discovery document, and how often it was asked.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::{App, HttpResponse, HttpServer, web};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use quarantine_bridge::ingest::jwt::{Issuer, KeyAddress};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) const AUDIENCE: &str = "api://quarantine-bridge";
pub(crate) const PLAYBOOK: &str = "0b8bd1e2-52d3-44c6-9a3f-4d9d0c5c9a10";

enum Private {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A private key of an issuer.
pub(crate) struct SigningPair {
    pub(crate) kid: &'static str,
    pub(crate) alg: &'static str,
    private: Private,
}

impl SigningPair {
    /// Makes a key for an algorithm.
    pub(crate) fn new(kid: &'static str, alg: &'static str) -> Self {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = match alg {
            "RS256" => Private::Rsa(rsa(), &RSA_PKCS1_SHA256),
            "PS256" => Private::Rsa(rsa(), &RSA_PSS_SHA256),
            "ES256" => Private::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "ES384" => Private::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            "EdDSA" => Private::Ed(Ed25519KeyPair::generate().unwrap()),
            other => panic!("there is no algorithm {other}"),
        };
        Self { kid, alg, private }
    }

    /// The public key as a key set has it.
    pub(crate) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.private {
            Private::Rsa(pair, _) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Private::Ec(pair) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at(if self.alg == "ES256" { 32 } else { 48 });
                let curve = if self.alg == "ES256" { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Private::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// Signs what may be anything, as a token.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.private {
            Private::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Private::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Private::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token with this key's own header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.alg, "kid": self.kid});
        self.sign(&header.to_string(), &claims.to_string())
    }
}

/// The claims of a good token, as Entra ID writes those of a managed identity.
pub(crate) fn claims(issuer: &str, now: Timestamp) -> Value {
    let now = now.as_second();
    json!({
        "aud": AUDIENCE, "iss": issuer, "iat": now - 300, "nbf": now - 300, "exp": now + 86_400 - 300,
        "appid": "5f1d3a90-7f0e-4c0e-8f6f-0d7b6f0a2c11", "appidacr": "2", "idp": issuer, "idtyp": "app",
        "oid": PLAYBOOK, "sub": PLAYBOOK, "roles": ["Alerts.Send"], "ver": "1.0",
    })
}

/// What the issuer answers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) status: u16,
    pub(crate) keys: Vec<Value>,
    /// What the discovery document says otherwise than it should.
    pub(crate) discovery: Option<Value>,
    /// Sent in place of the key set.
    pub(crate) body: Option<String>,
}

/// An issuer that listens.
pub(crate) struct FakeIssuer {
    pub(crate) url: String,
    answers: watch::Sender<Answers>,
    asked: Arc<AtomicU32>,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    url: String,
    answers: watch::Receiver<Answers>,
    asked: Arc<AtomicU32>,
}

impl FakeIssuer {
    pub(crate) fn start(keys: &[&SigningPair]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tenant", listener.local_addr().unwrap());
        let keys = keys.iter().map(|key| key.jwk()).collect();
        let (answers, receiver) = watch::channel(Answers { status: 200, keys, discovery: None, body: None });
        let asked = Arc::new(AtomicU32::new(0));
        let shared = Shared { url: url.clone(), answers: receiver, asked: Arc::clone(&asked) };
        let app = move || {
            App::new()
                .app_data(web::Data::new(shared.clone()))
                .route("/tenant/.well-known/openid-configuration", web::get().to(discovery))
                .route("/tenant/keys", web::get().to(keys_of))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.unwrap() });
        Self { url, answers, asked, tasks }
    }

    pub(crate) fn name(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn by_key_set(&self) -> Issuer {
        let url = format!("{}/keys", self.url).parse().unwrap();
        Issuer { name: self.name(), keys: KeyAddress::Jwks(url) }
    }

    pub(crate) fn by_discovery(&self) -> Issuer {
        Issuer { name: self.name(), keys: KeyAddress::discovered(&self.url).unwrap() }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Answers)) {
        self.answers.send_modify(change);
    }

    /// How often the key set was asked for.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Takes the issuer off the network.
    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

async fn discovery(shared: web::Data<Shared>) -> HttpResponse {
    let answers = shared.answers.borrow().clone();
    let usual = json!({"issuer": shared.url, "jwks_uri": format!("{}/keys", shared.url)});
    let status = actix_web::http::StatusCode::from_u16(answers.status).unwrap();
    HttpResponse::build(status).json(answers.discovery.unwrap_or(usual))
}

async fn keys_of(shared: web::Data<Shared>) -> HttpResponse {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let answers = shared.answers.borrow().clone();
    let usual = json!({"keys": answers.keys}).to_string();
    let status = actix_web::http::StatusCode::from_u16(answers.status).unwrap();
    // A redirect leads to where good keys are: it must not be followed.
    HttpResponse::build(status)
        .insert_header(("Location", format!("{}/keys", shared.url)))
        .content_type("application/json")
        .body(answers.body.unwrap_or(usual))
}
