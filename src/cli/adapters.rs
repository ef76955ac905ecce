//! Where the command line meets `tuf`: payloads out of files, and files out of signatures.

use std::path::Path;

use super::error::CliError;
use super::input;
use crate::client::{MESSAGE_LIMIT_BYTES, messages};
use crate::domain::name::Sha256Digest;
use crate::domain::outcome::Denial;
use crate::tuf::canonical::{Limits, Value, parse_lenient};
use crate::tuf::envelope::{Envelope, EnvelopeSignature, assemble};

/// What is to be signed, and the signatures that its file has already.
#[derive(Debug)]
pub(super) struct Payload {
    /// The canonical bytes of `signed`.
    pub(super) signed: Vec<u8>,
    existing: Vec<EnvelopeSignature>,
}

impl Payload {
    /// From the file at a path, or from standard input for `-`. What is no JSON is named here: the daemon would only say
    /// that it is not canonical, which no file has to be.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let file = input::read(path)?;
        if let Err(error) = parse_lenient(&file, Limits::of_bytes(MESSAGE_LIMIT_BYTES)) {
            return Err(CliError::NoJson { path: path.display().to_string(), cause: error.to_string() });
        }
        Ok(Self::of_file(file)?)
    }

    /// From a file that is either the canonical bytes of `signed`, which are taken as they are, or metadata around it
    /// with any number of signatures, whose `signed` is written canonically.
    pub(super) fn of_file(file: Vec<u8>) -> Result<Self, Denial> {
        match Envelope::parse(&file, MESSAGE_LIMIT_BYTES) {
            Ok(envelope) => Ok(Self { signed: envelope.signed, existing: envelope.signatures }),
            // A broken envelope must not go out as a payload: the daemon would say nothing useful about it.
            Err(denial) if means_to_be_an_envelope(&file) => Err(denial),
            Err(_) => Ok(Self { signed: file, existing: Vec::new() }),
        }
    }

    pub(super) fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.signed)
    }

    /// The publishable file: signatures of other keys stay, in their order; the new ones follow.
    pub(super) fn with_signatures(&self, signatures: &[messages::KeySignature]) -> Result<Vec<u8>, Denial> {
        let is_new = |key_id: &str| signatures.iter().any(|new| new.tuf_key_id == key_id);
        let kept = self.existing.iter().filter(|old| !is_new(&old.key_id)).cloned();
        let new = signatures
            .iter()
            .map(|new| EnvelopeSignature { key_id: new.tuf_key_id.clone(), signature: new.signature.to_vec() });
        assemble(&self.signed, &kept.chain(new).collect::<Vec<_>>())
    }
}

fn means_to_be_an_envelope(file: &[u8]) -> bool {
    parse_lenient(file, Limits::of_bytes(MESSAGE_LIMIT_BYTES))
        .is_ok_and(|value| matches!(&value, Value::Object(_)) && value.get("signed").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Reason;

    fn signature(tuf_key_id: &str, bytes: &'static [u8]) -> messages::KeySignature {
        messages::KeySignature { tuf_key_id: tuf_key_id.into(), signature: bytes.into(), ..Default::default() }
    }

    #[test]
    fn both_kinds_of_file_give_the_same_payload() {
        let bare = Payload::of_file(b"{\"_type\":\"timestamp\",\"a\":1}".to_vec()).unwrap();
        let file = b"{\n \"signatures\": [],\n \"signed\": {\"a\": 1, \"_type\": \"timestamp\"}\n}\n".to_vec();
        assert_eq!(Payload::of_file(file).unwrap().signed, bare.signed);
    }

    #[test]
    fn what_is_no_envelope_goes_out_as_it_is_and_the_daemon_judges() {
        for file in ["", "{", "[1]", "{\"_type\": \"timestamp\"}\n", "\u{0}\u{1b}"] {
            assert_eq!(Payload::of_file(file.into()).unwrap().signed, file.as_bytes());
        }
    }

    #[test]
    fn a_broken_envelope_is_named_here() {
        for file in
            ["{\"signed\":{}}", "{\"signed\":1,\"signatures\":[]}", "{\"signed\":{},\"signatures\":[{\"keyid\":1}]}"]
        {
            assert_eq!(Payload::of_file(file.into()).unwrap_err().reason, Reason::MalformedMetadata, "{file}");
        }
    }

    #[test]
    fn signatures_of_other_keys_stay_and_the_same_keys_are_replaced() {
        let file = b"{\"signatures\":[{\"keyid\":\"a\",\"sig\":\"01\"},{\"keyid\":\"b\",\"sig\":\"\"}],\"signed\":{}}";
        let payload = Payload::of_file(file.to_vec()).unwrap();
        let signed = payload.with_signatures(&[signature("b", b"\x02"), signature("c", b"\x03")]).unwrap();
        let signatures = Envelope::parse(&signed, 1 << 10).unwrap().signatures;
        let pairs: Vec<_> = signatures.iter().map(|one| (one.key_id.as_str(), one.signature.as_slice())).collect();
        assert_eq!(pairs, [("a", &b"\x01"[..]), ("b", b"\x02"), ("c", b"\x03")]);
    }
}
