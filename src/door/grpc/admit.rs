//! What stands around every call: who asks is known before a byte of the request's body is read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::body::{ARRIVAL, Metered, Watched};
use super::call::request_id;
use super::undecoded;
use crate::domain::caller::Caller;
use crate::domain::outcome::Reason;
use crate::door::peer::Peer;
use crate::engine::Engine;
use crate::wire::status::to_status;

/// Who asks. Only this file puts one into a request.
#[derive(Clone)]
pub(super) struct Authenticated(pub(super) Caller);

/// Finds the caller and its share of what is in flight, or ends the request.
pub(super) async fn admit(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let refused = |reason: Reason, detail: &str| to_status(reason, detail, &request_id()).into_http();
    let (mut parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>().cloned() else {
        return refused(Reason::Unauthenticated, "the connection carries no identity");
    };
    let caller = match peer.caller(&parts.headers).await {
        Ok(caller) => caller,
        Err(error) => {
            tracing::warn!(listener = %peer.listener, %error, "a peer without an identity");
            engine.count_turned_away(&peer.listener, error.reason());
            return refused(error.reason(), &error.to_string());
        }
    };
    let share = match peer.limits.begin(caller.to_string(), peer.traffic.requests()) {
        Ok(share) => Arc::new(share),
        Err(refusal) => {
            peer.limits.count(&peer.listener, refusal);
            engine.count_undecoded(&caller, Reason::OverQuota);
            return refused(Reason::OverQuota, &format!("the limit {} is met", refusal.name()));
        }
    };
    parts.extensions.insert(Authenticated(caller.clone()));
    parts.extensions.insert(Arc::clone(&share));
    let body = Body::new(Metered::new(body, share, peer.clone()));
    // From the first header on, so that a body that never ends is not waited for.
    let patience = peer.limits.now().deadline + ARRIVAL;
    let response = match tokio::time::timeout(patience, next.run(Request::from_parts(parts, body))).await {
        Ok(response) => undecoded::name(&engine, &caller, response),
        Err(_) => {
            engine.count_undecoded(&caller, Reason::Deadline);
            refused(Reason::Deadline, "the request did not arrive in time, or its work took too long")
        }
    };
    response.map(|body| Body::new(Watched::new(body, &peer)))
}
