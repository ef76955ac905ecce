//! A proposal together with the root before it, each held against the other.

use std::path::{Path, PathBuf};

use crate::domain::name::{MetadataType, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::tuf::root::{RootFile, verify_first, verify_successor};

use super::arguments::Before;
use super::error::{CeremonyError, Refusal};
use super::file;
use super::proposal::{Manifest, Previous, Proposal};

/// A proposal that follows from what it was shown with. Its own signatures are not looked at.
#[derive(Debug)]
pub(super) struct Case {
    /// The proposed root.
    pub(super) proposal: Proposal,
    /// The root before it, verified; `None` for the first.
    pub(super) previous: Option<RootFile>,
}

impl Case {
    /// Verifies the chain that leads to the root before, and holds the proposal against it.
    pub(super) fn of(proposal: Proposal, before: &[PathBuf]) -> Result<Self, CeremonyError> {
        let previous = read_chain(before)?.pop();
        Self { proposal, previous }.checked()
    }

    /// As [`Self::of`], for a proposal in a file.
    pub(super) fn read(proposal: &Path, before: &Before) -> Result<Self, CeremonyError> {
        Self::of(read_proposal(proposal)?, &before.previous)
    }

    fn checked(self) -> Result<Self, CeremonyError> {
        let Self { proposal, previous } = &self;
        let version = proposal.root.root().version;
        let expected = previous.as_ref().map_or(0, |previous| previous.root().version.get()) + 1;
        if version.get() != expected {
            let detail = format!("the proposal is root {version}; what follows here is root {expected}");
            return Err(Denial::new(Reason::RootVersion, detail).into());
        }
        let follows = Manifest::of(&proposal.root, previous.as_ref(), &proposal.manifest.names());
        if follows == proposal.manifest {
            return Ok(self);
        }
        let detail = match (proposal.manifest.previous, follows.previous) {
            (Some(Previous { version, .. }), None) => format!("the proposal follows a root {version}"),
            (None, Some(_)) => "the proposal is made as a first root".to_owned(),
            (Some(made), Some(shown)) if made.signed_digest != shown.signed_digest => format!(
                "the proposal follows a root {} with digest {}, the one that was given has {}",
                made.version, made.signed_digest, shown.signed_digest
            ),
            _ => "the manifest's signers are not those of the two roots".to_owned(),
        };
        Err(CeremonyError::refused(Refusal::ProposalMismatch, detail))
    }
}

/// A proposal on its own.
pub(super) fn read_proposal(path: &Path) -> Result<Proposal, CeremonyError> {
    Proposal::parse(&file::read(path)?).map_err(|cause| CeremonyError::input(path, cause))
}

/// Roots, oldest first: the first one verified by its own threshold, each other one by that of its predecessor too.
pub(super) fn read_chain(paths: &[PathBuf]) -> Result<Vec<RootFile>, CeremonyError> {
    let mut roots: Vec<RootFile> = Vec::new();
    let mut before: Option<Vec<u8>> = None;
    for path in paths {
        let bytes = file::read(path)?;
        let root = RootFile::parse(&bytes).map_err(|denial| unreadable(path, &bytes, &denial))?;
        match &before {
            None => verify_first(&bytes),
            Some(before) => verify_successor(before, &bytes),
        }
        .map_err(|denial| Denial::new(denial.reason, format!("{}: {}", path.display(), denial.detail)))?;
        roots.push(root);
        before = Some(bytes);
    }
    Ok(roots)
}

/// Says so when a file of this room stands in the place of a root.
fn unreadable(path: &Path, bytes: &[u8], denial: &Denial) -> CeremonyError {
    let cause = if Proposal::parse(bytes).is_ok() {
        format!("a proposal; a {} that is signed is needed", MetadataType::Root)
    } else {
        format!("not a {} that sealward reads: {}", Role::Root, denial.detail)
    };
    CeremonyError::input(path, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, root, signed_root};

    struct World {
        directory: tempfile::TempDir,
    }

    impl World {
        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    #[test]
    fn a_proposal_is_read_with_the_root_that_it_follows_and_no_other() {
        let world = World { directory: tempfile::tempdir().unwrap() };
        let [a, b, c, d] = TestKey::four();
        let first = signed_root(1, 1, &[&a], &d);
        let proposal = Proposal::of(root(2, 1, &[&b], &d), Some(&RootFile::parse(&first).unwrap()), &[].into());
        let proposed = world.file("proposal.json", &proposal.to_file());
        let case = |previous: &[(&str, Vec<u8>)]| {
            let previous: Vec<_> = previous.iter().map(|(name, bytes)| world.file(name, bytes)).collect();
            Case::read(&proposed, &Before { first: previous.is_empty(), previous })
        };
        let reason = |result: Result<Case, CeremonyError>| result.unwrap_err().json()["error"]["reason"].clone();
        assert!(case(&[("1", first.clone())]).is_ok());
        assert_eq!(reason(case(&[("1", signed_root(1, 1, &[&a, &c], &d))])), "proposal-mismatch");
        assert_eq!(reason(case(&[("2", signed_root(2, 1, &[&a], &d))])), "root-version");
        assert_eq!(reason(case(&[])), "root-version");
        assert_eq!(reason(case(&[("1", root_unsigned(&a, &d))])), "root-unverified");
        assert_eq!(reason(case(&[("1", proposal.to_file())])), "unreadable-input");
        assert_eq!(reason(case(&[("1", first[..20].to_vec())])), "unreadable-input");
        let skipped = case(&[("1", first), ("3", signed_root(3, 1, &[&a], &d))]);
        assert_eq!(reason(skipped), "root-version");
    }

    fn root_unsigned(holder: &TestKey, online: &TestKey) -> Vec<u8> {
        crate::tuf::envelope::assemble(&root(1, 1, &[holder], online).envelope().signed, &[]).unwrap()
    }
}
