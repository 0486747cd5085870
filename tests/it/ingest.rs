//! Signatures: what is believed and what is not.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use quarantine_bridge::alert::{SourceName, after, before};
use quarantine_bridge::ingest::{
    DeliveryKey, Gate, Headers, KeyError, RawDelivery, SecretEncoding, SigningKey, Verified, VerifyError,
    sign, verify,
};
use secrecy::SecretString;
use serde_json::Value;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const AT: &str = "1649367553";
const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn key(secret: &str) -> SigningKey {
    SigningKey::from_whsec(&SecretString::from(secret), None).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn signed_at() -> Timestamp {
    at(AT.parse().unwrap())
}

fn check(
    keys: Vec<SigningKey>,
    headers: &[(&str, &str)],
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let source: SourceName = "soc".parse().unwrap();
    let gate = Gate::standard_webhooks(keys).unwrap();
    let headers: Headers = headers.iter().copied().collect();
    let body = Bytes::copy_from_slice(body);
    verify(&source, &gate, &RawDelivery { headers, body, ..RawDelivery::default() }, now)
}

fn usual<'a>(id: &'a str, at: &'a str, signature: &'a str) -> [(&'static str, &'a str); 3] {
    [("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)]
}

#[track_caller]
fn refused(headers: &[(&str, &str)], why: VerifyError) {
    let result = check(vec![key(SECRET)], headers, BODY.as_bytes(), signed_at());
    assert_eq!(result.map(|_| ()), Err(why), "{headers:?}");
}

#[test]
fn every_published_vector_of_the_scheme_is_believed() {
    let vectors: Value = serde_json::from_str(include_str!("../data/webhook-vectors.json")).unwrap();
    let mut seen = 0;
    for vector in vectors.as_array().unwrap() {
        if vector["scheme"] != "standard-webhooks" {
            continue;
        }
        let headers = vector["headers"].as_object().unwrap();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        // One of the published secrets is shorter than what is taken from a configuration.
        let secret = SecretString::from(vector["secret"].as_str().unwrap());
        let keys = vec![SigningKey::of_any_length(&secret, SecretEncoding::Whsec, None).unwrap()];
        let now = at(vector["now"].as_i64().unwrap());

        let verified = check(keys, &headers, vector["body"].as_str().unwrap().as_bytes(), now);

        assert_eq!(verified.is_ok(), vector["valid"].as_bool().unwrap(), "{vector}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn what_is_believed_says_who_when_and_which_key() {
    let verified =
        check(vec![key(OTHER), key(SECRET)], &usual(ID, AT, SIGNATURE), BODY.as_bytes(), signed_at())
            .unwrap();

    assert_eq!(verified.source().as_str(), "soc");
    assert_eq!(*verified.key(), DeliveryKey::Signed(ID.parse().unwrap()));
    assert_eq!(verified.signed_at(), Some(signed_at()));
    assert_eq!(verified.key_id(), key(SECRET).id());
    assert_eq!(verified.body(), BODY);
}

#[test]
fn every_single_bit_change_of_body_id_time_or_signature_is_refused() {
    let (mut tried, mut believed) = (0, 0);
    let parts = [BODY, ID, AT, SIGNATURE];
    for (which, part) in parts.iter().enumerate() {
        for bit in 0..part.len() * 8 {
            let mut changed = part.as_bytes().to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut all: Vec<Vec<u8>> = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
            all[which] = changed;
            let headers = [
                ("webhook-id", all[1].clone()),
                ("webhook-timestamp", all[2].clone()),
                ("webhook-signature", all[3].clone()),
            ];
            let (headers, body) = (headers.into_iter().collect(), all[0].clone().into());
            let delivery = RawDelivery { headers, body, ..RawDelivery::default() };
            let gate = Gate::standard_webhooks(vec![key(SECRET)]).unwrap();
            // A changed time must fail by its signature too, so any time is fresh here that can be.
            let digits = String::from_utf8(all[2].clone()).ok().and_then(|text| text.parse().ok());
            let now = digits.map_or(signed_at(), at);
            tried += 1;
            believed += u32::from(verify(&"soc".parse().unwrap(), &gate, &delivery, now).is_ok());
        }
    }
    assert_eq!((tried, believed), (8 * (BODY.len() + ID.len() + AT.len() + SIGNATURE.len()), 0));
}

#[test]
fn the_tolerance_is_300_seconds_both_ways() {
    let check = |now| check(vec![key(SECRET)], &usual(ID, AT, SIGNATURE), BODY.as_bytes(), now).map(|_| ());
    let seconds = SignedDuration::from_secs;

    assert_eq!(check(after(signed_at(), seconds(300))), Ok(()));
    assert_eq!(check(after(signed_at(), seconds(301))), Err(VerifyError::Stale));
    assert_eq!(check(before(signed_at(), seconds(300))), Ok(()));
    assert_eq!(check(before(signed_at(), seconds(301))), Err(VerifyError::Early));
}

#[test]
fn one_good_signature_among_others_is_enough() {
    let other = sign(&key(OTHER), &ID.parse().unwrap(), signed_at(), BODY.as_bytes());
    let lists = [
        format!("{other} {SIGNATURE}"),
        format!("{SIGNATURE} {other}"),
        format!("v1a,AAAA v2,BBBB {SIGNATURE}"),
        format!("v1,!!! {SIGNATURE}"),
        format!(" {SIGNATURE} "),
    ];
    for list in &lists {
        assert!(
            check(vec![key(SECRET)], &usual(ID, AT, list), BODY.as_bytes(), signed_at()).is_ok(),
            "{list}"
        );
    }
}

#[test]
fn no_more_than_ten_signatures_are_tried() {
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let list = |count: usize| format!("{} {SIGNATURE}", vec![wrong; count].join(" "));

    assert!(check(vec![key(SECRET)], &usual(ID, AT, &list(9)), BODY.as_bytes(), signed_at()).is_ok());
    assert!(check(vec![key(SECRET)], &usual(ID, AT, &list(10)), BODY.as_bytes(), signed_at()).is_err());
}

#[test]
fn either_of_two_live_secrets_may_sign_and_an_expired_one_may_not() {
    let expired = SigningKey::from_whsec(
        &SecretString::from(SECRET),
        Some(before(signed_at(), SignedDuration::from_secs(1))),
    )
    .unwrap();
    let ends_now = SigningKey::from_whsec(&SecretString::from(SECRET), Some(signed_at())).unwrap();
    let check = |keys| check(keys, &usual(ID, AT, SIGNATURE), BODY.as_bytes(), signed_at()).map(|_| ());

    assert_eq!(check(vec![key(OTHER), key(SECRET)]), Ok(()));
    assert_eq!(check(vec![key(OTHER)]), Err(VerifyError::Mismatch));
    assert_eq!(check(vec![key(OTHER), ends_now]), Ok(()));
    assert_eq!(check(vec![key(OTHER), expired.clone()]), Err(VerifyError::Mismatch));
    assert_eq!(check(vec![expired]), Err(VerifyError::KeysExpired));
    assert_eq!(check(vec![]), Err(VerifyError::KeysExpired));
}

#[test]
fn the_svix_names_are_read_and_the_standard_ones_count_where_both_are_there() {
    let svix = [("svix-id", ID), ("svix-timestamp", AT), ("svix-signature", SIGNATURE)];
    assert!(check(vec![key(SECRET)], &svix, BODY.as_bytes(), signed_at()).is_ok());

    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let both: Vec<_> = svix.into_iter().chain(usual(ID, AT, wrong)).collect();
    assert_eq!(
        check(vec![key(SECRET)], &both, BODY.as_bytes(), signed_at()).map(|_| ()),
        Err(VerifyError::Mismatch)
    );

    let mixed = [("webhook-id", ID), ("svix-timestamp", AT), ("svix-signature", SIGNATURE)];
    refused(&mixed, VerifyError::HeaderMissing("svix-id".to_owned()));
}

#[test]
fn a_header_that_is_missing_repeated_or_malformed_is_refused() {
    let [id, time, signature] = usual(ID, AT, SIGNATURE);
    refused(&[], VerifyError::HeaderMissing("webhook-signature".to_owned()));
    refused(&[id, time], VerifyError::HeaderMissing("webhook-signature".to_owned()));
    refused(&[id, signature], VerifyError::HeaderMissing("webhook-timestamp".to_owned()));
    refused(&[time, signature], VerifyError::HeaderMissing("webhook-id".to_owned()));
    refused(&[id, id, time, signature], VerifyError::HeaderRepeated("webhook-id".to_owned()));
    refused(&[id, time, time, signature], VerifyError::HeaderRepeated("webhook-timestamp".to_owned()));
    refused(&[id, time, signature, signature], VerifyError::HeaderRepeated("webhook-signature".to_owned()));
    let long = "a".repeat(129);
    for bad in ["", "a.b", "a b", "a\u{e9}", "a/b", &long] {
        refused(&usual(bad, AT, SIGNATURE), VerifyError::HeaderMalformed("webhook-id".to_owned()));
    }
    for bad in
        ["", "+1649367553", "-1", "1649367553.0", " 1649367553", "1e9", "0x10", "1234567890123", "soon"]
    {
        refused(&usual(ID, bad, SIGNATURE), VerifyError::HeaderMalformed("webhook-timestamp".to_owned()));
    }
    for bad in ["", "v1", "v1,", "v2,AAAA", "v1,AAAA", "v1,not base64", &SIGNATURE[3..]] {
        refused(&usual(ID, AT, bad), VerifyError::HeaderMalformed("webhook-signature".to_owned()));
    }
    let long = format!("{SIGNATURE} {}", "v2,AAAA ".repeat(600));
    refused(&usual(ID, AT, &long), VerifyError::HeaderMalformed("webhook-signature".to_owned()));
}

#[test]
fn a_time_in_another_spelling_is_another_text() {
    // The same second, with a zero in front: read as the same number, signed as another text.
    refused(&usual(ID, "01649367553", SIGNATURE), VerifyError::Mismatch);
}

#[test]
fn one_signature_has_one_text() {
    // The last base64 digit carries two bits that decode to nothing.
    let other_spelling = SIGNATURE.replace("Kkw=", "Kkx=");
    refused(&usual(ID, AT, &other_spelling), VerifyError::HeaderMalformed("webhook-signature".to_owned()));
    let unpadded = SIGNATURE.trim_end_matches('=');
    refused(&usual(ID, AT, unpadded), VerifyError::HeaderMalformed("webhook-signature".to_owned()));
}

#[test]
fn weak_or_broken_secrets_are_refused() {
    let load = |text: &str| SigningKey::from_whsec(&SecretString::from(text), None).map(|_| ());
    assert_eq!(load(""), Err(KeyError::Empty));
    assert_eq!(load("  \n"), Err(KeyError::Empty));
    assert_eq!(load("whsec_"), Err(KeyError::Length { found: 0, wanted: 24..=64 }));
    assert_eq!(load("whsec_AAAA"), Err(KeyError::Length { found: 3, wanted: 24..=64 }));
    assert_eq!(load("whsec_!!!"), Err(KeyError::NotWhsec));
    assert_eq!(load("correct horse battery staple"), Err(KeyError::NotWhsec));
    assert!(load(SECRET).is_ok());
    assert!(load(SECRET.trim_start_matches("whsec_")).is_ok());
}

#[test]
fn secrets_do_not_print() {
    let printed = format!("{:?}", key(SECRET));
    assert!(!printed.contains("C2FV"), "{printed}");
}

#[test]
fn the_signed_text_can_be_cut_in_one_way_only() {
    let whole = format!("{ID}.{AT}.{BODY}");
    let cuts: Vec<usize> = whole.match_indices('.').map(|(place, _)| place).collect();
    let mut believed = Vec::new();
    for (n, first) in cuts.iter().enumerate() {
        for second in &cuts[n + 1..] {
            let (id, time, body) = (&whole[..*first], &whole[first + 1..*second], &whole[second + 1..]);
            let result = check(vec![key(SECRET)], &usual(id, time, SIGNATURE), body.as_bytes(), signed_at());
            if result.is_ok() {
                believed.push((id, time, body));
            }
        }
    }
    assert_eq!(cuts.len(), 3);
    assert_eq!(believed, [(ID, AT, BODY)]);
}

proptest! {
    #[test]
    fn what_is_signed_is_believed(id in "[A-Za-z0-9_-]{1,128}", body: Vec<u8>, seconds in 0_i64..4_000_000_000) {
        let signature = sign(&key(SECRET), &id.parse().unwrap(), at(seconds), &body);
        let text = seconds.to_string();
        let verified = check(vec![key(SECRET)], &usual(&id, &text, &signature), &body, at(seconds));
        prop_assert_eq!(verified.map(|it| it.body().to_vec()), Ok(body));
    }

    #[test]
    fn no_header_text_makes_it_panic(id in ".*", time in ".*", signature in ".*") {
        let result = check(vec![key(SECRET)], &usual(&id, &time, &signature), BODY.as_bytes(), signed_at());
        prop_assert!(result.is_err());
    }
}
