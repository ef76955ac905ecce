//! The engine's answers as messages.

use crate::domain::approval::Subject;
use crate::domain::grant::Grant;
use crate::domain::key::KeyRecord;
use crate::domain::law::rotation::Checklist;
use crate::domain::public_key::PublicKey;
use crate::domain::root::{Roots, VerifiedRoot};
use crate::domain::thresholds::Thresholds;
use crate::domain::time::Instant;
use crate::engine::{
    ConfigurationStatus, DelegationMet, Explanation, KeySigned, KeyUse, Latch, Released, Signed, Status, Waiting,
    key_forms,
};
use crate::wire::v1;

pub(super) fn signed(signed: Signed, request_id: &str) -> v1::SignResponse {
    let Signed { signatures, refusals, trusted_threshold_met, staged_threshold_met, delegations, version, digest } =
        signed;
    let delegation = |one: DelegationMet| v1::DelegationThreshold {
        delegator: one.delegator.to_string(),
        threshold: one.threshold,
        met: one.met,
    };
    v1::SignResponse {
        signatures: signatures.into_iter().map(key_signature).collect(),
        refusals: refusals
            .into_iter()
            .map(|(key, denial)| v1::KeyRefusal { key: key.to_string(), refusal: Some(denial.into()) })
            .collect(),
        trusted_threshold_met,
        staged_threshold_met,
        delegations: delegations.into_iter().map(delegation).collect(),
        version: version.get(),
        digest: digest.to_string(),
        request_id: request_id.to_owned(),
    }
}

fn key_signature(one: KeySigned) -> v1::KeySignature {
    let KeySigned { key, tuf_key_id, signature, step, scheme } = one;
    v1::KeySignature {
        key: key.to_string(),
        tuf_key_id,
        signature: signature.into(),
        step: step.name().to_owned(),
        scheme: scheme.to_owned(),
    }
}

pub(super) fn released(released: Released) -> v1::GetReleasedResponse {
    let Released {
        file,
        version,
        digest,
        epoch,
        released,
        released_for,
        signatures,
        trusted_threshold_met,
        staged_threshold_met,
    } = released;
    v1::GetReleasedResponse {
        file: file.into(),
        version: version.get(),
        digest: digest.to_string(),
        epoch,
        released: released.to_string(),
        released_for,
        signatures: signatures.into_iter().map(key_signature).collect(),
        trusted_threshold_met,
        staged_threshold_met,
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
        activated: text(record.history.activated),
        retired: text(record.history.retired),
        destroy_due: text(record.history.destruction.map(|destruction| destruction.due)),
        destroyed: text(record.history.destroyed),
    }
}

/// A time, or nothing for none.
fn text(at: Option<Instant>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

pub(super) fn rotation(checklist: Checklist, repository: String) -> v1::GetRotationResponse {
    let Checklist { phase, lines, notes } = checklist;
    v1::GetRotationResponse {
        repository,
        phase: phase.name().to_owned(),
        steps: lines
            .into_iter()
            .map(|line| v1::RotationStep {
                name: line.step.name().to_owned(),
                state: line.state.name().to_owned(),
                seen_here: line.step.is_seen_here(),
                detail: line.detail,
                command: line.command,
            })
            .collect(),
        notes,
    }
}

fn key_use(key: &KeyUse) -> v1::KeyUse {
    let bounds = |bounds: Thresholds| v1::Thresholds { warn: bounds.warn, stage: bounds.stage, refuse: bounds.refuse };
    v1::KeyUse {
        key: key.key.to_string(),
        repository: key.repository.to_string(),
        role: key.role.to_string(),
        age_seconds: key.age,
        cryptoperiod: Some(bounds(key.cryptoperiod)),
        age_level: key.age_level().name().to_owned(),
        signatures: key.signatures,
        max_signatures: Some(bounds(key.max_signatures)),
        signatures_level: key.signatures_level().name().to_owned(),
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

pub(super) fn pending(waiting: Waiting) -> v1::Pending {
    let state = waiting.state();
    let Waiting { pending, needed, approvers, uncounted, void } = waiting;
    let rejected = pending.rejection.as_ref().map(|rejection| rejection.code.name());
    let mut answer = v1::Pending {
        id: pending.id().to_string(),
        verb: String::new(),
        state: state.to_owned(),
        cause: rejected.or(void).unwrap_or_default().to_owned(),
        repository: pending.subject.repository().map(ToString::to_string).unwrap_or_default(),
        role: pending.subject.role().map(ToString::to_string).unwrap_or_default(),
        digest: pending.subject.digest().to_string(),
        length: pending.length,
        version: 0,
        payload_expires: String::new(),
        keys: Vec::new(),
        requesters: pending.requesters.iter().map(ToString::to_string).collect(),
        needed,
        approvers: approvers.iter().map(ToString::to_string).collect(),
        asked: pending.asked.to_string(),
        expires: pending.expires.to_string(),
        uncounted: uncounted.iter().map(ToString::to_string).collect(),
    };
    match pending.subject {
        Subject::Act(act) => answer.verb = act.verb,
        Subject::Signature(binding) => {
            answer.verb = "sign".to_owned();
            answer.version = binding.version.get();
            answer.payload_expires = binding.expires.to_string();
            answer.keys = binding.keys.iter().map(ToString::to_string).collect();
        }
    }
    answer
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
    let Status {
        dev,
        ledger_id,
        latches,
        freezes,
        keystores,
        guards,
        key_uses,
        tree_size,
        warnings,
        started,
        configuration,
    } = status;
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
        key_uses: key_uses.iter().map(key_use).collect(),
        tree_size,
        verifier_key: verifier_key.to_owned(),
        warnings,
        started: started.to_string(),
        configuration: configuration.map(in_force),
        freezes: freezes.iter().map(super::freezes::present).collect(),
    }
}

pub(super) fn latch(latch: Latch) -> v1::Latch {
    let Latch { name, scope, cause, resolve } = latch;
    v1::Latch { name: name.to_owned(), scope, cause, resolve }
}

fn in_force(status: ConfigurationStatus) -> v1::Configuration {
    let ConfigurationStatus { digest, since, refused } = status;
    let (refused, problems) = refused.map_or_else(Default::default, |(at, problems)| (at.to_string(), problems));
    v1::Configuration { sha256: digest.to_string(), since: since.to_string(), refused, problems }
}
