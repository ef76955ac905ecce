//! May this root be signed in a ceremony? The only place where a root key gets a permit.

use crate::domain::name::{Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::permit::{Ceremony, Permit};
use crate::domain::public_key::PublicKey;
use crate::domain::root::VerifiedRoot;
use crate::domain::time::Instant;

/// A proposed root as a ceremony weighs it: read, not yet signed by enough keys.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// What it says.
    pub root: &'a VerifiedRoot,
    /// The root before it, verified; `None` for the first.
    pub previous: Option<&'a VerifiedRoot>,
    /// The newest root that the holder's medium remembers to have signed, if it remembers one.
    pub signed_before: Option<SignedBefore>,
}

/// A root that a key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBefore {
    /// Its version.
    pub version: Version,
    /// SHA-256 of the canonical bytes of `signed`.
    pub signed_digest: Sha256Digest,
}

/// Allows a key to sign a proposed root when the root itself or the one before it lists the key for root, the version is
/// the next one (1 for the first), it is not expired, and the key signed no other root in its place.
///
/// Denials: `root-version`, `malformed` for bytes that are not the proposal's, `expired`, `role-set`, `rollback`,
/// `equivocation`, `key-not-listed`.
pub fn permit_root(
    proposal: Proposal<'_>,
    signed_digest: Sha256Digest,
    key: &PublicKey,
    now: Instant,
) -> Result<Permit<Ceremony>, Denial> {
    let Proposal { root, previous, signed_before } = proposal;
    let id = key.id();
    check_version(root, previous)?;
    if root.signed_digest != signed_digest {
        return Err(Denial::new(Reason::Malformed, "the proposal and the bytes to sign differ"));
    }
    check_expiry(root, now)?;
    check_separation(root)?;
    if let Some(before) = signed_before {
        check_signed_before(root, previous, before)?;
    }
    let listed = |candidate: &VerifiedRoot| candidate.lists(&Role::Root, &id);
    if listed(root) || previous.is_some_and(listed) {
        return Ok(Permit::issue(key.clone(), signed_digest, None));
    }
    Err(Denial::new(Reason::KeyNotListed, format!("neither this root nor the one before it lists key {id} for root")))
}

/// Refuses a root that has expired already.
pub fn check_expiry(root: &VerifiedRoot, now: Instant) -> Result<(), Denial> {
    if root.expires.seconds_since(now) > 0 {
        return Ok(());
    }
    Err(Denial::new(Reason::Expired, format!("root {} expires {}, now is {now}", root.version, root.expires)))
}

/// Refuses a root that gives a root key to a role that signs online by its nature. Root and targets may share holders:
/// published repositories do, and sign both in ceremonies.
pub fn check_separation(root: &VerifiedRoot) -> Result<(), Denial> {
    for role in [Role::Snapshot, Role::Timestamp] {
        let online = root.roles.get(&role).into_iter().flat_map(|role| role.keys.keys());
        if let Some(key) = online.into_iter().find(|key| root.lists(&Role::Root, key)) {
            return Err(Denial::new(Reason::RoleSet, format!("key {key} is listed for root and for {role}")));
        }
    }
    Ok(())
}

fn check_version(root: &VerifiedRoot, previous: Option<&VerifiedRoot>) -> Result<(), Denial> {
    let before = previous.map_or(0, |previous| previous.version.get());
    if root.version.get() == before + 1 {
        return Ok(());
    }
    let detail = match previous {
        Some(previous) => format!("the root before it has version {}, this one has {}", previous.version, root.version),
        None => format!("a first root has version 1, this one has {}", root.version),
    };
    Err(Denial::new(Reason::RootVersion, detail))
}

/// A key that signs two roots of one version makes a fork, which every client would follow a different way.
fn check_signed_before(
    root: &VerifiedRoot,
    previous: Option<&VerifiedRoot>,
    before: SignedBefore,
) -> Result<(), Denial> {
    let SignedBefore { version, signed_digest } = before;
    if root.version < version {
        let detail = format!("this holder signed root {version}, this is root {}", root.version);
        return Err(Denial::new(Reason::Rollback, detail));
    }
    if root.version == version && root.signed_digest != signed_digest {
        let detail = format!("this holder signed another root {version}, with digest {signed_digest}");
        return Err(Denial::new(Reason::Equivocation, detail));
    }
    match previous {
        Some(previous) if previous.version == version && previous.signed_digest != signed_digest => {
            let detail = format!("the root {version} that was shown is not the root {version} that this holder signed");
            Err(Denial::new(Reason::Equivocation, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;
    use crate::domain::root::RoleKeys;

    const NOW: Instant = Instant::from_unix(1_000);

    fn key(seed: u8) -> PublicKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap()
    }

    fn root(version: u64, holders: &[&PublicKey], timestamp: &PublicKey) -> VerifiedRoot {
        let role = |keys: &[&PublicKey]| RoleKeys {
            threshold: 1,
            keys: keys.iter().map(|key| (key.id(), key.id().to_string())).collect(),
        };
        VerifiedRoot {
            version: Version::new(version).unwrap(),
            expires: NOW.plus_seconds(1),
            signed_digest: Sha256Digest::of(format!("root {version}").as_bytes()),
            file_digest: Sha256Digest::of(b"file"),
            roles: BTreeMap::from([(Role::Root, role(holders)), (Role::Timestamp, role(&[timestamp]))]),
        }
    }

    fn decide(
        root: &VerifiedRoot,
        previous: Option<&VerifiedRoot>,
        signed_before: Option<SignedBefore>,
        key: &PublicKey,
    ) -> Option<Reason> {
        let proposal = Proposal { root, previous, signed_before };
        permit_root(proposal, root.signed_digest, key, NOW).err().map(|denial| denial.reason)
    }

    fn signed(root: &VerifiedRoot) -> Option<SignedBefore> {
        Some(SignedBefore { version: root.version, signed_digest: root.signed_digest })
    }

    #[test]
    fn a_key_of_the_old_or_of_the_new_root_signs_the_next_version_and_nobody_else() {
        let [old, new, stranger, online] = [1, 2, 3, 4].map(key);
        let (first, second, third) = (root(1, &[&old], &online), root(2, &[&new], &online), root(3, &[&new], &online));
        assert_eq!(decide(&first, None, None, &old), None);
        assert_eq!(decide(&second, Some(&first), signed(&first), &old), None);
        assert_eq!(decide(&second, Some(&first), None, &new), None);
        assert_eq!(decide(&second, Some(&first), None, &stranger), Some(Reason::KeyNotListed));
        assert_eq!(decide(&second, Some(&first), None, &online), Some(Reason::KeyNotListed));
        assert_eq!(decide(&second, None, None, &new), Some(Reason::RootVersion));
        assert_eq!(decide(&third, Some(&first), None, &new), Some(Reason::RootVersion));
        assert_eq!(decide(&second, Some(&second), None, &new), Some(Reason::RootVersion));
    }

    #[test]
    fn the_permit_is_for_the_bytes_of_the_proposal() {
        let (holder, online) = (key(1), key(2));
        let first = root(1, &[&holder], &online);
        let proposal = Proposal { root: &first, previous: None, signed_before: None };
        let other = permit_root(proposal, Sha256Digest::of(b"other"), &holder, NOW).unwrap_err();
        assert_eq!(other.reason, Reason::Malformed);
        let permit = permit_root(proposal, first.signed_digest, &holder, NOW).unwrap();
        assert!(permit.redeem(b"other").is_err());
        assert!(permit_root(proposal, first.signed_digest, &holder, NOW).unwrap().redeem(b"root 1").is_ok());
    }

    #[test]
    fn an_expired_root_and_a_root_key_that_signs_online_are_refused() {
        let (holder, online) = (key(1), key(2));
        let mut first = root(1, &[&holder], &online);
        first.expires = NOW;
        assert_eq!(decide(&first, None, None, &holder), Some(Reason::Expired));
        assert_eq!(decide(&root(1, &[&holder], &holder), None, None, &holder), Some(Reason::RoleSet));
    }

    #[test]
    fn a_holder_signs_one_root_of_a_version_and_what_follows_from_it() {
        let (holder, online) = (key(1), key(2));
        let (first, second) = (root(1, &[&holder], &online), root(2, &[&holder], &online));
        let other = |root: &VerifiedRoot| {
            let mut other = root.clone();
            other.signed_digest = Sha256Digest::of(b"other");
            other
        };
        assert_eq!(decide(&first, None, signed(&first), &holder), None, "the same again");
        assert_eq!(decide(&first, None, signed(&other(&first)), &holder), Some(Reason::Equivocation));
        assert_eq!(decide(&first, None, signed(&second), &holder), Some(Reason::Rollback));
        let swapped = decide(&second, Some(&other(&first)), signed(&first), &holder);
        assert_eq!(swapped, Some(Reason::Equivocation));
    }
}
