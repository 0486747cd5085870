//! How the scarce calls are shared out: what the limits leave, who is next, and when an action will go out. Pure.
//!
//! `log` counts calls, `queue` says who is next, `forecast` plays both forward, and `snapshot` is what dispatch shows to
//! the rest of the service.

mod forecast;
mod log;
mod queue;
mod resume;
mod snapshot;

pub use forecast::Forecast;
pub use log::{Budget, Limits, MARGIN, Permit, Reserve, Share, Use, is_late};
pub use queue::{Fairness, Heads, Queue, TURN};
pub use resume::{KeptCall, resume};
pub use snapshot::{Snapshot, Waiting};
