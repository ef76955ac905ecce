//! `sealward verify`: published metadata under a root, without a daemon.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::{DONE, input};
use crate::domain::name::{MetadataType, Role, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::time::Instant;
use crate::tuf::envelope::Envelope;
use crate::tuf::root::{RootFile, verify_first, verify_same_version, verify_successor};
use crate::tuf::verify::{MAX_FILE_BYTES, verify_role_metadata};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward verify --root root.json timestamp.json
  sealward verify --root 1.root.json 2.root.json
  sealward verify --root root.json --role targets 7.targets.json";

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The root that you trust
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The role that the file must be of [default: what its _type says]
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// The signed metadata; - is standard input. A root is held against --root: its successor, or itself
    file: PathBuf,
}

/// What verified metadata says.
struct Verified {
    version: Version,
    expires: Instant,
}

impl Verify {
    pub(super) fn run(self, output: &mut Output) -> Result<u8, CliError> {
        let Self { root, role, file } = self;
        let (root, file) = (input::read(&root)?, input::read(&file)?);
        let role = role.map_or_else(|| role_of(&file), Ok).map_err(CliError::Unverified)?;
        let Verified { version, expires } = verify(&root, &role, &file).map_err(CliError::Unverified)?;
        let expired = expires <= now();
        if output.is_json() {
            output.json(&json!({
                "v": 1,
                "role": role.as_str(),
                "version": version,
                "expires": expires.to_string(),
                "expired": expired,
            }))?;
        } else {
            output.line(&format!("verified: {role} version {version}, expires {expires}"))?;
            if expired {
                output.note("it is expired: clients refuse it");
            }
        }
        Ok(DONE)
    }
}

fn verify(root: &[u8], role: &Role, file: &[u8]) -> Result<Verified, Denial> {
    let trusted = verify_first(root)?;
    if *role != Role::Root {
        let statement = verify_role_metadata(root, role, file)?;
        return Ok(Verified { version: statement.version(), expires: statement.expires() });
    }
    let same = RootFile::parse(file)?.root().version == trusted.version;
    let verified = if same { verify_same_version(root, file) } else { verify_successor(root, file) }?;
    Ok(Verified { version: verified.version, expires: verified.expires })
}

fn role_of(file: &[u8]) -> Result<Role, Denial> {
    let envelope = Envelope::parse(file, MAX_FILE_BYTES)?;
    let found = envelope.value.get("_type").and_then(|value| value.as_str());
    let known = [MetadataType::Root, MetadataType::Targets, MetadataType::Snapshot, MetadataType::Timestamp];
    known
        .into_iter()
        .find(|known| found == Some(known.as_str()))
        .and_then(|known| known.as_str().parse().ok())
        .ok_or_else(|| Denial::new(Reason::MalformedMetadata, "_type is none of root, targets, snapshot, timestamp"))
}

fn now() -> Instant {
    // A clock before 1970 shows everything as not expired, and the version is verified all the same.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;
    use crate::domain::public_key::PublicKey;
    use crate::tuf::envelope::{EnvelopeSignature, assemble};
    use crate::tuf::key_id::{KeyForm, default_form};

    struct Signer(Ed25519KeyPair);

    impl Signer {
        fn numbered(number: u8) -> Self {
            Self(Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap())
        }

        fn form(&self) -> KeyForm {
            default_form(&PublicKey::from_ed25519(self.0.public_key().as_ref()).unwrap())
        }

        fn sign(&self, signed: &serde_json::Value) -> Vec<u8> {
            // Sorted members and plain ASCII: the same bytes as canonical JSON.
            let signed = signed.to_string().into_bytes();
            let signature = self.0.sign(&signed).as_ref().to_vec();
            assemble(&signed, &[EnvelopeSignature { key_id: self.form().key_id, signature }]).unwrap()
        }

        /// A root that gives every role to this signer.
        fn root(&self, version: u64) -> Vec<u8> {
            let KeyForm { key_id, json, .. } = self.form();
            let key: serde_json::Value = serde_json::from_str(&json).unwrap();
            let role = json!({ "keyids": [key_id], "threshold": 1 });
            self.sign(&json!({
                "_type": "root",
                "consistent_snapshot": true,
                "expires": "2030-01-01T00:00:00Z",
                "keys": { (key_id.as_str()): key },
                "roles": { "root": role, "targets": role, "snapshot": role, "timestamp": role },
                "spec_version": "1.0.31",
                "version": version,
            }))
        }
    }

    #[test]
    fn what_the_root_lists_verifies_and_nothing_else_does() {
        let (ours, theirs) = (Signer::numbered(1), Signer::numbered(2));
        let root = ours.root(4);
        let timestamp = json!({
            "_type": "timestamp",
            "expires": "2020-01-01T00:00:00Z",
            "meta": { "snapshot.json": { "version": 7 } },
            "spec_version": "1.0.31",
            "version": 9,
        });
        let good = ours.sign(&timestamp);
        assert_eq!(role_of(&good), Ok(Role::Timestamp));
        assert_eq!(verify(&root, &Role::Timestamp, &good).unwrap().version.get(), 9);
        for (root, role, file) in [
            (&root, Role::Timestamp, theirs.sign(&timestamp)),
            (&root, Role::Snapshot, good.clone()),
            (&root, Role::Root, good.clone()),
            (&theirs.root(4), Role::Timestamp, good.clone()),
        ] {
            assert!(verify(root, &role, &file).is_err(), "{role}");
        }

        assert_eq!(verify(&root, &Role::Root, &root).unwrap().version.get(), 4);
        assert_eq!(verify(&root, &Role::Root, &ours.root(5)).unwrap().version.get(), 5);
        for file in [ours.root(6), ours.root(3), theirs.root(5), theirs.root(4)] {
            assert!(verify(&root, &Role::Root, &file).is_err());
        }
    }

    #[test]
    fn the_role_is_the_type_and_hostile_files_have_none() {
        let file = |kind: &str| format!("{{\"signatures\":[],\"signed\":{{\"_type\":{kind}}}}}").into_bytes();
        assert_eq!(role_of(&file("\"snapshot\"")), Ok(Role::Snapshot));
        assert_eq!(role_of(&file("\"root\"")), Ok(Role::Root));
        for kind in ["\"Root\"", "\"releases\"", "1", "null", "{}"] {
            assert_eq!(role_of(&file(kind)).unwrap_err().reason, Reason::MalformedMetadata, "{kind}");
        }
        for bytes in [&b""[..], b"{", b"\xff\xfe", &[b'['; 100_000]] {
            assert!(role_of(bytes).is_err());
        }
    }
}
