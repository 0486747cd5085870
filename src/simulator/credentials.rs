//! Who may get a token of the simulated Entra ID, and the tokens that it signs.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::assertions::Federation;
use super::switches::Switches;

/// The scopes that Defender's API is known under (reference, defender-api 7.2), without `/.default`.
pub(super) const AUDIENCES: [&str; 6] = [
    "https://api.securitycenter.microsoft.com",
    "https://api.securitycenter.windows.com",
    "https://api.security.microsoft.com",
    "https://securitycenter.onmicrosoft.com/windowsatpservice",
    "https://api-gcc.securitycenter.microsoft.us",
    "https://api-gov.securitycenter.microsoft.us",
];

/// The same for Microsoft Graph (reference, defender-api 8).
pub(super) const GRAPH_AUDIENCES: [&str; 3] =
    ["https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"];

/// Who may get a token, and the key that signs it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The tenant.
    pub tenant_id: String,
    /// The app registration.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Its certificates, as DER.
    pub certificates: Vec<Vec<u8>>,
    /// Whose tokens stand for it. The simulator's own tokens with its client id as subject do anyway.
    pub federations: Vec<Federation>,
    /// What App Service would tell the app to show.
    pub identity_header: SecretString,
    /// The ids of assertions that were taken: each counts once.
    pub(super) taken: HashSet<String>,
    signing_key: [u8; 16],
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: i64,
    nbf: i64,
    #[serde(default)]
    roles: Vec<String>,
}

impl Credentials {
    /// Takes these; the key is made anew for each simulator.
    pub fn new(tenant_id: &str, client_id: &str, client_secret: SecretString) -> Self {
        Self {
            tenant_id: tenant_id.to_owned(),
            client_id: client_id.to_owned(),
            client_secret,
            certificates: Vec::new(),
            federations: Vec::new(),
            identity_header: Uuid::new_v4().to_string().into(),
            taken: HashSet::new(),
            signing_key: Uuid::new_v4().into_bytes(),
        }
    }

    fn sign(&self, text: &str) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104, section 2)")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.signing_key).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Makes a token with the claims that real ones have (reference, defender-api 7.3).
    pub(super) fn token(&self, audience: &str, switches: &Switches, now: Timestamp) -> String {
        let now = now.as_second();
        let roles = if GRAPH_AUDIENCES.contains(&audience) { &switches.graph_roles } else { &switches.roles };
        let mut claims = json!({
            "aud": audience, "iss": format!("https://sts.windows.net/{}/", self.tenant_id), "iat": now.saturating_sub(300),
            "nbf": now.saturating_sub(300), "exp": now.saturating_add(i64::from(switches.token_life_s)),
            "app_displayname": "quarantine-bridge", "appid": self.client_id, "appidacr": "1",
            "idp": format!("https://sts.windows.net/{}/", self.tenant_id), "oid": self.client_id, "sub": self.client_id,
            "tid": self.tenant_id, "uti": Uuid::new_v4().to_string(), "ver": "1.0",
        });
        // A token without any role has no claim for roles.
        if let (Value::Object(claims), false) = (&mut claims, roles.is_empty()) {
            claims.insert("roles".to_owned(), json!(roles));
        }
        let header = json!({"typ": "JWT", "alg": "HS256", "kid": "simulator"});
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(&text);
        format!("{text}.{signature}")
    }

    /// Returns the roles of a good token: signed here, for one of these audiences, and within its time.
    pub(super) fn roles_of(
        &self,
        authorization: Option<&str>,
        audiences: &[&str],
        now: Timestamp,
    ) -> Option<Vec<String>> {
        let token = authorization?.strip_prefix("Bearer ")?;
        let (text, signature) = token.rsplit_once('.')?;
        if signature != self.sign(text) {
            return None;
        }
        let (_, claims) = text.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let in_time = claims.nbf <= now.as_second() && now.as_second() < claims.exp;
        let for_us = audiences.contains(&claims.aud.as_str());
        (in_time && for_us).then_some(claims.roles)
    }
}
