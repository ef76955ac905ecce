//! Keys, roots and hostile bytes for this room's tests.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use crate::domain::public_key::PublicKey;
use crate::tuf::canonical::{Object, Value, encode};
use crate::tuf::envelope::{EnvelopeSignature, assemble};
use crate::tuf::key_id::{default_form, default_object};
use crate::tuf::root::RootFile;

pub(super) struct TestKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl TestKey {
    /// The same key for the same number, always.
    pub(super) fn new(number: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
        let public = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
        Self { pair, public }
    }

    pub(super) fn four() -> [Self; 4] {
        [1, 2, 3, 4].map(Self::new)
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn key_id(&self) -> String {
        default_form(&self.public).key_id
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// A root of some holders and one key for everything else.
pub(super) fn root(version: i64, threshold: i64, holders: &[&TestKey], online: &TestKey) -> RootFile {
    let role = |keys: &[&TestKey], threshold: i64| {
        let ids = keys.iter().map(|key| Value::from(key.key_id())).collect();
        Value::from([("keyids", Value::Array(ids)), ("threshold", Value::from(threshold))])
    };
    let keys = holders.iter().chain([&online]).map(|key| (key.key_id(), default_object(key.public())));
    let signed = Value::from([
        ("_type", Value::from("root")),
        ("consistent_snapshot", Value::Bool(true)),
        ("expires", Value::from("2030-01-01T00:00:00Z")),
        ("keys", Value::Object(Object::of(keys))),
        (
            "roles",
            Value::from([
                ("root", role(holders, threshold)),
                ("targets", role(&[online], 1)),
                ("snapshot", role(&[online], 1)),
                ("timestamp", role(&[online], 1)),
            ]),
        ),
        ("spec_version", Value::from("1.0.31")),
        ("version", Value::from(version)),
    ]);
    RootFile::from_signed(&encode(&signed)).unwrap()
}

/// As [`root`], signed by each of its holders.
pub(super) fn signed_root(version: i64, threshold: i64, holders: &[&TestKey], online: &TestKey) -> Vec<u8> {
    let signed = root(version, threshold, holders, online).envelope().signed.clone();
    let sign = |key: &&TestKey| EnvelopeSignature { key_id: key.key_id(), signature: key.sign(&signed) };
    let signatures: Vec<_> = holders.iter().map(sign).collect();
    assemble(&signed, &signatures).unwrap()
}

/// A file with each byte changed in three ways: readers may refuse, or read on, but never panic.
pub(super) fn mutations(bytes: &[u8], mut read: impl FnMut(&[u8])) {
    for at in 0..bytes.len() {
        for byte in [0, b'"', bytes[at] ^ 0x80] {
            let mut changed = bytes.to_vec();
            changed[at] = byte;
            read(&changed);
        }
    }
}
