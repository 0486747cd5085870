//! `simulate`: a local Defender and Entra ID to rehearse against.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use tokio::runtime;

use crate::clock::Clock;
use crate::simulator::{Credentials, Fault, Simulator, Switches, World, new_state};

use super::exit::say;

/// The tenant of the simulator.
pub(super) const TENANT: &str = "00000000-0000-4000-8000-000000000001";

/// The app registration of the simulator.
pub(super) const CLIENT: &str = "00000000-0000-4000-8000-000000000002";

const FAULT_HELP: &str = r#"A fault to play, as JSON, such as {"place":"quarantine","kind":"answer_lost","times":1}; may be given more than once"#;

const WORLD_HELP: &str = r#"JSON file with the devices, the files on them, and the files whose hashes are known, such as {"machines":[{"id":"<40 hex>","dns_name":"ws1","files":["<sha1>"]}],"files":[{"sha1":"..","sha256":".."}]}; a device may have aad_device_id, onboarding_status, health_status, merged_into, last_ip and more; without one, any device has any file"#;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8421)]
    port: u16,
    /// JSON file with the devices, the files on them, and the files whose hashes are known; without one, any device has any
    /// file.
    #[arg(long, value_name = "FILE", help = WORLD_HELP)]
    world: Option<PathBuf>,
    /// JSON file with switches; GET /simulator/switches shows those there are.
    #[arg(long, value_name = "FILE")]
    switches: Option<PathBuf>,
    /// A fault to play, as JSON; may be given more than once.
    #[arg(long = "fault", value_name = "JSON", help = FAULT_HELP)]
    faults: Vec<String>,
    /// The client secret that it takes.
    #[arg(long, default_value = "simulated-secret")]
    client_secret: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(simulate(arguments))
}

async fn simulate(arguments: &Arguments) -> anyhow::Result<()> {
    let world = match &arguments.world {
        Some(path) => read_json(path)?,
        None => World { any_machine: true, ..World::default() },
    };
    let credentials = Credentials::new(TENANT, CLIENT, arguments.client_secret.clone().into());
    let mut state = new_state(Clock::system(), credentials, world);
    if let Some(path) = &arguments.switches {
        state.switches = read_json::<Switches>(path)?;
    }
    for fault in &arguments.faults {
        let fault: Fault = serde_json::from_str(fault).with_context(|| format!("--fault {fault}"))?;
        state.faults.push(fault);
    }
    let (simulator, server) = Simulator::bind(arguments.port, state).context("cannot listen on 127.0.0.1")?;
    let url = simulator.url();
    say(&format!(
        "# a simulated Defender and Entra ID listens on {url}; its log is at {url}/simulator/calls"
    ));
    say(&format!(
        "[defender]\ntenant_id = \"{TENANT}\"\nclient_id = \"{CLIENT}\"\n\
         client_secret = {{ file = \"defender-secret\" }}  # a file that holds: {}\n\
         api_url = \"{url}\"\nlogin_url = \"{url}\"\nallow_custom_endpoint = true",
        arguments.client_secret
    ));
    say(&format!(
        "# it issues tokens to sources with scheme = \"jwt\" too, for any scope api://NAME/.default:\n\
         # issuer = \"{url}/{TENANT}/v2.0\", allow = {{ azp = [\"{CLIENT}\"] }}, allow_insecure_loopback = true"
    ));
    say(&format!(
        "# it is Microsoft Graph too, with the alerts of --world: [graph] enabled = true, api_url = \"{url}\""
    ));
    let handle = server.handle();
    tokio::select! {
        result = server => result.context("the simulator ended")?,
        _ = tokio::signal::ctrl_c() => handle.stop(false).await,
    }
    Ok(())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &PathBuf) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} cannot be used", path.display()))
}
