//! What the kill switch does to calls that have an intent already.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time;

use crate::alert::Outcome;

/// How long dispatch sleeps at most while the switch is on; turning it off wakes it.
pub(super) const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// How long a call under way may go on after the switch was turned on. What has not left by then shall not leave.
const GRACE: Duration = Duration::from_millis(300);

/// What is known of a call that was not begun, because the switch was turned on after its intent.
pub(super) fn not_begun() -> Outcome {
    Outcome::NotSent { why: "the kill switch was turned on before the call began".to_owned() }
}

/// Makes a call, and leaves it a moment after the switch is turned on: its connection may still be being made, and its bytes
/// would leave late. Defender may have it, so its outcome is unknown, and Defender's list tells.
pub(super) async fn until_stopped(
    turns: watch::Receiver<u64>,
    call: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::select! {
        // The call is begun before anything else is looked at.
        biased;
        outcome = call => outcome,
        () = stopped(turns) => Outcome::Unknown {
            status: None,
            why: "the kill switch was turned on before the answer came".to_owned(),
        },
    }
}

/// Returns a moment after the switch was turned on.
async fn stopped(mut turns: watch::Receiver<u64>) {
    // An error says that the store is gone; then the call is the last one anyway.
    drop(turns.changed().await);
    time::sleep(GRACE).await;
}
