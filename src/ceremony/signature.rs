//! A holder's signature as it travels to the coordinator.

use std::path::Path;

use crate::domain::law::ceremony::SignedBefore;
use crate::domain::name::{Sha256Digest, Version};
use crate::domain::public_key::KeyId;
use crate::tuf::canonical::Value;

use super::error::CeremonyError;
use super::file;
use super::holder::HolderName;
use super::members::{self, Members};

const TYPE: &str = "sealward-ceremony-signature";

/// One holder's signature. Reading verifies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignatureFile {
    /// Who says to have signed.
    pub(super) name: HolderName,
    /// The public key.
    pub(super) key: KeyId,
    /// The key id under which a root lists it.
    pub(super) key_id: String,
    /// The version of the signed root.
    pub(super) version: Version,
    /// SHA-256 of the canonical bytes of `signed`.
    pub(super) signed_digest: Sha256Digest,
    /// The signature's bytes, as they stand in TUF metadata.
    pub(super) signature: Vec<u8>,
}

impl SignatureFile {
    pub(super) fn to_file(&self) -> Vec<u8> {
        let Self { name, key, key_id, version, signed_digest, signature } = self;
        members::write(
            TYPE,
            [
                ("name", Value::from(name.as_str())),
                ("key", Value::from(key.to_string())),
                ("keyid", Value::from(key_id.as_str())),
                // A version is below 2^53, so that it always fits.
                ("version", Value::from(i64::try_from(version.get()).unwrap_or(i64::MAX))),
                ("signed_sha256", Value::from(signed_digest.to_string())),
                ("sig", Value::from(hex::encode(signature))),
            ],
        )
    }

    pub(super) fn read(path: &Path) -> Result<Self, CeremonyError> {
        parse(&file::read(path)?).map_err(|cause| CeremonyError::input(path, cause))
    }

    /// What the holder is bound to from now on.
    pub(super) fn signed_before(&self) -> SignedBefore {
        SignedBefore { version: self.version, signed_digest: self.signed_digest }
    }
}

fn parse(bytes: &[u8]) -> Result<SignatureFile, String> {
    let mut members = Members::of_file(bytes, TYPE)?;
    let file = SignatureFile {
        name: members.parsed("name")?,
        key: members.parsed("key")?,
        key_id: members.text("keyid")?,
        version: Version::new(members.number("version")?).ok_or("`version` is outside 1 to 2^53 - 1")?,
        signed_digest: members.parsed("signed_sha256")?,
        signature: hex::decode(members.text("sig")?).map_err(|_| "`sig` is not hexadecimal")?,
    };
    members.end()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, mutations};

    #[test]
    fn a_signature_survives_its_file_and_malformed_files_are_refused() {
        let file = SignatureFile {
            name: "alice".parse().unwrap(),
            key: TestKey::new(1).public().id(),
            key_id: "ab".repeat(32),
            version: Version::new(3).unwrap(),
            signed_digest: Sha256Digest::of(b"signed"),
            signature: vec![0, 255, 7],
        };
        let text = file.to_file();
        assert_eq!(parse(&text).unwrap(), file);
        for (from, to) in [
            ("\"alice\"", "\"../x\""),
            ("\"version\":3", "\"version\":0"),
            ("\"version\":3", "\"version\":9007199254740992"),
            ("\"version\":3", "\"version\":3.0"),
            ("00ff07", "00ff0"),
            ("\"sig\"", "\"signature\""),
            ("\"v\":1", "\"v\":1,\"w\":1"),
        ] {
            let bad = String::from_utf8(text.clone()).unwrap().replace(from, to);
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        mutations(&text, |bytes| drop(parse(bytes)));
        for end in 0..text.len() - 1 {
            assert!(parse(&text[..end]).is_err(), "{end}");
        }
    }
}
