//! `sealward freeze` and `sealward thaw`: the kill switches.

use clap::{Args, value_parser};
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::messages;
use crate::client::messages::freeze_scope::Scope;
use crate::domain::freeze::{FrozenCaller, ReasonCode};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::public_key::KeyId;

pub(super) const FREEZE_EXAMPLES: &str = "\
Examples:
  sealward freeze --all
  sealward freeze --repository acme/app --reason-code incident-17
  sealward freeze --repository acme/app --role timestamp
  sealward freeze --caller uri:spiffe://acme/ci
  sealward freeze --key 1f0c...9a";

pub(super) const THAW_EXAMPLES: &str = "\
Examples:
  sealward thaw --all
  sealward thaw --repository acme/app --role timestamp
  sealward --json status | jq '.freezes[].covers'";

#[derive(Debug, Args)]
pub(super) struct Freeze {
    #[command(flatten)]
    scope: Target,
    /// Why, as a word for the audit log: a-z 0-9 - [default: unspecified]
    #[arg(long, value_name = "WORD")]
    reason_code: Option<ReasonCode>,
}

#[derive(Debug, Args)]
pub(super) struct Thaw {
    #[command(flatten)]
    scope: Target,
}

/// Exactly one scope; a role only within a repository.
#[derive(Debug, Args)]
#[group(required = true)]
struct Target {
    /// Everything that signs or makes keys
    #[arg(long, conflicts_with_all = ["repository", "role", "caller", "frozen_key"])]
    all: bool,
    /// A repository with all its roles, or with --role one of them
    #[arg(long, value_name = "REPOSITORY", conflicts_with_all = ["caller", "frozen_key"])]
    repository: Option<RepositoryName>,
    /// One role of --repository
    #[arg(long, value_name = "ROLE", requires = "repository")]
    role: Option<Role>,
    /// A caller, as a grant or the audit log names it; nothing of what it asks for is done, but reading
    #[arg(long, value_name = "CALLER", conflicts_with = "frozen_key", value_parser = value_parser!(FrozenCaller))]
    caller: Option<FrozenCaller>,
    /// A key: 64 hexadecimal digits, as `key list` shows them
    #[arg(id = "frozen_key", long = "key", value_name = "KEY")]
    key: Option<KeyId>,
}

impl Target {
    fn message(&self) -> messages::FreezeScope {
        let Self { all: _, repository, role, caller, key } = self;
        let scope = match (repository, role, caller, key) {
            (Some(repository), Some(role), ..) => {
                Scope::Role(messages::RepositoryRole { repository: repository.to_string(), role: role.to_string() })
            }
            (Some(repository), ..) => Scope::Repository(repository.to_string()),
            (_, _, Some(caller), _) => Scope::Caller(caller.to_string()),
            (_, _, _, Some(key)) => Scope::Key(key.to_string()),
            _ => Scope::Everything(messages::Everything {}),
        };
        messages::FreezeScope { scope: Some(scope) }
    }

    fn arguments(&self) -> String {
        arguments(&self.message())
    }
}

/// What stands still, for a person in a hurry.
const STOPPED: &str = "no signature leaves and no key is made there; reading and verifying go on, and so do roots that \
                       carry the signatures of the trusted one";
/// The same of a caller.
const STOPPED_CALLER: &str = "nothing that this caller asks for is done any more, but reading";

impl Freeze {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let request = messages::FreezeRequest {
            scope: Some(self.scope.message()),
            reason_code: self.reason_code.map(String::from).unwrap_or_default(),
        };
        let messages::FreezeResponse { freeze, changed } = session.client().await?.freeze(request).await?;
        let freeze = freeze.ok_or(crate::client::ClientError::Incomplete("freeze"))?;
        let undo = format!("sealward thaw {}", self.scope.arguments());
        if output.is_json() {
            let object = json!({ "v": 1, "changed": changed, "freeze": json::freeze(&freeze), "undo": undo });
            return output.json(&object).map(|()| DONE);
        }
        let since = if changed { String::new() } else { format!(", since {} by {} already", freeze.since, freeze.by) };
        output.line(&format!("FROZEN {}{since} ({})", freeze.covers, freeze.reason_code))?;
        let stopped = if self.scope.caller.is_some() { STOPPED_CALLER } else { STOPPED };
        output.note(&format!("What stands still: {stopped}."));
        output.note(
            "It holds through restarts. What was released before stays released; clients accept it until it expires.",
        );
        output.note(&format!("Undo it with: {undo}"));
        Ok(DONE)
    }
}

impl Thaw {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let request = messages::ThawRequest { scope: Some(self.scope.message()) };
        let messages::ThawResponse { changed, covering, others } = session.client().await?.thaw(request).await?;
        if output.is_json() {
            let covering: Vec<_> = covering.iter().map(json::freeze).collect();
            let object = json!({ "v": 1, "changed": changed, "covering": covering, "others": others });
            return output.json(&object).map(|()| DONE);
        }
        output.line(if changed { "thawed" } else { "this scope was not frozen by itself" })?;
        for freeze in &covering {
            let undo = arguments(&freeze.scope.clone().unwrap_or_default());
            output.line(&format!("STILL FROZEN by {}: sealward thaw {undo}", freeze.covers))?;
        }
        if others > 0 {
            output.note(&format!("Freezes of other scopes stay ({others}): `sealward status` lists them."));
        }
        Ok(DONE)
    }
}

/// A scope as this program takes it.
pub(super) fn arguments(scope: &messages::FreezeScope) -> String {
    match &scope.scope {
        Some(Scope::Everything(messages::Everything {})) | None => "--all".to_owned(),
        Some(Scope::Repository(repository)) => format!("--repository {repository}"),
        Some(Scope::Role(messages::RepositoryRole { repository, role })) => {
            format!("--repository {repository} --role {role}")
        }
        // A subject may hold what a shell reads.
        Some(Scope::Caller(caller)) => format!("--caller '{}'", caller.replace('\'', "'\\''")),
        Some(Scope::Key(key)) => format!("--key {key}"),
    }
}
