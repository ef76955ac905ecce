//! Connections, from the kernel to the door: as many at once as there are places, each with what it proved.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;

use super::tls::Tls;
use super::until;
use crate::door::identity::of_unix_peer;
use crate::door::limits::{LimitsInForce, Place};
use crate::door::peer::{Peer, Proof};
use crate::door::refusal::Refusal;
use crate::door::stream::Connection;
use crate::engine::Engine;

/// How long a peer may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a peer that is turned away may take to close its side, and how much of what it sent is read until then.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: u64 = 64 << 10;

/// Connections whose peers have proved what they can.
pub(super) type Incoming<S> = ReceiverStream<Result<Connection<S>, Infallible>>;

/// A listening socket, and how its peers prove who they are.
pub(super) trait Accept: Send + Sync + 'static {
    /// As the kernel gives it.
    type Raw: Send + 'static;
    /// As requests come through it.
    type Stream: Send + 'static;

    /// What a peer is known by before it has proved anything.
    fn origin(raw: &Self::Raw) -> String;

    fn next(&self) -> impl Future<Output = std::io::Result<Self::Raw>> + Send;

    /// The error is for the log.
    fn greet(&self, raw: Self::Raw) -> impl Future<Output = Result<(Self::Stream, Proof), String>> + Send;
}

impl Accept for UnixListener {
    type Raw = UnixStream;
    type Stream = UnixStream;

    fn origin(raw: &UnixStream) -> String {
        raw.peer_cred().map_or_else(|_| "unix".to_owned(), |peer| format!("unix:{}", peer.uid()))
    }

    async fn next(&self) -> std::io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    async fn greet(&self, raw: UnixStream) -> Result<(UnixStream, Proof), String> {
        let caller = of_unix_peer(&raw).map_err(|error| error.to_string())?;
        Ok((raw, Proof::Unix(caller)))
    }
}

/// TCP, with the TLS that is in force when a peer comes.
pub(super) struct Tcp {
    pub(super) listener: TcpListener,
    pub(super) tls: Arc<Tls>,
}

impl Accept for Tcp {
    type Raw = TcpStream;
    type Stream = TlsStream<TcpStream>;

    fn origin(raw: &TcpStream) -> String {
        raw.peer_addr().map_or_else(|_| "tcp".to_owned(), |peer| peer.ip().to_string())
    }

    async fn next(&self) -> std::io::Result<TcpStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    async fn greet(&self, raw: TcpStream) -> Result<(TlsStream<TcpStream>, Proof), String> {
        // A small answer must not wait for more.
        raw.set_nodelay(true).map_err(|error| error.to_string())?;
        let stream = match TlsAcceptor::from(self.tls.server()).accept(raw).into_fallible().await {
            Ok(stream) => stream,
            Err((error, raw)) => {
                part(raw).await;
                return Err(error.to_string());
            }
        };
        match self.tls.proof(stream.get_ref().1) {
            Ok(proof) => Ok((stream, proof)),
            Err(error) => {
                part(stream).await;
                Err(error.to_string())
            }
        }
    }
}

/// Ends a connection so that the alert arrives. In TLS 1.3 the client has finished and sent its request when its certificate
/// is looked at; to close with that unread would reset the connection, and the client would learn nothing.
async fn part(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let unread = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever comes of it, the peer is not let in.
    drop(tokio::time::timeout(FAREWELL, unread).await);
}

/// Accepts until the end.
pub(super) fn accept<L: Accept>(
    listener: L,
    name: Arc<str>,
    limits: Arc<LimitsInForce>,
    engine: Arc<Engine>,
    stopped: watch::Receiver<bool>,
) -> Incoming<L::Stream> {
    let (connections, incoming) = mpsc::channel(16);
    let listener = Arc::new(listener);
    tokio::spawn(async move {
        let mut stop = std::pin::pin!(until(stopped));
        loop {
            let accepted = tokio::select! {
                accepted = listener.next() => accepted,
                () = &mut stop => return,
            };
            let raw = match accepted {
                Ok(raw) => raw,
                Err(error) => {
                    pause(&name, &error).await;
                    continue;
                }
            };
            // Whoever gets no place is told at once, by the end of the connection.
            match limits.connect(&name, &L::origin(&raw)) {
                Ok(place) => {
                    let (listener, name, connections) = (Arc::clone(&listener), Arc::clone(&name), connections.clone());
                    let engine = Arc::clone(&engine);
                    // A slow handshake keeps nobody else waiting.
                    tokio::spawn(async move {
                        if let Some(connection) = enter(&*listener, name, &engine, raw, place).await {
                            // Nobody takes connections any more when this fails.
                            drop(connections.send(Ok(connection)).await);
                        }
                    });
                }
                Err(refusal) => {
                    limits.count(&name, refusal);
                    tracing::debug!(listener = %name, reason = refusal.name(), "a connection was turned away");
                }
            }
        }
    });
    ReceiverStream::new(incoming)
}

/// Lets a peer prove itself. Whoever does not is counted.
async fn enter<L: Accept>(
    listener: &L,
    name: Arc<str>,
    engine: &Engine,
    raw: L::Raw,
    mut place: Place,
) -> Option<Connection<L::Stream>> {
    let limits = Arc::clone(place.limits());
    let refused = |refusal: Refusal, error: &str| {
        limits.count(&name, refusal);
        tracing::info!(listener = %name, reason = refusal.name(), error, "a peer was turned away");
    };
    let (stream, proof) = match tokio::time::timeout(HANDSHAKE, listener.greet(raw)).await {
        Ok(Ok(proved)) => proved,
        Ok(Err(error)) => {
            refused(Refusal::Handshake, &error);
            return None;
        }
        Err(_) => {
            refused(Refusal::HandshakeTime, "");
            return None;
        }
    };
    if let Some(caller) = proof.caller()
        && let Err(refusal) = place.rename(engine.counted(caller).name())
    {
        refused(refusal, &caller.to_string());
        return None;
    }
    let who = place.who().into();
    let peer = Peer { listener: name, who, proof, limits, traffic: Arc::default() };
    Some(Connection::new(stream, peer, place))
}

/// Out of descriptors, most likely: others will be closed. Without the pause this would be a busy loop.
async fn pause(name: &str, error: &std::io::Error) {
    tracing::warn!(listener = name, %error, "a connection was not accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
