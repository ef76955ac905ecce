//! The holders' signatures, checked one by one and counted by both roots.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::domain::name::Role;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::signature::Signature;
use crate::tuf::envelope::{Envelope, EnvelopeSignature};
use crate::tuf::root::{RootFile, SignatureCount, signature_count};

use super::error::CeremonyError;
use super::proposal::Proposal;
use super::signature::SignatureFile;

/// What signatures are worth for a proposal.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// The root with the good ones.
    pub(super) envelope: Envelope,
    /// Counted by the proposed root.
    pub(super) new: SignatureCount,
    /// Counted by the root before it.
    pub(super) old: Option<SignatureCount>,
    /// Files that are not counted, with why.
    pub(super) refused: Vec<(PathBuf, String)>,
}

impl Tally {
    /// Reads and checks files of signatures. One that is no such file is an error; one that is not good is refused, and
    /// the others count.
    pub(super) fn read(
        proposal: &Proposal,
        previous: Option<&RootFile>,
        files: &[PathBuf],
    ) -> Result<Self, CeremonyError> {
        let read = |path: &PathBuf| Ok::<_, CeremonyError>((path.clone(), SignatureFile::read(path)?));
        Ok(Self::of(proposal, previous, files.iter().map(read).collect::<Result<_, _>>()?))
    }

    pub(super) fn of(proposal: &Proposal, previous: Option<&RootFile>, files: Vec<(PathBuf, SignatureFile)>) -> Self {
        let keys = proposal.public_keys(previous);
        let mut good: BTreeMap<KeyId, Vec<u8>> = BTreeMap::new();
        let mut refused = Vec::new();
        for (path, file) in files {
            match check(proposal, previous, &keys, &file) {
                Err(why) => refused.push((path, format!("signature of {}: {why}", file.name))),
                Ok(()) if good.contains_key(&file.key) => {
                    refused.push((path, format!("signature of {}: this key is counted already", file.name)));
                }
                Ok(()) => {
                    good.insert(file.key, file.signature);
                }
            }
        }
        let signatures = good
            .iter()
            .flat_map(|(key, signature)| {
                let signature = signature.clone();
                let ids = key_ids(proposal, previous, key);
                ids.into_iter().map(move |key_id| EnvelopeSignature { key_id, signature: signature.clone() })
            })
            .collect();
        let envelope = Envelope { signatures, ..proposal.root.envelope().clone() };
        let new = signature_count(&proposal.root, &Role::Root, &envelope);
        let old = previous.map(|previous| signature_count(previous, &Role::Root, &envelope));
        Self { envelope, new, old, refused }
    }

    /// Whether both thresholds are met.
    pub(super) fn is_met(&self) -> bool {
        self.new.is_met() && self.old.as_ref().is_none_or(SignatureCount::is_met)
    }

    /// Whether the key has signed.
    pub(super) fn has(&self, key: &KeyId) -> bool {
        self.new.valid.contains(key) || self.old.as_ref().is_some_and(|old| old.valid.contains(key))
    }

    /// Both counts on one line.
    pub(super) fn counts(&self) -> String {
        let count = |count: &SignatureCount, of: &str| {
            format!("{}/{} valid, threshold {} of the {of} root", count.valid.len(), count.listed, count.threshold)
        };
        let old = self.old.as_ref().map(|old| format!("; {}", count(old, "old"))).unwrap_or_default();
        format!("{}{old}", count(&self.new, "new"))
    }

    /// Whose signatures would count and are not here.
    pub(super) fn missing(&self, proposal: &Proposal) -> Vec<String> {
        let signers = &proposal.manifest.signers;
        signers.keys().filter(|key| !self.has(key)).map(|key| proposal.manifest.call(key)).collect()
    }

    /// Both counts for programs.
    pub(super) fn json(&self) -> Value {
        let count = |count: &SignatureCount| {
            json!({
                "valid": count.valid.len(),
                "listed": count.listed,
                "threshold": count.threshold,
                "met": count.is_met(),
            })
        };
        let refused = |(path, why): &(PathBuf, String)| json!({ "file": path.display().to_string(), "why": why });
        json!({
            "new": count(&self.new),
            "old": self.old.as_ref().map(count),
            "refused": self.refused.iter().map(refused).collect::<Vec<_>>(),
        })
    }
}

/// The key ids under which the two roots list a key: its signature must stand under each.
fn key_ids(proposal: &Proposal, previous: Option<&RootFile>, key: &KeyId) -> BTreeSet<String> {
    let id = |root: &RootFile| root.root().key_id_for(&Role::Root, key).map(str::to_owned);
    id(&proposal.root).into_iter().chain(previous.and_then(id)).collect()
}

fn check(
    proposal: &Proposal,
    previous: Option<&RootFile>,
    keys: &BTreeMap<KeyId, PublicKey>,
    file: &SignatureFile,
) -> Result<(), String> {
    let root = proposal.root.root();
    if file.signed_digest != root.signed_digest {
        return Err(format!("over another root, with digest {}", file.signed_digest));
    }
    if file.version != root.version {
        return Err(format!("it says root {}, this is root {}", file.version, root.version));
    }
    let key = keys.get(&file.key).ok_or_else(|| format!("a stranger: no root lists key {} for root", file.key))?;
    if !key_ids(proposal, previous, &file.key).contains(&file.key_id) {
        return Err("its key id is not that of its key".to_owned());
    }
    let signature = Signature::from_der(key.algorithm(), &file.signature).map_err(|error| error.to_string())?;
    key.verify(&proposal.root.envelope().signed, &signature).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, root, signed_root};

    fn signature(proposal: &Proposal, key: &TestKey) -> SignatureFile {
        SignatureFile {
            name: "someone".parse().unwrap(),
            key: key.public().id(),
            key_id: key.key_id(),
            version: proposal.root.root().version,
            signed_digest: proposal.root.root().signed_digest,
            signature: key.sign(&proposal.root.envelope().signed),
        }
    }

    fn tally(proposal: &Proposal, previous: &RootFile, files: Vec<SignatureFile>) -> Tally {
        Tally::of(proposal, Some(previous), files.into_iter().map(|file| ("f".into(), file)).collect())
    }

    #[test]
    fn both_thresholds_count_their_own_keys_once() {
        let [a, b, c, d] = TestKey::four();
        let online = TestKey::new(9);
        let first = RootFile::parse(&signed_root(1, 2, &[&a, &b, &c], &online)).unwrap();
        let proposal = Proposal::of(root(2, 2, &[&b, &c, &d], &online), Some(&first), &[].into());
        let sign = |keys: &[&TestKey]| {
            let files = keys.iter().map(|key| signature(&proposal, key)).collect();
            let tally = tally(&proposal, &first, files);
            (tally.is_met(), tally.counts(), tally.refused.len())
        };
        let counts = |new, old| {
            format!("{new}/3 valid, threshold 2 of the new root; {old}/3 valid, threshold 2 of the old root")
        };
        assert_eq!(sign(&[&b, &c]), (true, counts(2, 2), 0));
        assert_eq!(sign(&[&a, &d, &b]), (true, counts(2, 2), 0));
        assert_eq!(sign(&[&a, &b]), (false, counts(1, 2), 0));
        assert_eq!(sign(&[&d, &b]), (false, counts(2, 1), 0));
        assert_eq!(sign(&[&b, &b]), (false, counts(1, 1), 1));
        assert_eq!(sign(&[&b, &online]), (false, counts(1, 1), 1));
        assert_eq!(sign(&[]), (false, counts(0, 0), 0));
    }

    #[test]
    fn each_bad_signature_is_refused_for_its_fault() {
        let [a, b, c, _] = TestKey::four();
        let first = RootFile::parse(&signed_root(1, 1, &[&a, &b], &c)).unwrap();
        let proposal = Proposal::of(root(2, 1, &[&a, &b], &c), Some(&first), &[].into());
        let why = |change: &dyn Fn(&mut SignatureFile)| {
            let mut file = signature(&proposal, &a);
            change(&mut file);
            tally(&proposal, &first, vec![file]).refused.pop().unwrap().1
        };
        assert!(why(&|file| file.signature[3] ^= 1).contains("does not verify"));
        assert!(why(&|file| file.signature.push(0)).contains("no ed25519 signature"));
        assert!(why(&|file| file.key = c.public().id()).contains("a stranger"));
        assert!(why(&|file| file.key = b.public().id()).contains("its key id"));
        assert!(why(&|file| file.key_id = b.key_id()).contains("its key id"));
        assert!(why(&|file| file.version = crate::domain::name::Version::new(3).unwrap()).contains("it says root 3"));
        let other = root(2, 2, &[&a, &b], &c).root().signed_digest;
        assert!(why(&|file| file.signed_digest = other).contains("over another root"));
    }
}
