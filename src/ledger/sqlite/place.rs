//! The directory of a ledger: where it may lie, who holds it, whether it was faulted.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::ledger::LedgerError;

const DATABASE: &str = "ledger.sqlite3";
const LOCK: &str = "ledger.lock";
const FAULT: &str = "FAULT";

/// File systems on which an advisory lock or an fsync does not mean what it says (magic numbers of statfs(2)).
const NETWORK: [(u32, &str); 9] = [
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x0bd0_0bd0, "lustre"),
];

/// A ledger's directory, held by this process for life.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    /// Dropped last; the lock goes with it.
    _lock: File,
}

impl Place {
    /// Takes the directory of an existing ledger.
    pub(super) fn take(directory: &Path) -> Result<Self, LedgerError> {
        refuse_missing(directory)?;
        let place = Self::lock(directory)?;
        if place.sealed_copy().exists() {
            return Err(LedgerError::Faulted("a recovery was interrupted".to_owned()));
        }
        match fs::read(directory.join(FAULT)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(place),
            // A mark that does not read is a mark all the same.
            Err(error) => Err(LedgerError::Faulted(format!("{FAULT}: {error}"))),
            Ok(cause) => Err(LedgerError::Faulted(String::from_utf8_lossy(&cause).trim().to_owned())),
        }
    }

    /// Takes a directory in which a ledger is to be made; makes it when it is not there.
    pub(super) fn prepare(directory: &Path) -> Result<Self, LedgerError> {
        fs::create_dir_all(directory).map_err(|error| not_writable(directory, &error))?;
        refuse_existing(directory)?;
        Self::lock(directory)
    }

    /// Takes the directory of a ledger whatever its state: for recovery.
    pub(super) fn take_faulted(directory: &Path) -> Result<Self, LedgerError> {
        refuse_missing(directory)?;
        Self::lock(directory)
    }

    fn lock(directory: &Path) -> Result<Self, LedgerError> {
        refuse_network(directory)?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| not_writable(&path, &error))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| LedgerError::Locked(directory.to_owned()))?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The database file.
    pub(super) fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    /// A verified copy that is about to replace the database.
    pub(super) fn sealed_copy(&self) -> PathBuf {
        self.directory.join("ledger.sealed")
    }

    /// Writes down that a write failed, so that the next start knows. Best effort: the disk is failing.
    pub(super) fn mark_faulted(&self, cause: &str) {
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(self.directory.join(FAULT))
            .and_then(|mut file| file.write_all(cause.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| self.sync());
        if let Err(error) = written {
            tracing::error!(%error, "the fault could not be written down");
        }
    }

    /// Lifts the mark after recovery.
    pub(super) fn clear_fault(&self) -> std::io::Result<()> {
        match fs::remove_file(self.directory.join(FAULT)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes names in the directory durable.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Refuses a directory in which a ledger is, or in which one may be that this user cannot see.
pub fn refuse_existing(directory: &Path) -> Result<(), LedgerError> {
    if is_there(directory)? { Err(LedgerError::Exists(directory.join(DATABASE))) } else { Ok(()) }
}

fn refuse_missing(directory: &Path) -> Result<(), LedgerError> {
    if is_there(directory)? { Ok(()) } else { Err(LedgerError::Missing(directory.to_owned())) }
}

/// "None" only where the system says so: a ledger that we may not see must not be taken for one that was never made.
fn is_there(directory: &Path) -> Result<bool, LedgerError> {
    let path = directory.join(DATABASE);
    match fs::metadata(&path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(not_writable(&path, &error)),
    }
}

fn refuse_network(directory: &Path) -> Result<(), LedgerError> {
    let Ok(stat) = rustix::fs::statfs(directory) else {
        return Ok(()); // what follows will fail with its own word
    };
    // f_type is signed on some machines; the magic numbers are 32 bit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = stat.f_type as u32;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        Some((_, kind)) => Err(LedgerError::NetworkFileSystem { path: directory.to_owned(), kind }),
        None => Ok(()),
    }
}

pub(super) fn not_writable(path: &Path, error: &std::io::Error) -> LedgerError {
    if error.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) {
        return LedgerError::DiskFull;
    }
    if error.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error())
        && let Some((at, metadata)) = path.ancestors().find_map(|at| Some((at, fs::metadata(at).ok()?)))
    {
        // The first thing that we can see is the one that lets us no further.
        return LedgerError::Forbidden {
            path: path.to_owned(),
            at: at.to_owned(),
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
            us: rustix::process::geteuid().as_raw(),
        };
    }
    LedgerError::ReadOnly { path: path.to_owned(), what: error.to_string() }
}
