//! From a gRPC request to a call, and from its outcome to a response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};

use super::Door;
use super::admit::Authenticated;
use crate::domain::caller::Caller;
use crate::domain::outcome::{Denial, Reason};
use crate::door::identity::NoIdentity;
use crate::door::limits::Share;
use crate::door::peer::Peer;
use crate::door::refusal::Refusal;
use crate::engine::Call;
use crate::wire::status::of_denial;

impl Door {
    /// Runs one verb for one request. The verb goes on when the client hangs up: what was begun is finished and
    /// recorded. A panic in it ends this request and no other.
    pub(super) async fn serve<T, R, F>(
        &self,
        request: Request<T>,
        verb: impl FnOnce(Self, Call, T) -> F,
    ) -> Result<Response<R>, Status>
    where
        F: Future<Output = Result<R, Denial>> + Send + 'static,
        R: Send + 'static,
    {
        let id = request_id();
        let refused = |denial: &Denial| of_denial(denial, &id);
        let (peer, caller) = self.caller(&request).await.map_err(|denial| refused(&denial))?;
        let longest = self.limits.now().deadline;
        let deadline = Instant::now() + asked_for(&request).map_or(longest, |wish| wish.min(longest));
        let call = Call { caller, request: id.clone(), deadline };
        // Given back when the work is done, also when nobody waits for it any more.
        let share = request.extensions().get::<Arc<Share>>().cloned();
        let entered = self.in_flight.enter().map_err(|refusal| refused(&self.over(&peer, &call.caller, refusal)))?;
        let caller = call.caller.clone();
        let work = verb(self.clone(), call, request.into_inner());
        let work = tokio::spawn(async move {
            let _entered = (entered, share);
            work.await
        });
        match work.await {
            Ok(Ok(answer)) => Ok(Response::new(answer)),
            Ok(Err(denial)) => Err(refused(&denial)),
            Err(error) => {
                tracing::error!(request = %id, %error, "a verb panicked");
                self.engine.count_panic(&caller);
                Err(refused(&Denial::new(Reason::Internal, "the request ended in a panic")))
            }
        }
    }
}

impl Door {
    /// Who asks, asked again: a body may come long after its headers.
    async fn caller<T>(&self, request: &Request<T>) -> Result<(Peer, Caller), Denial> {
        let extensions = request.extensions();
        let (Some(peer), Some(known)) = (extensions.get::<Peer>(), extensions.get::<Authenticated>()) else {
            return Err(Denial::new(Reason::Unauthenticated, "the connection carries no identity"));
        };
        let (peer, known) = (peer.clone(), known.clone());
        let headers = request.metadata().clone().into_headers();
        match known.again(&peer, &headers).await {
            Ok(caller) => Ok((peer, caller)),
            Err(error) => Err(self.turned_away(&peer, &error)),
        }
    }

    /// Counts a peer who is nobody any more.
    pub(super) fn turned_away(&self, peer: &Peer, error: &NoIdentity) -> Denial {
        self.engine.count_turned_away(&peer.listener, error.reason());
        Denial::new(error.reason(), error.to_string())
    }

    /// Counts a caller who met a limit of the door.
    pub(super) fn over(&self, peer: &Peer, caller: &Caller, refusal: Refusal) -> Denial {
        peer.limits.count(&peer.listener, refusal);
        self.engine.count_undecoded(caller, Reason::OverQuota);
        Denial::new(Reason::OverQuota, format!("the limit {} is met", refusal.name()))
    }
}

/// The `grpc-timeout` header (gRPC over HTTP/2, section Requests): at most eight digits and a unit.
pub(super) fn asked_for<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// 24 random hexadecimal digits. Without randomness nothing else works either; then the id says so.
pub(super) fn request_id() -> String {
    let mut bytes = [0; 12];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => hex::encode(bytes),
        Err(_) => "no-randomness".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_timeouts_are_ignored() {
        let of = |text: &str| {
            let mut request = Request::new(());
            request.metadata_mut().insert("grpc-timeout", text.parse().unwrap());
            asked_for(&request)
        };
        assert_eq!(of("5S"), Some(Duration::from_secs(5)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "-5S", "999999999S", "5X", "5.5S"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
