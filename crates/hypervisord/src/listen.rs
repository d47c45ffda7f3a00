//! Where requests come in: a Unix socket, TCP addresses, or what systemd hands over.
//!
//! ```text
//!  given by systemd ─┐
//!  configured ───────┴─► Listener ─► accept ─► connection ─► request + Way ─► the router of the moment
//! ```
//!
//! A [`Way`] goes with each request: through which door it came, and whom the kernel sees there.
//!
//! **Invariant:** an address that is not loopback is spoken to in TLS only; whoever makes a listener
//! of one says with what certificate.
//!
//! What it does not do: it does not know who may what (that is the guard), nor any route.

mod accept;
mod peer;
mod tcp;
mod unix;

use std::net::SocketAddr;

use anyhow::Context as _;
use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

pub(crate) use accept::{Door, serve};
pub use peer::Peer;
pub(crate) use tcp::bind as bind_tcp;
pub(crate) use unix::{Socket, bind as bind_unix};

/// Through which door a request came.
#[derive(Clone, Debug)]
pub enum Way {
    /// The Unix socket; the kernel knows who is at the other end.
    Unix(Peer),
    /// TCP, from this address.
    Tcp(SocketAddr),
}

/// A door that is open.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A Unix socket.
    Unix(UnixListener),
    /// A TCP address.
    Tcp(TcpListener),
}

impl Listener {
    /// Returns true for an address that others than this machine may reach.
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            // An address that cannot be told is taken for one that others reach.
            Self::Tcp(_) => self.address().is_none_or(|address| !address.ip().is_loopback()),
        }
    }

    /// Returns the TCP address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }
}

/// Sockets that systemd has handed over, not yet in use.
#[derive(Debug, Default)]
pub struct Given(Vec<Inherited>);

#[derive(Debug)]
enum Inherited {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

impl Given {
    /// Takes them; none when there are none. For the begin of `main`: it changes the environment, so no other
    /// thread may run yet.
    ///
    /// # Errors
    /// When one of them is neither a Unix socket nor a TCP one that listens.
    pub fn take() -> anyhow::Result<Self> {
        let mut descriptors = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..descriptors.len() {
            if let Ok(Some(socket)) = descriptors.take_unix_listener(index) {
                sockets.push(Inherited::Unix(socket));
            } else if let Some(socket) =
                descriptors.take_tcp_listener(index).with_context(|| format!("take socket {index} from systemd"))?
            {
                sockets.push(Inherited::Tcp(socket));
            }
        }
        Ok(Self(sockets))
    }

    /// Opens the doors that they are.
    pub(crate) fn open(self) -> std::io::Result<Vec<Listener>> {
        let open = |socket| match socket {
            Inherited::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Listener::Unix(UnixListener::from_std(socket)?))
            }
            Inherited::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Listener::Tcp(TcpListener::from_std(socket)?))
            }
        };
        self.0.into_iter().map(open).collect()
    }
}
