//! Who is at the other end of a Unix socket, as the kernel has it.

use std::io;
use std::os::fd::AsRawFd as _;

use tokio::net::UnixStream;

/// A process at the other end, as it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The kernel allows 65,536 groups (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

impl Peer {
    /// Asks the kernel.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self { uid: credentials.uid(), gid: credentials.gid(), groups: groups(stream)? })
    }
}

/// Returns the groups that the peer had when it connected (`SO_PEERGROUPS`, Linux 4.13).
///
/// Not those in `/proc/PID/status`: the process may be gone by now, and its number somebody else's.
fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    // Most have a handful; the kernel says how many when there is no room.
    let mut groups: Vec<libc::gid_t> = vec![0; 32];
    loop {
        let size_bytes = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(size_bytes).map_err(io::Error::other)?;
        let result = peer_groups(stream, &mut groups, &mut length);
        let count = usize::try_from(length).map_err(io::Error::other)? / size_of::<libc::gid_t>();
        match result {
            Ok(()) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() && count <= GROUPS_MAX => {
                groups.resize(count, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

#[expect(unsafe_code, reason = "no safe binding knows SO_PEERGROUPS")]
fn peer_groups(stream: &UnixStream, groups: &mut [libc::gid_t], length: &mut libc::socklen_t) -> io::Result<()> {
    debug_assert_eq!(size_of_val(groups), usize::try_from(*length).unwrap_or_default());
    // SAFETY: the descriptor is open for as long as `stream` is borrowed. The kernel writes at most `length` bytes
    // to `groups`, which is that large and takes any bit pattern, and to `length`, which is valid for writes.
    // JUSTIFICATION: rustix, socket2 and the standard library read the peer's user, but not its groups.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            std::ptr::from_mut(length),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_process_sees_itself_with_the_groups_that_it_has() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        let mut own: Vec<_> = rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect();
        let mut seen = peer.groups;
        own.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, own);
    }
}
