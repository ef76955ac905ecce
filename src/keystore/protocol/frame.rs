//! Frames: the header's length and the body's length as 32-bit big-endian numbers, the header as JSON, the body.

use std::io::{ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The largest header, in bytes.
pub const LARGEST_HEADER: usize = 64 << 10;
/// The largest body, in bytes: a message of targets metadata of the largest size that a role may have.
pub const LARGEST_BODY: usize = 64 << 20;
/// What is allocated before any of it has arrived. A PIN is smaller, so that its buffer never grows and leaves no copy.
const FIRST_ALLOCATION: usize = 1 << 20;

/// A body, wiped when dropped: it may be a PIN.
pub type Body = Zeroizing<Vec<u8>>;

/// The other side does not speak this protocol, or is gone. Never retried on the same socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The socket failed, or a write timed out.
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A length is above its bound.
    #[error("a frame of {header} and {body} bytes; at most {LARGEST_HEADER} and {LARGEST_BODY} are allowed")]
    TooLarge {
        /// The header's length in bytes.
        header: usize,
        /// The body's length in bytes.
        body: usize,
    },
    /// The header is not what was expected here.
    #[error("a frame whose header is not of this protocol: {0}")]
    Malformed(serde_json::Error),
}

/// Writes a frame.
pub fn write<H: Serialize>(to: &mut impl Write, header: &H, body: &[u8]) -> Result<(), FrameError> {
    let header = serde_json::to_vec(header).map_err(FrameError::Malformed)?;
    check(header.len(), body.len())?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut front = Vec::with_capacity(8 + header.len());
    front.extend_from_slice(&length(&header));
    front.extend_from_slice(&length(body));
    front.extend_from_slice(&header);
    to.write_all(&front)?;
    to.write_all(body)?; // apart from the header: a PIN is not copied
    Ok(to.flush()?)
}

/// Reads a frame; `None` when the stream ended before it began. Both lengths are checked before anything is allocated.
pub fn read<H: DeserializeOwned>(from: &mut impl Read) -> Result<Option<(H, Body)>, FrameError> {
    let mut lengths = [0; 8];
    let mut filled = 0;
    while let Some(rest) = lengths.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Truncated),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [a, b, c, d, e, f, g, h] = lengths;
    let (header, body) = (usize_from([a, b, c, d]), usize_from([e, f, g, h]));
    check(header, body)?;
    let header = read_exactly(from, header)?;
    let body = read_exactly(from, body)?;
    Ok(Some((serde_json::from_slice(&header).map_err(FrameError::Malformed)?, body)))
}

fn usize_from(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

fn check(header: usize, body: usize) -> Result<(), FrameError> {
    if header <= LARGEST_HEADER && body <= LARGEST_BODY { Ok(()) } else { Err(FrameError::TooLarge { header, body }) }
}

fn read_exactly(from: &mut impl Read, length: usize) -> Result<Body, FrameError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(FIRST_ALLOCATION)));
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    from.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(FrameError::Truncated) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keystore::protocol::{Asked, Request};

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &Asked { id: 7, request: Request::Login }, body).unwrap();
        bytes
    }

    #[test]
    fn a_frame_reads_back_and_every_prefix_of_it_is_an_error() {
        let bytes = framed(b"1234");
        let (asked, body) = read::<Asked>(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!((asked.id, asked.request, &body[..]), (7, Request::Login, &b"1234"[..]));
        assert!(read::<Asked>(&mut &b""[..]).unwrap().is_none());
        for length in 1..bytes.len() {
            assert!(matches!(read::<Asked>(&mut &bytes[..length]), Err(FrameError::Truncated)), "{length}");
        }
    }

    #[test]
    fn huge_lengths_are_refused_before_anything_is_allocated() {
        let too_large = |header: u32, body: u32| {
            let mut bytes = [header.to_be_bytes(), body.to_be_bytes()].concat();
            bytes.extend([b'x'; 64]);
            matches!(read::<Asked>(&mut &bytes[..]), Err(FrameError::TooLarge { .. }))
        };
        assert!(too_large(u32::MAX, 0) && too_large(0, u32::MAX) && too_large(2, (64 << 20) + 1));
        let mut sink = Vec::new();
        let body = vec![0; LARGEST_BODY + 1];
        assert!(matches!(write(&mut sink, &1, &body), Err(FrameError::TooLarge { .. })));
        assert!(sink.is_empty());
    }

    #[test]
    fn headers_of_another_protocol_are_refused() {
        let cases = [
            "",
            "{",
            "null",
            "[]",
            r#"{"id":1}"#,
            r#"{"id":-1,"request":"login"}"#,
            r#"{"id":1,"request":"sing"}"#,
            r#"{"id":1,"request":"login","extra":0}"#,
            r#"{"id":1,"request":{"sign":{"key":"00"}}}"#,
            r#"{"id":1,"request":{"generate":{"algorithm":"dsa"}}}"#,
            "{\"id\":1,\"request\":\"login\"}\u{0}",
        ];
        for header in cases {
            let length = u32::try_from(header.len()).unwrap().to_be_bytes();
            let bytes = [&length[..], &[0; 4], header.as_bytes()].concat();
            assert!(matches!(read::<Asked>(&mut &bytes[..]), Err(FrameError::Malformed(_))), "{header}");
        }
        let deep = "[".repeat(LARGEST_HEADER);
        let bytes = [&u32::try_from(deep.len()).unwrap().to_be_bytes()[..], &[0; 4], deep.as_bytes()].concat();
        assert!(matches!(read::<Asked>(&mut &bytes[..]), Err(FrameError::Malformed(_))));
    }
}
