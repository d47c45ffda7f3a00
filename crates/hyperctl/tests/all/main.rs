//! The real program: what it prints, how it ends, and that nothing of it stays behind.
//!
//! Nothing here needs a vCenter: sources are a closed port, or a port that never answers.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

mod convert;
mod daemon;
mod endings;
mod export;
mod faults;
mod kill;
mod lines;
mod operations;
mod programs;
mod scenarios;
mod strangers;
mod support;
