//! Shows what a spool keeps, without changing anything.

use super::{Name, Note, Place, ReadError, Spool, SpoolError, SpoolId, disk};

/// One file of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub place: Place,
    /// Its id; none if the file is no delivery.
    pub id: Option<SpoolId>,
    /// The file's name.
    pub file: String,
    /// The id that it is sent under, if it can be read.
    pub signed_id: Option<String>,
    /// When it was put in, if that can be read.
    pub received_at: Option<String>,
    /// What is known of its tries.
    pub note: Option<Note>,
    /// What is wrong with the file.
    pub problem: Option<String>,
}

/// Returns what is in all places, oldest first in each.
pub fn entries(spool: &Spool) -> Result<Vec<Entry>, SpoolError> {
    let mut entries = Vec::new();
    for place in Place::ALL {
        let mut names = disk::names(&spool.folder(place))?;
        names.sort_unstable();
        let found = names.into_iter().filter_map(|name| match Name::of(&name) {
            Name::Delivery(id) => delivery(spool, place, id),
            Name::Foreign => Some(foreign(place, name.to_string_lossy().into_owned())),
            Name::Note(_) | Name::Unfinished => None,
        });
        entries.extend(found);
    }
    Ok(entries)
}

/// One that has been dealt with since the folder was read is left out.
fn delivery(spool: &Spool, place: Place, id: SpoolId) -> Option<Entry> {
    let (known, problem) = match spool.read_in(place, id) {
        Ok(delivery) => (Some(delivery), None),
        Err(ReadError::Gone) => return None,
        Err(error) => (None, Some(error.to_string())),
    };
    Some(Entry {
        place,
        id: Some(id),
        file: id.file_name(),
        signed_id: known.as_ref().map(|delivery| delivery.signed_id.to_string()),
        received_at: known.as_ref().map(|delivery| delivery.received_at.to_string()),
        note: spool.read_note(place, id),
        problem,
    })
}

fn foreign(place: Place, file: String) -> Entry {
    Entry {
        place,
        id: None,
        file,
        signed_id: None,
        received_at: None,
        note: None,
        problem: Some("the file is no delivery".to_owned()),
    }
}
