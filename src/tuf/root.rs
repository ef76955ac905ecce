//! Roots: reading them, verifying a chain, counting signatures. (`law.md` section 4; TUF specification 1.0.34, sections
//! 4.3 and 5.3)
//!
//! Thresholds are counted by distinct public keys, never by key ids: one key listed under two ids signs once. A key id
//! need not follow from its key (TAP 12). Expiry is not looked at: an intermediate root may be expired, and a rescue must
//! not wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::name::{MetadataType, Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::PAYLOAD_BYTES;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::root::{RoleKeys, VerifiedRoot};
use crate::domain::signature::Signature;

use super::canonical::{Limits, Object, Value, encode, parse_canonical};
use super::envelope::Envelope;
use super::fields::{key_ids, malformed, object, read_header, read_type, shown, threshold, unreadable};
use super::key_id::read_key;

/// The largest file of a root, in bytes.
pub const MAX_ROOT_BYTES: usize = PAYLOAD_BYTES;

const TOP_LEVEL: [Role; 4] = [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp];

/// Verifies a root by its own threshold, for a repository that has none yet. Whoever calls holds a pin against its digest.
///
/// Denials: `root-unverified` with counts; those of [`RootFile::parse`].
pub fn verify_first(file: &[u8]) -> Result<VerifiedRoot, Denial> {
    let root = RootFile::parse(file)?;
    check_signed(&root, &root)?;
    Ok(root.root)
}

/// Verifies the root that follows a trusted one: exactly the next version, signed by the thresholds of both. The
/// signatures of `previous_file` are not checked again.
///
/// Denials: `root-version`, `root-unverified` with counts; those of [`RootFile::parse`].
pub fn verify_successor(previous_file: &[u8], file: &[u8]) -> Result<VerifiedRoot, Denial> {
    let (previous, root) = (RootFile::parse(previous_file)?, RootFile::parse(file)?);
    if root.root.version.get() != previous.root.version.get() + 1 {
        let detail = format!("root {} does not follow root {}", root.root.version, previous.root.version);
        return Err(Denial::new(Reason::RootVersion, detail));
    }
    check_signed(&previous, &root)?;
    check_signed(&root, &root)?;
    Ok(root.root)
}

/// Verifies a root of the trusted root's own version, under both: other bytes are then a fork, which the law latches.
///
/// Denials: `root-version`, `root-unverified` with counts; those of [`RootFile::parse`].
pub fn verify_same_version(trusted_file: &[u8], file: &[u8]) -> Result<VerifiedRoot, Denial> {
    let (trusted, root) = (RootFile::parse(trusted_file)?, RootFile::parse(file)?);
    if root.root.version != trusted.root.version {
        let detail = format!("root {} is not of version {}", root.root.version, trusted.root.version);
        return Err(Denial::new(Reason::RootVersion, detail));
    }
    check_signed(&trusted, &root)?;
    check_signed(&root, &root)?;
    Ok(root.root)
}

/// Reads the canonical bytes of a proposed root in a ceremony. **No signature is checked**; both digests are those of
/// these bytes.
///
/// Denials: `payload-too-large`, `not-canonical`; those of [`RootFile::parse`].
pub fn read_unsigned(signed_bytes: &[u8]) -> Result<VerifiedRoot, Denial> {
    RootFile::from_signed(signed_bytes).map(|file| file.root)
}

/// How many signatures of a file are valid ones of distinct public keys that a root lists for a role.
pub fn signature_count(root: &RootFile, role: &Role, envelope: &Envelope) -> SignatureCount {
    let mut valid = BTreeSet::new();
    let mut missing = BTreeMap::new();
    let mut of = 0;
    for listed in root.signers.get(role).into_iter().flatten() {
        let signed = listed.key.as_ref().filter(|key| is_signed_by(&listed.tuf_key_id, key, envelope));
        match signed {
            Some(key) => {
                valid.insert(key.id());
            }
            None => {
                missing.insert(listed.tuf_key_id.clone(), listed.key.as_ref().map(PublicKey::id));
            }
        }
        of += 1;
    }
    // A key that signed under one of its two ids is not missing.
    missing.retain(|_, key| key.is_none_or(|key| !valid.contains(&key)));
    let threshold = root.root.roles.get(role).map_or(u64::MAX, |keys| keys.threshold);
    SignatureCount { valid, missing, threshold, listed: of }
}

/// What [`signature_count`] counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureCount {
    /// The public keys whose signatures are valid.
    pub valid: BTreeSet<KeyId>,
    /// The TUF key ids that have not signed validly; `None` for a key that sealward cannot read.
    pub missing: BTreeMap<String, Option<KeyId>>,
    /// How many must sign.
    pub threshold: u64,
    /// How many key ids the role lists.
    pub listed: usize,
}

impl SignatureCount {
    /// Whether enough keys signed.
    pub fn is_met(&self) -> bool {
        u64::try_from(self.valid.len()).is_ok_and(|valid| valid >= self.threshold)
    }
}

impl fmt::Display for SignatureCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} valid", self.valid.len(), self.threshold)
    }
}

/// A root as it was read, with the public keys that check what is signed under it. Reading verifies nothing.
#[derive(Clone, Debug)]
pub struct RootFile {
    envelope: Envelope,
    root: VerifiedRoot,
    signers: BTreeMap<Role, Vec<Listed>>,
}

/// A key of a role in the order of the root.
#[derive(Clone, Debug)]
struct Listed {
    tuf_key_id: String,
    key: Option<PublicKey>,
}

impl RootFile {
    /// Reads a published or half-signed file of at most [`MAX_ROOT_BYTES`].
    ///
    /// The four top-level roles are there, their key ids stand in `keys`, thresholds are from 1 to the number of distinct
    /// keys. Keys that sealward cannot read count as keys that never sign.
    ///
    /// Denials: `payload-too-large`, `malformed-metadata`, `spec-version`, `version-invalid`, `expiry-format`.
    pub fn parse(file: &[u8]) -> Result<Self, Denial> {
        Self::read(Envelope::parse(file, MAX_ROOT_BYTES)?, Sha256Digest::of(file))
    }

    /// Reads the canonical bytes of `signed` alone, as a file without signatures.
    ///
    /// Denials: `not-canonical`; those of [`Self::parse`].
    pub fn from_signed(signed: &[u8]) -> Result<Self, Denial> {
        let value = parse_canonical(signed, Limits::of_bytes(MAX_ROOT_BYTES))
            .map_err(|error| unreadable("the root", error, Reason::NotCanonical))?;
        let envelope = Envelope { signed: signed.to_vec(), value, signatures: Vec::new() };
        Self::read(envelope, Sha256Digest::of(signed))
    }

    /// What it says.
    pub fn root(&self) -> &VerifiedRoot {
        &self.root
    }

    /// The file's parts.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The public keys of a role by TUF key id, as far as sealward can read them.
    pub fn public_keys(&self, role: &Role) -> BTreeMap<&str, &PublicKey> {
        let listed = self.signers.get(role).into_iter().flatten();
        listed.filter_map(|listed| Some((listed.tuf_key_id.as_str(), listed.key.as_ref()?))).collect()
    }

    /// How many key ids a role lists, with those of keys that sealward cannot read.
    pub fn listed_key_ids(&self, role: &Role) -> usize {
        self.signers.get(role).map_or(0, Vec::len)
    }

    fn read(envelope: Envelope, file_digest: Sha256Digest) -> Result<Self, Denial> {
        let signed = envelope.value.as_object().ok_or_else(|| malformed("signed is no object"))?;
        let metadata_type = read_type(signed)?;
        if metadata_type != MetadataType::Root {
            return Err(malformed(format!("_type is {metadata_type}, not root")));
        }
        let header = read_header(signed)?;
        let (keys, named) = (object(signed, "keys")?, object(signed, "roles")?);
        let mut roles = BTreeMap::new();
        let mut signers = BTreeMap::new();
        for role in TOP_LEVEL {
            let (role_keys, listed) = read_role(named, &role, keys)?;
            roles.insert(role.clone(), role_keys);
            signers.insert(role, listed);
        }
        let signed_digest = Sha256Digest::of(&envelope.signed);
        let root = VerifiedRoot { version: header.version, expires: header.expires, signed_digest, file_digest, roles };
        Ok(Self { envelope, root, signers })
    }
}

fn read_role(roles: &Object, role: &Role, keys: &Object) -> Result<(RoleKeys, Vec<Listed>), Denial> {
    let name = role.as_str();
    let entry = object(roles, name)?;
    let mut listed = Vec::new();
    let mut readable: BTreeMap<KeyId, String> = BTreeMap::new();
    let mut unreadable: BTreeSet<Vec<u8>> = BTreeSet::new();
    for id in key_ids(entry, name, keys)? {
        let object = keys.get(id).unwrap_or(&Value::Null);
        if object.as_object().is_none() {
            return Err(malformed(format!("key `{}` is no object", shown(id))));
        }
        let key = read_key(object);
        match &key {
            // The first of two ids is the one under which we sign.
            Some(key) => {
                readable.entry(key.id()).or_insert_with(|| id.to_owned());
            }
            None => {
                unreadable.insert(encode(object));
            }
        }
        listed.push(Listed { tuf_key_id: id.to_owned(), key });
    }
    let threshold = threshold(entry, name)?;
    let distinct = readable.len() + unreadable.len();
    if u64::try_from(distinct).is_ok_and(|distinct| threshold > distinct) {
        return Err(malformed(format!("the threshold of {name} is {threshold}, of {distinct} distinct keys")));
    }
    Ok((RoleKeys { threshold, keys: readable }, listed))
}

fn check_signed(by: &RootFile, root: &RootFile) -> Result<(), Denial> {
    let count = signature_count(by, &Role::Root, &root.envelope);
    if count.is_met() {
        return Ok(());
    }
    let detail = format!(
        "root {} has {} of {} valid signatures by keys of root {}",
        root.root.version,
        count.valid.len(),
        count.threshold,
        by.root.version
    );
    Err(Denial::new(Reason::RootUnverified, detail))
}

pub(super) fn is_signed_by(tuf_key_id: &str, key: &PublicKey, envelope: &Envelope) -> bool {
    let signature = envelope.signatures.iter().find(|one| one.key_id == tuf_key_id);
    signature
        .and_then(|one| Signature::from_der(key.algorithm(), &one.signature).ok())
        .is_some_and(|signature| key.verify(&envelope.signed, &signature).is_ok())
}

#[cfg(test)]
mod tests;
