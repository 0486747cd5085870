//! A simulated Defender and the secrets that a bridge shares with it and with its sender.

use std::time::Duration;

use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::SigningKey;
use quarantine_bridge::microsoft::{AppRegistration, Identity, Proof};
use quarantine_bridge::simulator::{Credentials, Machine, Simulator, World, new_state};
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio::time::interval;

pub(crate) const TENANT: &str = "tenant";
pub(crate) const CLIENT: &str = "client";
pub(crate) const SECRET: &str = "client-secret-canary-7f3a";
pub(crate) const MACHINE: &str = "1111111111aaaaaaaaaa1111111111aaaaaaaaaa";
pub(crate) const SHA1: &str = "2222222222bbbbbbbbbb2222222222bbbbbbbbbb";
pub(crate) const WHSEC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) fn key() -> SigningKey {
    SigningKey::from_whsec(&SecretString::from(WHSEC), None).unwrap()
}

/// The app registration that simulators know, with its secret.
pub(crate) fn identity(login_url: &str) -> Identity {
    proven_by(login_url, Proof::Secret(SecretString::from(SECRET)))
}

/// The same with another proof.
pub(crate) fn proven_by(login_url: &str, proof: Proof) -> Identity {
    Identity::App(AppRegistration {
        login_url: login_url.parse().unwrap(),
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        proof,
    })
}

/// Starts a simulator in which any device has any file, and whose limits are out of the way.
pub(crate) fn simulate(clock: Clock) -> (Simulator, JoinSet<()>) {
    let credentials = Credentials::new(TENANT, CLIENT, SecretString::from(SECRET));
    let world = World { any_machine: true, ..World::default() };
    let mut state = new_state(clock, credentials, world);
    state.switches.per_minute = 1_000_000;
    state.switches.per_hour = 1_000_000;
    let (simulator, server) = Simulator::bind(0, state).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.await.unwrap() });
    (simulator, tasks)
}

/// Has the one device there is have the file, and stay offline.
pub(crate) fn take_device_offline(simulator: &Simulator) {
    let machine = Machine {
        id: MACHINE.to_owned(),
        files: vec![SHA1.to_owned()],
        is_offline: true,
        ..Machine::default()
    };
    simulator.with(|state| state.world.machines = vec![machine]);
}

/// Waits for a condition that other threads bring about.
pub(crate) async fn poll(what: &str, mut condition: impl FnMut() -> bool) {
    let mut ticks = interval(Duration::from_millis(5));
    for _ in 0..4_000 {
        if condition() {
            return;
        }
        ticks.tick().await;
    }
    panic!("waited in vain for {what}");
}
