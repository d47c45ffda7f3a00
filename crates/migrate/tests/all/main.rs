//! Exports from the simulator, and conversions: what must hold for every package and image, and what must hold when things go wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod again;
mod anywhere;
mod conversion;
mod convert;
mod datastore_files;
mod datastores;
mod disks;
mod faults;
mod lab;
mod package;
mod refusals;
mod rights;
mod servers;
mod snapshots;
mod source_changes;
mod strangers;
mod streams;
mod targets;
mod worlds;
mod writers;
