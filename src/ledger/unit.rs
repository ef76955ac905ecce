//! What is committed together.

use crate::domain::algorithm::Algorithm;
use crate::domain::approval::{Pending, PendingId};
use crate::domain::audit_event::Event;
use crate::domain::guard::{Guard, GuardName};
use crate::domain::key::{KeyRecord, RoleSet};
use crate::domain::law::attended::Approved;
use crate::domain::name::{KeystoreName, RepositoryName, Sha256Digest, Version};
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::switches::Switches;
use crate::domain::time::Instant;

/// One atomic change: all of it is durable, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// What must still be so. Each is the revision that the decision saw, 0 for "does not exist".
    pub expects: Vec<Expect>,
    /// What changes.
    pub changes: Vec<Change>,
    /// Audit leaves, in order.
    pub events: Vec<Event>,
    /// Units of the same submission, by index, that this one builds on.
    pub after: Vec<usize>,
}

impl Unit {
    /// Uses an approval up, with what the unit does.
    pub fn uses(&mut self, approved: Approved) {
        self.expects.push(Expect::Pending(approved.id, approved.revision));
        self.changes.push(Change::PendingEnds(approved.id));
    }
}

/// Something that a decision read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A guard's revision.
    Guard(GuardName, u64),
    /// A key record's revision.
    Key(KeyId, u64),
    /// The revision of a repository's roots.
    Roots(RepositoryName, u64),
    /// The revision of freezes, latches and the machine's mark.
    Switches(u64),
    /// The revision of what waits for people.
    Pending(PendingId, u64),
}

/// A change of what is remembered.
#[allow(clippy::large_enum_variant)] // few at a time, and on their way to the disk
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A guard as it stands from now on, with the payload of its head where that is kept.
    Guard {
        /// The guard.
        guard: Guard,
        /// Its head's payload; `None` leaves the one on record when the head is the same, and drops it otherwise.
        payload: Option<Vec<u8>>,
    },
    /// A key record, new or changed.
    Key(KeyRecord),
    /// A repository's roots.
    Roots(Roots),
    /// The file of a root.
    RootFile {
        /// The repository.
        repository: RepositoryName,
        /// Its version.
        version: Version,
        /// SHA-256 of the file.
        digest: Sha256Digest,
        /// The file.
        file: Vec<u8>,
    },
    /// Freezes, latches and the machine's mark as they stand from now on.
    Switches(Switches),
    /// A key generation begins.
    IntentBegins(Intent),
    /// Something that waits for people, new or changed.
    Pending {
        /// What waits.
        pending: Pending,
        /// What they are to read; `None` leaves what is on record.
        payload: Option<Vec<u8>>,
    },
    /// It waits no longer: used, void, or expired.
    PendingEnds(PendingId),
    /// A key generation ended, in a record or in a failure that left nothing.
    IntentEnds(String),
}

/// A key generation that was announced before a token was touched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Intent {
    /// Random, hexadecimal.
    pub id: String,
    /// Where the key is made.
    pub keystore: KeystoreName,
    /// Of which algorithm.
    pub algorithm: Algorithm,
    /// For which repository.
    pub repository: RepositoryName,
    /// For which roles.
    pub roles: RoleSet,
    /// When it began.
    pub begun: Instant,
}

/// A unit is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Index of its first leaf, or of the next one when it has none.
    pub first_leaf: u64,
    /// Size of the tree after the whole transaction.
    pub tree_size: u64,
}
