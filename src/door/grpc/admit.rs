//! What stands around every call: who asks is known before a byte of the request's body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::call::request_id;
use super::undecoded;
use crate::domain::caller::Caller;
use crate::door::identity::NoIdentity;
use crate::door::peer::Peer;
use crate::engine::Engine;
use crate::wire::status::to_status;

/// Who asks. Only this file puts one into a request.
#[derive(Clone)]
pub(super) struct Authenticated(pub(super) Caller);

/// Finds the caller, or ends the request.
pub(super) async fn admit(State(engine): State<Arc<Engine>>, mut request: Request, next: Next) -> Response {
    // A clone: the body of a request is no place to borrow across an await.
    let peer = request.extensions().get::<Peer>().cloned();
    let listener = peer.as_ref().map_or("", |peer| &peer.listener);
    let caller = match &peer {
        Some(peer) => peer.caller(&request.headers().clone()).await,
        None => Err(NoIdentity::Peer("the connection carries no identity".to_owned())),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(Authenticated(caller.clone()));
            undecoded::name(&engine, &caller, next.run(request).await)
        }
        Err(error) => {
            let id = request_id();
            tracing::warn!(request = %id, listener, %error, "a peer without an identity");
            engine.count_turned_away(listener, error.reason());
            to_status(error.reason(), &error.to_string(), &id).into_http()
        }
    }
}
