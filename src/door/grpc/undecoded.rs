//! Requests that never became one: tonic answers them by itself, before any verb. Here they get a name, advice and a count
//! like every other refusal.

use axum::http::HeaderMap;
use axum::response::Response;
use tonic::{Code, Status};

use super::call::request_id;
use crate::domain::caller::Caller;
use crate::domain::outcome::{Denial, Reason};
use crate::engine::Engine;
use crate::wire::status::to_status;

/// The answer to a caller, with a name where tonic gave none.
pub(super) fn name(engine: &Engine, caller: &Caller, response: Response) -> Response {
    let Some((reason, detail)) = undecoded(response.headers()) else {
        // An unknown method, or compression that we do not speak: the answer says it all, and is counted.
        if Status::from_header_map(response.headers()).is_some_and(|status| status.code() == Code::Unimplemented) {
            engine.count_undecoded(caller, Reason::Malformed);
        }
        return response;
    };
    engine.count_undecoded(caller, reason);
    let id = request_id();
    tracing::info!(request = %id, %reason, %detail, "undecoded");
    to_status(reason, detail, &id).into_http()
}

/// The refusal that tonic meant; `None` for answers of verbs, whose refusals carry details, and for what we have no rule
/// about, such as an unknown method.
fn undecoded(headers: &HeaderMap) -> Option<(Reason, &'static str)> {
    of_status(&Status::from_header_map(headers)?)
}

/// A message of a stream that never became one.
pub(super) fn denial(status: &Status) -> Denial {
    match of_status(status) {
        Some((reason, detail)) => Denial::new(reason, detail),
        None => Denial::new(Reason::Malformed, status.message()),
    }
}

fn of_status(status: &Status) -> Option<(Reason, &'static str)> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        // A length above the limit: our limits derive from the policies.
        Code::OutOfRange => Some((Reason::PayloadTooLarge, "the message is larger than any role's payload may be")),
        Code::ResourceExhausted => Some((Reason::OverQuota, "too many bytes of messages are in flight")),
        Code::Cancelled | Code::DeadlineExceeded => Some((Reason::Deadline, "the request did not arrive in time")),
        // Compression that we do not speak is unimplemented, which says it all; the rest is framing or protobuf.
        Code::Internal | Code::Unknown | Code::InvalidArgument => {
            Some((Reason::Malformed, "the body is no message of this call"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: &Status) -> Option<Reason> {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        undecoded(&headers).map(|(reason, _)| reason)
    }

    #[test]
    fn only_what_tonic_said_by_itself_is_named() {
        assert_eq!(of(&Status::internal("failed to decode")), Some(Reason::Malformed));
        assert_eq!(of(&Status::out_of_range("too large")), Some(Reason::PayloadTooLarge));
        assert_eq!(of(&Status::cancelled("Timeout expired")), Some(Reason::Deadline));
        assert_eq!(of(&Status::resource_exhausted("")), Some(Reason::OverQuota));
        assert_eq!(of(&Status::unimplemented("")), None);
        for &reason in Reason::ALL {
            assert_eq!(of(&to_status(reason, "ours", "id")), None, "{reason}");
        }
        assert_eq!(undecoded(&HeaderMap::new()).map(|(reason, _)| reason), None);
    }
}
