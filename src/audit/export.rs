//! Writes the log as a directory that anybody's tools can read, and any web server can serve.
//!
//! The directory is made beside its target, completely and durably, and then renamed: a target is never half written.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::merkle::{MAX_SIZE, empty_root, leaf_hash};
use super::note::VerifierKey;
use super::tile::{TileStack, WIDTH, entries_path, push_entry, tile_bytes, tile_path};

/// The signed checkpoint's file name.
pub const CHECKPOINT: &str = "checkpoint";
/// The directory of tiles and entry bundles.
pub const TILES: &str = "tile";
/// The file with the text of the log's verifier key.
pub const VERIFIER_KEY: &str = "verifier-key";
/// The file with words for people.
pub const README: &str = "README.txt";

/// No checkpoint is longer; what is longer is not read.
pub(super) const MAX_CHECKPOINT_BYTES: u64 = 1 << 20;

/// Why nothing was exported. The target is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError<E> {
    /// The checkpoint to export does not open with the log's key. A retry does not help.
    #[error("the checkpoint to export is not one of this log")]
    Checkpoint(#[source] CheckpointError),
    /// The leaves could not be read; their source says whether a retry helps.
    #[error("the leaves could not be read")]
    Leaves(#[source] E),
    /// The leaves end before the size of the checkpoint: the ledger was cut. A retry does not help.
    #[error("the log has only {found} of the {size} leaves that its checkpoint promises")]
    TooFewLeaves {
        /// Leaves found.
        found: u64,
        /// Leaves promised.
        size: u64,
    },
    /// A leaf is longer than the format allows: it was not written by sealward.
    #[error("leaf {index} is longer than 65535 bytes")]
    LeafTooLong {
        /// The leaf.
        index: u64,
    },
    /// The leaves do not have the root of the checkpoint: the ledger was changed. A retry does not help.
    #[error("the leaves do not have the root that the checkpoint promises: the ledger was changed")]
    RootMismatch,
    /// The target holds something else. Name another directory.
    #[error("{} is not empty and {why}; name a new directory", .path.display())]
    Occupied {
        /// The target.
        path: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// The target holds an export that this log does not extend: keep it, it may prove that the ledger was rolled back or
    /// rewritten.
    #[error(
        "{} holds an export of {exported} leaves that the present log of {size} leaves does not extend; keep it as \
         evidence: the ledger was restored from an older copy or rewritten", .path.display()
    )]
    NotExtended {
        /// The target.
        path: PathBuf,
        /// Leaves of the export.
        exported: u64,
        /// Leaves of the log.
        size: u64,
    },
    /// A file could not be read or written. A retry helps when the cause (space, permission) is gone.
    #[error("{}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// Exports the tree of a signed checkpoint to `target`. `leaves` yields the log from its first leaf on; what it would
/// yield beyond the checkpoint's size is not asked for.
///
/// The target must be absent, empty, or an export of the same log that this one extends, which it replaces.
pub fn write_export<E>(
    target: &Path,
    key: &VerifierKey,
    checkpoint: &str,
    leaves: impl IntoIterator<Item = Result<Vec<u8>, E>>,
) -> Result<Checkpoint, ExportError<E>> {
    let promised = checkpoint::open(checkpoint, key).map_err(ExportError::Checkpoint)?;
    if promised.size > MAX_SIZE {
        return Err(ExportError::TooFewLeaves { found: MAX_SIZE, size: promised.size });
    }
    let earlier = earlier_export(target, key)?;
    let not_extended = |earlier: &Checkpoint| ExportError::NotExtended {
        path: target.to_owned(),
        exported: earlier.size,
        size: promised.size,
    };
    if let Some(earlier) = &earlier
        && (earlier.size > promised.size || (earlier.size == 0 && earlier.root != empty_root()))
    {
        return Err(not_extended(earlier));
    }

    let mut staging = Staging::beside(target)?;
    let mut stack = TileStack::new();
    let mut bundle = Vec::new();
    let mut leaves = leaves.into_iter();
    while stack.size() < promised.size {
        let index = stack.size();
        let leaf = match leaves.next() {
            Some(leaf) => leaf.map_err(ExportError::Leaves)?,
            None => return Err(ExportError::TooFewLeaves { found: index, size: promised.size }),
        };
        push_entry(&mut bundle, &leaf).map_err(|_| ExportError::LeafTooLong { index })?;
        stack.push(leaf_hash(&leaf), |level, index, hashes| {
            if level == 0 {
                staging.write(&entries_path(index, WIDTH), &bundle)?;
                bundle.clear();
            }
            staging.write(&tile_path(level, index, WIDTH), &tile_bytes(hashes))
        })?;
        if let Some(earlier) = &earlier
            && earlier.size == stack.size()
            && earlier.root != stack.root()
        {
            return Err(not_extended(earlier));
        }
    }
    if stack.root() != promised.root {
        return Err(ExportError::RootMismatch);
    }
    for (level, index, hashes) in stack.partial() {
        if level == 0 {
            staging.write(&entries_path(index, hashes.len()), &bundle)?;
        }
        staging.write(&tile_path(level, index, hashes.len()), &tile_bytes(hashes))?;
    }
    staging.write(VERIFIER_KEY, verifier_key_text(key).as_bytes())?;
    staging.write(README, readme_text(key.name()).as_bytes())?;
    staging.write(CHECKPOINT, checkpoint.as_bytes())?;
    staging.publish(target, earlier.is_some())?;
    Ok(promised)
}

/// What stands in [`VERIFIER_KEY`].
pub(super) fn verifier_key_text(key: &VerifierKey) -> String {
    format!("{key}\n")
}

/// What stands in [`README`].
pub(super) fn readme_text(origin: &str) -> String {
    format!(
        "This is an export of the sealward audit log `{origin}`.\n\
         \n\
         checkpoint     the signed size and root of the log (https://c2sp.org/tlog-checkpoint)\n\
         tile/          its Merkle tree and its leaves (https://c2sp.org/tlog-tiles)\n\
         verifier-key   the public key of the log, as a C2SP verifier key\n\
         \n\
         To verify it, without a daemon:\n\
         \n\
         \x20   sealward audit verify --key KEY DIRECTORY\n\
         \n\
         Obtain KEY independently of this directory: from the operator of the log, or from your own notes of an earlier\n\
         day. Whoever can change this directory can also change the file verifier-key, so that file proves nothing.\n"
    )
}

/// The checkpoint of the export that stands at the target, if one does.
fn earlier_export<E>(target: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, ExportError<E>> {
    let occupied = |why| ExportError::Occupied { path: target.to_owned(), why };
    match fs::symlink_metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(target)(e)),
        Ok(metadata) if !metadata.is_dir() => return Err(occupied("is not a directory")),
        Ok(_) => {}
    }
    let mut empty = true;
    for entry in fs::read_dir(target).map_err(io_error(target))? {
        let name = entry.map_err(io_error(target))?.file_name();
        if ![CHECKPOINT, TILES, VERIFIER_KEY, README].iter().any(|ours| name == *ours) {
            return Err(occupied("holds files that are not of an export"));
        }
        empty = false;
    }
    if empty {
        return Ok(None);
    }
    let path = target.join(CHECKPOINT);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_CHECKPOINT_BYTES => {}
        _ => return Err(occupied("has no checkpoint of an export")),
    }
    let text = fs::read(&path).map_err(io_error(&path))?;
    let text = String::from_utf8(text).map_err(|_| occupied("has no checkpoint of an export"))?;
    let earlier = checkpoint::open(&text, key).map_err(|_| occupied("is not an export of this log and key"))?;
    Ok(Some(earlier))
}

/// A directory under construction beside its target. Removed again unless it is published.
struct Staging {
    path: PathBuf,
    /// Every directory inside, and itself: their entries are made durable before the rename.
    directories: BTreeSet<PathBuf>,
}

impl Staging {
    fn beside<E>(target: &Path) -> Result<Self, ExportError<E>> {
        let path = unused_name(target, "export").and_then(|path| DirBuilder::new().create(&path).map(|()| path));
        let path = path.map_err(io_error(target))?;
        Ok(Self { directories: BTreeSet::from([path.clone()]), path })
    }

    fn write<E>(&mut self, relative: &str, bytes: &[u8]) -> Result<(), ExportError<E>> {
        let path = self.path.join(relative);
        self.write_durably(&path, bytes).map_err(io_error(&path))
    }

    fn write_durably(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        for directory in path.ancestors().skip(1) {
            if !self.directories.insert(directory.to_owned()) {
                break;
            }
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Puts the directory in the target's place.
    fn publish<E>(self, target: &Path, replace: bool) -> Result<(), ExportError<E>> {
        for directory in &self.directories {
            sync_directory(directory).map_err(io_error(directory))?;
        }
        if replace {
            self.swap(target).map_err(io_error(target))?;
        } else {
            // Fails, as it should, when somebody filled the target meanwhile.
            fs::rename(&self.path, target).map_err(io_error(target))?;
        }
        sync_directory(parent_of(target)).map_err(io_error(target))
    }

    /// A directory cannot be renamed over a full one, so the earlier export steps aside first. A crash in between leaves
    /// both, each complete, under names that tell what they are.
    fn swap(&self, target: &Path) -> io::Result<()> {
        let aside = unused_name(target, "replaced")?;
        fs::rename(target, &aside)?;
        if let Err(e) = fs::rename(&self.path, target) {
            fs::rename(&aside, target)?;
            return Err(e);
        }
        sync_directory(parent_of(target))?;
        fs::remove_dir_all(&aside)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone already when it was published; when it cannot be removed, its name tells what it is.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A name beside the target that nothing has yet: `.NAME.PURPOSE-PID-N`.
fn unused_name(target: &Path, purpose: &str) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| io::Error::other("a path that ends in a name is needed"))?;
    for n in 0..1000 {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{purpose}-{}-{n}", std::process::id()));
        let path = parent_of(target).join(hidden);
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(e) => return Err(e),
            Ok(_) => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many unfinished exports beside it; remove them"))
}

fn parent_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn io_error<E>(path: &Path) -> impl FnOnce(io::Error) -> ExportError<E> {
    move |source| ExportError::Io { path: path.to_owned(), source }
}
