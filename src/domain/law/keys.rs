//! May this key be made, and in which state does it begin? (`law.md` sections 1 and 2)

use std::collections::BTreeMap;

use crate::domain::algorithm::Algorithm;
use crate::domain::guard::{Guard, GuardName, listed};
use crate::domain::key::{KeyRecord, KeyState, RoleSet};
use crate::domain::law::key_template::{check_allowed, check_number};
use crate::domain::law::sign::{first_epoch, role_limits};
use crate::domain::name::{KeystoreName, RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::{Custody, RepositoryPolicy, RolePolicy};
use crate::domain::public_key::PublicKey;
use crate::domain::root::Roots;

/// A key that somebody asks for.
#[derive(Clone, Debug)]
pub struct KeyRequest<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The roles that it is to be bound to.
    pub roles: &'a RoleSet,
    /// The keystore, when named.
    pub keystore: Option<KeystoreName>,
    /// The algorithm, when named.
    pub algorithm: Option<Algorithm>,
    /// Whether this begins a new repository: guards are seeded as 0.
    pub new_repository: bool,
}

/// What is known of the repository.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its policy.
    pub policy: &'a RepositoryPolicy,
    /// Its keys.
    pub keys: &'a [KeyRecord],
    /// Its guards in their newest epochs.
    pub guards: &'a BTreeMap<Role, Guard>,
    /// How many keys of it were begun and never recorded: a token may hold them.
    pub unrecorded: usize,
    /// Its roots.
    pub roots: &'a Roots,
}

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    /// Where.
    pub keystore: KeystoreName,
    /// What.
    pub algorithm: Algorithm,
    /// The state in which it begins.
    pub state: KeyState,
    /// Guards that begin with it.
    pub guards: Vec<Guard>,
    /// The snapshot's guard with its revision, where a guard begins because that never listed the role.
    pub never_listed_by: Option<(GuardName, u64)>,
    /// The largest message that the key must be able to sign, in bytes.
    pub largest_message: usize,
}

/// Decides about a new key.
pub fn plan_key(request: &KeyRequest<'_>, known: Known<'_>) -> Result<KeyPlan, Denial> {
    let KeyRequest { repository, roles, .. } = request;
    if !known.policy.allows_set(roles) {
        let names: Vec<_> = roles.iter().map(Role::as_str).collect();
        let detail = format!("role_sets of {repository} does not name {} together", names.join(", "));
        return Err(Denial::new(Reason::RoleSet, detail));
    }
    let limits = roles
        .iter()
        .map(|role| Ok((role, role_limits(known.policy, repository, role)?)))
        .collect::<Result<Vec<_>, Denial>>()?;
    let largest_message = limits.iter().map(|(_, limits)| limits.max_payload_bytes).max().unwrap_or_default();
    check_number(repository, &limits, known)?;
    let (mut guards, mut never_listed_by) = (Vec::new(), None);
    if request.new_repository {
        guards = begin(repository, known.policy, known.guards, known.roots)?;
    } else {
        for role in roles.iter().filter(|role| matches!(role, Role::Delegated(_))) {
            if let Some(snapshot) = known.guards.get(&Role::Snapshot).filter(|it| is_new_delegated(role, it, known)) {
                guards.push(Guard::seeded_as_zero(first_epoch(repository, role)));
                never_listed_by = Some((snapshot.name.clone(), snapshot.revision));
            }
        }
    }
    let keystore =
        choose("keystore", request.keystore.clone(), limits.iter().filter_map(|(_, limits)| limits.keystore.clone()))?;
    let algorithm = choose("algorithm", request.algorithm, limits.iter().filter_map(|(_, limits)| limits.algorithm))?;
    check_allowed(&limits, &keystore, algorithm)?;
    Ok(KeyPlan { keystore, algorithm, state: first_state(roles, known), guards, never_listed_by, largest_message })
}

/// The guards with which a new repository begins: one at 0 for each role that signs here. (`law.md` section 2)
pub fn begin(
    repository: &RepositoryName,
    policy: &RepositoryPolicy,
    guards: &BTreeMap<Role, Guard>,
    roots: &Roots,
) -> Result<Vec<Guard>, Denial> {
    if !guards.is_empty() || roots.revision > 0 {
        return Err(Denial::new(Reason::NotNew, format!("{repository} has a guard or a root")));
    }
    let guarded = |(role, limits): &(&Role, &RolePolicy)| limits.custody != Custody::Offline && !role.is_unguarded();
    let signing = policy.roles.iter().filter(guarded);
    Ok(signing.map(|(role, _)| Guard::seeded_as_zero(first_epoch(repository, role))).collect())
}

/// What the request names, else what the roles' policies agree on. Never one of two by chance (I10).
fn choose<T: PartialEq>(what: &str, named: Option<T>, of_policies: impl Iterator<Item = T>) -> Result<T, Denial> {
    let malformed = |why: &str| Denial::new(Reason::Malformed, format!("name the {what}: {why}"));
    if let Some(named) = named {
        return Ok(named);
    }
    let mut of_policies = of_policies;
    let first = of_policies.next().ok_or_else(|| malformed("neither request nor policy does"))?;
    if of_policies.all(|other| other == first) { Ok(first) } else { Err(malformed("the policies of the roles differ")) }
}

/// Whether a delegated role was never published: the snapshot is held here and has never listed it, and entries never
/// disappear from a snapshot. Then its guard begins as 0 with its first key. What an older signer published under a
/// snapshot that is not held here has to be seeded.
fn is_new_delegated(role: &Role, snapshot: &Guard, known: Known<'_>) -> bool {
    !role.is_unguarded()
        && !known.guards.contains_key(role)
        && snapshot.name.epoch == 1 // a recovered one may have left entries behind
        && !snapshot.withdrawn.contains_key(&format!("{role}.json"))
        && snapshot.head.as_ref().is_none_or(|head| listed(&head.listing, role).is_none())
}

/// In an unrooted repository a role's first key is active at once; elsewhere a root activates. Keys of delegated roles
/// are listed by their delegators alone, which the law asks at each signature.
fn first_state(roles: &RoleSet, known: Known<'_>) -> KeyState {
    // A key that a recovery barred signs for nobody any more, whatever its state.
    let barred = |role: &Role, key: &KeyRecord| known.guards.get(role).is_some_and(|it| it.barred.contains(&key.id()));
    let signs =
        |role: &Role, key: &KeyRecord| key.state == KeyState::Active && key.roles.contains(role) && !barred(role, key);
    let has_active = |role: &Role| known.keys.iter().any(|key| signs(role, key));
    if roles.iter().all(|role| matches!(role, Role::Delegated(_))) {
        return KeyState::Active;
    }
    if known.roots.is_unrooted() && !roles.iter().any(has_active) { KeyState::Active } else { KeyState::Pending }
}

/// A public key stands in one record, for ever.
pub fn check_unique(public_key: &PublicKey, existing: Option<&KeyRecord>) -> Result<(), Denial> {
    match existing {
        None => Ok(()),
        Some(_) => Err(Denial::new(Reason::DuplicateKey, format!("public key {} is on record", public_key.id()))),
    }
}
