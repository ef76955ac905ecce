//! Every call of `sealward.v1`, with a deadline, a size limit and bounded retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::connect::connect;
use super::retry::{Repeat, pause_before_next};
use super::token::{Bearer, TokenSource};
use super::{ClientError, Server, TlsFiles, messages};
use crate::wire::MESSAGE_LIMIT_BYTES;
use crate::wire::v1;

/// The deadline of a call unless asked otherwise: room for an RSA key on a slow token.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Items of one batch, at most.
pub const BATCH_LIMIT: usize = 1024;

/// A connection to one daemon: a few channels, taken in turn. Cloning shares them. Needs a tokio runtime with I/O and
/// time.
#[derive(Clone, Debug)]
pub struct Client {
    channels: Arc<[Channel]>,
    turn: Arc<AtomicUsize>,
    timeout: Duration,
    bearer: Option<Bearer>,
}

impl Client {
    /// Connects. The files matter for `https://` only. Each later call has `timeout` for all its attempts together.
    pub async fn connect(server: &Server, tls: &TlsFiles, timeout: Duration) -> Result<Self, ClientError> {
        let channels = connect(server, tls, timeout).await?.into();
        Ok(Self { channels, turn: Arc::default(), timeout, bearer: None })
    }

    /// The same connection, each call with a token. Only for a server that [`Server::takes_tokens`]: over another
    /// connection it would prove nothing.
    #[must_use]
    pub fn with_token(&self, source: TokenSource) -> Self {
        Self { bearer: Some(Bearer::new(source)), ..self.clone() }
    }

    /// Adds what proves who calls, where the connection does not.
    pub(super) async fn authorize<Q>(&self, request: &mut Request<Q>) -> Result<(), ClientError> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.authorization().await?);
        }
        Ok(())
    }

    /// The same connection with another deadline per call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn channel(&self) -> Result<Channel, ClientError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // There is at least one channel: `connect` makes the first.
        let index = turn.checked_rem(self.channels.len()).unwrap_or(0);
        self.channels.get(index).cloned().ok_or(ClientError::Incomplete("channel"))
    }

    async fn call<Q, A, F>(
        &self,
        repeat: Repeat,
        message: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, ClientError>
    where
        Q: Message + Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let bytes = message.encoded_len();
        if bytes > MESSAGE_LIMIT_BYTES {
            return Err(ClientError::TooLarge { bytes, limit: MESSAGE_LIMIT_BYTES });
        }
        let late = ClientError::Deadline { timeout: self.timeout };
        let Some(deadline) = Instant::now().checked_add(self.timeout) else { return Err(late) };
        let mut attempt = 1;
        loop {
            let mut request = Request::new(message.clone());
            timeout_at(deadline, self.authorize(&mut request))
                .await
                .map_err(|_| ClientError::Deadline { timeout: self.timeout })??;
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            // The transport's timer ends with the first header of an answer; this one covers its body.
            let Ok(answer) = timeout_at(deadline, send(self.channel()?, request)).await else { return Err(late) };
            let status = match answer {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            let error = ClientError::from_call(&status, self.timeout, bytes);
            match pause_before_next(repeat, attempt, &status) {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => return Err(error),
            }
            attempt += 1;
        }
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])+ $stub:ident::$Stub:ident $call:ident($Query:ident) -> $Answer:ident, $repeat:ident;)+) => {
        impl Client {
            $(
                $(#[$doc])+
                pub async fn $call(&self, request: messages::$Query) -> Result<messages::$Answer, ClientError> {
                    self.call(Repeat::$repeat, request, |channel, request| async move {
                        v1::$stub::$Stub::new(channel)
                            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
                            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
                            .$call(request)
                            .await
                    })
                    .await
                }
            )+
        }
    };
}

calls! {
    /// Signs one payload. A repetition is a replay.
    signing_service_client::SigningServiceClient sign(SignRequest) -> SignResponse, Harmless;
    /// Signs several payloads in order, at most [`BATCH_LIMIT`]. A repetition is a replay.
    signing_service_client::SigningServiceClient sign_batch(SignBatchRequest) -> SignBatchResponse, Harmless;
    /// Says what [`Client::sign`] would answer.
    signing_service_client::SigningServiceClient explain(ExplainRequest) -> ExplainResponse, Harmless;
    /// The public half of a key in every form.
    signing_service_client::SigningServiceClient get_public_key(GetPublicKeyRequest) -> GetPublicKeyResponse, Harmless;
    /// What a role released last, as a file.
    signing_service_client::SigningServiceClient get_released(GetReleasedRequest) -> GetReleasedResponse, Harmless;
    /// Makes a key. Never repeated by itself: a second call makes a second key.
    key_service_client::KeyServiceClient generate_key(GenerateKeyRequest) -> GenerateKeyResponse, Never;
    /// Makes a role's pending successor. Never repeated by itself.
    key_service_client::KeyServiceClient rotate(RotateRequest) -> RotateResponse, Never;
    /// The key records of one repository, or of all that the caller may read.
    key_service_client::KeyServiceClient list_keys(ListKeysRequest) -> ListKeysResponse, Harmless;
    /// One key record.
    key_service_client::KeyServiceClient get_key(GetKeyRequest) -> GetKeyResponse, Harmless;
    /// Retires a key; retiring it again changes nothing.
    key_service_client::KeyServiceClient retire(RetireRequest) -> RetireResponse, Harmless;
    /// Asks for a key's destruction; asking again changes nothing.
    key_service_client::KeyServiceClient destroy(DestroyRequest) -> DestroyResponse, Harmless;
    /// Takes a destruction back. Never repeated by itself: the second answer would be a denial.
    key_service_client::KeyServiceClient cancel_destroy(CancelDestroyRequest) -> CancelDestroyResponse, Never;
    /// Stages a root; staging it again changes nothing.
    root_service_client::RootServiceClient stage_root(StageRootRequest) -> StageRootResponse, Harmless;
    /// Promotes a root; promoting it again changes nothing.
    root_service_client::RootServiceClient publish_root(PublishRootRequest) -> PublishRootResponse, Harmless;
    /// Takes the staged root back; with none staged it changes nothing.
    root_service_client::RootServiceClient withdraw_root(WithdrawRootRequest) -> WithdrawRootResponse, Harmless;
    /// Where a rotation stands.
    root_service_client::RootServiceClient get_rotation(GetRotationRequest) -> GetRotationResponse, Harmless;
    /// The trusted and the staged root.
    root_service_client::RootServiceClient get_root(GetRootRequest) -> GetRootResponse, Harmless;
    /// Begins a guard. Never repeated by itself: the second answer would be a denial.
    root_service_client::RootServiceClient seed_guard(SeedGuardRequest) -> SeedGuardResponse, Never;
    /// Begins a new epoch. Never repeated by itself: the second answer would be a denial.
    root_service_client::RootServiceClient recover_guard(RecoverGuardRequest) -> RecoverGuardResponse, Never;
    /// What the caller may approve.
    approval_service_client::ApprovalServiceClient list_pending(ListPendingRequest) -> ListPendingResponse, Harmless;
    /// One piece of it, with the bytes to judge.
    approval_service_client::ApprovalServiceClient get_pending(GetPendingRequest) -> GetPendingResponse, Harmless;
    /// Approves; approving again changes nothing.
    approval_service_client::ApprovalServiceClient approve(ApproveRequest) -> ApproveResponse, Harmless;
    /// Rejects; rejecting again changes nothing.
    approval_service_client::ApprovalServiceClient reject(RejectRequest) -> RejectResponse, Harmless;
    /// A signed checkpoint over the committed tree.
    audit_service_client::AuditServiceClient get_checkpoint(GetCheckpointRequest) -> GetCheckpointResponse, Harmless;
    /// Leaves in order.
    audit_service_client::AuditServiceClient list_leaves(ListLeavesRequest) -> ListLeavesResponse, Harmless;
    /// Proof that a leaf is in a tree.
    audit_service_client::AuditServiceClient prove_inclusion(ProveInclusionRequest) -> ProveInclusionResponse, Harmless;
    /// Proof that a tree extends a smaller one.
    audit_service_client::AuditServiceClient prove_consistency(ProveConsistencyRequest) -> ProveConsistencyResponse, Harmless;
    /// How the daemon names the caller.
    admin_service_client::AdminServiceClient who_am_i(WhoAmIRequest) -> WhoAmIResponse, Harmless;
    /// Health, latches, keystores, guards.
    admin_service_client::AdminServiceClient status(StatusRequest) -> StatusResponse, Harmless;
    /// Freezes a scope; freezing it again changes nothing.
    admin_service_client::AdminServiceClient freeze(FreezeRequest) -> FreezeResponse, Harmless;
    /// Thaws a scope. Never repeated by itself: somebody may have frozen it again.
    admin_service_client::AdminServiceClient thaw(ThawRequest) -> ThawResponse, Never;
    /// Resolves a latch. Never repeated by itself: it may have begun anew.
    admin_service_client::AdminServiceClient resolve_latch(ResolveLatchRequest) -> ResolveLatchResponse, Never;
    /// Reads the configuration anew. A repetition reads it once more.
    admin_service_client::AdminServiceClient reload(ReloadRequest) -> ReloadResponse, Harmless;
}

#[cfg(test)]
#[cfg(feature = "daemon")]
mod tests {
    use std::sync::atomic::Ordering;

    use tonic::Code;

    use super::*;
    use crate::client::fake::Fake;
    use crate::domain::outcome::Reason;
    use crate::wire::status::to_status;

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_denial_crosses_the_socket_with_rule_advice_and_request_id() {
        let fake =
            Fake::answering(|_| Err(to_status(Reason::Rollback, "7 is below 9\u{1b}[31m\u{202e}", "req-17"))).await;
        let error = fake.client(TIMEOUT).await.status(messages::StatusRequest {}).await.unwrap_err();
        assert_eq!((error.exit_code(), error.reason()), (77, "rollback"));
        assert_eq!((error.advice(), error.request_id()), (Reason::Rollback.advice(), Some("req-17")));
        assert_eq!(error.to_string(), "denied: rollback: 7 is below 9\\u{1b}[31m\\u{202e}");
        assert_eq!(fake.calls(), 1, "a denial is not tried again");
    }

    #[tokio::test]
    async fn the_longest_refusal_still_arrives_whole() {
        let detail = "\u{1b}é".repeat(10_000);
        let fake = Fake::answering(move |_| Err(to_status(Reason::ExpiryTooFar, &detail, "req-1"))).await;
        let error = fake.client(TIMEOUT).await.status(messages::StatusRequest {}).await.unwrap_err();
        assert_eq!(error.reason(), "expiry-too-far");
    }

    #[tokio::test]
    async fn unavailable_is_tried_again_and_the_answer_arrives() {
        let fake =
            Fake::answering(|call| if call < 3 { Err(Status::unavailable("starting")) } else { Ok(vec![]) }).await;
        fake.client(TIMEOUT).await.status(messages::StatusRequest {}).await.unwrap();
        assert_eq!(fake.calls(), 3);
    }

    #[tokio::test]
    async fn attempts_are_bounded() {
        let fake = Fake::answering(|_| Err(to_status(Reason::ShuttingDown, "", ""))).await;
        let error = fake.client(TIMEOUT).await.status(messages::StatusRequest {}).await.unwrap_err();
        assert_eq!(error.exit_code(), 75);
        assert_eq!(fake.calls(), 4);
    }

    #[tokio::test]
    async fn making_a_key_is_never_repeated() {
        let fake = Fake::answering(|_| Err(Status::unavailable(""))).await;
        let error = fake.client(TIMEOUT).await.generate_key(messages::GenerateKeyRequest::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::Transport { code: Code::Unavailable, .. }), "{error}");
        assert_eq!(fake.calls(), 1);
    }

    #[tokio::test]
    async fn the_deadline_is_sent_and_kept() {
        let fake = Fake::hanging().await;
        let client = fake.client(Duration::from_millis(200)).await;
        let started = Instant::now();
        let error = client.status(messages::StatusRequest {}).await.unwrap_err();
        assert_eq!(error.exit_code(), 75);
        assert!(matches!(error, ClientError::Deadline { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(fake.saw_deadline(), "grpc-timeout is in the request");
    }

    #[tokio::test]
    async fn a_request_above_the_limit_is_not_sent() {
        let fake = Fake::answering(|_| Ok(vec![])).await;
        let file = vec![0; MESSAGE_LIMIT_BYTES].into();
        let request = messages::StageRootRequest { file, ..Default::default() };
        let error = fake.client(TIMEOUT).await.stage_root(request).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
        assert_eq!((error.exit_code(), fake.calls()), (77, 0));
    }

    #[tokio::test]
    async fn a_request_above_the_daemons_own_limit_is_told_as_such() {
        let fake = Fake::answering(|_| Ok(vec![])).await;
        // The test double has the 4 MiB that gRPC servers have unless told otherwise.
        let request = messages::GenerateKeyRequest { repository: "x".repeat(5 << 20), ..Default::default() };
        let error = fake.client(TIMEOUT).await.generate_key(request).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLargeForDaemon { .. }), "{error}");
        assert_eq!((error.exit_code(), fake.calls()), (77, 0));
    }

    #[tokio::test]
    async fn an_answer_above_the_limit_is_not_read() {
        let fake = Fake::answering(|_| Ok(vec!["x".repeat(MESSAGE_LIMIT_BYTES)])).await;
        let client = fake.client(Duration::from_secs(30)).await;
        let error = client.status(messages::StatusRequest {}).await.unwrap_err();
        assert!(matches!(error, ClientError::Transport { code: Code::OutOfRange, .. }), "{error}");
    }

    #[tokio::test]
    async fn calls_take_the_channels_in_turn_and_may_run_anywhere() {
        let fake = Fake::answering(|_| Ok(vec![])).await;
        let client = fake.client(TIMEOUT).await;
        for _ in 0..4 {
            let client = client.clone();
            tokio::spawn(async move { client.status(messages::StatusRequest {}).await }).await.unwrap().unwrap();
        }
        assert_eq!(client.turn.load(Ordering::Relaxed), 4);
        assert_eq!(fake.connections(), 2);
    }

    #[tokio::test]
    async fn an_unknown_call_names_the_older_daemon() {
        let fake = Fake::answering(|_| Ok(vec![])).await;
        let error = fake.client(TIMEOUT).await.get_checkpoint(messages::GetCheckpointRequest {}).await.unwrap_err();
        assert_eq!(error.exit_code(), 76);
        assert!(error.advice().contains("older"), "{}", error.advice());
    }
}
