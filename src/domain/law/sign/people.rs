//! Whether people approved what everything else allows. (`law.md` section 6)

use std::collections::BTreeSet;

use super::{Judgement, Situation, role_policy};
use crate::domain::approval::Binding;
use crate::domain::guard::{Guard, Step};
use crate::domain::law::attended::{self, Approved, Wait};
use crate::domain::outcome::Denial;
use crate::domain::policy::Custody;
use crate::domain::public_key::KeyId;

/// Whether people approved the signatures that would be made; `None` where nobody is asked: the role is not attended, or
/// nothing is signed anew. Asked last, so that nobody approves what would be denied.
pub(super) fn attended(
    situation: &Situation<'_>,
    guard: &Guard,
    judgement: &Judgement,
) -> Result<Option<Result<Approved, Wait>>, Denial> {
    let limits = role_policy(situation)?;
    let made = |(key, step): &(KeyId, Result<Step, Denial>)| match step {
        Ok(Step::Replay) | Err(_) => None,
        Ok(_) => Some(*key),
    };
    let keys: BTreeSet<KeyId> = judgement.keys.iter().filter_map(made).collect();
    if limits.custody != Custody::Attended || keys.is_empty() {
        return Ok(None);
    }
    let statement = situation.statement;
    let binding = Binding {
        guard: guard.name.clone(),
        head: guard.head.as_ref().map(|head| (head.version, head.digest)),
        digest: statement.digest(),
        keys,
        policy: limits.digest(),
        metadata_type: statement.metadata_type(),
        version: statement.version(),
        expires: statement.expires(),
    };
    attended::signature(binding, limits, situation.attendance, situation.now).map(Some)
}
