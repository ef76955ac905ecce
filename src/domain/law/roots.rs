//! Staging and publishing a root; seeding a guard from published metadata. (`law.md` sections 2 and 4)

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::guard::{Guard, GuardName, Head};
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::sign::Delegators;
use crate::domain::name::{Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::{Custody, RepositoryPolicy};
use crate::domain::public_key::KeyId;
use crate::domain::root::{Roots, VerifiedRoot};
use crate::domain::statement::Statement;
use crate::domain::time::Instant;

/// What is known of a repository when a root is shown to it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its policy.
    pub policy: &'a RepositoryPolicy,
    /// Its keys.
    pub keys: &'a [KeyRecord],
    /// Its roots.
    pub roots: &'a Roots,
    /// Every public key that any keystore of this daemon holds.
    pub held: &'a BTreeSet<KeyId>,
    /// The time of the decision.
    pub now: Instant,
}

/// What follows from a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootDecision {
    /// The roots and key records after it, in one transaction.
    Accepted {
        /// The roots.
        roots: Roots,
        /// Key records whose state changes.
        keys: Vec<KeyRecord>,
    },
    /// It stands already.
    Unchanged,
    /// A verified root of the trusted version with other bytes: the repository latches.
    Fork {
        /// The roots, latched.
        roots: Roots,
    },
}

/// Decides about a root that is not yet out. `candidate` was verified by both thresholds, or by its own when there is no
/// trusted root; in that case the pin decides.
pub fn stage(
    candidate: VerifiedRoot,
    pin: Option<Sha256Digest>,
    retire: &BTreeSet<KeyId>,
    known: Known<'_>,
) -> Result<RootDecision, Denial> {
    check_not_latched(known.roots)?;
    check_no_offline_key_here(&candidate, known)?;
    match &known.roots.trusted {
        None => {
            check_pin(&candidate, pin)?;
            check_lists_active(&candidate, retire, known)?;
        }
        Some(trusted) if candidate.version == trusted.version => {
            return Ok(same_version(&candidate, trusted, known.roots));
        }
        Some(trusted) if candidate.version.get() != trusted.version.get() + 1 => {
            let detail = format!("trusted is root {}, this is root {}", trusted.version, candidate.version);
            return Err(Denial::new(Reason::RootVersion, detail));
        }
        Some(_) => {}
    }
    if known.roots.staged.as_ref() == Some(&candidate) {
        return Ok(RootDecision::Unchanged);
    }
    let (keys, activated) = after_staging(&candidate, known);
    let revision = known.roots.revision + 1;
    let roots = Roots { staged: Some(candidate), activated, revision, ..known.roots.clone() };
    Ok(RootDecision::Accepted { roots, keys })
}

/// Takes a staged root back, and undoes what it did to keys. `digest` is the staged file's, when the caller names it.
pub fn withdraw(digest: Option<Sha256Digest>, known: Known<'_>) -> Result<RootDecision, Denial> {
    check_not_latched(known.roots)?;
    let Some(staged) = &known.roots.staged else { return Ok(RootDecision::Unchanged) };
    if digest.is_some_and(|digest| digest != staged.file_digest) {
        let detail = format!("staged is root {} with digest {}", staged.version, staged.file_digest);
        return Err(Denial::new(Reason::RootNotStaged, detail));
    }
    let before = |key: &KeyRecord| {
        let state = state_before_staging(key, known.roots);
        (state != key.state).then(|| key.with_state(state, known.now))
    };
    let roots =
        Roots { staged: None, activated: BTreeSet::new(), revision: known.roots.revision + 1, ..known.roots.clone() };
    Ok(RootDecision::Accepted { roots, keys: known.keys.iter().filter_map(before).collect() })
}

/// Records that a root is out, and promotes it. It must be the staged one, or a pinned first root.
pub fn publish(
    candidate: VerifiedRoot,
    pin: Option<Sha256Digest>,
    retire: &BTreeSet<KeyId>,
    known: Known<'_>,
) -> Result<RootDecision, Denial> {
    check_not_latched(known.roots)?;
    if let Some(trusted) = &known.roots.trusted
        && candidate.version == trusted.version
    {
        return Ok(same_version(&candidate, trusted, known.roots));
    }
    let (known_keys, revision) = match &known.roots.staged {
        // A file that carries more signatures than the staged one is the same root.
        Some(staged) if staged.signed_digest == candidate.signed_digest => (known.keys.to_vec(), known.roots.revision),
        None if known.roots.trusted.is_none() => match stage(candidate.clone(), pin, retire, known)? {
            RootDecision::Accepted { roots, keys } => (merged(known.keys, &keys), roots.revision),
            other => return Ok(other),
        },
        _ => {
            let detail = format!("root {} is not the staged root", candidate.version);
            return Err(Denial::new(Reason::RootNotStaged, detail));
        }
    };
    check_no_offline_key_here(&candidate, known)?;
    let keys: Vec<_> = known_keys
        .iter()
        .map(|key| match key.state {
            KeyState::Retiring => key.with_state(KeyState::Retired, known.now),
            _ => key.clone(),
        })
        .filter(|key| !known.keys.contains(key))
        .collect();
    let roots = Roots {
        trusted: Some(candidate),
        staged: None,
        activated: BTreeSet::new(),
        revision: revision + 1,
        ..known.roots.clone()
    };
    Ok(RootDecision::Accepted { roots, keys })
}

/// Every key that may have released for a role before it is seeded: those that the trusted root, or what the role's
/// delegators released here, lists for it.
pub fn may_have_released(role: &Role, roots: &Roots, guards: &BTreeMap<Role, Guard>) -> BTreeSet<KeyId> {
    let by_root = roots.trusted.iter().filter_map(|root| root.roles.get(role));
    let by_delegators = Delegators::of(guards, role).listing.into_iter().map(|(_, signers)| signers);
    by_root.chain(by_delegators).flat_map(|signers| signers.keys.keys().copied()).collect()
}

/// Decides about seeding a guard from metadata that `tuf` verified under the trusted root. Which of the keys that it `listed`
/// for the role released before is not known here: each of them may have.
pub fn seed(
    name: &GuardName,
    statement: &Statement,
    existing: Option<&Guard>,
    policy: &RepositoryPolicy,
    listed: BTreeSet<KeyId>,
    now: Instant,
    by: String,
) -> Result<Guard, Denial> {
    crate::domain::law::sign::role_limits(policy, &name.repository, &name.role)?;
    if statement.metadata_type() != name.role.metadata_type() {
        let detail = format!("the file is of type {}, the guard is of {}", statement.metadata_type(), name.role);
        return Err(Denial::new(Reason::WrongRole, detail));
    }
    let seeded = Guard { signers: listed, ..Guard::seeded_from(name.clone(), statement, now, by) };
    match (existing, existing.and_then(|guard| guard.head.as_ref())) {
        (Some(guard), _) if guard.name.epoch > 1 => {
            Err(Denial::new(Reason::AlreadySeeded, format!("the guard of {name} began by a recovery")))
        }
        (Some(guard), Some(head)) => raised(guard, head, statement, seeded),
        (Some(guard), None) => Ok(Guard { revision: guard.revision + 1, ..seeded }),
        (None, _) => Ok(seeded),
    }
}

/// Published metadata is a floor: it raises a guard that stands lower, and never lowers one.
fn raised(guard: &Guard, head: &Head, statement: &Statement, seeded: Guard) -> Result<Guard, Denial> {
    let (name, version) = (&guard.name, statement.version());
    if version == head.version && statement.digest() != head.digest {
        let detail = format!(
            "{} {version} was released here with digest {}, and published with {}: somebody else signs with these keys",
            name.role,
            head.digest,
            statement.digest()
        );
        return Err(Denial::new(Reason::Equivocation, detail));
    }
    if version <= head.version {
        let detail = format!("the guard of {name} stands at {}, the file is {version}", head.version);
        return Err(Denial::new(Reason::AlreadySeeded, detail));
    }
    // What others released may have jumped; what it lists does not fall all the same.
    guard.check_listing(&head.listing, statement.listing(), u64::MAX, u64::MAX)?;
    let mut released = guard.released.clone();
    released.insert(version, statement.digest());
    let signers = guard.signers.union(&seeded.signers).copied().collect();
    Ok(Guard {
        head: seeded.head,
        previous_listing: head.listing.clone(),
        released,
        signers,
        revision: guard.revision.saturating_add(1),
        ..guard.clone()
    })
}

fn check_not_latched(roots: &Roots) -> Result<(), Denial> {
    match roots.fork {
        None => Ok(()),
        Some(other) => {
            Err(Denial::new(Reason::Latched, format!("a second root of the trusted version was shown: {other}")))
        }
    }
}

fn same_version(candidate: &VerifiedRoot, trusted: &VerifiedRoot, roots: &Roots) -> RootDecision {
    if candidate.signed_digest == trusted.signed_digest {
        return RootDecision::Unchanged;
    }
    let roots = Roots { fork: Some(candidate.file_digest), revision: roots.revision + 1, ..roots.clone() };
    RootDecision::Fork { roots }
}

fn check_pin(candidate: &VerifiedRoot, pin: Option<Sha256Digest>) -> Result<(), Denial> {
    match pin {
        Some(pin) if pin == candidate.file_digest => Ok(()),
        Some(pin) => {
            let detail = format!("the pin is {pin}, the file has {}", candidate.file_digest);
            Err(Denial::new(Reason::RootPin, detail))
        }
        None => Err(Denial::new(Reason::RootPin, format!("no pin was given; the file has {}", candidate.file_digest))),
    }
}

/// Listed for each of its roles: one that is left out would stop signing without a word.
fn check_lists_active(candidate: &VerifiedRoot, retire: &BTreeSet<KeyId>, known: Known<'_>) -> Result<(), Denial> {
    for key in known.keys.iter().filter(|key| state_before_staging(key, known.roots) == KeyState::Active) {
        let id = key.id();
        let omits = |role: &&Role| !matches!(role, Role::Delegated(_)) && !candidate.lists(role, &id);
        let omitted: Vec<_> = key.roles.iter().filter(omits).map(Role::as_str).collect();
        if !omitted.is_empty() && !retire.contains(&id) {
            return Err(Denial::new(Reason::RootOmitsKey, format!("active key {id} of {}", omitted.join(" and "))));
        }
    }
    Ok(())
}

/// No key that a root gives to root, or to an offline role, is within reach of this daemon.
fn check_no_offline_key_here(candidate: &VerifiedRoot, known: Known<'_>) -> Result<(), Denial> {
    for (role, keys) in &candidate.roles {
        let offline =
            *role == Role::Root || known.policy.role(role).is_some_and(|limits| limits.custody == Custody::Offline);
        let here = |id: &&KeyId| known.held.contains(id) || known.keys.iter().any(|key| key.id() == **id);
        if offline && let Some(id) = keys.keys.keys().find(here) {
            return Err(Denial::new(Reason::RootListsKeyHere, format!("key {id}, listed for {role}")));
        }
    }
    Ok(())
}

/// Listed for one of its roles at least; for which, the law asks at each signature.
fn is_listed(root: &VerifiedRoot, key: &KeyRecord) -> bool {
    let id = key.id();
    key.roles.iter().any(|role| root.lists(role, &id))
}

/// Where a key stood before the root that is staged now: what that one did is undone when another takes its place.
fn state_before_staging(key: &KeyRecord, roots: &Roots) -> KeyState {
    match key.state {
        KeyState::Retiring => KeyState::Active, // nothing but a staged root makes a key retiring
        KeyState::Active if roots.activated.contains(&key.id()) => KeyState::Pending,
        state => state,
    }
}

/// Key states under a staged root, and the keys that it made active.
fn after_staging(candidate: &VerifiedRoot, known: Known<'_>) -> (Vec<KeyRecord>, BTreeSet<KeyId>) {
    let mut changed = Vec::new();
    let mut activated = BTreeSet::new();
    for key in known.keys {
        if key.roles.iter().all(|role| matches!(role, Role::Delegated(_))) {
            continue; // a root says nothing about them
        }
        let state = match (state_before_staging(key, known.roots), is_listed(candidate, key)) {
            (KeyState::Pending, true) => {
                activated.insert(key.id());
                KeyState::Active
            }
            (KeyState::Active, false) => KeyState::Retiring,
            (unchanged, _) => unchanged,
        };
        if state != key.state {
            changed.push(key.with_state(state, known.now));
        }
    }
    (changed, activated)
}

fn merged(keys: &[KeyRecord], changed: &[KeyRecord]) -> Vec<KeyRecord> {
    let newer = |key: &KeyRecord| changed.iter().find(|other| other.id() == key.id()).cloned();
    keys.iter().map(|key| newer(key).unwrap_or_else(|| key.clone())).collect()
}
