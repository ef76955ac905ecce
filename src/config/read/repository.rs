//! `[[repository]]`: the policies.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::error::{Code, shown};
use crate::config::report::Report;
use crate::config::schema::{self, TableKeys};
use crate::config::table::{Node, Section};
use crate::domain::algorithm::Algorithm;
use crate::domain::name::{InvalidName, KeystoreName, Pattern, RepositoryName, Version};
use crate::domain::policy::{Custody, DESTROY_DELAY_SECONDS, ReleaseRate, RepositoryPolicy, RolePolicy};
use crate::domain::thresholds::Thresholds;

use super::{place, roles};

/// Keys that are not destroyed: a rotation of every role every month for a year fits.
const MAX_KEYS: usize = 64;
/// Persons who approve one payload: more than a ceremony ever assembled.
const MOST_APPROVALS: u64 = 16;
/// Payloads of one role that wait at once. A repository has room for 256, whatever its roles.
const MOST_PENDING: u64 = 256;
/// Above this a payload is no metadata, and memory is at stake: 256 MiB.
const LARGEST_PAYLOAD: u64 = 256 << 20;
/// A version that is taken back more often is a server that never keeps anything.
const MOST_SUPERSEDES: u64 = 100;

/// Every policy with its place, in the order of the file.
pub(in crate::config) fn repositories(
    root: &Section<'_>,
    keystores: &[String],
    report: &mut Report,
) -> Vec<(usize, RepositoryPolicy)> {
    let nodes = root.find("repository").map(|node| node.tables(report)).unwrap_or_default();
    let read = nodes.into_iter().filter_map(|node| Some((node.at, repository(&node, keystores, report)?)));
    let read: Vec<_> = read.collect();
    let mut seen = BTreeSet::new();
    for (at, policy) in &read {
        if !seen.insert(policy.repositories.as_str()) {
            report.error(Code::Duplicate, *at, format!("`{}` has a [[repository]] already", policy.repositories));
        }
    }
    read
}

/// Where the roles of each repository stand, in the order of [`repositories`]. Of a file without mistakes.
pub(in crate::config) fn role_places<'t>(root: &Section<'t>) -> Vec<BTreeMap<&'t str, usize>> {
    let nodes = root.find("repository").map(|node| node.tables(&mut Report::default())).unwrap_or_default();
    let places = |node: &Node<'t>| {
        let roles = node.section(schema::REPOSITORY, &mut Report::default()).and_then(|section| section.find("role"));
        let entries = roles.map(|roles| roles.named_entries(&mut Report::default())).unwrap_or_default();
        entries.into_iter().map(|(name, at, _)| (name, at)).collect()
    };
    nodes.iter().map(places).collect()
}

fn repository(node: &Node<'_>, keystores: &[String], report: &mut Report) -> Option<RepositoryPolicy> {
    let section = node.section(schema::REPOSITORY, report)?;
    let repositories = match (section.find("name"), section.find("pattern")) {
        (Some(name), None) => name.parsed(Code::InvalidName, exact_name, report),
        (None, Some(pattern)) => pattern.parsed(Code::InvalidName, wildcard, report),
        (None, None) => {
            report.error(Code::MissingKey, section.at, "[[repository]] needs the key `name` or `pattern`");
            None
        }
        (Some(_), Some(pattern)) => {
            pattern.report(Code::Conflict, "a [[repository]] has a `name` or a `pattern`", report);
            None
        }
    };
    let require_root = section.flag("require_root", false, report);
    let require_snapshot_bytes = section.flag("require_snapshot_bytes", false, report);
    let max_keys = section.count("max_keys", 1..=10_000, MAX_KEYS, report);
    let destroy_delay = section.find("destroy_delay").and_then(|node| node.seconds(report));
    let read = section.find("role").map(|node| roles::roles(&node, keystores, report)).unwrap_or_default();
    let role_sets = roles::role_sets(&section, &read, report);
    let roles::Roles { named: roles, patterns: role_patterns } = read;
    Some(RepositoryPolicy {
        repositories: repositories?,
        roles,
        role_patterns,
        role_sets,
        require_root,
        require_snapshot_bytes,
        max_keys,
        destroy_delay_seconds: destroy_delay
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or(DESTROY_DELAY_SECONDS),
    })
}

fn exact_name(text: &str) -> Result<Pattern, String> {
    if text.contains('*') {
        return Err(format!("`{}` is a pattern; write it after `pattern`", shown(text)));
    }
    let name: RepositoryName = text.parse().map_err(|error: InvalidName| error.to_string())?;
    place::name_pattern(name.as_str())
}

fn wildcard(text: &str) -> Result<Pattern, String> {
    let pattern = place::name_pattern(text)?;
    if pattern.is_exact() {
        return Err(format!("`{pattern}` has no wildcard; write it after `name`"));
    }
    Ok(pattern)
}

/// The limits of a role, or of the roles of a pattern.
pub(super) fn role_policy(
    role: &str,
    default: RolePolicy,
    section: &Section<'_>,
    keystores: &[String],
    report: &mut Report,
) -> RolePolicy {
    let custody = custody(section, default.custody, report);
    let expiry = section.find("max_expiry").and_then(|node| node.seconds(report));
    let keystore = section.find("keystore").and_then(|node| {
        if custody == Custody::Offline {
            let advice = format!("{role} is offline here: no key of it may be in a keystore of this daemon");
            node.report(Code::OfflineRole, advice, report);
        }
        keystore(&node, keystores, report)
    });
    let algorithm = section
        .find("algorithm")
        .and_then(|node| node.choice(Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm)), report));
    if custody != Custody::Attended {
        // Whoever wrote it believes that people are asked.
        for key in ["approvals", "approval_expiry", "max_pending"] {
            if let Some(node) = section.find(key) {
                let detail = format!("nobody approves {role} here: `{key}` goes with custody = \"attended\"");
                node.report(Code::Conflict, detail, report);
            }
        }
    }
    let approval_expiry = section.find("approval_expiry").and_then(|node| node.seconds(report));
    let (keystores, algorithms) = roles::allowed_keys(section, keystores, custody, report);
    RolePolicy {
        custody,
        max_expiry_seconds: expiry
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or(default.max_expiry_seconds),
        max_payload_bytes: section.count("max_payload_bytes", 1..=LARGEST_PAYLOAD, default.max_payload_bytes, report),
        max_version_step: section.number("max_version_step", 1..=Version::MAX, default.max_version_step, report),
        first_listed_max: section.number("first_listed_max", 1..=Version::MAX, default.first_listed_max, report),
        max_supersedes: supersedes(section, default.max_supersedes, report),
        release_rate: release_rate(section, default.release_rate, report),
        cryptoperiod: thresholds(section, "cryptoperiod", schema::CRYPTOPERIOD, report, |node, report| {
            node.seconds(report)
        }),
        max_signatures: thresholds(section, "max_signatures", schema::MAX_SIGNATURES, report, |node, report| {
            node.number(1..=u64::MAX >> 1, report)
        }),
        approvals: u32::try_from(section.number("approvals", 1..=MOST_APPROVALS, default.approvals.into(), report))
            .unwrap_or(default.approvals),
        approval_expiry_seconds: approval_expiry
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or(default.approval_expiry_seconds),
        max_pending: section.count("max_pending", 1..=MOST_PENDING, default.max_pending, report),
        keystore,
        algorithm,
        keystores,
        algorithms,
        max_pending_keys: section.count("max_pending_keys", 1..=10_000, default.max_pending_keys, report),
        unguarded: false,
    }
}

fn custody(section: &Section<'_>, default: Custody, report: &mut Report) -> Custody {
    let words = [("online", Custody::Online), ("attended", Custody::Attended), ("offline", Custody::Offline)];
    match section.find("custody") {
        Some(node) => node.choice(words, report).unwrap_or(default),
        None => default,
    }
}

pub(super) fn keystore(node: &Node<'_>, keystores: &[String], report: &mut Report) -> Option<KeystoreName> {
    let name = node.parsed(Code::InvalidName, str::parse::<KeystoreName>, report)?;
    if !keystores.iter().any(|known| known == name.as_str()) {
        let advice = match schema::nearest(name.as_str(), keystores.iter().map(String::as_str)) {
            Some(nearest) => format!("; did you mean `{nearest}`?"),
            None => String::new(),
        };
        node.report(Code::UnknownReference, format!("no [[keystore]] is named `{name}`{advice}"), report);
    }
    Some(name)
}

fn supersedes(section: &Section<'_>, default: u32, report: &mut Report) -> u32 {
    let number = section.number("max_supersedes", 0..=MOST_SUPERSEDES, u64::from(default), report);
    u32::try_from(number).unwrap_or(default)
}

/// `warn`, `stage` and `refuse`, each of which may be left out, in ascending order.
fn thresholds(
    section: &Section<'_>,
    key: &str,
    keys: TableKeys,
    report: &mut Report,
    read: impl Fn(&Node<'_>, &mut Report) -> Option<u64>,
) -> Thresholds {
    let node = section.find(key);
    let Some(table) = node.as_ref().and_then(|node| node.section(keys, report)) else { return Thresholds::default() };
    let mut bound = |key| table.find(key).and_then(|node| read(&node, report));
    let thresholds = Thresholds { warn: bound("warn"), stage: bound("stage"), refuse: bound("refuse") };
    if let (Some(node), false) = (node, thresholds.is_ascending()) {
        node.report(Code::OutOfRange, "warn, stage and refuse do not ascend", report);
    }
    thresholds
}

fn release_rate(section: &Section<'_>, default: ReleaseRate, report: &mut Report) -> ReleaseRate {
    let node = section.find("release_rate");
    let Some(rate) = node.and_then(|node| node.section(schema::RELEASE_RATE, report)) else { return default };
    let mut number = |key, default: u32| {
        let number = rate.number(key, 1..=u64::from(u32::MAX), u64::from(default), report);
        u32::try_from(number).unwrap_or(default)
    };
    ReleaseRate { per_hour: number("per_hour", default.per_hour), burst: number("burst", default.burst) }
}
