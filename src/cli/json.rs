//! Messages as JSON, by exhaustive destructuring: a new field does not compile until it has its place here.

use serde_json::{Value, json};

use crate::client::messages::{
    Freeze, GrantSummary, GuardStatus, Key, KeySignature, KeystoreStatus, Latch, PublicKey, Refusal, RootRole,
    RootState, RootSummary, TufKeyForm,
};

pub(super) fn key(key: &Key) -> Value {
    let Key { public_key, repository, roles, keystore, state, kind, created } = key;
    json!({
        "public_key": public_key.as_ref().map(self::public_key),
        "repository": repository,
        "roles": roles,
        "keystore": keystore,
        "state": state,
        "kind": kind,
        "created": created,
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

pub(super) fn refusal(refusal: &Refusal) -> Value {
    let Refusal { reason, outcome, detail, advice } = refusal;
    json!({ "reason": reason, "outcome": outcome, "detail": detail, "advice": advice })
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
