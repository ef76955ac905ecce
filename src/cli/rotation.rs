//! `sealward rotation`: where a rotation stands, and what to type next.

use clap::{Args, Subcommand};
use serde_json::json;

use super::DONE;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use crate::client::messages::{GetRotationRequest, GetRotationResponse, RotationStep};
use crate::domain::name::RepositoryName;

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward rotation show --repository acme/app";

#[derive(Debug, Subcommand)]
pub(super) enum Rotation {
    /// Show the steps of a rotation in their order, which are done, which is next, and what to type
    #[command(after_help = "\
Examples:
  sealward rotation show --repository acme/app
  sealward --json rotation show --repository acme/app | jq -r '.steps[] | select(.state == \"next\").command'")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
}

impl Rotation {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self::Show(Show { repository }) = self;
        let request = GetRotationRequest { repository: repository.into() };
        let GetRotationResponse { repository, phase, steps, notes } =
            session.client().await?.get_rotation(request).await?;
        if output.is_json() {
            let steps: Vec<_> = steps.iter().map(step_json).collect();
            output
                .json(&json!({ "v": 1, "repository": repository, "phase": phase, "steps": steps, "notes": notes }))?;
            return Ok(DONE);
        }
        output.line(&format!("repository  {repository}, rotation {phase}"))?;
        for (index, step) in steps.iter().enumerate() {
            let RotationStep { name, state, seen_here, detail, command } = step;
            let yours = match (seen_here, state.as_str()) {
                (true, _) => "",
                (false, "done") => " (taken as done, by your `root publish`)",
                (false, _) => " (yours: not seen from here)",
            };
            output.line(&format!("{}. {state:<7} {name:<17} {detail}{yours}", index + 1))?;
            if state == "next" && !command.is_empty() {
                output.line(&format!("           $ {command}"))?;
            }
            if state == "next"
                && !seen_here
                && let Some((unseen, word)) = word_after(&steps, index)
            {
                let (first, last) = (index + 1, index + unseen);
                output.line(&format!("           when {first} to {last} are done: $ {word}"))?;
            }
        }
        notes.iter().try_for_each(|note| output.line(&format!("note: {note}")))?;
        Ok(DONE)
    }
}

/// How many steps from this one on the daemon cannot see, and the command by which it is told that they are done.
fn word_after(steps: &[RotationStep], index: usize) -> Option<(usize, &str)> {
    let rest = steps.get(index..)?;
    let unseen = rest.iter().take_while(|step| !step.seen_here).count();
    let told = rest.get(unseen).filter(|step| !step.command.is_empty())?;
    Some((unseen, &told.command))
}

fn step_json(step: &RotationStep) -> serde_json::Value {
    let RotationStep { name, state, seen_here, detail, command } = step;
    json!({ "name": name, "state": state, "seen_here": seen_here, "detail": detail, "command": command })
}
