//! One run of the program: where the daemon is, and how long it may take.

use std::io::{self, Write as _};

use super::arguments::Global;
use super::error::CliError;
use crate::client::{Client, Server, TlsFiles, TokenSource, is_open_to_others, printable};

pub(super) struct Session {
    global: Global,
}

impl Session {
    pub(super) fn new(global: Global) -> Self {
        Self { global }
    }

    /// Connects; commands that work offline never call it.
    pub(super) async fn client(&self) -> Result<Client, CliError> {
        let Global { server, ca, cert, key, token_file, audience, json: _, timeout } = &self.global;
        let server = match server {
            Some(server) => server.clone(),
            None => Server::from_environment().map_err(crate::client::ClientError::from)?,
        };
        let files = TlsFiles { ca: ca.clone(), certificate: cert.clone(), key: key.clone() };
        let token = match (token_file, cert) {
            (Some(_), _) if !server.takes_tokens() => {
                let what = "--token-file is for https: over a unix socket the kernel says who calls";
                return Err(CliError::Usage(what.to_owned()));
            }
            (Some(path), _) => Some(TokenSource::File(path.clone())),
            // A certificate says who calls.
            (None, Some(_)) => None,
            (None, None) if !server.takes_tokens() => None,
            (None, None) => {
                let audience = audience.clone().unwrap_or_else(|| server.to_string());
                TokenSource::from_environment(&audience)?
            }
        };
        if let Some(TokenSource::File(path)) = &token
            && is_open_to_others(path)
        {
            let path = path.display().to_string();
            let note = format!("note: others can read the token in {}: chmod 600", printable(&path));
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "{note}");
        }
        let client = Client::connect(&server, &files, *timeout).await?;
        Ok(token.map_or_else(|| client.clone(), |token| client.with_token(token)))
    }
}
