//! The published file: `{"signatures": [{"keyid", "sig"}], "signed": {...}}` (TUF specification 1.0.34, section 4.2.1).

use std::collections::BTreeSet;

use crate::domain::outcome::{Denial, Reason};

use super::canonical::{Limits, MAX_DEPTH, Object, Value, encode, encode_json, parse_canonical, parse_lenient};
use super::fields::{malformed, shown, unreadable};

/// What a published file holds. Nothing about it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The canonical bytes of `signed`: what the signatures are over.
    pub signed: Vec<u8>,
    /// What `signed` says.
    pub value: Value,
    /// The signatures, under distinct key ids, in the file's order.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// The key id as the file says it; any text.
    pub key_id: String,
    /// The signature's bytes. Empty where a signer is expected and has not signed: tuf-on-ci and sigstore publish such.
    pub signature: Vec<u8>,
}

impl Envelope {
    /// Reads a file of at most `max_bytes`. Unknown members beside `signed` and `signatures` are accepted.
    ///
    /// Denials: `payload-too-large`, `malformed-metadata`.
    pub fn parse(file: &[u8], max_bytes: usize) -> Result<Self, Denial> {
        // The envelope is one level around what may be `MAX_DEPTH` deep.
        let limits = Limits { depth: MAX_DEPTH + 1, ..Limits::of_bytes(max_bytes) };
        let value =
            parse_lenient(file, limits).map_err(|error| unreadable("the file", error, Reason::MalformedMetadata))?;
        let Value::Object(mut envelope) = value else { return Err(malformed("the file is no object")) };
        let signatures = envelope.remove("signatures");
        let signatures = signatures.as_ref().and_then(Value::as_array);
        let signatures = signatures.ok_or_else(|| malformed("signatures are missing or no array"))?;
        let signatures = signatures.iter().map(read_signature).collect::<Result<Vec<_>, _>>()?;
        check_distinct(&signatures)?;
        let value = envelope.remove("signed").filter(|signed| signed.as_object().is_some());
        let value = value.ok_or_else(|| malformed("signed is missing or no object"))?;
        Ok(Self { signed: encode(&value), value, signatures })
    }
}

/// Writes a publishable file around canonical bytes: JSON, whose canonical form of `signed` is those bytes again.
///
/// Denials: `not-canonical`; `malformed-metadata` when two signatures have one key id.
pub fn assemble(signed: &[u8], signatures: &[EnvelopeSignature]) -> Result<Vec<u8>, Denial> {
    // Bytes that were read once under some limit must not be refused when they are published.
    let limits = Limits { values: signed.len(), ..Limits::of_bytes(signed.len()) };
    let value = parse_canonical(signed, limits).map_err(|error| unreadable("signed", error, Reason::NotCanonical))?;
    check_distinct(signatures)?;
    let write = |one: &EnvelopeSignature| {
        Value::from([("keyid", Value::from(one.key_id.as_str())), ("sig", Value::from(hex::encode(&one.signature)))])
    };
    let signatures = Value::Array(signatures.iter().map(write).collect());
    let members = [("signatures".to_owned(), signatures), ("signed".to_owned(), value)];
    Ok(encode_json(&Value::Object(Object::of(members))))
}

fn read_signature(value: &Value) -> Result<EnvelopeSignature, Denial> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    let (Some(key_id), Some(signature)) = (text("keyid"), text("sig")) else {
        return Err(malformed("a signature is no object with the strings keyid and sig"));
    };
    let signature = hex::decode(signature)
        .map_err(|_| malformed(format!("the signature of key id `{}` is not hexadecimal", shown(key_id))))?;
    Ok(EnvelopeSignature { key_id: key_id.to_owned(), signature })
}

fn check_distinct(signatures: &[EnvelopeSignature]) -> Result<(), Denial> {
    let mut seen = BTreeSet::new();
    match signatures.iter().find(|one| !seen.insert(one.key_id.as_str())) {
        None => Ok(()),
        Some(twice) => Err(malformed(format!("two signatures of key id `{}`", shown(&twice.key_id)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(file: &str) -> Denial {
        Envelope::parse(file.as_bytes(), 1 << 20).unwrap_err()
    }

    #[test]
    fn a_pretty_printed_file_is_read_to_its_canonical_bytes() {
        let file = "{\n \"signed\": {\"b\": \"-\\n\", \"a\": 1},\n \"x-more\": [], \"signatures\": [\n  {\"sig\": \"00ff\", \
                    \"keyid\": \"k\", \"x\": 0}, {\"keyid\": \"l\", \"sig\": \"\"}]}\n";
        let envelope = Envelope::parse(file.as_bytes(), 1 << 10).unwrap();
        assert_eq!(envelope.signed, b"{\"a\":1,\"b\":\"-\n\"}");
        assert_eq!(envelope.signatures[0], EnvelopeSignature { key_id: "k".to_owned(), signature: vec![0, 255] });
        assert!(envelope.signatures[1].signature.is_empty());
        for end in 0..file.len() - 1 {
            assert!(Envelope::parse(&file.as_bytes()[..end], 1 << 10).is_err(), "{end}");
        }
        assert_eq!(Envelope::parse(file.as_bytes(), 20).unwrap_err().reason, Reason::PayloadTooLarge);
    }

    #[test]
    fn what_is_no_envelope_is_refused_with_its_fault() {
        for (file, named) in [
            ("[]", "no object"),
            ("{\"signed\":{}}", "signatures are missing"),
            ("{\"signed\":{},\"signatures\":{}}", "signatures are missing or no array"),
            ("{\"signatures\":[]}", "signed is missing"),
            ("{\"signed\":[],\"signatures\":[]}", "signed is missing or no object"),
            ("{\"signed\":{},\"signatures\":[1]}", "keyid and sig"),
            ("{\"signed\":{},\"signatures\":[{\"keyid\":\"k\",\"sig\":\"0g\"}]}", "not hexadecimal"),
            (
                "{\"signed\":{},\"signatures\":[{\"keyid\":\"k\",\"sig\":\"\"},{\"keyid\":\"k\",\"sig\":\"\"}]}",
                "two signatures",
            ),
            ("{\"signed\":{},\"signed\":{},\"signatures\":[]}", "stands twice"),
            ("\u{feff}{}", "byte order mark"),
        ] {
            let denial = denied(file);
            assert_eq!(denial.reason, Reason::MalformedMetadata, "{file}");
            assert!(denial.detail.contains(named), "{file}: {denial}");
        }
        let escape = denied("{\"signed\":{},\"signatures\":[{\"keyid\":\"\\u001b[31m\",\"sig\":\"x\"}]}");
        assert!(!escape.detail.contains('\u{1b}'));
    }

    #[test]
    fn signed_may_be_as_deep_as_a_payload_and_no_deeper() {
        let file = |depth: usize| {
            format!("{{\"signatures\":[],\"signed\":{{\"a\":{}{}}}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
        };
        let deepest = Envelope::parse(file(64).as_bytes(), 1 << 10).unwrap();
        assert!(parse_canonical(&deepest.signed, Limits::of_bytes(1 << 10)).is_ok());
        assert!(denied(&file(65)).detail.contains("too deeply"));
    }

    #[test]
    fn an_assembled_file_is_json_and_says_what_was_signed() {
        let signed = "{\"a\":\"\u{1}\n\u{7f}\\\"é\",\"b\":-1}".as_bytes();
        let signatures = [EnvelopeSignature { key_id: "k\n".to_owned(), signature: vec![1, 2] }];
        let file = assemble(signed, &signatures).unwrap();
        let other: serde_json::Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(other["signed"]["a"], "\u{1}\n\u{7f}\"é");
        let envelope = Envelope::parse(&file, 1 << 10).unwrap();
        assert_eq!((envelope.signed.as_slice(), envelope.signatures.as_slice()), (signed, signatures.as_slice()));
        assert_eq!(assemble(b"{ }", &signatures).unwrap_err().reason, Reason::NotCanonical);
        let twice = [signatures[0].clone(), signatures[0].clone()];
        assert_eq!(assemble(signed, &twice).unwrap_err().reason, Reason::MalformedMetadata);
    }
}
