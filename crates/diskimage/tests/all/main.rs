//! Whole streams: written, walked, damaged, and judged by a reader that is not ours.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod damage;
mod foreign;
mod fuzz;
mod garbage;
mod judge;
mod model;
mod order;
mod packages;
mod qcow2;
mod raw;
mod round_trip;
mod stream_expand;
mod vmdk_read;
mod vmdk_write;
mod writers;
