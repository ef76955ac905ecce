//! What exists before the first crash: repositories with their keys and first versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealward::audit::note::VerifierKey;
use sealward::client::messages::{GenerateKeyRequest, GetCheckpointRequest};
use sealward::client::{Client, TlsFiles};
use sealward::domain::public_key::PublicKey;

use crate::clients::{Caller, Shared, ask};
use crate::oracle::BoundKey;
use crate::random::Random;
use crate::support::{in_seconds, snapshot, targets, timestamp};
use crate::world::{PATIENCE, World};

/// Each with its algorithm. An ECDSA signature that is made again is another one, and so it cannot hide.
const REPOSITORIES: [(&str, &str); 3] =
    [("alpha", "ed25519"), ("beta/main", "ecdsa-p256"), ("docker.io/library/gamma", "ecdsa-p256")];
const ROLES: [&str; 3] = ["targets", "snapshot", "timestamp"];

pub(crate) struct Setup {
    pub(crate) keys: BTreeMap<String, BoundKey>,
    pub(crate) verifier_key: VerifierKey,
}

/// Makes the keys and signs version 1 of everything, through the daemon that runs.
pub(crate) async fn prepare(world: &World, shared: &Arc<Shared>, random: &mut Random) -> Setup {
    let client = Client::connect(&shared.server, &TlsFiles::default(), PATIENCE).await.unwrap();
    let text = client.get_checkpoint(GetCheckpointRequest {}).await.unwrap().verifier_key;
    let verifier_key = VerifierKey::parse(&text).unwrap();
    let mut keys = BTreeMap::new();
    let mut caller = Caller::new("setup", Arc::clone(shared), world.journal("setup"), random.split());
    for (repository, algorithm) in REPOSITORIES {
        for role in ROLES {
            let request = GenerateKeyRequest {
                repository: repository.to_owned(),
                roles: vec![role.to_owned()],
                algorithm: algorithm.to_owned(),
                new_repository: role == ROLES[0],
                ..GenerateKeyRequest::default()
            };
            let made = client.generate_key(request).await.unwrap().key.unwrap().public_key.unwrap();
            let public_key = PublicKey::from_spki_der(&made.spki_der).unwrap();
            let (repository, role) = (repository.to_owned(), role.to_owned());
            keys.insert(public_key.id().to_string(), BoundKey { public_key, repository, role });
        }
        let expires = in_seconds(3600);
        let payloads = [targets(1, &expires), snapshot(1, 1, &[], &expires), timestamp(1, 1, &expires)];
        for (role, payload) in ROLES.into_iter().zip(payloads) {
            let id = format!("setup/{repository}/{role}");
            caller.settle(vec![ask(&id, repository, role, 1, payload)]).await;
        }
    }
    assert_eq!(shared.heads().len(), REPOSITORIES.len() * ROLES.len(), "every role has its first version");
    Setup { keys, verifier_key }
}
