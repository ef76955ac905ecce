//! Reads the files of an export, suspiciously: only regular ones, only as much as they may hold.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::VerifyError;
use crate::audit::export::{CHECKPOINT, MAX_CHECKPOINT_BYTES, README, VERIFIER_KEY};
use crate::audit::tile::{parse_entries_path, parse_tile_path, tiles_at};

/// The first bytes of every SQLite 3 database (sqlite.org/fileformat2.html, section 1.3).
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Deeper than any tile lies.
const MAX_DEPTH: usize = 16;

/// How many files that do not belong are named.
const NAMED_STRAYS: usize = 5;

/// The directory of an export.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Refuses what is not an export, with advice where it is a ledger.
    pub(super) fn open(path: &Path) -> Result<Self, VerifyError> {
        let this = Self { path: path.to_owned() };
        let metadata = fs::metadata(path).map_err(io_error(path))?;
        if !metadata.is_dir() {
            if metadata.is_file() && is_database(path) {
                return Err(VerifyError::LiveDatabase { path: path.to_owned() });
            }
            return Err(VerifyError::NotAnExport { path: path.to_owned() });
        }
        for entry in fs::read_dir(path).map_err(io_error(path))? {
            let entry = entry.map_err(io_error(path))?;
            if entry.file_type().is_ok_and(|kind| kind.is_file()) && is_database(&entry.path()) {
                return Err(VerifyError::LiveDatabase { path: entry.path() });
            }
        }
        match fs::symlink_metadata(path.join(CHECKPOINT)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(VerifyError::NotAnExport { path: path.to_owned() }),
            _ => Ok(this),
        }
    }

    /// The text of the checkpoint. What is no UTF-8 becomes text that no signature is over.
    pub(super) fn checkpoint(&self) -> Result<String, VerifyError> {
        let limit = usize::try_from(MAX_CHECKPOINT_BYTES).unwrap_or(usize::MAX);
        Ok(String::from_utf8_lossy(&self.read_up_to(CHECKPOINT, limit)?).into_owned())
    }

    /// The whole path of a file of the export.
    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    /// Refuses unless a regular file is there.
    pub(super) fn demand(&self, relative: &str) -> Result<(), VerifyError> {
        self.length(relative).map(|_| ())
    }

    /// The bytes of a file of exactly this length.
    pub(super) fn read_exact(&self, relative: &str, length: usize) -> Result<Vec<u8>, VerifyError> {
        let found = self.length(relative)?;
        if found != length as u64 {
            return Err(VerifyError::Length { path: self.path(relative), found, expected: length as u64 });
        }
        self.read_up_to(relative, length)
    }

    /// The bytes of a file of at most this length.
    pub(super) fn read_up_to(&self, relative: &str, limit: usize) -> Result<Vec<u8>, VerifyError> {
        let path = self.path(relative);
        let too_long = |found| VerifyError::Length { path: path.clone(), found, expected: limit as u64 };
        let found = self.length(relative)?;
        if found > limit as u64 {
            return Err(too_long(found));
        }
        // The file may grow while it is read; the limit holds all the same.
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(io_error(&path))?;
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(io_error(&path))?;
        if bytes.len() > limit { Err(too_long(bytes.len() as u64)) } else { Ok(bytes) }
    }

    /// Notes about files that are no part of an export of this size. They are not covered by any signature.
    pub(super) fn strays(&self, size: u64) -> Result<Option<String>, VerifyError> {
        let mut strays = Strays::default();
        self.walk("", 0, size, &mut strays)?;
        let Strays { count, names } = strays;
        let more = if count > names.len() as u64 { ", ..." } else { "" };
        Ok((count > 0).then(|| {
            format!(
                "{count} files are no part of this export, and nothing vouches for them: {}{more}",
                names.join(", ")
            )
        }))
    }

    fn walk(&self, relative: &str, depth: usize, size: u64, strays: &mut Strays) -> Result<(), VerifyError> {
        let path = self.path(relative);
        for entry in fs::read_dir(&path).map_err(io_error(&path))? {
            let entry = entry.map_err(io_error(&path))?;
            let name = entry.file_name();
            let inner = match (name.to_str(), relative) {
                (Some(name), "") => name.to_owned(),
                (Some(name), _) => format!("{relative}/{name}"),
                (None, _) => {
                    strays.add(&name.to_string_lossy());
                    continue;
                }
            };
            let kind = entry.file_type().map_err(io_error(&path))?;
            if kind.is_dir() && depth < MAX_DEPTH {
                self.walk(&inner, depth + 1, size, strays)?;
            } else if !belongs(&inner, size) {
                strays.add(&inner);
            }
        }
        Ok(())
    }

    /// The length of a file, which must be a regular one: opening a pipe would wait for ever.
    fn length(&self, relative: &str) -> Result<u64, VerifyError> {
        let path = self.path(relative);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
            Ok(_) => Err(VerifyError::NotAFile { path }),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(VerifyError::Missing { path })
            }
            Err(source) => Err(VerifyError::Io { path, source }),
        }
    }
}

#[derive(Default)]
struct Strays {
    count: u64,
    names: Vec<String>,
}

impl Strays {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAMED_STRAYS {
            self.names.push(name.chars().take(200).flat_map(char::escape_debug).collect());
        }
    }
}

/// Whether an export of a tree of this size has a file of this name.
fn belongs(relative: &str, size: u64) -> bool {
    if [CHECKPOINT, VERIFIER_KEY, README].contains(&relative) {
        return true;
    }
    let place = parse_tile_path(relative).or_else(|| parse_entries_path(relative).map(|(i, width)| (0, i, width)));
    place.is_some_and(|(level, index, width)| {
        let (full, partial) = tiles_at(level, size);
        if width == crate::audit::tile::WIDTH { index < full } else { index == full && width == partial }
    })
}

/// Whether the file is a SQLite database, or the log that stands beside one. A file that cannot be read is not: the
/// error comes when it is needed.
fn is_database(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.ends_with("-wal") || name.ends_with("-shm") {
        return true;
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut start)).is_ok()
        && start == SQLITE_MAGIC
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    move |source| VerifyError::Io { path: path.to_owned(), source }
}
