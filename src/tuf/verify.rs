//! Published metadata under a trusted root: where a guard begins.

use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::TARGETS_PAYLOAD_BYTES;
use crate::domain::statement::Statement;

use super::canonical::{Limits, Value, parse_canonical};
use super::delegations::public_signers;
use super::envelope::Envelope;
use super::fields::unreadable;
use super::metadata::read_signed;
use super::root::{RootFile, is_signed_by, signature_count};

/// The largest published file that is read: white space and signatures may double a payload.
pub const MAX_FILE_BYTES: usize = 2 * TARGETS_PAYLOAD_BYTES;

/// Reads published metadata of a top-level role that carries the role's threshold of signatures under a trusted root,
/// whose own signatures are not checked again. Expiry is not looked at.
///
/// Denials: `seed-unverified` for too few signatures, another role's metadata and delegated roles; `offline-role` for
/// root; those of [`read_signed`].
pub fn verify_role_metadata(root_file: &[u8], role: &Role, file: &[u8]) -> Result<Statement, Denial> {
    let unverified = |detail: String| Denial::new(Reason::SeedUnverified, detail);
    match role {
        Role::Root => return Err(Denial::new(Reason::OfflineRole, "root online: root has no guard to seed")),
        Role::Delegated(_) => {
            let detail = format!("{role} is listed by its delegator, not by a root");
            return Err(unverified(detail));
        }
        Role::Targets | Role::Snapshot | Role::Timestamp => {}
    }
    let root = RootFile::parse(root_file)?;
    let envelope = Envelope::parse(file, MAX_FILE_BYTES)?;
    let count = signature_count(&root, role, &envelope);
    if !count.is_met() {
        let (valid, threshold, version) = (count.valid.len(), count.threshold, root.root().version);
        let detail = format!("{valid} of {threshold} valid signatures by keys that root {version} lists for {role}");
        return Err(unverified(detail));
    }
    let statement = read_signed(&envelope.signed, MAX_FILE_BYTES)?;
    if statement.metadata_type() != role.metadata_type() {
        return Err(unverified(format!("the file is of type {}, not {role}", statement.metadata_type())));
    }
    Ok(statement)
}

/// Reads published metadata of a delegated role that carries the threshold of signatures that its delegator sets, whose
/// released payload this is. Expiry is not looked at.
///
/// Denials: `seed-unverified` for too few signatures, another role's metadata, and a delegator that does not delegate to
/// it; those of [`read_signed`].
pub fn verify_delegated_metadata(delegator: &[u8], role: &Role, file: &[u8]) -> Result<Statement, Denial> {
    let unverified = |detail: String| Denial::new(Reason::SeedUnverified, detail);
    let signed = parse_canonical(delegator, Limits::of_bytes(delegator.len()))
        .map_err(|error| unreadable("the delegator's payload", error, Reason::NotCanonical))?;
    let delegations = signed.get("delegations").and_then(Value::as_object);
    let signers = delegations.map(|delegations| public_signers(delegations, role)).transpose()?.flatten();
    let Some((keys, threshold)) = signers else {
        return Err(unverified(format!("the delegator does not delegate to {role}")));
    };
    let envelope = Envelope::parse(file, MAX_FILE_BYTES)?;
    let valid = keys.iter().filter(|(id, key)| is_signed_by(id, key, &envelope)).count();
    if u64::try_from(valid).map_or(true, |valid| valid < threshold) {
        let detail = format!("{valid} of {threshold} valid signatures by keys that the delegator lists for {role}");
        return Err(unverified(detail));
    }
    let statement = read_signed(&envelope.signed, MAX_FILE_BYTES)?;
    if statement.metadata_type() != role.metadata_type() {
        return Err(unverified(format!("the file is of type {}, not {role}", statement.metadata_type())));
    }
    Ok(statement)
}
