//! Messages as JSON, by exhaustive destructuring: a new field does not compile until it has its place here.

use serde_json::{Value, json};

use crate::client::messages::{
    Configuration, Freeze, GrantSummary, GuardStatus, Key, KeySignature, KeyUse, KeystoreStatus, Latch, Pending,
    PublicKey, Refusal, RootRole, RootState, RootSummary, Thresholds, TufKeyForm,
};

pub(super) fn key(key: &Key) -> Value {
    let Key {
        public_key,
        repository,
        roles,
        keystore,
        state,
        kind,
        created,
        activated,
        retired,
        destroy_due,
        destroyed,
    } = key;
    let happened = |at: &str| (!at.is_empty()).then(|| at.to_owned());
    json!({
        "public_key": public_key.as_ref().map(self::public_key),
        "repository": repository,
        "roles": roles,
        "keystore": keystore,
        "state": state,
        "kind": kind,
        "created": created,
        "activated": happened(activated),
        "retired": happened(retired),
        "destroy_due": happened(destroy_due),
        "destroyed": happened(destroyed),
    })
}

pub(super) fn public_key(public_key: &PublicKey) -> Value {
    let PublicKey { key, algorithm, spki_der, pem, tuf_json, tuf_key_id, tuf_key_forms } = public_key;
    let forms: Vec<_> = tuf_key_forms
        .iter()
        .map(|TufKeyForm { form, key_id, json }| json!({ "form": form, "key_id": key_id, "json": json }))
        .collect();
    json!({
        "key": key,
        "algorithm": algorithm,
        "spki_der": hex::encode(spki_der),
        "pem": pem,
        "tuf_json": tuf_json,
        "tuf_key_id": tuf_key_id,
        "tuf_key_forms": forms,
    })
}

pub(super) fn configuration(configuration: &Configuration) -> Value {
    let Configuration { sha256, since, refused, problems } = configuration;
    json!({ "sha256": sha256, "since": since, "refused": refused, "problems": problems })
}

pub(super) fn refusal(refusal: &Refusal) -> Value {
    let Refusal { reason, outcome, detail, advice, approval } = refusal;
    let approval = (!approval.is_empty()).then_some(approval);
    json!({ "reason": reason, "outcome": outcome, "detail": detail, "advice": advice, "approval": approval })
}

pub(super) fn pending(pending: &Pending) -> Value {
    let Pending {
        id,
        verb,
        state,
        cause,
        repository,
        role,
        digest,
        length,
        version,
        payload_expires,
        keys,
        requesters,
        needed,
        approvers,
        asked,
        expires,
        uncounted,
    } = pending;
    json!({
        "id": id,
        "verb": verb,
        "state": state,
        "cause": cause,
        "repository": repository,
        "role": role,
        "digest": digest,
        "length": length,
        "version": version,
        "payload_expires": payload_expires,
        "keys": keys,
        "requesters": requesters,
        "needed": needed,
        "approvers": approvers,
        "asked": asked,
        "expires": expires,
        "uncounted": uncounted,
    })
}

pub(super) fn key_signature(signature: &KeySignature) -> Value {
    let KeySignature { key, tuf_key_id, signature, step, scheme } = signature;
    json!({
        "key": key,
        "tuf_key_id": tuf_key_id,
        "signature": hex::encode(signature),
        "step": step,
        "scheme": scheme,
    })
}

pub(super) fn root_state(state: &RootState) -> Value {
    let RootState { repository, trusted, staged, keys } = state;
    json!({
        "repository": repository,
        "trusted": trusted.as_ref().map(root_summary),
        "staged": staged.as_ref().map(root_summary),
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
    })
}

fn root_summary(root: &RootSummary) -> Value {
    let RootSummary { version, expires, digest, expired, roles } = root;
    let roles: Vec<_> = roles
        .iter()
        .map(|RootRole { role, threshold, tuf_key_ids }| {
            json!({ "role": role, "threshold": threshold, "tuf_key_ids": tuf_key_ids })
        })
        .collect();
    json!({ "version": version, "expires": expires, "digest": digest, "expired": expired, "roles": roles })
}

pub(super) fn grant(grant: &GrantSummary) -> Value {
    let GrantSummary { verbs, repositories, roles } = grant;
    json!({ "verbs": verbs, "repositories": repositories, "roles": roles })
}

pub(super) fn latch(latch: &Latch) -> Value {
    let Latch { name, scope, cause, resolve } = latch;
    json!({ "name": name, "scope": scope, "cause": cause, "resolve": resolve })
}

pub(super) fn freeze(freeze: &Freeze) -> Value {
    let Freeze { scope, covers, since, by, reason_code } = freeze;
    let undo = super::freeze::arguments(&scope.clone().unwrap_or_default());
    json!({ "scope": undo, "covers": covers, "since": since, "by": by, "reason_code": reason_code })
}

pub(super) fn keystore(status: &KeystoreStatus) -> Value {
    let KeystoreStatus { name, kind, state, since, algorithms, keys, orphans } = status;
    json!({
        "name": name,
        "kind": kind,
        "state": state,
        "since": since,
        "algorithms": algorithms,
        "keys": keys,
        "orphans": orphans,
    })
}

pub(super) fn key_use(key: &KeyUse) -> Value {
    let KeyUse {
        key,
        repository,
        role,
        age_seconds,
        cryptoperiod,
        age_level,
        signatures,
        max_signatures,
        signatures_level,
    } = key;
    let bounds = |bounds: &Option<Thresholds>| {
        let Thresholds { warn, stage, refuse } = bounds.unwrap_or_default();
        json!({ "warn": warn, "stage": stage, "refuse": refuse })
    };
    json!({
        "key": key,
        "repository": repository,
        "role": role,
        "age_seconds": age_seconds,
        "cryptoperiod": bounds(cryptoperiod),
        "age_level": age_level,
        "signatures": signatures,
        "max_signatures": bounds(max_signatures),
        "signatures_level": signatures_level,
    })
}

pub(super) fn guard(status: &GuardStatus) -> Value {
    let GuardStatus { repository, role, epoch, version, expires, seconds_to_expiry, rate_per_hour } = status;
    json!({
        "repository": repository,
        "role": role,
        "epoch": epoch,
        "version": version,
        "expires": expires,
        "seconds_to_expiry": seconds_to_expiry,
        "rate_per_hour": rate_per_hour,
    })
}
