//! A proposed root as it travels: the unsigned envelope, and a manifest of what people must know about it.
//!
//! The manifest says nothing that does not follow from the envelope and the root before it, but for the holders' names.
//! It is computed again by whoever reads it, so that a change of one part alone is noticed before anybody compares
//! digests.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::{Role, Sha256Digest, Version};
use crate::domain::outcome::Denial;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::tuf::canonical::{Object, Value, encode_json};
use crate::tuf::root::RootFile;

use super::holder::HolderName;
use super::members::{self, Members};

const TYPE: &str = "sealward-ceremony-proposal";

/// A proposal as it was read or made. Nothing about it is verified.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// The root, without signatures.
    pub(super) root: RootFile,
    /// What people must know about it.
    pub(super) manifest: Manifest,
}

/// Who must sign what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The root before it; `None` for the first.
    pub(super) previous: Option<Previous>,
    /// Who may sign, by public key.
    pub(super) signers: BTreeMap<KeyId, Signer>,
}

/// The root before a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    /// Its version.
    pub(super) version: Version,
    /// SHA-256 of the canonical bytes of its `signed`.
    pub(super) signed_digest: Sha256Digest,
    /// How many of its keys must sign.
    pub(super) threshold: u64,
}

/// A key that may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    /// Who holds it, as the coordinator was told.
    pub(super) name: Option<HolderName>,
    /// Under which key id: that of the new root, else that of the old one.
    pub(super) key_id: String,
    /// Whether the root before lists it.
    pub(super) old: bool,
    /// Whether the proposed root lists it.
    pub(super) new: bool,
}

impl Manifest {
    /// What follows from two roots; the names are as told.
    pub(super) fn of(root: &RootFile, previous: Option<&RootFile>, names: &BTreeMap<KeyId, HolderName>) -> Self {
        let holders = |root: &RootFile| root.root().roles.get(&Role::Root).cloned();
        let new = holders(root).map(|role| role.keys).unwrap_or_default();
        let old = previous.and_then(holders);
        let old_keys = old.as_ref().map(|role| role.keys.clone()).unwrap_or_default();
        let signer = |(key, key_id): (&KeyId, &String)| {
            let (old, is_new) = (old_keys.contains_key(key), new.contains_key(key));
            (*key, Signer { name: names.get(key).cloned(), key_id: key_id.clone(), old, new: is_new })
        };
        // The new root's key ids win over the old one's.
        let signers = old_keys.iter().chain(&new).map(signer).collect();
        let previous = previous.zip(old).map(|(previous, role)| Previous {
            version: previous.root().version,
            signed_digest: previous.root().signed_digest,
            threshold: role.threshold,
        });
        Self { previous, signers }
    }

    /// The holders' names by key.
    pub(super) fn names(&self) -> BTreeMap<KeyId, HolderName> {
        self.signers.iter().filter_map(|(key, signer)| Some((*key, signer.name.clone()?))).collect()
    }

    /// How people call a key: its holder and its key id.
    pub(super) fn call(&self, key: &KeyId) -> String {
        match self.signers.get(key) {
            Some(Signer { name: Some(name), key_id, .. }) => format!("{name} ({key_id})"),
            Some(Signer { name: None, key_id, .. }) => key_id.clone(),
            None => key.to_string(),
        }
    }
}

impl Proposal {
    /// As [`Manifest::of`].
    pub(super) fn of(root: RootFile, previous: Option<&RootFile>, names: &BTreeMap<KeyId, HolderName>) -> Self {
        let manifest = Manifest::of(&root, previous, names);
        Self { root, manifest }
    }

    /// The public key that may sign.
    pub(super) fn public_keys(&self, previous: Option<&RootFile>) -> BTreeMap<KeyId, PublicKey> {
        let of = |root: &RootFile| -> Vec<PublicKey> { root.public_keys(&Role::Root).into_values().cloned().collect() };
        let all = of(&self.root).into_iter().chain(previous.map(of).unwrap_or_default());
        all.map(|key| (key.id(), key)).collect()
    }

    pub(super) fn to_file(&self) -> Vec<u8> {
        let Self { root, manifest } = self;
        let envelope =
            Value::from([("signatures", Value::Array(Vec::new())), ("signed", root.envelope().value.clone())]);
        members::write(TYPE, [("manifest", manifest_value(root, manifest)), ("envelope", envelope)])
    }

    /// Reads a file; a cause when it is none, or when its parts do not follow from each other.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut members = Members::of_file(bytes, TYPE)?;
        let envelope = members.take("envelope")?;
        let mut manifest = Members::of(members.take("manifest")?, "the manifest")?;
        members.end()?;
        let known = |name: &str| matches!(name, "signatures" | "signed");
        if envelope.as_object().is_some_and(|envelope| envelope.iter().any(|(name, _)| !known(name))) {
            return Err("the envelope has members beside signatures and signed".to_owned());
        }
        let root = RootFile::parse(&encode_json(&envelope)).map_err(|denial: Denial| denial.to_string())?;
        if !root.envelope().signatures.is_empty() {
            return Err("a proposal carries no signatures; they travel in files of their own".to_owned());
        }
        let read =
            Manifest { previous: read_previous(manifest.take("previous")?)?, signers: read_signers(&mut manifest)? };
        check_header(&mut manifest, &root)?;
        manifest.end()?;
        check_signers(&read, &root)?;
        Ok(Self { root, manifest: read })
    }
}

fn number(number: u64) -> Value {
    // Versions and thresholds are below 2^53, so that they always fit.
    Value::from(i64::try_from(number).unwrap_or(i64::MAX))
}

fn manifest_value(root: &RootFile, manifest: &Manifest) -> Value {
    let Manifest { previous, signers } = manifest;
    let previous = previous.map_or(Value::Null, |Previous { version, signed_digest, threshold }| {
        Value::from([
            ("version", number(version.get())),
            ("signed_sha256", Value::from(signed_digest.to_string())),
            ("threshold", number(threshold)),
        ])
    });
    let signer = |(key, signer): (&KeyId, &Signer)| {
        let Signer { name, key_id, old, new } = signer;
        let name = name.as_ref().map_or(Value::Null, |name| Value::from(name.as_str()));
        let members = [
            ("name", name),
            ("key_id", Value::from(key_id.as_str())),
            ("old", Value::Bool(*old)),
            ("new", Value::Bool(*new)),
        ];
        (key.to_string(), Value::from(members))
    };
    Value::from([
        ("version", number(root.root().version.get())),
        ("expires", Value::from(root.root().expires.to_string())),
        ("signed_sha256", Value::from(root.root().signed_digest.to_string())),
        ("threshold", number(threshold(root))),
        ("previous", previous),
        ("signers", Value::Object(Object::of(signers.iter().map(signer)))),
    ])
}

fn threshold(root: &RootFile) -> u64 {
    root.root().roles.get(&Role::Root).map_or(u64::MAX, |role| role.threshold)
}

fn read_previous(value: Value) -> Result<Option<Previous>, String> {
    if value == Value::Null {
        return Ok(None);
    }
    let mut members = Members::of(value, "the manifest's previous")?;
    let version = Version::new(members.number("version")?).ok_or("the version of previous is outside 1 to 2^53 - 1")?;
    let previous =
        Previous { version, signed_digest: members.parsed("signed_sha256")?, threshold: members.number("threshold")? };
    members.end()?;
    Ok(Some(previous))
}

fn read_signers(manifest: &mut Members) -> Result<BTreeMap<KeyId, Signer>, String> {
    let Value::Object(signers) = manifest.take("signers")? else {
        return Err("`signers` of the manifest is not an object".to_owned());
    };
    let read = |(key, value): (&str, &Value)| {
        let id: KeyId = key.parse().map_err(|_| "a key in `signers` is no SHA-256 digest".to_owned())?;
        if id.to_string() != key {
            return Err("a key in `signers` is not in lower case".to_owned());
        }
        let mut members = Members::of(value.clone(), "a signer")?;
        let name = members.optional_text("name")?;
        let name = name.map(|name| name.parse::<HolderName>().map_err(|error| error.to_string())).transpose()?;
        let (key_id, old, new) = (members.text("key_id")?, members.boolean("old")?, members.boolean("new")?);
        members.end()?;
        Ok((id, Signer { name, key_id, old, new }))
    };
    signers.iter().map(read).collect()
}

fn check_header(manifest: &mut Members, root: &RootFile) -> Result<(), String> {
    let read = root.root();
    let differs = |what: &str| Err(format!("the manifest's {what} is not the envelope's"));
    if manifest.number("version")? != read.version.get() {
        return differs("version");
    }
    if manifest.text("expires")? != read.expires.to_string() {
        return differs("expires");
    }
    if manifest.text("signed_sha256")? != read.signed_digest.to_string() {
        return differs("signed_sha256");
    }
    if manifest.number("threshold")? != threshold(root) {
        return differs("threshold");
    }
    Ok(())
}

/// What can be checked without the root before.
fn check_signers(manifest: &Manifest, root: &RootFile) -> Result<(), String> {
    let Manifest { previous, signers } = manifest;
    let listed = Manifest::of(root, None, &BTreeMap::new()).signers;
    let new: BTreeMap<_, _> = signers.iter().filter(|(_, signer)| signer.new).collect();
    let same = new.len() == listed.len()
        && listed.iter().all(|(key, signer)| new.get(key).is_some_and(|new| new.key_id == signer.key_id));
    if !same {
        return Err("the manifest's new signers are not those of the envelope".to_owned());
    }
    if signers.values().any(|signer| !signer.new && (!signer.old || previous.is_none())) {
        return Err("the manifest has a signer that no root lists".to_owned());
    }
    let mut names = BTreeSet::new();
    match signers.values().filter_map(|signer| signer.name.as_ref()).find(|name| !names.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(format!("the manifest calls two signers {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, mutations, root, signed_root};

    fn proposal() -> Proposal {
        let [a, b, c, d] = TestKey::four();
        let first = RootFile::parse(&signed_root(1, 1, &[&a, &b], &c)).unwrap();
        let names = [(a.public().id(), "alice".parse().unwrap()), (d.public().id(), "dave".parse().unwrap())];
        Proposal::of(root(2, 2, &[&a, &d], &c), Some(&first), &names.into())
    }

    #[test]
    fn a_proposal_survives_its_file() {
        let proposal = proposal();
        let read = Proposal::parse(&proposal.to_file()).unwrap();
        assert_eq!(read.manifest, proposal.manifest);
        assert_eq!(read.root.root().signed_digest, proposal.root.root().signed_digest);
        let roles: Vec<_> = read.manifest.signers.values().map(|signer| (signer.old, signer.new)).collect();
        assert_eq!(roles.iter().filter(|both| **both == (true, true)).count(), 1);
        assert_eq!(roles.iter().filter(|both| **both == (true, false)).count(), 1);
        assert_eq!(roles.iter().filter(|both| **both == (false, true)).count(), 1);
    }

    #[test]
    fn a_changed_part_is_noticed() {
        let text = String::from_utf8(proposal().to_file()).unwrap();
        for (from, to, cause) in [
            ("\"threshold\":2,\"version\":2}", "\"threshold\":1,\"version\":2}", "threshold"),
            ("\"threshold\":2}", "\"threshold\":1}", "signed_sha256"),
            ("2030-01-01", "2031-01-01", "signed_sha256"),
            ("\"name\":\"dave\"", "\"name\":\"alice\"", "calls two signers alice"),
            ("\"new\":true,\"old\":false", "\"new\":false,\"old\":false", "new signers"),
            ("\"signatures\":[]", "\"signatures\":[{\"keyid\":\"a\",\"sig\":\"\"}]", "carries no signatures"),
            ("\"signatures\":[]", "\"signatures\":[],\"x\":0", "members beside"),
            ("\"v\":1", "\"v\":1,\"x\":0", "`x`"),
            ("\"manifest\":{", "\"manifest\":{\"x\":0,", "`x`"),
            ("\"previous\":{", "\"previous\":{\"x\":0,", "`x`"),
            ("\"old\":true", "\"old\":true,\"x\":0", "`x`"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            let refused = Proposal::parse(changed.as_bytes()).unwrap_err();
            assert!(refused.contains(cause), "{from}: {refused}");
        }
        let gone = text.replace("\"previous\":{", "\"previous\":null,\"previouz\":{");
        assert!(Proposal::parse(gone.as_bytes()).is_err());
    }

    #[test]
    fn malformed_files_are_refused() {
        let text = proposal().to_file();
        for end in 0..text.len() - 1 {
            assert!(Proposal::parse(&text[..end]).is_err(), "{end}");
        }
        mutations(&text, |bytes| drop(Proposal::parse(bytes)));
        let deep = format!("{{\"envelope\":{}", "[".repeat(100_000));
        assert!(Proposal::parse(deep.as_bytes()).unwrap_err().contains("deep"));
    }
}
