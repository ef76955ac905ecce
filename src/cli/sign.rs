//! `sealward sign` and `sealward explain`: one payload.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::adapters::Payload;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, input, json};
use crate::client::{ClientError, Refused, messages};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::Reason;
use crate::domain::public_key::KeyId;

pub(super) const SIGN_EXAMPLES: &str = "\
Examples:
  sealward sign --repository acme/app --role timestamp timestamp.json > signed.json
  sealward sign --repository acme/app --role targets --signature-only - < targets.canonical
  sealward --json sign --repository acme/app --role snapshot snapshot.json | jq -r .file";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  sealward explain --repository acme/app --role timestamp timestamp.json";

#[derive(Debug, Args)]
pub(super) struct Sign {
    #[command(flatten)]
    request: Request,
    /// Print `KEYID SIGNATURE` (hexadecimal) per signature instead of the signed file
    #[arg(long)]
    signature_only: bool,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    request: Request,
}

#[derive(Debug, Args)]
struct Request {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role [default: with --key the one of the key's roles that the payload's type says]
    #[arg(long, value_name = "ROLE", required_unless_present = "signing_key")]
    role: Option<Role>,
    /// One key: 64 hexadecimal digits [default: every eligible key of the role]
    #[arg(long = "key", id = "signing_key", value_name = "KEY")]
    key: Option<KeyId>,
    /// Return the signature under this TUF key id instead of the one that the root lists
    #[arg(long, value_name = "KEYID", requires = "signing_key")]
    tuf_key_id: Option<String>,
    /// For a timestamp: the signed snapshot that it lists
    #[arg(long, value_name = "FILE")]
    snapshot_file: Option<PathBuf>,
    /// Write ECDSA signatures as r || s instead of DER
    #[arg(long)]
    raw: bool,
    /// The canonical bytes of `signed`, or unsigned or partly signed metadata; - is standard input
    file: PathBuf,
}

impl Request {
    fn read(self) -> Result<(messages::SignRequest, Payload), CliError> {
        let Self { repository, role, key, tuf_key_id, snapshot_file, raw, file } = self;
        let payload = Payload::read(&file)?;
        let snapshot_file = snapshot_file.map(|file| input::read(&file)).transpose()?.unwrap_or_default();
        let request = messages::SignRequest {
            repository: repository.into(),
            role: role.map(Into::into).unwrap_or_default(),
            key: key.map(|key| key.to_string()).unwrap_or_default(),
            payload: payload.signed.clone().into(),
            encoding: encoding(raw),
            tuf_key_id: tuf_key_id.unwrap_or_default(),
            snapshot_file: snapshot_file.into(),
        };
        Ok((request, payload))
    }
}

impl Sign {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let (request, payload) = self.request.read()?;
        let response = session.client().await?.sign(request).await?;
        check(&response, &payload)?;
        if output.is_json() {
            output.json(&signed_json(&response, &payload)?)?;
            return Ok(DONE);
        }
        if self.signature_only {
            for signature in &response.signatures {
                output.line(&format!("{} {}", signature.tuf_key_id, hex::encode(&signature.signature)))?;
            }
        } else {
            output.bytes(&payload.with_signatures(&response.signatures)?)?;
        }
        if response.signatures.iter().all(|signature| signature.step == "replay") {
            output.note(&format!("replayed: version {} was released before with these bytes", response.version));
        }
        if response.signatures.iter().any(|signature| signature.step == "unguarded") {
            output.note(UNGUARDED);
        }
        for messages::KeyRefusal { key, refusal } in response.refusals {
            let refusal = refusal.unwrap_or_default();
            output.note(&format!("key {key} did not sign: {}: {}", refusal.reason, refusal.detail));
        }
        for (root, met) in [("trusted", response.trusted_threshold_met), ("staged", response.staged_threshold_met)] {
            if met == Some(false) {
                output.note(&format!("these signatures alone do not meet the threshold of the {root} root"));
            }
        }
        for delegation in response.delegations.iter().filter(|delegation| !delegation.met) {
            let messages::DelegationThreshold { delegator, threshold, .. } = delegation;
            output.note(&format!("these signatures alone do not meet the threshold {threshold} that {delegator} sets"));
        }
        Ok(DONE)
    }
}

impl Explain {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let (request, _) = self.request.read()?;
        let request = messages::ExplainRequest { request: Some(request) };
        let answer = session.client().await?.explain(request).await?;
        let code = match &answer.refusal {
            _ if answer.allowed => DONE,
            Some(refusal) => ClientError::Refused(Box::new(Refused::from(refusal.clone()))).exit_code(),
            None => return Err(ClientError::Incomplete("refusal").into()),
        };
        if output.is_json() { explain_json(&answer, output) } else { explain_text(&answer, output) }?;
        Ok(code)
    }
}

/// What `targets/*` gives up, said whenever it signs.
const UNGUARDED: &str = "unguarded: type, expiry, size and rate were checked; rollback and equivocation were not";

/// The number of an encoding in a request.
pub(super) fn encoding(raw: bool) -> i32 {
    let encoding = if raw { messages::SignatureEncoding::Raw } else { messages::SignatureEncoding::Der };
    encoding.into()
}

/// A signature over anything else must not end in this file.
pub(super) fn check(response: &messages::SignResponse, payload: &Payload) -> Result<(), CliError> {
    if response.signatures.is_empty() {
        return Err(ClientError::Incomplete("signature").into());
    }
    if response.digest != payload.digest().to_string() {
        return Err(ClientError::Incomplete("signature over these bytes").into());
    }
    Ok(())
}

/// What was released, and the file around it.
pub(super) fn signed_json(response: &messages::SignResponse, payload: &Payload) -> Result<serde_json::Value, CliError> {
    let file = payload.with_signatures(&response.signatures)?;
    let messages::SignResponse {
        signatures,
        refusals,
        trusted_threshold_met,
        staged_threshold_met,
        delegations,
        version,
        digest,
        request_id,
    } = response;
    let refusals: Vec<_> = refusals
        .iter()
        .map(|messages::KeyRefusal { key, refusal }| json!({ "key": key, "refusal": refusal.as_ref().map(json::refusal) }))
        .collect();
    Ok(json!({
        "v": 1,
        "file": String::from_utf8_lossy(&file),
        "signatures": signatures.iter().map(json::key_signature).collect::<Vec<_>>(),
        "refusals": refusals,
        "trusted_threshold_met": trusted_threshold_met,
        "staged_threshold_met": staged_threshold_met,
        "delegations": delegations.iter().map(delegation_json).collect::<Vec<_>>(),
        "version": version,
        "digest": digest,
        "request_id": request_id,
    }))
}

fn delegation_json(delegation: &messages::DelegationThreshold) -> serde_json::Value {
    let messages::DelegationThreshold { delegator, threshold, met } = delegation;
    json!({ "delegator": delegator, "threshold": threshold, "met": met })
}

fn explain_json(answer: &messages::ExplainResponse, output: &mut Output) -> Result<(), CliError> {
    let messages::ExplainResponse { allowed, refusal, keys, released_version } = answer;
    let keys: Vec<_> = keys
        .iter()
        .map(|messages::KeyVerdict { key, step, refusal }| {
            json!({ "key": key, "step": step, "refusal": refusal.as_ref().map(json::refusal) })
        })
        .collect();
    output.json(&json!({
        "v": 1,
        "allowed": allowed,
        "refusal": refusal.as_ref().map(json::refusal),
        "keys": keys,
        "released_version": released_version,
    }))
}

fn explain_text(answer: &messages::ExplainResponse, output: &mut Output) -> Result<(), CliError> {
    match (&answer.refusal, answer.allowed) {
        (_, true) => output.line("would be signed")?,
        (None, false) => output.line("would be refused")?,
        (Some(messages::Refusal { reason, outcome, detail, advice, approval: _ }), false) => {
            // The word that `sign` has for it: somebody else has to do something first.
            let waits = reason == Reason::AwaitsApproval.name();
            let outcome = if waits { "pending" } else { outcome };
            output.line(&format!("would be {outcome}: {reason}: {detail}"))?;
            output.line(&format!("  do:      {advice}"))?;
        }
    }
    let unguarded = answer.keys.iter().any(|verdict| verdict.step == "unguarded");
    output.line(&match answer.released_version {
        None if unguarded => UNGUARDED.to_owned(),
        None => "the guard is not seeded".to_owned(),
        Some(0) => "nothing is released yet".to_owned(),
        Some(version) => format!("released version {version}"),
    })?;
    let rows: Vec<_> = answer
        .keys
        .iter()
        .map(|messages::KeyVerdict { key, step, refusal }| match refusal {
            Some(refusal) => [key.clone(), String::new(), format!("{}: {}", refusal.reason, refusal.detail)],
            None => [key.clone(), step.clone(), String::new()],
        })
        .collect();
    output.table(["KEY", "STEP", "REFUSAL"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_over_other_bytes_is_not_put_into_the_file() {
        let payload = Payload::of_file(b"{}".to_vec()).unwrap();
        let mut response = messages::SignResponse { digest: payload.digest().to_string(), ..Default::default() };
        assert!(check(&response, &payload).is_err(), "no signature at all");
        response.signatures.push(messages::KeySignature::default());
        assert!(check(&response, &payload).is_ok());
        response.digest = "00".repeat(32);
        assert_eq!(check(&response, &payload).unwrap_err().exit_code(), 76);
    }
}
