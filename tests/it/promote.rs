//! `promote`: what a shadow source would have done, in sum and against the limits.

use std::process::Output;

use jiff::SignedDuration;
use quarantine_bridge::alert::{Mode, Target, after};
use quarantine_bridge::policy::{Answer, Guard, Guards, Limit, LimitKey, Shadowed, promotion};
use quarantine_bridge::simulator::Machine;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Bridge, MACHINE, SHA1, Setup, start_of_time};

/// Longer ago than any of these tests' alerts, by the clock of whoever runs them.
const EVER: &str = "36500d";

fn shadowed(minute: i64, machine: u64, rule: &str, facts: &[&str]) -> Shadowed {
    let target =
        Target { machine_id: format!("{machine:040x}").parse().unwrap(), sha1: SHA1.parse().unwrap() };
    Shadowed {
        at: after(start_of_time(), SignedDuration::from_mins(minute)),
        rule: rule.to_owned(),
        target: Some(target),
        why: format!("at minute {minute}"),
        facts: facts.iter().map(|line| (*line).to_owned()).collect(),
    }
}

#[test]
fn the_fullest_period_of_each_limit_is_found_by_what_it_counts_apart() {
    let pass = ["os: pass, Windows11"];
    let actions = [
        shadowed(0, 1, "a", &pass),
        shadowed(10, 1, "a", &pass),
        shadowed(59, 2, "b", &pass),
        // A period is over when it is over: minute 0 counts no more.
        shadowed(60, 1, "a", &pass),
        shadowed(300, 3, "a", &pass),
    ];
    let hour = SignedDuration::from_hours(1);
    let keys: [&[LimitKey]; 5] =
        [&[], &[LimitKey::Hash], &[LimitKey::Device], &[LimitKey::Rule], &[LimitKey::Source]];
    let limits = keys.map(|keys| Limit::new(2, hour, keys));

    let report = promotion(&actions, &limits);

    let peaks: Vec<u64> = report.limits.iter().map(|against| against.peak).collect();
    assert_eq!(peaks, [3, 3, 2, 2, 3]);
    let at = after(start_of_time(), SignedDuration::from_mins(59));
    assert_eq!(report.limits[0].at, Some(at));
    assert_eq!((report.devices, report.files), (3, 1));
}

#[test]
fn what_only_limits_and_the_first_actions_hold_counts_as_sent_and_nothing_else_does() {
    let actions = [
        shadowed(0, 1, "a", &["os: pass, x", "blast_radius: hold, full"]),
        shadowed(1, 2, "a", &["os: pass, x", "first_actions: hold, new"]),
        shadowed(2, 3, "a", &["os: hold, a server", "blast_radius: hold, full"]),
        shadowed(3, 4, "a", &["os: hold, a server", "undone: deny, undone"]),
        shadowed(4, 5, "a", &["age: expire, too old"]),
        // A record without what guards found is no reason to send.
        shadowed(5, 6, "a", &[]),
    ];

    let report = promotion(&actions, &[Limit::new(1, SignedDuration::from_hours(1), &[])]);

    assert_eq!((report.devices, report.limits[0].peak), (2, 2));
    let count = |answer| report.answers.get(&answer).copied().unwrap_or(0);
    assert_eq!(Answer::ALL.map(count), [0, 4, 1, 1]);
    assert_eq!(report.reasons[&(Answer::Hold, Some(Guard::Os))].count, 1);
    assert_eq!(report.reasons[&(Answer::Deny, Some(Guard::Undone))].example, "at minute 3");
    assert_eq!(report.guards[&Guard::BlastRadius][&Answer::Hold], 2);
}

fn three_an_hour(guards: &mut Guards) {
    guards.limits = vec![Limit::new(3, SignedDuration::from_hours(1), &[LimitKey::Hash])].into();
}

/// Runs `promote` beside a service that uses its database.
fn promote(bridge: &Bridge, since: &str, more: &[&str]) -> Output {
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.edit("path = \"bridge.db\"", &format!("path = \"{}\"", bridge.database().display()));
    installation.edit("mode = \"enforce\"", "mode = \"shadow\"");
    installation
        .edit("blast_radius = []", "blast_radius = [{ max = 3, period = \"1h\", keys = [\"hash\"] }]");
    let all = [&["promote", "soc", "--since", since], more].concat();
    installation.run(&all)
}

#[tokio::test]
async fn the_report_adds_up_what_a_shadow_source_would_have_done() {
    let setup = Setup { guards: three_an_hour, mode: Mode::Shadow, ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    let controller =
        Machine { id: MACHINE.to_owned(), tags: vec!["DomainController".to_owned()], ..Machine::default() };
    bridge.simulator.with(|state| state.world.machines = vec![controller]);
    for n in 1..=5 {
        bridge.accept(&format!("a{n}"), &format!("{n:040x}"), SHA1).await;
    }
    bridge.accept("controller", MACHINE, SHA1).await;
    bridge.drain().await;
    assert!(bridge.quarantines().is_empty());

    let output = promote(&bridge, EVER, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["would_be"], json!({"sent": 3, "held": 2, "denied": 1, "expired": 0}), "{report}");
    assert_eq!((&report["source"], &report["mode"]), (&json!("soc"), &json!("shadow")));
    assert_eq!((&report["devices"], &report["files"]), (&json!(5), &json!(1)));
    let limit = &report["limits"][0];
    assert_eq!((&limit["peak"], &limit["max"], &limit["keys"]), (&json!(5), &json!(3), &json!(["hash"])));
    let denied = report["reasons"].as_array().unwrap().iter().find(|it| it["would_be"] == "denied").unwrap();
    assert_eq!((&denied["guard"], &denied["count"]), (&json!("protected_device"), &json!(1)));

    let text = String::from_utf8(promote(&bridge, EVER, &[]).stdout).unwrap();
    for line in
        ["would be   sent           3", "would be   held           2", "limit      above   at most 5 of 3"]
    {
        assert!(text.contains(line), "{text}");
    }
    let text = String::from_utf8(promote(&bridge, "1s", &[]).stdout).unwrap();
    assert!(text.contains("no alert of it was decided in shadow mode since then"), "{text}");
}

#[test]
fn a_source_or_a_time_that_is_not_there_is_told() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    for (arguments, code, told) in [
        (["promote", "nobody", "--since", "7d"], 1, "has no source nobody"),
        (["promote", "soc", "--since", "soon"], 2, "is no duration"),
        (["promote", "soc", "--since", "7d"], 1, "cannot be read"),
    ] {
        let output = installation.run(&arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(told), "{text}");
    }
}
