//! Failed authentications, by the sender's address and the door, in bounded memory. Pure.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::mem;

use jiff::{SignedDuration, Timestamp};

use crate::alert::SourceName;

use super::bucket::{Bucket, Rate};

/// Where somebody may fail to prove themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Door {
    /// At a source.
    Source(SourceName),
    /// At one-time links, whichever.
    Links,
    /// At the API, with a token of ours or of an issuer.
    Principals,
}

/// Who failed: an IPv4 address, or the /64 network that one IPv6 host can take addresses from; and at which door.
type Who = (IpAddr, Door);

/// Failures in two generations: when the young one is full it becomes the old one, and what was old is forgotten. So
/// those are kept that failed last, and at most as many as wanted.
#[derive(Debug)]
pub struct Failures {
    rate: Rate,
    generation_max: usize,
    young: HashMap<Who, Bucket>,
    old: HashMap<Who, Bucket>,
}

impl Failures {
    /// Lets each fail at this rate, and remembers at most `max` of them.
    pub fn new(rate: Rate, max: usize) -> Self {
        let generation_max = max.checked_div(2).unwrap_or(0).max(1);
        Self { rate, generation_max, young: HashMap::new(), old: HashMap::new() }
    }

    /// Returns how long this address must wait before its next try at this door.
    pub fn wait(&mut self, address: IpAddr, door: &Door, now: Timestamp) -> SignedDuration {
        let who = (network(address), door.clone());
        let bucket = self.young.get_mut(&who).or_else(|| self.old.get_mut(&who));
        bucket.map_or(SignedDuration::ZERO, |bucket| bucket.wait(self.rate, now))
    }

    /// Notes a failure.
    pub fn record(&mut self, address: IpAddr, door: &Door, now: Timestamp) {
        let who = (network(address), door.clone());
        let known = self.young.get(&who).copied().or_else(|| self.old.remove(&who));
        let mut bucket = known.unwrap_or(Bucket::FULL);
        // An empty one stays as it is.
        let _was_empty = bucket.take(self.rate, now).is_err();
        self.young.insert(who, bucket);
        if self.young.len() >= self.generation_max {
            self.old = mem::take(&mut self.young);
        }
    }

    /// Returns how many are remembered.
    pub fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// Says whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
