//! A payload of kind `tuf` becomes a statement, or is refused. (`law.md` section 3; TUF specification 1.0.34, sections
//! 4.2 to 4.6) Root is not read here: see [`super::root`].

use crate::domain::delegation::Delegations;
use crate::domain::key::ContentKind;
use crate::domain::name::{MetadataType, Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::statement::{ListedFile, Listing, Statement};

use super::canonical::{Limits, Object, Value, parse_canonical};
use super::delegations::read_delegations;
use super::fields::{malformed, object, read_header, read_type, read_version, shown, unreadable};

/// Reads the canonical bytes of `signed` of targets, snapshot or timestamp metadata, at most `max_bytes` of them.
///
/// Denials: `payload-too-large`, `not-canonical`, `malformed-metadata`, `spec-version`, `version-invalid`,
/// `expiry-format`; `offline-role` for a root. Dates are not compared with any clock, versions not with any other.
pub fn read_signed(payload: &[u8], max_bytes: usize) -> Result<Statement, Denial> {
    if payload.len() > max_bytes {
        let detail = format!("the payload has {} bytes, the role allows {max_bytes}", payload.len());
        return Err(Denial::new(Reason::PayloadTooLarge, detail));
    }
    let value = parse_canonical(payload, Limits::of_bytes(max_bytes))
        .map_err(|error| unreadable("the payload", error, Reason::NotCanonical))?;
    let signed = value.as_object().ok_or_else(|| malformed("the payload is no object"))?;
    if read_type(signed)? == MetadataType::Root {
        return Err(Denial::new(Reason::OfflineRole, "root online: the payload is root metadata"));
    }
    let header = read_header(signed)?;
    let mut delegations = None;
    let listing = match header.metadata_type {
        MetadataType::Timestamp => timestamp_listing(signed)?,
        MetadataType::Snapshot => snapshot_listing(signed)?,
        MetadataType::Targets | MetadataType::Root => {
            delegations = read_targets(signed)?;
            Listing::new()
        }
    };
    let kind = ContentKind::Tuf;
    let super::fields::Header { metadata_type, version, expires } = header;
    Ok(Statement::read_by_content_room(kind, metadata_type, version, expires, listing, delegations, payload))
}

fn timestamp_listing(signed: &Object) -> Result<Listing, Denial> {
    let meta = object(signed, "meta")?;
    match meta.iter().next() {
        Some((file @ "snapshot.json", entry)) if meta.len() == 1 => {
            Ok(Listing::from([(file.to_owned(), listed_file(file, entry)?)]))
        }
        _ => Err(malformed("the meta of a timestamp holds snapshot.json and nothing else")),
    }
}

fn snapshot_listing(signed: &Object) -> Result<Listing, Denial> {
    let meta = object(signed, "meta")?;
    if meta.get("targets.json").is_none() {
        return Err(malformed("the meta of a snapshot holds targets.json"));
    }
    meta.iter()
        .map(|(file, entry)| match Role::from_listed_file(file) {
            Some(_) => Ok((file.to_owned(), listed_file(file, entry)?)),
            None => Err(malformed(format!("meta lists `{}`, which is no role's name and `.json`", shown(file)))),
        })
        .collect()
}

fn listed_file(file: &str, entry: &Value) -> Result<ListedFile, Denial> {
    let in_entry = |denial: Denial| Denial::new(denial.reason, format!("meta, `{}`: {}", shown(file), denial.detail));
    let entry = entry.as_object().ok_or_else(|| in_entry(malformed("no object")))?;
    let sha256 = hashes(entry).map_err(in_entry)?;
    let given = entry.get("hashes").and_then(Value::as_object);
    Ok(ListedFile {
        version: read_version(entry, "version").map_err(in_entry)?,
        length: length(entry).map_err(in_entry)?,
        sha256,
        other_hashes: given.is_some_and(|hashes| hashes.iter().any(|(algorithm, _)| algorithm != "sha256")),
    })
}

fn read_targets(signed: &Object) -> Result<Option<Delegations>, Denial> {
    for (name, entry) in object(signed, "targets")?.iter() {
        let complete = || {
            let entry = entry.as_object().ok_or_else(|| malformed("no object"))?;
            let length = length(entry)?;
            hashes(entry)?;
            if length.is_none() || entry.get("hashes").is_none() {
                return Err(malformed("length or hashes are missing"));
            }
            Ok(())
        };
        complete().map_err(|denial: Denial| malformed(format!("target `{}`: {}", shown(name), denial.detail)))?;
    }
    match signed.get("delegations") {
        None => Ok(None),
        Some(Value::Object(delegations)) => read_delegations(delegations).map(Some),
        Some(_) => Err(malformed("delegations are no object")),
    }
}

fn length(entry: &Object) -> Result<Option<u64>, Denial> {
    let number = |value: &Value| value.as_integer().and_then(|n| u64::try_from(n).ok());
    match entry.get("length") {
        None => Ok(None),
        Some(value) => number(value).map(Some).ok_or_else(|| malformed("length is no integer from 0")),
    }
}

/// Checks `hashes`, where given, and keeps the SHA-256. python-tuf refuses an empty object.
fn hashes(entry: &Object) -> Result<Option<Sha256Digest>, Denial> {
    let Some(hashes) = entry.get("hashes") else { return Ok(None) };
    let hashes = hashes.as_object().filter(|hashes| !hashes.is_empty());
    let hashes = hashes.ok_or_else(|| malformed("hashes are no object with at least one hash"))?;
    let mut sha256 = None;
    for (algorithm, digest) in hashes.iter() {
        let digits = digest.as_str().filter(|text| !text.is_empty() && hex::decode(text).is_ok());
        let digits =
            digits.ok_or_else(|| malformed(format!("the hash {} is no hexadecimal text", shown(algorithm))))?;
        if algorithm == "sha256" {
            let digest = digits.parse().map_err(|_| malformed("the hash sha256 has not 64 hexadecimal digits"))?;
            sha256 = Some(digest);
        }
    }
    Ok(sha256)
}

#[cfg(test)]
mod tests;
