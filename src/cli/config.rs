//! `sealward config`: what a configuration file means, without a daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::DONE;
use super::error::CliError;
use super::output::Output;
use crate::client::exit;
use crate::config::{CallerRights, Configuration, Right, Who, load};
use crate::domain::grant::Verb;
use crate::domain::name::RepositoryName;
use crate::domain::policy::{Custody, RolePolicy};
use crate::domain::thresholds::Thresholds;

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward config explain
  sealward config explain --as person:alice --repository acme/app
  sealward config explain --as unix:1000,unix-group:4 --json | jq '.callers[].rights[] | select(.verb == \"sign\")'";

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Show who may do what: verb, repository, role, the line that gives it and the limits that hold
    #[command(after_help = EXAMPLES)]
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/sealward/sealward.toml")]
    config: PathBuf,
    /// One caller, with all identities that it has at once: unix:UID,unix-group:GID, the names of a certificate,
    /// oidc:PROVIDER/IDENTITY or person:NAME [default: everybody whom the file names]
    #[arg(long = "as", value_name = "CALLER")]
    caller: Option<String>,
    /// Only this repository
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
}

impl Config {
    pub(super) fn run(self, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::Explain(command) => command.run(output),
        }
    }
}

impl Explain {
    fn run(self, output: &mut Output) -> Result<u8, CliError> {
        let Self { config, caller, repository } = self;
        let configuration = load(&config).map_err(CliError::Configuration)?;
        if let Some(repository) = &repository {
            let declared = configuration.check_declared(repository);
            declared.map_err(|error| CliError::Usage(format!("--repository: {error}")))?;
        }
        let callers = match &caller {
            Some(text) => {
                let who = Who::parse(text, &configuration);
                vec![who.map_err(|error| CliError::Usage(format!("--as: {error}")))?]
            }
            None => configuration.callers(),
        };
        let rights: Vec<_> = callers.iter().map(|who| configuration.rights(who, repository.as_ref())).collect();
        for warning in &configuration.warnings {
            output.note(&format!("warning: {warning}"));
        }
        if output.is_json() {
            let callers: Vec<_> = rights.iter().map(caller_json).collect();
            let file = config.display().to_string();
            output.json(&json!({ "v": 1, "file": file, "warnings": configuration.warnings, "callers": callers }))?;
        } else {
            print(&rights, caller.is_some(), &configuration, output)?;
        }
        if rights.iter().all(|caller| caller.complete) {
            return Ok(DONE);
        }
        output.note("the table is not complete: ask with --as and --repository, or give the file fewer patterns");
        Ok(exit::CONFIG)
    }
}

fn print(
    callers: &[CallerRights],
    one: bool,
    configuration: &Configuration,
    output: &mut Output,
) -> Result<(), CliError> {
    for caller in callers.iter().filter(|_| one) {
        output.line(&format!("caller      {}", caller.caller))?;
        output.line(&format!("identities  {}", caller.identities.join(" ")))?;
    }
    let rows: Vec<[String; 8]> = callers.iter().flat_map(rows).collect();
    if one {
        let rows: Vec<[String; 7]> = rows.into_iter().map(|[_, rest @ ..]| rest).collect();
        output.table(["REPOSITORY", "ROLE", "VERBS", "LINE", "CUSTODY", "KEYS", "LIMITS"], &rows)?;
    } else {
        output.table(["CALLER", "REPOSITORY", "ROLE", "VERBS", "LINE", "CUSTODY", "KEYS", "LIMITS"], &rows)?;
    }
    if callers.iter().all(|caller| caller.rights.is_empty() && caller.complete) {
        let whom = if one { "this caller" } else { "anybody" };
        output.note(&format!("no grant gives {whom} anything here: no grant, no answer"));
    }
    if configuration.grants.iter().count() > 0 {
        output.note("no grant makes the daemon sign for root or for an offline role");
    }
    let mut notes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for caller in callers {
        for note in &caller.notes {
            notes.entry(note).or_default().push(&caller.caller);
        }
    }
    for (note, callers) in notes {
        output.note(&format!("note ({}): {note}", callers.join(" ")));
    }
    Ok(())
}

/// A row for all verbs that the same lines give for the same role.
fn rows(caller: &CallerRights) -> Vec<[String; 8]> {
    let mut groups: Vec<Vec<&Right>> = Vec::new();
    for right in &caller.rights {
        // Those of one role stand together.
        let near = |group: &&mut Vec<&Right>| {
            group.first().is_some_and(|first| first.repository == right.repository && first.role == right.role)
        };
        let same = |group: &&mut Vec<&Right>| group.first().is_some_and(|first| is_one_row(first, right));
        match groups.iter_mut().rev().take_while(near).find(same) {
            Some(group) => group.push(right),
            None => groups.push(vec![right]),
        }
    }
    groups.iter().filter_map(|group| Some(row(&caller.caller, group.first()?, group))).collect()
}

fn is_one_row(left: &Right, right: &Right) -> bool {
    left.places == right.places && left.blocked == right.blocked
}

fn row(caller: &str, first: &Right, group: &[&Right]) -> [String; 8] {
    let verbs: Vec<_> = group.iter().map(|right| right.verb.name()).collect();
    let lines: Vec<_> = first.places.iter().map(|place| place.line.to_string()).collect();
    let limits = first.limits.as_ref();
    let signs = group.iter().any(|right| right.verb == Verb::Sign);
    let limits_text = match (&first.blocked, limits) {
        (Some(blocked), _) => format!("nothing: {blocked}"),
        (None, Some(limits)) if signs => in_words(limits),
        _ => String::new(),
    };
    [
        caller.to_owned(),
        first.repository.clone(),
        first.role.clone().unwrap_or_else(|| whole(group).to_owned()),
        verbs.join(","),
        lines.join(","),
        limits.map(|limits| limits.custody.name().to_owned()).unwrap_or_default(),
        limits.filter(|_| first.blocked.is_none()).map(keys).unwrap_or_default(),
        limits_text,
    ]
}

/// What stands for the role where none does.
fn whole(group: &[&Right]) -> &'static str {
    if group.iter().any(|right| right.verb.is_per_repository()) { "(whole)" } else { "" }
}

fn keys(limits: &RolePolicy) -> String {
    let keystore = limits.keystore.as_ref().map(ToString::to_string);
    let algorithm = limits.algorithm.map(|algorithm| algorithm.name().to_owned());
    keystore.into_iter().chain(algorithm).collect::<Vec<_>>().join(" ")
}

/// What a caller with `sign` cannot exceed.
fn in_words(limits: &RolePolicy) -> String {
    let mut parts = vec![
        format!("expiry {}", duration(limits.max_expiry_seconds)),
        format!("step {}", limits.max_version_step),
        format!("{}/h burst {}", limits.release_rate.per_hour, limits.release_rate.burst),
    ];
    if limits.unguarded {
        parts.insert(0, "no guard: any version, again and again".to_owned());
    }
    if limits.custody == Custody::Attended {
        let waits = duration(limits.approval_expiry_seconds);
        parts.insert(0, format!("{} approvals within {waits}", limits.approvals));
    }
    if limits.max_supersedes > 0 {
        parts.push(format!("{} supersedes per version", limits.max_supersedes));
    }
    if let Some(seconds) = limits.cryptoperiod.refuse {
        parts.push(format!("a key for {}", duration(i64::try_from(seconds).unwrap_or(i64::MAX))));
    }
    if let Some(signatures) = limits.max_signatures.refuse {
        parts.push(format!("{signatures} signatures per key"));
    }
    parts.join(", ")
}

/// As people write it in the file.
fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds != 0 && seconds % unit == 0);
    match whole {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

fn caller_json(caller: &CallerRights) -> Value {
    let CallerRights { caller, identities, rights, notes, complete } = caller;
    let rights: Vec<_> = rights.iter().map(right_json).collect();
    json!({ "caller": caller, "identities": identities, "rights": rights, "notes": notes, "complete": complete })
}

fn right_json(right: &Right) -> Value {
    let Right { verb, repository, role, places, limits, blocked } = right;
    json!({
        "verb": verb.name(),
        "repository": repository,
        "role": role,
        "lines": places.iter().map(|place| place.line).collect::<Vec<_>>(),
        "limits": limits.as_ref().map(limits_json),
        "blocked": blocked,
    })
}

fn limits_json(limits: &RolePolicy) -> Value {
    json!({
        "custody": limits.custody.name(),
        "unguarded": limits.unguarded,
        "approvals": (limits.custody == Custody::Attended).then_some(limits.approvals),
        "approval_expiry_seconds": (limits.custody == Custody::Attended).then_some(limits.approval_expiry_seconds),
        "max_pending": (limits.custody == Custody::Attended).then_some(limits.max_pending),
        "keystore": limits.keystore.as_ref().map(ToString::to_string),
        "algorithm": limits.algorithm.map(|algorithm| algorithm.name()),
        "max_expiry_seconds": limits.max_expiry_seconds,
        "max_payload_bytes": limits.max_payload_bytes,
        "max_version_step": limits.max_version_step,
        "first_listed_max": limits.first_listed_max,
        "max_supersedes": limits.max_supersedes,
        "cryptoperiod_seconds": thresholds_json(&limits.cryptoperiod),
        "max_signatures": thresholds_json(&limits.max_signatures),
        "release_rate": { "per_hour": limits.release_rate.per_hour, "burst": limits.release_rate.burst },
    })
}

fn thresholds_json(thresholds: &Thresholds) -> Value {
    let Thresholds { warn, stage, refuse } = thresholds;
    json!({ "warn": warn, "stage": stage, "refuse": refuse })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_whole_units() {
        for (seconds, text) in [(0, "0s"), (61, "61s"), (120, "2m"), (43_200, "12h"), (604_800, "7d")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
