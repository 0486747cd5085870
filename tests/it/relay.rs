//! The relay: what it answers with 202 reaches the bridge, once, whatever happens between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use actix_web::HttpResponse;
use actix_web::http::header::RETRY_AFTER;
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::sign;
use quarantine_bridge::relay::{Courier, Forwarder, Verdict, classify, client, next_try, rest};
use quarantine_bridge::simulator::Simulator;
use quarantine_bridge::spool::{Intake, Limits, Spool, entries};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use url::Url;

use crate::harness::binary::{Installation, set_mode};
use crate::harness::relay::{
    Relay, SlowStandIn, StandIn, TlsStandIn, alert, counts, json_of, log_lines, spool_list, taken,
    wait_for_counts,
};
use crate::harness::{key, poll, simulate, start_of_time};

/// How often Defender was made to act, by alert.
fn acted(simulator: &Simulator) -> BTreeMap<String, usize> {
    let mut acted = BTreeMap::new();
    for action in simulator.machine_actions() {
        *acted.entry(action.comment).or_default() += 1;
    }
    acted
}

fn is_once_each(acted: &BTreeMap<String, usize>, alerts: usize) -> bool {
    acted.len() == alerts && acted.values().all(|times| *times == 1)
}

#[tokio::test]
async fn what_is_taken_while_the_bridge_is_down_arrives_when_it_is_back() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let relay = Relay::start(&installation, &[]).await;
    for number in 0..5 {
        assert_eq!(relay.post(alert(number)).await, 202);
    }
    assert_eq!(counts(&installation), [5, 0, 0]);
    let ready = relay.get("/readyz").await;
    assert_eq!(ready.status(), 200, "readiness does not depend on the bridge");
    assert_eq!(json_of(relay.get("/livez").await).await, json!({"live": true}));

    let _serving = installation.serve();

    poll("five actions at Defender", || acted(&simulator).len() == 5).await;
    wait_for_counts(&installation, [0, 0, 0]).await;
    assert!(is_once_each(&acted(&simulator), 5));
    let log = log_lines(&installation);
    assert!(log.iter().any(|line| line["message"] == "a delivery waits for another try"), "{log:#?}");
    assert_eq!(relay.serving.terminate().await, Some(0));
}

#[tokio::test]
async fn the_same_alert_twice_makes_one_action() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let _serving = installation.serve();
    installation.wait_until_ready().await;
    let relay = Relay::start(&installation, &[]).await;
    let body = alert(1);
    assert_eq!(relay.post(body.clone()).await, 202);
    assert_eq!(relay.post(body).await, 202);
    wait_for_counts(&installation, [0, 0, 0]).await;
    poll("the action at Defender", || !acted(&simulator).is_empty()).await;
    assert!(is_once_each(&acted(&simulator), 1));
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_or_doubled_by_kills() {
    let (simulator, _tasks) = simulate(Clock::system());
    let more = "[budget]\ncalls_per_minute = 1000000\ncalls_per_hour = 1000000\n";
    let installation = Installation::new(&simulator.url(), more);
    let mut answered = BTreeSet::new();
    let mut number = 0;
    let mut serving = None;
    // The bridge is away for the first kills and there for the others.
    for kill in 0..12 {
        if kill == 8 {
            serving = Some(installation.serve());
            installation.wait_until_ready().await;
        }
        let relay = Relay::start(&installation, &[]).await;
        let posts: Vec<_> =
            (number..number + 10).map(|number| (number, relay.request(alert(number)).send())).collect();
        number += posts.len();
        let mut tasks = JoinSet::new();
        for (number, post) in posts {
            tasks.spawn(async move { (number, post.await.is_ok_and(|answer| answer.status() == 202)) });
        }
        // After some have been answered and while others are under way.
        for _ in 0..=kill % 7 {
            let (number, is_answered) = tasks.join_next().await.unwrap().unwrap();
            assert!(is_answered, "{number} was refused");
            answered.insert(number);
        }
        relay.serving.kill();
        while let Some(done) = tasks.join_next().await {
            let (number, is_answered) = done.unwrap();
            answered.extend(is_answered.then_some(number));
        }
    }
    assert!(answered.len() >= 40, "{answered:?}");

    let relay = Relay::start(&installation, &[]).await;

    wait_for_counts(&installation, [0, 0, 0]).await;
    let of = |number: &usize| format!("Stop and quarantine file on machine due to alert alert-{number}");
    poll("every answered alert at Defender", || {
        let acted = acted(&simulator);
        answered.iter().all(|number| acted.contains_key(&of(number)))
    })
    .await;
    assert!(acted(&simulator).values().all(|times| *times == 1), "{:?}", acted(&simulator));
    assert_eq!(relay.serving.terminate().await, Some(0));
    assert_eq!(serving.unwrap().terminate().await, Some(0));
}

#[tokio::test]
async fn every_try_has_the_same_id_and_a_signature_of_its_own_time() {
    let bridge = StandIn::start(|_, tries| match tries {
        0 => HttpResponse::InternalServerError().finish(),
        1 => HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "3")).finish(),
        _ => taken(),
    });
    let installation = Installation::new("http://127.0.0.1:9", "");
    let relay = Relay::start_to(&installation, &bridge.url, &[]).await;
    let answer = relay.request("{}").header("webhook-id", "msg_static").send().await.unwrap();
    let answer = json_of(answer).await;

    poll("three tries", || bridge.seen().len() == 3).await;
    wait_for_counts(&installation, [0, 0, 0]).await;

    let seen = bridge.seen();
    let id = answer["webhook_id"].as_str().unwrap();
    assert!(id.starts_with("msg_") && id != "msg_static", "a static header would make all deliveries one");
    for seen in &seen {
        assert_eq!(seen.id, id);
        let signed_at = Timestamp::from_second(seen.signed_at).unwrap();
        assert_eq!(seen.signature, sign(&key(), &id.parse().unwrap(), signed_at, b"{}"));
    }
    assert!(seen[2].at.duration_since(seen[1].at) >= SignedDuration::from_secs(3), "Retry-After is kept to");
    assert!(seen[2].signed_at > seen[0].signed_at);
}

#[tokio::test]
async fn one_that_fails_does_not_keep_back_those_behind_it_and_a_strange_200_takes_nothing() {
    let bridge = StandIn::start(|body, _| match body {
        "fails" => HttpResponse::InternalServerError().finish(),
        "proxied" => HttpResponse::Ok().content_type("text/html").body("<p>log in first</p>"),
        _ => taken(),
    });
    let installation = Installation::new("http://127.0.0.1:9", "");
    let relay = Relay::start_to(&installation, &bridge.url, &[]).await;
    for body in ["fails", "a", "b", "proxied"] {
        assert_eq!(relay.post(body).await, 202);
    }
    poll("all to be tried", || bridge.tries().len() == 4).await;
    wait_for_counts(&installation, [2, 0, 0]).await;
    let tries = bridge.tries();
    assert_eq!((tries["a"], tries["b"], tries["proxied"]), (1, 1, 1), "{tries:?}");
    poll("both notes", || {
        let list = spool_list(&installation);
        let reasons = list["deliveries"].as_array().unwrap().iter().map(|it| it["note"]["reason"].clone());
        reasons.eq([json!("HTTP 500"), json!("HTTP 200, but not from a bridge: compare the address")])
    })
    .await;
}

#[tokio::test]
async fn a_full_spool_takes_no_more_and_says_when_to_come_back() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let relay = Relay::start(&installation, &["--max-deliveries", "3"]).await;
    let statuses = [relay.post(alert(0)).await, relay.post(alert(1)).await, relay.post(alert(2)).await];
    assert_eq!(statuses, [202; 3]);
    let refused = relay.request(alert(3)).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(json_of(refused).await["type"], "urn:quarantine-bridge:problem:store-unavailable");
    assert_eq!(relay.get("/readyz").await.status(), 503);
    assert_eq!(counts(&installation), [3, 0, 0]);

    let _serving = installation.serve();
    wait_for_counts(&installation, [0, 0, 0]).await;
    let mut status = 503;
    while status == 503 {
        status = relay.post(alert(3)).await;
    }
    assert_eq!(status, 202);
    drop(relay);

    let by_bytes = Relay::start(&installation, &["--max-mib", "0"]).await;
    assert_eq!(by_bytes.post(alert(4)).await, 503);
}

#[tokio::test]
async fn nothing_is_answered_202_that_the_disk_did_not_take() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let relay = Relay::start_with_little_disk(&installation).await;
    let large = format!("\"{}\"", "x".repeat(200 * 1024));
    assert_eq!(relay.post(large).await, 503);
    assert_eq!(relay.post("\"small\"").await, 202);
    assert_eq!(counts(&installation), [1, 0, 0]);
    // The forwarder writes its notes aside too, and is done with them soon.
    poll("no unfinished file", || {
        let mut files = fs::read_dir(installation.path("spool/waiting")).unwrap();
        !files.any(|file| file.unwrap().file_name().to_string_lossy().ends_with(".part"))
    })
    .await;

    fs::rename(installation.path("spool/waiting"), installation.path("spool/away")).unwrap();
    assert_eq!(relay.post("\"small\"").await, 503);
    assert_eq!(relay.get("/readyz").await.status(), 503);
    fs::rename(installation.path("spool/away"), installation.path("spool/waiting")).unwrap();
    assert_eq!(relay.get("/readyz").await.status(), 200);
    assert_eq!(relay.post("\"small\"").await, 202);
    assert_eq!(counts(&installation), [2, 0, 0]);
}

#[tokio::test]
async fn what_is_no_delivery_of_a_local_tool_is_refused() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let relay = Relay::start(&installation, &[]).await;
    let cases = [
        (relay.request(vec![b'x'; 256 * 1024 + 1]), 413),
        (relay.request("{}").header("content-encoding", "gzip"), 415),
        (relay.request(""), 400),
        (relay.request("{}").header("origin", "https://example.test"), 403),
    ];
    for (request, status) in cases {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(relay.get("/").await.status(), 405);
    assert_eq!(relay.get("/v1/actions").await.status(), 404);
    assert_eq!(counts(&installation), [0, 0, 0]);
}

#[tokio::test]
async fn a_required_header_must_be_there_once_and_right() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.write_secret("header", "correct horse\n");
    let relay = Relay::start(&installation, &["--require-header", "X-Key", "--header-file", "header"]).await;
    let with =
        |values: &[&str]| values.iter().fold(relay.request("{}"), |it, value| it.header("x-key", *value));
    for (values, status) in [
        (&[][..], 401),
        (&["correct hors"], 401),
        (&["correct horse "], 202),
        (&["correct horse", "correct horse"], 401),
        (&["wrong", "correct horse"], 401),
        (&["correct horse"], 202),
    ] {
        assert_eq!(with(values).send().await.unwrap().status(), status, "{values:?}");
    }
    let log = fs::read_to_string(installation.path("relay.log")).unwrap();
    assert!(!log.contains("horse"), "a secret is in the log");
}

#[tokio::test]
async fn a_relay_does_not_start_where_it_would_be_unsafe() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let run = |listen: &str, to: &str, spool: &str| {
        let arguments = ["--secret-file", "soc-secret", "--listen", listen, "--to", to, "--spool", spool];
        let output = installation.run(&[&["relay"], &arguments[..]].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let to = installation.url("/v1/hooks/soc");
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let (code, text) = run(open, &to, "spool");
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains("is no loopback address"), "{text}");
    }
    let relay = Relay::start(&installation, &[]).await;
    let (code, text) = run("127.0.0.1:0", &to, "spool");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("another process sends from spool"), "{text}");
    drop(relay);

    let (code, text) = run("127.0.0.1:0", &installation.url("/v1/hooks/other"), "spool");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("this spool keeps deliveries for http://"), "{text}");
    fs::create_dir(installation.path("open")).unwrap();
    set_mode(&installation.path("open"), 0o755);
    let (code, text) = run("127.0.0.1:0", &to, "open");
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("chmod 700 open"), "{text}");
    let (code, text) = run("127.0.0.1:0", "ftp://127.0.0.1/x", "ftp");
    assert_eq!(code, Some(78));
    assert!(text.contains("is no address of a bridge"), "{text}");
}

#[tokio::test]
async fn what_the_bridge_refuses_is_set_aside_with_its_words_and_can_be_tried_again() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let _serving = installation.serve();
    installation.wait_until_ready().await;
    let relay = Relay::start(&installation, &[]).await;
    assert_eq!(relay.post("no JSON").await, 202);
    assert_eq!(relay.post("{\"no\": \"alert\"}").await, 202);
    assert_eq!(relay.post(alert(1)).await, 202);

    wait_for_counts(&installation, [0, 0, 2]).await;

    poll("the action at Defender", || acted(&simulator).len() == 1).await;
    let list = spool_list(&installation);
    for (entry, status) in list["deliveries"].as_array().unwrap().iter().zip([400, 422]) {
        assert_eq!(entry["note"]["reason"], format!("HTTP {status}"));
        let answer: Value = serde_json::from_str(entry["note"]["answer"].as_str().unwrap()).unwrap();
        assert_eq!(answer["status"], status);
    }
    let text = String::from_utf8(installation.run(&["spool", "list", "spool"]).stdout).unwrap();
    assert!(text.contains("HTTP 422") && text.contains("urn:quarantine-bridge:problem:unmappable"), "{text}");

    let id = list["deliveries"][0]["id"].as_str().unwrap();
    let retry = installation.run(&["spool", "retry", "spool", id]);
    assert_eq!(retry.status.code(), Some(0), "{retry:?}");
    let refused = || {
        log_lines(&installation).iter().filter(|it| it["delivery"] == id && it["answer"].is_string()).count()
    };
    poll("the second refusal", || refused() == 2).await;
    wait_for_counts(&installation, [0, 0, 2]).await;
}

/// A relay's loop over a spool with one delivery, by a clock that is moved, towards a bridge.
fn forwarding(to: &str, folder: &Path, clock: &Clock) -> (Spool, watch::Sender<bool>, JoinSet<()>) {
    let spool = Spool::open(folder, to).unwrap();
    let limits = Limits { deliveries: 10, bytes: 1_000_000 };
    Intake::new(spool.clone(), limits).put(None, "{}".into(), clock.now()).unwrap();
    let to: Url = to.parse().unwrap();
    let courier = Courier {
        spool: spool.clone(),
        client: client(&to, None).unwrap(),
        to,
        key: key(),
        keep: SignedDuration::from_hours(24),
        clock: clock.clone(),
    };
    let (_, arrivals) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(Forwarder::new(courier, arrivals).unwrap().run(stopped));
    (spool, stop, tasks)
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_up_no_delivery_and_one_that_is_ahead_gives_none_up() {
    let bridge = StandIn::start(|_, tries| match tries {
        0..3 => HttpResponse::ServiceUnavailable().finish(),
        _ => taken(),
    });
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o700);
    let clock = Clock::manual(start_of_time());
    let (spool, _stop, _tasks) = forwarding(&bridge.url, folder.path(), &clock);
    poll("the first try", || bridge.seen().len() == 1).await;

    clock.set_by(SignedDuration::from_hours(-1));
    clock.advance(SignedDuration::from_secs(2));
    poll("the second try", || bridge.seen().len() == 2).await;
    clock.set_by(SignedDuration::from_hours(24 * 8));
    clock.advance(SignedDuration::from_secs(4));
    poll("the third try", || bridge.seen().len() == 3).await;
    clock.set_by(SignedDuration::from_hours(-24 * 8));
    clock.advance(SignedDuration::from_secs(8));
    poll("the fourth try", || bridge.seen().len() == 4).await;
    poll("an empty spool", || entries(&spool).unwrap().is_empty()).await;
}

#[tokio::test]
async fn what_cannot_be_sent_for_too_long_is_set_aside_and_can_be_tried_again() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let relay = Relay::start(&installation, &["--keep", "500ms"]).await;
    assert_eq!(relay.post(alert(1)).await, 202);
    wait_for_counts(&installation, [0, 1, 0]).await;
    let list = spool_list(&installation);
    assert_eq!(list["deliveries"][0]["note"]["tries"], 2);
    let given_up = "a delivery is given up and set aside in dead";
    assert!(log_lines(&installation).iter().any(|line| line["message"] == given_up));

    let _serving = installation.serve();
    installation.wait_until_ready().await;
    let id = list["deliveries"][0]["id"].as_str().unwrap();
    assert_eq!(installation.run(&["spool", "retry", "spool", id]).status.code(), Some(0));
    poll("the action at Defender", || acted(&simulator).len() == 1).await;
    wait_for_counts(&installation, [0, 0, 0]).await;
}

#[tokio::test]
async fn a_wrong_secret_keeps_deliveries_until_it_is_mended() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let _serving = installation.serve();
    installation.wait_until_ready().await;
    let right = fs::read_to_string(installation.path("soc-secret")).unwrap();
    installation.write_secret("soc-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let relay = Relay::start(&installation, &[]).await;
    assert_eq!(relay.post(alert(1)).await, 202);
    poll("the refusal", || log_lines(&installation).iter().any(|line| line["reason"] == "HTTP 401")).await;
    assert_eq!(counts(&installation), [1, 0, 0]);
    assert_eq!(relay.serving.terminate().await, Some(0));

    installation.write_secret("soc-secret", &right);
    let _relay = Relay::start(&installation, &[]).await;
    wait_for_counts(&installation, [0, 0, 0]).await;
    poll("the action at Defender", || acted(&simulator).len() == 1).await;
}

#[tokio::test]
async fn what_is_no_delivery_in_the_folder_is_set_aside_and_told() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let relay = Relay::start(&installation, &[]).await;
    for body in ["\"one\"", "\"two\"", "\"three\""] {
        assert_eq!(relay.post(body).await, 202);
    }
    drop(relay);
    let waiting = installation.path("spool/waiting");
    let list = spool_list(&installation);
    let files: Vec<_> =
        (0..3).map(|n| waiting.join(list["deliveries"][n]["file"].as_str().unwrap())).collect();
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(&waiting).unwrap().mode() & 0o777, 0o700);
    let spoiled = fs::read_to_string(&files[0]).unwrap().replace("\"one\"", "\"eno\"");
    fs::write(&files[0], spoiled).unwrap();
    fs::write(&files[1], "").unwrap();
    fs::write(waiting.join("notes.txt"), "mine").unwrap();
    fs::create_dir(waiting.join("folder")).unwrap();
    symlink("/etc/hostname", waiting.join("link")).unwrap();

    let bridge = StandIn::start(|_, _| taken());
    fs::remove_file(installation.path("spool/destination")).unwrap();
    let _relay = Relay::start_to(&installation, &bridge.url, &[]).await;

    wait_for_counts(&installation, [0, 0, 5]).await;
    assert_eq!(bridge.seen().iter().map(|seen| seen.body.as_str()).collect::<Vec<_>>(), ["\"three\""]);
    let problems: Vec<_> = spool_list(&installation)["deliveries"].as_array().unwrap().clone();
    let is_told = |words: &str| problems.iter().any(|it| it["problem"].as_str().unwrap().contains(words));
    assert!(is_told("does not have the digest") && is_told("has no first line") && is_told("is no delivery"));
    let told = log_lines(&installation);
    let told = told.iter().filter(|line| line["message"].as_str().unwrap().contains("set aside in rejected"));
    assert_eq!(told.count(), 5);
}

#[tokio::test]
async fn a_stop_lets_the_try_under_way_end_and_keeps_the_rest() {
    let bridge = SlowStandIn::start().await;
    let installation = Installation::new("http://127.0.0.1:9", "");
    let relay = Relay::start_to(&installation, &bridge.url, &[]).await;
    assert_eq!(relay.post("{}").await, 202);
    assert_eq!(relay.post("{}").await, 202);
    let asked = bridge.asked().await;
    let answer = async {
        let is_stopping = |line: &Value| line["message"].as_str().unwrap().starts_with("stopping");
        poll("the relay to begin to stop", || log_lines(&installation).iter().any(is_stopping)).await;
        asked.take().await;
    };
    let (code, ()) = tokio::join!(relay.serving.terminate(), answer);
    assert_eq!(code, Some(0));
    assert_eq!(counts(&installation), [1, 0, 0]);
}

#[tokio::test]
async fn a_private_authority_is_trusted_if_it_is_named_and_only_then() {
    let bridge = TlsStandIn::start().await;
    let installation = Installation::new("http://127.0.0.1:9", "");
    installation.write("authority.pem", &bridge.authority);
    let without = Relay::start_to(&installation, &bridge.url, &[]).await;
    assert_eq!(without.post("{}").await, 202);
    let refused =
        |line: &Value| line["reason"].as_str().is_some_and(|it| it.to_lowercase().contains("certificate"));
    poll("the refusal", || log_lines(&installation).iter().any(refused)).await;
    assert_eq!(counts(&installation), [1, 0, 0]);
    drop(without);

    let _relay = Relay::start_to(&installation, &bridge.url, &["--ca-file", "authority.pem"]).await;
    wait_for_counts(&installation, [0, 0, 0]).await;
}

fn later(retry_after: Option<i64>) -> Verdict {
    let retry_after = retry_after.map(|seconds| start_of_time() + SignedDuration::from_secs(seconds));
    Verdict::Later { reason: "HTTP 503".to_owned(), retry_after }
}

fn wait(verdict: &Verdict, failures: u32, chance: u8) -> i64 {
    let at = next_try(verdict, failures, chance, start_of_time()).unwrap();
    at.duration_since(start_of_time()).as_millis().try_into().unwrap()
}

fn rested(verdict: &Verdict, failures: u32) -> i64 {
    let until = rest(verdict, failures, 0, start_of_time());
    until.duration_since(start_of_time()).as_millis().try_into().unwrap()
}

#[test]
fn waits_double_up_to_a_minute_and_retry_after_is_never_undercut() {
    let away = Verdict::Away { reason: String::new() };
    let waits: Vec<_> = (1..=8).map(|failures| wait(&away, failures, 0)).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    assert_eq!(wait(&away, u32::MAX, 0), 60_000);
    assert_eq!(wait(&later(None), 1, 0), 1_000);
    assert_eq!(wait(&later(Some(120)), 1, 0), 120_000);
    assert_eq!(wait(&later(Some(1)), 4, 0), 8_000, "the longer of the two");
    assert_eq!(wait(&later(Some(1_000_000)), 1, 0), 900_000, "bounded");
    assert_eq!(wait(&later(Some(-5)), 1, 0), 1_000, "in the past");
    let mend = Verdict::Mend { reason: String::new() };
    let waits: Vec<_> = (1..=5).map(|failures| wait(&mend, failures, 0)).collect();
    assert_eq!(waits, [60_000, 120_000, 240_000, 300_000, 300_000]);
    for chance in 0..=u8::MAX {
        let wait = wait(&later(Some(100)), 1, chance);
        assert!((100_000..125_000).contains(&wait), "{wait}");
    }
    let rests: Vec<_> = (1..=4).map(|failures| rested(&mend, failures)).collect();
    assert_eq!(rests, [1_000, 2_000, 4_000, 8_000], "others need not wait for a person");
    assert_eq!(rested(&later(Some(120)), 1), 120_000);
    assert_eq!(next_try(&Verdict::Taken, 1, 0, start_of_time()), None);
    assert_eq!(next_try(&Verdict::Refused { reason: String::new() }, 1, 0, start_of_time()), None);
}

const TAKEN: &[u8] = br#"{"delivery_id": "d1"}"#;
const PROBLEM: &[u8] = br#"{"type": "urn:quarantine-bridge:problem:conflict"}"#;

/// The kind of a verdict, in a word.
fn kind(status: u16, body: &[u8]) -> &'static str {
    match classify(status, None, body, start_of_time()) {
        Verdict::Taken => "taken",
        Verdict::Away { .. } => "away",
        Verdict::Later { .. } => "later",
        Verdict::Mend { .. } => "mend",
        Verdict::Refused { .. } => "refused",
    }
}

#[test]
fn answers_are_told_apart_by_status_and_by_whether_they_are_a_bridges() {
    let strange =
        [&b""[..], b"<html>nginx</html>", b"{}", b"[]", br#"{"delivery_id": 1, "type": "about:blank"}"#];
    for (statuses, body, wanted) in [
        (&[200, 202][..], TAKEN, "taken"),
        (&[400, 409, 413, 415, 422], PROBLEM, "refused"),
        (&[301, 302, 307, 401, 403, 404, 405, 410, 451], PROBLEM, "mend"),
        (&[408, 429, 500, 502, 503, 504, 599], PROBLEM, "later"),
    ] {
        for status in statuses {
            assert_eq!(kind(*status, body), wanted, "{status}");
        }
    }
    for (status, body) in
        [200, 202, 204, 400, 409, 413, 415, 422].into_iter().zip(strange.into_iter().cycle())
    {
        assert_eq!(kind(status, body), "mend", "{status} {body:?}");
    }
    for body in strange {
        assert_eq!((kind(200, body), kind(400, body)), ("mend", "mend"), "{body:?}");
    }
}

#[test]
fn retry_after_is_read_as_seconds_or_a_date() {
    let now = start_of_time();
    for (text, seconds) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Sun, 01 Mar 2026 12:00:30 GMT", Some(30)),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        let later = later(seconds);
        assert_eq!(classify(503, Some(text), b"", now), later, "{text}");
    }
    let endless = classify(503, Some("99999999999999999999"), b"", now);
    assert_eq!(next_try(&endless, 1, 0, now), Some(now + SignedDuration::from_secs(900)));
}
