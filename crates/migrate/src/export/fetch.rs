//! Fetches one file of a lease or a datastore: stream → checks → file, on one thread.
//!
//! A stream cannot be resumed, only begun again; that is worth it where the connection broke. A stream
//! that ended cleanly but is no whole disk, or that breaks the format, is an error of its own: the
//! host sent it so, and the manifest will say what it thinks it sent.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use diskimage::vmdk::stream_walk::{StreamSummary, StreamWalker, WalkOptions};
use sha1::{Digest as _, Sha1};
use transfer::source::NEXT_BYTES_MAX;
use transfer::{Cancel, CopyOptions, StreamObserver, StreamSource, Target as _, copy_stream};
use vsphere::datastore::FileSource;
use vsphere::{HostStream, StreamRequest};

use super::file::StreamFile;
use super::meter::FileMeter;
use crate::{Error, ErrorKind, Result};

/// How often a stream is begun, counting the first time, and the pause before the second.
const TRIES: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Where a file comes from. Each can be opened again.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A URL of the lease.
    Lease(StreamRequest),
    /// A file of a datastore.
    Datastore(FileSource),
}

impl Origin {
    fn open(&self) -> vsphere::Result<HostStream> {
        match self {
            Self::Lease(request) => HostStream::open(request),
            Self::Datastore(file) => file.open(None),
        }
    }
}

/// What to fetch and where to.
pub(super) struct Fetch {
    pub(super) origin: Origin,
    /// Temporary path.
    pub(super) part: PathBuf,
    /// Size that the server announced.
    pub(super) size_bytes: Option<u64>,
    /// Also hash with SHA-1, because the host's manifest will have no better.
    pub(super) with_sha1: bool,
    pub(super) meter: Arc<FileMeter>,
    pub(super) cancel: Cancel,
}

/// A file that arrived whole.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) size_bytes: u64,
    /// Lower-case hexadecimal.
    pub(super) sha256: String,
    pub(super) sha1: Option<String>,
    /// For a disk: what its markers say.
    pub(super) disk: Option<StreamSummary>,
}

impl Fetch {
    /// Runs to the end. Blocks.
    ///
    /// # Errors
    /// Naming the file; the part file stays.
    pub(super) fn run(&self) -> Result<Fetched> {
        let mut delay = RETRY_DELAY;
        for attempt in 1.. {
            match self.once() {
                Err(error) if error.kind() == ErrorKind::Unreachable && attempt < TRIES => {
                    tracing::warn!(file = %self.meter.name, attempt, error = %error.chain(), "fetching again from the start");
                    self.pause(delay.max(error.busy().unwrap_or_default()))?;
                    delay *= 2;
                }
                result => return result.map_err(|error| error.about(&self.meter.name)),
            }
        }
        unreachable!("the loop returns with the last attempt")
    }

    fn pause(&self, delay: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(50);
        let mut left = delay;
        while !left.is_zero() {
            self.cancel.check("fetch again").map_err(Error::from)?;
            thread::sleep(STEP.min(left));
            left = left.saturating_sub(STEP);
        }
        Ok(())
    }

    fn once(&self) -> Result<Fetched> {
        self.meter.set(0, 0);
        let mut source = OriginStream { origin: self.origin.clone(), stream: None, rest: Bytes::new() };
        let sink = StreamFile::new(&self.part).create()?;
        let mut watch = Watch {
            walker: self.meter.disk.then(|| StreamWalker::new(WalkOptions::default())),
            sha1: self.with_sha1.then(Sha1::new),
            meter: &self.meter,
        };
        let copied = copy_stream(&mut source, &*sink, &CopyOptions::default(), &self.cancel, &mut watch)?;
        let Watch { walker, sha1, .. } = watch;
        let disk = walker.map(StreamWalker::finish).transpose().map_err(broken)?;
        self.check_size(copied.len_bytes, disk.as_ref())?;
        let digests = sink.finish()?;
        let missing = || Error::new(ErrorKind::Internal, "the file was not hashed");
        let sha256 = digests.file_sha256.ok_or_else(missing)?.to_string();
        self.meter.complete(copied.len_bytes);
        let sha1 = sha1.map(|sha1| hexadecimal(&sha1.finalize()));
        Ok(Fetched { size_bytes: copied.len_bytes, sha256, sha1, disk })
    }

    fn check_size(&self, length: u64, disk: Option<&StreamSummary>) -> Result<()> {
        if let Some(expected) = self.size_bytes.filter(|expected| *expected != length) {
            let context = format!("{length} bytes came, the server announced {expected}");
            return Err(Error::new(ErrorKind::Verification, context));
        }
        let expected = self.meter.total_bytes;
        match disk {
            Some(disk) if expected != 0 && disk.capacity_bytes != expected => {
                let context = format!("the stream is a disk of {} bytes, the VM's has {expected}", disk.capacity_bytes);
                Err(Error::new(ErrorKind::Verification, context))
            }
            _ => Ok(()),
        }
    }
}

/// Sees every byte before it is written.
struct Watch<'a> {
    walker: Option<StreamWalker>,
    sha1: Option<Sha1>,
    meter: &'a FileMeter,
}

impl StreamObserver for Watch<'_> {
    fn bytes(&mut self, offset: u64, bytes: &[u8]) -> transfer::Result<()> {
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        let received = offset + bytes.len() as u64;
        let covered = match &mut self.walker {
            Some(walker) => {
                walker.push(bytes).map_err(|error| {
                    transfer::Error::new(transfer::ErrorKind::Corrupt, "check the stream").with_source(error)
                })?;
                walker.covered_bytes()
            }
            None => received,
        };
        self.meter.set(received, covered);
        Ok(())
    }
}

/// An origin as a stream source.
struct OriginStream {
    origin: Origin,
    stream: Option<HostStream>,
    /// What is left of a chunk that was longer than a call may return.
    rest: Bytes,
}

impl StreamSource for OriginStream {
    fn restart(&mut self) -> transfer::Result<()> {
        self.stream = None;
        self.rest.clear();
        Ok(())
    }

    fn next_bytes(&mut self) -> transfer::Result<Option<Bytes>> {
        if self.rest.is_empty() {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(self.origin.open().map_err(from_host)?),
            };
            match stream.next_chunk().map_err(from_host)? {
                Some(bytes) => self.rest = bytes,
                None => return Ok(None),
            }
        }
        Ok(Some(self.rest.split_to(self.rest.len().min(NEXT_BYTES_MAX))))
    }
}

fn from_host(error: vsphere::Error) -> transfer::Error {
    let kind = match error.kind() {
        vsphere::ErrorKind::Unreachable => transfer::ErrorKind::Source,
        vsphere::ErrorKind::Cancelled => transfer::ErrorKind::Cancelled,
        _ => transfer::ErrorKind::SourceGone,
    };
    transfer::Error::new(kind, error.to_string()).with_source(error)
}

/// A stream that ended, or went on, as no whole disk does.
fn broken(error: diskimage::Error) -> Error {
    Error::new(ErrorKind::Verification, "what came is no complete disk").with_source(error)
}

/// Expands every grain of a disk that was written and checks its own checksum: what can still be
/// proven where the host has no hash. Blocks.
///
/// # Errors
/// [`ErrorKind::Verification`] naming the file.
pub(super) fn expand(name: &str, part: &Path) -> Result<()> {
    let failed = |error: io::Error| Error::new(ErrorKind::Target, format!("{name}: read it again")).with_source(error);
    let mut file = File::open(part).map_err(failed)?;
    let mut walker = StreamWalker::new(WalkOptions { inflate: true, ..WalkOptions::default() });
    let mut buffer = vec![0; NEXT_BYTES_MAX];
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        walker.push(&buffer[..length]).map_err(|error| broken(error).about(name))?;
    }
    walker.finish().map(drop).map_err(|error| broken(error).about(name))
}

/// Writes bytes as manifests do.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
