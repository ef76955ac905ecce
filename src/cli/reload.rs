//! `sealward reload`: the daemon reads its configuration anew.

use serde_json::json;

use super::DONE;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use crate::client::messages::{ReloadRequest, ReloadResponse};
use crate::domain::outcome::{Denial, Reason};

pub(super) async fn run(session: &Session, output: &mut Output) -> Result<u8, CliError> {
    let answer = session.client().await?.reload(ReloadRequest {}).await?;
    let ReloadResponse { in_force, sha256, problems, warnings } = answer;
    if output.is_json() {
        let mut all =
            json!({ "v": 1, "in_force": in_force, "sha256": sha256, "problems": problems, "warnings": warnings });
        if !in_force && let Some(all) = all.as_object_mut() {
            let refused = Denial::new(Reason::ConfigurationRefused, problems.join("; "));
            all.extend(CliError::from(refused).json().as_object().cloned().unwrap_or_default());
        }
        output.json(&all)?;
    } else {
        warnings.iter().for_each(|warning| output.note(&format!("warning: {warning}")));
        problems.iter().for_each(|problem| output.note(problem));
        let what = if in_force { "reloaded" } else { "refused; in force is still" };
        output.line(&format!("{what} {sha256}"))?;
    }
    Ok(if in_force { DONE } else { Reason::ConfigurationRefused.exit_code() })
}
