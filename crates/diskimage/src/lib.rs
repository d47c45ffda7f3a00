//! Virtual disk formats and appliance packages.
//!
//! Parsers take bytes and return values; writers take a [`std::io::Write`] or an
//! [`output::Output`]. Nothing here opens a socket or looks at the environment, and no thread is
//! started but those that a caller asks [`parallel`] for, so everything can be fuzzed and run on
//! any blocking thread.
//!
//! * [`image`]: what every format looks like to those who read it: random access, a map, chains.
//! * [`vmdk`]: VMware's disk format: readers of every kind; of the stream-optimized kind that an
//!   export lease sends also writers, and a walker that checks a stream while it passes.
//! * [`qcow2`]: QEMU's disk format: a reader, and a writer in any order and over crashes.
//! * [`raw`]: the disk as it is, in a file or on a block device.
//! * [`output`]: the file or block device that such a writer fills.
//! * [`parallel`]: the threads that compress and expand, behind a bounded budget.
//! * [`package`]: what surrounds the disks of an appliance: archives, the OVF descriptor, the manifest;
//!   and the `.vmx` of a machine that is in none.
//!
//! **Invariants.** Every number read from a file is checked before it is used: arithmetic on it is
//! checked, and everything that grows with it has a limit. A file that breaks a rule gives an
//! [`Error`] that says which rule, at which byte, and never a shorter or emptier disk.
//!
//! A name found inside a file (parents, extents) is opened through what the caller supplies, never by
//! itself.

mod error;
pub mod image;
mod lock;
mod number;
pub mod output;
pub mod package;
pub mod parallel;
pub mod qcow2;
pub mod raw;
mod spares;
pub mod vmdk;

pub use error::{Error, ErrorKind, Result};
