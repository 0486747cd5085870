//! How the simulated Entra ID judges client assertions: by a registered certificate, or by a token of a trusted issuer.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::entra::No;

/// What an assertion must be sent as.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The audience of a token by which another issuer vouches.
pub(super) const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// How far the clocks of both sides may be apart, in seconds.
const SKEW: i64 = 300;

/// The longest life of an assertion, in seconds.
const LIFE_MAX: i64 = 24 * 3_600;

/// A federated identity credential: whose tokens stand for the app registration.
#[derive(Debug, Clone)]
pub struct Federation {
    /// The issuer, letter by letter.
    pub issuer: String,
    /// The subject, letter by letter.
    pub subject: String,
    /// The issuer's RSA keys, as a key set has them.
    pub keys: Vec<Value>,
}

/// Who must have signed, for whom and when.
pub(super) struct Expected<'a> {
    pub(super) client_id: &'a str,
    /// The token endpoint, as it was asked.
    pub(super) endpoint: &'a str,
    /// The registered certificates, as DER.
    pub(super) certificates: &'a [Vec<u8>],
    pub(super) federations: &'a [Federation],
    pub(super) now: i64,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
    nbf: Option<i64>,
    jti: Option<String>,
}

struct Token<'a> {
    header: Header,
    claims: Claims,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// Judges an assertion; returns the id of one that counts once, which a token of another issuer does not.
pub(super) fn judge(assertion: &str, expected: &Expected<'_>) -> Result<Option<String>, No> {
    let token = parse(assertion).ok_or_else(|| no(50_027, "JWT token is invalid or malformed."))?;
    let claims = &token.claims;
    let is_own = claims.iss == expected.client_id && claims.sub == expected.client_id;
    if is_own {
        by_certificate(&token, expected)?;
    } else {
        by_federation(&token, expected)?;
    }
    let begin = claims.nbf.unwrap_or(claims.exp.saturating_sub(LIFE_MAX));
    let is_in_time =
        begin.saturating_sub(SKEW) <= expected.now && expected.now < claims.exp.saturating_add(SKEW);
    if !is_in_time || claims.exp.saturating_sub(begin) > LIFE_MAX {
        return Err(no(700_024, "Client assertion is not within its valid time range."));
    }
    Ok(claims.jti.clone().filter(|_| is_own))
}

fn by_certificate(token: &Token<'_>, expected: &Expected<'_>) -> Result<(), No> {
    let unknown = || {
        no(
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        )
    };
    let thumbprint = |der: &[u8]| match token.header.alg.as_str() {
        "PS256" => token.header.x5t_s256.as_ref() == Some(&encoded(digest(&SHA256, der).as_ref())),
        "RS256" => {
            let sha1 = encoded(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
            token.header.x5t.as_ref() == Some(&sha1)
        }
        _ => false,
    };
    let der = expected.certificates.iter().find(|der| thumbprint(der)).ok_or_else(unknown)?;
    let certificate = Certificate::from_der(der).or(Err(unknown()))?;
    let public = certificate.tbs_certificate.subject_public_key_info.subject_public_key;
    let scheme = match token.header.alg.as_str() {
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    };
    let verified = UnparsedPublicKey::new(scheme, public.raw_bytes()).verify(token.signed, &token.signature);
    verified.or(Err(no(700_027, "Client assertion failed signature validation.")))?;
    if token.claims.aud.as_str() != Some(expected.endpoint) {
        return Err(no(700_023, "Client assertion audience claim does not match Realm issuer."));
    }
    if token.claims.nbf.is_none() || token.claims.jti.is_none() {
        return Err(no(50_027, "JWT token is invalid or malformed: nbf or jti is missing."));
    }
    Ok(())
}

fn by_federation(token: &Token<'_>, expected: &Expected<'_>) -> Result<(), No> {
    let Token { header, claims, .. } = token;
    let told = format!("Presented assertion issuer '{}', subject '{}'.", claims.iss, claims.sub);
    let of_issuer: Vec<&Federation> =
        expected.federations.iter().filter(|federation| federation.issuer == claims.iss).collect();
    if of_issuer.is_empty() {
        let message =
            format!("No matching federated identity record found for presented assertion issuer. {told}");
        return Err(no(700_211, &message));
    }
    if claims.aud.as_str() != Some(EXCHANGE_AUDIENCE) {
        let message =
            format!("No matching federated identity record found for presented assertion audience. {told}");
        return Err(no(700_212, &message));
    }
    let Some(federation) = of_issuer.iter().find(|federation| federation.subject == claims.sub) else {
        let message =
            format!("No matching federated identity record found for presented assertion subject. {told}");
        return Err(no(700_213, &message));
    };
    let text = |key: &Value, name: &str| key.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let mut keys = federation.keys.iter().filter(|key| text(key, "kid") == header.kid);
    let is_signed = header.alg == "RS256"
        && keys.any(|key| {
            let part = |name| URL_SAFE_NO_PAD.decode(text(key, name)?).ok();
            part("n").zip(part("e")).is_some_and(|(n, e)| {
                let public = RsaPublicKeyComponents { n, e };
                public.verify(&RSA_PKCS1_2048_8192_SHA256, token.signed, &token.signature).is_ok()
            })
        });
    if is_signed { Ok(()) } else { Err(no(50_013, "Assertion failed signature validation.")) }
}

fn parse(assertion: &str) -> Option<Token<'_>> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    Some(Token {
        header: serde_json::from_slice(&decode(header)?).ok()?,
        claims: serde_json::from_slice(&decode(claims)?).ok()?,
        signed: signed.as_bytes(),
        signature: decode(signature)?,
    })
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn no(number: u32, message: &str) -> No {
    No { status: 401, error: "invalid_client", number, message: message.to_owned() }
}
