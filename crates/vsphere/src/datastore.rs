//! Files of datastores, read whole or in part over `/folder`.
//!
//! ```text
//!  `[ds] dir/name` ─► FileAddress ─► FileSource::open ─┬─ through the server, with its session's cookie
//!    (path)            (which datacenter)              └─ at a host, with a ticket for this one GET
//! ```
//!
//! vCenter hands such a request on to a host, which is slower but needs nothing beyond the login. A
//! single ESXi host has no other way than its own. At a host behind a vCenter the ticket is the only
//! credential: the vCenter's cookie never goes there.
//!
//! What this module does not do: it decides neither which files may be read nor what is in them.

mod host;
mod path;
mod search;
mod ticket;
mod url;

use std::fmt;
use std::ops::Range;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::stream::{HostStream, StreamRequest};
use crate::wire::MoRef;

pub use host::{choose_host, datastore_of};
pub use path::DatastorePath;
pub use search::exists;
pub(crate) use url::FolderEncoding;
use url::{Encoding, folder};

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAddress {
    /// Inventory path of the datacenter as stored, with the folders above it: `Lab/DC0`.
    pub datacenter: String,
    /// Datastore, directories and name.
    pub file: DatastorePath,
}

/// By which way a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Road {
    /// Through the server that the session is with.
    Server,
    /// At this host, with one ticket per request.
    Host(MoRef),
}

/// A file that can be opened for reading, as often as it takes.
#[derive(Clone)]
pub struct FileSource {
    session: Session,
    address: FileAddress,
    road: Road,
    cancel: CancellationToken,
    /// Where calls to the server run while the reader's thread waits for them.
    runtime: Handle,
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource").field("address", &self.address).field("road", &self.road).finish_non_exhaustive()
    }
}

impl FileSource {
    /// Names a file; nothing is asked yet. Must be called within the runtime that the session lives in.
    pub fn new(session: &Session, address: FileAddress, road: Road, cancel: CancellationToken) -> Self {
        Self { session: session.clone(), address, road, cancel, runtime: Handle::current() }
    }

    /// Opens the file, whole or in part (end exclusive). Blocks; not to be called on a runtime's own thread.
    ///
    /// A session that the server has dropped is renewed once. A name that is not found is asked for once
    /// more, encoded twice, as some servers want it; what worked is remembered for the server.
    ///
    /// # Errors
    /// As [`HostStream::open`]; [`ErrorKind::NotFound`] for a file that is not there.
    pub fn open(&self, range: Option<Range<u64>>) -> Result<HostStream> {
        let mut missing = None;
        let mut tried = None;
        for encoding in self.session.folder_encoding().order() {
            let path = folder(&self.address, encoding);
            // Most names look the same in both.
            if tried.replace(path.clone()).is_some_and(|before| before == path) {
                break;
            }
            match self.open_path(&path, encoding, range.clone()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    missing.get_or_insert(error);
                }
                Ok(stream) => {
                    if self.road == Road::Server {
                        self.session.folder_encoding().remember(encoding);
                    }
                    return Ok(stream);
                }
                result => return result.map_err(|error| self.about(error)),
            }
        }
        let error = missing.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "nothing was asked"));
        Err(self.about(error))
    }

    async fn unless_stopped<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = call => result,
            () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "open a file: stopped")),
        }
    }

    fn about(&self, error: Error) -> Error {
        error.context(format!("open {}", self.address.file))
    }

    fn open_path(&self, path: &str, encoding: Encoding, range: Option<Range<u64>>) -> Result<HostStream> {
        match self.open_once(path, encoding, range.clone()) {
            Err(error) if error.kind() == ErrorKind::SessionLost => {
                debug!(%error, "opening a file again with a new session");
                // Only a call tells whether it is the session that is gone; then it is renewed.
                self.runtime.block_on(self.unless_stopped(self.session.probe()))?;
                self.open_once(path, encoding, range)
            }
            result => result,
        }
    }

    fn open_once(&self, path: &str, encoding: Encoding, range: Option<Range<u64>>) -> Result<HostStream> {
        let request = match &self.road {
            Road::Server => {
                let url = self.session.url().join(path);
                let request = StreamRequest::new(url, None, self.session.tls().clone(), self.cancel.clone())
                    .with_idle_limit(self.session.patience().idle);
                // Without one the server says 401, which renews the session.
                match self.session.cookie() {
                    Some(cookie) => request.with_cookie(cookie),
                    None => return Err(Error::new(ErrorKind::SessionLost, "open a file: there is no session")),
                }
            }
            Road::Host(host) => {
                // The datacenter means nothing to a host.
                let path = url::folder_at_host(&self.address, encoding);
                let ticket = ticket::acquire(&self.session, host, &path);
                let ticket = self.runtime.block_on(self.unless_stopped(ticket))?;
                StreamRequest::new(ticket.url, ticket.thumbprint, self.session.tls().clone(), self.cancel.clone())
                    .with_idle_limit(self.session.patience().idle)
                    .with_cookie(ticket.cookie)
            }
        };
        HostStream::open(&request.with_range(range))
    }
}
