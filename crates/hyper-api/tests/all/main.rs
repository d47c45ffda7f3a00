//! The wire as others see it: samples that stay readable, and the client against a small server.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

mod client;
mod samples;
