//! The record of what was decided, sent, cancelled, configured and administered: its entries, their chain, checkpoints.
//!
//! Pure. `store` writes an entry in the transaction of what it is about.

mod chain;
mod checkpoint;
mod csv;
mod deed;
mod digest;
mod entry;
mod key;
mod line;
mod ocsf;
mod verify;

pub use chain::{Broken, Chain, Fault};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use csv::{CSV_HEAD, csv_line};
pub use deed::{Act, Administration, Answered, Configuration, ConfigurationAct, Deed, Move, SourcePolicy};
pub use digest::{Digest, NotDigest};
pub use entry::{Entry, Subject};
pub use key::{KeyError, PublicKey, SigningKey};
pub use line::{read_line, record_line};
pub use ocsf::ocsf_line;
pub use verify::{Verified, Verifier, Wrong};
