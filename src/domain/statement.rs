//! What a payload says: the part of metadata that the law weighs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::delegation::Delegations;
use super::key::ContentKind;
use super::name::{MetadataType, Sha256Digest, Version};
use super::time::Instant;

/// One entry of a snapshot's or timestamp's `meta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// The listed version.
    pub version: Version,
    /// Length in bytes, where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// SHA-256 of the file, where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// Whether hashes of other algorithms are given, which nobody here computes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_hashes: bool,
}

/// What a snapshot or timestamp lists, by file name such as `targets.json`. Empty for other types.
pub type Listing = BTreeMap<String, ListedFile>;

/// What was read from a payload. Only the rooms that read bytes (`tuf`, later `content`) construct one; the
/// architecture test watches [`Statement::read_by_content_room`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    kind: ContentKind,
    metadata_type: MetadataType,
    version: Version,
    expires: Instant,
    listing: Listing,
    delegations: Option<Delegations>,
    digest: Sha256Digest,
    length: usize,
}

impl Statement {
    /// For the rooms that read bytes, and for nobody else.
    pub fn read_by_content_room(
        kind: ContentKind,
        metadata_type: MetadataType,
        version: Version,
        expires: Instant,
        listing: Listing,
        delegations: Option<Delegations>,
        payload: &[u8],
    ) -> Self {
        let digest = Sha256Digest::of(payload);
        Self { kind, metadata_type, version, expires, listing, delegations, digest, length: payload.len() }
    }

    /// How it was read.
    pub fn kind(&self) -> ContentKind {
        self.kind
    }

    /// `_type`.
    pub fn metadata_type(&self) -> MetadataType {
        self.metadata_type
    }

    /// `version`.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `expires`.
    pub fn expires(&self) -> Instant {
        self.expires
    }

    /// What `meta` lists.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// What targets metadata delegates, where it has the member.
    pub fn delegations(&self) -> Option<&Delegations> {
        self.delegations.as_ref()
    }

    /// SHA-256 of the payload's bytes.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The payload's length in bytes.
    pub fn length(&self) -> usize {
        self.length
    }
}
