//! Roots made in a test, with root keys that the test holds.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::client::messages::Key;
use sealward::domain::public_key::PublicKey;
use sealward::tuf::canonical::{Value, encode};
use sealward::tuf::envelope::{EnvelopeSignature, assemble};
use sealward::tuf::key_id::{default_form, default_object};

/// A root key in the test's hands.
pub struct Holder {
    pair: Ed25519KeyPair,
    /// Its public half.
    pub public: PublicKey,
}

impl Holder {
    /// A fresh one.
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
        Self { pair, public }
    }

    /// Its signature under its usual key id.
    pub fn sign(&self, message: &[u8]) -> EnvelopeSignature {
        EnvelopeSignature {
            key_id: default_form(&self.public).key_id,
            signature: self.pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// What a root is to say.
pub struct RootPlan<'a> {
    /// Its version.
    pub version: i64,
    /// Who may sign root, with the threshold.
    pub root: (&'a [&'a Holder], i64),
    /// Keys of the other roles, threshold 1.
    pub roles: &'a [(&'a str, Vec<PublicKey>)],
    /// Its expiry.
    pub expires: &'a str,
}

impl RootPlan<'_> {
    /// The file, signed by these holders.
    pub fn signed_by(&self, holders: &[&Holder]) -> Vec<u8> {
        self.with_threshold(1, holders)
    }

    /// As [`Self::signed_by`], with another threshold of every role but root.
    pub fn with_threshold(&self, threshold: i64, holders: &[&Holder]) -> Vec<u8> {
        let mut keys = BTreeMap::new();
        let mut roles: BTreeMap<String, Value> = BTreeMap::new();
        let mut add = |role: &str, publics: Vec<&PublicKey>, threshold: i64| {
            let mut ids = Vec::new();
            for public in publics {
                let id = default_form(public).key_id;
                keys.insert(id.clone(), default_object(public));
                ids.push(Value::from(id));
            }
            let role_keys =
                object([("keyids".to_owned(), Value::Array(ids)), ("threshold".to_owned(), Value::Integer(threshold))]);
            roles.insert(role.to_owned(), role_keys);
        };
        add("root", self.root.0.iter().map(|holder| &holder.public).collect(), self.root.1);
        for (role, publics) in self.roles {
            add(role, publics.iter().collect(), threshold);
        }
        let signed = encode(&object([
            ("_type".to_owned(), Value::from("root".to_owned())),
            ("consistent_snapshot".to_owned(), Value::Bool(true)),
            ("expires".to_owned(), Value::from(self.expires.to_owned())),
            ("keys".to_owned(), object(keys)),
            ("roles".to_owned(), object(roles)),
            ("spec_version".to_owned(), Value::from("1.0.31".to_owned())),
            ("version".to_owned(), Value::Integer(self.version)),
        ]));
        let signatures: Vec<_> = holders.iter().map(|holder| holder.sign(&signed)).collect();
        assemble(&signed, &signatures).unwrap()
    }
}

fn object(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(sealward::tuf::canonical::Object::of(members))
}

/// The public key of a record that the daemon returned.
pub fn public(key: &Key) -> PublicKey {
    PublicKey::from_spki_der(&key.public_key.as_ref().unwrap().spki_der).unwrap()
}
