//! Sockets that systemd handed in.

use tokio::net::{TcpListener, UnixListener};

/// Sockets that systemd handed in, by name (sd_listen_fds_with_names(3)).
pub(super) struct Activated {
    fds: listenfd::ListenFd,
    names: Vec<String>,
}

impl Activated {
    pub(super) fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { fds: listenfd::ListenFd::from_env(), names: names.split(':').map(str::to_owned).collect() }
    }

    pub(super) fn unix(&mut self, name: &str) -> Result<UnixListener, String> {
        let index = self.index(name)?;
        let listener = self.fds.take_unix_listener(index).map_err(|error| format!("socket `{name}`: {error}"))?;
        let listener = listener.ok_or_else(|| format!("systemd handed in no socket `{name}`, or it is taken twice"))?;
        listener
            .set_nonblocking(true)
            .and_then(|()| UnixListener::from_std(listener))
            .map_err(|error| error.to_string())
    }

    pub(super) fn tcp(&mut self, name: &str) -> Result<TcpListener, String> {
        let index = self.index(name)?;
        let listener = self.fds.take_tcp_listener(index).map_err(|error| format!("socket `{name}`: {error}"))?;
        let listener = listener.ok_or_else(|| format!("systemd handed in no socket `{name}`, or it is taken twice"))?;
        listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(|error| error.to_string())
    }

    fn index(&self, name: &str) -> Result<usize, String> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            format!("systemd handed in no socket `{name}`; its unit needs FileDescriptorName={name}, and the daemon must be started through it")
        })
    }
}
