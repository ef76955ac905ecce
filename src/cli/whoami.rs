//! `sealward whoami`: how the daemon names the caller, and what it grants.

use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::messages::{GrantSummary, WhoAmIRequest, WhoAmIResponse};

pub(super) async fn run(session: &Session, output: &mut Output) -> Result<u8, CliError> {
    let answer = session.client().await?.who_am_i(WhoAmIRequest {}).await?;
    let WhoAmIResponse { caller, identities, grants } = answer;
    if output.is_json() {
        let grants: Vec<_> = grants.iter().map(json::grant).collect();
        output.json(&json!({ "v": 1, "caller": caller, "identities": identities, "grants": grants }))?;
        return Ok(DONE);
    }
    output.line(&format!("caller      {caller}"))?;
    output.line(&format!("identities  {}", identities.join(" ")))?;
    if grants.is_empty() {
        output.note("no grants: an administrator can give some to one of these identities");
    }
    let rows: Vec<_> = grants
        .into_iter()
        .map(|GrantSummary { verbs, repositories, roles }| [verbs.join(","), repositories.join(","), roles.join(",")])
        .collect();
    output.table(["VERBS", "REPOSITORIES", "ROLES"], &rows)?;
    Ok(DONE)
}
