//! Which file system the database lies on, and whether it keeps what SQLite writes ahead.

use std::path::Path;

use rustix::fs::statfs;

use super::{Options, StoreError, files};

/// What a file system is to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It keeps what it is given, through a power cut too.
    Good,
    /// It works, and the database may be lost with it.
    Doubtful {
        /// The file system.
        name: &'static str,
        /// What may happen there.
        why: &'static str,
    },
    /// The database would break there without a word, so it is not opened.
    Unsafe {
        /// The file system.
        name: &'static str,
        /// What does not work there.
        why: &'static str,
    },
}

/// SQLite: "WAL does not work over a network filesystem", for the log's index is memory that all who read must share.
const NETWORK: &str = "its locks and mapped memory are those of a network, and the log that SQLite writes ahead needs a local disk's";

const FUSE: &str = "whether a forced write reaches a disk, and what a lock is, is up to a program behind it";

const SHARED: &str =
    "what is shared with the machine below has not the locks and mapped memory of a local disk";

const CLUSTER: &str = "it is safe only as long as one machine alone has it mounted";

const MEMORY: &str = "alerts that were answered 202 are gone when this machine or container stops";

const LAYER: &str =
    "it is a container's own layer: alerts that were answered 202 are gone with the container";

const UNKNOWN: &str = "it is not known whether it keeps what is written ahead when the power fails";

/// File systems by what statfs(2) calls them (linux/magic.h, and the file systems' own sources).
const PLACES: [(u64, Place); 30] = [
    (0x0000_ef53, Place::Good), // ext2, ext3, ext4
    (0x5846_5342, Place::Good), // XFS
    (0x9123_683e, Place::Good), // Btrfs
    (0x2fc1_2fc1, Place::Good), // ZFS
    (0xf2f5_2010, Place::Good), // F2FS
    (0xca45_1a4e, Place::Good), // bcachefs
    (0x0000_6969, unsafe_place("NFS", NETWORK)),
    (0x0000_517b, unsafe_place("SMB (smbfs)", NETWORK)),
    (0xff53_4d42, unsafe_place("SMB (cifs)", NETWORK)),
    (0xfe53_4d42, unsafe_place("SMB (smb3)", NETWORK)),
    (0x00c3_6400, unsafe_place("CephFS", NETWORK)),
    (0x5346_414f, unsafe_place("AFS", NETWORK)),
    (0x6b41_4653, unsafe_place("AFS", NETWORK)),
    (0x7375_7245, unsafe_place("Coda", NETWORK)),
    (0x0000_564c, unsafe_place("NCP", NETWORK)),
    (0x0bd0_0bd0, unsafe_place("Lustre", NETWORK)),
    (0x4750_4653, unsafe_place("GPFS", NETWORK)),
    (0x1983_0326, unsafe_place("BeeGFS", NETWORK)),
    (0xaad7_aaea, unsafe_place("PanFS", NETWORK)),
    (0x6573_5546, unsafe_place("FUSE (such as sshfs, s3fs, blobfuse, GlusterFS, virtiofs)", FUSE)),
    (0x0102_1997, unsafe_place("9p", SHARED)),
    (0x786f_4256, unsafe_place("a shared folder of VirtualBox", SHARED)),
    (0xbacb_acbc, unsafe_place("a shared folder of VMware", SHARED)),
    (0x7c7c_6673, unsafe_place("a shared folder of Parallels", SHARED)),
    (0x0116_1970, doubtful_place("GFS2", CLUSTER)),
    (0x7461_636f, doubtful_place("OCFS2", CLUSTER)),
    (0x0102_1994, doubtful_place("tmpfs", MEMORY)),
    (0x8584_58f6, doubtful_place("ramfs", MEMORY)),
    (0x794c_7630, doubtful_place("overlay", LAYER)),
    (0x0000_f15f, doubtful_place("eCryptfs", UNKNOWN)),
];

const fn unsafe_place(name: &'static str, why: &'static str) -> Place {
    Place::Unsafe { name, why }
}

const fn doubtful_place(name: &'static str, why: &'static str) -> Place {
    Place::Doubtful { name, why }
}

impl Place {
    /// Judges a file system by its number in statfs(2).
    pub fn of_type(number: u64) -> Self {
        let found = PLACES.iter().find(|(known, _)| *known == number);
        found.map_or(doubtful_place("no known file system", UNKNOWN), |(_, place)| *place)
    }
}

/// Judges the file system on which the database lies or is to lie. What the system does not tell is no reason against it.
pub fn place(options: &Options) -> Place {
    look(&options.path)
}

fn look(database: &Path) -> Place {
    // The database may be a link to elsewhere; before it is made, its folder counts.
    let found = statfs(database).or_else(|_| statfs(files::folder(database)));
    let number = found.ok().and_then(|found| u64::try_from(found.f_type).ok());
    number.map_or(Place::Good, Place::of_type)
}

/// Refuses a database where it would break.
pub(super) fn check(database: &Path) -> Result<(), StoreError> {
    match look(database) {
        Place::Good | Place::Doubtful { .. } => Ok(()),
        Place::Unsafe { name, why } => Err(StoreError::Misplaced { path: database.to_owned(), name, why }),
    }
}
