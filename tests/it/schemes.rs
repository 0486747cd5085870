//! Every scheme by which a source can prove itself: what is believed, what is not, and what a configuration may say.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use quarantine_bridge::alert::after;
use quarantine_bridge::config::{Complaints, Secrets, load};
use quarantine_bridge::ingest::{
    ClientCertificate, DeliveryKey, Gate, PRESETS, Peer, RawDelivery, TemplateError, Verified, VerifyError,
    verify,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::harness::binary::set_mode;

/// Long enough for every scheme, and not base64 nor hexadecimal digits by chance.
const KEY: &str = "a-key-for-tests-with-32-characters!";
const AT: i64 = 1_772_366_400;
const BODY: &str = r#"{"alert_id":"7a1f","n":1}"#;

type Request = Vec<(String, String)>;

fn now() -> Timestamp {
    Timestamp::from_second(AT).unwrap()
}

fn hmac_sha256(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex_mac(text: &str) -> String {
    hex::encode(hmac_sha256(KEY, text))
}

fn base64_mac(text: &str) -> String {
    STANDARD.encode(hmac_sha256(KEY, text))
}

/// A configuration whose source `soc` proves itself so; `secret` is what its secret file holds.
fn configure(source: &str, auth: &str, secret: &str) -> Result<(Gate, Complaints, TempDir), Complaints> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("secret", secret), ("other", "another-key-for-tests-of-rotation")] {
        fs::write(folder.path().join(name), text).unwrap();
        set_mode(&folder.path().join(name), 0o600);
    }
    let config = format!(
        "[store]\npath = \"bridge.db\"\n[defender]\ntenant_id = \"t\"\nclient_id = \"c\"\n\
         client_secret = {{ file = \"other\" }}\n[sources.soc]\nformat = \"bridge\"\n{source}\n[sources.soc.auth]\n{auth}\n"
    );
    let path = folder.path().join("quarantine-bridge.toml");
    fs::write(&path, config).unwrap();
    let mut config = load(&path, Secrets::Read)?;
    let gate = config.http.sources.pop().unwrap().gate;
    Ok((gate, config.warnings, folder))
}

/// A gate from a configuration that must be good.
fn gate(auth: &str, secret: &str) -> Gate {
    let source = "mode = \"shadow\"\naccept_unsigned = true";
    configure(source, auth, secret).unwrap_or_else(|complaints| panic!("{auth}: {complaints}")).0
}

fn preset(name: &str) -> Gate {
    gate(&format!("scheme = \"{name}\"\nsecrets = [{{ file = \"secret\" }}]"), KEY)
}

fn delivery(headers: &Request, body: &str) -> RawDelivery {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    RawDelivery { headers, body: Bytes::copy_from_slice(body.as_bytes()), ..RawDelivery::default() }
}

fn judge(gate: &Gate, headers: &Request, body: &str) -> Result<Verified, VerifyError> {
    verify(&"soc".parse().unwrap(), gate, &delivery(headers, body), now())
}

fn request(headers: &[(&str, &str)]) -> Request {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What each sender sends for `BODY` at `AT`, written down here from its documentation and not from the presets.
fn honest(name: &str) -> Request {
    let unix = AT.to_string();
    let rfc3339 = "2026-03-01T12:00:00Z".to_owned();
    match name {
        "timestamped" => {
            let mac = hex_mac(&format!("{unix}.{BODY}"));
            request(&[("X-Bridge-Signature", &format!("t={unix},v1={mac}"))])
        }
        "github" => request(&[("X-Hub-Signature-256", &format!("sha256={}", hex_mac(BODY)))]),
        "jira" => request(&[("X-Hub-Signature", &format!("sha256={}", hex_mac(BODY)))]),
        "slack" => {
            let mac = hex_mac(&format!("v0:{unix}:{BODY}"));
            request(&[("X-Slack-Request-Timestamp", &unix), ("X-Slack-Signature", &format!("v0={mac}"))])
        }
        "grafana" => {
            let mac = hex_mac(&format!("{unix}:{BODY}"));
            request(&[("X-Grafana-Alerting-Timestamp", &unix), ("X-Grafana-Alerting-Signature", &mac)])
        }
        "pagerduty" => request(&[("X-PagerDuty-Signature", &format!("v1={}", hex_mac(BODY)))]),
        "crowdstrike" => {
            let mac = base64_mac(&format!("{BODY}{rfc3339}"));
            request(&[("X-Cs-Delivery-Timestamp", &rfc3339), ("X-Cs-Primary-Signature", &mac)])
        }
        "rapid7" => request(&[("X-Rapid7-Signature", &base64_mac(BODY))]),
        "shopify" => request(&[("X-Shopify-Hmac-Sha256", &base64_mac(BODY))]),
        "zendesk" => {
            let mac = base64_mac(&format!("{rfc3339}{BODY}"));
            request(&[
                ("X-Zendesk-Webhook-Signature-Timestamp", &rfc3339),
                ("X-Zendesk-Webhook-Signature", &mac),
            ])
        }
        other => panic!("there is no honest request for {other}"),
    }
}

/// The presets but the first, which `ingest.rs` is about.
fn presets() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name).filter(|name| *name != "standard-webhooks")
}

#[test]
fn every_preset_believes_what_its_sender_sends() {
    for name in presets() {
        let verified =
            judge(&preset(name), &honest(name), BODY).unwrap_or_else(|why| panic!("{name}: {why}"));

        let signs_time =
            honest(name).iter().any(|(_, value)| value.contains("1772366400") || value.contains("T12:"));
        assert_eq!(verified.signed_at(), signs_time.then(now), "{name}");
        assert_eq!(*verified.key(), DeliveryKey::Body(Sha256::digest(BODY).into()), "{name}");
    }
}

#[test]
fn published_vectors_of_other_schemes_are_believed() {
    let vectors: Value = serde_json::from_str(include_str!("../data/webhook-vectors.json")).unwrap();
    let mut seen = 0;
    for vector in vectors.as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap();
        let (auth, secret) = match text("scheme") {
            "standard-webhooks-ed25519" => ("scheme = \"standard-webhooks\"".to_owned(), text("public_key")),
            "github" | "slack" => (format!("scheme = \"{}\"", text("scheme")), text("secret")),
            _ => continue,
        };
        let gate = gate(&format!("{auth}\nsecrets = [{{ file = \"secret\" }}]"), secret);
        let headers = vector["headers"].as_object().unwrap().iter();
        let headers =
            headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let at = vector["now"].as_i64().map_or(now(), |at| Timestamp::from_second(at).unwrap());

        let verified = verify(&"soc".parse().unwrap(), &gate, &delivery(&headers, text("body")), at);

        assert!(verified.is_ok(), "{}: {verified:?}", text("origin"));
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// A row of one's own with SHA-512 in hexadecimal digits and SHA-384 in base64; the keys of the published vectors for
/// these are too short to be taken.
#[test]
fn a_row_of_ones_own_signs_with_longer_hashes_and_an_id() {
    let auth = |algorithm: &str, encoding: &str| {
        format!(
            "scheme = \"hmac\"\nalgorithm = \"{algorithm}\"\nsigned_content = \"v9|{{id}}|{{timestamp}}|{{body}}\"\n\
             signature = {{ header = \"X-Acme-Signature\", prefix = \"a=\", encoding = \"{encoding}\", separator = \";\" }}\n\
             timestamp = {{ header = \"X-Acme-Time\", format = \"unix_ms\", tolerance = \"60s\" }}\n\
             id = {{ header = \"X-Acme-Id\" }}\nsecret_encoding = \"hex\"\nsecrets = [{{ file = \"secret\" }}]"
        )
    };
    let secret = hex::encode([7; 32]);
    let signed = format!("v9|id-1|{AT}000|{BODY}");
    let mut sha512 = Hmac::<sha2::Sha512>::new_from_slice(&[7; 32]).unwrap();
    let mut sha384 = Hmac::<sha2::Sha384>::new_from_slice(&[7; 32]).unwrap();
    sha512.update(signed.as_bytes());
    sha384.update(signed.as_bytes());
    let sha512 = hex::encode(sha512.finalize().into_bytes());
    let sha384 = STANDARD.encode(sha384.finalize().into_bytes());
    for (algorithm, encoding, mac) in [("sha512", "hex", sha512), ("sha384", "base64", sha384)] {
        let gate = gate(&auth(algorithm, encoding), &secret);
        let millis = format!("{AT}000");
        let signature = format!("b=1;a=AAAA;a={mac}");
        let headers =
            request(&[("x-acme-signature", &signature), ("x-acme-time", &millis), ("x-acme-id", "id-1")]);

        let verified = judge(&gate, &headers, BODY).unwrap();

        assert_eq!(*verified.key(), DeliveryKey::Signed("id-1".parse().unwrap()), "{algorithm}");
        assert_eq!(judge(&gate, &headers, "{}").map(|_| ()), Err(VerifyError::Mismatch), "{algorithm}");
    }
}

#[test]
fn times_are_near_enough_or_refused_both_ways() {
    for name in presets().filter(|name| preset_signs_time(name)) {
        let gate = preset(name);
        let at = |seconds: i64| {
            let now = after(now(), jiff::SignedDuration::from_secs(seconds));
            verify(&"soc".parse().unwrap(), &gate, &delivery(&honest(name), BODY), now).map(|_| ())
        };
        assert_eq!([at(-300), at(0), at(300)], [Ok(()), Ok(()), Ok(())], "{name}");
        assert_eq!([at(-301), at(301)], [Err(VerifyError::Early), Err(VerifyError::Stale)], "{name}");
    }
}

fn preset_signs_time(name: &str) -> bool {
    PRESETS.iter().any(|preset| preset.name == name && preset.timestamp.is_some())
}

/// Rewrites one text in every way in which forgers and proxies do.
fn forgeries(text: &str) -> Vec<String> {
    let mut forged = Vec::new();
    for bit in 0..text.len() * 8 {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        forged.extend(String::from_utf8(bytes));
    }
    for cut in 0..text.len() {
        forged.push(text[..cut].to_owned());
        forged.push(text[cut + 1..].to_owned());
        forged.push(format!("{}{}", &text[..=cut], &text[cut..]));
        let (left, right) = (&text[..cut], &text[cut + 1..]);
        forged.extend(
            right.chars().next().map(|next| format!("{left}{next}{}{}", &text[cut..=cut], &right[1..])),
        );
    }
    forged.push(text.to_ascii_uppercase());
    forged.push(text.to_ascii_lowercase());
    for joint in [",", ", ", ";", " ", "", "\t", "\n"] {
        forged.push(format!("{text}{joint}{text}"));
        forged.push(format!("{joint}{text}"));
        forged.push(format!("{text}{joint}"));
        forged.push(format!("junk{joint}{text}"));
    }
    forged.push(text.replace('=', "%3D"));
    forged.push(text.chars().rev().collect());
    if let Some((before, after)) = text.split_once('=') {
        forged.push(format!("{before}={}", STANDARD.encode(after)));
        forged.push(format!("{before}={}", hex::encode(after)));
        forged.push(format!("{before}==={after}"));
        forged.push(after.to_owned());
    }
    forged.retain(|other| other != text);
    forged
}

/// Two texts that mean the same: a signature of another version beside the good one is skipped, as the schemes ask.
fn is_as_good(name: &str, forged: &str, honest: &str) -> bool {
    let pairs = matches!(name, "timestamped" | "pagerduty");
    let signature = honest.rsplit("v1=").next().unwrap_or_default();
    let times = forged.split(',').filter(|pair| pair.starts_with("t=")).count();
    let time = honest.split(',').find(|pair| pair.starts_with("t="));
    pairs
        && forged.split(',').any(|pair| pair.strip_prefix("v1=") == Some(signature))
        && time.is_none_or(|time| times == 1 && forged.split(',').any(|pair| pair == time))
}

#[test]
fn ten_thousand_forgeries_and_none_is_believed() {
    let mut tried = 0;
    for name in presets() {
        let gate = preset(name);
        let honest = honest(name);
        let mut variants: Vec<(Request, String)> = Vec::new();
        for (place, (header, value)) in honest.iter().enumerate() {
            for forged in forgeries(value).into_iter().filter(|forged| !is_as_good(name, forged, value)) {
                let mut headers = honest.clone();
                headers[place].1 = forged;
                variants.push((headers, BODY.to_owned()));
            }
            let mut doubled = honest.clone();
            doubled.push((header.clone(), value.clone()));
            variants.push((doubled, BODY.to_owned()));
            let mut renamed = honest.clone();
            renamed[place].0 = format!("{header}-1");
            variants.push((renamed, BODY.to_owned()));
            let mut without = honest.clone();
            without.remove(place);
            variants.push((without, BODY.to_owned()));
        }
        variants.extend(forgeries(BODY).into_iter().map(|body| (honest.clone(), body)));
        let reformatted = BODY.replace(':', ": ");
        variants.push((honest.clone(), reformatted));
        for (headers, body) in variants {
            tried += 1;
            let believed = judge(&gate, &headers, &body);
            assert!(believed.is_err(), "{name}: {headers:?} {body}");
        }
    }
    eprintln!("{tried} forgeries, 0 believed");
    assert!(tried >= 10_000, "only {tried} forgeries were made");
}

#[test]
fn what_one_preset_signs_another_does_not_believe() {
    for sender in presets() {
        for receiver in presets().filter(|receiver| *receiver != sender) {
            // The same bytes under the same key: told apart by the header's name and form.
            assert!(judge(&preset(receiver), &honest(sender), BODY).is_err(), "{sender} at {receiver}");
        }
    }
}

#[test]
fn order_and_case_of_header_names_do_not_matter() {
    for name in presets() {
        let mut headers = honest(name);
        headers.reverse();
        for header in &mut headers {
            header.0 = header.0.to_ascii_uppercase();
        }
        assert!(judge(&preset(name), &headers, BODY).is_ok(), "{name}");
    }
}

#[test]
fn header_names_and_tolerance_of_a_preset_can_be_set() {
    let auth = "scheme = \"grafana\"\nheader = \"X-Sig\"\ntimestamp_header = \"X-Time\"\ntolerance = \"30s\"\n\
                secrets = [{ file = \"secret\" }]";
    let gate = gate(auth, KEY);
    let at = |seconds: i64| {
        let unix = (AT - seconds).to_string();
        let mac = hex_mac(&format!("{unix}:{BODY}"));
        judge(&gate, &request(&[("x-sig", &mac), ("x-time", &unix)]), BODY).map(|_| ())
    };
    assert_eq!([at(30), at(31)], [Ok(()), Err(VerifyError::Stale)]);
}

#[test]
fn grafanas_two_default_names_are_both_known() {
    let headers: Request = honest("grafana")
        .into_iter()
        .map(|(name, value)| (name.replace("Alerting-Signature", "Alert-Signature"), value))
        .collect();
    assert!(judge(&preset("grafana"), &headers, BODY).is_ok());
}

#[test]
fn two_secrets_live_beside_each_other_and_one_ends_by_itself() {
    let auth = "scheme = \"github\"\nsecrets = [{ file = \"other\", not_after = 2026-03-01T11:59:59Z }, { file = \"secret\" }]";
    let gate = gate(auth, KEY);
    let ended = hmac_sha256("another-key-for-tests-of-rotation", BODY);
    let ended = request(&[("x-hub-signature-256", &format!("sha256={}", hex::encode(ended)))]);
    assert!(judge(&gate, &honest("github"), BODY).is_ok());
    assert_eq!(judge(&gate, &ended, BODY).map(|_| ()), Err(VerifyError::Mismatch));
}

const TOKEN: &str = "Zk3-a-static-token_9d1f7c2e8b4a6052";

#[test]
fn tokens_are_believed_as_they_are_and_not_otherwise() {
    let tokens = "secrets = [{ file = \"secret\" }]";
    let basic = format!("siem:{TOKEN}:with:colons");
    let encoded = STANDARD.encode(&basic);
    let cases = [
        ("scheme = \"bearer\"", TOKEN, ("authorization", format!("Bearer {TOKEN}"))),
        ("scheme = \"header\"\nheader = \"X-Api-Key\"", TOKEN, ("x-api-key", TOKEN.to_owned())),
        ("scheme = \"basic\"", &basic, ("authorization", format!("Basic {encoded}"))),
    ];
    for (auth, secret, (name, value)) in cases {
        let gate = gate(&format!("{auth}\n{tokens}"), secret);
        let shown = request(&[(name, &value)]);
        assert!(judge(&gate, &shown, BODY).is_ok(), "{auth}");
        assert!(judge(&gate, &request(&[]), BODY).is_err(), "{auth}");
        assert!(judge(&gate, &[shown.clone(), shown].concat(), BODY).is_err(), "{auth}");
        let mut believed: Vec<String> = forgeries(&value)
            .into_iter()
            .filter(|forged| judge(&gate, &request(&[(name, forged)]), BODY).is_ok())
            .collect();
        // The scheme's own word may be written in any case (RFC 9110, section 11.1).
        let (scheme, rest) = value.split_once(' ').unwrap_or(("", &value));
        believed.retain(|forged| {
            let other = forged.split_once(' ');
            !other.is_some_and(|(word, same)| word.eq_ignore_ascii_case(scheme) && same == rest)
        });
        assert_eq!(believed, Vec::<String>::new(), "{auth}");
    }
}

#[test]
fn a_token_in_the_path_needs_a_network_too() {
    let auth = "scheme = \"path-token\"\nsecrets = [{ file = \"secret\" }]\nallow_cidrs = [\"10.1.0.0/16\"]";
    let gate = gate(auth, TOKEN);
    let judge = |token: Option<&str>, address: Option<&str>| {
        let peer = Peer { address: address.map(|it| it.parse().unwrap()), certificate: None };
        let path_token = token.map(|token| token.to_owned().into());
        let delivery = RawDelivery { peer, path_token, ..delivery(&request(&[]), BODY) };
        verify(&"soc".parse().unwrap(), &gate, &delivery, now()).map(|_| ())
    };
    assert_eq!(judge(Some(TOKEN), Some("10.1.2.3")), Ok(()));
    assert_eq!(judge(Some(TOKEN), Some("::ffff:10.1.2.3")), Ok(()));
    assert_eq!(judge(Some(TOKEN), Some("10.2.0.1")), Err(VerifyError::AddressNotAllowed));
    assert_eq!(judge(Some(TOKEN), None), Err(VerifyError::AddressNotAllowed));
    assert_eq!(judge(Some(&TOKEN.to_lowercase()), Some("10.1.2.3")), Err(VerifyError::Mismatch));
    assert!(judge(None, Some("10.1.2.3")).is_err());
}

#[test]
fn a_certificate_is_known_by_its_whole_name_or_its_fingerprint() {
    let sha256 = [0xAB; 32];
    let named = "scheme = \"mtls\"\nnames = [\"SIEM.corp.example\", \"spiffe://corp/siem\"]";
    let pinned = format!("scheme = \"mtls\"\nfingerprints = [\"{}\"]", ["AB"; 32].join(":"));
    let judge = |gate: &Gate, certificate: Option<(&[&str], [u8; 32])>| {
        let certificate = certificate.map(|(names, sha256)| {
            let shown = names.iter().map(|name| (*name).to_owned()).collect();
            ClientCertificate { sha256, names: shown }
        });
        let delivery =
            RawDelivery { peer: Peer { address: None, certificate }, ..delivery(&request(&[]), BODY) };
        verify(&"soc".parse().unwrap(), gate, &delivery, now()).map(|_| ())
    };
    let (named, pinned) = (gate(named, KEY), gate(&pinned, KEY));
    let refused = Err(VerifyError::CertificateMismatch);
    assert_eq!(judge(&named, Some((&["a.example", "siem.corp.example"], sha256))), Ok(()));
    assert_eq!(judge(&named, Some((&["spiffe://corp/siem"], sha256))), Ok(()));
    assert_eq!(judge(&named, Some((&["*.corp.example"], sha256))), refused);
    assert_eq!(judge(&named, Some((&["x.siem.corp.example", "corp.example"], sha256))), refused);
    assert_eq!(judge(&named, None), Err(VerifyError::CertificateMissing));
    assert_eq!(judge(&pinned, Some((&[], sha256))), Ok(()));
    assert_eq!(judge(&pinned, Some((&["siem.corp.example"], [0xAC; 32]))), refused);
}

#[test]
fn every_item_must_carry_graphs_client_state() {
    let gate = gate("scheme = \"graph\"\nsecrets = [{ file = \"secret\" }]", TOKEN);
    let judge = |body: &str| judge(&gate, &request(&[]), body).map(|_| ());
    let item = format!("{{\"clientState\":\"{TOKEN}\",\"resource\":\"security/alerts_v2/1\"}}");
    assert_eq!(judge(&format!("{{\"value\":[{item},{item}]}}")), Ok(()));
    assert_eq!(
        judge(&format!("{{\"value\":[{item},{{\"clientState\":\"x\"}}]}}")),
        Err(VerifyError::Mismatch)
    );
    for bad in [
        format!("{{\"value\":[{item},{{}}]}}"),
        format!("{{\"value\":[{item}],\"value\":[{item}]}}"),
        format!("{{\"value\":[{{\"clientState\":\"{TOKEN}\",\"clientState\":\"{TOKEN}\"}}]}}"),
        format!("[{item}]"),
        "{\"value\":[]}".to_owned(),
        "{\"value\":[{\"clientState\":null}]}".to_owned(),
        String::new(),
        "[".repeat(100_000),
    ] {
        assert_eq!(judge(&bad), Err(VerifyError::ClientState), "{bad:.80}");
    }
}

#[test]
fn a_second_scheme_and_a_network_must_hold_as_well() {
    let auth = "scheme = \"github\"\nsecrets = [{ file = \"secret\" }]\nallow_cidrs = [\"192.0.2.7\", \"2001:db8::/32\"]\n\
                [sources.soc.auth.also]\nscheme = \"header\"\nheader = \"X-Api-Key\"\nsecrets = [{ file = \"other\" }]";
    let gate = gate(auth, KEY);
    let judge = |headers: &Request, address: &str| {
        let peer = Peer { address: Some(address.parse().unwrap()), certificate: None };
        let delivery = RawDelivery { peer, ..delivery(headers, BODY) };
        verify(&"soc".parse().unwrap(), &gate, &delivery, now()).map(|_| ())
    };
    let key = request(&[("x-api-key", "another-key-for-tests-of-rotation")]);
    let both = [honest("github"), key.clone()].concat();
    assert_eq!(judge(&both, "192.0.2.7"), Ok(()));
    assert_eq!(judge(&both, "2001:db8::1"), Ok(()));
    assert_eq!(judge(&both, "192.0.2.8"), Err(VerifyError::AddressNotAllowed));
    assert!(judge(&honest("github"), "192.0.2.7").is_err());
    assert!(judge(&key, "192.0.2.7").is_err());
}

/// Auth section, secret, and what the complaint must say.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("scheme = \"github\"\nsecrets = [{ file = \"secret\" }]", "too short", "24 to 1024"),
    ("scheme = \"standard-webhooks\"\nsecrets = [{ file = \"secret\" }]", "whsk_AAAA", "private key"),
    ("scheme = \"standard-webhooks\"\nsecrets = [{ file = \"secret\" }]", "whpk_AAAA", "32 bytes"),
    ("scheme = \"bearer\"\nsecrets = [{ file = \"secret\" }]", "short", "16 to 1024"),
    ("scheme = \"basic\"\nsecrets = [{ file = \"secret\" }]", KEY, "user:password"),
    ("scheme = \"header\"\nsecrets = [{ file = \"secret\" }]", KEY, "auth.header: is missing"),
    ("scheme = \"header\"\nheader = \"X Key\"\nsecrets = [{ file = \"secret\" }]", KEY, "no header's name"),
    ("scheme = \"path-token\"\nsecrets = [{ file = \"secret\" }]", TOKEN, "path-token needs it"),
    (
        "scheme = \"path-token\"\nallow_cidrs = [\"10.0.0.0/8\"]\nsecrets = [{ file = \"secret\" }]",
        "0123456789abcdef0123456789abcdef/",
        "letters, digits",
    ),
    ("scheme = \"mtls\"", KEY, "any certificate of the CA would do"),
    ("scheme = \"mtls\"\nfingerprints = [\"abcd\"]", KEY, "no SHA-256 fingerprint"),
    (
        "scheme = \"github\"\nallow_cidrs = [\"10.0.0.0/99\"]\nsecrets = [{ file = \"secret\" }]",
        KEY,
        "no network",
    ),
    ("scheme = \"github\"\nallow_cidrs = [1]\nsecrets = [{ file = \"secret\" }]", KEY, "no text"),
    ("scheme = \"github\"", KEY, "auth.secrets: is missing"),
    ("scheme = \"github\"\nsecrets = []", KEY, "names no secret"),
    ("scheme = \"slack\"\ntolerance = \"2d\"\nsecrets = [{ file = \"secret\" }]", KEY, "between 5 s and 1 h"),
    ("scheme = \"twilio\"\nsecrets = [{ file = \"secret\" }]", KEY, "there is no scheme"),
    (
        "scheme = \"github\"\ntimestamp_header = \"X-Time\"\nsecrets = [{ file = \"secret\" }]",
        KEY,
        "not a key",
    ),
];

/// Keys of `hmac` beside header and secret, and what the complaint must say.
const HMAC_MISTAKES: &[(&str, &str)] = &[
    ("", "signed_content: is missing"),
    ("signed_content = \"{timestamp}\"", "exactly once"),
    ("signed_content = \"{body}{body}\"", "exactly once"),
    ("signed_content = \"{body}.{bodi}\"", "none of {id}, {timestamp} and {body}"),
    ("signed_content = \"{id}{body}\"", "full stop"),
    ("signed_content = \"{timestamp}.{body}\"", "say where the time is"),
    ("signed_content = \"{id}.{body}\"", "say which header holds the id"),
    ("signed_content = \"{body}\"\nid = { header = \"X-Id\" }", "cannot tell what is a duplicate"),
    ("signed_content = \"{body}\"\ntimestamp = { header = \"X-Time\" }", "anybody could change it"),
    ("signed_content = \"{timestamp}.{body}\"\ntimestamp = { }", "where the time is"),
    (
        "signed_content = \"{timestamp}.{body}\"\ntimestamp = { header = \"X-T\", format = \"iso\" }",
        "unix, unix_ms, rfc3339",
    ),
    ("signed_content = \"{body}\"\nalgorithm = \"sha1\"", "sha256, sha384, sha512"),
    ("signed_content = \"{body}\"\nsecret_encoding = \"rot13\"", "utf8, base64, hex, whsec"),
];

#[test]
fn mistakes_in_auth_are_told() {
    let source = "mode = \"shadow\"\naccept_unsigned = true";
    let rows = HMAC_MISTAKES.iter().map(|(keys, words)| {
        let auth = format!(
            "scheme = \"hmac\"\nsignature = {{ header = \"X-Sig\" }}\nsecrets = [{{ file = \"secret\" }}]\n{keys}"
        );
        (auth, KEY, *words)
    });
    let rows = rows.chain(MISTAKES.iter().map(|(auth, secret, words)| ((*auth).to_owned(), *secret, *words)));
    for (auth, secret, words) in rows {
        let Err(complaints) = configure(source, &auth, secret) else {
            panic!("{auth} was taken");
        };
        assert!(complaints.to_string().contains(words), "{auth}: {complaints}");
        let all_help =
            complaints.0.iter().all(|complaint| !complaint.remedy.is_empty() && complaint.line.is_some());
        assert!(all_help, "{complaints}");
    }
}

#[test]
fn what_does_not_sign_must_be_wanted_and_once_more_to_enforce() {
    let unsigned = [
        ("scheme = \"bearer\"\nsecrets = [{ file = \"secret\" }]", TOKEN),
        ("scheme = \"header\"\nheader = \"X-Key\"\nsecrets = [{ file = \"secret\" }]", TOKEN),
        ("scheme = \"basic\"\nsecrets = [{ file = \"secret\" }]", "siem:correct-horse-battery-staple"),
        ("scheme = \"path-token\"\nallow_cidrs = [\"::1\"]\nsecrets = [{ file = \"secret\" }]", TOKEN),
        ("scheme = \"mtls\"\nnames = [\"a.example\"]", TOKEN),
        ("scheme = \"graph\"\nsecrets = [{ file = \"secret\" }]", TOKEN),
    ];
    for (auth, secret) in unsigned {
        let taken = |source: &str| configure(source, auth, secret).is_ok();
        assert!(!taken("mode = \"shadow\""), "{auth}");
        assert!(!taken("mode = \"enforce\""), "{auth}");
        assert!(!taken("mode = \"enforce\"\naccept_unsigned = true"), "{auth}");
        assert!(!taken("mode = \"enforce\"\naccept_unsigned = true\nenforce_unsigned = \"yes\""), "{auth}");
        assert!(!taken("mode = \"enforce\"\nenforce_unsigned = \"I accept the risk\""), "{auth}");
        assert!(taken("mode = \"shadow\"\naccept_unsigned = true"), "{auth}");
        assert!(taken("mode = \"approve\"\naccept_unsigned = true"), "{auth}");
        let accepted = "mode = \"enforce\"\naccept_unsigned = true\nenforce_unsigned = \"I accept the risk\"";
        assert!(taken(accepted), "{auth}");
    }
}

#[test]
fn a_scheme_without_a_time_warns() {
    for preset in PRESETS.iter().filter(|preset| preset.name != "standard-webhooks") {
        let auth = format!("scheme = \"{}\"\nsecrets = [{{ file = \"secret\" }}]", preset.name);
        let (_, warnings, _) = configure("mode = \"shadow\"", &auth, KEY).unwrap();
        assert_eq!(warnings.is_empty(), preset.timestamp.is_some(), "{}: {warnings}", preset.name);
    }
}

#[test]
fn a_template_is_longer_than_anything_known_or_refused() {
    let long = format!("{}{{body}}", "x".repeat(200));
    let read: Result<quarantine_bridge::ingest::Template, TemplateError> = long.parse();
    assert_eq!(read, Err(TemplateError::TooLong));
}
