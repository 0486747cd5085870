//! `[server]`: where the service listens, TLS, the proxies in front, and how many connections.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::http::{CONNECTIONS_PER_ADDRESS, ForwardedHeader, Limits, LinkKey, Options, Proxies};

use super::Secrets;
use super::auth::networks;
use super::reader::Section;
use super::secret;
use super::tls::{self, TlsFiles};
use super::whole;

/// Where the service listens if the configuration does not say.
const LISTEN: &str = "127.0.0.1:8420";

/// The proxies on this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.1/32", "::1/128"];

/// What the section says.
pub(super) struct Server {
    /// Without sources.
    pub(super) http: Options,
    pub(super) tls_files: Option<TlsFiles>,
}

/// Reads the section.
pub(super) fn read(root: &Section<'_>, secrets: Secrets) -> Option<Server> {
    let section = root.section_or_empty("server");
    let listen: Option<SocketAddr> = match section.text("listen") {
        Some(text) => section.parse("listen", text, "write address and port, such as \"127.0.0.1:8420\""),
        None => LISTEN.parse().ok(),
    };
    let behind_proxy = section.boolean("behind_proxy").unwrap_or(false);
    let proxies = proxies(&section, listen, behind_proxy);
    let connections_per_address = connections(&section);
    let public_url = section.text("public_url").map(|text| {
        let remedy = "write where others reach the service, such as \"https://bridge.example.com\"";
        section.parse("public_url", text, remedy)
    });
    let link_key = section.section_if_there("link_key");
    let link_key = link_key.filter(|_| secrets == Secrets::Read).and_then(|section| read_link_key(&section));
    let mut limits = Limits::default();
    if let Some(most) = whole(&section, "unfinished_max", 1..=100_000_000) {
        limits.unfinished_max = most.into();
    }
    let tls_section = section.section_if_there("tls");
    let has_tls = tls_section.is_some();
    let tls = tls_section.map(|section| tls::read(&section, secrets));
    section.finish();
    let listen = listen?;
    if !listen.ip().is_loopback() && !behind_proxy && !has_tls {
        section.complain(
            "listen",
            format!("{listen} is open to the network, and without [server.tls] the service speaks plain HTTP"),
            "add [server.tls], or listen on 127.0.0.1, or say behind_proxy = true if a proxy that speaks TLS is in \
             front of this address",
        );
        return None;
    }
    let (tls, tls_files) = match tls {
        Some(read) => {
            let (tls, files) = read?;
            (tls, Some(files))
        }
        None => (None, None),
    };
    let http = Options {
        tls,
        limits,
        proxies: proxies?,
        connections_per_address: connections_per_address?,
        link_key,
        public_url: public_url.map_or(Some(None), |read| read.map(Some))?,
        ..Options::new(listen, Vec::new())
    };
    Some(Server { http, tls_files })
}

/// Reads the key that makes one-time links.
fn read_link_key(section: &Section<'_>) -> Option<LinkKey> {
    let secret = secret::read(section)?;
    section.finish();
    let key = LinkKey::new(secret.text);
    if key.is_none() {
        let remedy = "make one: (umask 027; openssl rand -base64 32 > link-key)";
        section.complain(secret.key, "is shorter than 32 characters", remedy);
    }
    key
}

/// Reads whose word about clients counts.
fn proxies(section: &Section<'_>, listen: Option<SocketAddr>, behind_proxy: bool) -> Option<Proxies> {
    let named = section.texts("trusted_proxies");
    let networks = networks(section, "trusted_proxies");
    let header = section.text("forwarded_header");
    let pass_certificates = section.boolean("client_cert_header");
    let forwarded = match header {
        None | Some("x-forwarded-for") => Some(ForwardedHeader::XForwardedFor),
        Some("forwarded") => Some(ForwardedHeader::Forwarded),
        Some(other) => {
            let remedy = "write \"x-forwarded-for\" or \"forwarded\", the one that the proxy sets";
            section.complain("forwarded_header", format!("{other:?} is no header that is read"), remedy);
            None
        }
    };
    if !behind_proxy {
        let set = [
            ("trusted_proxies", named.is_some()),
            ("forwarded_header", header.is_some()),
            ("client_cert_header", pass_certificates == Some(true)),
        ];
        for (key, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            section.complain(
                key,
                "is there, and behind_proxy is not true",
                "say behind_proxy = true, or take it away",
            );
        }
        return Some(Proxies::default());
    }
    let networks: Vec<IpNet> = match (named, listen) {
        (Some(named), _) if named.is_empty() => {
            section.complain(
                "trusted_proxies",
                "names no proxy",
                "write the addresses of the proxies in front",
            );
            return None;
        }
        (Some(_), _) => networks?,
        (None, Some(listen)) if listen.ip().is_loopback() => {
            LOOPBACK.iter().filter_map(|text| text.parse().ok()).collect()
        }
        (None, _) => {
            section.complain(
                "trusted_proxies",
                "is missing: who reaches this address directly could pretend to be anybody",
                "write the addresses that the proxies connect from, such as trusted_proxies = [\"10.0.0.0/8\"]",
            );
            return None;
        }
    };
    Some(Proxies { networks, forwarded: forwarded?, pass_certificates: pass_certificates.unwrap_or(false) })
}

fn connections(section: &Section<'_>) -> Option<usize> {
    let Some(number) = section.integer("connections_per_address") else {
        return Some(CONNECTIONS_PER_ADDRESS);
    };
    let count = usize::try_from(number).ok().filter(|count| (1..=CONNECTIONS_PER_ADDRESS).contains(count));
    if count.is_none() {
        let problem = format!("{number} is not between 1 and {CONNECTIONS_PER_ADDRESS}");
        section.complain(
            "connections_per_address",
            problem,
            "the service has 3,000 connections for all addresses",
        );
    }
    count
}
