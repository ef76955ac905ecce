//! Freezes and their scopes, as messages.

use crate::domain::freeze::{Freeze, FreezeScope};
use crate::domain::outcome::{Denial, Reason};
use crate::engine::FreezeOrder;
use crate::wire::v1::{self, freeze_scope::Scope};

/// What a request wants frozen or thawed.
pub(super) fn order(scope: Option<v1::FreezeScope>) -> Result<FreezeOrder, Denial> {
    match scope.and_then(|scope| scope.scope) {
        Some(Scope::Everything(v1::Everything {})) => Ok(FreezeOrder::All),
        Some(Scope::Repository(repository)) => Ok(FreezeOrder::Repository(repository)),
        Some(Scope::Role(v1::RepositoryRole { repository, role })) => Ok(FreezeOrder::Role(repository, role)),
        Some(Scope::Caller(caller)) => Ok(FreezeOrder::Caller(caller)),
        Some(Scope::Key(key)) => Ok(FreezeOrder::Key(key)),
        None => Err(Denial::new(Reason::Malformed, "scope: say what")),
    }
}

pub(super) fn present(freeze: &Freeze) -> v1::Freeze {
    let Freeze { scope, since, by, reason_code } = freeze;
    let wire = match scope {
        FreezeScope::All => Scope::Everything(v1::Everything {}),
        FreezeScope::Repository(repository) => Scope::Repository(repository.to_string()),
        FreezeScope::Role(repository, role) => {
            Scope::Role(v1::RepositoryRole { repository: repository.to_string(), role: role.to_string() })
        }
        FreezeScope::Caller(caller) => Scope::Caller(caller.to_string()),
        FreezeScope::Key(key) => Scope::Key(key.to_string()),
    };
    v1::Freeze {
        scope: Some(v1::FreezeScope { scope: Some(wire) }),
        covers: scope.to_string(),
        since: since.to_string(),
        by: by.clone(),
        reason_code: reason_code.to_string(),
    }
}
