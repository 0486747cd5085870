//! Which addresses a client connects to.
//!
//! An address is looked at where it is connected to: after the name was looked up, and each time anew. So a name that answers with
//! another address later, or with an address of this machine, leads nowhere.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt::Display;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use url::{Host, Url};

/// Which addresses a client connects to.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'a> {
    /// Any but those where clouds hand out credentials. A proxy of the environment counts, and looks up names itself.
    Any,
    /// Those of the internet, and those in these networks. There is no proxy: it would decide.
    PublicAnd(&'a [IpNet]),
    /// What is on this machine or beside it, by its address: where clouds hand out credentials too. There is no proxy.
    Beside,
}

/// An address that is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not connected to: {why}")]
pub struct AddressRefused {
    address: String,
    why: &'static str,
}

impl AddressRefused {
    fn new(address: &impl Display, why: &'static str) -> Self {
        Self { address: address.to_string(), why }
    }
}

/// Why an address is not connected to, for those who may connect to the internet and some networks.
const NOT_ALLOWED: &str = "it is no public address, and allow_private does not have it";

/// Why an address is not connected to, whoever asks.
const METADATA: &str = "clouds hand out credentials there, and only a managed identity asks for them";

/// Why an address is not connected to, for what is beside this machine.
const NOT_BESIDE: &str = "it is no address of this machine or of what is beside it";

/// Where clouds hand out credentials of a machine, or rule it: Azure, AWS, Google, and Azure's own service beside every machine.
const METADATA_ADDRESSES: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Says whether clouds hand out credentials there, however the address is written.
pub fn is_metadata(address: IpAddr) -> bool {
    let is_one = |address: IpAddr| METADATA_ADDRESSES.contains(&address);
    match address {
        IpAddr::V4(_) => is_one(address),
        IpAddr::V6(inner) => is_one(address) || within(inner).any(|inner| is_one(inner.into())),
    }
}

/// Returns each IPv4 address that an IPv6 one may lead to: by being one, through a translator, or through a tunnel.
fn within(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bits = address.to_bits();
    // RFC 6052, 2.2: bits 64 to 71 are passed over where the IPv4 address would reach into them.
    let passed_over = (bits >> 64 << 56) | (bits & 0x00ff_ffff_ffff_ffff);
    let found = match address.segments() {
        // Mapped (RFC 4291, 2.5.5.2), what came before that (2.5.5.1), translated (RFC 2765), and NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            vec![v4(bits, 0)]
        }
        // NAT64 of a network of its own (RFC 8215), which chooses how long the prefix is.
        [0x64, 0xff9b, 1, ..] => {
            vec![v4(bits, 0), v4(passed_over, 40), v4(passed_over, 32), v4(passed_over, 24)]
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![v4(bits, 80)],
        // Teredo (RFC 4380, 4): the server, and the client with its bits turned.
        [0x2001, 0, ..] => vec![v4(bits, 64), v4(!bits, 0)],
        _ => Vec::new(),
    };
    found.into_iter()
}

/// The IPv4 address that stands so many bits from the end.
fn v4(bits: u128, from_end: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(bits.wrapping_shr(from_end) & 0xffff_ffff).unwrap_or_default())
}

/// Says whether an address of the internet, or one that is allowed, is meant.
pub fn may_connect(address: IpAddr, allowed: &[IpNet]) -> bool {
    // An IPv4 address in the clothes of IPv6 leads to where the IPv4 address does.
    let address = address.to_canonical();
    !is_metadata(address) && (is_public(address) || allowed.iter().any(|network| network.contains(&address)))
}

/// Says whether an address leads into the internet (IANA's registries of special-purpose addresses, RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let is_special = match (a, b) {
        // This network, private ones, loopback, multicast, reserved and broadcast.
        (0 | 10 | 127 | 224.., _) | (172, 16..=31) | (192, 168)
        // Carrier-grade NAT and link-local, where clouds have metadata; benchmarks.
        | (100, 64..=127) | (169, 254) | (198, 18 | 19) => true,
        // Protocol assignments, documentation, the relays of 6to4.
        (192, 0) => matches!(c, 0 | 2),
        (192, 88) => c == 99,
        (198, 51) => c == 100,
        (203, 0) => c == 113,
        // Azure's own service beside every machine of it.
        (168, 63) => (c, d) == (129, 16),
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 leads to the IPv4 address at its end.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
        }
        // Protocol assignments with Teredo, documentation, 6to4 with any IPv4 address in it.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Nothing else is given out yet: loopback, link-local, unique local and multicast are elsewhere.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Refuses a URL whose host is an address that is not connected to. Names are looked at when they are looked up.
pub fn check_literal(to: &Url, reach: Reach<'_>) -> Result<(), AddressRefused> {
    let address = match to.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain("localhost")) => return Ok(()),
        Some(Host::Domain(name)) if matches!(reach, Reach::Beside) => {
            return Err(AddressRefused::new(&name, NOT_BESIDE));
        }
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    let why = match reach {
        Reach::Any | Reach::PublicAnd(_) if is_metadata(address) => METADATA,
        Reach::PublicAnd(allowed) if !may_connect(address, allowed) => NOT_ALLOWED,
        Reach::Beside if is_public(address) => NOT_BESIDE,
        Reach::Any | Reach::PublicAnd(_) | Reach::Beside => return Ok(()),
    };
    Err(AddressRefused::new(&address, why))
}

/// Looks names up, and leaves out the addresses that are not connected to.
#[derive(Debug, Clone)]
pub(super) enum Resolver {
    /// Leaves out where clouds hand out credentials.
    Any,
    /// Leaves out all but the internet and these networks.
    PublicAnd(Arc<[IpNet]>),
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let addresses = match &resolver {
                Self::Any => sieve(name.as_str(), found, METADATA, |address| !is_metadata(address)),
                Self::PublicAnd(allowed) => connectable(name.as_str(), found, allowed),
            }?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// Returns those of a name's addresses that may be connected to; if there is none, the first that may not is told.
pub fn connectable(
    name: &str,
    found: impl IntoIterator<Item = SocketAddr>,
    allowed: &[IpNet],
) -> Result<Vec<SocketAddr>, AddressRefused> {
    sieve(name, found, NOT_ALLOWED, |address| may_connect(address, allowed))
}

fn sieve(
    name: &str,
    found: impl IntoIterator<Item = SocketAddr>,
    why: &'static str,
    is_good: impl Fn(IpAddr) -> bool,
) -> Result<Vec<SocketAddr>, AddressRefused> {
    let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| is_good(address.ip()));
    match bad.first() {
        Some(bad) if good.is_empty() => Err(AddressRefused::new(&format!("{} of {name}", bad.ip()), why)),
        _ => Ok(good),
    }
}
