//! The engine's answers as messages.

use crate::domain::grant::Grant;
use crate::domain::key::KeyRecord;
use crate::domain::public_key::PublicKey;
use crate::domain::root::{Roots, VerifiedRoot};
use crate::domain::time::Instant;
use crate::engine::{Explanation, Latch, Signed, Status, key_forms};
use crate::wire::v1;

pub(super) fn signed(signed: Signed, request_id: &str) -> v1::SignResponse {
    let Signed { signatures, refusals, trusted_threshold_met, staged_threshold_met, version, digest } = signed;
    v1::SignResponse {
        signatures: signatures
            .into_iter()
            .map(|one| v1::KeySignature {
                key: one.key.to_string(),
                tuf_key_id: one.tuf_key_id,
                signature: one.signature.into(),
                step: one.step.name().to_owned(),
                scheme: one.scheme.to_owned(),
            })
            .collect(),
        refusals: refusals
            .into_iter()
            .map(|(key, denial)| v1::KeyRefusal { key: key.to_string(), refusal: Some(denial.into()) })
            .collect(),
        trusted_threshold_met,
        staged_threshold_met,
        version: version.get(),
        digest: digest.to_string(),
        request_id: request_id.to_owned(),
    }
}

pub(super) fn explanation(explanation: Explanation) -> v1::ExplainResponse {
    let Explanation { refusal, keys, released_version } = explanation;
    let verdict = |(key, step): (crate::domain::public_key::KeyId, Result<crate::domain::guard::Step, _>)| match step {
        Ok(step) => v1::KeyVerdict { key: key.to_string(), step: step.name().to_owned(), refusal: None },
        Err(denial) => {
            v1::KeyVerdict { key: key.to_string(), step: String::new(), refusal: Some(v1::Refusal::from(denial)) }
        }
    };
    v1::ExplainResponse {
        allowed: refusal.is_none(),
        refusal: refusal.map(Into::into),
        keys: keys.into_iter().map(verdict).collect(),
        released_version,
    }
}

pub(super) fn public_key(key: &PublicKey) -> v1::PublicKey {
    let forms = key_forms(key);
    let first = forms.first();
    v1::PublicKey {
        key: key.id().to_string(),
        algorithm: key.algorithm().name().to_owned(),
        spki_der: key.spki_der().to_vec().into(),
        pem: key.to_pem(),
        tuf_json: first.map(|form| form.json.clone()).unwrap_or_default(),
        tuf_key_id: first.map(|form| form.key_id.clone()).unwrap_or_default(),
        tuf_key_forms: forms
            .iter()
            .map(|form| v1::TufKeyForm {
                form: form.form.to_owned(),
                key_id: form.key_id.clone(),
                json: form.json.clone(),
            })
            .collect(),
    }
}

pub(super) fn key(record: &KeyRecord) -> v1::Key {
    v1::Key {
        public_key: Some(public_key(&record.public_key)),
        repository: record.repository.to_string(),
        roles: record.roles.iter().map(ToString::to_string).collect(),
        keystore: record.keystore.to_string(),
        state: record.state.name().to_owned(),
        kind: match record.kind {
            crate::domain::key::ContentKind::Tuf => "tuf".to_owned(),
        },
        created: record.created.to_string(),
    }
}

pub(super) fn root_state(roots: &Roots, keys: &[KeyRecord], now: Instant) -> v1::RootState {
    v1::RootState {
        repository: roots.repository.to_string(),
        trusted: roots.trusted.as_ref().map(|root| root_summary(root, now)),
        staged: roots.staged.as_ref().map(|root| root_summary(root, now)),
        keys: keys.iter().map(key).collect(),
    }
}

fn root_summary(root: &VerifiedRoot, now: Instant) -> v1::RootSummary {
    v1::RootSummary {
        version: root.version.get(),
        expires: root.expires.to_string(),
        digest: root.file_digest.to_string(),
        expired: root.expires <= now,
        roles: root
            .roles
            .iter()
            .map(|(role, keys)| v1::RootRole {
                role: role.to_string(),
                threshold: keys.threshold,
                tuf_key_ids: keys.keys.values().cloned().collect(),
            })
            .collect(),
    }
}

pub(super) fn grant(grant: &Grant) -> v1::GrantSummary {
    v1::GrantSummary {
        verbs: grant.verbs.iter().map(ToString::to_string).collect(),
        repositories: grant.repositories.iter().map(ToString::to_string).collect(),
        roles: grant.roles.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn status(status: Status, verifier_key: &str, now: Instant) -> v1::StatusResponse {
    let Status { dev, ledger_id, latches, keystores, guards, tree_size, warnings, started, freezes } = status;
    v1::StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dev,
        ledger_id,
        state: if latches.is_empty() { "serving" } else { "latched" }.to_owned(),
        latches: latches.into_iter().map(latch).collect(),
        keystores: keystores
            .into_iter()
            .map(|store| v1::KeystoreStatus {
                name: store.name.to_string(),
                kind: store.kind.to_owned(),
                state: store.state,
                since: store.since.map(|since| since.to_string()).unwrap_or_default(),
                algorithms: store.algorithms.iter().map(ToString::to_string).collect(),
                keys: store.keys.map_or(0, |keys| u64::try_from(keys).unwrap_or(u64::MAX)),
                orphans: store.orphans.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        guards: guards
            .into_iter()
            .map(|guard| v1::GuardStatus {
                repository: guard.repository.to_string(),
                role: guard.role.to_string(),
                epoch: guard.epoch,
                version: guard.head.map_or(0, |(version, _)| version),
                expires: guard.head.map(|(_, expires)| expires.to_string()).unwrap_or_default(),
                seconds_to_expiry: guard.head.map_or(0, |(_, expires)| expires.seconds_since(now)),
                rate_per_hour: guard.rate_per_hour.unwrap_or(0),
            })
            .collect(),
        tree_size,
        verifier_key: verifier_key.to_owned(),
        warnings,
        started: started.to_string(),
        freezes: freezes.iter().map(super::freezes::present).collect(),
    }
}

pub(super) fn latch(latch: Latch) -> v1::Latch {
    let Latch { name, scope, cause, resolve } = latch;
    v1::Latch { name: name.to_owned(), scope, cause, resolve }
}
