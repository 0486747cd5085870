//! Does the time of a signature check tell which byte or which key was right? A Welch t-test, after dudect.
//!
//! `cargo bench --bench timing`. |t| below 4.5 shows no difference. Advisory: a noisy machine can go above it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark"
)]

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use quarantine_bridge::ingest::{Gate, RawDelivery, SigningKey, sign, verify};
use uuid::Uuid;

/// Checks of each class.
const CHECKS: usize = 200_000;

/// Below it, dudect speaks of no leak.
const T_MAX: f64 = 4.5;

fn key(fill: u8) -> SigningKey {
    let secret = format!("whsec_{}", STANDARD.encode([fill; 32]));
    SigningKey::from_whsec(&secret.into(), None).unwrap()
}

fn delivery(signature: &str, now: Timestamp) -> RawDelivery {
    let headers = [
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signature.to_owned()),
    ];
    RawDelivery { headers: headers.into_iter().collect(), body: BODY.into(), ..RawDelivery::default() }
}

const BODY: &[u8] = b"{\"alert_id\":\"7a1f\"}";

/// The good signature with one byte changed.
fn changed(signature: &str, byte: usize) -> String {
    let mut mac = STANDARD.decode(signature.trim_start_matches("v1,")).unwrap();
    mac[byte] ^= 1;
    format!("v1,{}", STANDARD.encode(mac))
}

/// Times checks of deliveries with two signatures in random order; returns Welch's t.
///
/// Each delivery is made anew: two that live on would differ by where they lie in memory.
fn t(gate: &Gate, classes: [&str; 2], now: Timestamp) -> f64 {
    let source = "soc".parse().unwrap();
    let mut times: [Vec<f64>; 2] = [Vec::with_capacity(CHECKS), Vec::with_capacity(CHECKS)];
    let mut bits = 0_u128;
    for n in 0..CHECKS * 2 {
        if n % 100 == 0 {
            bits = Uuid::new_v4().as_u128();
        }
        let class = usize::from((bits >> (n % 100)) & 1 == 1);
        let delivery = delivery(classes[class], now);
        let begin = Instant::now();
        drop(black_box(verify(&source, gate, black_box(&delivery), now)));
        times[class].push(begin.elapsed().as_nanos() as f64);
    }
    // The slowest tenth is the machine's: interrupts, other work.
    let kept = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() * 9 / 10);
        times
    });
    let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
    let error = |times: &[f64]| {
        let mean = mean(times);
        times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (times.len() as f64).powi(2)
    };
    (mean(&kept[0]) - mean(&kept[1])) / (error(&kept[0]) + error(&kept[1])).sqrt()
}

fn main() {
    let now = Timestamp::UNIX_EPOCH;
    let good = |fill| sign(&key(fill), &"msg_1".parse().unwrap(), now, BODY);
    let gate = Gate::standard_webhooks(vec![key(1), key(2)]).unwrap();
    let (first, last) = (changed(&good(1), 0), changed(&good(1), 31));
    let (by_first, by_second, foreign, other_foreign) = (good(1), good(2), good(3), good(4));
    let rows = [
        ("the same signature twice", [&foreign, &foreign]),
        ("first byte wrong, or last", [&first, &last]),
        ("nearly right, or another key's", [&last, &foreign]),
        ("one foreign key, or another", [&foreign, &other_foreign]),
        ("first of two keys, or second", [&by_first, &by_second]),
    ];
    for (name, classes) in rows {
        let t = t(&gate, classes.map(String::as_str), now);
        let verdict =
            if t.abs() < T_MAX { "no difference seen" } else { "a difference: run it on a quiet machine" };
        println!("{name:<32} |t| = {:>6.2}   {verdict}", t.abs());
    }
}
