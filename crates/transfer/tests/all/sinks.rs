//! Sinks: the twin passes its suite, broken ones do not.

mod mutant;

use transfer::conformance::{Rule, SinkOptions, sink};
use transfer::fault::{Faults, Faulty};
use transfer::memory::MemoryTarget;

use crate::harness::MemoryHarness;
use mutant::{Bug, Mutant};

const CAPACITY: usize = 9_999;

fn small() -> SinkOptions {
    SinkOptions { seeds: 0..6, content_bytes_max: 12_000, writes_max: 12 }
}

#[test]
fn the_twins_in_memory_keep_to_the_contract() {
    for disk in [MemoryTarget::any(CAPACITY), MemoryTarget::ascending()] {
        sink(&mut MemoryHarness { target: disk.clone(), disk }, &small()).unwrap();
    }
}

#[test]
fn the_default_options_find_room_in_a_sink_of_either_order() {
    for disk in [MemoryTarget::any(40_000), MemoryTarget::ascending()] {
        sink(&mut MemoryHarness { target: disk.clone(), disk }, &SinkOptions::default()).unwrap();
    }
}

#[test]
fn a_wrapper_without_faults_changes_nothing() {
    for disk in [MemoryTarget::any(CAPACITY), MemoryTarget::ascending()] {
        let faults = Faults::none();
        let target = Faulty::new(disk.clone(), faults.clone());
        sink(&mut MemoryHarness { target, disk }, &small()).unwrap();
        assert_eq!(faults.fired(), 0);
    }
}

#[test]
fn a_sink_that_cannot_read_back_is_checked_all_the_same() {
    let disk = MemoryTarget::any(CAPACITY);
    let target = Mutant::new(disk.clone(), Bug::CannotRead);
    sink(&mut MemoryHarness { target, disk }, &small()).unwrap();
}

fn broken_rule(disk: MemoryTarget, bug: Bug) -> Rule {
    let target = Mutant::new(disk.clone(), bug);
    let violation = sink(&mut MemoryHarness { target, disk }, &small())
        .err()
        .unwrap_or_else(|| panic!("the suite does not notice {bug:?}"));
    violation.rule()
}

#[test]
fn every_rule_catches_a_sink_of_any_order_that_breaks_it() {
    let cases = [
        (Bug::CommitSavesNothing, Rule::Durability),
        (Bug::CommitSavesNothingAndCannotRead, Rule::Durability),
        (Bug::CommitFailsWithoutNews, Rule::ValidCallSucceeds),
        (Bug::ZeroesDoNothing, Rule::ReadBack),
        (Bug::FirstWriteWins, Rule::ReadBack),
        (Bug::ReadsBackWrong, Rule::ReadBack),
        (Bug::TakesWritesOutside, Rule::Bounds),
        (Bug::RefusesEmptyWrites, Rule::EmptyWrite),
        (Bug::FinishSpoilsAByte, Rule::Content),
        (Bug::ForgetsItsOrder, Rule::ResumePlace),
        (Bug::NeedsAllCheckpoints, Rule::ReopenPrefix),
        (Bug::ReopensOnce, Rule::ReopenAgain),
        (Bug::NoReopenAfterFinish, Rule::ReopenFinished),
        (Bug::TakesForeignCheckpoints, Rule::ForeignCheckpoint),
        (Bug::ForeignCheckpointDestroys, Rule::Durability),
        (Bug::LosesWritesThatMeet, Rule::Concurrency),
    ];
    for (bug, rule) in cases {
        assert_eq!(broken_rule(MemoryTarget::any(CAPACITY), bug), rule, "{bug:?}");
    }
}

#[test]
fn every_rule_catches_an_ascending_sink_that_breaks_it() {
    let cases = [
        // What is covered is not even in the file: the twin refuses to reopen.
        (Bug::CommitSavesNothing, Rule::Durability),
        (Bug::ZeroesDoNothing, Rule::NextMoves),
        (Bug::TakesAnyOffset, Rule::Order),
        (Bug::RefusedWriteMoves, Rule::Order),
        (Bug::RefusesEmptyWrites, Rule::EmptyWrite),
        (Bug::ResumesOneByteLate, Rule::ResumePlace),
        (Bug::ForgetsItsOrder, Rule::ResumePlace),
        (Bug::CreateGoesOn, Rule::CreateStartsAnew),
        (Bug::NeedsAllCheckpoints, Rule::ReopenPrefix),
        (Bug::ReopensOnce, Rule::ReopenAgain),
        (Bug::NoReopenAfterFinish, Rule::ReopenFinished),
        (Bug::ForeignCheckpointDestroys, Rule::ForeignCheckpoint),
        (Bug::CommitCoversLateWrites, Rule::Concurrency),
    ];
    for (bug, rule) in cases {
        assert_eq!(broken_rule(MemoryTarget::ascending(), bug), rule, "{bug:?}");
    }
}
