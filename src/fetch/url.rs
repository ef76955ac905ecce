//! Addresses: `https://HOST[:PORT]/PATH[?QUERY]`, and nothing that programs read differently.

use std::fmt;

/// An address of a page over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    target: String,
}

/// The text is no address that we fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write https://HOST[:PORT]/PATH in ASCII, without a user, a fragment or white space")]
pub struct InvalidUrl;

/// Longer than any address that is published.
const LONGEST: usize = 4096;
const HTTPS: u16 = 443;

impl Url {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let rest = text.strip_prefix("https://").ok_or(InvalidUrl)?;
        let plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || rest.contains(['#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(InvalidUrl);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or(InvalidUrl)?;
        let (host, port) = authority_of(authority).ok_or(InvalidUrl)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { host, port, target })
    }

    /// The name or address to connect to; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as they stand in a request.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The host, and the port where it is not the usual one.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == HTTPS { host } else { format!("{host}:{}", self.port) }
    }

    /// The same page with one more parameter in its query.
    #[must_use]
    pub fn with_parameter(&self, name: &str, value: &str) -> Self {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{joint}{}={}", self.target, escaped(name), escaped(value));
        Self { target, ..self.clone() }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.target)
    }
}

fn authority_of(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at_checked(end)?;
            let good = (1..=253).contains(&host.len())
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            good.then_some((host, port))?
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0)?
        }
        None if port.is_empty() => HTTPS,
        _ => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// Percent-encoding of everything but the unreserved characters (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for (text, shown) in [
            ("https://Issuer.example", "https://issuer.example/"),
            ("https://issuer.example:443/a?b=c", "https://issuer.example/a?b=c"),
            ("https://issuer.example:8443/", "https://issuer.example:8443/"),
            ("https://[::1]:8443/x", "https://[::1]:8443/x"),
            ("https://127.0.0.1?q", "https://127.0.0.1/?q"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), shown, "{text}");
        }
        let url = Url::parse("https://ci.example/token?api-version=2.0").unwrap();
        let asked = url.with_parameter("audience", "https://signer.example:7443");
        assert_eq!(asked.target(), "/token?api-version=2.0&audience=https%3A%2F%2Fsigner.example%3A7443");
        assert_eq!(Url::parse("https://a").unwrap().with_parameter("a", "é b").target(), "/?a=%C3%A9%20b");
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        let long = format!("https://a/{}", "x".repeat(LONGEST));
        for text in [
            "",
            "http://issuer.example/",
            "HTTPS://issuer.example/",
            "https:///path",
            "https://user@issuer.example/",
            "https://issuer.example:0/",
            "https://issuer.example:65536/",
            "https://issuer.example:+443/",
            "https://issuer.example:/",
            "https://issuer.example/#fragment",
            "https://issuer.example\\@other.example/",
            "https://issuer.example/a b",
            "https://issuer.example/\r\nHost: other",
            "https://\u{456}ssuer.example/",
            "https://[::1/",
            "https://[x]/",
            "https://::1/",
            &long,
        ] {
            assert_eq!(Url::parse(text), Err(InvalidUrl), "{text:?}");
        }
    }
}
