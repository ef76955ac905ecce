//! One run of the program: where the daemon is, and how long it may take.

use super::arguments::Global;
use super::error::CliError;
use crate::client::{Client, Server, TlsFiles};

pub(super) struct Session {
    global: Global,
}

impl Session {
    pub(super) fn new(global: Global) -> Self {
        Self { global }
    }

    /// Connects; commands that work offline never call it.
    pub(super) async fn client(&self) -> Result<Client, CliError> {
        let Global { server, ca, cert, key, json: _, timeout } = &self.global;
        let server = match server {
            Some(server) => server.clone(),
            None => Server::from_environment().map_err(crate::client::ClientError::from)?,
        };
        let files = TlsFiles { ca: ca.clone(), certificate: cert.clone(), key: key.clone() };
        Ok(Client::connect(&server, &files, *timeout).await?)
    }
}
