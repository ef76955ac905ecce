//! May this root be signed in a ceremony? The only place where a root key gets a permit.

use crate::domain::name::{Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::permit::{Ceremony, Permit};
use crate::domain::public_key::PublicKey;
use crate::domain::root::VerifiedRoot;

/// A proposed root as a ceremony weighs it: read, not yet signed by enough keys.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// What it says.
    pub root: &'a VerifiedRoot,
    /// The root before it, verified; `None` for the first.
    pub previous: Option<&'a VerifiedRoot>,
}

/// Allows a key to sign a proposed root when the root itself or the one before it lists the key for root, and the
/// version is the next one.
pub fn permit_root(
    proposal: Proposal<'_>,
    signed_digest: Sha256Digest,
    key: &PublicKey,
) -> Result<Permit<Ceremony>, Denial> {
    let Proposal { root, previous } = proposal;
    let id = key.id();
    if let Some(previous) = previous
        && root.version.get() != previous.version.get() + 1
    {
        let detail = format!("the root before it has version {}, this one has {}", previous.version, root.version);
        return Err(Denial::new(Reason::RootVersion, detail));
    }
    if root.signed_digest != signed_digest {
        return Err(Denial::new(Reason::Malformed, "the proposal and the bytes to sign differ"));
    }
    let listed = |candidate: &VerifiedRoot| candidate.lists(&Role::Root, &id);
    if listed(root) || previous.is_some_and(listed) {
        return Ok(Permit::issue(key.clone(), signed_digest, None));
    }
    Err(Denial::new(Reason::KeyNotListed, format!("neither this root nor the one before it lists key {id} for root")))
}
