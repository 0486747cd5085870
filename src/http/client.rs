//! Who is at the other end: the connection's own word, or a trusted proxy's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ipnet::IpNet;

use crate::ingest::{ClientCertificate, Headers, Peer, RawDelivery};

use super::{body, certificate};

/// The longest certificate that a header may bring, in base64.
const CLIENT_CERT_BYTES_MAX: usize = 16 * 1024;

/// Which header a proxy names its client in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses with commas between them.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// The proxies that are believed. Without any, what their headers say is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// Where they name their client.
    pub forwarded: ForwardedHeader,
    /// Whether they pass client certificates on in `Client-Cert`, RFC 9440.
    pub pass_certificates: bool,
}

impl Proxies {
    fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from one of the proxies; `None` if that cannot be learned.
    ///
    /// Each proxy adds whom it heard from at the right, so the rightmost address that is no proxy's is the client's.
    /// Whatever stands left of it the client may have written itself. If all are proxies', the leftmost asks for
    /// itself.
    fn client(&self, headers: &Headers) -> Option<IpAddr> {
        let chain = match self.forwarded {
            ForwardedHeader::XForwardedFor => x_forwarded_for(headers),
            ForwardedHeader::Forwarded => forwarded(headers),
        };
        let mut leftmost = None;
        for address in chain.into_iter().rev() {
            let address = address?;
            if !self.include(address) {
                return Some(address);
            }
            leftmost = Some(address);
        }
        leftmost
    }
}

/// Puts a body together with the headers it came with and with who sent it.
pub(super) fn delivery(request: &HttpRequest, body: Bytes, proxies: &Proxies) -> RawDelivery {
    let headers = body::headers(request);
    let peer = peer(request, &headers, proxies);
    RawDelivery { headers, body, peer, path_token: None, api_token: None }
}

/// Tells who sent a request.
pub(super) fn peer(request: &HttpRequest, headers: &Headers, proxies: &Proxies) -> Peer {
    let socket = request.peer_addr().map(|address| address.ip().to_canonical());
    let Some(proxy) = socket.filter(|address| proxies.include(*address)) else {
        return Peer { address: socket, certificate: request.conn_data::<ClientCertificate>().cloned() };
    };
    let address = proxies.client(headers);
    if address.is_none() {
        tracing::warn!(%proxy, "a trusted proxy did not name its client in a way that can be read");
    }
    // The certificate of the connection is the proxy's own, and proves nothing of its client.
    let certificate = proxies.pass_certificates.then(|| client_cert(headers)).flatten();
    Peer { address, certificate }
}

/// Reads the one `Client-Cert` header: `:base64 of DER:`, RFC 9440.
fn client_cert(headers: &Headers) -> Option<ClientCertificate> {
    if !headers.contains("client-cert") {
        return None;
    }
    let value = headers.only_within("client-cert", CLIENT_CERT_BYTES_MAX).ok();
    let base64 = value.and_then(|value| value.strip_prefix(':')?.strip_suffix(':'));
    let der = base64.and_then(|base64| STANDARD.decode(base64).ok());
    let certificate = der.and_then(|der| certificate::read_strictly(&der));
    if certificate.is_none() {
        tracing::warn!("a trusted proxy's Client-Cert header cannot be read, so it counts as none");
    }
    certificate
}

/// The addresses of every `X-Forwarded-For` header in order, `None` for what is no address.
fn x_forwarded_for(headers: &Headers) -> Vec<Option<IpAddr>> {
    items(headers, "x-forwarded-for").map(|item| node(item?)).collect()
}

/// The `for` of every element of every `Forwarded` header in order, `None` for what is no element or names nobody.
///
/// A comma ends an element in any case. One in quotes would be a client's, who could swallow with an open quote what the proxy
/// adds after it; no address has one.
fn forwarded(headers: &Headers) -> Vec<Option<IpAddr>> {
    items(headers, "forwarded").map(|item| element(item?)).collect()
}

/// What stands between commas, each by itself: what a client has written left of a proxy's word cannot spoil that. `None` for what
/// is no text.
fn items<'a>(headers: &'a Headers, name: &'static str) -> impl Iterator<Item = Option<&'a str>> {
    let items = headers.all(name).flat_map(|value| value.split(|byte| *byte == b','));
    items.map(|item| str::from_utf8(item).ok().map(|item| item.trim_matches([' ', '\t'])))
}

/// Reads the `for` of one element, `name=value;name="value"`.
fn element(text: &str) -> Option<IpAddr> {
    let (mut client, mut is_named) = (None, false);
    let mut rest = text;
    loop {
        let (name, after) = token(rest)?;
        let (value, after) = token_or_quoted(after.strip_prefix('=')?)?;
        if name.eq_ignore_ascii_case("for") {
            if is_named {
                return None;
            }
            (client, is_named) = (node(value), true);
        }
        match after.strip_prefix(';') {
            Some(next) => rest = next,
            None => return client.filter(|_| after.is_empty()),
        }
    }
}

/// Splits off a token of RFC 9110; it is not empty.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// Splits off a token or a quoted text. No address needs a backslash, so none is taken.
fn token_or_quoted(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').filter(|(inside, _)| !inside.contains('\\')),
        None => token(text),
    }
}

/// Reads an address with or without a port. IPv6 stands in brackets where a port may follow.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address: Option<IpAddr> = bare.or_else(|| bracketed().map(IpAddr::from)).or_else(with_port);
    address.map(|address| address.to_canonical())
}
