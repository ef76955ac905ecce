//! What stands around every call: who asks is known before a byte of the request's body is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

use super::body::{ARRIVAL, Expected, Metered, Watched};
use super::call::request_id;
use super::undecoded;
use crate::domain::caller::Caller;
use crate::domain::outcome::Reason;
use crate::door::asker::Asker;
use crate::door::identity::NoIdentity;
use crate::door::peer::Peer;
use crate::engine::{Counted, Engine};
use crate::wire::status::to_status;

/// Who asks. Only this file puts one into a request.
#[derive(Clone)]
pub(super) struct Authenticated {
    pub(super) caller: Caller,
    /// When the headers came.
    at: Instant,
    /// How many reloads there had been.
    reloads: u64,
}

/// How long a caller is believed while nothing is reloaded. A body may take longer; what a token or a certificate proves
/// may end meanwhile.
const BELIEVED: Duration = Duration::from_secs(1);

/// The one request whose body has no end of its own.
const SIGN_STREAM: &str = "/sealward.v1.SigningService/SignStream";

impl Authenticated {
    /// Who asks now, when the whole request is here.
    pub(super) async fn again(&self, peer: &Peer, headers: &HeaderMap) -> Result<Caller, NoIdentity> {
        if self.reloads == peer.limits.reloads() && self.at.elapsed() < BELIEVED {
            return Ok(self.caller.clone());
        }
        peer.caller(headers).await
    }
}

/// Finds the caller and its share of what is in flight, or ends the request.
pub(super) async fn admit(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let refused = |reason: Reason, detail: &str| to_status(reason, detail, &request_id()).into_http();
    let (mut parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>().cloned() else {
        return refused(Reason::Unauthenticated, "the connection carries no identity");
    };
    // Before the caller is: a reload meanwhile has him asked again.
    let reloads = peer.limits.reloads();
    let caller = match peer.caller(&parts.headers).await {
        Ok(caller) => caller,
        Err(error) => {
            tracing::warn!(listener = %peer.listener, %error, "a peer without an identity");
            engine.count_turned_away(&peer.listener, error.reason());
            return refused(error.reason(), &error.to_string());
        }
    };
    let asker = match engine.counted(&caller) {
        Counted::Known(name) => Asker::Caller(name),
        Counted::Stranger(name) => Asker::Strangers(format!("{name} over {}", peer.listener)),
    };
    let share = match peer.limits.begin(asker, peer.traffic.requests()) {
        Ok(share) => Arc::new(share),
        Err(refusal) => {
            peer.limits.count(&peer.listener, refusal);
            engine.count_undecoded(&caller, Reason::OverQuota);
            return refused(Reason::OverQuota, &format!("the limit {} is met", refusal.name()));
        }
    };
    peer.traffic.admit();
    parts.extensions.insert(Authenticated { caller: caller.clone(), at: Instant::now(), reloads });
    parts.extensions.insert(Arc::clone(&share));
    let is_stream = parts.uri.path() == SIGN_STREAM;
    // How long a stream may be without items, it says itself.
    let expected = if is_stream { Expected::Many(None) } else { Expected::One };
    let (body, arrived) = Metered::new(body, share, peer.clone(), expected);
    // From the last byte on: until then the body is held against its own times.
    let patience = peer.limits.now().deadline + ARRIVAL;
    let late = async {
        // Its sender is dropped with the body, and never used.
        let _ = arrived.await;
        tokio::time::sleep(patience).await;
    };
    let response = tokio::select! {
        response = next.run(Request::from_parts(parts, Body::new(body))) => undecoded::name(&engine, &caller, response),
        () = late => {
            engine.count_undecoded(&caller, Reason::Deadline);
            refused(Reason::Deadline, "the request's work took too long")
        }
    };
    response.map(|body| Body::new(Watched::new(body, &peer, None)))
}
