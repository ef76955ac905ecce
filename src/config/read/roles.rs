//! `[repository.role.NAME]`: a role by its name, delegated roles by pattern, and the loud `targets/*`; `role_sets`.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::error::Code;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::table::{Node, Section};
use crate::domain::algorithm::Algorithm;
use crate::domain::name::{KeystoreName, MetadataType, Pattern, Role};
use crate::domain::policy::{Custody, RolePolicy};

use super::place;
use super::repository::{keystore, role_policy};

/// The roles of one repository.
#[derive(Default)]
pub(super) struct Roles {
    pub(super) named: BTreeMap<Role, RolePolicy>,
    pub(super) patterns: Vec<(Pattern, RolePolicy)>,
}

enum Name {
    Role(Role),
    Pattern(Pattern),
}

pub(super) fn roles(node: &Node<'_>, keystores: &[String], report: &mut Report) -> Roles {
    let mut roles = Roles::default();
    let (mut loud, mut targets) = (false, None);
    for (text, at, node) in node.named_entries(report) {
        let Some(section) = node.section(schema::ROLE, report) else { continue };
        let unguarded = section.flag("unguarded", false, report);
        let name = match name(text, unguarded) {
            Ok(name) => name,
            Err((code, detail)) => {
                report.error(code, at, detail);
                continue;
            }
        };
        match name {
            Name::Role(role) => {
                let policy = role_policy(text, RolePolicy::default_for(&role), &section, keystores, report);
                if unguarded && policy.custody != Custody::Online {
                    let detail = "`targets/*` is online: nothing is held with which people could compare, and what is \
                                  offline has no signer here";
                    report.error(Code::Conflict, at, detail);
                }
                if role == Role::Targets && policy.custody != Custody::Offline {
                    targets = Some(at);
                }
                loud = loud || unguarded;
                roles.named.insert(role, RolePolicy { unguarded, ..policy });
            }
            Name::Pattern(pattern) => {
                let policy = role_policy(text, delegated(), &section, keystores, report);
                roles.patterns.push((pattern, policy));
            }
        }
    }
    if let Some(at) = targets.filter(|_| loud) {
        let detail = "beside an unguarded `targets/*` no guard could hold targets: its keys sign top-level targets too. \
                      Take this table away, or make it custody = \"offline\"";
        report.error(Code::Conflict, at, detail);
    }
    roles
}

fn name(text: &str, unguarded: bool) -> Result<Name, (Code, String)> {
    match text.parse() {
        Ok(Role::Root) => {
            let advice = "root is offline by type; it signs in a ceremony (sealward-ceremony), so take this table away";
            Err((Code::OfflineRole, advice.to_owned()))
        }
        Ok(role) if unguarded == role.is_unguarded() => Ok(Name::Role(role)),
        _ if unguarded => {
            let detail = format!("`unguarded` is for \"{}\" alone: every other role has a guard", Role::UNGUARDED);
            Err((Code::Conflict, detail))
        }
        _ if text.contains('*') => {
            place::name_pattern(text).map(Name::Pattern).map_err(|detail| (Code::InvalidName, detail))
        }
        Ok(role) => Ok(Name::Role(role)),
        Err(error) => Err((Code::InvalidName, error.to_string())),
    }
}

/// The defaults of every delegated role are the same.
fn delegated() -> RolePolicy {
    RolePolicy { custody: Custody::Attended, ..RolePolicy::default_for(&Role::Targets) }
}

/// Sets of roles that one key may be bound to, each of roles that have a table here.
pub(super) fn role_sets(section: &Section<'_>, roles: &Roles, report: &mut Report) -> Vec<BTreeSet<Role>> {
    let sets = section.find("role_sets").map(|node| node.items(report)).unwrap_or_default();
    let mut read = Vec::new();
    for node in sets {
        let mut set = BTreeSet::new();
        for item in node.items(report) {
            let Some(role) = item.parsed(Code::InvalidName, str::parse::<Role>, report) else { continue };
            let policy = roles.named.get(&role);
            match policy.map(|policy| policy.custody) {
                Some(Custody::Online | Custody::Attended) => {}
                _ if role == Role::Root => item.report(Code::OfflineRole, "no key for root is ever here", report),
                Some(Custody::Offline) => item.report(Code::OfflineRole, format!("{role} is offline here"), report),
                None => {
                    let detail = format!("no [repository.role.NAME] of this repository is named `{role}`");
                    item.report(Code::UnknownReference, detail, report);
                }
            }
            if !set.insert(role) {
                item.report(Code::Duplicate, "stands in this set already", report);
            }
        }
        if node.is_array() && set.len() < 2 {
            node.report(Code::InvalidValue, "a set has at least two roles; a single role needs none", report);
        }
        let guarded = set.iter().find(|role| !role.is_unguarded() && role.metadata_type() == MetadataType::Targets);
        if let Some(guarded) = guarded.filter(|_| set.iter().any(Role::is_unguarded)) {
            let detail = format!(
                "a key of `targets/*` signs whatever is of type targets, so no guard could hold `{guarded}` beside it"
            );
            node.report(Code::Conflict, detail, report);
        }
        read.push(set);
    }
    read
}

/// Where, and of which algorithms, keys may be made besides the defaults of the role.
pub(super) fn allowed_keys(
    section: &Section<'_>,
    keystores: &[String],
    custody: Custody,
    report: &mut Report,
) -> (Vec<KeystoreName>, Vec<Algorithm>) {
    let list = |key, report: &mut Report| section.find(key).map(|node| node.items(report)).unwrap_or_default();
    let named = list("keystores", report);
    if let Some(node) = named.first().filter(|_| custody == Custody::Offline) {
        node.report(Code::OfflineRole, "no key of an offline role may be in a keystore of this daemon", report);
    }
    let algorithms = list("algorithms", report);
    let choices = || Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    (
        named.iter().filter_map(|node| keystore(node, keystores, report)).collect(),
        algorithms.iter().filter_map(|node| node.choice(choices(), report)).collect(),
    )
}
