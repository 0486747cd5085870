//! Which device and which file an alert means: every rule, without a network.

use std::net::IpAddr;

use jiff::SignedDuration;
use proptest::prelude::*;
use quarantine_bridge::alert::{
    Completion, DnsName, EntityPair, FileEntity, FileRecord, FileTraits, Found, FoundAt, HeldReason, Machine,
    MachineEntity, MachineId, MachineTraits, Md5, Question, Sha1, Sha256, before,
};
use quarantine_bridge::dispatch::resolve::{By, Given, IdRule, Resolution, Rules, Step, plan, resolve};

use crate::harness::{SHA1, start_of_time};

const AAD: &str = "0b5c8d1e-1111-4222-8333-444455556666";
const OTHER_AAD: &str = "0b5c8d1e-7777-4222-8333-444455556666";
const SHA256: &str = "abababababababababababababababababababababababababababababababcd";
const OTHER_SHA256: &str = "1234ababababababababababababababababababababababababababababab12";
const MD5: &str = "0123456789abcdef0123456789abcdef";

/// A machine id that ends in this number.
fn id(n: u32) -> MachineId {
    format!("{n:040x}").parse().unwrap()
}

fn sha1() -> Sha1 {
    SHA1.parse().unwrap()
}

/// A device that is fit for use.
fn machine(n: u32, name: &str) -> Machine {
    Machine {
        id: id(n),
        dns_name: name.parse().ok(),
        aad_device_id: None,
        last_ip: "10.0.0.1".parse().ok(),
        onboarding_status: Some("Onboarded".to_owned()),
        health_status: Some("Active".to_owned()),
        os_platform: Some("Windows11".to_owned()),
        merged_into: None,
        is_potential_duplication: false,
        traits: MachineTraits::default(),
    }
}

fn named(name: &str) -> MachineEntity {
    MachineEntity { dns_name: Some(name.to_owned()), ..MachineEntity::default() }
}

fn pair(machine: MachineEntity, file: FileEntity) -> EntityPair {
    EntityPair { machine, file, candidates: Vec::new(), found_at: FoundAt::default() }
}

fn given_file() -> FileEntity {
    FileEntity { sha1: Some(sha1()), ..FileEntity::default() }
}

/// Answers as Defender does: every device that fits a question, in its own order.
fn defender(machines: &[Machine], question: &Question) -> Found {
    let fits = |machine: &Machine| match question {
        Question::Machine(id) => machine.id == *id,
        Question::MachinesByAadDeviceId(id) => machine.aad_device_id == Some(*id),
        Question::MachinesByName(name) => machine.dns_name.as_ref() == Some(name),
        Question::MachinesByHostName(name) => {
            machine.dns_name.as_ref().is_some_and(|have| have.as_str().starts_with(name.as_str()))
        }
        Question::MachinesByIp { .. } => true,
        Question::FileBySha1(_) | Question::FileBySha256(_) | Question::FileByMd5(_) => false,
        Question::FileStats(_) | Question::FileMachines(_) => panic!("{question} tells no target"),
    };
    match question {
        Question::FileBySha1(_) | Question::FileBySha256(_) | Question::FileByMd5(_) => Found::File(None),
        _ => Found::Machines(machines.iter().filter(|machine| fits(machine)).cloned().collect()),
    }
}

fn all() -> Rules {
    let mut rules = Rules::default();
    rules.set(By::Ip, true);
    rules
}

fn without(by: By) -> Rules {
    let mut rules = all();
    rules.set(by, false);
    rules
}

fn confirmed() -> Rules {
    Rules { id: IdRule::Confirmed, ..all() }
}

fn given<'a>(pair: &'a EntityPair, rules: &'a Rules) -> Given<'a> {
    let now = start_of_time();
    Given { pair, occurred_at: Some(before(now, SignedDuration::from_mins(1))), completion: None, rules, now }
}

/// The device that is found among these, or the reason for which none is.
fn find(entity: MachineEntity, rules: &Rules, machines: &[Machine]) -> Result<MachineId, HeldReason> {
    let pair = pair(entity, given_file());
    let known = |question: &Question| Some(defender(machines, question));
    match resolve(&given(&pair, rules), &known) {
        Resolution::Resolved(target, facts) => {
            assert_eq!(target.sha1, sha1());
            assert_eq!(facts.len(), 2);
            Ok(target.machine_id)
        }
        Resolution::Unresolved(unresolved) => {
            assert!(!unresolved.evidence.is_empty());
            Err(unresolved.reason)
        }
        Resolution::Ask(question) => panic!("{question} was answered"),
    }
}

type Row = (&'static str, MachineEntity, Rules, Vec<Machine>, Result<MachineId, HeldReason>);

fn aad(text: &str) -> MachineEntity {
    MachineEntity { aad_device_id: text.parse().ok(), ..MachineEntity::default() }
}

fn by_id(n: u32) -> MachineEntity {
    MachineEntity { id: Some(id(n)), ..MachineEntity::default() }
}

fn at_ip(text: &str) -> MachineEntity {
    MachineEntity { ip: text.parse().ok(), ..MachineEntity::default() }
}

fn joined(n: u32, name: &str, aad: &str) -> Machine {
    Machine { aad_device_id: aad.parse().ok(), ..machine(n, name) }
}

fn with(n: u32, name: &str, change: impl FnOnce(&mut Machine)) -> Machine {
    let mut machine = machine(n, name);
    change(&mut machine);
    machine
}

fn merged(n: u32, name: &str, into: u32) -> Machine {
    with(n, name, |it| it.merged_into = Some(id(into)))
}

fn inactive(n: u32, name: &str) -> Machine {
    with(n, name, |it| it.health_status = Some("Inactive".to_owned()))
}

fn not_onboarded(n: u32, name: &str) -> Machine {
    with(n, name, |it| it.onboarding_status = Some("CanBeOnboarded".to_owned()))
}

fn linux(n: u32, name: &str) -> Machine {
    with(n, name, |it| it.os_platform = Some("Linux".to_owned()))
}

fn doubtful(n: u32, name: &str) -> Machine {
    with(n, name, |it| it.is_potential_duplication = true)
}

fn rows_by_id() -> Vec<Row> {
    use HeldReason as R;
    let both = |n, name: &str| MachineEntity { dns_name: Some(name.to_owned()), ..by_id(n) };
    let with_aad = |n, aad: &str| MachineEntity { aad_device_id: aad.parse().ok(), ..by_id(n) };
    let ws1 = "ws1.corp.example";
    vec![
        ("as given, nobody is asked", by_id(1), all(), vec![], Ok(id(1))),
        ("the id stands before the name", both(1, "other"), all(), vec![machine(2, "other")], Ok(id(1))),
        ("confirmed", by_id(1), confirmed(), vec![machine(1, ws1)], Ok(id(1))),
        ("confirmed, unknown", by_id(1), confirmed(), vec![machine(2, ws1)], Err(R::MachineUnknown)),
        ("confirmed, the name agrees", both(1, ws1), confirmed(), vec![machine(1, ws1)], Ok(id(1))),
        (
            "confirmed, in capitals",
            both(1, "WS1.CORP.EXAMPLE"),
            confirmed(),
            vec![machine(1, ws1)],
            Ok(id(1)),
        ),
        ("confirmed, host name alone", both(1, "WS1$"), confirmed(), vec![machine(1, ws1)], Ok(id(1))),
        (
            "confirmed, other name",
            both(1, "ws2"),
            confirmed(),
            vec![machine(1, ws1)],
            Err(R::MachinesDisagree),
        ),
        (
            "confirmed, other domain",
            both(1, "ws1.other.example"),
            confirmed(),
            vec![machine(1, ws1)],
            Err(R::MachinesDisagree),
        ),
        (
            "confirmed, other Entra id",
            with_aad(1, AAD),
            confirmed(),
            vec![joined(1, ws1, OTHER_AAD)],
            Err(R::MachinesDisagree),
        ),
        ("confirmed, not joined", with_aad(1, AAD), confirmed(), vec![machine(1, ws1)], Ok(id(1))),
        ("confirmed, merged", by_id(1), confirmed(), vec![merged(1, ws1, 2), machine(2, ws1)], Ok(id(2))),
        ("confirmed, merged away", by_id(1), confirmed(), vec![merged(1, ws1, 2)], Err(R::MachineUnknown)),
        ("confirmed, inactive", by_id(1), confirmed(), vec![inactive(1, ws1)], Err(R::MachineNotOnboarded)),
        ("confirmed, Linux", by_id(1), confirmed(), vec![linux(1, ws1)], Err(R::MachineNotOnboarded)),
        ("confirmed, doubtful", by_id(1), confirmed(), vec![doubtful(1, ws1)], Err(R::MachineAmbiguous)),
    ]
}

fn rows_by_aad() -> Vec<Row> {
    use HeldReason as R;
    let both = |name: &str| MachineEntity { dns_name: Some(name.to_owned()), ..aad(AAD) };
    let same = |n| joined(n, "ws1", AAD);
    let gone = |n| Machine { health_status: Some("Inactive".to_owned()), ..joined(n, "ws1", AAD) };
    vec![
        ("by Entra id", aad(AAD), all(), vec![machine(1, "ws1"), same(2)], Ok(id(2))),
        ("two of one Entra id", aad(AAD), all(), vec![same(1), same(2)], Err(R::MachineAmbiguous)),
        ("the old record is inactive", aad(AAD), all(), vec![gone(1), same(2)], Ok(id(2))),
        ("only the old record", aad(AAD), all(), vec![gone(1)], Err(R::MachineNotOnboarded)),
        ("Entra id unknown", aad(AAD), all(), vec![machine(1, "ws1")], Err(R::MachineUnknown)),
        ("then by name", both("ws1"), all(), vec![machine(1, "ws1")], Ok(id(1))),
        (
            "the name's device has another Entra id",
            both("ws1"),
            all(),
            vec![joined(1, "ws1", OTHER_AAD)],
            Err(R::MachinesDisagree),
        ),
        (
            "the Entra id's device has another name",
            both("ws2"),
            all(),
            vec![same(1), machine(2, "ws2")],
            Err(R::MachinesDisagree),
        ),
        ("off", aad(AAD), without(By::AadDeviceId), vec![same(1)], Err(R::MachineNotNamed)),
        ("off, by name", both("ws1"), without(By::AadDeviceId), vec![same(1)], Ok(id(1))),
    ]
}

fn rows_by_name() -> Vec<Row> {
    use HeldReason as R;
    let ws1 = "ws1.corp.example";
    let named_ws1 = || named(ws1);
    vec![
        ("exact name", named_ws1(), all(), vec![machine(1, ws1), machine(2, "ws1.other.example")], Ok(id(1))),
        ("in capitals", named("WS1.Corp.Example"), all(), vec![machine(1, ws1)], Ok(id(1))),
        ("with the full stop", named("ws1.corp.example."), all(), vec![machine(1, ws1)], Ok(id(1))),
        (
            "a longer name",
            named_ws1(),
            all(),
            vec![machine(1, "ws1.corp.example.net")],
            Err(R::MachinesDisagree),
        ),
        (
            "a longer host name",
            named("ws1"),
            all(),
            vec![machine(1, "ws10.corp.example")],
            Err(R::MachineUnknown),
        ),
        ("another", named("ws1"), all(), vec![machine(1, "xws1")], Err(R::MachineUnknown)),
        ("nobody", named_ws1(), all(), vec![], Err(R::MachineUnknown)),
        ("two", named_ws1(), all(), vec![machine(1, ws1), machine(2, ws1)], Err(R::MachineAmbiguous)),
        ("one is inactive", named_ws1(), all(), vec![inactive(1, ws1), machine(2, ws1)], Ok(id(2))),
        ("one is not onboarded", named_ws1(), all(), vec![machine(1, ws1), not_onboarded(2, ws1)], Ok(id(1))),
        ("one is Linux", named_ws1(), all(), vec![linux(1, ws1), machine(2, ws1)], Ok(id(2))),
        ("one was merged", named_ws1(), all(), vec![merged(1, ws1, 2), machine(2, ws1)], Ok(id(2))),
        (
            "merged into one of another name",
            named_ws1(),
            all(),
            vec![merged(1, ws1, 2), machine(2, "ws2.corp.example")],
            Err(R::MachinesDisagree),
        ),
        (
            "merged in a ring",
            named_ws1(),
            all(),
            vec![merged(1, ws1, 2), merged(2, ws1, 1)],
            Err(R::MachineAmbiguous),
        ),
        ("merged into itself", named_ws1(), all(), vec![merged(1, ws1, 1)], Ok(id(1))),
        ("one is doubtful", named_ws1(), all(), vec![doubtful(1, ws1)], Err(R::MachineAmbiguous)),
        (
            "the inactive one is doubtful",
            named_ws1(),
            all(),
            vec![
                machine(1, ws1),
                with(2, ws1, |it| {
                    it.health_status = Some("Inactive".to_owned());
                    it.is_potential_duplication = true;
                }),
            ],
            Err(R::MachineAmbiguous),
        ),
        ("inactive alone", named_ws1(), all(), vec![inactive(1, ws1)], Err(R::MachineNotOnboarded)),
        (
            "trouble does not drop a device",
            named_ws1(),
            all(),
            vec![machine(1, ws1), with(2, ws1, |it| it.health_status = Some("NoSensorData".to_owned()))],
            Err(R::MachineAmbiguous),
        ),
        (
            "what is not known drops no device",
            named_ws1(),
            all(),
            vec![machine(1, ws1), with(2, ws1, |it| it.onboarding_status = None)],
            Err(R::MachineAmbiguous),
        ),
        (
            "what is not known is not fit for use",
            named_ws1(),
            all(),
            vec![with(1, ws1, |it| it.os_platform = None)],
            Err(R::MachineNotOnboarded),
        ),
        ("by host name", named("ws1"), all(), vec![machine(1, ws1), machine(2, "ws11")], Ok(id(1))),
        ("a workgroup's device", named_ws1(), all(), vec![machine(1, "ws1")], Ok(id(1))),
        (
            "one host name in two domains",
            named("ws1"),
            all(),
            vec![machine(1, ws1), machine(2, "ws1.other.example")],
            Err(R::MachineAmbiguous),
        ),
        (
            "the name's domain is not the device's",
            named_ws1(),
            all(),
            vec![machine(1, "ws1.other.example")],
            Err(R::MachinesDisagree),
        ),
        ("exact names off", named_ws1(), without(By::Fqdn), vec![machine(1, ws1)], Ok(id(1))),
        (
            "host names off",
            named("ws1"),
            without(By::HostName),
            vec![machine(1, ws1)],
            Err(R::MachineNotNamed),
        ),
        ("host names off, exact", named_ws1(), without(By::HostName), vec![machine(1, ws1)], Ok(id(1))),
        (
            "cut by NetBIOS",
            named("longhostname-01"),
            all(),
            vec![machine(1, "longhostname-01"), machine(2, "longhostname-012.corp.example")],
            Err(R::MachineAmbiguous),
        ),
        ("15 characters", named("longhostname-01"), all(), vec![machine(1, "longhostname-01")], Ok(id(1))),
        ("a wildcard", named("ws*"), all(), vec![machine(1, ws1)], Err(R::MachineNotNamed)),
        (
            "a quote",
            named("ws1' or 1 eq 1 or 'a' eq '"),
            all(),
            vec![machine(1, ws1)],
            Err(R::MachineNotNamed),
        ),
        ("nothing", named(""), all(), vec![machine(1, ws1)], Err(R::MachineNotNamed)),
    ]
}

fn rows_by_ip() -> Vec<Row> {
    use HeldReason as R;
    let ip = || at_ip("10.0.0.1");
    let moved = |n| with(n, "ws1", |it| it.last_ip = "10.0.0.2".parse().ok());
    vec![
        ("by address", ip(), all(), vec![machine(1, "ws1")], Ok(id(1))),
        (
            "the same address as IPv6 writes it",
            at_ip("::ffff:10.0.0.1"),
            all(),
            vec![machine(1, "ws1")],
            Ok(id(1)),
        ),
        ("two had it", ip(), all(), vec![machine(1, "ws1"), moved(2)], Err(R::IpAmbiguous)),
        (
            "an inactive one had it too",
            ip(),
            all(),
            vec![machine(1, "a"), inactive(2, "b")],
            Err(R::IpAmbiguous),
        ),
        ("it has moved", ip(), all(), vec![moved(1)], Err(R::IpAmbiguous)),
        ("nobody had it", ip(), all(), vec![], Err(R::MachineUnknown)),
        ("one record was merged", ip(), all(), vec![merged(1, "ws1", 2), machine(2, "ws1")], Ok(id(2))),
        ("doubtful", ip(), all(), vec![doubtful(1, "ws1")], Err(R::MachineAmbiguous)),
        ("Linux", ip(), all(), vec![linux(1, "ws1")], Err(R::MachineNotOnboarded)),
        ("off", ip(), without(By::Ip), vec![machine(1, "ws1")], Err(R::MachineNotNamed)),
        ("off if nothing is said", ip(), Rules::default(), vec![machine(1, "ws1")], Err(R::MachineNotNamed)),
        ("loopback", at_ip("127.0.0.1"), all(), vec![machine(1, "ws1")], Err(R::MachineNotNamed)),
        ("link-local", at_ip("fe80::1"), all(), vec![machine(1, "ws1")], Err(R::MachineNotNamed)),
        ("any", at_ip("0.0.0.0"), all(), vec![machine(1, "ws1")], Err(R::MachineNotNamed)),
        ("many", at_ip("239.1.1.1"), all(), vec![machine(1, "ws1")], Err(R::MachineNotNamed)),
        (
            "the name says another device",
            MachineEntity { ip: "10.0.0.1".parse().ok(), ..named("ws9") },
            all(),
            vec![machine(1, "ws1")],
            Err(R::MachinesDisagree),
        ),
    ]
}

#[test]
fn every_device_is_found_or_held_as_the_table_says() {
    let rows: Vec<Row> =
        [rows_by_id(), rows_by_aad(), rows_by_name(), rows_by_ip()].into_iter().flatten().collect();
    for (what, entity, rules, machines, expected) in &rows {
        assert_eq!(find(entity.clone(), rules, machines), *expected, "{what}");
        let backwards: Vec<Machine> = machines.iter().rev().cloned().collect();
        assert_eq!(find(entity.clone(), rules, &backwards), *expected, "{what}, listed the other way round");
    }
    eprintln!("{} cases of devices", rows.len());
}

#[test]
fn an_alert_that_does_not_say_which_device_had_the_file_is_held() {
    let rules = all();
    let mut pair = pair(MachineEntity::default(), given_file());
    for candidates in [vec![], vec![named("ws1"), by_id(2)]] {
        pair.candidates = candidates;
        let known = |question: &Question| Some(defender(&[machine(1, "ws1")], question));
        let Resolution::Unresolved(unresolved) = resolve(&given(&pair, &rules), &known) else {
            panic!("{pair:?}");
        };
        assert_eq!(unresolved.reason, HeldReason::AmbiguousPair);
        assert_eq!(unresolved.evidence.contains("dns_name:ws1"), !pair.candidates.is_empty());
    }
    // Not even where one of them is said to be it.
    pair.machine = named("ws1");
    let known = |question: &Question| Some(defender(&[machine(1, "ws1")], question));
    let resolution = resolve(&given(&pair, &rules), &known);
    assert!(matches!(resolution, Resolution::Unresolved(it) if it.reason == HeldReason::AmbiguousPair));
}

#[test]
fn the_ways_are_tried_in_one_order() {
    let entity = MachineEntity { ip: "10.0.0.1".parse().ok(), ..named("ws1.corp.example") };
    let entity = MachineEntity { aad_device_id: AAD.parse().ok(), ..entity };
    let (pair, rules) = (pair(entity, given_file()), all());
    let plan = plan(&given(&pair, &rules));
    let name: DnsName = "ws1.corp.example".parse().unwrap();
    let at = before(start_of_time(), SignedDuration::from_mins(1));
    let ip: IpAddr = "10.0.0.1".parse().unwrap();
    let way = [
        Step::AadDeviceId(AAD.parse().unwrap()),
        Step::Fqdn(name.clone()),
        Step::HostName(name),
        Step::Ip(ip, at),
    ];
    assert_eq!(plan.machine, way);
    assert_eq!(plan.left_out, Vec::<String>::new());
}

#[test]
fn an_address_without_its_time_or_long_ago_is_not_asked_for() {
    let (pair, rules) = (pair(at_ip("10.0.0.1"), given_file()), all());
    for occurred_at in [None, Some(before(start_of_time(), SignedDuration::from_hours(30 * 24)))] {
        let given = Given { occurred_at, ..given(&pair, &rules) };
        let resolution = resolve(&given, &|_| panic!("something is asked"));
        assert!(matches!(resolution, Resolution::Unresolved(it) if it.reason == HeldReason::MachineNotNamed));
    }
}

#[test]
fn a_name_that_could_mean_more_than_itself_is_no_name() {
    for text in [
        "",
        ".",
        "..",
        "$",
        "-ws1",
        "ws1-",
        "ws1..corp",
        ".ws1",
        "ws 1",
        "ws1 ",
        " ws1",
        "ws1\n",
        "ws*",
        "ws?",
        "%",
        "ws1'",
        "ws1''",
        "ws1\"",
        "ws1' or 'a' eq 'a",
        "ws1)",
        "ws1,x",
        "ws1/..",
        "..%2f",
        "ws1#",
        "ws1\\x",
        "a\u{0}b",
        "DOMAIN\\ws1",
        "ws1@corp",
        "ws1:443",
        "http://ws1",
        "127.0.0.1",
        "10.1",
        "1",
        "0x7f000001",
        "0x7f.1",
        "::1",
        "[::1]",
        "fe80::1%eth0",
        "localhost",
        "localhost.localdomain",
        "LOCALHOST.",
        "ws1.corp$",
        "ws1$$",
        "ｗｓ１",
        "wѕ1",
        "ws１",
        "ws1\u{200b}",
        "ws1\u{202e}",
        "ſw1",
        "\u{212a}1",
        "straße",
        "ws1。corp",
    ] {
        assert!(text.parse::<DnsName>().is_err(), "{text:?}");
    }
    assert!("a".repeat(64).parse::<DnsName>().is_err());
    assert!(format!("{}.example", "a.".repeat(124)).parse::<DnsName>().is_err());
}

#[test]
fn a_name_is_taken_in_one_form() {
    for (text, form) in [
        ("WS1", "ws1"),
        ("ws1$", "ws1"),
        ("Ws_1.Corp.Example", "ws_1.corp.example"),
        ("ws1.corp.example.", "ws1.corp.example"),
        ("1ws", "1ws"),
        ("10-0-0-1", "10-0-0-1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        let name: DnsName = text.parse().unwrap();
        assert_eq!(name.as_str(), form);
        assert_eq!(form.parse::<DnsName>().unwrap(), name);
    }
}

/// What becomes of a file that is named like this, if Defender answers that.
fn find_file(file: FileEntity, rules: &Rules, answer: &Found) -> Result<Sha1, HeldReason> {
    let pair = pair(by_id(1), file);
    match resolve(&given(&pair, rules), &|_| Some(answer.clone())) {
        Resolution::Resolved(target, _) => Ok(target.sha1),
        Resolution::Unresolved(unresolved) => Err(unresolved.reason),
        Resolution::Ask(question) => panic!("{question} was answered"),
    }
}

fn record(sha1: Option<&str>, sha256: Option<&str>, md5: Option<&str>) -> Found {
    Found::File(Some(FileRecord {
        sha1: sha1.and_then(|hash| hash.parse().ok()),
        sha256: sha256.and_then(|hash| hash.parse().ok()),
        md5: md5.and_then(|hash| hash.parse().ok()),
        traits: FileTraits::default(),
    }))
}

#[test]
fn every_file_is_found_or_held_as_the_table_says() {
    use HeldReason as R;
    let none = FileEntity::default();
    let sha256 = FileEntity { sha256: SHA256.parse().ok(), ..none.clone() };
    let md5 = FileEntity { md5: MD5.parse().ok(), ..none.clone() };
    let both = FileEntity { md5: MD5.parse().ok(), ..sha256.clone() };
    let right = record(Some(SHA1), Some(SHA256), Some(MD5));
    let forbidden = Found::Forbidden("HTTP 403".to_owned());
    let refused = Found::Refused("HTTP 400".to_owned());
    let empty_file = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let machines_id = id(1).to_string();
    let rows = [
        (given_file(), all(), Found::File(None), Ok(sha1())),
        (sha256.clone(), all(), right.clone(), Ok(sha1())),
        (md5.clone(), all(), right.clone(), Ok(sha1())),
        (both.clone(), all(), right.clone(), Ok(sha1())),
        (sha256.clone(), all(), record(Some(SHA1), Some(OTHER_SHA256), None), Err(R::FileHashMismatch)),
        (sha256.clone(), all(), record(Some(SHA1), None, Some(MD5)), Err(R::FileHashMismatch)),
        (md5.clone(), all(), record(Some(SHA1), Some(SHA256), None), Err(R::FileHashMismatch)),
        (both, all(), record(Some(SHA1), Some(SHA256), Some(&"12".repeat(16))), Err(R::FileHashMismatch)),
        (sha256.clone(), all(), record(None, Some(SHA256), None), Err(R::FileHashMismatch)),
        (sha256.clone(), all(), record(Some(empty_file), Some(SHA256), None), Err(R::FileHashMismatch)),
        (sha256.clone(), all(), record(Some(&machines_id), Some(SHA256), None), Err(R::FileHashMismatch)),
        (sha256.clone(), all(), Found::File(None), Err(R::FileUnknown)),
        (sha256.clone(), all(), forbidden, Err(R::FileLookupForbidden)),
        (sha256.clone(), all(), refused, Err(R::LookupRefused)),
        (sha256, without(By::Sha256), right.clone(), Err(R::FileNotNamed)),
        (md5, without(By::Md5), right.clone(), Err(R::FileNotNamed)),
        (none, all(), right, Err(R::FileNotNamed)),
    ];
    for (n, (file, rules, answer, expected)) in rows.into_iter().enumerate() {
        assert_eq!(find_file(file.clone(), &rules, &answer), expected, "row {n}: {file:?} {answer:?}");
    }
}

fn completion(machine_id: Option<MachineId>, sha1: Option<Sha1>) -> Completion {
    Completion { machine_id, sha1, by: "token:ana".parse().unwrap(), at: start_of_time() }
}

#[test]
fn a_person_may_choose_the_device_that_defender_knows() {
    let (mut pair, rules) = (pair(MachineEntity::default(), given_file()), all());
    pair.candidates = vec![named("ws1"), named("ws2")];
    let machines = [
        machine(1, "ws1"),
        inactive(2, "ws2"),
        doubtful(3, "ws3"),
        not_onboarded(4, "ws4"),
        linux(5, "ws5"),
        merged(6, "ws6", 1),
    ];
    let known = |question: &Question| Some(defender(&machines, question));
    for (n, expected) in [
        (1, Ok(id(1))),
        (2, Ok(id(2))),
        (3, Ok(id(3))),
        (4, Err(HeldReason::MachineNotOnboarded)),
        (5, Err(HeldReason::MachineNotOnboarded)),
        (6, Ok(id(1))),
        (7, Err(HeldReason::MachineUnknown)),
    ] {
        let completion = completion(Some(id(n)), None);
        let given = Given { completion: Some(&completion), ..given(&pair, &rules) };
        let found = match resolve(&given, &known) {
            Resolution::Resolved(target, facts) => {
                assert!(facts[0].contains("token:ana"), "{facts:?}");
                Ok(target.machine_id)
            }
            Resolution::Unresolved(unresolved) => Err(unresolved.reason),
            Resolution::Ask(question) => panic!("{question}"),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_persons_word_about_the_file_is_taken_unless_defender_knows_better() {
    let file = FileEntity { sha256: SHA256.parse().ok(), ..FileEntity::default() };
    let (pair, rules) = (pair(by_id(1), file), all());
    let completion = completion(None, Some(sha1()));
    let given = Given { completion: Some(&completion), ..given(&pair, &rules) };
    for (answer, is_taken) in [
        (Found::File(None), true),
        (Found::Forbidden(String::new()), true),
        (record(Some(SHA1), Some(SHA256), None), true),
        (record(Some(SHA1), Some(OTHER_SHA256), None), false),
    ] {
        let resolution = resolve(&given, &|question| {
            assert_eq!(*question, Question::FileBySha1(sha1()));
            Some(answer.clone())
        });
        assert_eq!(matches!(resolution, Resolution::Resolved(..)), is_taken, "{answer:?}: {resolution:?}");
    }
}

/// A small world, in which names, ids and states collide often.
fn any_machine() -> impl Strategy<Value = Machine> {
    let word =
        |words: &'static [&'static str]| prop::sample::select(words).prop_map(|it| Some(it.to_owned()));
    let merged = prop::option::weighted(0.2, 1_u32..8);
    (
        (1_u32..8, prop::sample::select(&["ws1", "ws1.corp.example", "ws10", "ws2.corp.example"][..])),
        prop::option::of(prop::sample::select(&[AAD, OTHER_AAD][..])),
        prop::sample::select(&["10.0.0.1", "10.0.0.2"][..]),
        word(&["Onboarded", "Onboarded", "CanBeOnboarded"]),
        word(&["Active", "Active", "Inactive", "NoSensorData"]),
        word(&["Windows10", "Windows11", "Linux"]),
        (merged, prop::bool::weighted(0.1)),
    )
        .prop_map(
            |((n, name), aad, ip, onboarding_status, health_status, os_platform, (merged, doubtful))| {
                Machine {
                    aad_device_id: aad.and_then(|aad| aad.parse().ok()),
                    last_ip: ip.parse().ok(),
                    onboarding_status,
                    health_status,
                    os_platform,
                    merged_into: merged.map(id),
                    is_potential_duplication: doubtful,
                    ..machine(n, name)
                }
            },
        )
}

fn any_entity() -> impl Strategy<Value = MachineEntity> {
    (
        prop::option::weighted(0.2, 1_u32..8),
        prop::option::of(prop::sample::select(&[AAD, OTHER_AAD][..])),
        prop::option::of(prop::sample::select(
            &["ws1", "WS1", "ws1.corp.example", "ws2", "x*", "10.0.0.1"][..],
        )),
        prop::option::of(prop::sample::select(&["10.0.0.1", "10.0.0.2", "127.0.0.1"][..])),
    )
        .prop_map(|(n, aad, name, ip)| MachineEntity {
            id: n.map(id),
            aad_device_id: aad.and_then(|aad| aad.parse().ok()),
            dns_name: name.map(ToOwned::to_owned),
            ip: ip.and_then(|ip| ip.parse().ok()),
        })
}

fn any_sha1() -> impl Strategy<Value = Sha1> {
    prop::sample::select(&["12", "34"][..]).prop_map(|pair| pair.repeat(20).parse().unwrap())
}

fn any_sha256() -> impl Strategy<Value = Sha256> {
    prop::sample::select(&["12", "34"][..]).prop_map(|pair| pair.repeat(32).parse().unwrap())
}

fn any_md5() -> impl Strategy<Value = Md5> {
    prop::sample::select(&["12", "34"][..]).prop_map(|pair| pair.repeat(16).parse().unwrap())
}

/// Each id once, as Defender has it.
fn distinct(machines: Vec<Machine>) -> Vec<Machine> {
    let mut seen = Vec::new();
    machines
        .into_iter()
        .filter(|machine| {
            !seen.contains(&machine.id) && {
                seen.push(machine.id);
                true
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_device_that_is_found_is_one_that_defender_answered_and_fits(
        machines in prop::collection::vec(any_machine(), 0..7),
        entity in any_entity(),
        confirm in any::<bool>(),
    ) {
        let machines = distinct(machines);
        let rules = if confirm { confirmed() } else { all() };
        if let Ok(found) = find(entity.clone(), &rules, &machines) {
            if entity.id == Some(found) && !confirm {
                return Ok(());
            }
            let record = machines.iter().find(|machine| machine.id == found);
            let record = record.expect("a device that Defender did not answer");
            prop_assert_eq!(record.onboarding_status.as_deref(), Some("Onboarded"));
            prop_assert_eq!(record.health_status.as_deref(), Some("Active"));
            prop_assert!(record.os_platform.as_deref().unwrap().starts_with("Windows"));
            prop_assert!(!record.is_potential_duplication);
            prop_assert!(record.merged_into.is_none_or(|into| into == record.id));
            if let Some((ours, theirs)) = entity.aad_device_id.zip(record.aad_device_id) {
                prop_assert_eq!(ours, theirs);
            }
            if let Some(name) = entity.dns_name.and_then(|name| name.parse::<DnsName>().ok()) {
                prop_assert!(name.agrees_with(record.dns_name.as_ref().unwrap()));
            }
        }
    }

    #[test]
    fn the_order_of_defenders_lists_never_matters(
        machines in prop::collection::vec(any_machine(), 0..7),
        entity in any_entity(),
        turn in 0_usize..7,
    ) {
        let machines = distinct(machines);
        let mut turned = machines.clone();
        let by = turn.checked_rem(turned.len()).unwrap_or(0);
        turned.rotate_left(by);
        prop_assert_eq!(find(entity.clone(), &all(), &machines), find(entity, &all(), &turned));
    }

    #[test]
    fn a_device_that_has_nothing_to_do_with_it_changes_nothing(
        machines in prop::collection::vec(any_machine(), 0..6),
        entity in any_entity(),
    ) {
        // By address every device of this small world is answered, so only the others are asked.
        let rules = without(By::Ip);
        let machines = distinct(machines);
        let mut more = machines.clone();
        more.push(machine(99, "elsewhere.example"));
        prop_assert_eq!(find(entity.clone(), &rules, &machines), find(entity, &rules, &more));
    }

    #[test]
    fn whatever_is_not_known_yet_is_asked_and_never_guessed(
        machines in prop::collection::vec(any_machine(), 0..7),
        entity in any_entity(),
        known_calls in 0_usize..6,
    ) {
        let machines = distinct(machines);
        let pair = pair(entity, given_file());
        let rules = confirmed();
        let mut answers: Vec<(Question, Found)> = Vec::new();
        // Questions are answered one by one; once the answer is known it is not asked again.
        for _ in 0..20 {
            let known = |question: &Question| answers.iter().find(|(it, _)| it == question).map(|(_, found)| found.clone());
            let Resolution::Ask(question) = resolve(&given(&pair, &rules), &known) else {
                return Ok(());
            };
            prop_assert!(!answers.iter().any(|(asked, _)| *asked == question), "{} was asked twice", question);
            let found = if answers.len() == known_calls {
                Found::Refused("no".to_owned())
            } else {
                defender(&machines, &question)
            };
            answers.push((question, found));
        }
        prop_assert!(false, "it never ends");
    }

    #[test]
    fn a_sha1_that_is_found_is_the_alerts_or_of_a_record_that_echoes_its_hash(
        sha1 in prop::option::of(any_sha1()),
        sha256 in prop::option::of(any_sha256()),
        md5 in prop::option::of(any_md5()),
        answer in (prop::option::of(any_sha1()), prop::option::of(any_sha256()), prop::option::of(any_md5())),
    ) {
        let file = FileEntity { sha1, sha256, md5, name: None };
        let record = FileRecord { sha1: answer.0, sha256: answer.1, md5: answer.2, traits: FileTraits::default() };
        let Ok(found) = find_file(file, &all(), &Found::File(Some(record.clone()))) else {
            return Ok(());
        };
        if sha1.is_some() {
            prop_assert_eq!(sha1, Some(found));
        } else {
            prop_assert_eq!(record.sha1, Some(found));
            prop_assert!(sha256.or(record.sha256) == record.sha256 && (sha256.is_some() || md5 == record.md5));
        }
    }

    #[test]
    fn whatever_text_is_a_name_is_harmless_in_a_filter(text in ".*") {
        if let Ok(name) = text.parse::<DnsName>() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            prop_assert!(name.as_str().chars().all(plain));
            prop_assert!(name.as_str().parse::<IpAddr>().is_err());
        }
    }
}
