//! The rules of one call: order, bounds, empty writes, foreign checkpoints.

use super::life::Life;
use super::script::Step;
use super::{SinkHarness, script};
use crate::conformance::violation::{Checked, Rule, Violation, ensure, valid};
use crate::seeded::Seeded;
use crate::{Checkpoint, ErrorKind, Order, Sink};

/// Length of the content of these runs, where the target does not fix it.
const CONTENT_BYTES: usize = 1500;

pub(super) fn check(harness: &mut dyn SinkHarness, seed: u64) -> Checked {
    let mut seeded = Seeded::new(seed);
    let content = script::content(&mut seeded, harness.capacity_bytes().unwrap_or(CONTENT_BYTES));
    refusals_have_no_effect(harness, &content)?;
    if harness.capacity_bytes().is_none() {
        nothing_at_all_can_be_finished(harness)?;
    }
    foreign_checkpoints_are_refused(harness, &content, &mut seeded)
}

/// Makes every call that must be refused, in the middle of a run that must not notice.
fn refusals_have_no_effect(harness: &mut dyn SinkHarness, content: &[u8]) -> Checked {
    let capacity = harness.capacity_bytes();
    let mut life = Life::create(harness, content)?;
    let half = content.len() / 2;
    life.apply(&Step::Write { start: 0, bytes: content[..half].to_vec() }, false)?;
    refuse_wrong_order(life.sink(), half as u64)?;
    if let Some(capacity) = capacity {
        refuse_outside(life.sink(), capacity as u64)?;
    }
    empty_writes(life.sink())?;
    life.check_known(Rule::ReadBack)?;
    life.apply(&Step::Write { start: half, bytes: content[half..].to_vec() }, false)?;
    empty_writes(life.sink())?;
    life.finish()
}

fn refuse_wrong_order(sink: &dyn Sink, next: u64) -> Checked {
    let Order::Ascending { .. } = sink.order() else {
        return Ok(());
    };
    for offset in [0, next - 1, next + 1, next + 5000, u64::MAX] {
        refused(sink.write_at(offset, &[1, 2, 3]), Rule::Order, ErrorKind::Order, offset)?;
        refused(sink.write_zeroes(offset, 3), Rule::Order, ErrorKind::Order, offset)?;
    }
    let order = sink.order();
    ensure(order == Order::Ascending { next }, Rule::Order, || format!("a refused write left {order:?}, not {next}"))
}

fn refuse_outside(sink: &dyn Sink, capacity: u64) -> Checked {
    // An ascending sink can be asked for the right offset only, with too many bytes from there.
    let (offsets, len) = match sink.order() {
        Order::Any => (vec![capacity - 1, capacity, u64::MAX], 2),
        Order::Ascending { next } => (vec![next], capacity - next + 1),
    };
    for offset in offsets {
        let bytes = vec![1; usize::try_from(len).expect("a length in memory is a usize")];
        refused(sink.write_at(offset, &bytes), Rule::Bounds, ErrorKind::Bounds, offset)?;
        refused(sink.write_zeroes(offset, len), Rule::Bounds, ErrorKind::Bounds, offset)?;
    }
    Ok(())
}

fn refused(outcome: crate::Result<()>, rule: Rule, kind: ErrorKind, offset: u64) -> Checked {
    match outcome {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(Violation::by(rule, format!("a write at {offset} failed in another way"), error)),
        Ok(()) => Err(Violation::new(rule, format!("a write at {offset} succeeded"))),
    }
}

fn empty_writes(sink: &dyn Sink) -> Checked {
    let before = sink.order();
    for offset in [0, 7, u64::MAX] {
        for outcome in [sink.write_at(offset, &[]), sink.write_zeroes(offset, 0)] {
            outcome.map_err(|error| Violation::by(Rule::EmptyWrite, format!("at {offset}"), error))?;
        }
    }
    ensure(sink.order() == before, Rule::EmptyWrite, || format!("{before:?} became {:?}", sink.order()))
}

fn nothing_at_all_can_be_finished(harness: &mut dyn SinkHarness) -> Checked {
    let mut life = Life::create(harness, &[])?;
    life.apply(&Step::Commit, false)?;
    life.finish()
}

/// Offers a checkpoint of something else after a crash; the run goes on as if nobody had.
fn foreign_checkpoints_are_refused(harness: &mut dyn SinkHarness, content: &[u8], seeded: &mut Seeded) -> Checked {
    let half = content.len() / 2;
    let foreign = valid(Checkpoint::new(&b"not a checkpoint of anything"[..]), || "a checkpoint".to_owned())?;
    let mut life = Life::create(harness, content)?;
    life.apply(&Step::Write { start: 0, bytes: content[..half].to_vec() }, false)?;
    life.apply(&Step::Commit, false)?;
    let checkpoints = life.crash(1, seeded.next_u64())?;
    life.refuse_foreign(&foreign)?;
    life.reopen(&checkpoints, Rule::ForeignCheckpoint)?;
    for step in life.rest(seeded, 4) {
        life.apply(&step, false)?;
    }
    life.finish()
}
