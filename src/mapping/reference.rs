//! What a format answers instead of an alert: the id of one to fetch, or a notice about a subscription.

use crate::alert::{GraphAlertId, Lifecycle, Reason, RefusedAlert, SubscriptionNotice};

use super::entities::Reader;
use super::object::Object;
use super::output::{field, present, word};
use super::value::Value;

/// What becomes of references to alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum References {
    /// The alerts are fetched from Microsoft Graph.
    #[default]
    Fetched,
    /// They are refused, for nobody fetches the alerts.
    Refused,
}

/// What a payload has instead of an alert.
#[derive(Debug)]
pub(super) enum Referred {
    /// An alert to fetch.
    Alert(GraphAlertId),
    /// A notice about a subscription.
    Notice(SubscriptionNotice),
    /// Neither can be made of it.
    Refused(RefusedAlert),
}

/// Reads one value that a program answered; `None` if it is an alert of its own.
pub(super) fn referred(output: &Value<'_>, references: References) -> Option<Referred> {
    let Value::Object(fields) = output else {
        return None;
    };
    let has = |name: &str| !matches!(field(fields, name), Value::Null);
    let mut reader = Reader::default();
    let referred = if has("fetch") {
        alert(&mut reader, fields, references).map(Referred::Alert)
    } else if has("lifecycle") {
        reader.only_known(fields, &["lifecycle", "subscription"], "$");
        Some(Referred::Notice(notice(fields)))
    } else {
        return None;
    };
    match referred {
        Some(referred) if reader.problems.is_empty() => Some(referred),
        _ => {
            let alert_id = present(fields, "fetch").map(word);
            Some(Referred::Refused(RefusedAlert { alert_id, problems: reader.problems }))
        }
    }
}

fn alert(reader: &mut Reader, fields: &Object<'_>, references: References) -> Option<GraphAlertId> {
    reader.only_known(fields, &["fetch", "found_at"], "$");
    let path = present(fields, "found_at").unwrap_or("$.fetch");
    let id = present(fields, "fetch").unwrap_or_default().parse();
    let id = reader.keep(Reason::AlertId, path, id)?;
    if references == References::Refused {
        let detail = "the body only refers to the alert; with [graph] enabled = true it is fetched";
        reader.complain(Reason::NoTarget, path, detail);
    }
    Some(id)
}

fn notice(fields: &Object<'_>) -> SubscriptionNotice {
    SubscriptionNotice {
        lifecycle: present(fields, "lifecycle").map_or(Lifecycle::Other, Lifecycle::named),
        subscription: present(fields, "subscription").map(word),
    }
}
