//! Hand-made runs: what clients would have seen, with real keys, signatures, leaves and checkpoints.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::audit::checkpoint::{self, Checkpoint};
use sealward::audit::leaf;
use sealward::audit::merkle::{self, Hash};
use sealward::audit::note::{NoteError, NoteSigner, VerifierKey};
use sealward::domain::audit_event::{Event, EventKind};
use sealward::domain::caller::Caller;
use sealward::domain::name::Sha256Digest;
use sealward::domain::public_key::PublicKey;
use sealward::domain::signature::Encoding;
use sealward::domain::time::Instant;

use super::{BoundKey, Evidence, Leaf};
use crate::journal::{Ask, Entry, GuardSeen, Release, What};

const ORIGIN: &str = "dev.test/crash";

/// A run under construction.
#[derive(Default)]
pub(super) struct Story {
    pub(super) entries: Vec<Entry>,
    pub(super) log: Vec<Leaf>,
    nodes: BTreeMap<(u8, u64), Hash>,
}

/// A request; equal content is equal bytes.
pub(super) fn sign(id: &str, repository: &str, role: &str, version: u64, content: &str) -> Ask {
    let payload = format!("{role} {version} {content}");
    let digest = Sha256Digest::of(payload.as_bytes()).to_string();
    let (id, repository, role) = (id.to_owned(), repository.to_owned(), role.to_owned());
    Ask { id, item: 0, repository, role, version, digest, payload, encoding: Encoding::Der, key: None }
}

impl Story {
    /// Two versions, a kill between them, the retry of a lost answer, refusals that are true, a tree that grows.
    pub(super) fn innocent() -> Self {
        let mut story = Self::default();
        let (one, two) = (sign("a", "demo", "timestamp", 1, "x"), sign("b", "demo", "timestamp", 2, "x"));
        story.write(0, 1, What::Serving);
        story.commit(&one);
        story.release(2, 3, &one);
        story.checkpoint(4, 5);
        story.commit(&two);
        story.write(6, 8, What::Killed { power_cut: false });
        story.write(5, 7, What::Unanswered { ask: two.clone(), since: 5, cause: "gone".to_owned() });
        story.write(9, 12, What::Serving);
        story.release(13, 14, &two);
        story.refuse(15, 16, sign("c", "demo", "timestamp", 2, "y"), "equivocation");
        story.refuse(15, 17, sign("d", "demo", "timestamp", 1, "x"), "rollback");
        story.checkpoint(18, 19);
        story.prove(20, 21, 1, 2);
        let guard = GuardSeen { repository: "demo".to_owned(), role: "timestamp".to_owned(), epoch: 1, version: 2 };
        story.write(22, 23, What::Guards { guards: vec![guard] });
        story.write(22, 23, What::TreeSize { size: 2 });
        story
    }

    pub(super) fn write(&mut self, began: u64, ended: u64, what: What) {
        self.entries.push(Entry { who: "story".to_owned(), began, ended, what });
    }

    /// A signature reaches a client.
    pub(super) fn release(&mut self, began: u64, ended: u64, ask: &Ask) {
        let (key, pair) = key(&ask.repository, &ask.role);
        let signature = hex::encode(pair.sign(ask.payload.as_bytes()));
        let (version, digest, step) = (ask.version, ask.digest.clone(), "advance".to_owned());
        let release = Release { ask: ask.clone(), version, digest, key: key.id().to_string(), signature, step };
        self.write(began, ended, What::Released(release));
    }

    fn refuse(&mut self, began: u64, ended: u64, ask: Ask, reason: &str) {
        self.write(began, ended, What::Refused { ask, reason: reason.to_owned(), detail: String::new() });
    }

    /// The ledger remembers a release.
    pub(super) fn commit(&mut self, ask: &Ask) {
        let (key, pair) = key(&ask.repository, &ask.role);
        let caller = Caller::Unix { uid: 0, gids: Vec::new() };
        let mut event = Event::new(Instant::from_unix(1_800_000_000), &caller, "sign", "r", EventKind::Advance);
        event.repository = Some(ask.repository.parse().unwrap());
        event.role = Some(ask.role.parse().unwrap());
        event.epoch = Some(1);
        event.key = Some(key.id());
        event.version = Some(ask.version.try_into().unwrap());
        event.digest = Some(Sha256Digest::of(ask.payload.as_bytes()));
        event.signature = Some(Sha256Digest::of(pair.sign(ask.payload.as_bytes()).as_ref()));
        self.append(event);
    }

    pub(super) fn append(&mut self, event: Event) {
        let size = self.log.len() as u64;
        let bytes = leaf::encode(size, &event);
        let nodes = merkle::append(&self.nodes, size, merkle::leaf_hash(&bytes)).unwrap();
        self.nodes.extend(nodes.into_iter().map(|(level, index, hash)| ((level, index), hash)));
        self.log.push(Leaf { bytes, event });
    }

    /// A checkpoint over the log as it is.
    pub(super) fn checkpoint(&mut self, began: u64, ended: u64) {
        let size = self.log.len() as u64;
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: self.root(size) };
        let note = checkpoint::sign(&checkpoint, &LogKey).unwrap();
        self.write(began, ended, What::Checkpoint { note });
    }

    pub(super) fn prove(&mut self, began: u64, ended: u64, old_size: u64, new_size: u64) {
        let proof = merkle::consistency_proof(&self.nodes, old_size, new_size).unwrap();
        let [old_root, new_root] = [old_size, new_size].map(|size| hex::encode(self.root(size)));
        let hashes = proof.iter().map(hex::encode).collect();
        self.write(began, ended, What::Consistency { old_size, new_size, old_root, new_root, hashes });
    }

    pub(super) fn verifier_key(&self) -> VerifierKey {
        VerifierKey::of(&LogKey).unwrap()
    }

    pub(super) fn evidence(mut self) -> Evidence {
        self.entries.sort_by_key(|entry| entry.ended);
        let bound = |repository: &str, role: &str| {
            let (public_key, _) = key(repository, role);
            let (repository, role) = (repository.to_owned(), role.to_owned());
            (public_key.id().to_string(), BoundKey { public_key, repository, role })
        };
        let keys = [("demo", "timestamp"), ("demo", "snapshot"), ("other", "timestamp")];
        Evidence {
            verifier_key: self.verifier_key(),
            entries: self.entries,
            keys: keys.into_iter().map(|(repository, role)| bound(repository, role)).collect(),
            log: Ok(self.log),
        }
    }

    fn root(&self, size: u64) -> Hash {
        merkle::root(&self.nodes, size).unwrap()
    }
}

/// The same key for the same guard, always.
fn key(repository: &str, role: &str) -> (PublicKey, Ed25519KeyPair) {
    let seed = Sha256Digest::of(format!("{repository} {role}").as_bytes());
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_bytes()).unwrap();
    (PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap(), pair)
}

struct LogKey;

impl NoteSigner for LogKey {
    fn name(&self) -> &str {
        ORIGIN
    }

    fn public_key(&self) -> [u8; 32] {
        key("log", "log").1.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
        Ok(key("log", "log").1.sign(text).as_ref().try_into().unwrap())
    }
}
