//! The process that owns one PKCS#11 device: the only code of sealward that loads a vendor's library.
//!
//! It is started by the daemon with a socket as standard input and does what comes over that socket, nothing else. It
//! trusts the daemon, not the device: what a device says of a key is checked here, what it signs is verified there.
//!
//! It cannot be traced or dumped, and gains no rights. It is not confined otherwise yet: a hostile module has the
//! rights of the daemon's user.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::protocol::FrameError;

mod generate;
mod harden;
mod mechanism;
mod objects;
mod serve;
mod token;

/// Why a worker ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// Somebody started it by hand.
    #[error(
        "this program is a part of sealward. The daemon starts it, one for each PKCS#11 token, and speaks to it over a \
         socket; by hand it does nothing. Configure a keystore of kind `pkcs11` and start sealwardd"
    )]
    ByHand,
    /// The system refuses to take rights away from it.
    #[error("cannot harden this process: {0}")]
    Harden(#[from] rustix::io::Errno),
    /// The daemon does not keep to the protocol. Both must be of one release.
    #[error("the daemon does not keep to the protocol: {0}")]
    Protocol(#[from] FrameError),
    /// A request came before its time.
    #[error("the daemon does not keep to the protocol: {0}")]
    Order(&'static str),
}

impl WorkerError {
    /// The exit status, after sysexits(3).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ByHand => 64,
            Self::Harden(_) => 71,
            Self::Protocol(_) | Self::Order(_) => 76,
        }
    }
}

/// The whole life of the process. `standard_input` is the socket; `is_alone` says that there are no arguments.
pub fn run(standard_input: BorrowedFd<'_>, is_alone: bool) -> Result<(), WorkerError> {
    if !is_alone {
        return Err(WorkerError::ByHand);
    }
    let socket = daemon_socket(standard_input).ok_or(WorkerError::ByHand)?;
    harden::harden()?;
    serve::serve(socket)
}

/// A unix socket whose other end was made by the process that started us. Moved away from standard input, where a
/// module could read from it.
fn daemon_socket(standard_input: BorrowedFd<'_>) -> Option<UnixStream> {
    let peer = rustix::net::sockopt::socket_peercred(standard_input).ok()?;
    if Some(peer.pid) != rustix::process::getppid() {
        return None;
    }
    let socket = UnixStream::from(standard_input.try_clone_to_owned().ok()?);
    let nothing = std::fs::File::open("/dev/null").ok()?;
    rustix::stdio::dup2_stdin(nothing.as_fd()).ok()?;
    Some(socket)
}
