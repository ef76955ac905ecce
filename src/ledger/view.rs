//! A repository at one moment.

use std::collections::BTreeMap;

use crate::domain::approval::Pending;
use crate::domain::guard::Guard;
use crate::domain::key::KeyRecord;
use crate::domain::name::Role;
use crate::domain::root::Roots;

/// A guard of any epoch, with the payload of its head when it was small enough to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The guard.
    pub guard: Guard,
    /// The payload, which has the digest that the head says.
    pub payload: Option<Vec<u8>>,
}

/// What a decision about one repository rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Key records, by time of creation.
    pub keys: Vec<KeyRecord>,
    /// Guards in their newest epoch.
    pub guards: BTreeMap<Role, Guard>,
    /// Trusted and staged root.
    pub roots: Roots,
    /// What waits for people here, the oldest first.
    pub pending: Vec<Pending>,
}
