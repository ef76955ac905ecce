//! May this payload be signed, and by which keys? (`law.md` sections 1 to 4)

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::approval::Binding;
use crate::domain::guard::{Guard, GuardName, Relation, Step, listed};
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::attended::{self, Approved, Attendance, Wait};
use crate::domain::name::{MetadataType, RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::permit::{Online, Permit};
use crate::domain::policy::{Custody, RepositoryPolicy, RolePolicy};
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::signature::Signature;
use crate::domain::statement::Statement;
use crate::domain::time::Instant;

/// How many released pairs a guard keeps at most, whatever lags behind it.
const KEPT_PAIRS: u64 = 10_000;

/// Everything that the decision rests on. The grant was checked before, without the payload.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The role that is to sign.
    pub role: &'a Role,
    /// The repository's policy.
    pub policy: &'a RepositoryPolicy,
    /// What the payload says.
    pub statement: &'a Statement,
    /// The keys asked for: one by name, or all of the role's.
    pub keys: Keys<'a>,
    /// The guards of the repository in their current epochs, by role.
    pub guards: &'a BTreeMap<Role, Guard>,
    /// The repository's roots.
    pub roots: &'a Roots,
    /// The signed snapshot that came along with a timestamp.
    pub attached_snapshot: Option<&'a AttachedSnapshot>,
    /// The time of the decision.
    pub now: Instant,
    /// Who asks, as leaves name them.
    pub caller: &'a str,
    /// Who asks, and what people have approved: for attended roles.
    pub attendance: Attendance<'a>,
}

/// Which keys a request is about.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// One key, named in the request.
    One(&'a KeyRecord),
    /// Every key record of the repository: the law picks those of the role that are eligible.
    OfRole(&'a [KeyRecord]),
}

/// A signed snapshot as it was read from a file that came with a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedSnapshot {
    /// SHA-256 of the canonical `signed` part.
    pub signed_digest: Sha256Digest,
    /// Its version.
    pub version: Version,
    /// Length of the file in bytes.
    pub file_length: u64,
    /// SHA-256 of the file.
    pub file_digest: Sha256Digest,
}

/// Per key, how its signature would relate to the head, or why it does not sign.
pub type KeyVerdicts = Vec<(KeyId, Result<Step, Denial>)>;

/// What the law says to one payload: per key, a step or a denial. At least one key has a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Per key.
    pub keys: KeyVerdicts,
    /// The guard's version before, 0 for none.
    pub head_version: u64,
}

/// A judgement with the permits to carry it out, and the guard that follows from it.
#[derive(Debug)]
pub struct Decision {
    judgement: Judgement,
    permits: Vec<Permit<Online>>,
    replays: BTreeMap<KeyId, Signature>,
    retiring: BTreeSet<KeyId>,
    guard: Guard,
    next: NextGuard,
    approved: Option<Approved>,
}

#[derive(Debug)]
enum NextGuard {
    Advance { statement: Statement, policy: RolePolicy, floor: Version, now: Instant, caller: String },
    Cosign,
    Replay,
}

/// The law's answer, when it is no denial.
#[derive(Debug)]
pub enum Answer {
    /// Sign.
    Permit(Box<Decision>),
    /// Everything allows it, and people have not approved it yet.
    Pending(Wait),
}

/// Judges without a permit: what `Explain` shows, with what people must still approve.
pub fn judge(situation: &Situation<'_>) -> Result<(Judgement, Option<Wait>), Denial> {
    let (guard, judgement, _) = weigh(situation)?;
    let wait = attended(situation, guard, &judgement)?.and_then(Result::err);
    Ok((judgement, wait))
}

/// Judges, and hands out a permit for each signature that is to be made.
pub fn decide(situation: &Situation<'_>) -> Result<Answer, Denial> {
    let (guard, judgement, relation) = weigh(situation)?;
    let role_policy = role_policy(situation)?;
    let approved = match attended(situation, guard, &judgement)? {
        None => None,
        Some(Ok(approved)) => Some(approved),
        Some(Err(wait)) => return Ok(Answer::Pending(wait)),
    };
    let mut permits = Vec::new();
    let mut replays = BTreeMap::new();
    for (key, step) in &judgement.keys {
        match step {
            Ok(Step::Replay) => {
                let stored = guard.head.as_ref().and_then(|head| head.signatures.get(key)).cloned();
                replays.extend(stored.map(|signature| (*key, signature)));
            }
            Ok(Step::Advance | Step::Cosign) => {
                let record = candidates(situation).find(|record| record.id() == *key);
                permits.extend(record.map(|record| {
                    let at = (guard.name.clone(), guard.revision);
                    Permit::issue(record.public_key.clone(), situation.statement.digest(), Some(at))
                }));
            }
            Err(_) => {}
        }
    }
    let next = match relation {
        Relation::Above { .. } => NextGuard::Advance {
            statement: situation.statement.clone(),
            policy: role_policy.clone(),
            floor: lowest_needed(situation),
            now: situation.now,
            caller: situation.caller.to_owned(),
        },
        Relation::Same if permits.is_empty() => NextGuard::Replay,
        Relation::Same => NextGuard::Cosign,
    };
    let retires = |record: &&KeyRecord| record.state == KeyState::Retiring;
    let retiring = candidates(situation).filter(retires).map(KeyRecord::id).collect();
    let decision = Decision { judgement, permits, replays, retiring, guard: guard.clone(), next, approved };
    Ok(Answer::Permit(Box::new(decision)))
}

/// Whether people approved the signatures that would be made; `None` where nobody is asked: the role is not attended, or
/// nothing is signed anew. Asked last, so that nobody approves what would be denied.
fn attended(
    situation: &Situation<'_>,
    guard: &Guard,
    judgement: &Judgement,
) -> Result<Option<Result<Approved, Wait>>, Denial> {
    let limits = role_policy(situation)?;
    let made = |(key, step): &(KeyId, Result<Step, Denial>)| match step {
        Ok(Step::Replay) | Err(_) => None,
        Ok(_) => Some(*key),
    };
    let keys: BTreeSet<KeyId> = judgement.keys.iter().filter_map(made).collect();
    if limits.custody != Custody::Attended || keys.is_empty() {
        return Ok(None);
    }
    let statement = situation.statement;
    let binding = Binding {
        guard: guard.name.clone(),
        head: guard.head.as_ref().map(|head| (head.version, head.digest)),
        digest: statement.digest(),
        keys,
        policy: limits.digest(),
        metadata_type: statement.metadata_type(),
        version: statement.version(),
        expires: statement.expires(),
    };
    attended::signature(binding, limits, situation.attendance, situation.now).map(Some)
}

impl Decision {
    /// What was judged.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The approval that is used up when the first signature is released.
    pub fn approved(&self) -> Option<Approved> {
        self.approved
    }

    /// Takes the permits out; they are used once.
    pub fn take_permits(&mut self) -> Vec<Permit<Online>> {
        std::mem::take(&mut self.permits)
    }

    /// Signatures on record that answer the request.
    pub fn replays(&self) -> &BTreeMap<KeyId, Signature> {
        &self.replays
    }

    /// The guard that the decision rests on.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Takes the signatures of retiring keys out when no active key's leaves with them, each with its refusal: the law
    /// allowed both, and then the active key's token may have failed.
    pub fn withhold(&self, signatures: &mut BTreeMap<KeyId, Signature>) -> Vec<(KeyId, Denial)> {
        let leaving = signatures.keys().chain(self.replays.keys());
        if leaving.into_iter().any(|key| !self.retiring.contains(key)) {
            return Vec::new();
        }
        let withheld = std::mem::take(signatures);
        withheld.into_keys().map(|key| (key, cosigns_only())).collect()
    }

    /// The guard after these signatures are released; `None` when nothing changes.
    pub fn released(&self, signatures: BTreeMap<KeyId, Signature>) -> Option<Guard> {
        match &self.next {
            NextGuard::Advance { statement, policy, floor, now, caller } => Some(self.guard.advanced(
                statement,
                signatures,
                policy.release_rate,
                *now,
                caller.clone(),
                Some(*floor),
            )),
            NextGuard::Cosign => Some(self.guard.cosigned(signatures)),
            NextGuard::Replay => None,
        }
    }
}

/// The first rule, before the payload is read: the role's custody. Returns the limits for reading.
pub fn role_limits<'p>(
    policy: &'p RepositoryPolicy,
    repository: &RepositoryName,
    role: &Role,
) -> Result<&'p RolePolicy, Denial> {
    if *role == Role::Root {
        return Err(Denial::new(Reason::OfflineRole, "root never signs through the daemon"));
    }
    let Some(limits) = policy.roles.get(role) else {
        let detail = format!("the policy of {repository} has no role {role}");
        return Err(Denial::new(Reason::WrongRole, detail));
    };
    match limits.custody {
        Custody::Online | Custody::Attended => Ok(limits),
        Custody::Offline => Err(Denial::new(Reason::OfflineRole, format!("{role} of {repository} is offline"))),
    }
}

fn role_policy<'a>(situation: &Situation<'a>) -> Result<&'a RolePolicy, Denial> {
    role_limits(situation.policy, situation.repository, situation.role)
}

fn candidates<'a>(situation: &Situation<'a>) -> impl Iterator<Item = &'a KeyRecord> {
    let role = situation.role;
    let (one, all) = match situation.keys {
        Keys::One(record) => (Some(record), &[][..]),
        Keys::OfRole(records) => (None, records),
    };
    one.into_iter().chain(all.iter().filter(move |record| record.roles.contains(role)))
}

fn weigh<'a>(situation: &Situation<'a>) -> Result<(&'a Guard, Judgement, Relation), Denial> {
    let Situation { repository, role, statement, roots, .. } = *situation;
    let limits = role_policy(situation)?;
    if roots.fork.is_some() {
        let detail = format!("{repository} was shown two verified roots of one version");
        return Err(Denial::new(Reason::Latched, detail));
    }
    if situation.policy.require_root && roots.is_unrooted() {
        return Err(Denial::new(Reason::NoRoot, format!("{repository} has no trusted root")));
    }
    check_content(situation, limits)?;
    let Some(guard) = situation.guards.get(role) else {
        return Err(Denial::new(Reason::Unseeded, format!("nothing is known of what {role} of {repository} released")));
    };
    let relation = guard.relate(statement)?;
    let head_version = guard.head.as_ref().map_or(0, |head| head.version.get());
    if let Relation::Above { head_version } = relation {
        check_advance(situation, limits, guard, head_version)?;
    }
    let keys = weigh_keys(situation, guard, relation)?;
    Ok((guard, Judgement { keys, head_version }, relation))
}

/// What the payload says, whatever was released before.
fn check_content(situation: &Situation<'_>, limits: &RolePolicy) -> Result<(), Denial> {
    let Situation { role, statement, now, .. } = *situation;
    if statement.length() > limits.max_payload_bytes {
        let detail = format!("{} bytes; {role} may have {}", statement.length(), limits.max_payload_bytes);
        return Err(Denial::new(Reason::PayloadTooLarge, detail));
    }
    if statement.metadata_type() != role.metadata_type() {
        let detail = format!("the payload is of type {}, the request is for {role}", statement.metadata_type());
        return Err(Denial::new(Reason::WrongRole, detail));
    }
    let expires = statement.expires();
    if expires <= now {
        return Err(Denial::new(Reason::Expired, format!("expires {expires} is not after {now}")));
    }
    let latest = now.plus_seconds(limits.max_expiry_seconds);
    if expires > latest {
        return Err(Denial::new(Reason::ExpiryTooFar, format!("expires {expires} is after {latest}")));
    }
    check_snapshot_bytes(situation)
}

fn check_snapshot_bytes(situation: &Situation<'_>) -> Result<(), Denial> {
    let Situation { statement, attached_snapshot, .. } = *situation;
    if statement.metadata_type() != MetadataType::Timestamp {
        return Ok(());
    }
    let Some(attached) = attached_snapshot else {
        return if situation.policy.require_snapshot_bytes {
            Err(Denial::new(Reason::SnapshotBytesRequired, "no snapshot came with the timestamp"))
        } else {
            Ok(())
        };
    };
    let mismatch = |detail: String| Err(Denial::new(Reason::SnapshotBytesMismatch, detail));
    let Some(entry) = listed(statement.listing(), &Role::Snapshot) else {
        return mismatch("the timestamp lists no snapshot.json".into());
    };
    if entry.version != attached.version {
        return mismatch(format!("listed is snapshot {}, attached is {}", entry.version, attached.version));
    }
    if entry.length.is_some_and(|length| length != attached.file_length) {
        return mismatch(format!(
            "the attached snapshot has {} bytes, not those that are listed",
            attached.file_length
        ));
    }
    if entry.sha256.is_some_and(|digest| digest != attached.file_digest) {
        return mismatch(format!("the attached snapshot has digest {}", attached.file_digest));
    }
    if entry.other_hashes {
        return mismatch("the timestamp lists hashes other than sha256, which are not checked here".into());
    }
    let released = situation.guards.get(&Role::Snapshot).map(|guard| guard.released.get(&attached.version));
    match released {
        Some(Some(digest)) if *digest != attached.signed_digest => {
            mismatch(format!("snapshot {} was released with other bytes", attached.version))
        }
        _ => Ok(()),
    }
}

/// What was released before, for a payload above the head.
fn check_advance(
    situation: &Situation<'_>,
    limits: &RolePolicy,
    guard: &Guard,
    head_version: u64,
) -> Result<(), Denial> {
    let Situation { role, statement, .. } = *situation;
    let version = statement.version().get();
    if version - head_version > limits.max_version_step {
        let detail = format!("{role} goes from {head_version} to {version}; the bound is {}", limits.max_version_step);
        return Err(Denial::new(Reason::VersionStep, detail));
    }
    guard.check_listing(statement.listing(), limits.max_version_step, limits.first_listed_max)?;
    for (file, entry) in statement.listing() {
        let held = Role::from_listed_file(file).and_then(|role| situation.guards.get(&role));
        if held.is_some_and(|listed| !listed.has_released(entry.version)) {
            let detail = format!("`{file}` version {} was not released here", entry.version);
            return Err(Denial::new(Reason::ListedUnreleased, detail));
        }
    }
    guard.check_rate(limits.release_rate, situation.now)
}

/// Which of the keys may sign, and how each relates to the head.
fn weigh_keys(situation: &Situation<'_>, guard: &Guard, relation: Relation) -> Result<KeyVerdicts, Denial> {
    let Situation { repository, role, .. } = *situation;
    let mut keys = KeyVerdicts::new();
    let mut retiring = BTreeSet::new();
    let mut active_signs = false;
    for record in candidates(situation) {
        let id = record.id();
        let eligible = check_key(situation, record);
        if let Keys::OfRole(_) = situation.keys
            && matches!(record.state, KeyState::Pending | KeyState::Retired | KeyState::Destroyed)
        {
            continue; // not asked for: the request names a role, and these do not sign for it
        }
        active_signs |= eligible.is_ok() && record.state == KeyState::Active;
        if record.state == KeyState::Retiring {
            retiring.insert(id);
        }
        let step = eligible.map(|()| match relation {
            Relation::Above { .. } => Step::Advance,
            Relation::Same if guard.head.as_ref().is_some_and(|head| head.signatures.contains_key(&id)) => Step::Replay,
            Relation::Same => Step::Cosign,
        });
        keys.push((id, step));
    }
    if !active_signs {
        for (id, step) in &mut keys {
            if retiring.contains(id) {
                *step = Err(cosigns_only());
            }
        }
    }
    if keys.iter().any(|(_, step)| step.is_ok()) {
        return Ok(keys);
    }
    let first = keys.into_iter().find_map(|(_, step)| step.err());
    Err(first
        .unwrap_or_else(|| Denial::new(Reason::NoKeyForRole, format!("{repository} has no active key for {role}"))))
}

fn cosigns_only() -> Denial {
    Denial::new(Reason::KeyState, "a retiring key cosigns only what an active key signs in the same request")
}

fn check_key(situation: &Situation<'_>, record: &KeyRecord) -> Result<(), Denial> {
    let Situation { repository, role, statement, roots, .. } = *situation;
    let id = record.id();
    if record.repository != *repository {
        // Not said which: the caller may have no grant for the other one.
        return Err(Denial::new(Reason::WrongRepository, format!("key {id} does not belong to {repository}")));
    }
    if !record.roles.contains(role) {
        return Err(Denial::new(Reason::WrongRole, format!("key {id} is not a key of {role}")));
    }
    if record.kind != statement.kind() {
        return Err(Denial::new(Reason::WrongRole, format!("key {id} signs payloads of another kind")));
    }
    if !matches!(record.state, KeyState::Active | KeyState::Retiring) {
        return Err(Denial::new(Reason::KeyState, format!("key {id} is {}", record.state.name())));
    }
    let is_top_level = !matches!(role, Role::Delegated(_));
    if is_top_level && !roots.is_unrooted() && roots.key_id_for(role, &id).is_none() {
        return Err(Denial::new(Reason::KeyNotListed, format!("no root of {repository} lists key {id} for {role}")));
    }
    Ok(())
}

/// The lowest version of this role that a later listing may still name.
fn lowest_needed(situation: &Situation<'_>) -> Version {
    let own = situation.statement.version();
    let lister = match situation.role {
        Role::Timestamp | Role::Root => return own,
        Role::Snapshot => Role::Timestamp,
        Role::Targets | Role::Delegated(_) => Role::Snapshot,
    };
    // The listing before the head counts, too: it is what the head would be held against if it were replaced.
    let listings =
        situation.guards.get(&lister).and_then(|guard| Some([&guard.head.as_ref()?.listing, &guard.previous_listing]));
    let entries = listings.into_iter().flatten().filter_map(|listing| listed(listing, situation.role));
    let listed = entries.map(|entry| entry.version.get()).min().unwrap_or(1);
    let floor = listed.max(own.get().saturating_sub(KEPT_PAIRS));
    Version::new(floor).unwrap_or(own)
}

/// Whether the signatures of a head meet a role's threshold in a root.
pub fn meets_threshold(root: &crate::domain::root::VerifiedRoot, role: &Role, signed: &BTreeSet<KeyId>) -> bool {
    root.roles.get(role).is_some_and(|keys| {
        let count = keys.keys.keys().filter(|key| signed.contains(key)).count();
        u64::try_from(count).is_ok_and(|count| count >= keys.threshold)
    })
}

/// The name of a role's guard in its first epoch. Later epochs come with recovery.
pub fn first_epoch(repository: &RepositoryName, role: &Role) -> GuardName {
    GuardName { repository: repository.clone(), role: role.clone(), epoch: 1 }
}
