//! GetReleased: what a role released last, for whoever lost what we signed.

use std::collections::BTreeSet;

use super::audited::Scope;
use super::sign::listed_key_id;
use super::{Call, Engine, KeySigned, parse};
use crate::domain::grant::Verb;
use crate::domain::guard::{GuardName, KEPT_PAYLOAD_BYTES, Step};
use crate::domain::law::sign::{Delegators, meets_threshold};
use crate::domain::name::{RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::signature::Encoding;
use crate::domain::time::Instant;
use crate::ledger::{Kept, View};
use crate::tuf;

/// Which payload is asked for.
#[derive(Clone, Debug, Default)]
pub struct ReleasedQuery {
    /// The repository's name.
    pub repository: String,
    /// The role's name.
    pub role: String,
    /// The version; 0 for the newest.
    pub version: u64,
    /// The epoch; 0 for the newest.
    pub epoch: u32,
}

/// The newest released payload of a role, ready to be published.
#[derive(Clone, Debug)]
pub struct Released {
    /// The file: the payload with its signatures.
    pub file: Vec<u8>,
    /// The version.
    pub version: Version,
    /// The payload's digest.
    pub digest: Sha256Digest,
    /// The epoch.
    pub epoch: u32,
    /// When it was released first.
    pub released: Instant,
    /// For whom.
    pub released_for: String,
    /// The signatures, each as the replay that it is.
    pub signatures: Vec<KeySigned>,
    /// Whether they meet the role's threshold in the trusted root.
    pub trusted_threshold_met: Option<bool>,
    /// The same for the staged root.
    pub staged_threshold_met: Option<bool>,
}

impl Engine {
    /// Gives the newest released payload of a role back. For callers that may sign the role or read it.
    pub async fn get_released(&self, call: &Call, query: ReleasedQuery) -> Result<Released, Denial> {
        self.audited(call, "get-released", async |scope| {
            let repository: RepositoryName = parse("repository", &query.repository)?;
            let role: Role = parse("role", &query.role)?;
            *scope = Scope::of(&repository, Some(&role));
            let rules = self.rules();
            rules
                .admit_role(call, Verb::Sign, &repository, &role)
                .or_else(|_| rules.admit_role(call, Verb::Read, &repository, &role))?;
            scope.admit();
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let newest = view.guards.get(&role).map(|guard| guard.name.clone());
            let name = match (query.epoch, newest) {
                (0, Some(newest)) => newest,
                (0, None) => return Err(nothing_known(&repository, &role)),
                (epoch, _) => GuardName { repository: repository.clone(), role: role.clone(), epoch },
            };
            let kept = self.ledger.guard(&name).map_err(|error| error.denial())?;
            let kept = kept.ok_or_else(|| nothing_known(&repository, &role))?;
            let work = tokio::task::spawn_blocking(move || compose(kept, &view, query.version));
            work.await.unwrap_or_else(|_| Err(Denial::new(Reason::Internal, "composing the file ended in a panic")))
        })
        .await
    }
}

fn nothing_known(repository: &RepositoryName, role: &Role) -> Denial {
    Denial::new(Reason::Unseeded, format!("nothing is known of what {role} of {repository} released"))
}

fn compose(kept: Kept, view: &View, version: u64) -> Result<Released, Denial> {
    let Kept { guard, payload } = kept;
    let name = &guard.name;
    let role = &name.role;
    let refused = |why: String| Err(Denial::new(Reason::NotKept, why));
    let Some(head) = guard.head else {
        return refused(format!("{role} of {} released nothing in epoch {}", name.repository, name.epoch));
    };
    if version != 0 && version != head.version.get() {
        return refused(format!("{role} {version} is asked for; {role} {} is the newest", head.version));
    }
    if head.signatures.is_empty() {
        let seeded = format!("{role} {} was seeded from its published file, which has its signatures", head.version);
        return refused(seeded);
    }
    let Some(payload) = payload else {
        let large = format!("{role} {} has more than {KEPT_PAYLOAD_BYTES} bytes, and was not kept", head.version);
        return refused(large);
    };
    let delegators = Delegators::of(&view.guards, role);
    let signed = |(id, signature): (&KeyId, &crate::domain::signature::Signature)| {
        let record = view.keys.iter().find(|record| record.id() == *id)?;
        Some(KeySigned {
            key: *id,
            tuf_key_id: listed_key_id(&view.roots, || delegators.key_id_for(id), role, record),
            signature: signature.encode(Encoding::Der),
            step: Step::Replay,
            scheme: record.public_key.algorithm().tuf_scheme(),
        })
    };
    let signatures: Vec<KeySigned> = head.signatures.iter().filter_map(signed).collect();
    let envelope: Vec<_> = signatures
        .iter()
        .map(|one| tuf::envelope::EnvelopeSignature {
            key_id: one.tuf_key_id.clone(),
            signature: one.signature.clone(),
        })
        .collect();
    let keys: BTreeSet<KeyId> = head.signatures.keys().copied().collect();
    let met = |root: &Option<_>| root.as_ref().map(|root| meets_threshold(root, role, &keys));
    Ok(Released {
        file: tuf::envelope::assemble(&payload, &envelope)?,
        version: head.version,
        digest: head.digest,
        epoch: name.epoch,
        released: head.released,
        released_for: head.by,
        signatures,
        trusted_threshold_met: met(&view.roots.trusted),
        staged_threshold_met: met(&view.roots.staged),
    })
}
