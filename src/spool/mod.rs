//! Keeps deliveries on disk until the bridge has taken them: one folder, one destination, one file a delivery.
//!
//! ```text
//! waiting/     to be sent
//! dead/        could not be sent for too long
//! rejected/    refused by the bridge, or not a delivery at all
//! destination  the address that all of them are for
//! lock         held by the process that sends
//! ```
//!
//! A note beside a delivery tells how often it was tried and what came of it. Putting a delivery in needs no
//! lock, so that a command can put one in beside a running relay.

mod delivery;
mod disk;
mod error;
mod intake;
mod list;
mod note;

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::alert::before;

pub use delivery::{Delivery, SpoolId};
pub use error::{ReadError, SpoolError};
pub use intake::{Intake, Limits};
pub use list::{Entry, entries};
pub use note::Note;

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// To be sent.
    Waiting,
    /// Could not be sent for too long.
    Dead,
    /// Refused by the bridge, or not a delivery at all.
    Rejected,
}

impl Place {
    /// All places.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Dead, Self::Rejected];

    /// The name of its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
            Self::Rejected => "rejected",
        }
    }
}

/// How old an unfinished file must be before it counts as left behind by a crash.
const UNFINISHED_AGE: SignedDuration = SignedDuration::from_hours(1);

/// A spool on disk. A cheap handle: it holds the path only.
#[derive(Debug, Clone)]
pub struct Spool {
    root: PathBuf,
}

/// The right to send what waits in a spool. It is held until this is dropped, also by a crash.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Spool {
    /// Opens a spool for a destination; makes it if it is not there.
    ///
    /// One spool serves one destination: what was accepted for one source must never be signed for another.
    pub fn open(root: &Path, destination: &str) -> Result<Self, SpoolError> {
        disk::make_private_folder(root)?;
        for place in Place::ALL {
            disk::make_private_folder(&root.join(place.as_str()))?;
        }
        let spool = Self { root: root.to_owned() };
        spool.check_destination(destination)?;
        Ok(spool)
    }

    /// Opens a spool to look at it; it must be there.
    pub fn existing(root: &Path) -> Result<Self, SpoolError> {
        if root.join(Place::Waiting.as_str()).is_dir() {
            Ok(Self { root: root.to_owned() })
        } else {
            Err(SpoolError::Missing(root.to_owned()))
        }
    }

    fn check_destination(&self, destination: &str) -> Result<(), SpoolError> {
        let path = self.root.join("destination");
        let unusable = |why| SpoolError::unusable(&path, &why);
        match fs::read_to_string(&path) {
            Ok(known) if known.trim_end() == destination => Ok(()),
            Ok(known) => Err(SpoolError::OtherDestination { path, known: known.trim_end().to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk::write(&self.root, "destination", destination.as_bytes()).map_err(unusable)
            }
            Err(error) => Err(unusable(error)),
        }
    }

    /// Takes the right to send what waits.
    pub fn lock(&self) -> Result<Lock, SpoolError> {
        let path = self.root.join("lock");
        let unusable = |why| SpoolError::unusable(&path, &why);
        let file = disk::private_file().create(true).truncate(false).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(self.root.clone())),
            Err(TryLockError::Error(why)) => Err(unusable(why)),
        }
    }

    /// Returns what waits, oldest first. What is no delivery is set aside. For the holder of the lock.
    pub fn waiting(&self, now: Timestamp) -> Result<Vec<SpoolId>, SpoolError> {
        let folder = self.folder(Place::Waiting);
        let (mut ids, mut notes) = (Vec::new(), Vec::new());
        for name in disk::names(&folder)? {
            match Name::of(&name) {
                Name::Delivery(id) if folder.join(&name).symlink_metadata().is_ok_and(|it| it.is_file()) => {
                    ids.push(id);
                }
                Name::Note(id) => notes.push(id),
                Name::Unfinished => remove_if_left_behind(&folder.join(name), now),
                Name::Delivery(_) | Name::Foreign => self.set_foreign_aside(&name),
            }
        }
        ids.sort_unstable();
        // Left by a process that noted a failure while another one had success.
        for id in notes.into_iter().filter(|id| ids.binary_search(id).is_err()) {
            drop(fs::remove_file(folder.join(id.note_name())));
        }
        Ok(ids)
    }

    fn set_foreign_aside(&self, name: &OsStr) {
        let moved = disk::move_to_new_name(&self.folder(Place::Waiting), name, &self.folder(Place::Rejected));
        let problem = moved.err().map(|error| error.to_string());
        let file = name.to_string_lossy();
        tracing::error!(%file, problem, "a file in the spool is no delivery: it is set aside in rejected");
    }

    /// Reads a delivery that waits, and proves that it is as it was put in.
    pub fn read(&self, id: SpoolId) -> Result<Delivery, ReadError> {
        self.read_in(Place::Waiting, id)
    }

    fn read_in(&self, place: Place, id: SpoolId) -> Result<Delivery, ReadError> {
        match disk::read_bounded(&self.folder(place).join(id.file_name()), delivery::FILE_BYTES_MAX) {
            Ok(Some(bytes)) => Delivery::decode(id, &bytes),
            Ok(None) => Err(ReadError::Corrupt("it is longer than any delivery".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadError::Gone),
            Err(error) => Err(ReadError::Unreadable(error.to_string())),
        }
    }

    /// Forgets a delivery that the bridge has taken.
    ///
    /// Without an fsync: if a crash brings it back, it is sent again under the same id, and the bridge knows it.
    pub fn remove(&self, id: SpoolId) -> Result<(), SpoolError> {
        let path = self.folder(Place::Waiting).join(id.file_name());
        drop(fs::remove_file(self.folder(Place::Waiting).join(id.note_name())));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SpoolError::unusable(&path, &error)),
            _ => Ok(()),
        }
    }

    /// Moves a delivery out of the way, with a note of why.
    pub fn set_aside(&self, id: SpoolId, place: Place, note: &Note) -> Result<(), SpoolError> {
        self.relocate(id, Place::Waiting, place, Some(note))
    }

    /// Lets a delivery that was set aside wait again; returns where it was.
    pub fn retry(&self, id: SpoolId) -> Result<Place, SpoolError> {
        for place in [Place::Dead, Place::Rejected] {
            if self.folder(place).join(id.file_name()).is_file() {
                self.relocate(id, place, Place::Waiting, None)?;
                return Ok(place);
            }
        }
        Err(SpoolError::NoSuchDelivery(id))
    }

    fn relocate(&self, id: SpoolId, from: Place, to: Place, note: Option<&Note>) -> Result<(), SpoolError> {
        let (from, to) = (self.folder(from), self.folder(to));
        let unusable = |why| SpoolError::unusable(&to, &why);
        if let Some(note) = note {
            disk::write(&to, &id.note_name(), &note.encode()).map_err(unusable)?;
        }
        match disk::relocate(&from, &to, &id.file_name()) {
            // Another process has dealt with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                drop(fs::remove_file(to.join(id.note_name())));
            }
            moved => moved.map_err(unusable)?,
        }
        drop(fs::remove_file(from.join(id.note_name())));
        Ok(())
    }

    /// Notes what came of the last try. A note that cannot be written is no loss.
    pub fn note(&self, id: SpoolId, note: &Note) {
        let written = disk::write(&self.folder(Place::Waiting), &id.note_name(), &note.encode());
        if let Err(error) = written {
            tracing::warn!(delivery = %id, %error, "a note cannot be written into the spool");
        }
    }

    /// Returns how often a waiting delivery has been tried.
    pub fn tries(&self, id: SpoolId) -> u32 {
        self.read_note(Place::Waiting, id).map_or(0, |note| note.tries)
    }

    fn read_note(&self, place: Place, id: SpoolId) -> Option<Note> {
        let path = self.folder(place).join(id.note_name());
        Note::decode(&disk::read_bounded(&path, note::FILE_BYTES_MAX).ok()??)
    }

    /// Says whether a delivery can be written, by writing.
    pub fn is_writable(&self) -> bool {
        let folder = self.folder(Place::Waiting);
        disk::probe(&folder)
            .inspect_err(|error| tracing::warn!(%error, "the spool cannot be written"))
            .is_ok()
    }

    fn folder(&self, place: Place) -> PathBuf {
        self.root.join(place.as_str())
    }
}

/// What a file's name says it is.
#[derive(Debug, Clone, Copy)]
enum Name {
    Delivery(SpoolId),
    Note(SpoolId),
    /// Being written, or left behind by a crash.
    Unfinished,
    Foreign,
}

impl Name {
    fn of(name: &OsStr) -> Self {
        let Some(name) = name.to_str() else {
            return Self::Foreign;
        };
        if disk::is_unfinished(name) {
            return Self::Unfinished;
        }
        match (SpoolId::of_delivery_file(name), SpoolId::of_note_file(name)) {
            (Some(id), _) => Self::Delivery(id),
            (None, Some(id)) => Self::Note(id),
            (None, None) => Self::Foreign,
        }
    }
}

/// Nobody was told that an unfinished file is kept, so it may go.
fn remove_if_left_behind(path: &Path, now: Timestamp) {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    let modified = modified.ok().and_then(|time| Timestamp::try_from(time).ok());
    if modified.is_some_and(|modified| modified < before(now, UNFINISHED_AGE)) {
        drop(fs::remove_file(path));
    }
}
