//! The seams' twins keep to their contracts, and the suites notice twins that do not.

mod copy;
mod faults;
mod harness;
mod journal;
mod range_sources;
mod sinks;
mod streams;
