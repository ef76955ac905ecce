//! SignStream: whether one may begin.

use crate::domain::grant::Verb;
use crate::domain::outcome::Denial;
use crate::engine::{Call, Engine, no_grant};

impl Engine {
    /// A stream holds a place for as long as its caller likes, so that one who may sign nothing gets none. Its items are
    /// decided one by one all the same.
    pub async fn open_stream(&self, call: &Call) -> Result<(), Denial> {
        self.audited(call, "sign-stream", async |_| {
            if self.rules().grants.allow_anything(&call.caller, Verb::Sign) {
                return Ok(());
            }
            Err(no_grant(call, Verb::Sign, "for anything"))
        })
        .await
    }
}
