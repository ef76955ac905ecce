//! What exists before the first crash: repositories with their keys and first versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::audit::note::VerifierKey;
use sealward::client::messages::{GenerateKeyRequest, GetCheckpointRequest, PublishRootRequest};
use sealward::client::{Client, TlsFiles};
use sealward::domain::name::Sha256Digest;
use sealward::domain::public_key::PublicKey;
use sealward::tuf::canonical::{Object, Value, encode};
use sealward::tuf::envelope::{EnvelopeSignature, assemble};
use sealward::tuf::key_id::{default_form, default_object};

use crate::clients::{Caller, Keys, Shared, ask};
use crate::oracle::BoundKey;
use crate::random::Random;
use crate::support::{in_seconds, snapshot, targets, timestamp};
use crate::world::{PATIENCE, World};

/// Each with its algorithm and how many keys a role has. An ECDSA signature that is made again is another one, and so it
/// cannot hide. The last one has a root.
const REPOSITORIES: [(&str, &str, usize); 3] =
    [("alpha", "ed25519", 1), ("beta/main", "ecdsa-p256", 1), (ROOTED, "ecdsa-p256", 2)];
const ROOTED: &str = "docker.io/library/gamma";
const ROLES: [&str; 3] = ["targets", "snapshot", "timestamp"];

pub(crate) struct Setup {
    pub(crate) keys: BTreeMap<String, BoundKey>,
    pub(crate) verifier_key: VerifierKey,
}

impl Setup {
    /// By repository and role.
    pub(crate) fn by_role(&self) -> Keys {
        let mut by_role = Keys::new();
        for (id, key) in &self.keys {
            by_role.entry((key.repository.clone(), key.role.clone())).or_default().push(id.clone());
        }
        by_role
    }
}

/// Makes the keys and signs version 1 of everything, through the daemon that runs.
pub(crate) async fn prepare(world: &World, shared: &Arc<Shared>, random: &mut Random) -> Setup {
    let client = Client::connect(&shared.server, &TlsFiles::default(), PATIENCE).await.unwrap();
    let text = client.get_checkpoint(GetCheckpointRequest {}).await.unwrap().verifier_key;
    let mut setup = Setup { keys: BTreeMap::new(), verifier_key: VerifierKey::parse(&text).unwrap() };
    let mut caller = Caller::new("setup", Arc::clone(shared), Keys::new(), world.journal("setup"), random.split());
    for (repository, algorithm, keys) in REPOSITORIES {
        for (number, role) in (0..keys).flat_map(|number| ROLES.map(|role| (number, role))) {
            let request = GenerateKeyRequest {
                repository: repository.to_owned(),
                roles: vec![role.to_owned()],
                algorithm: algorithm.to_owned(),
                new_repository: number == 0 && role == ROLES[0],
                ..GenerateKeyRequest::default()
            };
            let made = client.generate_key(request).await.unwrap().key.unwrap().public_key.unwrap();
            let public_key = PublicKey::from_spki_der(&made.spki_der).unwrap();
            let (repository, role) = (repository.to_owned(), role.to_owned());
            setup.keys.insert(public_key.id().to_string(), BoundKey { public_key, repository, role });
        }
        if repository == ROOTED {
            publish_root(&client, &setup).await;
        }
        let expires = in_seconds(3600);
        let payloads = [targets(1, &expires), snapshot(1, 1, &[], &expires), timestamp(1, 1, &expires)];
        for (role, payload) in ROLES.into_iter().zip(payloads) {
            let id = format!("setup/{repository}/{role}");
            caller.settle(vec![ask(&id, repository, role, 1, payload)]).await;
        }
    }
    assert_eq!(shared.heads().len(), REPOSITORIES.len() * ROLES.len(), "every role has its first version");
    setup
}

/// A first root that lists every key of the repository; its own key is made here, and forgotten.
async fn publish_root(client: &Client, setup: &Setup) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let root_key = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
    let online = |role: &str| {
        let keys = setup.keys.values().filter(|key| key.repository == ROOTED && key.role == role);
        keys.map(|key| key.public_key.clone()).collect::<Vec<_>>()
    };
    let roles: Vec<(&str, Vec<PublicKey>)> =
        [("root", vec![root_key.clone()])].into_iter().chain(ROLES.map(|role| (role, online(role)))).collect();
    let listed = roles.iter().map(|(role, keys)| {
        let ids = keys.iter().map(|key| Value::from(default_form(key).key_id)).collect();
        let threshold = i64::try_from(keys.len()).unwrap();
        ((*role).to_owned(), Value::from([("keyids", Value::Array(ids)), ("threshold", Value::from(threshold))]))
    });
    let keys = roles.iter().flat_map(|(_, keys)| keys).map(|key| (default_form(key).key_id, default_object(key)));
    let signed = encode(&Value::from([
        ("_type", Value::from("root")),
        ("consistent_snapshot", Value::Bool(true)),
        ("expires", Value::from(in_seconds(24 * 60 * 60))),
        ("keys", Value::Object(Object::of(keys))),
        ("roles", Value::Object(Object::of(listed))),
        ("spec_version", Value::from("1.0.31")),
        ("version", Value::from(1_i64)),
    ]));
    let signature = pair.sign(&signed).as_ref().to_vec();
    let file = assemble(&signed, &[EnvelopeSignature { key_id: default_form(&root_key).key_id, signature }]).unwrap();
    let pin = Sha256Digest::of(&file).to_string();
    let request =
        PublishRootRequest { repository: ROOTED.to_owned(), file: file.into(), pin, ..PublishRootRequest::default() };
    client.publish_root(request).await.unwrap();
}
