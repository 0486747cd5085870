//! Microsoft's clouds: which hosts each has, and what a token for each is for (reference, defender-api 8).

use url::Url;

use crate::outgoing::is_loopback;
use crate::undo::Portal;

use super::reader::Section;

/// One of Microsoft's clouds.
#[derive(Debug)]
pub(super) struct Cloud {
    /// Its name in the configuration.
    name: &'static str,
    /// Entra ID's host.
    login: &'static str,
    /// Defender's hosts, the usual one first.
    api: &'static [&'static str],
    /// Microsoft Graph's host.
    graph: &'static str,
    /// What a token for Defender is for.
    pub(super) scope: &'static str,
    /// Where people look at Defender.
    pub(super) portal: Portal,
}

const COMMERCIAL: Cloud = Cloud {
    name: "commercial",
    login: "login.microsoftonline.com",
    api: &[
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
    ],
    graph: "graph.microsoft.com",
    scope: "https://api.securitycenter.microsoft.com/.default",
    portal: Portal::Commercial,
};

const CLOUDS: [Cloud; 4] = [
    COMMERCIAL,
    Cloud {
        name: "gcc",
        login: "login.microsoftonline.com",
        api: &["api-gcc.securitycenter.microsoft.us"],
        graph: "graph.microsoft.com",
        scope: "https://api-gcc.securitycenter.microsoft.us/.default",
        portal: Portal::Commercial,
    },
    Cloud {
        name: "gcc-high",
        login: "login.microsoftonline.us",
        api: &["api-gov.securitycenter.microsoft.us"],
        graph: "graph.microsoft.us",
        scope: "https://api-gov.securitycenter.microsoft.us/.default",
        portal: Portal::Government,
    },
    Cloud {
        name: "dod",
        login: "login.microsoftonline.us",
        api: &["api-gov.securitycenter.microsoft.us"],
        graph: "dod-graph.microsoft.us",
        scope: "https://api-gov.securitycenter.microsoft.us/.default",
        portal: Portal::Defense,
    },
];

const REMEDY: &str = "write \"commercial\", \"gcc\", \"gcc-high\" or \"dod\"";

/// The regions of the commercial cloud that have a host of their own.
const REGIONS: [&str; 7] = ["us", "eu", "uk", "au", "swa", "ina", "aea"];

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Login,
    Defender,
    Graph,
}

/// Which hosts may be named: those of one cloud, and others if the configuration says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hosts {
    pub(super) cloud: &'static Cloud,
    region: Option<&'static str>,
    /// Whether other hosts than Microsoft's may be named.
    pub(super) is_custom: bool,
}

/// Reads `cloud`, `region` and `allow_custom_endpoint` of `[defender]`.
pub(super) fn read(section: &Section<'_>) -> Hosts {
    let name = section.text("cloud");
    let cloud = match name {
        None => CLOUDS.first(),
        Some(name) => CLOUDS.iter().find(|cloud| cloud.name == name),
    };
    if let (Some(name), None) = (name, cloud) {
        section.complain("cloud", format!("{name:?} is none of Microsoft's clouds"), REMEDY);
    }
    let cloud = cloud.unwrap_or(&COMMERCIAL);
    let is_custom = section.boolean("allow_custom_endpoint").unwrap_or(false);
    Hosts { cloud, region: region(section, cloud), is_custom }
}

fn region(section: &Section<'_>, cloud: &Cloud) -> Option<&'static str> {
    let text = section.text("region")?;
    if cloud.name != COMMERCIAL.name {
        section.complain("region", format!("the cloud {} has none", cloud.name), "leave it out");
        return None;
    }
    if section.has("api_url") {
        section.complain("region", "stands beside api_url", "keep one of the two");
        return None;
    }
    let region = REGIONS.into_iter().find(|region| *region == text);
    if region.is_none() {
        let remedy = format!("write one of {}, or leave it out", REGIONS.join(", "));
        section.complain("region", format!("{text:?} has no host of Defender's own"), &remedy);
    }
    region
}

impl Hosts {
    /// Reads an address: left out, it is the cloud's. Another must be the cloud's too, or be allowed, and be safe on the way.
    pub(super) fn url(&self, section: &Section<'_>, key: &'static str, service: Service) -> Option<Url> {
        let usual = self.usual(service);
        let text = section.text(key).unwrap_or(&usual);
        let url: Url = section.parse(key, text, &format!("write an address such as {usual}"))?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if is_plain && (self.is_of_cloud(&url, service) || (self.is_custom && is_safe && !is_microsoft(&url)))
        {
            return Some(url);
        }
        let host = url.host_str().unwrap_or_default();
        let other = CLOUDS.iter().find(|cloud| cloud.has(host, service));
        if let Some(other) = other.filter(|other| other.name != self.cloud.name && url.scheme() == "https") {
            let problem = format!("{text} is a host of the cloud {}, not of {}", other.name, self.cloud.name);
            section.complain(key, problem, &format!("leave it out, and write cloud = \"{}\"", other.name));
        } else {
            let problem = format!("{text} is not one of Microsoft's hosts for this");
            let remedy = "leave it out and set cloud and region, or, for a simulator on this machine, say \
                          allow_custom_endpoint = true";
            section.complain(key, problem, remedy);
        }
        None
    }

    fn usual(&self, service: Service) -> String {
        let Cloud { login, api, graph, .. } = self.cloud;
        match (service, self.region) {
            (Service::Login, _) => format!("https://{login}"),
            (Service::Graph, _) => format!("https://{graph}"),
            (Service::Defender, Some(region)) => format!("https://{region}.api.security.microsoft.com"),
            (Service::Defender, None) => format!("https://{}", api.first().copied().unwrap_or_default()),
        }
    }

    /// What a token for Graph is for. Another host than the cloud's own is a simulator of it.
    pub(super) fn graph_scope(&self) -> String {
        format!("{}/.default", self.usual(Service::Graph))
    }

    /// Says whether an address is one of this cloud's, over TLS.
    fn is_of_cloud(&self, url: &Url, service: Service) -> bool {
        url.scheme() == "https"
            && url.port().is_none()
            && url.host_str().is_some_and(|host| self.cloud.has(host, service))
    }
}

impl Cloud {
    fn has(&self, host: &str, service: Service) -> bool {
        match service {
            Service::Login => self.login == host,
            Service::Defender => self.api.contains(&host),
            Service::Graph => self.graph == host,
        }
    }
}

/// Says whether a host is one of Microsoft's, of whichever cloud and for whatever.
pub(super) fn is_microsoft(url: &Url) -> bool {
    let services = [Service::Login, Service::Defender, Service::Graph];
    url.host_str().is_some_and(|host| {
        CLOUDS.iter().any(|cloud| services.iter().any(|service| cloud.has(host, *service)))
    })
}
