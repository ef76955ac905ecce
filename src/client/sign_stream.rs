//! SignStream from the caller's side.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::{Client, ClientError, messages};
use crate::wire::MESSAGE_LIMIT_BYTES;
use crate::wire::v1::signing_service_client::SigningServiceClient;

/// Items without an answer, at most. More of them would only wait at the daemon, whose HTTP/2 ends a connection that piles up
/// thousands of small frames.
const UNANSWERED: usize = 256;

/// The answers of a stream, in the order of its items.
#[derive(Debug)]
pub struct SignStream {
    answers: Streaming<messages::SignStreamResponse>,
    timeout: Duration,
    places: Arc<Semaphore>,
}

impl Client {
    /// Signs what comes out of a channel, for as long as its sender lives; 256 items at most are without an answer at once, so
    /// read the answers meanwhile. The client's timeout is for opening the stream and for
    /// nothing later. Nothing is repeated by itself: an item without an answer may be sent again, and is replayed if it was
    /// released.
    pub async fn sign_stream(
        &self,
        items: mpsc::Receiver<messages::SignStreamRequest>,
    ) -> Result<SignStream, ClientError> {
        let timeout = self.timeout();
        let places = Arc::new(Semaphore::new(UNANSWERED));
        let items = paced(items, Arc::clone(&places));
        let mut stub = SigningServiceClient::new(self.channel()?)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        let opened = tokio::time::timeout(timeout, async {
            let mut request = Request::new(ReceiverStream::new(items));
            self.authorize(&mut request).await?;
            Ok::<_, ClientError>(stub.sign_stream(request).await)
        });
        let opened = opened.await.map_err(|_| ClientError::Deadline { timeout })?;
        let answers = opened?.map_err(|status| ClientError::from_call(&status, timeout, 0))?.into_inner();
        Ok(SignStream { answers, timeout, places })
    }
}

impl SignStream {
    /// The next answer; `None` when all items were answered and no more can come. Waits for as long as it takes.
    pub async fn next(&mut self) -> Result<Option<messages::SignStreamResponse>, ClientError> {
        let next = self.answers.message().await;
        if let Ok(Some(_)) = next {
            self.places.add_permits(1);
        }
        next.map_err(|status| ClientError::from_call(&status, self.timeout, 0))
    }
}

impl Drop for SignStream {
    /// Nobody waits for answers any more: items that wait for a place are let go.
    fn drop(&mut self) {
        self.places.close();
    }
}

/// Lets an item through for each place.
fn paced(
    mut items: mpsc::Receiver<messages::SignStreamRequest>,
    places: Arc<Semaphore>,
) -> mpsc::Receiver<messages::SignStreamRequest> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(item) = items.recv().await {
            let Ok(place) = places.acquire().await else { return };
            place.forget();
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    receiver
}
