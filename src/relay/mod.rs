//! The relay: takes deliveries on loopback, keeps them on disk, and brings them to the bridge, signed.

mod answer;
mod client;
mod courier;
mod forwarder;
mod gate;
mod listener;
mod schedule;

pub use answer::{Verdict, classify};
pub use client::{ClientError, client};
pub use courier::{Courier, Tried};
pub use forwarder::Forwarder;
pub use gate::RequiredHeader;
pub use listener::{ListenError, Options, Parts, listen};
pub use schedule::{next_try, rest};
