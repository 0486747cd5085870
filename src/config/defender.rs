//! `[defender]`: the hosts, and as whom they are called.

use url::Url;

use crate::defender::Options;
use crate::outgoing::is_loopback;

use super::Secrets;
use super::identity::{self, Reading};
use super::reader::Section;

/// Entra ID's hosts (reference, defender-api 8).
const LOGIN_HOSTS: [&str; 2] = ["login.microsoftonline.com", "login.microsoftonline.us"];

/// Defender's hosts (reference, defender-api 8).
const API_HOSTS: [&str; 15] = [
    "api.security.microsoft.com",
    "us.api.security.microsoft.com",
    "eu.api.security.microsoft.com",
    "uk.api.security.microsoft.com",
    "au.api.security.microsoft.com",
    "swa.api.security.microsoft.com",
    "ina.api.security.microsoft.com",
    "aea.api.security.microsoft.com",
    "api.securitycenter.microsoft.com",
    "api-us.securitycenter.microsoft.com",
    "api-eu.securitycenter.microsoft.com",
    "api-uk.securitycenter.microsoft.com",
    "api.securitycenter.windows.com",
    "api-gcc.securitycenter.microsoft.us",
    "api-gov.securitycenter.microsoft.us",
];

const API_URL: &str = "https://api.security.microsoft.com";
const LOGIN_URL: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://api.securitycenter.microsoft.com/.default";

/// Reads the section.
pub(super) fn read(root: &Section<'_>, secrets: Secrets) -> Option<Options> {
    let section = root.section("defender")?;
    let is_custom = section.boolean("allow_custom_endpoint").unwrap_or(false);
    let api_url = host(&section, "api_url", API_URL, &API_HOSTS, is_custom);
    let login_url = host(&section, "login_url", LOGIN_URL, &LOGIN_HOSTS, is_custom);
    let identity = identity::read(&section, Reading { secrets, is_custom }, login_url);
    let scope = section.text("scope").unwrap_or(SCOPE).to_owned();
    section.finish();
    Some(Options { api_url: api_url?, identity: identity?, scope })
}

/// Says whether other hosts than Microsoft's may be named.
pub(super) fn is_custom_allowed(root: &Section<'_>) -> bool {
    root.section_if_there("defender").and_then(|section| section.boolean("allow_custom_endpoint"))
        == Some(true)
}

/// An address of Microsoft, or another if the configuration says so: over TLS, or on this machine.
pub(super) fn host(
    section: &Section<'_>,
    key: &'static str,
    default: &str,
    known: &[&str],
    is_custom: bool,
) -> Option<Url> {
    let text = section.text(key).unwrap_or(default);
    let url: Url = section.parse(key, text, "write an address such as https://api.security.microsoft.com")?;
    let is_microsoft = url.scheme() == "https" && url.host_str().is_some_and(|host| known.contains(&host));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_safe = url.scheme() == "https" || is_loopback(&url);
    if plain && (is_microsoft || (is_custom && is_safe)) {
        return Some(url);
    }
    let problem = format!("{text} is not one of Microsoft's hosts for this");
    let remedy = "leave it out, name a host of your region or cloud, or, for a simulator on this machine, \
                  say allow_custom_endpoint = true";
    section.complain(key, problem, remedy);
    None
}
