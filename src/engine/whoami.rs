//! WhoAmI: how the daemon names the caller, and what it may do.

use super::{Call, Engine};
use crate::domain::caller::Caller;
use crate::domain::grant::Grant;
use crate::domain::outcome::Denial;

/// A caller, as grants see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name in leaves.
    pub caller: String,
    /// Every name by which a grant could mean it.
    pub identities: Vec<String>,
    /// The grants that apply.
    pub grants: Vec<Grant>,
}

impl Engine {
    /// Needs no grant: whoever got through a door may know its own name.
    pub async fn who_am_i(&self, call: &Call) -> Result<Identity, Denial> {
        self.audited(call, "who-am-i", async |_| {
            let rules = self.rules();
            let applies = |grant: &&Grant| grant.callers.iter().any(|pattern| pattern.matches(&call.caller));
            Ok(Identity {
                caller: call.caller.to_string(),
                identities: identities(&call.caller),
                grants: rules.grants.iter().filter(applies).cloned().collect(),
            })
        })
        .await
    }
}

fn identities(caller: &Caller) -> Vec<String> {
    match caller {
        Caller::Unix { uid, gids } => {
            let groups = gids.iter().map(|gid| format!("unix-group:{gid}"));
            std::iter::once(format!("unix:{uid}")).chain(groups).collect()
        }
        Caller::Certificate { dns, uris } => {
            let uris = uris.iter().map(|uri| format!("uri:{uri}"));
            uris.chain(dns.iter().map(|name| format!("dns:{name}"))).collect()
        }
        other => vec![other.to_string()],
    }
}
