//! `scheme = "jwt"`: the issuer, and what its tokens must say. `[api.oidc]` reads some of it too.

use jiff::SignedDuration;
use url::Url;

use crate::ingest::jwt::{Algorithm, Caller, CallerClaim, Issuer, Jwt, KeyAddress};
use crate::outgoing::is_loopback;

use super::reader::Section;

/// The longest text of an allow-list: each may become the label of a metric.
const TEXT_BYTES_MAX: usize = 256;

/// What Entra ID signs with.
const ALGORITHM: Algorithm = Algorithm::Rs256;

/// The shortest age that makes sense: a token may be a minute early.
const AGE_MIN: SignedDuration = SignedDuration::from_mins(1);

/// Reads the keys of the scheme.
pub(super) fn read(auth: &Section<'_>) -> Option<Jwt> {
    let issuer = issuer(auth);
    let audiences = audiences(auth, "audience = [\"api://quarantine-bridge\"], as the tokens say in aud");
    let algorithms = algorithms(auth);
    let callers = callers(auth);
    let roles = texts(auth, "roles");
    let max_age = auth.duration("max_token_age");
    if max_age.is_some_and(|age| age < AGE_MIN) {
        let remedy = "write \"1h\" or so, or leave it out: a token's own end counts in any case";
        auth.complain("max_token_age", "is shorter than a minute", remedy);
    }
    Some(Jwt {
        issuer: issuer?,
        audiences: audiences?,
        algorithms: algorithms?,
        callers: callers?,
        roles: roles?,
        max_age,
    })
}

/// Reads for whom tokens may be.
pub(super) fn audiences(auth: &Section<'_>, what: &str) -> Option<Vec<String>> {
    let audiences = texts(auth, "audience");
    if audiences.as_ref().is_some_and(Vec::is_empty) {
        auth.complain("audience", "names nobody for whom a token may be", &format!("write {what}"));
    }
    audiences
}

const ISSUER: &str = "write issuer = \"https://sts.windows.net/TENANT/\", exactly as the tokens say in iss";

fn issuer(auth: &Section<'_>) -> Option<Issuer> {
    issuer_named(auth, auth.required_text("issuer", ISSUER)?)
}

/// Reads where the keys of an issuer are.
pub(super) fn issuer_named(auth: &Section<'_>, name: &str) -> Option<Issuer> {
    if !is_plain(name) {
        auth.complain("issuer", format!("{name:?} is no issuer"), ISSUER);
        return None;
    }
    let is_allowed_here = auth.boolean("allow_insecure_loopback").unwrap_or(false);
    let keys = if let Some(text) = auth.text("jwks_url") {
        let remedy = "write the address of the issuer's key set, the jwks_uri of its discovery document";
        let url: Url = auth.parse("jwks_url", text, remedy)?;
        KeyAddress::Jwks(safe(auth, "jwks_url", url, is_allowed_here)?)
    } else {
        let url = KeyAddress::discovered(name).map(|address| address.url().clone());
        if url.is_none() {
            let remedy = "set jwks_url to the address of the issuer's key set";
            auth.complain("issuer", format!("{name:?} is no address, so its keys cannot be found"), remedy);
        }
        KeyAddress::Discovery(safe(auth, "issuer", url?, is_allowed_here)?)
    };
    Some(Issuer { name: name.to_owned(), keys })
}

/// Keys are fetched over TLS, or, for tests, from this machine.
fn safe(auth: &Section<'_>, key: &'static str, url: Url, is_allowed_here: bool) -> Option<Url> {
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (is_allowed_here && url.scheme() == "http" && is_loopback(&url));
    if is_safe && is_bare {
        return Some(url);
    }
    let remedy = "write an https address without user or fragment, or, for `quarantine-bridge simulate` on this \
                  machine, say allow_insecure_loopback = true";
    auth.complain(key, "is not safe to fetch keys from", remedy);
    None
}

/// Reads how tokens may be signed.
pub(super) fn algorithms(auth: &Section<'_>) -> Option<Vec<Algorithm>> {
    let Some(names) = auth.texts("algorithms") else {
        return Some(vec![ALGORITHM]);
    };
    let remedy = "write algorithms = [\"RS256\"]; shared secrets and unsigned tokens are never taken";
    if names.is_empty() {
        auth.complain("algorithms", "names none, so no token could be good", remedy);
        return None;
    }
    let read: Vec<Option<Algorithm>> =
        names.into_iter().map(|name| auth.parse("algorithms", name, remedy)).collect();
    read.into_iter().collect()
}

fn callers(auth: &Section<'_>) -> Option<Vec<Caller>> {
    let example =
        "write allow = { oid = [\"object id of the identity\"] }; appid, azp and sub may stand there too";
    auth.require("allow", example);
    let allow = auth.section_if_there("allow")?;
    let mut callers = Vec::new();
    let mut is_read = true;
    for claim in CallerClaim::ALL {
        match texts(&allow, claim.as_str()) {
            Some(values) => callers.extend(values.into_iter().map(|value| Caller { claim, value })),
            None => is_read = false,
        }
    }
    allow.finish();
    if callers.is_empty() && is_read {
        auth.complain("allow", "names no caller: everybody whom the issuer knows would be meant", example);
    }
    (is_read && !callers.is_empty()).then_some(callers)
}

/// An array of texts, each of which can stand in a token; empty if it is not there.
fn texts(section: &Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let texts = section.texts(key).unwrap_or_default();
    let strange = texts.iter().find(|text| !is_plain(text));
    if let Some(strange) = strange {
        let remedy = "write 1 to 256 printable characters, exactly as the tokens have them";
        section.complain(key, format!("{strange:?} is in no token"), remedy);
        return None;
    }
    Some(texts.into_iter().map(ToOwned::to_owned).collect())
}

/// Reads a text that can stand in a token.
pub(super) fn text(section: &Section<'_>, key: &'static str, default: &str) -> Option<String> {
    let text = section.text(key).unwrap_or(default);
    if is_plain(text) {
        return Some(text.to_owned());
    }
    section.complain(key, format!("{text:?} is in no token"), "write it exactly as the tokens have it");
    None
}

/// Says whether a text is there, not too long, and without spaces at its ends or control characters.
fn is_plain(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.trim() == text && !text.contains(char::is_control)
}
