//! `[graph]`: where the alerts are fetched that change notifications refer to.

use crate::graph::Options;
use crate::mapping::References;
use crate::microsoft::Identity;

use super::cloud::{Hosts, Service};
use super::defender::keep_from_plain_http;
use super::reader::Section;

/// What the section says.
#[derive(Debug)]
pub(super) enum Graph {
    /// Alerts are not fetched.
    Off,
    /// Alerts are fetched; `None` if the section or that of Defender is wrong.
    On(Option<Box<Options>>),
}

impl Graph {
    /// What becomes of references to alerts.
    pub(super) fn references(&self) -> References {
        match self {
            Self::Off => References::Refused,
            Self::On(_) => References::Fetched,
        }
    }
}

/// Reads the section. Its cloud and as whom it is asked are Defender's.
pub(super) fn read(root: &Section<'_>, hosts: Option<&Hosts>, identity: Option<&Identity>) -> Graph {
    let section = root.section_or_empty("graph");
    let is_enabled = section.boolean("enabled").unwrap_or(false);
    // Without [defender], that alone is complained about.
    section.has("api_url");
    let api_url = hosts.and_then(|hosts| hosts.url(&section, "api_url", Service::Graph));
    if let Some((url, identity)) = api_url.as_ref().zip(identity) {
        keep_from_plain_http(&section, "api_url", url, identity);
    }
    let scope = section.text("scope").map(ToOwned::to_owned);
    section.finish();
    if !is_enabled {
        return Graph::Off;
    }
    let options = hosts.zip(api_url).zip(identity).map(|((hosts, api_url), identity)| {
        let scope = scope.unwrap_or_else(|| hosts.graph_scope());
        Box::new(Options { api_url, identity: identity.clone(), scope })
    });
    Graph::On(options)
}
