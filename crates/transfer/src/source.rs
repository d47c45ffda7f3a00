//! Where bytes come from.
//!
//! Two traits, because there are two kinds of server: one that answers for any range, on many
//! connections, and one that sends everything once, from the first byte. A source of the second
//! kind cannot be made to look like the first without lying about what a restart costs.
//!
//! Both block. A source built on async code drives its own current-thread runtime. Retries,
//! limits of rate and faults are wrappers that implement the same trait (see [`crate::fault`]).
//!
//! Implementors run [`crate::conformance::range_source`] or [`crate::conformance::stream_source`].

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, ErrorKind, Result};

/// The most bytes that one [`StreamSource::next_bytes`] may return: 1 MiB. Large enough that the
/// cost per call vanishes, small enough that a copy holds little and notices a request to stop.
pub const NEXT_BYTES_MAX: usize = 1 << 20;

/// Content of a known length that can be read at any place, by many threads at once.
///
/// The content does not change while the source lives: two reads of a range are equal. A source
/// that notices a change fails with [`ErrorKind::SourceGone`].
pub trait RangeSource: Send + Sync {
    /// Returns the length of the content in bytes.
    fn len_bytes(&self) -> u64;

    /// Returns what lies in `range` (half-open), as far as it is known without reading it.
    ///
    /// The pieces tile the range: the first begins at `range.start`, each begins where the one
    /// before ended, none is empty, the last ends at `range.end`. Neighbours may be of one kind.
    /// An empty range has no pieces. The reply grows with the range, so callers ask for a window,
    /// never for a whole disk of unknown size.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`] when the range is reversed or does not lie in the content, and
    /// whatever a question to the server may meet.
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>>;

    /// Fills all of `buf` with the content from `offset` on.
    ///
    /// Ranges of kind [`ExtentKind::Zero`] may be read too and are zeros. An empty `buf` is filled
    /// at any offset up to the length. Reads of several threads do not wait for each other longer
    /// than the source's own limit of connections demands; a source may serve a read that begins
    /// where the last one of the same connection ended from the same reply.
    ///
    /// # Errors
    /// After any error the contents of `buf` mean nothing; the source stays usable.
    /// [`ErrorKind::Bounds`] when the range does not lie in the content. [`ErrorKind::Source`],
    /// [`ErrorKind::Short`] and [`ErrorKind::Corrupt`] are retryable, [`ErrorKind::SourceGone`] is not.
    fn read_range(&self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// A piece of a source's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it lies, half-open.
    pub range: Range<u64>,
    /// What is known about it.
    pub kind: ExtentKind,
}

/// What is known about a piece of content before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Holds data (which may happen to be zeros).
    Data,
    /// Every byte is zero: it need not be read.
    Zero,
    /// Nothing is known; it has to be read.
    Unknown,
}

/// Content that is sent once, front to back.
///
/// A new source stands before the first byte and need not have connected to anything. The only
/// way back is [`StreamSource::restart`], and that is always to the start: there is no seek.
///
/// ```text
///            next_bytes = Some        next_bytes = None
///  start ───────────────────► middle ──────────────────► end (None again and again)
///    ▲                          │ error                   │
///    │                          ▼                         │
///    │       restart          broken (errors only)        │
///    └──────────────────────────┴─────────────────────────┘
/// ```
pub trait StreamSource: Send {
    /// Goes back to before the first byte, whatever happened before.
    ///
    /// The next pass may give other bytes than the last one (a server may deflate anew), so what
    /// was copied from the last pass is not a beginning of the next.
    ///
    /// # Errors
    /// [`ErrorKind::Source`] (retryable) or [`ErrorKind::SourceGone`].
    fn restart(&mut self) -> Result<()>;

    /// Returns the next bytes, 1 to [`NEXT_BYTES_MAX`] of them, or `None` where the source claims
    /// that its content ends.
    ///
    /// The claim is the server's: a connection that was closed cleanly too early looks the same,
    /// so whoever knows the format or the length has to check. After `None` it stays `None`.
    ///
    /// # Errors
    /// After an error the source gives errors only, until it is restarted: it never skips bytes.
    /// [`ErrorKind::Source`], [`ErrorKind::Short`] (the source itself knows that bytes are missing)
    /// and [`ErrorKind::Corrupt`] are retryable by a restart, [`ErrorKind::SourceGone`] is not.
    fn next_bytes(&mut self) -> Result<Option<Bytes>>;
}

/// Implements [`RangeSource`] for a pointer to one.
macro_rules! range_source_behind {
    ($pointer:ty) => {
        impl<S: RangeSource + ?Sized> RangeSource for $pointer {
            fn len_bytes(&self) -> u64 {
                (**self).len_bytes()
            }

            fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
                (**self).extents(range)
            }

            fn read_range(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                (**self).read_range(offset, buf)
            }
        }
    };
}

range_source_behind!(&S);
range_source_behind!(Box<S>);
range_source_behind!(Arc<S>);

impl<S: StreamSource + ?Sized> StreamSource for Box<S> {
    fn restart(&mut self) -> Result<()> {
        (**self).restart()
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        (**self).next_bytes()
    }
}

/// Returns `offset..offset + len` when it lies in `0..limit`; `doing` names the call.
pub(crate) fn bounded(doing: &str, offset: u64, len: u64, limit: u64) -> Result<Range<u64>> {
    match offset.checked_add(len) {
        Some(end) if end <= limit => Ok(offset..end),
        _ => Err(Error::new(
            ErrorKind::Bounds,
            format!("{doing} {len} bytes at offset {offset}: the content ends at {limit}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_overflows_is_out_of_bounds_and_does_not_wrap() {
        assert_eq!(bounded("read", 3, 7, 10).unwrap(), 3..10);
        for (offset, len) in [(3, 8), (u64::MAX, 1), (1, u64::MAX), (11, 0)] {
            assert_eq!(bounded("read", offset, len, 10).unwrap_err().kind(), ErrorKind::Bounds);
        }
    }
}
