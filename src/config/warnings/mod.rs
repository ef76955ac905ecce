//! What is legal and probably not meant.

mod grants;
mod people;
mod roles;
mod shadow;
mod tokens;

use std::collections::BTreeMap;

use super::overlap::{Budget, Exhausted};
use super::report::{Lines, Report};
use super::settings::ListenerSettings;
use crate::domain::grant::Grant;
use crate::domain::person::{Person, Persons};
use crate::domain::policy::RepositoryPolicy;
use crate::keystore::settings::KeystoreSettings;
use crate::oidc::settings::ProviderSettings;

/// The parts of a file without mistakes, side by side, each with its place.
pub(super) struct File<'f> {
    pub(super) repositories: &'f [(usize, RepositoryPolicy)],
    /// Of each repository, where its roles stand.
    pub(super) roles: &'f [BTreeMap<&'f str, usize>],
    pub(super) grants: &'f [(usize, Grant)],
    pub(super) people: &'f [(usize, Person)],
    pub(super) persons: &'f Persons,
    pub(super) keystores: &'f [KeystoreSettings],
    pub(super) providers: &'f [(usize, ProviderSettings)],
    pub(super) listeners: &'f [ListenerSettings],
    pub(super) lines: &'f Lines<'f>,
}

impl File<'_> {
    fn line(&self, at: usize) -> usize {
        self.lines.position(at).line
    }

    fn policies(&self) -> Vec<&RepositoryPolicy> {
        self.repositories.iter().map(|(_, policy)| policy).collect()
    }
}

/// Looks at everything.
pub(super) fn collect(file: &File<'_>, report: &mut Report) {
    if file.repositories.is_empty() {
        report.warning("no-repository", 0, "no [[repository]]: this daemon will sign nothing");
    }
    if file.keystores.is_empty() {
        report.warning("no-keystore", 0, "no [[keystore]]: this daemon has no place for private keys");
    }
    if file.grants.is_empty() {
        report.warning("no-grant", 0, "no [[grant]]: this daemon will answer nobody");
    }
    tokens::collect(file, report);
    if let Err(Exhausted) = compare(file, report) {
        let detail = "so many patterns that not every grant, person and [[repository]] was compared with every other";
        report.warning("checks-skipped", 0, detail);
    }
}

fn compare(file: &File<'_>, report: &mut Report) -> Result<(), Exhausted> {
    let mut budget = Budget::new();
    people::collect(file, &mut budget, report)?;
    grants::collect(file, &mut budget, report)?;
    roles::collect(file, &mut budget, report)?;
    shadow::collect(file, &mut budget, report)
}
