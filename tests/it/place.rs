//! Where the database may lie: refused where it would break, with a warning where it may be lost.
//!
//! What a folder is on is what `statfs` tells; strace has it tell of other file systems, so nothing need be mounted.

use std::process::{Command, Stdio};

use quarantine_bridge::store::{self, Place};

use crate::harness::binary::{Installation, command};
use crate::harness::poll;

/// The binary, to which every first look of a thread at a file system tells this number.
fn told_it_is_on(number: u32, arguments: &[&str], installation: &Installation) -> Command {
    let bytes = hex::encode(u64::from(number).to_le_bytes());
    let mut strace = Command::new("strace");
    // -D: the service is the child, and strace the grandchild, so that signals reach the service.
    strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=statfs", "-e"]);
    strace.arg(format!("inject=statfs:poke_exit=@arg2={bytes}"));
    strace.arg(command(&[]).get_program()).args(arguments).arg("--config").arg(installation.config());
    strace.stdin(Stdio::null());
    strace
}

#[test]
fn file_systems_are_judged_by_their_numbers() {
    let is_unsafe = |number, told: &str| matches!(Place::of_type(number), Place::Unsafe { name, .. } if name.starts_with(told));
    let is_doubtful = |number| matches!(Place::of_type(number), Place::Doubtful { .. });

    for (name, good) in [("ext4", 0xef53), ("xfs", 0x5846_5342), ("btrfs", 0x9123_683e), ("zfs", 0x2fc1_2fc1)]
    {
        assert_eq!(Place::of_type(good), Place::Good, "{name}");
    }
    for (name, bad) in [
        ("NFS", 0x6969),
        ("SMB (cifs)", 0xff53_4d42),
        ("SMB (smb3)", 0xfe53_4d42),
        ("CephFS", 0x00c3_6400),
        ("9p", 0x0102_1997),
        ("FUSE", 0x6573_5546),
        ("a shared folder of VirtualBox", 0x786f_4256),
    ] {
        assert!(is_unsafe(bad, name), "{name}");
    }
    for (name, lost) in [("tmpfs", 0x0102_1994), ("overlay", 0x794c_7630), ("one that is not known", 0x1234)]
    {
        assert!(is_doubtful(lost), "{name}");
    }
}

#[tokio::test]
async fn a_service_does_not_start_with_its_database_on_a_network() {
    let installation = Installation::new("http://127.0.0.1:9", "");

    for (number, name) in [(0x6969, "NFS"), (0xfe53_4d42, "SMB"), (0x0102_1997, "9p"), (0x6573_5546, "FUSE")]
    {
        let serving = installation.start(told_it_is_on(number, &["serve"], &installation), name);
        let ended = serving.ended().await;

        assert_eq!(ended.code(), Some(78), "{name}: a restart would not help");
        let log = std::fs::read_to_string(installation.path(name)).unwrap();
        for word in ["bridge.db cannot be there", name, "local disk or a block volume", "store.path"] {
            assert!(log.contains(word), "{word:?} is not in {log}");
        }
    }
    for file in ["bridge.db", "bridge.db.lock"] {
        assert!(!installation.path(file).exists(), "{file} was made");
    }
    // No command makes it either.
    let create = ["token", "create", "--name", "t", "--scope", "metrics"];
    let created = told_it_is_on(0x6969, &create, &installation).output().unwrap();
    assert_eq!(created.status.code(), Some(78));
    assert!(!installation.path("bridge.db").exists());
}

#[tokio::test]
async fn a_database_in_memory_is_served_with_a_warning() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let serving = installation.start(told_it_is_on(0x0102_1994, &["serve"], &installation), "log");
    installation.wait_until_ready().await;

    poll("the warning", || installation.log().contains("should be on a local disk")).await;

    let log = installation.log();
    assert!(log.contains("tmpfs") && log.contains("are gone when"), "{log}");
    assert_eq!(serving.terminate().await, Some(0));
}

#[test]
fn doctor_says_what_the_database_is_on() {
    let installation = Installation::new("http://127.0.0.1:9", "");

    for (number, verdict, words) in [
        (0xff53_4d42, "wrong", "its file system is SMB (cifs)"),
        (0x794c_7630, "note", "its file system is overlay"),
        (0xef53, "well", "its file system is one for a database"),
    ] {
        let looked = told_it_is_on(number, &["doctor", "--json"], &installation).output().unwrap();
        let found: serde_json::Value = serde_json::from_slice(&looked.stdout).unwrap();
        let text = found.to_string();
        let findings = found["findings"].as_array().or(found.as_array()).unwrap_or_else(|| panic!("{text}"));
        let fits = |it: &&serde_json::Value| it["check"] == "disk" && it["verdict"] == verdict;
        let mut whats = findings.iter().filter(fits).map(|it| it["what"].as_str().unwrap());
        assert!(whats.any(|what| what.contains(words)), "{words:?} is not in {text}");
    }
}

#[test]
fn what_the_system_does_not_tell_is_no_reason_against_it() {
    let nowhere = store::Options { path: "/nowhere/at/all/bridge.db".into() };

    assert_eq!(store::place(&nowhere), Place::Good);
}
