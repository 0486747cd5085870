//! How many connections each client address has open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
#[expect(clippy::disallowed_types, reason = "held for one look at a map, never while waiting")]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use ipnet::IpNet;

/// The prefix that one holder of IPv6 addresses has at least.
const IPV6_HOLDER: u32 = 64;

/// Counts connections by client address. A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Places {
    each: usize,
    /// Proxies speak for many clients and are not counted.
    exempt: Arc<[IpNet]>,
    #[expect(clippy::disallowed_types, reason = "held for one look at a map, never while waiting")]
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// No place is left for this address.
#[derive(Debug)]
pub(super) struct Full;

impl Places {
    pub(super) fn new(each: usize, exempt: Vec<IpNet>) -> Self {
        Self { each, exempt: exempt.into(), taken: Arc::default() }
    }

    /// Takes a place, which is given back when it is dropped; `None` needs no place.
    pub(super) fn take(&self, address: IpAddr) -> Result<Option<Place>, Full> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&address)) {
            return Ok(None);
        }
        let holder = holder(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(holder).or_default();
        if *count >= self.each {
            return Err(Full);
        }
        *count = count.saturating_add(1);
        Ok(Some(Place { holder, places: self.clone() }))
    }
}

/// The address under which connections are counted.
fn holder(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (u128::BITS.saturating_sub(IPV6_HOLDER));
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    holder: IpAddr,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.holder) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}
