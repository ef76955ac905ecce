//! What an approver has in hand: the bytes, and everything that is computed from them here.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::adapters::Payload;
use crate::cli::error::CliError;
use crate::cli::json;
use crate::cli::session::Session;
use crate::client::{ClientError, MESSAGE_LIMIT_BYTES, messages};
use crate::domain::approval::PendingId;
use crate::domain::name::Sha256Digest;
use crate::tuf;

/// A pending approval, judged here.
pub(super) struct Seen {
    pending: messages::Pending,
    pub(super) payload: Vec<u8>,
    pub(super) digest: Sha256Digest,
    /// What is compared with, in words.
    against: String,
    /// Line by line.
    difference: Vec<String>,
}

impl Seen {
    pub(super) async fn fetch(id: &PendingId, own: Option<&Path>, session: &Session) -> Result<Self, CliError> {
        let own = own.map(Payload::read).transpose()?.map(|file| file.signed);
        let request = messages::GetPendingRequest { id: id.to_string() };
        let answer = session.client().await?.get_pending(request).await?;
        let messages::GetPendingResponse { pending, payload, last_payload, last_version, last_digest } = answer;
        let pending = pending.ok_or(ClientError::Incomplete("pending approval"))?;
        let payload = payload.to_vec();
        let digest = Sha256Digest::of(&payload);
        if pending.digest != digest.to_string() || pending.id != id.to_string() {
            return Err(ClientError::Incomplete("payload with the digest that it names").into());
        }
        if pending.verb != "sign" {
            let difference = String::from_utf8_lossy(&payload).lines().map(str::to_owned).collect();
            return Ok(Self { pending, payload, digest, against: "an act of operators".to_owned(), difference });
        }
        let last = Some(last_payload.to_vec()).filter(|last| !last.is_empty());
        if last.as_ref().is_some_and(|last| Sha256Digest::of(last).to_string() != last_digest) {
            return Err(ClientError::Incomplete("last payload with the digest that it names").into());
        }
        let against = match (&own, &last) {
            (Some(own), _) => format!("your own file, digest {}", Sha256Digest::of(own)),
            (None, Some(_)) => format!("version {last_version} as the daemon keeps it, digest {last_digest}"),
            (None, None) if last_version == 0 => "nothing: this is the first version".to_owned(),
            (None, None) => format!(
                "NOTHING: the daemon does not keep version {last_version} with digest {last_digest}; give --against"
            ),
        };
        // Whoever made the daemon show other bytes than it signs has not made this program skip the law's reading.
        tuf::metadata::read_signed(&payload, MESSAGE_LIMIT_BYTES)?;
        let difference = tuf::difference::differences(own.or(last).as_deref(), &payload)?;
        Ok(Self { pending, payload, digest, against, difference })
    }

    /// For people. Whoever prints them escapes what is hidden.
    pub(super) fn lines(&self) -> Vec<String> {
        let messages::Pending { id, verb, state, cause, repository, role, .. } = &self.pending;
        let mut lines = vec![match verb.as_str() {
            "sign" => format!("{role} of {repository}, pending as {id}"),
            verb => format!("{verb}, pending as {id}"),
        }];
        let cause = if cause.is_empty() { String::new() } else { format!(": {cause}") };
        lines.push(format!("state      {state}{cause}"));
        lines.push(format!("asked by   {}, first at {}", self.pending.requesters.join(", "), self.pending.asked));
        let approvers = if self.pending.approvers.is_empty() { "nobody" } else { &*self.pending.approvers.join(", ") };
        lines.push(format!("approved   by {approvers}; it takes {}", self.pending.needed));
        for person in &self.pending.uncounted {
            lines.push(format!(
                "           {person}'s approval does not count now: no such person, no grant, frozen, or among who asked"
            ));
        }
        lines.push(format!("until      {}", self.pending.expires));
        lines.extend(self.pending.keys.iter().map(|key| format!("key        {key}")));
        lines.push(format!("compared   with {}", self.against));
        lines.extend(self.difference.iter().map(|line| format!("  {line}")));
        lines.push(format!("digest (SHA-256 of these {} bytes, computed here):", self.payload.len()));
        lines.extend(groups(&self.digest).map(|line| format!("  {line}")));
        lines
    }

    pub(super) fn json(&self) -> Value {
        let payload = String::from_utf8_lossy(&self.payload);
        json!({
            "v": 1,
            "pending": json::pending(&self.pending),
            "digest": self.digest.to_string(),
            "against": self.against,
            "difference": self.difference,
            "payload": payload,
        })
    }
}

/// In groups of four digits, eight groups on a line.
fn groups(digest: &Sha256Digest) -> [String; 2] {
    let groups: Vec<String> = digest.as_bytes().chunks(2).map(hex::encode).collect();
    let (first, second) = groups.split_at(groups.len() / 2);
    [first.join(" "), second.join(" ")]
}
