//! What is known of a request without the ledger: names, grant, policy, custody, payload.

use std::sync::Arc;

use super::SignItem;
use crate::domain::grant::Verb;
use crate::domain::law::sign::{self as law, AttachedSnapshot};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::signature::Encoding;
use crate::domain::statement::Statement;
use crate::engine::audited::Scope;
use crate::engine::{Call, Rules, parse};
use crate::tuf;

/// A request that was understood and granted.
pub(in crate::engine) struct Prepared {
    pub(in crate::engine) repository: RepositoryName,
    pub(in crate::engine) role: Role,
    pub(super) key: Option<KeyId>,
    pub(super) statement: Statement,
    pub(super) payload: Arc<[u8]>,
    pub(super) encoding: Encoding,
    pub(super) tuf_key_id: Option<String>,
    pub(super) attached: Option<AttachedSnapshot>,
    /// Whether the caller has the grant `delegate` as well.
    pub(super) may_delegate: bool,
}

impl Prepared {
    /// The bytes that would be signed.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Payloads above this many bytes are read on a thread of their own: reading them would hold up other requests.
const LONG: usize = 256 << 10;

/// Names, grant, policy, custody, payload: what is known without the ledger.
pub(in crate::engine) async fn prepare(
    rules: &Rules,
    call: &Call,
    verb: Verb,
    item: SignItem,
    scope: &mut Scope,
) -> Result<Prepared, Denial> {
    let repository: RepositoryName = parse("repository", &item.repository)?;
    let role: Role = parse("role", &item.role)?;
    *scope = Scope::of(&repository, Some(&role));
    let policy = rules.admit_role(call, verb, &repository, &role)?;
    scope.admit();
    let limits = law::role_limits(policy, &repository, &role)?;
    let key = item.key.as_deref().map(|key| parse("key", key)).transpose()?;
    if item.tuf_key_id.is_some() && key.is_none() {
        return Err(Denial::new(Reason::Malformed, "tuf_key_id: only together with key"));
    }
    if item
        .tuf_key_id
        .as_ref()
        .is_some_and(|id| id.is_empty() || id.len() > 256 || !id.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(Denial::new(Reason::Malformed, "tuf_key_id: 1 to 256 printable ASCII characters"));
    }
    let statement = read(Arc::clone(&item.payload), limits.max_payload_bytes).await?;
    *scope = std::mem::take(scope).with(&statement);
    let attached = match item.snapshot_file {
        Some(file) => Some(read_attached(file).await?),
        None => None,
    };
    let may_delegate = rules.grants.allow_role(&call.caller, Verb::Delegate, &repository, &role);
    Ok(Prepared {
        repository,
        role,
        key,
        statement,
        payload: item.payload,
        encoding: item.encoding,
        tuf_key_id: item.tuf_key_id,
        attached,
        may_delegate,
    })
}

pub(super) async fn read(payload: Arc<[u8]>, most: usize) -> Result<Statement, Denial> {
    if payload.len() <= LONG || payload.len() > most {
        return tuf::metadata::read_signed(&payload, most);
    }
    let read = tokio::task::spawn_blocking(move || tuf::metadata::read_signed(&payload, most));
    read.await.unwrap_or_else(|_| Err(Denial::new(Reason::Internal, "reading the payload ended in a panic")))
}

async fn read_attached(file: Vec<u8>) -> Result<AttachedSnapshot, Denial> {
    if file.len() <= LONG {
        return tuf::attached::attached_snapshot(&file);
    }
    let read = tokio::task::spawn_blocking(move || tuf::attached::attached_snapshot(&file));
    read.await.unwrap_or_else(|_| Err(Denial::new(Reason::Internal, "reading the snapshot ended in a panic")))
}
