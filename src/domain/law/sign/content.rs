//! What a payload says, whatever was released before. (`law.md` section 3)

use super::Situation;
use crate::domain::guard::listed;
use crate::domain::name::{MetadataType, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RolePolicy;

/// What the payload says, whatever was released before.
pub(super) fn check_content(situation: &Situation<'_>, limits: &RolePolicy) -> Result<(), Denial> {
    let Situation { role, statement, now, .. } = *situation;
    if statement.length() > limits.max_payload_bytes {
        let detail = format!("{} bytes; {role} may have {}", statement.length(), limits.max_payload_bytes);
        return Err(Denial::new(Reason::PayloadTooLarge, detail));
    }
    if statement.metadata_type() != role.metadata_type() {
        let detail = format!("the payload is of type {}, the request is for {role}", statement.metadata_type());
        return Err(Denial::new(Reason::WrongRole, detail));
    }
    let expires = statement.expires();
    if expires <= now {
        return Err(Denial::new(Reason::Expired, format!("expires {expires} is not after {now}")));
    }
    let latest = now.plus_seconds(limits.max_expiry_seconds);
    if expires > latest {
        return Err(Denial::new(Reason::ExpiryTooFar, format!("expires {expires} is after {latest}")));
    }
    check_snapshot_bytes(situation)
}

fn check_snapshot_bytes(situation: &Situation<'_>) -> Result<(), Denial> {
    let Situation { statement, attached_snapshot, .. } = *situation;
    if statement.metadata_type() != MetadataType::Timestamp {
        return Ok(());
    }
    let Some(attached) = attached_snapshot else {
        return if situation.policy.require_snapshot_bytes {
            Err(Denial::new(Reason::SnapshotBytesRequired, "no snapshot came with the timestamp"))
        } else {
            Ok(())
        };
    };
    let mismatch = |detail: String| Err(Denial::new(Reason::SnapshotBytesMismatch, detail));
    let Some(entry) = listed(statement.listing(), &Role::Snapshot) else {
        return mismatch("the timestamp lists no snapshot.json".into());
    };
    if entry.version != attached.version {
        return mismatch(format!("listed is snapshot {}, attached is {}", entry.version, attached.version));
    }
    if entry.length.is_some_and(|length| length != attached.file_length) {
        return mismatch(format!(
            "the attached snapshot has {} bytes, not those that are listed",
            attached.file_length
        ));
    }
    if entry.sha256.is_some_and(|digest| digest != attached.file_digest) {
        return mismatch(format!("the attached snapshot has digest {}", attached.file_digest));
    }
    if entry.other_hashes {
        return mismatch("the timestamp lists hashes other than sha256, which are not checked here".into());
    }
    let released = situation.guards.get(&Role::Snapshot).map(|guard| guard.released.get(&attached.version));
    match released {
        Some(Some(digest)) if *digest != attached.signed_digest => {
            mismatch(format!("snapshot {} was released with other bytes", attached.version))
        }
        _ => Ok(()),
    }
}
