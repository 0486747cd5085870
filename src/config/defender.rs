//! `[defender]`: the cloud with its hosts, and as whom they are called.

use url::Url;

use crate::defender::Options;
use crate::microsoft::{AppRegistration, Identity, IdentityHost, ManagedIdentity};
use crate::outgoing::is_loopback;

use super::Secrets;
use super::cloud::{self, Hosts, Service, is_microsoft};
use super::identity::{self, Reading};
use super::reader::Section;

/// What the section says.
#[derive(Debug)]
pub(super) struct Defender {
    pub(super) hosts: Hosts,
    /// `None` if it is wrong.
    pub(super) options: Option<Options>,
}

/// Reads the section.
pub(super) fn read(root: &Section<'_>, secrets: Secrets) -> Option<Defender> {
    let section = root.section("defender")?;
    let hosts = cloud::read(&section);
    let api_url = hosts.url(&section, "api_url", Service::Defender);
    let login_url = hosts.url(&section, "login_url", Service::Login);
    let reading = Reading { secrets, is_custom: hosts.is_custom };
    let identity = identity::read(&section, reading, login_url);
    if let Some((url, identity)) = api_url.as_ref().zip(identity.as_ref()) {
        keep_from_plain_http(&section, "api_url", url, identity);
    }
    let scope = section.text("scope").unwrap_or(hosts.cloud.scope).to_owned();
    section.finish();
    let options = api_url.zip(identity).map(|(api_url, identity)| Options { api_url, identity, scope });
    Some(Defender { hosts, options })
}

/// A token of Microsoft's never leaves by plain HTTP, not even for this machine: what listens there is not Microsoft.
pub(super) fn keep_from_plain_http(section: &Section<'_>, key: &str, url: &Url, identity: &Identity) {
    let is_real = match identity {
        Identity::App(AppRegistration { login_url, .. }) => is_microsoft(login_url),
        // A simulator's address is the only other one that is taken.
        Identity::Managed(ManagedIdentity { host: IdentityHost::Vm { endpoint }, .. }) => {
            !is_loopback(endpoint)
        }
        // It is on this machine anyway: nobody knows whose it is.
        Identity::Managed(ManagedIdentity { host: IdentityHost::AppService { .. }, .. }) => false,
    };
    if is_real && url.scheme() == "https" && !is_microsoft(url) {
        let remedy = "leave api_url out, unless you mean it";
        section.warn(key, format!("{url} is not Microsoft's, and is sent Microsoft's own tokens"), remedy);
    }
    if is_real && url.scheme() != "https" {
        let problem = format!("{url} would be sent Microsoft's own tokens by plain HTTP");
        let remedy = "write an https address, or let the tokens come from a simulator too: login_url, or endpoint of \
                      managed_identity";
        section.complain(key, problem, remedy);
    }
}
