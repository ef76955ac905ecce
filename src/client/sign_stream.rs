//! SignStream from the caller's side.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Client, ClientError, messages};
use crate::wire::MESSAGE_LIMIT_BYTES;
use crate::wire::v1::signing_service_client::SigningServiceClient;

/// The answers of a stream, in the order of its items.
#[derive(Debug)]
pub struct SignStream {
    answers: Streaming<messages::SignStreamResponse>,
    timeout: Duration,
}

impl Client {
    /// Signs what comes out of a channel, for as long as its sender lives. The client's timeout is for opening the stream and for
    /// nothing later. Nothing is repeated by itself: an item without an answer may be sent again, and is replayed if it was
    /// released.
    pub async fn sign_stream(
        &self,
        items: mpsc::Receiver<messages::SignStreamRequest>,
    ) -> Result<SignStream, ClientError> {
        let timeout = self.timeout();
        let mut stub = SigningServiceClient::new(self.channel()?)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        let opened = tokio::time::timeout(timeout, stub.sign_stream(ReceiverStream::new(items))).await;
        let opened = opened.map_err(|_| ClientError::Deadline { timeout })?;
        let answers = opened.map_err(|status| ClientError::from_call(&status, timeout, 0))?.into_inner();
        Ok(SignStream { answers, timeout })
    }
}

impl SignStream {
    /// The next answer; `None` when all items were answered and no more can come. Waits for as long as it takes.
    pub async fn next(&mut self) -> Result<Option<messages::SignStreamResponse>, ClientError> {
        self.answers.message().await.map_err(|status| ClientError::from_call(&status, self.timeout, 0))
    }
}
