//! A sink and its model, through all the lives of one run.

use super::SinkHarness;
use super::model::{Known, Model};
use super::script::{self, Step};
use crate::conformance::violation::{Checked, Rule, Violation, ensure, ensure_equal, valid};
use crate::seeded::Seeded;
use crate::{Checkpoint, ErrorKind, Order, Sink};

/// One run: from `create` over crashes to the compared content.
pub(super) struct Life<'a> {
    harness: &'a mut dyn SinkHarness,
    /// `None` once finished.
    sink: Option<Box<dyn Sink>>,
    content: &'a [u8],
    model: Model,
    /// What the last reopen had to find, less what was written since.
    kept: Known,
    ascending: bool,
    /// How far writes came that ran beside the last commit, which may cover them or not.
    beside_end: usize,
}

impl<'a> Life<'a> {
    pub(super) fn create(harness: &'a mut dyn SinkHarness, content: &'a [u8]) -> Checked<Self> {
        let sink = valid(harness.target().create(), || "create".to_owned())?;
        let ascending = match sink.order() {
            Order::Any => false,
            Order::Ascending { next } => {
                ensure(next == 0, Rule::CreateStartsAnew, || format!("a new sink's next offset is {next}"))?;
                true
            }
        };
        let nothing = Known::nothing(content.len());
        Ok(Self {
            harness,
            sink: Some(sink),
            content,
            model: Model::new(content.len()),
            kept: nothing,
            ascending,
            beside_end: 0,
        })
    }

    pub(super) fn sink(&self) -> &dyn Sink {
        self.sink.as_deref().expect("a finished sink is not used")
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the sink, for other threads, beside the model of this one.
    pub(super) fn sink_and_model(&mut self) -> (&dyn Sink, &mut Model) {
        (self.sink.as_deref().expect("a finished sink is not used"), &mut self.model)
    }

    /// Returns true when the sink takes ascending writes only.
    pub(super) fn is_ascending(&self) -> bool {
        self.ascending
    }

    /// Notes that writes up to `end` may have run beside the last commit.
    pub(super) fn wrote_beside(&mut self, end: usize) {
        self.beside_end = end;
    }

    /// Makes a call and notes it; with `read_back` reads what it wrote.
    pub(super) fn apply(&mut self, step: &Step, read_back: bool) -> Checked {
        let range = script::span(step);
        let place = range.start as u64;
        let bytes = match step {
            Step::Commit => {
                let checkpoint = valid(self.sink().commit(), || "commit".to_owned())?;
                self.model.committed(checkpoint);
                return Ok(());
            }
            Step::Write { bytes, .. } => {
                valid(self.sink().write_at(place, bytes), || format!("write of {range:?}"))?;
                bytes.clone()
            }
            Step::Zeroes { .. } => {
                let len = range.len() as u64;
                valid(self.sink().write_zeroes(place, len), || format!("zeros of {range:?}"))?;
                vec![0; range.len()]
            }
        };
        self.model.wrote(range.start, &bytes);
        if let Order::Ascending { next } = self.sink().order() {
            ensure(next == range.end as u64, Rule::NextMoves, || format!("it is {next} after {range:?}"))?;
        }
        if read_back { self.check_known(Rule::ReadBack) } else { Ok(()) }
    }

    /// Returns random calls that write what is missing.
    pub(super) fn rest(&self, seeded: &mut Seeded, writes_max: usize) -> Vec<Step> {
        let missing = self.model.now.missing(self.content);
        let make = if self.ascending { script::ascending } else { script::any };
        make(seeded, self.content, &missing, writes_max)
    }

    /// Crashes and returns the `kept` checkpoints that the caller still has.
    pub(super) fn crash(&mut self, kept: usize, seed: u64) -> Checked<Vec<Checkpoint>> {
        let sink = self.sink.take();
        valid(self.harness.crash(sink, seed), || "the harness could not crash the sink".to_owned())?;
        Ok(self.model.crashed(kept))
    }

    /// Reopens after a crash and checks what has to be there; `rule` is broken when it cannot be.
    pub(super) fn reopen(&mut self, checkpoints: &[Checkpoint], rule: Rule) -> Checked {
        let reopened = self.harness.target().reopen(checkpoints);
        let what = || format!("reopen with {} checkpoints", checkpoints.len());
        let sink = reopened.map_err(|error| Violation::by(rule, what(), error))?;
        self.resume_at(sink.order())?;
        self.sink = Some(sink);
        self.kept = self.model.now.clone();
        self.check_known(Rule::Durability)
    }

    /// Checks that a reopened sink has this order and place.
    fn resume_at(&mut self, order: Order) -> Checked {
        let covered = self.model.now.leading();
        let covered_or_beside = covered..=covered.max(self.beside_end);
        let right = match order {
            Order::Any => !self.ascending,
            Order::Ascending { next } => {
                let next = usize::try_from(next).unwrap_or(usize::MAX);
                let right = self.ascending && covered_or_beside.contains(&next);
                if right {
                    self.model.now.write(0, &self.content[..next]);
                }
                right
            }
        };
        let wanted = if self.ascending { format!("one at {covered_or_beside:?}") } else { "any".to_owned() };
        ensure(right, Rule::ResumePlace, || format!("the order is {order:?} and should be {wanted}"))
    }

    /// Checks that `foreign`, a checkpoint that no sink returned, is refused.
    pub(super) fn refuse_foreign(&self, foreign: &Checkpoint) -> Checked {
        match self.harness.target().reopen(std::slice::from_ref(foreign)) {
            Err(error) if error.kind() == ErrorKind::Checkpoint => Ok(()),
            Err(error) => Err(Violation::by(Rule::ForeignCheckpoint, "it was refused in another way", error)),
            Ok(_) => Err(Violation::new(Rule::ForeignCheckpoint, "it was taken")),
        }
    }

    /// Reads all that is known, through the sink; a sink that cannot read is checked at the end.
    pub(super) fn check_known(&self, rule: Rule) -> Checked {
        for (start, expected) in self.model.now.pieces() {
            let mut found = vec![0x5a; expected.len()];
            match self.sink().read_at(start as u64, &mut found) {
                Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
                Err(error) => {
                    let what = format!("read back of {} bytes at {start}", expected.len());
                    return Err(Violation::by(rule, what, error));
                }
                Ok(()) => ensure_equal(&found, expected, rule, start)?,
            }
        }
        Ok(())
    }

    /// Finishes the sink and compares the target with the content.
    pub(super) fn finish(&mut self) -> Checked {
        let sink = self.sink.take().expect("a run is finished once per life");
        valid(sink.finish(), || "finish".to_owned())?;
        let found = valid(self.harness.read_back(), || "the harness could not read the finished target".to_owned())?;
        if found == self.content {
            return Ok(());
        }
        let differs = found.iter().zip(self.content).position(|(found, expected)| found != expected);
        // What the last reopen had to keep was not written since: its loss is the crash's.
        let lost = self.kept.is_known(differs.unwrap_or(found.len()));
        ensure_equal(&found, self.content, if lost { Rule::Durability } else { Rule::Content }, 0)
    }
}
