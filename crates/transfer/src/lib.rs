//! Which bytes go where, in which order, provably.
//!
//! This crate holds the seams between those who have bytes and those who keep them. It knows
//! neither vSphere nor disk formats nor files: `migrate` adapts those to the traits here.
//!
//! ```text
//!  StreamSource ──► copy_stream ──► Sink ──► finish() ──► Digests
//!  (one pass)                        │
//!                                    ├─ commit() ──► Checkpoint   kept by the caller
//!  RangeSource                       │
//!  (any range, in parallel)        Target.reopen(checkpoints)     after a crash
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`source`] | where bytes come from: ranges in any order, or one forward pass |
//! | [`sink`] | where bytes go to, and what a crash may take |
//! | [`stream`] | the loop of the lease road: one stream into one sink |
//! | [`chunk`] | the unit of proof: values of chunks, the digest of a disk |
//! | [`journal`] | what is durable at the target, kept beside it: how a transfer is resumed |
//! | [`memory`] | twins of the seams in memory, with a disk that forgets |
//! | [`fault`] | wrappers that fail on plan |
//! | [`conformance`] | suites that every implementor of a seam runs in its tests |
//!
//! Everything is synchronous and blocks; `docs/decisions/0002-blocking-seams.md` says why.
//!
//! What is absent on purpose: retries (a policy of callers, told apart by
//! [`Error::is_retryable`]), clocks, threads outside of the suites, and sockets. The engine that
//! reads many ranges at once is not here yet.

mod cancel;
pub mod chunk;
pub mod conformance;
mod digest;
mod error;
pub mod fault;
pub mod journal;
pub mod memory;
mod seeded;
pub mod sink;
pub mod source;
pub mod stream;

pub use cancel::Cancel;
pub use digest::{Digests, Sha256Digest};
pub use error::{Error, ErrorKind, Result};
pub use sink::{Checkpoint, Order, Sink, Target};
pub use source::{Extent, ExtentKind, RangeSource, StreamSource};
pub use stream::{Copied, CopyOptions, StreamObserver, copy_stream};
