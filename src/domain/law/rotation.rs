//! Where a rotation stands: the published order as a checked list. (`law.md` section 4)
//!
//! It is read off keys, roots and guards, and nothing is stored for it. What happens outside (files that are put out,
//! clients that update) is not known here, and each such line says so; `promote` is the operator's word that it is done.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::guard::Guard;
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::sign::meets_threshold;
use crate::domain::name::{RepositoryName, Role};
use crate::domain::policy::{Custody, RepositoryPolicy};
use crate::domain::public_key::KeyId;
use crate::domain::root::{RoleKeys, Roots, VerifiedRoot};

/// What the list is read off.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Its policy.
    pub policy: &'a RepositoryPolicy,
    /// Its keys.
    pub keys: &'a [KeyRecord],
    /// Its roots.
    pub roots: &'a Roots,
    /// Its guards.
    pub guards: &'a BTreeMap<Role, Guard>,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checklist {
    /// How far it is, in one word.
    pub phase: Phase,
    /// Every step, in order.
    pub lines: Vec<Line>,
    /// What cannot be seen from here, and what to think of.
    pub notes: Vec<String>,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// None is under way.
    Idle,
    /// A successor waits for a root that lists it.
    Made,
    /// A root is staged.
    Staged,
    /// The root is out; old keys are left.
    Published,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub step: Step,
    /// Where it stands.
    pub state: LineState,
    /// What it is about.
    pub detail: String,
    /// What to type; empty where that is not sealward's.
    pub command: String,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineState {
    /// Behind us.
    Done,
    /// What to do now.
    Next,
    /// Its time comes.
    Waiting,
}

macro_rules! words {
    ($of:ident: $( $member:ident $name:literal ),* $(,)?) => {
        impl $of {
            /// The name in output.
            pub fn name(self) -> &'static str {
                match self { $( Self::$member => $name, )* }
            }
        }
    };
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Make the successor.
    Make,
    /// Sign the next root in a ceremony, and stage it.
    Stage,
    /// Sign online metadata with the keys of both roots.
    DualSign,
    /// Put the root out.
    PublishRoot,
    /// Put a new timestamp out.
    PublishTimestamp,
    /// Let clients update that began at older roots.
    TestClients,
    /// Say that the root is out.
    Promote,
    /// Retire what no root lists any more.
    Retire,
    /// Destroy what is retired, after the delay.
    Destroy,
}

words!(Phase: Idle "idle", Made "made", Staged "staged", Published "published");
words!(LineState: Done "done", Next "next", Waiting "waiting");
words!(Step: Make "make", Stage "stage", DualSign "dual-sign", PublishRoot "publish-root",
       PublishTimestamp "publish-timestamp", TestClients "test-clients", Promote "promote", Retire "retire",
       Destroy "destroy");

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 9] = [
        Self::Make,
        Self::Stage,
        Self::DualSign,
        Self::PublishRoot,
        Self::PublishTimestamp,
        Self::TestClients,
        Self::Promote,
        Self::Retire,
        Self::Destroy,
    ];

    /// Whether the daemon knows by itself that it is done.
    pub fn is_seen_here(self) -> bool {
        !matches!(self, Self::PublishRoot | Self::PublishTimestamp | Self::TestClients)
    }
}

/// The list as it stands.
pub fn checklist(standing: Standing<'_>) -> Checklist {
    let phase = phase(standing);
    let mut next_taken = false;
    let mut lines = Vec::with_capacity(Step::ALL.len());
    for step in Step::ALL {
        let state = if is_done(step, phase, standing) {
            LineState::Done
        } else if next_taken || (step == Step::Destroy && nothing_to_ask_for(standing)) {
            LineState::Waiting
        } else {
            next_taken = true;
            LineState::Next
        };
        let (detail, command) = words_of(step, phase, standing);
        lines.push(Line { step, state, detail, command });
    }
    Checklist { phase, lines, notes: notes(phase, standing) }
}

fn phase(standing: Standing<'_>) -> Phase {
    if standing.roots.staged.is_some() {
        Phase::Staged
    } else if standing.keys.iter().any(|key| key.state == KeyState::Pending) {
        Phase::Made
    } else if unlisted(standing).next().is_some() || retired(standing).next().is_some() {
        Phase::Published
    } else {
        Phase::Idle
    }
}

fn is_done(step: Step, phase: Phase, standing: Standing<'_>) -> bool {
    match step {
        Step::Make => phase > Phase::Idle,
        Step::Stage => phase > Phase::Made,
        Step::DualSign => phase == Phase::Published || (phase == Phase::Staged && half_signed(standing).is_empty()),
        Step::PublishRoot | Step::PublishTimestamp | Step::TestClients | Step::Promote => phase == Phase::Published,
        Step::Retire => phase == Phase::Published && unlisted(standing).next().is_none(),
        Step::Destroy => false, // what is destroyed is no part of a rotation any more
    }
}

/// Active keys that no root lists for any of their roles, where a root decides.
fn unlisted<'a>(standing: Standing<'a>) -> impl Iterator<Item = &'a KeyRecord> {
    let rooted = !standing.roots.is_unrooted();
    let is_listed = move |key: &KeyRecord| {
        let delegated = |role: &Role| matches!(role, Role::Delegated(_));
        key.roles.iter().any(|role| delegated(role) || standing.roots.key_id_for(role, &key.id()).is_some())
    };
    standing.keys.iter().filter(move |key| rooted && key.state == KeyState::Active && !is_listed(key))
}

fn retired<'a>(standing: Standing<'a>) -> impl Iterator<Item = &'a KeyRecord> {
    standing.keys.iter().filter(|key| key.state == KeyState::Retired)
}

/// Whether every retired key's destruction was asked for, and only time is missing.
fn nothing_to_ask_for(standing: Standing<'_>) -> bool {
    retired(standing).all(|key| key.history.destruction.is_some())
}

/// Online roles whose keys the staged root changes, and whose newest metadata does not satisfy both roots.
fn half_signed(standing: Standing<'_>) -> Vec<Role> {
    let Some(staged) = &standing.roots.staged else { return Vec::new() };
    let trusted = standing.roots.trusted.as_ref();
    // Snapshot first: a new snapshot needs a new timestamp.
    let roles = [Role::Targets, Role::Snapshot, Role::Timestamp].into_iter();
    let online = |role: &Role| standing.policy.role(role).is_some_and(|limits| limits.custody != Custody::Offline);
    let changes = |role: &Role| trusted.is_none_or(|trusted| !same_keys(trusted, staged, role));
    let half = |role: &Role| {
        let Some(head) = standing.guards.get(role).and_then(|guard| guard.head.as_ref()) else { return false };
        let signed: BTreeSet<KeyId> = head.signatures.keys().copied().collect();
        !meets_threshold(staged, role, &signed)
            || trusted.is_some_and(|trusted| !meets_threshold(trusted, role, &signed))
    };
    roles.filter(online).filter(changes).filter(half).collect()
}

fn same_keys(one: &VerifiedRoot, other: &VerifiedRoot, role: &Role) -> bool {
    let of = |keys: Option<&RoleKeys>| {
        keys.map(|keys| (keys.threshold, keys.keys.keys().copied().collect::<BTreeSet<KeyId>>()))
    };
    of(one.roles.get(role)) == of(other.roles.get(role))
}

/// The version of the root that this is about.
fn root_version(phase: Phase, roots: &Roots) -> u64 {
    let trusted = roots.trusted.as_ref().map_or(0, |root| root.version.get());
    match (&roots.staged, phase) {
        (Some(staged), _) => staged.version.get(),
        (None, Phase::Published) => trusted,
        (None, _) => trusted + 1,
    }
}

fn words_of(step: Step, phase: Phase, standing: Standing<'_>) -> (String, String) {
    let repository = standing.repository;
    let root = format!("{}.root.json", root_version(phase, standing.roots));
    let sign = |role: &Role| format!("sealward sign --repository {repository} --role {role} {role}.json");
    match step {
        Step::Make => {
            let pending: Vec<String> = pending(standing).map(|key| key.id().to_string()).collect();
            let detail = if pending.is_empty() {
                "a successor for each key that is to go".to_owned()
            } else {
                format!("pending: {}", pending.join(", "))
            };
            (detail, format!("sealward key rotate --repository {repository} --role timestamp"))
        }
        Step::Stage => {
            // Only a first root is pinned, and only then is there a pin to give.
            let first = standing.roots.is_unrooted();
            let pin = if first { "--pin SHA256-that-merge-printed " } else { "" };
            (stage_words(&root, phase, standing), format!("sealward root stage --repository {repository} {pin}{root}"))
        }
        Step::DualSign => {
            let half = half_signed(standing);
            let names: Vec<&str> = half.iter().map(Role::as_str).collect();
            let detail = if names.is_empty() {
                "the newest metadata satisfies both roots; put it out before the root".to_owned()
            } else {
                format!(
                    "sign the newest metadata of {} again, and put it out before the root: clients that have the new \
                     root ask for its keys",
                    names.join(" and ")
                )
            };
            (detail, sign(half.first().unwrap_or(&Role::Timestamp)))
        }
        Step::PublishRoot => (format!("put {root} out, beside the older roots"), String::new()),
        Step::PublishTimestamp => ("sign the next timestamp and put it out".to_owned(), sign(&Role::Timestamp)),
        Step::TestClients => {
            ("let a client update from each older root that you know to be in use".to_owned(), String::new())
        }
        Step::Promote => (
            format!("say that {root} is out: it becomes the trusted one, and what it does not list retires"),
            format!("sealward root publish --repository {repository} {root}"),
        ),
        Step::Retire => {
            let key = unlisted(standing).next().map_or_else(|| "KEY".to_owned(), |key| key.id().to_string());
            (
                "active keys that no root lists; promoting retired the others".to_owned(),
                format!("sealward key retire {key}"),
            )
        }
        Step::Destroy => destroy_words(standing),
    }
}

/// What a root does, or did, when it is staged; read off the keys, so that it says nothing that is not so.
fn stage_words(root: &str, phase: Phase, standing: Standing<'_>) -> String {
    match phase {
        Phase::Idle | Phase::Made => {
            format!(
                "sign {root} in a ceremony; list the successor in it. Once it is staged, the keys of both roots sign"
            )
        }
        Phase::Published => format!("{root} was signed and handed over"),
        Phase::Staged => {
            let of = |state: KeyState| {
                let ids = standing.keys.iter().filter(|key| key.state == state).map(|key| key.id().to_string());
                ids.collect::<Vec<_>>().join(", ")
            };
            let (pending, retiring) = (of(KeyState::Pending), of(KeyState::Retiring));
            let mut words = format!("{root} is staged");
            if !retiring.is_empty() {
                words.push_str(&format!("; without {retiring}, retiring: cosigns what a listed key signs"));
            }
            if !pending.is_empty() {
                words.push_str(&format!("; it does not list {pending}, pending: signs nothing"));
            }
            words
        }
    }
}

fn pending<'a>(standing: Standing<'a>) -> impl Iterator<Item = &'a KeyRecord> {
    standing.keys.iter().filter(|key| key.state == KeyState::Pending)
}

fn destroy_words(standing: Standing<'_>) -> (String, String) {
    let unasked = retired(standing).find(|key| key.history.destruction.is_none()).map(|key| key.id().to_string());
    let asked = retired(standing).filter_map(|key| Some((key.id(), key.history.destruction?.due)));
    let mut parts: Vec<String> = asked.map(|(key, due)| format!("{key} goes after {due}")).collect();
    if parts.is_empty() {
        let days = standing.policy.destroy_delay_seconds / (24 * 60 * 60);
        parts.push(format!("at the earliest {days} days after the key was retired"));
    }
    (parts.join("; "), format!("sealward key destroy {}", unasked.as_deref().unwrap_or("KEY")))
}

fn notes(phase: Phase, standing: Standing<'_>) -> Vec<String> {
    let mut notes = vec![
        "sealward publishes no files and cannot see clients: publish-root, publish-timestamp and test-clients are yours, \
         and `root publish` is your word that they are done"
            .to_owned(),
    ];
    if let (Some(trusted), true) = (&standing.roots.trusted, phase != Phase::Staged) {
        for (role, listed) in &trusted.roles {
            let ours = |key: &&KeyRecord| key.state == KeyState::Active && listed.keys.contains_key(&key.id());
            let count = standing.keys.iter().filter(ours).count();
            if u64::try_from(count).is_ok_and(|count| count > listed.threshold) {
                notes.push(format!(
                    "{role} has {count} keys where {} must sign: where callers take one signature this is the first of two \
                     roots, and the next one leaves the old key out",
                    listed.threshold
                ));
            }
        }
    }
    notes
}
