//! `[telemetry]`: who is told of traces.

use url::Url;

use crate::outgoing::is_safe_on_the_way;
use crate::traces::Options;

use super::reader::Section;

/// Reads the section; returns the collector, if there is one.
pub(super) fn read(root: &Section<'_>) -> Option<Options> {
    let section = root.section_or_empty("telemetry");
    let is_plain_allowed = section.boolean("allow_plain_http").unwrap_or(false);
    let text = section.text("otlp_endpoint");
    let remedy =
        "write the base address of a collector, such as \"http://127.0.0.1:4318\"; /v1/traces is added to it";
    let url: Option<Url> = text.and_then(|text| section.parse("otlp_endpoint", text, remedy));
    section.finish();
    let url = url?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !is_http || !is_bare || url.password().is_some() {
        section.complain("otlp_endpoint", format!("{} is no base address", url.scheme()), remedy);
        return None;
    }
    if !is_safe_on_the_way(&url) && !is_plain_allowed {
        let problem = "would have names of devices and files read by whoever is on the way";
        let remedy = "write https, use a collector on this machine, or say allow_plain_http = true";
        section.complain("otlp_endpoint", problem, remedy);
        return None;
    }
    Some(Options::new(url))
}
