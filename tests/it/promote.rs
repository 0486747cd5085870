//! `promote`: what a shadow source would have done, in sum and against the limits.

use std::process::Output;

use jiff::SignedDuration;
use quarantine_bridge::alert::Mode;
use quarantine_bridge::policy::{Guards, Limit, LimitKey};
use quarantine_bridge::simulator::Machine;
use serde_json::{Value, json};

use crate::harness::binary::Installation;
use crate::harness::{Bridge, MACHINE, SHA1, Setup};

/// Longer ago than any of these tests' alerts, by the clock of whoever runs them.
const EVER: &str = "36500d";

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
