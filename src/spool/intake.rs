//! Puts deliveries into a spool, within its bounds.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::alert::{SignedId, before, millis};

use super::{Delivery, Name, Place, Spool, SpoolError, SpoolId, disk};

/// How long a count holds: others take out and put in meanwhile.
const COUNT_LIFE: SignedDuration = SignedDuration::from_secs(1);

/// How much a spool may keep, in all its places together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries.
    pub deliveries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What a spool keeps.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    deliveries: u64,
    bytes: u64,
}

/// Puts deliveries in. One a process.
#[derive(Debug)]
pub struct Intake {
    spool: Spool,
    limits: Limits,
    count: Count,
    counted_at: Timestamp,
    /// The millisecond in the last id: ids of one process rise, so that order is kept.
    last_millis: i64,
}

impl Intake {
    /// Starts with nothing counted.
    pub fn new(spool: Spool, limits: Limits) -> Self {
        Self { spool, limits, count: Count::default(), counted_at: Timestamp::MIN, last_millis: 0 }
    }

    /// Keeps a delivery; when this returns, it survives a kill and a power cut.
    ///
    /// After a failure it may be there all the same, and be sent. Then its sender sends the alert again, and the
    /// bridge knows it.
    pub fn put(
        &mut self,
        signed_id: Option<SignedId>,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Delivery, SpoolError> {
        let at = millis(now).max(self.last_millis.saturating_add(1));
        let id = SpoolId::at(at);
        let folder = self.spool.folder(Place::Waiting);
        let own_id = || SpoolError::Unusable { path: folder.clone(), why: "no id can be made".to_owned() };
        let signed_id = signed_id.or_else(|| id.signed_id()).ok_or_else(own_id)?;
        let delivery = Delivery { id, signed_id, received_at: now, body };
        let bytes = delivery.encode();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.make_room(length, now)?;
        disk::write(&folder, &id.file_name(), &bytes).map_err(|why| SpoolError::unusable(&folder, &why))?;
        self.last_millis = at;
        self.count.deliveries = self.count.deliveries.saturating_add(1);
        self.count.bytes = self.count.bytes.saturating_add(length);
        Ok(delivery)
    }

    /// Says whether there is room for one more delivery of so many bytes.
    pub fn make_room(&mut self, bytes: u64, now: Timestamp) -> Result<(), SpoolError> {
        let is_fresh = self.counted_at > before(now, COUNT_LIFE) && self.counted_at <= now;
        if !is_fresh {
            self.count = count(&self.spool)?;
            self.counted_at = now;
        }
        let Count { deliveries, bytes: kept } = self.count;
        if deliveries < self.limits.deliveries && kept.saturating_add(bytes) <= self.limits.bytes {
            return Ok(());
        }
        Err(SpoolError::Full { deliveries, bytes: kept })
    }
}

/// Counts every file in every place: what is dead or rejected takes up space like the rest.
fn count(spool: &Spool) -> Result<Count, SpoolError> {
    let mut count = Count::default();
    for place in Place::ALL {
        let folder = spool.folder(place);
        for name in disk::names(&folder)? {
            if matches!(Name::of(&name), Name::Delivery(_)) {
                count.deliveries = count.deliveries.saturating_add(1);
            }
            // One that is gone by now takes up nothing.
            let bytes = folder.join(name).symlink_metadata().map_or(0, |metadata| metadata.len());
            count.bytes = count.bytes.saturating_add(bytes);
        }
    }
    Ok(count)
}
