//! By which name a caller is counted.

use super::Engine;
use crate::domain::caller::Caller;

/// By which name limits, quotas and aggregate leaves count a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// By its own.
    Known(String),
    /// No grant means it, and it chose, or had somebody choose, the name that its token or certificate bears: everybody who
    /// came in that way is one.
    Stranger(String),
}

impl Counted {
    /// The name.
    pub fn name(self) -> String {
        let (Self::Known(name) | Self::Stranger(name)) = self;
        name
    }
}

impl Engine {
    /// How a caller is counted under the rules in force.
    pub fn counted(&self, caller: &Caller) -> Counted {
        let way = match caller {
            Caller::Token { provider, .. } => format!("oidc:{provider}"),
            Caller::Certificate { .. } => "certificate".to_owned(),
            // The kernel and the configuration name these.
            Caller::Unix { .. } | Caller::Anonymous { .. } | Caller::Daemon => {
                return Counted::Known(caller.to_string());
            }
        };
        if self.rules().grants.of(caller).next().is_some() {
            return Counted::Known(caller.to_string());
        }
        Counted::Stranger(format!("strangers@{way}"))
    }
}
