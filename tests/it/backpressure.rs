//! Deliveries that are put off: over a quota, with a full queue, after failed authentications, and while something hangs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::SignedDuration;
use quarantine_bridge::alert::{after, before};
use quarantine_bridge::http::{Bucket, FailureDoor, Failures, Limits, Quota, Rate};
use quarantine_bridge::mapping::{Format, MapError, Mapper, MapperError, RunError};
use quarantine_bridge::store::{Accept, Options, Receipt, Store, StoreError};
use reqwest::Client;
use rusqlite::Connection;
use tokio::time::Instant;

use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup, start_of_time};
use crate::intents::verified;

/// When Microsoft Graph gives up, the first of all. We stop after a second; the rest is for a machine under load.
const SENDERS_PATIENCE: Duration = Duration::from_secs(3);

const fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn put_off(answer: &Answer, status: u16, code: &str, retry_after: &str) {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    assert_eq!(answer.body["type"], format!("urn:quarantine-bridge:problem:{code}"));
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.headers["retry-after"], retry_after);
}

fn with_quota(deliveries_per_minute: u32, burst: u32, retries_429: bool) -> Setup {
    let quota = Quota { rate: Rate::per_minute(deliveries_per_minute, burst), retries_429 };
    Setup { quota, ..Setup::default() }
}

fn with_room_for(unfinished_max: u64) -> Setup {
    Setup { limits: Limits { unfinished_max, ..Limits::default() }, ..Setup::default() }
}

async fn post(bridge: &Bridge, alert_id: &str) -> Answer {
    bridge.post(&format!("msg_{alert_id}"), bridge.alert(alert_id, MACHINE, SHA1)).await
}

#[test]
fn a_bucket_gives_its_burst_at_once_and_then_one_an_interval() {
    let (rate, now) = (Rate::per_minute(20, 3), start_of_time());
    let mut bucket = Bucket::FULL;
    for _ in 0..3 {
        assert_eq!(bucket.take(rate, now), Ok(()));
    }
    assert_eq!(bucket.take(rate, now), Err(secs(3)));
    assert_eq!(bucket.take(rate, after(now, secs(1))), Err(secs(2)));
    assert_eq!(bucket.take(rate, after(now, secs(3))), Ok(()));
    assert_eq!(bucket.take(rate, after(now, secs(3))), Err(secs(3)));
    assert!(!bucket.is_full(after(now, secs(11))));
    assert!(bucket.is_full(after(now, secs(12))));
    for _ in 0..3 {
        assert_eq!(bucket.take(rate, after(now, secs(1000))), Ok(()), "it never holds more than its burst");
    }
    assert_eq!(bucket.take(rate, after(now, secs(1000))), Err(secs(3)));
}

#[test]
fn a_clock_that_is_set_back_empties_a_bucket_and_no_more() {
    let (rate, now) = (Rate::per_minute(20, 3), start_of_time());
    let mut bucket = Bucket::FULL;
    assert_eq!(bucket.take(rate, now), Ok(()));
    let earlier = before(now, secs(3600));
    assert_eq!(bucket.take(rate, earlier), Err(secs(3)));
    assert_eq!(bucket.take(rate, after(earlier, secs(3))), Ok(()));
}

#[test]
fn failures_are_counted_by_address_and_source_in_bounded_memory() {
    let soc = FailureDoor::Source("soc".parse().unwrap());
    let other = FailureDoor::Source("other".parse().unwrap());
    let now = start_of_time();
    let mut failures = Failures::new(Rate::every(secs(3), 20), 1_000);
    for _ in 0..20 {
        assert_eq!(failures.wait(ip("192.0.2.1"), &soc, now), SignedDuration::ZERO);
        failures.record(ip("192.0.2.1"), &soc, now);
    }
    assert_eq!(failures.wait(ip("192.0.2.1"), &soc, now), secs(3));
    assert_eq!(failures.wait(ip("::ffff:192.0.2.1"), &soc, now), secs(3), "the same address");
    assert_eq!(failures.wait(ip("192.0.2.2"), &soc, now), SignedDuration::ZERO);
    assert_eq!(failures.wait(ip("192.0.2.1"), &other, now), SignedDuration::ZERO);
    assert_eq!(failures.wait(ip("192.0.2.1"), &FailureDoor::Links, now), SignedDuration::ZERO);

    for n in 0..20 {
        failures.record(format!("2001:db8:1:2::{n:x}").parse().unwrap(), &soc, now);
    }
    assert_eq!(failures.wait(ip("2001:db8:1:2:3:4:5:6"), &soc, now), secs(3), "one host has a whole /64");
    assert_eq!(failures.wait(ip("2001:db8:1:3::1"), &soc, now), SignedDuration::ZERO);

    for n in 0..5_000_u32 {
        failures.record(IpAddr::from(n.to_be_bytes()), &soc, now);
        assert!(failures.len() <= 1_000, "{}", failures.len());
    }
}

#[tokio::test]
async fn a_source_over_its_quota_is_put_off_before_anything_is_stored() {
    let bridge = Bridge::with(with_quota(20, 2, false)).await;
    assert_eq!(post(&bridge, "a1").await.status, 202);
    assert_eq!(post(&bridge, "a1").await.status, 200, "a duplicate counts");

    put_off(&post(&bridge, "a2").await, 503, "over-quota", "3");

    assert_eq!(bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len(), 1);
    let line = "quarantine_bridge_deliveries_put_off_total{source=\"soc\",reason=\"over_quota\"}";
    assert_eq!(bridge.metric(line), Some(1.0));
    bridge.clock.advance(secs(3));
    assert_eq!(post(&bridge, "a2").await.status, 202);
}

#[tokio::test]
async fn a_source_that_retries_429_gets_429() {
    let bridge = Bridge::with(with_quota(60, 1, true)).await;
    assert_eq!(post(&bridge, "a1").await.status, 202);
    put_off(&post(&bridge, "a2").await, 429, "over-quota", "1");
}

#[tokio::test]
async fn strangers_cannot_spend_a_quota() {
    let bridge = Bridge::with(with_quota(60, 1, false)).await;
    for _ in 0..10 {
        let forged = bridge.signed("msg_1", b"{}".to_vec()).body("{ }");
        assert_eq!(bridge.send(forged).await.status, 401);
    }
    assert_eq!(post(&bridge, "a1").await.status, 202);
}

#[tokio::test]
async fn a_reload_does_not_refill_a_quota_and_changes_its_rate() {
    let bridge = Bridge::with(with_quota(1, 1, false)).await;
    assert_eq!(post(&bridge, "a1").await.status, 202);
    bridge.reconfigure(|_| ());
    put_off(&post(&bridge, "a2").await, 503, "over-quota", "60");
    bridge.reconfigure(|config| config.http.sources[0].quota.rate = Rate::per_minute(60, 2));
    assert_eq!(post(&bridge, "a2").await.status, 503, "a bucket that looks more than empty is empty");
    bridge.clock.advance(secs(1));
    assert_eq!(post(&bridge, "a2").await.status, 202);
}

#[tokio::test]
async fn a_full_queue_puts_off_until_there_is_room() {
    let mut bridge = Bridge::with(with_room_for(2)).await;
    assert_eq!(post(&bridge, "a1").await.status, 202);
    assert_eq!(post(&bridge, "a2").await.status, 202);

    put_off(&post(&bridge, "a3").await, 503, "queue-full", "30");

    let line = "quarantine_bridge_deliveries_put_off_total{source=\"soc\",reason=\"queue_full\"}";
    assert_eq!(bridge.metric(line), Some(1.0));
    assert_eq!(bridge.get("/v1/actions").await.body["actions"].as_array().unwrap().len(), 2);
    bridge.run_for(SignedDuration::from_mins(5)).await;
    assert_eq!(post(&bridge, "a3").await.status, 202, "those before have ended");
}

#[tokio::test]
async fn what_is_unfinished_on_disk_counts_after_a_restart() {
    let bridge = Bridge::with(with_room_for(1)).await;
    assert_eq!(post(&bridge, "a1").await.status, 202);
    let bridge = bridge.restart().await;
    put_off(&post(&bridge, "a2").await, 503, "queue-full", "30");
    bridge.reconfigure(|config| config.http.limits.unfinished_max = 2);
    assert_eq!(post(&bridge, "a2").await.status, 202, "the limit can be raised while it runs");
}

#[tokio::test]
async fn an_address_that_fails_too_often_waits_and_no_other_does() {
    let bridge = Bridge::with(Setup { limits: Limits::default(), ..Setup::default() }).await;
    for _ in 0..20 {
        let forged = bridge.signed("msg_1", b"{}".to_vec()).body("{ }");
        assert_eq!(bridge.send(forged).await.status, 401);
    }

    // Whatever it shows now is not looked at.
    put_off(&post(&bridge, "a1").await, 503, "busy", "3");
    assert_eq!(bridge.send(bridge.request("/v1/hooks/unknown").body("{}")).await.status, 404);
    let line = "quarantine_bridge_deliveries_put_off_total{source=\"soc\",reason=\"failures\"}";
    assert_eq!(bridge.metric(line), Some(1.0));

    let elsewhere = Client::builder().no_proxy().local_address(ip("127.0.0.2")).build().unwrap();
    let request = bridge.signed("msg_a1", bridge.alert("a1", MACHINE, SHA1)).build().unwrap();
    assert_eq!(elsewhere.execute(request).await.unwrap().status(), 202);

    bridge.clock.advance(secs(3));
    assert_eq!(post(&bridge, "a2").await.status, 202);
    let forged = bridge.signed("msg_1", b"{}".to_vec()).body("{ }");
    assert_eq!(bridge.send(forged).await.status, 401);
    put_off(&post(&bridge, "a3").await, 503, "busy", "3");
}

#[tokio::test]
async fn while_the_writer_hangs_every_answer_comes_and_nothing_is_done_twice() {
    let bridge = Bridge::start().await;
    let other = Connection::open(bridge.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let alerts: Vec<String> = (0..30).map(|n| format!("a{n}")).collect();
    let bodies: Vec<_> = alerts.iter().map(|id| bridge.alert(id, MACHINE, SHA1)).collect();

    let timed = alerts.iter().zip(&bodies).map(|(id, body)| {
        let bridge = &bridge;
        async move {
            let begin = Instant::now();
            (bridge.post(&format!("msg_{id}"), body.clone()).await, begin.elapsed())
        }
    });
    let answers = join_all(timed).await;
    other.execute_batch("ROLLBACK").unwrap();

    for (answer, took) in &answers {
        assert_eq!(answer.status, 503, "{:?}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        assert!(*took < SENDERS_PATIENCE, "{took:?}");
    }
    let late =
        answers.iter().filter(|(answer, _)| answer.body["detail"].as_str().unwrap().contains("too long"));
    assert!(late.count() > 0, "all failed before their time was over");
    // What was being written when its time was over may be there or not: sent again, it is known or new.
    for (id, body) in alerts.iter().zip(bodies) {
        let answer = bridge.post(&format!("msg_{id}"), body).await;
        assert!([200, 202].contains(&answer.status), "{:?}", answer.body);
    }
    let actions = bridge.get("/v1/actions?limit=200").await.body["actions"].as_array().unwrap().len();
    assert_eq!(actions, 30);
}

fn store() -> (tempfile::TempDir, Options, Store) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { path: folder.path().join("bridge.db") };
    let store = Store::open(&options).unwrap();
    (folder, options, store)
}

fn delivery(id: &str) -> Accept {
    Accept {
        delivery: verified(id),
        alerts: Vec::new(),
        refused: Vec::new(),
        references: Vec::new(),
        notices: Vec::new(),
        now: start_of_time(),
    }
}

#[tokio::test]
async fn a_write_whose_caller_has_left_is_recognised_when_it_is_sent_again() {
    let (_folder, _, store) = store();

    let answer = store.accept(delivery("msg_1")).now_or_never();

    assert!(answer.is_none(), "it was answered at once");
    let Receipt::Refused(again) = store.accept(delivery("msg_1")).await.unwrap() else {
        panic!("it has no alert");
    };
    let Receipt::Refused(once_more) = store.accept(delivery("msg_1")).await.unwrap() else {
        panic!("it has no alert");
    };
    assert_eq!(again, once_more);
    assert_eq!(store.delivery(again).await.unwrap().unwrap().delivery_key, "msg_1");
}

#[tokio::test]
async fn more_deliveries_than_may_wait_for_the_disk_are_turned_away_at_once() {
    let (_folder, options, store) = store();
    let other = Connection::open(options.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    // A group that is being written, a full queue, and more.
    let mut waiting: Vec<_> =
        (0..1_500).map(|n| Box::pin(store.accept(delivery(&format!("msg_{n}"))))).collect();
    let answers: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();

    let turned_away = answers.iter().flatten().filter(|answer| **answer == Err(StoreError::Busy)).count();
    assert!((1_500 - 256 - 1024..=1_500 - 1024).contains(&turned_away), "{turned_away}");
    other.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn a_body_that_waited_too_long_for_a_thread_is_not_refused_for_it() {
    let format = Arc::new(Format::load("test", "[.[] as $a | .[] as $b | .[] as $c | 1]").unwrap());
    let payload = Bytes::from(format!("[{}]", vec!["1"; 5_000].join(",")));
    let mapper = Mapper::start(1).unwrap();

    let begin = Instant::now();
    let results = join_all((0..100).map(|_| mapper.map(Arc::clone(&format), payload.clone()))).await;

    assert!(begin.elapsed() < SENDERS_PATIENCE, "{:?}", begin.elapsed());
    let too_slow = results.iter().filter(|result| **result == Err(MapperError::TooSlow)).count();
    assert!(too_slow > 0, "the thread is too fast for this test");
    for result in results.into_iter().filter(|result| *result != Err(MapperError::TooSlow)) {
        assert_eq!(result, Err(MapperError::Map(MapError::Program(RunError::TooMuchWork))));
    }
}
