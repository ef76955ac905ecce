//! The shape of `delegations` in targets metadata (TUF specification 1.0.34, section 4.5).

use crate::domain::outcome::Denial;

use super::canonical::{Object, Value};
use super::fields::{key_ids, malformed, object, shown, threshold};

/// Keys, and either roles or succinct roles (TAP 15), each as python-tuf reads it.
pub(super) fn check_delegations(delegations: &Object) -> Result<(), Denial> {
    let keys = object(delegations, "keys").map_err(in_delegations)?;
    for (id, key) in keys.iter() {
        check_key(id, key)?;
    }
    match (delegations.get("roles"), delegations.get("succinct_roles")) {
        (Some(Value::Array(roles)), None) => check_roles(roles, keys),
        (None, Some(Value::Object(roles))) => check_succinct_roles(roles, keys),
        _ => Err(malformed("delegations hold either roles, an array, or succinct_roles, an object")),
    }
}

fn in_delegations(denial: Denial) -> Denial {
    malformed(format!("delegations: {}", denial.detail))
}

fn check_key(id: &str, key: &Value) -> Result<(), Denial> {
    let texts = ["keytype", "scheme"].iter().all(|member| key.get(member).and_then(Value::as_str).is_some());
    if texts && key.get("keyval").and_then(Value::as_object).is_some() {
        return Ok(());
    }
    Err(malformed(format!("delegations: key `{}` has not keytype, scheme and keyval", shown(id))))
}

fn check_roles(roles: &[Value], keys: &Object) -> Result<(), Denial> {
    let mut names = std::collections::BTreeSet::new();
    for role in roles {
        let role = role.as_object().ok_or_else(|| malformed("a delegated role is no object"))?;
        let name = role.get("name").and_then(Value::as_str).unwrap_or_default();
        if matches!(name, "" | "root" | "targets" | "snapshot" | "timestamp") {
            return Err(malformed(format!("a delegated role has the name `{name}`")));
        }
        if !names.insert(name) {
            return Err(malformed(format!("role `{}` is delegated to twice", shown(name))));
        }
        check_signers(role, name, keys)?;
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
    }
    Ok(())
}

fn check_succinct_roles(roles: &Object, keys: &Object) -> Result<(), Denial> {
    check_signers(roles, "succinct_roles", keys)?;
    let bits = roles.get("bit_length").and_then(Value::as_integer);
    if !bits.is_some_and(|bits| (1..=32).contains(&bits)) {
        return Err(malformed("the bit_length of succinct_roles is no integer from 1 to 32"));
    }
    match roles.get("name_prefix").and_then(Value::as_str) {
        Some(_) => Ok(()),
        None => Err(malformed("the name_prefix of succinct_roles is no string")),
    }
}

fn check_signers(role: &Object, name: &str, keys: &Object) -> Result<(), Denial> {
    key_ids(role, name, keys).map_err(in_delegations)?;
    threshold(role, name).map_err(in_delegations)?;
    Ok(())
}
