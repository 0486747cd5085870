//! The HTTP server in this process, over a store that is given. Nothing is dispatched.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_web::rt::System;
use quarantine_bridge::budget::Snapshot;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::http::{self, Bound, Parts, Quota, Rate, Source};
use quarantine_bridge::ingest::Gate;
use quarantine_bridge::mapping::{BuiltIn, Format, Mapper};
use quarantine_bridge::oidc;
use quarantine_bridge::store::Store;
use quarantine_bridge::telemetry::Metrics;
use tokio::runtime;
use tokio::sync::watch;

use crate::load;

/// How it went.
pub struct Posted {
    /// How long it took.
    pub took: Duration,
    /// How long each answer took, the fastest first.
    pub answers: Vec<Duration>,
}

impl Posted {
    /// Answers a second.
    pub fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.answers.len()).unwrap()) / self.took.as_secs_f64()
    }

    /// What 99 of 100 answers took at most.
    pub fn p99(&self) -> Duration {
        self.answers[self.answers.len() * 99 / 100]
    }
}

/// Posts these requests to a server with this store, over so many connections.
pub fn post_all(store: Store, connections: usize, requests: Vec<Vec<u8>>) -> Posted {
    let (_ready, is_ready) = watch::channel(true);
    let format = BuiltIn::named("bridge").unwrap();
    let source = Source {
        name: "soc".parse().unwrap(),
        gate: Gate::standard_webhooks(vec![load::key()]).unwrap(),
        format: Arc::new(Format::load(format.name, format.code).unwrap()),
        quota: Quota { rate: Rate::per_minute(1_000_000, 1_000_000), ..Quota::default() },
    };
    let mut options = http::Options::new("127.0.0.1:0".parse().unwrap(), vec![source]);
    // Nothing is dispatched, so nothing ends.
    options.limits.unfinished_max = u64::MAX;
    let (clock, metrics) = (Clock::system(), Metrics::new());
    let (keys, _) = oidc::keys([], &clock, &metrics).unwrap();
    let (_, budget) = watch::channel(Arc::new(Snapshot::empty(clock.steady())));
    let mapper = Mapper::start(2).unwrap();
    let parts = Parts { store, mapper, clock, metrics, keys, ready: is_ready, budget };
    let Bound { address, server, .. } = http::bind(options, parts).unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || System::new().block_on(server).unwrap());
    let client = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (took, answers) = client.block_on(load::post_all(address, connections, requests));
    client.block_on(handle.stop(true));
    serving.join().unwrap();
    Posted { took, answers }
}
