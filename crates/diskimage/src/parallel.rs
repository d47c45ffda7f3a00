//! Threads that compress and expand, and the memory that their work may take.
//!
//! Two shapes, for two kinds of work:
//!
//! * [`Workers`] live as long as their owner wants and are shared: all writers of a process hand
//!   their grains to the same ones, so that there is one budget and as many threads as cores.
//! * [`pipeline`] serves one call: a producer and workers that end with it, and may therefore
//!   borrow from the caller.
//!
//! In both the *budget* counts the bytes that were handed in and are not yet done with. Whoever
//! hands in more waits. Work that waited in turn for the same budget would wait for ever, so what
//! a job needs is taken beforehand, as a [`Permit`].
//!
//! Deliberately absent: how many threads there are to be, which only the caller knows.

mod pipeline;
mod workers;

pub(crate) use pipeline::{Stopped, pipeline};
pub(crate) use workers::Permit;
pub use workers::Workers;
