//! When the certificate ends that the listener shows.

use jiff::{SignedDuration, Timestamp};

use crate::alert::after;
use crate::config::Config;

use super::finding::{Check, Finding, note, well, wrong};

/// How long before its end a certificate is told of.
const NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Looks at the first of the chain to end, if the service speaks TLS.
pub(super) fn look(config: &Config, now: Timestamp) -> Option<Finding> {
    let end = config.http.tls.as_ref()?.not_after();
    let shown = config.tls_files.as_ref()?.certificate().display();
    let next = "put a new one in the place of the files; the service takes it up by itself";
    Some(if end <= now {
        wrong(Check::Certificate, format!("{shown} ended {end:.0}"), next)
    } else if end < after(now, NOTICE) {
        note(Check::Certificate, format!("{shown} ends {end:.0}"), next)
    } else {
        well(Check::Certificate, format!("{shown} ends {end:.0}"))
    })
}
