//! WhoAmI: how the daemon names the caller, and what it may do.

use super::{Call, Engine};
use crate::domain::caller::Caller;
use crate::domain::grant::Grant;
use crate::domain::outcome::Denial;
use crate::domain::person::Persons;

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
            Ok(Identity {
                caller: call.caller.to_string(),
                identities: identities(&call.caller, rules.grants.persons()),
                grants: rules.grants.of(&call.caller).cloned().collect(),
            })
        })
        .await
    }
}

fn identities(caller: &Caller, persons: &Persons) -> Vec<String> {
    let mut names = match caller {
        Caller::Unix { uid, gids } => {
            let groups = gids.iter().map(|gid| format!("unix-group:{gid}"));
            std::iter::once(format!("unix:{uid}")).chain(groups).collect()
        }
        Caller::Certificate { dns, uris } => {
            let uris = uris.iter().map(|uri| format!("uri:{uri}"));
            uris.chain(dns.iter().map(|name| format!("dns:{name}"))).collect()
        }
        Caller::Token { provider, identities, .. } => {
            identities.iter().map(|identity| format!("oidc:{provider}/{identity}")).collect()
        }
        other => vec![other.to_string()],
    };
    names.extend(persons.of(caller).map(|person| format!("person:{person}")));
    names
}
