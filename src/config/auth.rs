//! `[sources.NAME.auth]`: how a source proves itself.

use core::net::IpAddr;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::alert::{after, parse_time};
use crate::clock::Clock;
use crate::ingest::{
    Certificates, ClientStates, Gate, HMAC, PRESETS, Place, Preset, Scheme, Signature, SigningKey,
    StaticToken, TimeAt, Tokens,
};

use super::Secrets;
use super::reader::Section;
use super::{hmac, jwt, secret};

/// The schemes that sign nothing, as the configuration names them.
const UNSIGNED: [&str; 8] = ["bearer", "header", "basic", "path-token", "mtls", "graph", "jwt", "api"];

/// The shortest tolerance: clocks differ by seconds.
const TOLERANCE_SECS: std::ops::RangeInclusive<i64> = 5..=3600;

/// How long before its last secret ends a source is warned of.
const EXPIRY_NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The words by which a source that proves nothing about its bodies may enforce.
const RISK: &str = "I accept the risk";

/// Reads the section.
pub(super) fn read(section: &Section<'_>, secrets: Secrets) -> Option<Gate> {
    // Read before anything can be found missing: they are keys of a source, also of one whose secret is not there yet.
    let consent = Consent {
        accepted: section.boolean("accept_unsigned").unwrap_or(false),
        enforced: section.text("enforce_unsigned") == Some(RISK),
    };
    let auth = section.section("auth")?;
    let networks = networks(&auth, "allow_cidrs");
    let first = scheme(&auth, secrets);
    let also = auth.section_if_there("also");
    let second = also.as_ref().map(|also| {
        let scheme = scheme(also, secrets);
        also.finish();
        scheme
    });
    if let Some(also) = &also {
        check_header(&auth, also);
    }
    auth.finish();
    let more = match second {
        Some(scheme) => vec![scheme?],
        None => Vec::new(),
    };
    let gate = Gate::new(first?, more, networks?);
    if gate.has_path_token() && auth.texts("allow_cidrs").is_none_or(|cidrs| cidrs.is_empty()) {
        auth.complain(
            "allow_cidrs",
            "is missing, and path-token needs it: the address of a request is written down in many places",
            "write the networks that the sender is in, such as allow_cidrs = [\"10.1.0.0/16\"]",
        );
    }
    consent.ask(section, &gate);
    Some(gate)
}

/// Says whether the source asks for actions by the API, and delivers nothing.
pub(super) fn takes_api_tokens(section: &Section<'_>) -> bool {
    let asks = |section: &Section<'_>| section.text("scheme") == Some("api");
    section
        .section_if_there("auth")
        .is_some_and(|auth| asks(&auth) || auth.section_if_there("also").is_some_and(|also| asks(&also)))
}

/// Two schemes cannot share a header that is taken once only.
fn check_header(first: &Section<'_>, second: &Section<'_>) {
    const IN_AUTHORIZATION: [&str; 4] = ["bearer", "basic", "jwt", "api"];
    let is_there =
        |section: &Section<'_>| section.text("scheme").is_some_and(|name| IN_AUTHORIZATION.contains(&name));
    if is_there(first) && is_there(second) {
        let problem = "needs the Authorization header, which the first scheme needs too";
        second.complain("scheme", problem, "use mtls, header or a scheme that signs as one of the two");
    }
}

/// What a source says to a scheme that does not sign.
struct Consent {
    accepted: bool,
    enforced: bool,
}

impl Consent {
    /// What signs nothing must be wanted, and once more to act without a person.
    fn ask(&self, section: &Section<'_>, gate: &Gate) {
        if gate.signs_body() {
            return;
        }
        if !self.accepted {
            section.complain(
                "accept_unsigned",
                "is not true, and the scheme does not sign the body: whoever has seen one delivery can make others",
                "use a scheme that signs, put `quarantine-bridge relay` beside the sender, or say accept_unsigned = true",
            );
        }
        if section.text("mode") == Some("enforce") && !self.enforced {
            section.complain(
                "mode",
                "is \"enforce\", and the scheme does not sign the body",
                "write mode = \"approve\" or \"shadow\", or add enforce_unsigned = \"I accept the risk\"",
            );
        }
    }
}

/// Reads an array of networks; a lone address is one of its own.
pub(super) fn networks(section: &Section<'_>, key: &'static str) -> Option<Vec<IpNet>> {
    let texts = section.texts(key).unwrap_or_default();
    let network = |text: &str| -> Option<IpNet> {
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network = text.parse::<IpNet>().ok().or_else(one);
        if network.is_none() {
            let remedy = "write networks such as \"10.1.0.0/16\" or \"2001:db8::/32\"";
            section.complain(key, format!("{text:?} is no network"), remedy);
        }
        network.map(|network| network.trunc())
    };
    let networks: Vec<Option<IpNet>> = texts.into_iter().map(network).collect();
    networks.into_iter().collect()
}

fn scheme(auth: &Section<'_>, secrets: Secrets) -> Option<Scheme> {
    let mut names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    names.push(HMAC.name);
    names.extend(UNSIGNED);
    let remedy = format!("write one of {}", names.join(", "));
    let name = auth.required_text("scheme", &remedy)?;
    match name {
        "hmac" => signature(auth, hmac::read(auth)?, secrets),
        "bearer" => tokens(auth, Place::Bearer, secrets),
        "basic" => tokens(auth, Place::Basic, secrets),
        "path-token" => tokens(auth, Place::Path, secrets),
        "header" => {
            let header = auth.required_text("header", "name the header, such as header = \"X-Api-Key\"")?;
            tokens(auth, Place::Header(header_name(auth, "header", header)?), secrets)
        }
        "graph" => {
            let states =
                keys(auth, secrets, |secret, not_after| StaticToken::read(secret, &Place::Bearer, not_after));
            Some(Scheme::ClientStates(ClientStates::new(states?)))
        }
        "jwt" => jwt::read(auth).map(|jwt| Scheme::Jwt(Box::new(jwt))),
        "mtls" => certificates(auth).map(Scheme::Certificates),
        "api" => Some(Scheme::ApiTokens),
        name => {
            let Some(preset) = Preset::named(name) else {
                auth.complain("scheme", format!("there is no scheme {name:?}"), &remedy);
                return None;
            };
            signature(auth, adapted(auth, preset.owned())?, secrets)
        }
    }
}

/// A preset with the header names and the tolerance that a source may set.
fn adapted(auth: &Section<'_>, mut preset: Preset) -> Option<Preset> {
    if let Some(name) = auth.text("header") {
        preset.header = header_name(auth, "header", name)?;
        preset.other_spelling = None;
    }
    if let Some(time) = &mut preset.timestamp {
        if let TimeAt::Header(header) = &mut time.at
            && let Some(name) = auth.text("timestamp_header")
        {
            *header = header_name(auth, "timestamp_header", name)?;
        }
        if let Some(tolerance) = auth.duration("tolerance") {
            time.tolerance = tolerance;
            check_tolerance(auth, tolerance.as_secs());
        }
    }
    Some(preset)
}

/// Complains about a tolerance that lets nothing in, or too much.
pub(super) fn check_tolerance(section: &Section<'_>, seconds: i64) {
    if !TOLERANCE_SECS.contains(&seconds) {
        section.complain(
            "tolerance",
            "is not between 5 s and 1 h",
            "write \"300s\", as most libraries have it",
        );
    }
}

/// Reads a header's name, in lower case.
pub(super) fn header_name(section: &Section<'_>, key: &'static str, name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=100).contains(&name.len()) && name.bytes().all(plain) {
        return Some(name.to_ascii_lowercase());
    }
    section.complain(key, format!("{name:?} is no header's name"), "write letters, digits and hyphens");
    None
}

fn signature(auth: &Section<'_>, preset: Preset, secrets: Secrets) -> Option<Scheme> {
    let encoding = preset.secret;
    let read = |secret: &SecretString, not_after| SigningKey::read(secret, encoding, not_after);
    let keys = keys(auth, secrets, read);
    let signature = match Signature::new(preset, keys?) {
        Ok(signature) => signature,
        Err(error) => {
            auth.complain("signed_content", error.to_string(), "write it as {timestamp}.{body}");
            return None;
        }
    };
    if !signature.signs_time() {
        auth.warn(
            "scheme",
            "signs no time, so an old delivery can be sent again; the alert's id keeps it from acting twice",
            "sign a time if the sender can",
        );
    }
    Some(Scheme::Signature(Box::new(signature)))
}

fn tokens(auth: &Section<'_>, place: Place, secrets: Secrets) -> Option<Scheme> {
    let tokens = keys(auth, secrets, |secret, not_after| StaticToken::read(secret, &place, not_after));
    let tokens = tokens?;
    Some(Scheme::Tokens(Tokens::new(place, tokens)))
}

/// Reads the secrets of a scheme, each as the scheme reads it.
pub(super) fn keys<K, E: std::fmt::Display>(
    auth: &Section<'_>,
    secrets: Secrets,
    read: impl Fn(&SecretString, Option<Timestamp>) -> Result<K, E>,
) -> Option<Vec<K>> {
    auth.require("secrets", "write secrets = [{ file = \"/run/secrets/name\" }]");
    let files = auth.list("secrets");
    if secrets == Secrets::Skip {
        return Some(Vec::new());
    }
    if files.is_empty() {
        auth.complain("secrets", "names no secret", "nobody could ever be believed; name at least one file");
        return None;
    }
    let keys: Vec<Option<(K, Option<Timestamp>)>> = files.iter().map(|section| key(section, &read)).collect();
    let keys: Vec<(K, Option<Timestamp>)> = keys.into_iter().collect::<Option<_>>()?;
    check_expiry(auth, keys.iter().map(|(_, not_after)| *not_after).collect());
    Some(keys.into_iter().map(|(key, _)| key).collect())
}

/// Complains when every secret has ended, and warns before. A secret without an end never does.
fn check_expiry(auth: &Section<'_>, ends: Option<Vec<Timestamp>>) {
    let Some(last) = ends.and_then(|ends| ends.into_iter().max()) else {
        return;
    };
    let now = Clock::system().now();
    if last < now {
        let problem = format!("have all passed their not_after, the last at {last}: nobody is believed");
        auth.complain("secrets", problem, "add a new secret, and give it to the sender");
    } else if last < after(now, EXPIRY_NOTICE) {
        let problem = format!("all end within 14 days, the last at {last}");
        auth.warn("secrets", problem, "add a new secret, and give it to the sender before then");
    }
}

fn key<K, E: std::fmt::Display>(
    section: &Section<'_>,
    read: impl Fn(&SecretString, Option<Timestamp>) -> Result<K, E>,
) -> Option<(K, Option<Timestamp>)> {
    let not_after = match section.time_text("not_after") {
        Some(text) => {
            let time = parse_time(&text);
            if time.is_none() {
                section.complain("not_after", format!("{text:?} is no time"), "write 2027-01-31T00:00:00Z");
            }
            Some(time?)
        }
        None => None,
    };
    let secret = secret::read(section);
    section.finish();
    let secret = secret?;
    match read(&secret.text, not_after) {
        Ok(key) => Some((key, not_after)),
        Err(error) => {
            let remedy = "make one with: echo \"whsec_$(openssl rand -base64 32)\" for standard-webhooks, \
                          openssl rand -hex 32 for the others";
            section.complain(secret.key, error.to_string(), remedy);
            None
        }
    }
}

fn certificates(auth: &Section<'_>) -> Option<Certificates> {
    let lower =
        |name: &str| if name.contains([':', '@']) { name.to_owned() } else { name.to_ascii_lowercase() };
    let names: Vec<String> = auth.texts("names").unwrap_or_default().into_iter().map(lower).collect();
    let texts = auth.texts("fingerprints").unwrap_or_default();
    let fingerprint = |text: &str| {
        let mut bytes = [0; 32];
        let read = hex::decode_to_slice(text.replace(':', "").to_ascii_lowercase(), &mut bytes);
        if read.is_err() {
            let remedy = "write the output of: openssl x509 -in client.pem -noout -fingerprint -sha256";
            auth.complain("fingerprints", format!("{text:?} is no SHA-256 fingerprint"), remedy);
        }
        read.ok().map(|()| bytes)
    };
    let fingerprints: Vec<Option<[u8; 32]>> = texts.into_iter().map(fingerprint).collect();
    let fingerprints: Vec<[u8; 32]> = fingerprints.into_iter().collect::<Option<_>>()?;
    if names.is_empty() && fingerprints.is_empty() {
        let remedy = "write names = [\"siem.corp.example\"] or fingerprints = [\"...\"]";
        auth.complain(
            "names",
            "and fingerprints are both missing: any certificate of the CA would do",
            remedy,
        );
        return None;
    }
    Some(Certificates { names, fingerprints })
}
