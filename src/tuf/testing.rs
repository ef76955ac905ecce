//! Keys and roots for this room's tests.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use crate::domain::public_key::PublicKey;

use super::canonical::{Object, Value, encode};
use super::envelope::{EnvelopeSignature, assemble};
use super::key_id::{default_form, default_object};

pub(super) struct SoftKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SoftKey {
    /// The same key for the same number, always.
    pub(super) fn numbered(number: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
        let public = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
        Self { pair, public }
    }

    pub(super) fn four() -> [Self; 4] {
        [1, 2, 3, 4].map(Self::numbered)
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn key_id(&self) -> String {
        default_form(&self.public).key_id
    }

    pub(super) fn sign(&self, signed: &[u8]) -> EnvelopeSignature {
        EnvelopeSignature { key_id: self.key_id(), signature: self.pair.sign(signed).as_ref().to_vec() }
    }
}

/// A root with one threshold for root, and one other key set for the three other roles.
pub(super) fn root_value(version: i64, threshold: i64, root: &[&SoftKey], online: &[&SoftKey]) -> Value {
    let role = |keys: &[&SoftKey], threshold: i64| {
        let ids = keys.iter().map(|key| Value::from(key.key_id())).collect();
        Value::from([("keyids", Value::Array(ids)), ("threshold", Value::from(threshold))])
    };
    let keys = root.iter().chain(online).map(|key| (key.key_id(), default_object(key.public())));
    let roles = Value::from([
        ("root", role(root, threshold)),
        ("targets", role(online, 1)),
        ("snapshot", role(online, 1)),
        ("timestamp", role(online, 1)),
    ]);
    Value::from([
        ("_type", Value::from("root")),
        ("consistent_snapshot", Value::Bool(true)),
        ("expires", Value::from("2030-01-01T00:00:00Z")),
        ("keys", Value::Object(Object::of(keys))),
        ("roles", roles),
        ("spec_version", Value::from("1.0.31")),
        ("version", Value::from(version)),
    ])
}

pub(super) fn root_signed(version: i64, threshold: i64, root: &[&SoftKey], online: &[&SoftKey]) -> Vec<u8> {
    encode(&root_value(version, threshold, root, online))
}

pub(super) fn signed_by(signed: &[u8], keys: &[&SoftKey]) -> Vec<u8> {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(signed)).collect();
    assemble(signed, &signatures).unwrap()
}
