//! `sealward status`: health, as the daemon sees it.

use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::messages::{GuardStatus, KeyUse, StatusRequest, StatusResponse};
use crate::domain::outcome::Reason;

pub(super) async fn run(session: &Session, output: &mut Output) -> Result<u8, CliError> {
    let status = session.client().await?.status(StatusRequest {}).await?;
    let code = if status.latches.is_empty() { DONE } else { Reason::Latched.exit_code() };
    if output.is_json() { print_json(&status, output) } else { print_text(&status, output) }?;
    Ok(code)
}

fn print_json(status: &StatusResponse, output: &mut Output) -> Result<(), CliError> {
    let StatusResponse {
        version,
        dev,
        ledger_id,
        state,
        latches,
        keystores,
        guards,
        key_uses,
        tree_size,
        verifier_key,
        warnings,
        started,
        freezes,
        configuration,
    } = status;
    output.json(&json!({
        "v": 1,
        "version": version,
        "dev": dev,
        "ledger_id": ledger_id,
        "state": state,
        "latches": latches.iter().map(json::latch).collect::<Vec<_>>(),
        "freezes": freezes.iter().map(json::freeze).collect::<Vec<_>>(),
        "keystores": keystores.iter().map(json::keystore).collect::<Vec<_>>(),
        "guards": guards.iter().map(json::guard).collect::<Vec<_>>(),
        "key_uses": key_uses.iter().map(json::key_use).collect::<Vec<_>>(),
        "tree_size": tree_size,
        "verifier_key": verifier_key,
        "warnings": warnings,
        "started": started,
        "configuration": configuration.as_ref().map(json::configuration),
    }))
}

fn print_text(status: &StatusResponse, output: &mut Output) -> Result<(), CliError> {
    let throw_away = if status.dev { ", a throw-away daemon (--dev)" } else { "" };
    output.line(&format!("daemon  sealward {}, {}{throw_away}", status.version, status.state))?;
    output.line(&format!("started {}", status.started))?;
    output.line(&format!("ledger  {}, {} leaves", status.ledger_id, status.tree_size))?;
    output.line(&format!("log     {}", status.verifier_key))?;
    if let Some(configuration) = &status.configuration {
        output.line(&format!("config  {} since {}", configuration.sha256, configuration.since))?;
        if !configuration.refused.is_empty() {
            output.line(&format!("REFUSED at {}: the newer configuration", configuration.refused))?;
            configuration.problems.iter().try_for_each(|problem| output.line(&format!("  {problem}")))?;
        }
    }
    for latch in &status.latches {
        output.line(&format!("LATCHED {} ({}): {}", latch.name, latch.scope, latch.cause))?;
        output.line(&format!("  resolve: {}", latch.resolve))?;
    }
    for freeze in &status.freezes {
        output.line(&format!(
            "FROZEN  {} since {} by {} ({})",
            freeze.covers, freeze.since, freeze.by, freeze.reason_code
        ))?;
        let scope = freeze.scope.clone().unwrap_or_default();
        output.line(&format!("  undo: sealward thaw {}", super::freeze::arguments(&scope)))?;
    }
    let keystores: Vec<_> = status
        .keystores
        .iter()
        .map(|keystore| {
            [
                keystore.name.clone(),
                keystore.kind.clone(),
                keystore.state.clone(),
                keystore.since.clone(),
                keystore.keys.to_string(),
                keystore.orphans.len().to_string(),
                keystore.algorithms.join(","),
            ]
        })
        .collect();
    output.table(["KEYSTORE", "KIND", "STATE", "SINCE", "KEYS", "ORPHANS", "ALGORITHMS"], &keystores)?;
    print_guards(&status.guards, output)?;
    print_key_uses(&status.key_uses, output)?;
    status.warnings.iter().try_for_each(|warning| output.line(&format!("warning: {warning}")))
}

pub(super) fn print_guards(guards: &[GuardStatus], output: &mut Output) -> Result<(), CliError> {
    let rows: Vec<_> = guards
        .iter()
        .map(|guard| {
            let released = guard.version != 0;
            [
                guard.repository.clone(),
                guard.role.clone(),
                guard.epoch.to_string(),
                guard.version.to_string(),
                guard.expires.clone(),
                if released { in_words(guard.seconds_to_expiry) } else { String::new() },
                guard.rate_per_hour.to_string(),
            ]
        })
        .collect();
    output.table(["REPOSITORY", "ROLE", "EPOCH", "VERSION", "EXPIRES", "LEFT", "PER HOUR"], &rows)
}

fn print_key_uses(uses: &[KeyUse], output: &mut Output) -> Result<(), CliError> {
    let rows: Vec<_> = uses
        .iter()
        .map(|key| {
            let age = in_words(i64::try_from(key.age_seconds).unwrap_or(i64::MAX));
            let level = |level: &str| if level == "fine" { String::new() } else { format!(" ({level})") };
            [
                key.key.clone(),
                key.repository.clone(),
                key.role.clone(),
                age + &level(&key.age_level),
                format!("{}{}", key.signatures, level(&key.signatures_level)),
            ]
        })
        .collect();
    output.table(["KEY", "REPOSITORY", "ROLE", "ACTIVE FOR", "SIGNATURES"], &rows)
}

fn in_words(seconds: i64) -> String {
    let (past, seconds) = (if seconds < 0 { " ago" } else { "" }, seconds.unsigned_abs());
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{past}"),
        (0, _) => format!("{hours}h{minutes}m{past}"),
        _ => format!("{days}d{hours}h{past}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_in_two_units_and_never_overflows() {
        assert_eq!(in_words(59), "0m");
        assert_eq!(in_words(3660), "1h1m");
        assert_eq!(in_words(-90_000), "1d1h ago");
        assert!(in_words(i64::MIN).ends_with(" ago"));
    }
}
