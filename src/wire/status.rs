//! Refusals as gRPC statuses with `google.rpc.ErrorInfo` (google/rpc/error_details.proto), and back.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::v1;
use crate::domain::outcome::{Denial, GrpcCode, Outcome, Reason};

/// `ErrorInfo.domain` of every refusal of ours.
pub const ERROR_DOMAIN: &str = "sealward";

/// The longest detail in bytes: statuses travel in HTTP/2 headers, and a client that is not ours accepts 8 KiB of them.
/// A detail stands there twice, once percent-encoded.
const MAX_DETAIL_BYTES: usize = 1000;
/// The longest request id in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// How long a full queue asks to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The status that answers a denied or failed request.
///
/// Its message is `reason: detail`; its `ErrorInfo` has the reason's name, the domain `sealward` and the metadata
/// members `request_id`, `advice` and `outcome`. What failed because of load carries `RetryInfo`; a denial never does,
/// because waiting a second does not change it.
pub fn to_status(reason: Reason, detail: &str, request_id: &str) -> Status {
    of_denial(&Denial::new(reason, detail), request_id)
}

/// As [`to_status`]; what waits for people is named by the metadata member `approval`.
pub fn of_denial(denial: &Denial, request_id: &str) -> Status {
    let Denial { reason, detail, pending } = denial;
    let reason = *reason;
    let detail = shortened(detail, MAX_DETAIL_BYTES);
    let mut metadata = HashMap::from([
        ("request_id".to_owned(), shortened(request_id, MAX_REQUEST_ID_BYTES).to_owned()),
        ("advice".to_owned(), reason.advice().to_owned()),
        ("outcome".to_owned(), reason.outcome().name().to_owned()),
    ]);
    metadata.extend(pending.map(|id| ("approval".to_owned(), id.to_string())));
    let mut details = ErrorDetails::with_error_info(reason.name(), ERROR_DOMAIN, metadata);
    if reason.grpc_code() == GrpcCode::ResourceExhausted && reason.outcome() == Outcome::Failed {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    Status::with_error_details(Code::from(reason.grpc_code() as i32), format!("{reason}: {detail}"), details)
}

/// What a status of ours says; `None` when it carries no `ErrorInfo` of the domain `sealward`, such as one that the
/// transport made.
pub fn from_status(status: &Status) -> Option<Refused> {
    let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN)?;
    let mut metadata = info.metadata;
    let prefix = format!("{}: ", info.reason);
    let detail = status.message().strip_prefix(&prefix).unwrap_or(status.message()).to_owned();
    Some(Refused {
        known: known(&info.reason),
        denied: metadata.get("outcome").is_some_and(|outcome| outcome == Outcome::Denied.name()),
        detail,
        advice: metadata.remove("advice").unwrap_or_default(),
        request_id: metadata.remove("request_id").unwrap_or_default(),
        approval: metadata.remove("approval").unwrap_or_default(),
        retry_after: status.get_details_retry_info().and_then(|info| info.retry_delay),
        code: Some(status.code()),
        reason: info.reason,
    })
}

/// A refusal as it was received. Its texts come from the network: escape control characters before showing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The rule's name.
    pub reason: String,
    /// The rule, when this version knows it. A newer daemon may name others.
    pub known: Option<Reason>,
    /// Denied, rather than failed.
    pub denied: bool,
    /// What about this request broke the rule.
    pub detail: String,
    /// What to do next.
    pub advice: String,
    /// The request, as logs and leaves name it; empty for an item of a batch.
    pub request_id: String,
    /// What people must approve first, by its name; empty otherwise.
    pub approval: String,
    /// How long to wait before asking again, where the daemon said so.
    pub retry_after: Option<Duration>,
    /// The status code; `None` for an item of a batch.
    pub code: Option<Code>,
}

impl From<v1::Refusal> for Refused {
    fn from(refusal: v1::Refusal) -> Self {
        let v1::Refusal { reason, outcome, detail, advice, approval } = refusal;
        Self {
            known: known(&reason),
            denied: outcome == Outcome::Denied.name(),
            reason,
            detail,
            advice,
            request_id: String::new(),
            approval,
            retry_after: None,
            code: None,
        }
    }
}

fn known(name: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.name() == name)
}

fn shortened(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for &reason in Reason::ALL {
            let status = to_status(reason, "because: of 7", "req-1");
            assert_eq!(status.code() as i32, reason.grpc_code() as i32, "{reason}");
            let refused = from_status(&status).unwrap();
            assert_eq!(refused.known, Some(reason));
            assert_eq!(refused.denied, reason.outcome() == Outcome::Denied, "{reason}");
            assert_eq!(refused.detail, "because: of 7");
            assert_eq!((refused.advice.as_str(), refused.request_id.as_str()), (reason.advice(), "req-1"));
        }
    }

    #[test]
    fn only_load_asks_to_wait() {
        let waits = |reason| from_status(&to_status(reason, "", "")).unwrap().retry_after;
        assert_eq!(waits(Reason::QueueFull), Some(RETRY_AFTER));
        assert_eq!(waits(Reason::OverQuota), Some(RETRY_AFTER));
        assert_eq!(waits(Reason::KeyLimit), None);
        assert_eq!(waits(Reason::Rollback), None);
    }

    #[test]
    fn statuses_of_others_are_not_ours() {
        assert_eq!(from_status(&Status::unavailable("transport")), None);
        let foreign = ErrorDetails::with_error_info("rollback", "example.com", HashMap::new());
        assert_eq!(from_status(&Status::with_error_details(Code::Internal, "", foreign)), None);
        let garbage = Status::with_details(Code::Internal, "", vec![0xff; 64].into());
        assert_eq!(from_status(&garbage), None);
    }

    #[test]
    fn a_huge_detail_still_fits_into_headers() {
        let status = to_status(Reason::Malformed, &"é\u{1b}".repeat(100_000), &"r".repeat(100_000));
        let refused = from_status(&status).unwrap();
        assert!(refused.detail.len() <= MAX_DETAIL_BYTES && refused.detail.len() > MAX_DETAIL_BYTES - 4);
        assert!(status.message().len() * 3 + status.details().len() * 4 / 3 < 7000, "{}", status.details().len());
    }

    #[test]
    fn a_reason_of_a_newer_daemon_keeps_its_name() {
        let info = ErrorDetails::with_error_info("brand-new", ERROR_DOMAIN, HashMap::new());
        let refused = from_status(&Status::with_error_details(Code::Aborted, "x", info)).unwrap();
        assert_eq!((refused.reason.as_str(), refused.known, refused.denied), ("brand-new", None, false));
        assert_eq!(refused.detail, "x");
    }
}
