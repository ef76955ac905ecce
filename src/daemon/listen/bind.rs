//! Sockets that the daemon binds by itself.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::config::settings::SocketGroup;
use crate::daemon::DaemonError;

pub(super) fn unix(
    path: &Path,
    mode: u32,
    group: Option<&SocketGroup>,
    name: &str,
) -> Result<(UnixListener, SocketFile), DaemonError> {
    let failed = |error: std::io::Error| DaemonError::Listener {
        name: name.to_owned(),
        what: format!("{}: {error}", path.display()),
    };
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let what = format!("{} exists and is no socket; it is left alone", path.display());
            return Err(DaemonError::Listener { name: name.to_owned(), what });
        }
        // A socket that nobody answers on was left by a crash. Any other answer is somebody's.
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let what = format!(
                    "the socket file {} belongs to uid {}, and uid {} may not ask whether somebody listens there; if nobody \
                     does, remove it, or run as that user",
                    path.display(),
                    metadata.uid(),
                    rustix::process::geteuid().as_raw()
                );
                return Err(DaemonError::Listener { name: name.to_owned(), what });
            }
            _ => return Err(DaemonError::SocketInUse { at: path.display().to_string() }),
        }
    }
    if let Some(parent) = path.parent()
        && !parent.exists()
    {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    // Nobody may connect before the mode is set.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = StdUnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(failed)?;
    let file = SocketFile::of(path);
    if let Some(group) = group {
        let gid = group_id(group).map_err(|what| DaemonError::Listener { name: name.to_owned(), what })?;
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(failed)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((UnixListener::from_std(listener).map_err(failed)?, file))
}

/// A socket file that we made. It goes when this is dropped, so that nobody finds one behind which nobody listens. To be
/// dropped while the socket is open: until then no other daemon takes the path.
pub(in crate::daemon) struct SocketFile {
    path: PathBuf,
    made: Option<(u64, u64)>,
}

impl SocketFile {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), made: inode(path) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whatever else stands there by now is somebody else's.
        if self.made.is_some()
            && inode(&self.path) == self.made
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "the socket file stays");
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A name is looked up in /etc/group: the daemon links no name service, which would load code of others.
fn group_id(group: &SocketGroup) -> Result<u32, String> {
    let name = match group {
        SocketGroup::Id(id) => return Ok(*id),
        SocketGroup::Name(name) => name,
    };
    let groups = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1).and_then(|id| id.parse().ok())).flatten()
    });
    found.ok_or_else(|| format!("there is no group `{name}` in /etc/group; make it, or write its number"))
}

pub(super) fn tcp(address: std::net::SocketAddr, name: &str) -> Result<TcpListener, DaemonError> {
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return DaemonError::SocketInUse { at: address.to_string() };
        }
        DaemonError::Listener { name: name.to_owned(), what: format!("{address}: {error}") }
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map_err(failed)
}
