//! What the campaign shares with the other tests: the binary, the simulator, their secrets.
#![expect(dead_code, reason = "the other tests use the rest")]

#[path = "../it/harness/binary.rs"]
pub(crate) mod binary;
#[path = "../it/harness/simulated.rs"]
mod simulated;

pub(crate) use simulated::{CLIENT, SECRET, TENANT, WHSEC, key, poll, simulate};
