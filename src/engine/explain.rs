//! Explain: what Sign would answer. Never yields a permit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant as Monotonic;

use super::sign::situation;
use super::{Call, Engine, SignItem};
use crate::domain::freeze::Frozen;
use crate::domain::grant::Verb;
use crate::domain::guard::Step;
use crate::domain::law::attended::Attendance;
use crate::domain::law::sign::judge;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;

/// What the law would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The refusal of the whole request.
    pub refusal: Option<Denial>,
    /// Per key.
    pub keys: Vec<(KeyId, Result<Step, Denial>)>,
    /// The released version, 0 for none; `None` when the guard is not seeded or the caller may not know.
    pub released_version: Option<u64>,
}

/// Explanations per second and caller, and how many at once.
const PER_SECOND: f64 = 10.0;
const BURST: f64 = 40.0;
const CALLERS: usize = 4096;

/// Keeps `Explain` from being used to search for what the law allows.
#[derive(Default)]
pub(super) struct Limiter(Mutex<HashMap<String, (f64, Monotonic)>>);

impl Limiter {
    fn admit(&self, caller: String) -> Result<(), Denial> {
        let now = Monotonic::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > CALLERS {
            buckets.retain(|_, (_, seen)| now.duration_since(*seen).as_secs() < 60);
        }
        let (tokens, seen) = buckets.entry(caller).or_insert((BURST, now));
        *tokens = (*tokens + now.duration_since(*seen).as_secs_f64() * PER_SECOND).min(BURST);
        *seen = now;
        if *tokens < 1.0 {
            return Err(Denial::new(Reason::OverQuota, "more than 10 explanations a second"));
        }
        *tokens -= 1.0;
        Ok(())
    }
}

impl Engine {
    /// Explains what `Sign` would answer to this item now. A request that the caller may not ask about is refused.
    pub async fn explain(&self, call: &Call, item: SignItem) -> Result<Explanation, Denial> {
        self.audited(call, "explain", async |scope| {
            self.explained.admit(self.counted(&call.caller).name())?;
            let rules = self.rules();
            let prepared = match self.understand(&rules, call, Verb::Explain, item, scope).await {
                Ok(prepared) => prepared,
                Err(denial) if denial.reason == Reason::NoGrant || denial.reason == Reason::Malformed => {
                    return Err(denial);
                }
                Err(denial) => {
                    return Ok(Explanation { refusal: Some(denial), keys: Vec::new(), released_version: None });
                }
            };
            if let Err(denial) = self.check_serving(call) {
                return Ok(Explanation { refusal: Some(denial), keys: Vec::new(), released_version: None });
            }
            let switches = self.ledger.switches();
            let frozen = Frozen::for_caller(&switches.freezes, &call.caller, rules.grants.persons());
            let view = self.ledger.view(&prepared.repository).map_err(|error| error.denial())?;
            let policy = rules.policy(&prepared.repository)?;
            let caller = call.caller.to_string();
            let guard = view.guards.get(&prepared.role).filter(|guard| !guard.name.role.is_unguarded());
            let released_version = guard.map(|guard| guard.head.as_ref().map_or(0, |head| head.version.get()));
            let attendance = Attendance {
                pending: &view.pending,
                grants: &rules.grants,
                caller: &call.caller,
                freezes: &switches.freezes,
            };
            let judged = situation(&prepared, policy, &view, &view.guards, self.now(), (&caller, frozen), attendance)
                .and_then(|it| judge(&it));
            Ok(match judged {
                Ok((judgement, wait)) => {
                    Explanation { refusal: wait.map(|wait| wait.denial()), keys: judgement.keys, released_version }
                }
                Err(denial) => Explanation { refusal: Some(denial), keys: Vec::new(), released_version },
            })
        })
        .await
    }
}
