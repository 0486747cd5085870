//! A local Entra ID and Defender by the rules of the real ones, for the demo, tests and rehearsals. Loopback
//! only.
//!
//! It checks what the real ones check (reference/defender-api.md, section 13), plays their faults by
//! switches, and keeps a log of every call.

mod api;
mod assertions;
mod call;
mod cancel;
mod carrier;
mod control;
mod credentials;
mod entra;
mod faults;
mod graph;
mod issuer;
mod limits;
mod lookups;
mod machine_actions;
mod managed;
mod odata;
mod paging;
mod quarantine;
mod refusals;
mod state;
mod switches;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use crate::clock::Clock;

pub use assertions::Federation;
pub use call::{Answered, Request};
pub use credentials::Credentials;
pub use faults::{Fault, FaultKind, Place};
pub use limits::WindowKind;
pub use machine_actions::SimulatedAction;
pub use state::{CallRecord, State};
pub use switches::{DuplicateAnswer, DuplicateKey, GuidLiteral, Switches};
pub use world::{KnownFile, Machine, Sighting, World};

/// A simulator that listens. A cheap handle to look at it and to set its switches.
#[derive(Debug, Clone)]
pub struct Simulator {
    address: SocketAddr,
    state: Shared,
}

/// The state that all requests share.
#[derive(Debug, Clone)]
struct Shared {
    #[expect(
        clippy::disallowed_types,
        reason = "a simulator's state is small and never held across an await"
    )]
    state: Arc<std::sync::Mutex<State>>,
}

impl Shared {
    /// Looks at the state or changes it.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Simulator {
    /// Listens on loopback; port 0 takes a free one. The server runs when it is awaited.
    pub fn bind(port: u16, state: State) -> io::Result<(Self, Server)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        #[expect(clippy::disallowed_types, reason = "as above")]
        let shared = Shared { state: Arc::new(std::sync::Mutex::new(state)) };
        let data = web::Data::new(shared.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .configure(issuer::routes)
                .configure(control::routes)
                .default_service(web::to(carrier::carry))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1);
        let server = server.listen(listener)?.run();
        Ok((Self { address, state: shared }, server))
    }

    /// Where it listens; both the API and Entra ID are there.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at the state or changes it.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.state.with(work)
    }

    /// Plays a fault on coming calls.
    pub fn play(&self, fault: Fault) {
        self.with(|state| state.faults.push(fault));
    }

    /// Every call so far, oldest first.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.with(|state| state.calls.clone())
    }

    /// Every machine action so far, oldest first.
    pub fn machine_actions(&self) -> Vec<SimulatedAction> {
        self.with(|state| state.actions.all().to_vec())
    }
}

/// Makes the state of a simulator with its default switches.
pub fn new_state(clock: Clock, credentials: Credentials, world: World) -> State {
    State::new(clock, credentials, world)
}
