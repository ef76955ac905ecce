//! The bytes of a leaf: one JSON object per event.
//!
//! Members stand in the order of their names, without white space, in the form of RFC 8785 (JSON canonicalization): `v`
//! is 1, `seq` the leaf's index in the tree, and the others are those of [`Event`]. One event at one place has one byte
//! form, so that a leaf can be recomputed by anybody who knows the event.

use serde::{Deserialize, Serialize};

use crate::domain::approval::PendingId;
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::freeze::SHORTENED;
use crate::domain::name::{MetadataType, RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::Outcome;
use crate::domain::person::PersonName;
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;

/// The longest leaf in bytes: an entry bundle of tlog-tiles writes lengths as 16 bits.
pub const MAX_BYTES: usize = 65_535;

/// The longest text in bytes before it is shortened.
const MAX_TEXT_BYTES: usize = 1024;

/// The bytes are no leaf of sealward. A retry does not help: the log holds something else, or was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// Longer than any leaf that is ever written.
    #[error("a leaf of {0} bytes is longer than any that sealward writes")]
    TooLong(usize),
    /// Not the JSON of a leaf; the text says where it broke, and quotes nothing of it.
    #[error("not a leaf: broken at line {line}, column {column}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// A leaf of a later format. A newer sealward reads it.
    #[error("a leaf of format {0}; this sealward reads format 1")]
    UnknownFormat(u64),
    /// Well formed, but not in the one byte form that an event has: white space, order, escapes.
    #[error("the leaf is not in its canonical form")]
    NotCanonical,
}

/// The leaf's bytes, at most [`MAX_BYTES`]. A text longer than 1024 bytes (a certificate's URI may be) is shortened and
/// ends in its SHA-256, so that two long names stay two names.
pub fn encode(sequence: u64, event: &Event) -> Vec<u8> {
    // Every field by name: a new member of Event does not compile until it has its place here.
    let Event {
        time,
        caller,
        verb,
        event,
        outcome,
        request,
        reason,
        repository,
        role,
        epoch,
        key,
        metadata_type,
        version,
        expires,
        digest,
        signature,
        subject,
        approval,
        person,
        count,
    } = event.clone();
    let members = Members {
        approval,
        caller: shortened(caller),
        count,
        digest,
        epoch,
        event,
        expires,
        key,
        metadata_type,
        outcome,
        person,
        reason: reason.map(shortened),
        repository,
        request: shortened(request),
        role,
        seq: sequence,
        signature,
        subject: subject.map(shortened),
        time,
        v: 1,
        verb: shortened(verb),
        version,
    };
    // Strings and integers into memory: serde_json has nothing left that could fail.
    #[allow(clippy::expect_used)]
    serde_json::to_vec(&members).expect("strings and integers serialize into memory")
}

/// Reads a leaf back: its sequence number and event. Accepts only what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<(u64, Event), LeafError> {
    if bytes.len() > MAX_BYTES {
        return Err(LeafError::TooLong(bytes.len()));
    }
    let malformed = |e: serde_json::Error| LeafError::Malformed { line: e.line(), column: e.column() };
    // The format first: a later one may have members that this one refuses.
    let Format { v } = serde_json::from_slice(bytes).map_err(malformed)?;
    if v != 1 {
        return Err(LeafError::UnknownFormat(v));
    }
    let Members {
        approval,
        caller,
        count,
        digest,
        epoch,
        event,
        expires,
        key,
        metadata_type,
        outcome,
        person,
        reason,
        repository,
        request,
        role,
        seq,
        signature,
        subject,
        time,
        v: _,
        verb,
        version,
    } = serde_json::from_slice(bytes).map_err(malformed)?;
    let event = Event {
        time,
        caller,
        verb,
        event,
        outcome,
        request,
        reason,
        repository,
        role,
        epoch,
        key,
        metadata_type,
        version,
        expires,
        digest,
        signature,
        subject,
        approval,
        person,
        count,
    };
    if encode(seq, &event) == bytes { Ok((seq, event)) } else { Err(LeafError::NotCanonical) }
}

/// The label of a kind of event in leaves and reports.
pub fn event_name(event: EventKind) -> &'static str {
    match event {
        EventKind::Advance => "advance",
        EventKind::Cosign => "cosign",
        EventKind::Supersede => "supersede",
        EventKind::Pending => "pending",
        EventKind::Approval => "approval",
        EventKind::Unguarded => "unguarded",
        EventKind::Administration => "administration",
        EventKind::Denial => "denial",
        EventKind::Failure => "failure",
        EventKind::Aggregate => "aggregate",
    }
}

#[derive(Deserialize)]
struct Format {
    v: u64,
}

/// In the order of the names: serde writes fields as they are declared, whatever features its map type has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<PendingId>,
    caller: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Sha256Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    event: EventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata_type: Option<MetadataType>,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<PersonName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<RepositoryName>,
    request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Sha256Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: Instant,
    v: u64,
    verb: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let ending = format!("{SHORTENED}{}", Sha256Digest::of(text.as_bytes()));
        let mut keep = MAX_TEXT_BYTES - ending.len();
        while !text.is_char_boundary(keep) {
            keep -= 1;
        }
        text.truncate(keep);
        text.push_str(&ending);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::Caller;

    fn full(caller: &str) -> Event {
        let mut event = Event::new(Instant::from_unix(i64::MIN), &Caller::Daemon, caller, caller, EventKind::Aggregate);
        caller.clone_into(&mut event.caller);
        event.reason = Some(caller.to_owned());
        event.repository = Some("r".repeat(255).parse().unwrap());
        event.role = Some("d".repeat(255).parse().unwrap());
        event.epoch = Some(u32::MAX);
        event.key = Some("00".repeat(32).parse().unwrap());
        event.metadata_type = Some(MetadataType::Timestamp);
        event.version = Version::new(Version::MAX);
        event.expires = Some(Instant::from_unix(i64::MAX));
        event.digest = Some(Sha256Digest::of(b"d"));
        event.signature = Some(Sha256Digest::of(b"s"));
        event.subject = Some(caller.to_owned());
        event.approval = Some("ff".repeat(16).parse().unwrap());
        event.person = Some("p".repeat(64).parse().unwrap());
        event.count = Some(u64::MAX);
        event
    }

    #[test]
    fn a_leaf_has_one_byte_form_that_reads_back() {
        let event =
            Event::new(Instant::from_unix(7), &Caller::Unix { uid: 5, gids: vec![] }, "sign", "q", EventKind::Advance);
        let bytes = encode(3, &event);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"caller":"unix:5","event":"advance","outcome":"succeeded","request":"q","seq":3,"time":7,"v":1,"verb":"sign"}"#
        );
        assert_eq!(decode(&bytes), Ok((3, event)));
        let event = full("a\u{0}\u{1f}\"\\\n\u{7f}é");
        assert_eq!(decode(&encode(u64::MAX, &event)), Ok((u64::MAX, event)));
    }

    #[test]
    fn members_stand_in_the_order_of_their_names() {
        let text = String::from_utf8(encode(1, &full("x"))).unwrap();
        let names: Vec<&str> = text.trim_matches(['{', '}']).split(',').filter_map(|m| m.split('"').nth(1)).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        assert_eq!(names.len(), 22);
    }

    #[test]
    fn the_longest_event_fits_into_a_bundle_and_long_names_stay_apart() {
        // Control characters take six bytes each in JSON, the worst case.
        for hostile in ["\u{1}".repeat(1 << 20), "é".repeat(1 << 20), "x".repeat(1025)] {
            let bytes = encode(u64::MAX, &full(&hostile));
            assert!(bytes.len() <= MAX_BYTES, "{}", bytes.len());
            let (_, event) = decode(&bytes).unwrap();
            assert!(event.caller.len() <= MAX_TEXT_BYTES);
            assert_ne!(encode(0, &full(&hostile)), encode(0, &full(&format!("{hostile}y"))));
        }
    }

    #[test]
    fn hostile_leaves_are_refused() {
        let good = String::from_utf8(encode(3, &full("x"))).unwrap();
        let not_canonical = [
            good.replacen("{", "{ ", 1),
            format!("{good}\n"),
            good.replacen("\"x\"", "\"\\u0078\"", 1),
            good.replacen(&"00".repeat(32), &format!("{}AA", "00".repeat(31)), 1),
        ];
        for text in &not_canonical {
            assert_eq!(decode(text.as_bytes()), Err(LeafError::NotCanonical), "{text}");
        }
        let malformed = [
            String::new(),
            "{}".into(),
            "[]".into(),
            "[".repeat(60_000),
            good[..good.len() - 1].into(),
            good.replacen("{", "{\"a\":1,", 1),
            good.replacen("{", "{\"seq\":3,", 1),
            good.replacen("\"seq\":3", "\"seq\":-3", 1),
            good.replacen("\"seq\":3", "\"seq\":3.0", 1),
            good.replacen("aggregate", "release", 1),
            good.replacen(&"r".repeat(255), "../etc", 1),
            good.replacen("\"v\":1", "\"v\":1e0", 1),
        ];
        for text in &malformed {
            assert!(matches!(decode(text.as_bytes()), Err(LeafError::Malformed { .. })), "{text}");
        }
        let later = good.replacen("\"v\":1", "\"v\":2", 1).replacen("{", "{\"a\":1,", 1);
        assert_eq!(decode(later.as_bytes()), Err(LeafError::UnknownFormat(2)));
        assert_eq!(decode(&vec![b' '; 1 << 20]), Err(LeafError::TooLong(1 << 20)));
        assert!(matches!(decode(b"\xff\xfe"), Err(LeafError::Malformed { .. })));
    }
}
