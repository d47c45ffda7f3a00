//! The loop of the lease road: one stream into one sink.
//!
//! Copies, commits every so many bytes, and stops when told to. It does not restart a source that
//! failed, because that means to start the target anew as well, and only the caller knows how
//! often that is worth it; it does not finish the sink, because only the caller knows whether the
//! stream that ended was complete.

use crate::{Cancel, Checkpoint, Error, ErrorKind, Order, Result, Sink, StreamSource};

/// How a stream is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// A commit is due once this many bytes were written since the last one; `None` leaves all
    /// durability to `finish`.
    pub commit_every_bytes: Option<u64>,
}

impl Default for CopyOptions {
    /// 32 MiB: what a lost target costs at most, against one `fdatasync` per third of a second at
    /// the 100 MB/s that one lease connection carries at best.
    fn default() -> Self {
        Self { commit_every_bytes: Some(32 << 20) }
    }
}

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes from the start of the stream to where the source claimed its end.
    pub len_bytes: u64,
    /// Commits made on the way.
    pub commits: u64,
}

/// Watches a stream pass. `()` is the silent one; a closure over `(offset, bytes)` is one too.
pub trait StreamObserver {
    /// Sees bytes before they are written; all of them, in order, without gaps.
    ///
    /// # Errors
    /// An error refuses the bytes and ends the copy with it: a stream that breaks its format is
    /// not written further than it was right.
    fn bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Gets the checkpoint after the first `covered_bytes` bytes of the stream became durable.
    ///
    /// # Errors
    /// Ends the copy with the error.
    fn committed(&mut self, _covered_bytes: u64, _checkpoint: Checkpoint) -> Result<()> {
        Ok(())
    }
}

impl StreamObserver for () {
    fn bytes(&mut self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(u64, &[u8]) -> Result<()>> StreamObserver for F {
    fn bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self(offset, bytes)
    }
}

/// Copies one pass of `source`, which stands at its start, into `sink`, which is empty.
///
/// The sink may be of either order. On success everything was written, but what came after the
/// last commit is durable only once the sink is finished.
///
/// # Errors
/// [`ErrorKind::Order`] when an ascending sink already holds something. [`ErrorKind::Cancelled`]
/// when told to stop; looked at before and after every wait for bytes. Else what the source, the
/// observer or the sink fail with; [`Error::is_retryable`] then tells whether a restart of the
/// source, into a target created anew, may succeed.
pub fn copy_stream(
    source: &mut dyn StreamSource,
    sink: &dyn Sink,
    options: &CopyOptions,
    cancel: &Cancel,
    observer: &mut dyn StreamObserver,
) -> Result<Copied> {
    if let Order::Ascending { next: next @ 1.. } = sink.order() {
        return Err(Error::new(ErrorKind::Order, format!("copy a stream into a sink that already holds {next} bytes")));
    }
    let mut offset = 0;
    let mut uncommitted_bytes = 0;
    let mut commits = 0;
    loop {
        cancel.check("copy a stream")?;
        let Some(bytes) = source.next_bytes()? else {
            return Ok(Copied { len_bytes: offset, commits });
        };
        cancel.check("copy a stream")?;
        observer.bytes(offset, &bytes)?;
        sink.write_at(offset, &bytes)?;
        let len = bytes.len() as u64;
        offset += len;
        uncommitted_bytes += len;
        if options.commit_every_bytes.is_some_and(|due| uncommitted_bytes >= due) {
            observer.committed(offset, sink.commit()?)?;
            uncommitted_bytes = 0;
            commits += 1;
        }
    }
}
