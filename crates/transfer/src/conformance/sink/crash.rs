//! A crash after every call of a script.

use super::life::Life;
use super::script::Step;
use super::{SinkHarness, SinkOptions, script};
use crate::conformance::violation::{Checked, Rule};
use crate::seeded::Seeded;

/// Which checkpoints the caller still has after a crash.
#[derive(Clone, Copy, Debug)]
enum Caller {
    /// All that were returned.
    StoredAll,
    /// Fewer: the crash came before it stored the newest, or took its journal's unsynced end.
    LostSome,
}

pub(super) fn check(harness: &mut dyn SinkHarness, options: &SinkOptions, seed: u64) -> Checked {
    let mut seeded = Seeded::new(seed);
    let len = harness.capacity_bytes().unwrap_or_else(|| 1 + seeded.below(options.content_bytes_max));
    let content = script::content(&mut seeded, len);
    let steps = whole_run(harness, &content, &mut seeded, options.writes_max)?;
    for done in 0..=steps.len() {
        for caller in [Caller::StoredAll, Caller::LostSome] {
            let run = format!("crash after call {done} of {}, {caller:?}", steps.len());
            let mut seeded = Seeded::new(seeded.next_u64());
            crash_run(harness, &content, &steps[..done], caller, &mut seeded)
                .map_err(|violation| violation.in_run(&run))?;
        }
    }
    finished_run(harness, &content, &steps, &mut seeded)
}

/// Writes everything without a crash, reading back after every call; returns the calls.
fn whole_run(
    harness: &mut dyn SinkHarness,
    content: &[u8],
    seeded: &mut Seeded,
    writes_max: usize,
) -> Checked<Vec<Step>> {
    let mut life = Life::create(harness, content)?;
    let steps = life.rest(seeded, writes_max);
    for step in &steps {
        life.apply(step, true)?;
    }
    life.finish()?;
    Ok(steps)
}

/// Writes up to a crash, goes on over a second crash, and finishes.
fn crash_run(
    harness: &mut dyn SinkHarness,
    content: &[u8],
    steps: &[Step],
    caller: Caller,
    seeded: &mut Seeded,
) -> Checked {
    let mut life = Life::create(harness, content)?;
    for step in steps {
        life.apply(step, false)?;
    }
    crash(&mut life, caller, seeded)?;
    // Half of the runs crash again before anything was written: the reopen itself was cut off.
    if seeded.one_in(2) {
        let (stored, _) = life.model().stored_and_all();
        let checkpoints = life.crash(stored, seeded.next_u64())?;
        life.reopen(&checkpoints, Rule::ReopenAgain)?;
    }
    // After a crash the rest comes in few calls; the script has shown many before it.
    let rest = life.rest(seeded, 4);
    let second = seeded.below(rest.len() + 1);
    for step in &rest[..second] {
        life.apply(step, false)?;
    }
    crash(&mut life, caller, seeded)?;
    for step in life.rest(seeded, 4) {
        life.apply(&step, false)?;
    }
    life.finish()
}

fn crash(life: &mut Life<'_>, caller: Caller, seeded: &mut Seeded) -> Checked {
    let (stored, all) = life.model().stored_and_all();
    let kept = match caller {
        Caller::StoredAll => all,
        Caller::LostSome => stored + seeded.below(all - stored + 1),
    };
    let rule = if kept < all { Rule::ReopenPrefix } else { Rule::Durability };
    let checkpoints = life.crash(kept, seeded.next_u64())?;
    life.reopen(&checkpoints, rule)
}

/// Crashes after `finish` returned and before the caller could note it; finishes once more.
fn finished_run(harness: &mut dyn SinkHarness, content: &[u8], steps: &[Step], seeded: &mut Seeded) -> Checked {
    let mut life = Life::create(harness, content)?;
    for step in steps {
        life.apply(step, false)?;
    }
    life.finish()?;
    let (_, all) = life.model().stored_and_all();
    let checkpoints = life.crash(all, seeded.next_u64())?;
    life.reopen(&checkpoints, Rule::ReopenFinished)?;
    for step in life.rest(seeded, 4) {
        life.apply(&step, false)?;
    }
    life.finish()
}
