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
    use super::*;

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
