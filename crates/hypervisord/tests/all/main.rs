//! The daemon, private or not, as `hyperctl` meets it: first in this process over a twin of the engine, then
//! as the real program.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

mod compat;
mod daemon;
mod guard;
mod jobs;
mod kill;
mod life;
mod openapi;
mod process;
mod rights;
mod routes;
mod service;
mod store;
mod tls;
mod twin;
mod units;
mod websocket;
mod whole;
