//! The export daemon: takes jobs over HTTP, runs them, says how far they are.
//!
//! ```text
//!  main ─► args ─► private ──┬─► http      routes of /api/v1, thin
//!                            ├─► compat    what the routes of older programs read and write
//!                            ├─► jobs      who owns each job's state; runs them; folds their progress
//!                            ├─► engine    what runs a job: `migrate`, or a twin under test
//!                            ├─► caller    who asks, and what they may do
//!                            └─► problems  the one table from errors to HTTP
//! ```
//!
//! Built so far is the **private child** only: `hyperctl` starts it on a Unix socket, it keeps its
//! jobs in memory and ends with whoever started it. The durable store, TCP, tokens and the
//! compatibility routes come with the daemon mode.
//!
//! What it does not do: nothing about vSphere or disks (that is `migrate`), nothing for a terminal.

pub mod accounts;
pub mod args;
pub mod caller;
pub mod compat;
pub mod config;
pub mod engine;
pub mod http;
pub mod jobs;
pub mod logging;
pub mod private;
mod private_file;
pub mod problems;
pub mod tokens;
