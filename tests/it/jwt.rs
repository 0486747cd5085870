//! Tokens of an issuer: which are believed and which are not.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::after;
use quarantine_bridge::ingest::jwt::{
    Algorithm, Caller, CallerClaim, Issuer, Jwt, JwtError, KeyAddress, KeySet, KeySetError,
};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::issuer::{AUDIENCE, PLAYBOOK, SigningPair, claims};
use crate::harness::start_of_time;

const ISSUER: &str = "https://sts.windows.net/tenant/";

static RSA: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("rsa", "RS256"));
static PSS: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("pss", "PS256"));
static EC: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("ec", "ES256"));
static EC384: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("ec384", "ES384"));
static ED: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("ed", "EdDSA"));
/// A key of another issuer, under an id that ours has too.
static STRANGER: LazyLock<SigningPair> = LazyLock::new(|| SigningPair::new("rsa", "RS256"));

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

static ALL_KEYS: LazyLock<KeySet> =
    LazyLock::new(|| key_set(&[RSA.jwk(), PSS.jwk(), EC.jwk(), EC384.jwk(), ED.jwk()]));

fn rules() -> Jwt {
    let url = "https://login.microsoftonline.com/tenant/discovery/keys".parse().unwrap();
    Jwt {
        issuer: Issuer { name: ISSUER.to_owned(), keys: KeyAddress::Jwks(url) },
        audiences: vec![AUDIENCE.to_owned()],
        algorithms: Algorithm::ALL.to_vec(),
        callers: vec![Caller { claim: CallerClaim::Oid, value: PLAYBOOK.to_owned() }],
        roles: vec!["Alerts.Send".to_owned()],
        max_age: None,
    }
}

fn good() -> Value {
    claims(ISSUER, start_of_time())
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(names: &[&str]) -> Value {
    let mut claims = good();
    for name in names {
        claims.as_object_mut().unwrap().remove(*name).unwrap();
    }
    claims
}

fn check_at(token: &str, now: Timestamp) -> Result<Caller, JwtError> {
    rules().check(&format!("Bearer {token}"), &ALL_KEYS, now).cloned()
}

fn check(token: &str) -> Result<Caller, JwtError> {
    check_at(token, start_of_time())
}

#[track_caller]
fn refused(what: &str, token: &str, why: &str) {
    let result = check(token);
    assert_eq!(result.map_err(JwtError::reason), Err(why), "{what}");
}

fn now(plus: i64) -> Value {
    json!(start_of_time().as_second() + plus)
}

#[test]
fn a_good_token_of_every_algorithm_is_believed() {
    for key in [&*RSA, &*PSS, &*EC, &*EC384, &*ED] {
        assert_eq!(check(&key.token(&good())), Ok(rules().callers[0].clone()), "{}", key.alg);
    }
}

#[test]
fn what_may_be_otherwise_is_believed_too() {
    let good_ones = [
        ("an audience in an array", with("aud", json!([AUDIENCE]))),
        ("no iat", without(&["iat"])),
        ("no nbf", without(&["nbf"])),
        ("one role of several", with("roles", json!(["Other", "Alerts.Send"]))),
        ("an unknown claim", with("something", json!({"a": [1, 2, {"b": null}]}))),
        ("expired, within the leeway", with("exp", now(-59))),
        ("not yet good, within the leeway", with("nbf", now(60))),
    ];
    for (what, claims) in good_ones {
        assert!(check(&RSA.token(&claims)).is_ok(), "{what}");
    }
    for typ in [r#""typ":"JWT","#, r#""typ":"at+jwt","#, r#""x5t":"abc","#, ""] {
        let header = format!(r#"{{{typ}"alg":"RS256","kid":"rsa"}}"#);
        assert!(check(&RSA.sign(&header, &good().to_string())).is_ok(), "{typ}");
    }
}

#[test]
fn a_token_with_claims_that_are_not_ours_is_refused() {
    let table = [
        ("another issuer", with("iss", json!("https://sts.windows.net/other/")), "token_issuer"),
        ("an issuer without its slash", with("iss", json!("https://sts.windows.net/tenant")), "token_issuer"),
        ("an issuer in capitals", with("iss", json!("HTTPS://STS.WINDOWS.NET/TENANT/")), "token_issuer"),
        ("issuers in an array", with("iss", json!([ISSUER])), "token_malformed"),
        ("no issuer", without(&["iss"]), "token_issuer"),
        ("another audience", with("aud", json!("api://other")), "token_audience"),
        (
            "an audience that begins like ours",
            with("aud", json!("api://quarantine-bridge/x")),
            "token_audience",
        ),
        ("other audiences in an array", with("aud", json!(["api://other", "api://more"])), "token_audience"),
        ("our audience among others", with("aud", json!([AUDIENCE, "api://other"])), "token_audience"),
        ("no audience in an array", with("aud", json!([])), "token_audience"),
        ("numbers as audiences", with("aud", json!([1, 2])), "token_malformed"),
        ("arrays as audiences", with("aud", json!([[AUDIENCE]])), "token_malformed"),
        ("no audience", without(&["aud"]), "token_audience"),
        ("expired", with("exp", now(-60)), "token_expired"),
        ("expired long ago", with("exp", json!(0)), "token_expired"),
        ("no end", without(&["exp"]), "token_malformed"),
        ("an end that is a text", with("exp", json!("9999999999")), "token_malformed"),
        ("an end that is a fraction", with("exp", json!(1e10)), "token_malformed"),
        ("an end that no calendar has", with("exp", json!(i64::MAX)), "token_malformed"),
        ("an end of null", with("exp", Value::Null), "token_malformed"),
        ("not yet good", with("nbf", now(61)), "token_early"),
        ("issued in the future", with("iat", now(61)), "token_early"),
        ("no word when it was issued", without(&["nbf", "iat"]), "token_malformed"),
        ("another caller", with("oid", json!("5f1d3a90-7f0e-4c0e-8f6f-0d7b6f0a2c12")), "token_caller"),
        ("the caller in capitals", with("oid", json!(PLAYBOOK.to_uppercase())), "token_caller"),
        ("the caller in a claim that is not listed", with("oid", json!("x")), "token_caller"),
        ("callers in an array", with("oid", json!([PLAYBOOK])), "token_malformed"),
        ("no caller", without(&["oid"]), "token_caller"),
        ("no roles", without(&["roles"]), "token_role"),
        ("other roles", with("roles", json!(["alerts.send", "Alerts.Send ", "Alerts"])), "token_role"),
        ("the roles in one text", with("roles", json!("Alerts.Read Alerts.Send")), "token_role"),
        ("roles as an object", with("roles", json!({"Alerts.Send": true})), "token_malformed"),
    ];
    for (what, claims, why) in table {
        refused(what, &RSA.token(&claims), why);
        // The same with another good key, and a bad signature changes nothing about it.
        assert!(check(&EC.token(&claims)).is_err(), "{what}");
    }
}

#[test]
fn a_token_that_is_not_of_the_form_is_refused() {
    let sign = |header: &str| RSA.sign(header, &good().to_string());
    let good_token = RSA.token(&good());
    let (signed, signature) = good_token.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let twice = good().to_string().replacen('{', r#"{"aud":"api://other","#, 1);
    let twice_escaped = good().to_string().replacen('{', r#"{"\u0061ud":"api://other","#, 1);
    let malformed = [
        ("nothing", String::new()),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good_token}.{signature}")),
        ("five parts", format!("{good_token}.{signature}.{signature}")),
        ("an empty part before", format!(".{good_token}")),
        ("an empty part behind", format!("{good_token}.")),
        ("an empty body", format!("{header}..{signature}")),
        ("a body that is no object", RSA.sign(r#"{"alg":"RS256","kid":"rsa"}"#, "[1]")),
        ("a body that is no JSON", RSA.sign(r#"{"alg":"RS256","kid":"rsa"}"#, "{")),
        ("two JSON values", RSA.sign(r#"{"alg":"RS256","kid":"rsa"}"#, &format!("{} {{}}", good()))),
        ("padding", format!("{header}=.{body}.{signature}")),
        ("a space before", format!(" {good_token}")),
        ("a space within", format!("{header} .{body}.{signature}")),
        ("another token behind a comma", format!("{good_token}, Bearer {good_token}")),
        ("a letter that is not ASCII", format!("{header}.{body}ä.{signature}")),
        ("more than 8 KiB", RSA.token(&with("padding", json!("x".repeat(8192))))),
        ("a claim twice", RSA.sign(r#"{"alg":"RS256","kid":"rsa"}"#, &twice)),
        ("a claim twice in two spellings", RSA.sign(r#"{"alg":"RS256","kid":"rsa"}"#, &twice_escaped)),
        ("alg twice", sign(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#)),
        ("kid twice", sign(r#"{"alg":"RS256","kid":"ec","kid":"rsa"}"#)),
        ("no kid", sign(r#"{"alg":"RS256"}"#)),
        ("a kid that is no text", sign(r#"{"alg":"RS256","kid":1}"#)),
        ("an alg that is no text", sign(r#"{"alg":["RS256"],"kid":"rsa"}"#)),
        ("crit", sign(r#"{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}"#)),
        ("an empty crit", sign(r#"{"alg":"RS256","kid":"rsa","crit":[]}"#)),
        ("crit of null", sign(r#"{"alg":"RS256","kid":"rsa","crit":null}"#)),
        ("an unencoded body", sign(r#"{"alg":"RS256","kid":"rsa","b64":false,"crit":["b64"]}"#)),
        ("another type", sign(r#"{"typ":"JWE","alg":"RS256","kid":"rsa"}"#)),
        ("an id token of logout", sign(r#"{"typ":"logout+jwt","alg":"RS256","kid":"rsa"}"#)),
    ];
    for (what, token) in malformed {
        refused(what, &token, "token_malformed");
    }
    let nested = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let deep = good().to_string().replacen('{', &format!(r#"{{"deep":{nested},"#), 1);
    refused("a deep body", &RSA.sign(r#"{"alg":"RS256","kid":"rsa"}"#, &deep), "token_malformed");
}

#[test]
fn the_scheme_of_the_header_is_written_as_everybody_writes_it() {
    let token = RSA.token(&good());
    for authorization in [
        format!("bearer {token}"),
        format!("BEARER {token}"),
        format!("Bearer  {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer{token}"),
        format!("Basic {token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        let result = rules().check(&authorization, &ALL_KEYS, start_of_time()).cloned();
        assert_eq!(result.map_err(JwtError::reason), Err("token_malformed"), "{authorization}");
    }
    refused("a space behind", &format!("{token} "), "token_signature");
}

/// Signs with HMAC-SHA256 over a secret that everybody knows: the public key.
fn hmac(header: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(good().to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn no_trick_with_the_algorithm_or_the_key_works() {
    let body = good().to_string();
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "kid": "rsa"}).to_string();
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&body))
    };
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256", "RS1", "RSA", "rs256", "RS512", "ES256K"] {
        refused(alg, &unsigned(alg), "token_algorithm");
    }
    refused("no signature", &unsigned("RS256"), "token_signature");
    let n = RSA.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [n.as_bytes(), &URL_SAFE_NO_PAD.decode(&n).unwrap(), RSA.jwk().to_string().as_bytes(), b""]
    {
        refused(
            "the public key as a secret",
            &hmac(r#"{"alg":"HS256","kid":"rsa"}"#, secret),
            "token_algorithm",
        );
        refused("the same, called RS256", &hmac(r#"{"alg":"RS256","kid":"rsa"}"#, secret), "token_signature");
    }
    let table = [
        ("a key of another issuer under our kid", STRANGER.token(&good()), "token_signature"),
        ("a kid that nobody has", RSA.sign(r#"{"alg":"RS256","kid":"new"}"#, &body), "token_key_unknown"),
        ("an empty kid", RSA.sign(r#"{"alg":"RS256","kid":""}"#, &body), "token_key_unknown"),
        (
            "a kid that is a path",
            RSA.sign(r#"{"alg":"RS256","kid":"../../rsa"}"#, &body),
            "token_key_unknown",
        ),
        ("the kid of another key", RSA.sign(r#"{"alg":"RS256","kid":"pss"}"#, &body), "token_signature"),
        ("an RSA key as ES256", RSA.sign(r#"{"alg":"ES256","kid":"rsa"}"#, &body), "token_key_unfit"),
        ("an EC key as RS256", EC.sign(r#"{"alg":"RS256","kid":"ec"}"#, &body), "token_key_unfit"),
        ("a P-256 key as ES384", EC.sign(r#"{"alg":"ES384","kid":"ec"}"#, &body), "token_key_unfit"),
        ("a P-384 key as ES256", EC384.sign(r#"{"alg":"ES256","kid":"ec384"}"#, &body), "token_key_unfit"),
        ("an Ed25519 key as RS256", ED.sign(r#"{"alg":"RS256","kid":"ed"}"#, &body), "token_key_unfit"),
        ("PSS called RS256", PSS.sign(r#"{"alg":"RS256","kid":"pss"}"#, &body), "token_signature"),
        ("RS256 called PSS", RSA.sign(r#"{"alg":"PS256","kid":"rsa"}"#, &body), "token_signature"),
    ];
    for (what, token, why) in table {
        refused(what, &token, why);
    }
    let mut with_key = json!({"alg": "RS256", "kid": "rsa", "jku": "https://evil.example/keys", "x5u": "https://evil.example"});
    with_key["jwk"] = STRANGER.jwk();
    refused("a token that brings its key", &STRANGER.sign(&with_key.to_string(), &body), "token_signature");
    let zeros =
        format!("{}.{}", RSA.token(&good()).rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode([0; 256]));
    refused("a signature of zeros", &zeros, "token_signature");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"ec"}"#);
    for fill in [0, 255] {
        let signature = URL_SAFE_NO_PAD.encode([fill; 64]);
        let token = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(&body));
        refused("an ECDSA signature of one byte", &token, "token_signature");
    }
}

#[test]
fn every_changed_letter_of_a_token_is_seen() {
    for key in [&*RSA, &*EC, &*ED] {
        let token = key.token(&good());
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(check(&changed).is_err(), "{} at {place}", key.alg);
        }
        for length in 0..token.len() {
            assert!(check(&token[..length]).is_err(), "{} cut to {length}", key.alg);
        }
    }
}

#[test]
fn a_source_may_allow_fewer_algorithms_than_its_issuer_has() {
    let rules = Jwt { algorithms: vec![Algorithm::Es256], ..rules() };
    let check = |token: String| rules.check(&format!("Bearer {token}"), &ALL_KEYS, start_of_time());
    assert!(check(EC.token(&good())).is_ok());
    for key in [&*RSA, &*PSS, &*EC384, &*ED] {
        assert_eq!(check(key.token(&good())), Err(JwtError::Algorithm), "{}", key.alg);
    }
}

#[test]
fn empty_rules_believe_nobody() {
    let token = format!("Bearer {}", RSA.token(&good()));
    let empty = [
        Jwt { audiences: Vec::new(), ..rules() },
        Jwt { algorithms: Vec::new(), ..rules() },
        Jwt { callers: Vec::new(), ..rules() },
    ];
    for rules in empty {
        assert!(rules.check(&token, &ALL_KEYS, start_of_time()).is_err(), "{rules:?}");
    }
}

#[test]
fn any_listed_caller_is_enough_and_every_role_is_needed() {
    let caller = |claim, value: &str| Caller { claim, value: value.to_owned() };
    let callers = vec![
        caller(CallerClaim::Appid, "one"),
        caller(CallerClaim::Azp, "two"),
        caller(CallerClaim::Oid, "three"),
        caller(CallerClaim::Sub, "four"),
    ];
    let rules = Jwt { callers, roles: vec!["A".to_owned(), "B".to_owned()], ..rules() };
    let check = |claims: &Value| {
        let token = format!("Bearer {}", EC.token(claims));
        rules.check(&token, &ALL_KEYS, start_of_time()).map(|caller| caller.value.clone())
    };
    for (claim, value) in [("appid", "one"), ("azp", "two"), ("oid", "three"), ("sub", "four")] {
        let mut claims = with("roles", json!(["A", "B"]));
        claims[claim] = json!(value);
        assert_eq!(check(&claims), Ok(value.to_owned()));
        claims["roles"] = json!(["A"]);
        assert_eq!(check(&claims), Err(JwtError::Role));
        claims[claim] = json!("five");
        assert_eq!(check(&claims), Err(JwtError::Caller));
    }
}

#[test]
fn an_old_token_is_refused_where_the_source_says_how_old_it_may_be() {
    let rules = Jwt { max_age: Some(SignedDuration::from_mins(10)), ..rules() };
    let age = |claims: &Value, minutes| {
        let token = format!("Bearer {}", EC.token(claims));
        rules.check(&token, &ALL_KEYS, after(start_of_time(), SignedDuration::from_mins(minutes)))
    };
    // Issued five minutes before the start, and a minute is allowed for the clocks.
    assert!(age(&good(), 6).is_ok());
    assert_eq!(age(&good(), 7), Err(JwtError::Expired));
    assert_eq!(age(&with("iat", json!(0)), 0), Err(JwtError::Expired));
    assert_eq!(age(&without(&["iat"]), 7), Err(JwtError::Expired));
}

#[test]
fn only_this_clock_counts() {
    let token = EC.token(&good());
    let end = after(start_of_time(), SignedDuration::from_hours(24));
    assert!(check_at(&token, start_of_time()).is_ok());
    assert_eq!(check_at(&token, end), Err(JwtError::Expired));
    assert_eq!(check_at(&token, Timestamp::UNIX_EPOCH), Err(JwtError::Early));
}

#[test]
fn keys_that_are_not_for_tokens_are_left_out_of_the_set() {
    let spoiled = |change: fn(&mut Value)| {
        let mut jwk = EC.jwk();
        change(&mut jwk);
        jwk
    };
    let unfit = [
        spoiled(|jwk| jwk["use"] = json!("enc")),
        spoiled(|jwk| jwk["use"] = json!("SIG")),
        spoiled(|jwk| jwk["key_ops"] = json!(["encrypt"])),
        spoiled(|jwk| jwk["alg"] = json!("ECDH-ES")),
        spoiled(|jwk| jwk["alg"] = json!("ES384")),
        spoiled(|jwk| jwk["alg"] = json!("RS256")),
        spoiled(|jwk| jwk["crv"] = json!("P-384")),
        spoiled(|jwk| jwk["crv"] = json!("secp256k1")),
        spoiled(|jwk| jwk["kty"] = json!("RSA")),
        spoiled(|jwk| jwk["kid"] = json!("")),
        spoiled(|jwk| jwk["kid"] = json!("k".repeat(513))),
        spoiled(|jwk| jwk["kid"] = Value::Null),
        spoiled(|jwk| jwk["x"] = json!("AAAA")),
        spoiled(|jwk| jwk["y"] = json!("not base64url!")),
        json!({"kty": "oct", "kid": "ec", "k": "c2VjcmV0", "alg": "HS256", "use": "sig"}),
        json!("a text"),
        json!(null),
    ];
    for jwk in unfit {
        let text = json!({"keys": [jwk]}).to_string();
        assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(KeySetError::NoUsableKey(1)), "{jwk}");
        // And it does no harm to the good key beside it.
        assert_eq!(key_set(&[jwk, RSA.jwk()]).len(), 1);
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, "<html>"] {
        assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeySetError::Form(_))), "{text}");
    }
}

#[test]
fn a_kid_that_stands_for_two_keys_stands_for_none() {
    let keys = key_set(&[RSA.jwk(), STRANGER.jwk()]);
    for key in [&*RSA, &*STRANGER] {
        let result =
            rules().check(&format!("Bearer {}", key.token(&good())), &keys, start_of_time()).cloned();
        assert_eq!(result, Err(JwtError::KeyUnknown));
    }
}

#[test]
fn a_key_that_names_its_algorithm_is_for_no_other() {
    let mut jwk = RSA.jwk();
    jwk["alg"] = json!("PS256");
    let result =
        rules().check(&format!("Bearer {}", RSA.token(&good())), &key_set(&[jwk]), start_of_time()).cloned();
    assert_eq!(result, Err(JwtError::KeyUnfit));
}

#[test]
fn a_short_rsa_key_verifies_nothing() {
    // 1024 bits: the modulus of ours, cut in half.
    let mut jwk = RSA.jwk();
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    jwk["n"] = json!(URL_SAFE_NO_PAD.encode(&n[..128]));
    let result =
        rules().check(&format!("Bearer {}", RSA.token(&good())), &key_set(&[jwk]), start_of_time()).cloned();
    assert_eq!(result, Err(JwtError::Signature));
}

#[test]
fn a_bad_token_never_asks_for_new_keys() {
    // Unknown keys cost a request to the issuer, so the claims are looked at before the key.
    let unknown = SigningPair::new("unknown", "ES256");
    assert_eq!(check(&unknown.token(&good())), Err(JwtError::KeyUnknown));
    for claims in
        [with("iss", json!("x")), with("aud", json!("x")), with("exp", json!(0)), with("oid", json!("x"))]
    {
        let error = check(&unknown.token(&claims)).unwrap_err();
        assert_ne!(error, JwtError::KeyUnknown, "{claims}");
    }
}

#[test]
fn every_reason_is_in_the_list() {
    let all = [
        JwtError::Malformed(""),
        JwtError::Algorithm,
        JwtError::Issuer,
        JwtError::Audience,
        JwtError::Expired,
        JwtError::Early,
        JwtError::Caller,
        JwtError::Role,
        JwtError::KeyUnknown,
        JwtError::KeyUnfit,
        JwtError::Tenant,
        JwtError::NoAccessToken,
        JwtError::Signature,
    ];
    assert_eq!(all.map(JwtError::reason), JwtError::REASONS);
}
