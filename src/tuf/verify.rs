//! Published metadata under a trusted root: where a guard begins.

use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::TARGETS_PAYLOAD_BYTES;
use crate::domain::statement::Statement;

use super::envelope::Envelope;
use super::metadata::read_signed;
use super::root::{RootFile, signature_count};

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
            let detail = format!("{role} is listed by its delegator, not by a root; seeding it comes with delegations");
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
