//! Files and devices that come without a stated pairing are paired where it is certain, and held where it is not.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use quarantine_bridge::mapping::{BuiltIn, Format, Mapped, Pairing};
use serde_json::{Value, json};

use crate::formats::{pairs, read};

const A: &str = "9c41f0a3b7d25e8816c3d9e0f4a7b2c5d8e1f6a4";
const B: &str = "3e7a1c9b5d80f2e64a17c3b9d5e8f0a2c4b6d817";
const ID: &str = "6f1d0b7c2a94e8d35b60c1f7a8e2934d5c7b1a09";

fn bridge() -> Format {
    Format::load("bridge", BuiltIn::named("bridge").unwrap().code).unwrap()
}

fn unpaired_with(format: &Format, machines: &Value, files: &Value) -> Mapped {
    let payload = json!({"alert_id": "a", "targets": [], "unpaired": {"machines": machines, "files": files}});
    read(format, payload.to_string().as_bytes())
}

fn unpaired(machines: &Value, files: &Value) -> Vec<String> {
    pairs(&unpaired_with(&bridge(), machines, files))
}

fn cross(max: usize) -> Format {
    bridge().with_pairing(Pairing::Cross(NonZeroUsize::new(max).unwrap()))
}

#[test]
fn the_only_device_takes_every_file() {
    let found = unpaired(&json!([{"dns_name": "ws1"}]), &json!([{"sha1": A}, {"sha1": B}]));
    assert_eq!(found, [format!("dns_name:ws1 sha1:{B}"), format!("dns_name:ws1 sha1:{A}")]);
}

#[test]
pub(crate) fn several_devices_make_every_file_ambiguous() {
    let found =
        unpaired(&json!([{"dns_name": "ws1"}, {"dns_name": "ws2"}]), &json!([{"sha1": A}, {"sha1": B}]));
    let all = "? [dns_name:ws1, dns_name:ws2]";
    assert_eq!(found, [format!("{all} sha1:{B}"), format!("{all} sha1:{A}")]);
}

#[test]
fn a_file_without_any_device_is_ambiguous_without_candidates() {
    assert_eq!(unpaired(&json!([]), &json!([{"sha1": A}])), [format!("? [] sha1:{A}")]);
}

#[test]
fn one_device_told_twice_is_one_device() {
    let twice = json!([{"dns_name": "WS1"}, {"dns_name": "ws1", "ip": "10.0.0.1"}, {"id": ID, "dns_name": "ws1", "ip": "10.0.0.1"}]);
    assert_eq!(unpaired(&twice, &json!([{"sha1": A}])), [format!("id:{ID} sha1:{A}")]);
}

#[test]
fn a_name_and_an_address_are_two_devices_as_long_as_nobody_says_otherwise() {
    let found = unpaired(&json!([{"dns_name": "ws1"}, {"ip": "10.0.0.1"}]), &json!([{"sha1": A}]));
    assert_eq!(found, [format!("? [dns_name:ws1, ip:10.0.0.1] sha1:{A}")]);
}

/// A host name is no prefix of another: only a whole name is the same name.
#[test]
fn a_host_name_and_a_longer_name_are_two_devices() {
    let found =
        unpaired(&json!([{"dns_name": "ws1"}, {"dns_name": "ws1.corp.example"}]), &json!([{"sha1": A}]));
    assert!(found[0].starts_with("? ["), "{found:?}");
}

#[test]
pub(crate) fn a_device_that_cannot_be_read_does_not_make_another_the_only_one() {
    for unread in [
        json!({"id": "6f1d0b7c"}),
        json!({"dns_name": "a b"}),
        json!({"dns_name": "unknown"}),
        json!({}),
        json!(null),
    ] {
        let found = unpaired(&json!([{"dns_name": "ws1"}, unread]), &json!([{"sha1": A}]));
        assert_eq!(found, [format!("? [dns_name:ws1] sha1:{A}")], "{unread}");
    }
}

#[test]
fn devices_of_stated_pairs_count_for_files_without_one() {
    let payload = json!({"alert_id": "a", "targets": [{"machine": {"dns_name": "ws1"}, "file": A}],
        "unpaired": {"machines": [{"dns_name": "ws2"}], "files": [{"sha1": B}]}});
    let found = pairs(&read(&bridge(), payload.to_string().as_bytes()));
    assert_eq!(found, [format!("? [dns_name:ws1, dns_name:ws2] sha1:{B}"), format!("dns_name:ws1 sha1:{A}")]);
}

#[test]
fn nothing_is_crossed_unless_the_source_says_so_and_never_above_its_cap() {
    let (machines, files) =
        (json!([{"dns_name": "ws1"}, {"dns_name": "ws2"}]), json!([{"sha1": A}, {"sha1": B}]));
    assert!(unpaired(&machines, &files).iter().all(|pair| pair.starts_with('?')));
    assert!(pairs(&unpaired_with(&cross(3), &machines, &files)).iter().all(|pair| pair.starts_with('?')));
    let crossed = pairs(&unpaired_with(&cross(4), &machines, &files));
    assert_eq!(crossed.len(), 4);
    assert!(crossed.iter().all(|pair| pair.starts_with("dns_name:")), "{crossed:?}");
}

#[test]
fn a_device_that_cannot_be_read_is_never_crossed() {
    let found = unpaired_with(
        &cross(100),
        &json!([{"dns_name": "ws1"}, {"dns_name": "ws2"}, {"id": "1"}]),
        &json!([{"sha1": A}]),
    );
    assert_eq!(pairs(&found), [format!("? [dns_name:ws1, dns_name:ws2] sha1:{A}")]);
}

#[test]
pub(crate) fn an_id_taken_for_a_hash_is_refused_in_every_way_to_pair() {
    let found = unpaired_with(&bridge(), &json!([{"id": ID}]), &json!([{"sha1": ID}]));
    assert!(found.alerts.is_empty() && !found.refused.is_empty());
    let found = unpaired_with(&bridge(), &json!([{"id": ID}, {"dns_name": "ws2"}]), &json!([{"sha1": ID}]));
    assert!(found.alerts.is_empty() && !found.refused.is_empty());
}

#[test]
fn too_many_devices_or_files_are_refused() {
    let machines: Vec<_> = (0..101).map(|n| json!({"dns_name": format!("ws{n}")})).collect();
    let found = unpaired_with(&bridge(), &json!(machines), &json!([{"sha1": A}]));
    assert_eq!(found.refused[0].problems[0].reason.as_str(), "too_many_targets");
}

#[test]
fn an_address_that_many_devices_have_names_none() {
    for ip in ["127.0.0.1", "::1", "0.0.0.0", "169.254.7.7", "fe80::1", "224.0.0.1"] {
        assert_eq!(unpaired(&json!([{"ip": ip}]), &json!([{"sha1": A}])), [format!("? [] sha1:{A}")], "{ip}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_devices_and_files_never_matters(
        machines in proptest::collection::vec(0..4_usize, 0..5), files in proptest::collection::vec(0..3_usize, 1..4),
        turn in 0..5_usize,
    ) {
        let named = [json!({"dns_name": "ws1"}), json!({"dns_name": "ws1", "ip": "10.0.0.1"}), json!({"dns_name": "ws2"}), json!({"id": ID})];
        let hashes = [json!({"sha1": A}), json!({"sha1": B}), json!({"sha1": A, "name": "x"})];
        let mut list: Vec<Value> = machines.iter().map(|it| named[*it].clone()).collect();
        let mut others: Vec<Value> = files.iter().map(|it| hashes[*it].clone()).collect();
        let plain = unpaired(&json!(list), &json!(others));
        let turns = turn % list.len().max(1);
        list.rotate_left(turns);
        list.reverse();
        others.reverse();
        prop_assert_eq!(unpaired(&json!(list), &json!(others)), plain);
    }
}
