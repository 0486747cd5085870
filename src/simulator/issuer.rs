//! The simulated Entra ID as an issuer of tokens for other services, such as the bridge itself: it signs as the real
//! one does and publishes its key, so that the scheme `jwt` can be rehearsed.

use std::fmt;

use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shared;
use super::credentials::Credentials;

/// The app role that every caller of another service has.
const ROLE: &str = "Alerts.Send";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/{tenant}/v2.0/.well-known/openid-configuration", web::get().to(discovery))
        .route("/{tenant}/discovery/v2.0/keys", web::get().to(keys));
}

/// The name under which the simulator issues a tenant's tokens, at the address where it is asked.
pub(super) fn name(base: &str, tenant: &str) -> String {
    format!("{base}/{tenant}/v2.0")
}

async fn discovery(request: HttpRequest, tenant: web::Path<String>) -> HttpResponse {
    let base = format!("http://{}", request.app_config().local_addr());
    HttpResponse::Ok().json(json!({
        "issuer": name(&base, &tenant), "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn keys(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"keys": [shared.with(|state| state.issuer_key.public())]}))
}

/// The key that signs, made when it is first needed.
#[derive(Default)]
pub(super) struct IssuerKey(Option<(KeyPair, Uuid)>);

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").finish_non_exhaustive()
    }
}

impl IssuerKey {
    #[expect(clippy::expect_used, reason = "it fails only without memory or random numbers")]
    fn pair(&mut self) -> &(KeyPair, Uuid) {
        let make = || (KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be made"), Uuid::new_v4());
        self.0.get_or_insert_with(make)
    }

    /// The public half, as a key set has it (RFC 7517).
    pub(super) fn public(&mut self) -> Value {
        let (pair, kid) = self.pair();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
        json!({
            "kty": "RSA", "use": "sig", "kid": kid.to_string(),
            "n": encode(n.big_endian_without_leading_zero()), "e": encode(e.big_endian_without_leading_zero()),
        })
    }

    #[expect(clippy::expect_used, reason = "it fails only without memory or random numbers")]
    fn sign(&mut self, claims: &Value) -> String {
        let (pair, kid) = self.pair();
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": kid.to_string()});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .expect("an RSA key of 2048 bits signs");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Makes a token for another service, with the claims that those of version 2 have (reference, defender-api 7.3).
    pub(super) fn token(
        &mut self,
        issuer: &str,
        audience: &str,
        caller: &Credentials,
        times: (Timestamp, u32),
    ) -> String {
        let (now, life_s) = (times.0.as_second(), times.1);
        self.sign(&json!({
            "aud": audience, "iss": issuer, "iat": now.saturating_sub(300), "nbf": now.saturating_sub(300),
            "exp": now.saturating_add(i64::from(life_s)), "azp": caller.client_id, "azpacr": "1",
            "oid": caller.client_id, "sub": caller.client_id, "tid": caller.tenant_id, "roles": [ROLE],
            "uti": Uuid::new_v4().to_string(), "ver": "2.0",
        }))
    }
}
