//! `[graph]`: where the alerts are fetched that change notifications refer to.

use crate::graph::Options;
use crate::mapping::References;
use crate::microsoft::Identity;

use super::defender::{host, is_custom_allowed};
use super::reader::Section;

/// Graph's hosts (reference, defender-api 8).
const API_HOSTS: [&str; 3] = ["graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us"];

const API_URL: &str = "https://graph.microsoft.com";

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

/// Reads the section. As whom is Defender's.
pub(super) fn read(root: &Section<'_>, identity: Option<&Identity>) -> Graph {
    let section = root.section_or_empty("graph");
    let is_enabled = section.boolean("enabled").unwrap_or(false);
    let api_url = host(&section, "api_url", API_URL, &API_HOSTS, is_custom_allowed(root));
    let scope = section.text("scope").map(ToOwned::to_owned);
    section.finish();
    if !is_enabled {
        return Graph::Off;
    }
    let options = api_url.zip(identity).map(|(api_url, identity)| {
        // Each of Microsoft's clouds is its own audience; another host is a simulator of the first.
        let of_cloud = api_url.host_str().filter(|host| API_HOSTS.contains(host));
        let audience = of_cloud.map_or(API_URL.to_owned(), |host| format!("https://{host}"));
        let scope = scope.unwrap_or_else(|| format!("{audience}/.default"));
        Box::new(Options { api_url, identity: identity.clone(), scope })
    });
    Graph::On(options)
}
