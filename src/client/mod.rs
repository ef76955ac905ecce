//! **The other side of the door.** Connects over a unix socket, mutual TLS or TLS with a token, and offers every call of `sealward.v1` as
//! a typed method with a deadline, a size limit and bounded retries.
//!
//! ```no_run
//! # async fn example() -> Result<(), sealward::client::ClientError> {
//! use sealward::client::{Client, DEFAULT_TIMEOUT, Server, TlsFiles, messages};
//!
//! let client = Client::connect(&Server::from_environment()?, &TlsFiles::default(), DEFAULT_TIMEOUT).await?;
//! let me = client.who_am_i(messages::WhoAmIRequest {}).await?;
//! # Ok(()) }
//! ```

mod calls;
mod connect;
mod error;
pub mod exit;
mod printable;
mod retry;
mod server;
mod sign_stream;
mod tls;
mod token;

#[cfg(test)]
#[cfg(feature = "daemon")]
mod fake;

pub use calls::{BATCH_LIMIT, Client, DEFAULT_TIMEOUT};
pub use error::ClientError;
pub use printable::printable;
pub use server::{DEFAULT_SERVER, InvalidServer, SERVER_VARIABLE, Server};
pub use sign_stream::SignStream;
pub use tls::TlsFiles;
pub use token::{ID_TOKEN_VARIABLE, PROJECTED_TOKEN, TOKEN_FILE_VARIABLE, TokenSource, is_open_to_others};

pub use crate::wire::MESSAGE_LIMIT_BYTES;
pub use crate::wire::status::Refused;
/// Requests and answers, as `proto/sealward/v1/sealward.proto` documents them.
pub use crate::wire::v1 as messages;
