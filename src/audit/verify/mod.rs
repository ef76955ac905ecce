//! Verifies an export without a daemon, a ledger or a network: `sealward audit verify`.
//!
//! What is checked: the checkpoint's signature; every entry bundle and every tile against the recomputed tree, and the
//! tree against the signed root; every leaf's form and sequence number; and over the leaves the daemon's own promises I1
//! and I2. What is unsigned and what is merely odd becomes a note.
//!
//! One bundle is in memory at a time. Beside it, memory grows with the number of guards, not of leaves.

mod files;
mod history;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::export::{README, VERIFIER_KEY, readme_text, verifier_key_text};
use super::leaf::{self, LeafError};
use super::merkle::{Hash, leaf_hash};
use super::note::VerifierKey;
use super::tile::{
    BundleError, MAX_BUNDLE_BYTES, TileStack, WIDTH, entries, entries_path, tile_bytes, tile_path, tiles_at,
};
use crate::domain::name::{RepositoryName, Role, Version};
use crate::domain::time::Instant;
use files::Directory;
use history::History;

/// The largest log that is verified at all: 2^40 leaves would be hundreds of terabytes.
pub const MAX_LEAVES: u64 = 1 << 40;

/// A verified export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// The root that was recomputed, and that the checkpoint signs.
    pub root: Hash,
    /// Time of the first leaf.
    pub first: Option<Instant>,
    /// Time of the last leaf.
    pub last: Option<Instant>,
    /// Number of leaves by kind of event and outcome, under the names that leaves have for them.
    pub counts: BTreeMap<(&'static str, &'static str), u64>,
    /// What does not break the log, and a person should still know. One sentence each.
    pub notes: Vec<String>,
}

/// Why an export is not believed. A retry with the same directory does not help, but for [`VerifyError::Io`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file could not be read: a permission, a broken disk.
    #[error("{}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The path is a ledger or a directory that holds one.
    #[error(
        "{} is a database: a bare copy of a live database is not an export; run `sealward audit export DIRECTORY` \
         against the daemon, or start a daemon on a backup made by its own tools and export from that", .path.display()
    )]
    LiveDatabase {
        /// The database file.
        path: PathBuf,
    },
    /// The path is no export: it has no checkpoint.
    #[error("{} is no export of an audit log: it has no file `checkpoint`", .path.display())]
    NotAnExport {
        /// The path that was given.
        path: PathBuf,
    },
    /// A file that a tree of this size needs is missing: the export was cut or only partly copied.
    #[error("{} is missing", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Something else stands where a file should: a link, a pipe, a directory.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file has a length that it cannot have: it was cut or changed.
    #[error("{} has {found} bytes where {expected} are right", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The right length, or the largest.
        expected: u64,
    },
    /// The checkpoint was changed, or is another log's or another key's.
    #[error("the checkpoint is not believed")]
    Checkpoint(#[source] CheckpointError),
    /// The checkpoint claims more leaves than any log has.
    #[error("the checkpoint claims {size} leaves, more than any log has")]
    TooLarge {
        /// What it claims.
        size: u64,
    },
    /// An entry bundle was cut or changed.
    #[error("{} is no entry bundle", .path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BundleError,
    },
    /// A tile does not hold the hashes of the entries: the one or the others were changed.
    #[error("{} does not hold the hashes of the entries below it: it or they were changed", .path.display())]
    TileMismatch {
        /// The tile.
        path: PathBuf,
    },
    /// Tiles and entries agree with each other, but not with the signed root: the history was rewritten.
    #[error("the entries do not have the root that the checkpoint signs: the history was rewritten")]
    RootMismatch,
    /// A signed entry is no leaf of sealward.
    #[error("entry {index} is no leaf")]
    Leaf {
        /// The entry.
        index: u64,
        /// What is wrong.
        #[source]
        source: LeafError,
    },
    /// A signed leaf names another place in the log: the daemon that wrote it was broken.
    #[error("entry {index} says that it is leaf {found}")]
    WrongSequence {
        /// Where it stands.
        index: u64,
        /// What it says.
        found: u64,
    },
    /// A signed leaf about a released signature does not say of what: I1 and I2 cannot be checked.
    #[error("leaf {index} records a release without its {member}")]
    Incomplete {
        /// The leaf.
        index: u64,
        /// The member that it lacks.
        member: &'static str,
    },
    /// The log itself proves that two payloads of one version were released (I1).
    #[error(
        "leaves {first} and {second} release different payloads as {repository} {role} epoch {epoch} version {version}"
    )]
    Equivocation {
        /// The repository.
        repository: RepositoryName,
        /// The role.
        role: Role,
        /// The epoch.
        epoch: u32,
        /// The version of both.
        version: Version,
        /// The earlier leaf.
        first: u64,
        /// The later leaf.
        second: u64,
    },
    /// The log itself proves that a lower version was released after a higher one (I2).
    #[error(
        "leaf {second} releases {repository} {role} epoch {epoch} version {lower} after leaf {first} released {higher}"
    )]
    Rollback {
        /// The repository.
        repository: RepositoryName,
        /// The role.
        role: Role,
        /// The epoch.
        epoch: u32,
        /// The version of the earlier leaf.
        higher: Version,
        /// The version of the later leaf.
        lower: Version,
        /// The earlier leaf.
        first: u64,
        /// The later leaf.
        second: u64,
    },
    /// An unsigned file of the export, such as `verifier-key`, is not as sealward writes it: somebody may want its
    /// readers to trust another key.
    #[error("{} is not what an export of this log has there", .path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
}

/// Verifies the export in a directory with a key that was obtained independently of it.
pub fn verify_export(dir: &Path, key: &VerifierKey) -> Result<Report, VerifyError> {
    let directory = Directory::open(dir)?;
    let checkpoint = checkpoint::open(&directory.checkpoint()?, key).map_err(VerifyError::Checkpoint)?;
    let size = checkpoint.size;
    if size > MAX_LEAVES {
        return Err(VerifyError::TooLarge { size });
    }
    demand_last_files(&directory, size)?;

    let mut history = History::default();
    // What leaves say counts only once the signed root vouches for them: until then, a broken leaf or promise is kept.
    let mut broken = None;
    let tree = recompute(&directory, size, |index, entry| {
        if broken.is_none() {
            broken = read_leaf(&mut history, index, entry).err();
        }
    })?;
    if tree.root() != checkpoint.root {
        return Err(VerifyError::RootMismatch);
    }
    if let Some(broken) = broken {
        return Err(broken);
    }

    let mut notes = history.notes();
    for (name, text) in [(VERIFIER_KEY, verifier_key_text(key)), (README, readme_text(key.name()))] {
        match directory.read_exact(name, text.len()) {
            Ok(found) if found == text.as_bytes() => {}
            Err(VerifyError::Missing { .. }) => notes.push(format!("the file {name} is missing; it is not needed")),
            Ok(_) | Err(VerifyError::Length { .. }) => return Err(VerifyError::Altered { path: directory.path(name) }),
            Err(other) => return Err(other),
        }
    }
    notes.extend(directory.strays(size)?);
    let Checkpoint { origin, size, root } = checkpoint;
    Ok(Report {
        origin,
        size,
        root,
        first: history.first(),
        last: history.last(),
        counts: history.into_counts(),
        notes,
    })
}

/// Cheap before dear: a checkpoint that claims more than is there is refused before anything is read.
fn demand_last_files(directory: &Directory, size: u64) -> Result<(), VerifyError> {
    let (full, partial) = tiles_at(0, size);
    match (full.checked_sub(1), partial) {
        (None, 0) => Ok(()),
        (Some(last), 0) => directory.demand(&entries_path(last, WIDTH)),
        (_, width) => directory.demand(&entries_path(full, width)),
    }
}

/// Recomputes the tree from the entry bundles and compares every tile with it.
fn recompute(
    directory: &Directory,
    size: u64,
    mut entry_read: impl FnMut(u64, &[u8]),
) -> Result<TileStack, VerifyError> {
    let mut stack = TileStack::new();
    while stack.size() < size {
        let index = stack.size() / WIDTH as u64;
        let width = WIDTH.min(usize::try_from(size - stack.size()).unwrap_or(WIDTH));
        let path = entries_path(index, width);
        let bundle = directory.read_up_to(&path, MAX_BUNDLE_BYTES)?;
        let entries =
            entries(&bundle, width).map_err(|source| VerifyError::Bundle { path: directory.path(&path), source })?;
        for entry in entries {
            entry_read(stack.size(), entry);
            stack.push(leaf_hash(entry), |level, index, hashes| compare_tile(directory, level, index, hashes))?;
        }
    }
    for (level, index, hashes) in stack.partial() {
        compare_tile(directory, level, index, hashes)?;
    }
    Ok(stack)
}

fn compare_tile(directory: &Directory, level: u8, index: u64, hashes: &[Hash]) -> Result<(), VerifyError> {
    let path = tile_path(level, index, hashes.len());
    let expected = tile_bytes(hashes);
    if directory.read_exact(&path, expected.len())? == expected {
        Ok(())
    } else {
        Err(VerifyError::TileMismatch { path: directory.path(&path) })
    }
}

fn read_leaf(history: &mut History, index: u64, entry: &[u8]) -> Result<(), VerifyError> {
    let (sequence, event) = leaf::decode(entry).map_err(|source| VerifyError::Leaf { index, source })?;
    if sequence != index {
        return Err(VerifyError::WrongSequence { index, found: sequence });
    }
    history.add(index, event)
}
