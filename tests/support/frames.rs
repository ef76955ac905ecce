//! HTTP/2 by hand (RFC 9113): frames in an order and number that no client of anybody's would send.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `DATA`
pub const DATA: u8 = 0;
/// `HEADERS`
pub const HEADERS: u8 = 1;
/// `RST_STREAM`
pub const RST_STREAM: u8 = 3;
/// `SETTINGS`
pub const SETTINGS: u8 = 4;
/// `PING`
pub const PING: u8 = 6;
/// `CONTINUATION`
pub const CONTINUATION: u8 = 9;
/// `END_STREAM`
pub const END_STREAM: u8 = 1;
/// `END_HEADERS`
pub const END_HEADERS: u8 = 4;

/// A connection that has said its preface, and who carries it.
pub struct Frames(UnixStream, Option<Child>);

impl Frames {
    /// Connects with these settings (identifier, value).
    pub fn connect(socket: &Path, settings: &[(u16, u32)]) -> Self {
        Self::over(UnixStream::connect(socket).unwrap(), None, settings)
    }

    /// Connects to a port over TLS, with the authority `ca.pem` of a directory and a certificate of it.
    pub fn connect_tls(directory: &Path, port: u16, who: &str) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let other = OwnedFd::from(theirs.try_clone().unwrap());
        let (address, certificate, key) = (format!("localhost:{port}"), format!("{who}.pem"), format!("{who}.key"));
        let openssl = Command::new("openssl")
            .args(["s_client", "-quiet", "-alpn", "h2", "-CAfile", "ca.pem", "-connect", &address])
            .args(["-cert", &certificate, "-key", &key])
            .current_dir(directory)
            .stdin(OwnedFd::from(theirs))
            .stdout(other)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self::over(ours, Some(openssl), &[])
    }

    fn over(stream: UnixStream, carrier: Option<Child>, settings: &[(u16, u32)]) -> Self {
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut frames = Self(stream, carrier);
        frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let entries: Vec<u8> = settings
            .iter()
            .flat_map(|(identifier, value)| [&identifier.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
            .collect();
        frames.send(SETTINGS, 0, 0, &entries).unwrap();
        frames
    }

    /// One frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.0.write_all(&frame(kind, flags, stream, payload))
    }

    /// Bytes as they are.
    pub fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// A gRPC call of a path, up to its headers.
    pub fn call(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.send(HEADERS, END_HEADERS, stream, &headers(path))
    }

    /// Reads until the other side ends the connection, so long at most. What came, or `None` when it goes on.
    pub fn read_to_end(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let mut read = Vec::new();
        let mut buffer = [0; 64 << 10];
        self.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while begun.elapsed() < patience {
            match self.0.read(&mut buffer) {
                Ok(0) => return Some(read),
                Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => return Some(read),
            }
        }
        None
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(carrier) = &mut self.1 {
            drop(carrier.kill());
            drop(carrier.wait());
        }
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The header block of a gRPC call, without compression (RFC 7541, section 6.2.2).
pub fn headers(path: &str) -> Vec<u8> {
    fn text(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127, "one byte of length");
        [&[length], text.as_bytes()].concat()
    }
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("localhost"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        block.push(0);
        block.extend(text(name));
        block.extend(text(value));
    }
    block
}
