//! The seams in memory: sources of given bytes, and a target whose disk forgets.
//!
//! For tests of whoever uses a seam. They keep to the contract as strictly as it allows: a stream
//! that is restarted mid-way starts over, a device is full of stale bytes before it is written,
//! and [`MemoryTarget::crash`] takes what no commit made durable. They never fail on their own;
//! wrap them in [`crate::fault::Faulty`] for that.

mod disk;
mod source;
mod target;

pub use disk::{STALE_BYTE, Survivors};
pub use source::{MemoryRangeSource, MemoryStreamSource};
pub use target::MemoryTarget;
