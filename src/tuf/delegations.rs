//! `delegations` in targets metadata (TUF specification 1.0.34, section 4.5): its shape, and who signs for which role.

use std::collections::BTreeMap;

use crate::domain::delegation::{Bins, Delegations};
use crate::domain::name::{Role, Sha256Digest};
use crate::domain::outcome::Denial;
use crate::domain::public_key::PublicKey;
use crate::domain::root::RoleKeys;

use super::canonical::{Object, Value, encode};
use super::fields::{key_ids, malformed, object, shown, threshold};
use super::key_id::read_key;

/// The member's keys as far as sealward can read them, by TUF key id.
type Keys<'a> = BTreeMap<&'a str, Option<PublicKey>>;
/// Distinct public keys by TUF key id.
pub(super) type Signers = BTreeMap<String, PublicKey>;

/// Keys, and either roles or succinct roles (TAP 15), each as python-tuf reads it. A key that sealward cannot read is one
/// that never signs here; a role whose name is none of ours never signs here either.
pub(super) fn read_delegations(delegations: &Object) -> Result<Delegations, Denial> {
    let objects = object(delegations, "keys").map_err(in_delegations)?;
    let keys = read_keys(objects)?;
    let digest = Sha256Digest::of(&encode(&Value::Object(delegations.clone())));
    match (delegations.get("roles"), delegations.get("succinct_roles")) {
        (Some(Value::Array(roles)), None) => Ok(Delegations::new(digest, read_roles(roles, objects, &keys)?, None)),
        (None, Some(Value::Object(roles))) => {
            Ok(Delegations::new(digest, [], Some(read_succinct_roles(roles, objects, &keys)?)))
        }
        _ => Err(malformed("delegations hold either roles, an array, or succinct_roles, an object")),
    }
}

fn in_delegations(denial: Denial) -> Denial {
    malformed(format!("delegations: {}", denial.detail))
}

/// Each key once: thousands of roles may share it.
fn read_keys(objects: &Object) -> Result<Keys<'_>, Denial> {
    objects.iter().map(|(id, key)| check_key(id, key).map(|()| (id, read_key(key)))).collect()
}

fn check_key(id: &str, key: &Value) -> Result<(), Denial> {
    let texts = ["keytype", "scheme"].iter().all(|member| key.get(member).and_then(Value::as_str).is_some());
    if texts && key.get("keyval").and_then(Value::as_object).is_some() {
        return Ok(());
    }
    Err(malformed(format!("delegations: key `{}` has not keytype, scheme and keyval", shown(id))))
}

fn read_roles(roles: &[Value], objects: &Object, keys: &Keys<'_>) -> Result<Vec<(Role, RoleKeys)>, Denial> {
    let mut names = std::collections::BTreeSet::new();
    let mut read = Vec::new();
    for role in roles {
        let role = role.as_object().ok_or_else(|| malformed("a delegated role is no object"))?;
        let name = role.get("name").and_then(Value::as_str).unwrap_or_default();
        if matches!(name, "" | "root" | "targets" | "snapshot" | "timestamp") {
            return Err(malformed(format!("a delegated role has the name `{name}`")));
        }
        if !names.insert(name) {
            return Err(malformed(format!("role `{}` is delegated to twice", shown(name))));
        }
        let signers = read_signers(role, name, objects, keys)?;
        if !matches!(role.get("terminating"), Some(Value::Bool(_))) {
            return Err(malformed(format!("delegated role `{}` does not say whether it is terminating", shown(name))));
        }
        let patterns = [role.get("paths"), role.get("path_hash_prefixes")];
        let is_texts = |value: &Value| value.as_array().is_some_and(|all| all.iter().all(|one| one.as_str().is_some()));
        if patterns.iter().flatten().count() != 1 || !patterns.iter().flatten().all(|value| is_texts(value)) {
            let detail =
                format!("delegated role `{}` has not exactly one of paths and path_hash_prefixes", shown(name));
            return Err(malformed(detail));
        }
        read.extend(name.parse().ok().map(|role| (role, signers)));
    }
    Ok(read)
}

fn read_succinct_roles(roles: &Object, objects: &Object, keys: &Keys<'_>) -> Result<Bins, Denial> {
    let signers = read_signers(roles, "succinct_roles", objects, keys)?;
    let bits = roles.get("bit_length").and_then(Value::as_integer).and_then(|bits| u32::try_from(bits).ok());
    let Some(bit_length) = bits.filter(|bits| (1..=32).contains(bits)) else {
        return Err(malformed("the bit_length of succinct_roles is no integer from 1 to 32"));
    };
    match roles.get("name_prefix").and_then(Value::as_str) {
        Some(prefix) => Ok(Bins { name_prefix: prefix.to_owned(), bit_length, signers }),
        None => Err(malformed("the name_prefix of succinct_roles is no string")),
    }
}

/// The public keys and the threshold that targets metadata gives to a delegated role; `None` when it does not delegate to
/// it. Keys stand under the TUF key ids by which they are listed.
pub(super) fn public_signers(delegations: &Object, role: &Role) -> Result<Option<(Signers, u64)>, Denial> {
    let read = read_delegations(delegations)?;
    let Some(signers) = read.signers_of(role) else { return Ok(None) };
    let keys = read_keys(object(delegations, "keys").map_err(in_delegations)?)?;
    let public = |(_, id): (_, &String)| Some((id.clone(), keys.get(id.as_str())?.clone()?));
    Ok(Some((signers.keys.iter().filter_map(public).collect(), signers.threshold)))
}

/// A threshold above the number of keys is read as it stands: nobody meets it.
fn read_signers(role: &Object, name: &str, objects: &Object, keys: &Keys<'_>) -> Result<RoleKeys, Denial> {
    let mut listed = BTreeMap::new();
    for id in key_ids(role, name, objects).map_err(in_delegations)? {
        if let Some(Some(key)) = keys.get(id) {
            // The first of two ids is the one under which we sign.
            listed.entry(key.id()).or_insert_with(|| id.to_owned());
        }
    }
    Ok(RoleKeys { threshold: threshold(role, name).map_err(in_delegations)?, keys: listed })
}
