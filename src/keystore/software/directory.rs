//! A directory that only its owner can use, and files in it that appear whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::keystore::KeystoreError;
use crate::keystore::secret::kept_out;

/// The largest file that is read, in bytes. An encrypted RSA key of 4096 bit has about 2.7 KiB.
pub(super) const LARGEST_FILE: usize = 64 << 10;
/// Begins the names of files that are being written.
pub(super) const UNFINISHED: &str = ".unfinished-";

const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const OTHERS: u32 = 0o077;

/// An open directory: what was checked is what is used, whatever happens to its path.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    path: PathBuf,
    handle: OwnedFd,
}

impl PrivateDirectory {
    /// Opens a directory of mode 0700 that we own. A symlink in its place is refused.
    pub(super) fn open(path: &Path) -> Result<Self, KeystoreError> {
        let fault = |cause: String, advice| KeystoreError::Path { path: path.to_owned(), cause, advice };
        let handle = open_directory(path, OFlags::NOFOLLOW).map_err(|error| match error {
            Errno::NOENT => fault(
                "there is no such directory".into(),
                "`sealwardd init` makes it; if it was there before, restore it: its keys are in it",
            ),
            Errno::NOTDIR | Errno::LOOP => fault("a symlink, or not a directory".into(), "Name the directory itself"),
            Errno::ACCESS => fault(kept_out(path), "chown it, and what is in it, to the daemon's user"),
            error => fault(error.to_string(), "Make it a directory of the daemon's user, mode 0700"),
        })?;
        let stat = rustix::fs::fstat(&handle).map_err(|error| fault(error.to_string(), "Check the file system"))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            let cause = format!("owned by user {}", stat.st_uid);
            return Err(fault(cause, "chown it, and what is in it, to the daemon's user"));
        }
        if stat.st_mode & OTHERS != 0 {
            let cause = format!("its mode is {:04o}: others than its owner may use it", stat.st_mode & 0o7777);
            return Err(fault(cause, "chmod it to 0700"));
        }
        Ok(Self { path: path.to_owned(), handle })
    }

    /// Makes the directory, mode 0700, or takes one that is there, empty and private.
    pub(super) fn create(path: &Path) -> Result<Self, KeystoreError> {
        let storage = |error: Errno| KeystoreError::Storage { path: path.to_owned(), cause: error.to_string() };
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) => sync_directory(parent(path)).map_err(storage)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(storage(error)),
        }
        let directory = Self::open(path)?;
        if directory.names()?.is_empty() { Ok(directory) } else { Err(KeystoreError::Exists { path: path.to_owned() }) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of everything in it, sorted, without what a crash left unfinished, which is removed: nobody was ever
    /// told of it.
    pub(super) fn names(&self) -> Result<Vec<String>, KeystoreError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(|error| self.storage(error))? {
            let entry = entry.map_err(|error| self.storage(error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(UNFINISHED) {
                rustix::fs::unlinkat(&self.handle, entry.file_name(), AtFlags::empty())
                    .map_err(|error| self.storage(error))?;
            } else if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a private file, or says what is wrong with it.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP => "a symlink".to_owned(),
            error => error.to_string(),
        })?;
        let stat = rustix::fs::fstat(&file).map_err(|error| error.to_string())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("not a regular file".into());
        }
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(format!("owned by user {}", stat.st_uid));
        }
        if stat.st_mode & OTHERS != 0 {
            return Err(format!("mode {:04o}, others may use it: chmod it to 0600", stat.st_mode & 0o7777));
        }
        let limit = u64::try_from(LARGEST_FILE + 1).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        File::from(file).take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() > LARGEST_FILE { Err(format!("larger than {LARGEST_FILE} bytes")) } else { Ok(bytes) }
    }

    /// Writes a file that is not there yet. Durable when this returns.
    pub(super) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), KeystoreError> {
        write_new_at(&self.handle, name, bytes).map_err(|error| match error {
            Errno::EXIST => KeystoreError::Exists { path: self.path.join(name) },
            error => KeystoreError::Storage { path: self.path.join(name), cause: error.to_string() },
        })
    }

    /// Removes a file. Durable when this returns.
    pub(super) fn remove(&self, name: &str) -> Result<(), KeystoreError> {
        rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())
            .and_then(|()| rustix::fs::fsync(&self.handle))
            .map_err(|error| KeystoreError::Storage { path: self.path.join(name), cause: error.to_string() })
    }

    fn storage(&self, error: Errno) -> KeystoreError {
        KeystoreError::Storage { path: self.path.clone(), cause: error.to_string() }
    }
}

/// Writes a private file beside others that need not be private. Durable when this returns.
pub(super) fn write_new_file(path: &Path, bytes: &[u8]) -> Result<(), KeystoreError> {
    let storage = |error: Errno| KeystoreError::Storage { path: path.to_owned(), cause: error.to_string() };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(storage(Errno::INVAL));
    };
    let directory = open_directory(parent(path), OFlags::empty()).map_err(storage)?;
    write_new_at(&directory, name, bytes).map_err(|error| match error {
        Errno::EXIST => KeystoreError::Exists { path: path.to_owned() },
        error => storage(error),
    })
}

/// Written under another name, synced, renamed without replacing anything, and the directory synced: after a crash the
/// file is there whole, or it is not there.
fn write_new_at(directory: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| Errno::IO)?;
    let unfinished = format!("{UNFINISHED}{}", hex::encode(random));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, &unfinished, flags, PRIVATE_FILE)?);
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .and_then(|()| rustix::fs::renameat_with(directory, &unfinished, directory, name, RenameFlags::NOREPLACE));
    if let Err(error) = written {
        // The error that matters is the first one; what stays behind is removed at the next start.
        let _ = rustix::fs::unlinkat(directory, &unfinished, AtFlags::empty());
        return Err(error);
    }
    rustix::fs::fsync(directory)
}

fn open_directory(path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more, Mode::empty())
}

fn sync_directory(path: &Path) -> Result<(), Errno> {
    rustix::fs::fsync(open_directory(path, OFlags::empty())?)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
