//! `send --spool` and `spool`: what cannot be delivered is kept, and sent by whoever comes next.

use std::process::Output;

use quarantine_bridge::clock::Clock;
use serde_json::Value;

use crate::harness::binary::Installation;
use crate::harness::relay::{Relay, StandIn, alert, counts, spool_list, taken, wait_for_counts};
use crate::harness::{poll, simulate};

/// Runs `send` with a spool, on a payload or with `--flush`.
fn send(installation: &Installation, to: &str, what: &[&str]) -> Output {
    let spool = ["--secret-file", "soc-secret", "--spool", "spool", "--url", to];
    installation.run(&[&["send"], what, &spool].concat())
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn what_send_cannot_deliver_is_sent_by_the_next_one() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let to = installation.url("/v1/hooks/soc");
    for number in 0..3 {
        installation.write(&format!("{number}.json"), &alert(number));
    }
    let first = send(&installation, &to, &["0.json", "--id", "msg_mine"]);
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    assert!(err(&first).contains("kept in the spool"), "{}", err(&first));
    assert_eq!(spool_list(&installation)["deliveries"][0]["webhook_id"], "msg_mine");
    assert_eq!(send(&installation, &to, &["1.json"]).status.code(), Some(0));
    let flush = send(&installation, &to, &["--flush"]);
    assert_eq!(flush.status.code(), Some(69), "{}", err(&flush));
    assert!(err(&flush).contains("0 sent, 2 still kept"), "{}", err(&flush));

    let _serving = installation.serve();
    installation.wait_until_ready().await;
    let third = send(&installation, &to, &["2.json"]);

    assert_eq!(third.status.code(), Some(0), "{}", err(&third));
    assert!(err(&third).contains("2 sent, 0 still kept"), "{}", err(&third));
    assert_eq!(counts(&installation), [0, 0, 0]);
    poll("three actions at Defender", || simulator.machine_actions().len() == 3).await;
    assert_eq!(send(&installation, &to, &["--flush"]).status.code(), Some(0));

    installation.write("bad.json", "no JSON");
    let refused = send(&installation, &to, &["bad.json"]);
    assert_eq!(refused.status.code(), Some(69), "{}", err(&refused));
    let problem: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(problem["status"], 400);
    assert_eq!(counts(&installation), [0, 0, 1]);
}

#[tokio::test]
async fn a_running_relay_sends_what_send_has_kept() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let to = installation.url("/v1/hooks/soc");
    let _relay = Relay::start(&installation, &[]).await;
    installation.write("0.json", &alert(0));
    let kept = send(&installation, &to, &["0.json"]);
    assert_eq!(kept.status.code(), Some(0), "{}", err(&kept));
    let flush = send(&installation, &to, &["--flush"]);
    assert!(err(&flush).contains("another process sends"), "{}", err(&flush));
    let _serving = installation.serve();
    wait_for_counts(&installation, [0, 0, 0]).await;
    poll("the action at Defender", || simulator.machine_actions().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_delivery_does_not_keep_a_flush_from_the_others() {
    let bridge = StandIn::start(|body, tries| match (body, tries) {
        ("\"bad\"", _) | (_, 0) => actix_web::HttpResponse::InternalServerError().finish(),
        _ => taken(),
    });
    let installation = Installation::new("http://127.0.0.1:9", "");
    for (file, body) in [("bad", "\"bad\""), ("good", "\"good\"")] {
        installation.write(file, body);
        assert_eq!(send(&installation, &bridge.url, &[file]).status.code(), Some(0));
    }
    let flush = send(&installation, &bridge.url, &["--flush"]);
    assert_eq!(flush.status.code(), Some(69));
    assert!(err(&flush).contains("1 sent, 1 still kept"), "{}", err(&flush));
    assert_eq!(spool_list(&installation)["deliveries"][0]["note"]["tries"], 2);
}

#[test]
fn a_full_spool_does_not_keep_send_from_sending() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let to = installation.url("/v1/hooks/soc");
    installation.write("0.json", "{}");
    let output = send(&installation, &to, &["0.json", "--max-deliveries", "0"]);
    assert_eq!(output.status.code(), Some(69), "nobody has it, so it must be told");
    let text = err(&output);
    assert!(text.contains("the spool is full") && text.contains("did not answer"), "{text}");
}

#[test]
fn wrong_arguments_are_told() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let to = installation.url("/v1/hooks/soc");
    installation.write("0.json", "{}");
    let without_spool = ["send", "--secret-file", "soc-secret", "--url", &to];
    for more in [&["--flush"][..], &[], &["0.json", "--ca-file", "x"], &["0.json", "--keep", "1h"]] {
        let output = installation.run(&[&without_spool, more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?} {}", err(&output));
    }
    for (arguments, words) in [
        (&["0.json", "--flush"][..], "cannot be used with"),
        (&["0.json", "--keep", "long"], "write a number with s, m, h or d"),
    ] {
        let output = send(&installation, &to, arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains(words), "{}", err(&output));
    }
    installation.write("no.pem", "none");
    let output = send(&installation, "https://127.0.0.1:9/x", &["0.json", "--ca-file", "no.pem"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(err(&output).contains("holds no certificate"), "{}", err(&output));

    let missing = installation.run(&["spool", "list", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(err(&missing).contains("nowhere is no spool"), "{}", err(&missing));
    let id = "019d4418-5b00-7c2e-9a61-402d1b9e6f02";
    assert_eq!(send(&installation, &to, &["--flush"]).status.code(), Some(0), "it makes the spool");
    let output = installation.run(&["spool", "retry", "spool", id]);
    assert!(err(&output).contains("nothing that is dead or rejected has the id"), "{}", err(&output));
}
