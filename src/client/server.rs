//! Where the daemon listens, as people write it.

use std::fmt;
use std::str::FromStr;

use tonic::transport::Uri;

use super::printable;

/// The environment variable that names the server when the command line does not.
pub const SERVER_VARIABLE: &str = "SEALWARD_SERVER";
/// The server when nobody names one: the socket of the systemd unit.
pub const DEFAULT_SERVER: &str = "unix:/run/sealward/sealward.sock";

/// `sun_path` of Linux less its NUL (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// A daemon's address: `unix:PATH` or `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The path of a unix socket.
    Unix(String),
    /// `https://HOST:PORT`
    Https(Uri),
}

/// The text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no server: {rule}", printable(.text))]
pub struct InvalidServer {
    text: String,
    rule: &'static str,
}

impl Server {
    /// What `SEALWARD_SERVER` names, or [`DEFAULT_SERVER`] when it is unset or empty.
    pub fn from_environment() -> Result<Self, InvalidServer> {
        match std::env::var_os(SERVER_VARIABLE) {
            Some(text) if !text.is_empty() => text.to_string_lossy().parse(),
            _ => DEFAULT_SERVER.parse(),
        }
    }

    /// Whether it is reached over TLS, where a token may prove who calls. A unix socket proves it by itself.
    pub fn takes_tokens(&self) -> bool {
        matches!(self.0, Address::Https(_))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Unix(path) => write!(f, "unix:{}", printable(path)),
            Address::Https(uri) => write!(f, "https://{}", uri.authority().map_or("", |authority| authority.as_str())),
        }
    }
}

impl FromStr for Server {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |rule| InvalidServer { text: text.chars().take(120).collect(), rule };
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(|path| Self(Address::Unix(path))).map_err(invalid);
        }
        if text.starts_with("https://") {
            return https(text).map(|uri| Self(Address::Https(uri))).map_err(invalid);
        }
        Err(invalid(if text.starts_with("http://") {
            "without TLS nobody knows who is on the other side; write https://HOST:PORT"
        } else if text.starts_with('/') || text.starts_with("./") {
            "a socket is written unix:PATH"
        } else {
            "write unix:PATH or https://HOST:PORT"
        }))
    }
}

fn socket_path(path: &str) -> Result<String, &'static str> {
    // gRPC's own name syntax is `unix:path` and `unix:///absolute/path`; anything between is a slip.
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return Err("write unix:/absolute/path with one slash"),
        None => path,
    };
    if path.is_empty() || path.contains('\0') {
        return Err("write the socket's path after unix:");
    }
    if path.len() > MAX_SOCKET_PATH_BYTES {
        return Err("the path of a unix socket has at most 107 bytes");
    }
    Ok(path.to_owned())
}

fn https(text: &str) -> Result<Uri, &'static str> {
    const FORM: &str = "write https://HOST:PORT, nothing before and nothing after";
    let uri: Uri = text.parse().map_err(|_| FORM)?;
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.host().is_some_and(|host| !host.is_empty())
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none()
        && !text.contains('#');
    match (plain, uri.port_u16()) {
        (true, Some(port)) if port != 0 => Ok(uri),
        (true, _) => Err("the port is missing; write https://HOST:PORT"),
        (false, _) => Err(FORM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_written_back() {
        for (text, shown) in [
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("unix:here.sock", "unix:here.sock"),
            ("https://signer.example:7443", "https://signer.example:7443"),
            ("https://[::1]:7443/", "https://[::1]:7443"),
        ] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn slips_are_told_apart() {
        let long = format!("unix:/{}", "a".repeat(107));
        for (text, hint) in [
            ("", "unix:PATH or https"),
            ("signer.example:7443", "unix:PATH or https"),
            ("http://signer.example:7443", "without TLS"),
            ("/run/a.sock", "unix:PATH"),
            ("unix:", "path after unix:"),
            ("unix:a\0b", "path after unix:"),
            ("unix://run/a.sock", "one slash"),
            (&long, "107"),
            ("https://signer.example", "port is missing"),
            ("https://signer.example:0", "port is missing"),
            ("https://user@signer.example:1", "nothing before"),
            ("https://signer.example:1/path", "nothing after"),
            ("https://signer.example:1/?q", "nothing after"),
            ("https://signer.example:1#f", "nothing after"),
            ("https://:7443", "https://HOST:PORT"),
            ("https://a b:1", "https://HOST:PORT"),
            ("https://signer.example:99999", "https://HOST:PORT"),
        ] {
            let error = text.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text:?}: {error}");
        }
        let hostile = "x\u{1b}[31m".repeat(1000).parse::<Server>().unwrap_err().to_string();
        assert!(!hostile.contains('\u{1b}') && hostile.len() < 1200);
    }
}
