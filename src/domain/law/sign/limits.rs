//! How long a key may sign, and how often. (`law.md` section 4)

use std::collections::BTreeMap;

use super::Situation;
use crate::domain::guard::{Guard, Step};
use crate::domain::key::KeyRecord;
use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RolePolicy;
use crate::domain::thresholds::Level;

/// How many signatures a key made, over all its roles, as the guards of its repository count them.
pub fn signatures_made(guards: &BTreeMap<Role, Guard>, record: &KeyRecord) -> u64 {
    let id = record.id();
    let under = |role: &Role| guards.get(role).and_then(|guard| guard.signatures_made.get(&id)).copied();
    record.roles.iter().filter_map(under).fold(0, u64::saturating_add)
}

/// Whether the key's time is not over, and one more signature is within its number. A replay makes none.
pub(super) fn check_limits(
    situation: &Situation<'_>,
    limits: &RolePolicy,
    record: &KeyRecord,
    step: Step,
) -> Result<(), Denial> {
    let id = record.id();
    if let Some(age) = record.age(situation.now)
        && limits.cryptoperiod.level(age) == Level::Refuse
    {
        let detail = format!("key {id} is active for {} days", age / (24 * 60 * 60));
        return Err(Denial::new(Reason::CryptoperiodOver, detail));
    }
    let made = signatures_made(situation.guards, record);
    if step.makes_a_signature() && limits.max_signatures.level(made) == Level::Refuse {
        return Err(Denial::new(Reason::SignatureLimit, format!("key {id} made {made} signatures")));
    }
    Ok(())
}
