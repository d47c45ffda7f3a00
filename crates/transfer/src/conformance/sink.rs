//! The suite of [`Sink`] and [`Target`].
//!
//! ```text
//!  for each seed:  script = random writes, zeros and commits that end in a random content
//!    whole run            write all of it, reading back after every call
//!    for each call i      write up to i · crash · reopen · check what the checkpoints cover
//!                         · write the rest (crashing once more) · finish · compare
//!  once per seed:  rules of one call (order, bounds, empty writes, foreign checkpoints),
//!                  and writers beside commits
//! ```
//!
//! The model ([`model`]) is a byte vector with one mark per byte: known or not. It never asks for
//! more than the contract promises, so whatever differs from it is a fault of the sink.

mod beside;
mod calls;
mod crash;
mod life;
mod model;
mod script;

use std::ops::Range;

use super::violation::Violation;
use crate::{Sink, Target};

/// What the suite needs to know of a target that its trait does not tell.
pub trait SinkHarness {
    /// Returns the target under test. All runs use this one, each begins with `create`.
    fn target(&self) -> &dyn Target;

    /// Returns the length of the content where it is fixed; `None` when it is what was written.
    ///
    /// At least 16. The suite covers all of a fixed length in every run, so some ten KiB are enough
    /// where the sink has no larger unit.
    fn capacity_bytes(&self) -> Option<usize>;

    /// Ends the life of `sink` (or of one that is finished, with `None`) as a crash would.
    ///
    /// It must not tidy up, and should spoil what is not durable as far as it can: cut the file,
    /// write garbage behind what is committed. `seed` repeats the choice.
    ///
    /// # Errors
    /// Any; the suite ends with it.
    fn crash(&mut self, sink: Option<Box<dyn Sink>>, seed: u64) -> crate::Result<()>;

    /// Returns the whole content of the finished target, read by other means than the sink's own.
    ///
    /// # Errors
    /// Any; the suite ends with it.
    fn read_back(&mut self) -> crate::Result<Vec<u8>>;
}

/// How much the suite does.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// The seeds to run; each is a script of its own.
    pub seeds: Range<u64>,
    /// The longest content, where the target does not fix it.
    pub content_bytes_max: usize,
    /// The most writes that one content is cut into; the number of crashes per script grows with
    /// it, and the work with its square.
    pub writes_max: usize,
}

impl Default for SinkOptions {
    /// Four scripts of about 24 writes in up to 40,000 bytes: a few hundred crashes and a few
    /// thousand commits, so a target that syncs a real disk may want fewer seeds.
    fn default() -> Self {
        Self { seeds: 0..4, content_bytes_max: 40_000, writes_max: 24 }
    }
}

/// Checks that a target and its sinks keep to the contract of [`crate::sink`].
///
/// # Errors
/// The first broken rule, with the seed.
pub fn sink(harness: &mut dyn SinkHarness, options: &SinkOptions) -> Result<(), Violation> {
    for seed in options.seeds.clone() {
        let run = |name: &str| format!("seed {seed}, {name}");
        crash::check(harness, options, seed).map_err(|violation| violation.in_run(&run("crashes")))?;
        calls::check(harness, seed).map_err(|violation| violation.in_run(&run("single calls")))?;
        beside::check(harness, seed).map_err(|violation| violation.in_run(&run("writes beside commits")))?;
    }
    Ok(())
}
