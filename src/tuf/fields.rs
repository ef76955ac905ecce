//! Reading members of metadata, with denials that name the member and never show much of it.

use crate::domain::name::{MetadataType, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::time::Instant;

use super::canonical::{Error, Fault, Object, Value};

/// What every piece of metadata says (TUF specification 1.0.34, section 4.2.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) metadata_type: MetadataType,
    pub(super) version: Version,
    pub(super) expires: Instant,
}

pub(super) fn read_header(signed: &Object) -> Result<Header, Denial> {
    let metadata_type = read_type(signed)?;
    check_spec_version(signed)?;
    Ok(Header { metadata_type, version: read_version(signed, "version")?, expires: read_expires(signed)? })
}

pub(super) fn malformed(detail: impl Into<String>) -> Denial {
    Denial::new(Reason::MalformedMetadata, detail)
}

/// At most 60 characters with control characters escaped: names in metadata come from strangers and end in terminals.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

pub(super) fn unreadable(what: &str, error: Error, otherwise: Reason) -> Denial {
    let reason = if error.fault == Fault::TooLarge { Reason::PayloadTooLarge } else { otherwise };
    Denial::new(reason, format!("{what}: {error}"))
}

/// The metadata type, whatever the rest says.
pub(super) fn read_type(signed: &Object) -> Result<MetadataType, Denial> {
    match signed.get("_type").and_then(Value::as_str) {
        Some("root") => Ok(MetadataType::Root),
        Some("targets") => Ok(MetadataType::Targets),
        Some("snapshot") => Ok(MetadataType::Snapshot),
        Some("timestamp") => Ok(MetadataType::Timestamp),
        Some(other) => Err(malformed(format!("_type is `{}`, which is no type of TUF 1.0 metadata", shown(other)))),
        None => Err(malformed("_type is missing or no string")),
    }
}

/// Two or three numeric parts, the first of them 1.
pub(super) fn check_spec_version(signed: &Object) -> Result<(), Denial> {
    let denied = |detail: String| Err(Denial::new(Reason::SpecVersion, detail));
    let Some(text) = signed.get("spec_version").and_then(Value::as_str) else {
        return denied("spec_version is missing or no string".to_owned());
    };
    let parts: Vec<_> = text.split('.').take(4).collect();
    let numeric = |part: &&str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    match parts.as_slice() {
        ["1", rest @ ..] if (1..=2).contains(&rest.len()) && rest.iter().all(numeric) => Ok(()),
        _ => denied(format!("spec_version is `{}`", shown(text))),
    }
}

/// A version in 1 to 2^53 - 1.
pub(super) fn read_version(object: &Object, member: &str) -> Result<Version, Denial> {
    let denied = |detail: String| Denial::new(Reason::VersionInvalid, detail);
    match object.get(member) {
        Some(Value::Integer(number)) => u64::try_from(*number)
            .ok()
            .and_then(Version::new)
            .ok_or_else(|| denied(format!("{member} is {number}, outside 1 to 2^53 - 1"))),
        Some(_) => Err(denied(format!("{member} is no integer"))),
        None => Err(denied(format!("{member} is missing"))),
    }
}

fn read_expires(signed: &Object) -> Result<Instant, Denial> {
    let denied = |detail: String| Denial::new(Reason::ExpiryFormat, detail);
    match signed.get("expires") {
        Some(Value::String(text)) => {
            Instant::parse_tuf(text).ok_or_else(|| denied(format!("expires is `{}`", shown(text))))
        }
        Some(_) => Err(denied("expires is no string".to_owned())),
        None => Err(denied("expires is missing".to_owned())),
    }
}

pub(super) fn object<'a>(parent: &'a Object, member: &str) -> Result<&'a Object, Denial> {
    let value = parent.get(member).ok_or_else(|| malformed(format!("`{}` is missing", shown(member))))?;
    value.as_object().ok_or_else(|| malformed(format!("`{}` is no object", shown(member))))
}

/// A threshold in 1 to 2^53 - 1.
pub(super) fn threshold(parent: &Object, of: &str) -> Result<u64, Denial> {
    let number = parent.get("threshold").and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
    match number.filter(|n| (1..=Version::MAX).contains(n)) {
        Some(number) => Ok(number),
        None => Err(malformed(format!("the threshold of {} is no integer from 1 to 2^53 - 1", shown(of)))),
    }
}

/// The distinct key ids of a role, each of which stands in `keys`.
pub(super) fn key_ids<'a>(role: &'a Object, of: &str, keys: &Object) -> Result<Vec<&'a str>, Denial> {
    let of = shown(of);
    let listed = role.get("keyids").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| malformed(format!("the keyids of {of} are missing or no array")))?;
    let mut seen = std::collections::BTreeSet::new();
    let mut ids = Vec::new();
    for id in listed {
        let id = id.as_str().ok_or_else(|| malformed(format!("a key id of {of} is no string")))?;
        if !seen.insert(id) {
            return Err(malformed(format!("{of} lists key id `{}` twice", shown(id))));
        }
        if keys.get(id).is_none() {
            return Err(malformed(format!("{of} lists key id `{}`, which keys does not hold", shown(id))));
        }
        ids.push(id);
    }
    Ok(ids)
}
