//! The supplementary groups of the process at the other end of a unix socket (`SO_PEERGROUPS`, socket(7), Linux 4.13).
//!
//! The one unsafe module of this room: neither the standard library, rustix nor tokio has this socket option, and group
//! grants without supplementary groups would be wrong for most users.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// More groups than any kernel lets a process have (NGROUPS_MAX is 65,536).
const MOST: usize = 65_536;

/// Primary group excluded; the kernel's answer as of connection time.
pub(super) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let bytes = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        // SAFETY: the descriptor is open for the borrow's life; `groups` is writable for `length` bytes, and the kernel
        // writes at most that many and sets `length` to what it wrote or would need.
        let status = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = usize::try_from(length).unwrap_or(usize::MAX) / size_of::<libc::gid_t>();
        if status == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || needed > MOST || needed <= groups.len() {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn the_kernel_tells_our_own_groups() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut expected: Vec<u32> = rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect();
        let mut found = peer_groups(one.as_fd()).unwrap();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn another_kind_of_socket_is_an_error() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(peer_groups(socket.as_fd()).is_err() || peer_groups(socket.as_fd()).unwrap().is_empty());
    }
}
