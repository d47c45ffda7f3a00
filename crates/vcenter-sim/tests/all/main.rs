//! The simulator from outside: sockets, bytes, faults, control endpoint, program.
//!
//! The SOAP side has tests of its own; here leases are opened behind its back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod control;
mod files;
mod judge;
mod program;
mod scene;
mod shaping;
