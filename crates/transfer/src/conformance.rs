//! Suites that show whether an implementor keeps to the contract of its seam.
//!
//! For the tests of implementors: `transfer::conformance::sink(&mut harness, &options)` and
//! unwrap. A suite returns the first [`Violation`], which names the broken [`Rule`], the place and
//! the seed; with the same seed it makes the same calls. That the suites can fail is itself tested:
//! for each rule `tests/all/` holds a twin that breaks it.
//!
//! What they do not test: speed, and what happens when the system below fails. A suite cannot
//! break somebody else's disk; implementors do that with their own fault injection.

mod range_source;
mod sink;
mod stream_source;
mod violation;

pub use range_source::range_source;
pub use sink::{SinkHarness, SinkOptions, sink};
pub use stream_source::stream_source;
pub use violation::{Rule, Violation};
