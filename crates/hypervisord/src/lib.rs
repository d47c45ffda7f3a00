//! The export daemon: takes jobs over HTTP, runs them, says how far they are.
//!
//! ```text
//!  main ─► args ─┬─► private ────────────────────┬─► http      routes of /api/v1, thin
//!                └─► config ─► serve ─► listen   ├─► compat    what the routes of older programs read and write
//!                                  └──► guard ───┤─► jobs      who owns each job's state; runs them; folds progress
//!                                        tokens  ├─► engine    what runs a job: `migrate`, or a twin under test
//!                                                ├─► inspection  what was found in an image, as the wire has it
//!                                                ├─► caller    who asks, and what they may do
//!                                                └─► problems  the one table from errors to HTTP
//! ```
//!
//! Two modes serve the same routes. The **private child** is started by `hyperctl` on a Unix socket of its
//! own and ends with it. The **daemon** serves a machine: doors (socket, TCP, TLS), a guard before every
//! route, settings that can be read again while it runs.
//!
//! What it does not do: nothing about vSphere or disks (that is `migrate`), nothing for a terminal.

pub mod accounts;
pub mod args;
pub mod caller;
pub mod clock;
pub mod compat;
pub mod config;
pub mod engine;
pub mod exports;
mod guard;
pub mod http;
pub mod inspection;
pub mod jobs;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod private;
mod private_file;
pub mod problems;
pub mod seal;
pub mod serve;
mod service;
pub mod store;
mod tls;
pub mod tokens;
pub mod workers;
