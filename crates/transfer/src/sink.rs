//! Where bytes go to, and what a crash may take.
//!
//! A [`Target`] is a place (a file under its temporary name, a block device); a [`Sink`] is one
//! life of writing to it, begun by [`Target::create`] or, after a crash, by [`Target::reopen`].
//! Offsets are those of the *content*, not of the file: a sink that compresses takes guest bytes.
//!
//! ```text
//!  create ──► write, write, write ──► commit ──► write … ──► finish ──► Digests
//!                 │ crash                │ Checkpoint            │ crash
//!                 ▼                      ▼                       ▼
//!              reopen(&[])      reopen(&[first, …, last])   reopen(all): goes on as if unfinished
//! ```
//!
//! # Writing
//!
//! * A call that returns `Ok` has taken every byte; there are no partial successes.
//! * Any offset and any length are valid inside the content. Callers write a chunk front to back,
//!   so a sink that works in larger units keeps at most one unfinished unit per chunk in work.
//! * A write of no bytes succeeds at any offset and changes nothing.
//! * [`Order::Any`]: calls may run on many threads at once. A write replaces what earlier writes,
//!   those that had returned before it was called, put there. Where two writes at the same time
//!   overlap, each byte is from one of them; callers do that only with equal bytes.
//! * [`Order::Ascending`]: every write begins at `next`; one thread writes at a time. Another
//!   offset is [`ErrorKind::Order`], whether it leaves a gap or repeats bytes.
//! * Bytes that were never written have no defined value. Callers cover the whole content, holes
//!   by [`Sink::write_zeroes`], which costs a sink nothing where the target reads as zero anyway.
//!
//! # Durability
//!
//! * A checkpoint covers every write that had returned before its [`Sink::commit`] was called.
//!   Writes that run beside a commit may be covered or not.
//! * After a crash [`Target::reopen`] gets all checkpoints that the caller still has, oldest first:
//!   all that were returned, or a prefix of them, because a crash may come between the return of a
//!   commit and the moment when the caller has stored its checkpoint. The newest given one counts:
//!   what it covers is there, unless it was written again later; such bytes have no defined value.
//!   Of everything later any part may be there or not, and none of it is promised.
//! * An ascending sink goes on exactly at the end of what the newest given checkpoint covers;
//!   [`Order::Ascending`] names the place, and what lies behind it is cut off.
//! * From then on the list is what `reopen` was given, followed by what new commits return.
//! * `reopen` may itself be cut off by a crash and then run again with the same list.
//!
//! # After an error
//!
//! [`ErrorKind::Order`], [`ErrorKind::Bounds`] and [`ErrorKind::Unsupported`] have no effect and
//! the sink goes on. Every other error is final: the bytes of the failed call have no defined
//! value, the sink refuses all later calls, and the caller drops it and reopens the target. The
//! reason is the kernel: after a failed `fsync` the pages count as clean, so a second one would
//! succeed and lie. Dropping a sink without `finish` is always allowed and promises nothing.
//!
//! Implementors run [`crate::conformance::sink`].

use bytes::Bytes;

use crate::{Digests, Error, ErrorKind, Result};

/// The most bytes a checkpoint may have: 64 KiB, so that a journal of one record per commit stays
/// small beside the data. A sink whose bookkeeping would outgrow it brings that into its own file
/// beforehand, durably, and lets the checkpoint point there: it commits earlier on its own.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;

/// One life of writing to a target; the module's documentation states the whole contract.
pub trait Sink: Send + Sync {
    /// Returns which writes the sink takes now.
    fn order(&self) -> Order;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::Order`] and [`ErrorKind::Bounds`] without effect; [`ErrorKind::Full`],
    /// [`ErrorKind::Sink`] and others are final. None is retryable.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes `len_bytes` bytes from `offset` on read as zero; the same as writing zeros, but cheaper.
    ///
    /// # Errors
    /// As [`Sink::write_at`].
    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()>;

    /// Fills all of `buf` with content that was written before, in this life or, as far as the
    /// checkpoints cover it, in an earlier one.
    ///
    /// A resume uses it to check what it keeps. Bytes that were never written have no defined
    /// value, but reading them inside the content is no error. It may be slow.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`] when the range does not lie in the content (for an ascending sink of
    /// unknown length: before `next`), [`ErrorKind::Unsupported`] always, when the sink cannot read
    /// at all (then nothing of it can be kept), and final ones.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Makes everything that was written so far durable and returns what only memory knew.
    ///
    /// The checkpoint holds what is new since the last one. The call may run beside writes; the
    /// caller never runs two at once. With nothing new it succeeds all the same.
    ///
    /// # Errors
    /// Final; what earlier checkpoints cover stays covered.
    fn commit(&self) -> Result<Checkpoint>;

    /// Completes the target and makes it durable, as after a last commit.
    ///
    /// Giving the file its final name and syncing the directory are the caller's. A crash inside of
    /// `finish`, or after it, takes nothing: the target can be reopened with the same checkpoints.
    ///
    /// # Errors
    /// [`ErrorKind::Short`] when the sink knows that content is missing, else as [`Sink::commit`].
    fn finish(self: Box<Self>) -> Result<Digests>;
}

/// Which writes a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any, from any number of threads.
    Any,
    /// Only one that begins at `next`.
    Ascending {
        /// The content's offset that the next write must have. Moves with every write; after a
        /// reopen it is where the newest checkpoint ends.
        next: u64,
    },
}

/// A place that sinks write to: makes a sink from nothing, or from what a crash left.
///
/// At most one sink of a target lives at a time; making a new one while another lives leaves the
/// older one without any promise.
pub trait Target: Send + Sync {
    /// Starts anew; whatever an earlier sink of this target left is given up.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] or [`ErrorKind::Sink`].
    fn create(&self) -> Result<Box<dyn Sink>>;

    /// Goes on from `checkpoints`, oldest first; an empty list is a start anew.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when the checkpoints are not of this target, are not a prefix of
    /// those it returned, or cover what is not there; the target is then left as it was.
    /// [`ErrorKind::Sink`] when it cannot be opened.
    fn reopen(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>>;
}

/// What a sink needs to go on after a crash: opaque to everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint(Bytes);

impl Checkpoint {
    /// Wraps the bytes of a sink.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when there are more than [`CHECKPOINT_BYTES_MAX`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                format!("keep a checkpoint of {} bytes: the most is {CHECKPOINT_BYTES_MAX}", bytes.len()),
            ));
        }
        Ok(Self(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn order(&self) -> Order {
        (**self).order()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (**self).write_at(offset, bytes)
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        (**self).write_zeroes(offset, len_bytes)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (**self).read_at(offset, buf)
    }

    fn commit(&self) -> Result<Checkpoint> {
        (**self).commit()
    }

    fn finish(self: Box<Self>) -> Result<Digests> {
        (*self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_64_kib_fits_and_one_byte_more_does_not() {
        assert!(Checkpoint::new(vec![0; CHECKPOINT_BYTES_MAX]).is_ok());
        let error = Checkpoint::new(vec![0; CHECKPOINT_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
    }
}
