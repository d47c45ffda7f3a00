//! Faults happen as planned, and the wrapper keeps to the contract after them.

use transfer::fault::{Call, Fault, Faults, Faulty};
use transfer::memory::{MemoryRangeSource, MemoryStreamSource, MemoryTarget, Survivors};
use transfer::{ErrorKind, RangeSource, Sink, StreamSource, Target};

const CONTENT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn range_source(faults: Faults) -> Faulty<MemoryRangeSource> {
    Faulty::new(MemoryRangeSource::new(CONTENT.to_vec()), faults)
}

fn stream(faults: Faults) -> Faulty<MemoryStreamSource> {
    Faulty::new(MemoryStreamSource::new(CONTENT.to_vec(), 3), faults)
}

/// Reads to the end or to the first error.
fn read_all(source: &mut dyn StreamSource) -> (Vec<u8>, Option<ErrorKind>) {
    let mut found = Vec::new();
    loop {
        match source.next_bytes() {
            Ok(Some(bytes)) => found.extend_from_slice(&bytes),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error.kind())),
        }
    }
}

#[test]
fn a_read_fails_at_its_number_once_and_works_again() {
    let faults = Faults::none().at_call(Call::ReadRange, 2, Fault::Fail(ErrorKind::Source));
    let source = range_source(faults.clone());
    let kinds: Vec<_> = (0..3).map(|_| source.read_range(0, &mut [0; 4]).err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Source), None]);
    assert_eq!((faults.calls(Call::ReadRange), faults.fired()), (3, 1));
}

#[test]
fn a_source_that_is_gone_stays_gone() {
    let source = range_source(Faults::none().from_call(Call::ReadRange, 2, Fault::Fail(ErrorKind::SourceGone)));
    let failed: Vec<_> = (0..4).map(|_| source.read_range(0, &mut [0; 4]).is_err()).collect();
    assert_eq!(failed, [false, true, true, true]);
}

#[test]
fn a_read_that_touches_the_byte_is_short_reset_or_corrupt() {
    for (fault, kind, left) in [
        (Fault::Short, Some(ErrorKind::Short), [3, 4, 0, 0]),
        (Fault::Reset, Some(ErrorKind::Source), [3, 4, 0, 0]),
        (Fault::Corrupt, None, [3, 4, 4, 6]),
    ] {
        let source = range_source(Faults::none().at_byte(Call::ReadRange, 4, fault));
        source.read_range(0, &mut [0; 4]).unwrap();
        let mut buf = [0; 4];
        let error = source.read_range(2, &mut buf).err();
        assert_eq!((error.map(|error| error.kind()), buf), (kind, left), "{fault:?}");
    }
}

#[test]
fn a_map_that_cannot_be_had_is_an_error_of_the_source() {
    let source = range_source(Faults::none().at_call(Call::Extents, 1, Fault::Reset));
    assert_eq!(source.extents(0..8).unwrap_err().kind(), ErrorKind::Source);
    assert_eq!(source.extents(0..8).unwrap().len(), 1);
}

#[test]
fn a_stream_hands_out_what_came_before_a_reset_and_is_broken_until_restarted() {
    let mut source = stream(Faults::none().at_byte(Call::NextBytes, 4, Fault::Reset));
    assert_eq!(read_all(&mut source), (CONTENT[..4].to_vec(), Some(ErrorKind::Source)));
    assert_eq!(read_all(&mut source), (vec![], Some(ErrorKind::Source)), "it does not skip bytes");
    source.restart().unwrap();
    assert_eq!(read_all(&mut source), (CONTENT.to_vec(), None));
}

#[test]
fn a_stream_may_claim_its_end_early_and_says_so_again() {
    let mut source = stream(Faults::none().at_byte(Call::NextBytes, 7, Fault::Short));
    assert_eq!(read_all(&mut source), (CONTENT[..7].to_vec(), None));
    assert_eq!(read_all(&mut source), (vec![], None));
}

#[test]
fn a_stream_may_carry_one_wrong_byte() {
    let mut source = stream(Faults::none().at_byte(Call::NextBytes, 7, Fault::Corrupt));
    assert_eq!(read_all(&mut source), ([1, 2, 3, 4, 5, 6, 7, 9].to_vec(), None));
}

#[test]
fn a_restart_that_fails_leaves_the_stream_broken() {
    let mut source = stream(Faults::none().at_call(Call::Restart, 1, Fault::Fail(ErrorKind::Source)));
    assert_eq!(source.restart().unwrap_err().kind(), ErrorKind::Source);
    assert_eq!(read_all(&mut source), (vec![], Some(ErrorKind::Source)));
    source.restart().unwrap();
    assert_eq!(read_all(&mut source), (CONTENT.to_vec(), None));
}

#[test]
fn a_sink_is_lost_after_a_fault_but_its_checkpoints_are_not() {
    let disk = MemoryTarget::any(8);
    let faults = Faults::none().at_byte(Call::WriteAt, 6, Fault::Short);
    let target = Faulty::new(disk.clone(), faults);
    let sink = target.create().unwrap();
    sink.write_at(0, &CONTENT[..4]).unwrap();
    let checkpoint = sink.commit().unwrap();
    assert_eq!(sink.write_at(4, &CONTENT[4..]).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(disk.contents()[..6], CONTENT[..6], "a part of the write went through");
    assert_eq!(sink.write_at(0, &[0]).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(sink.commit().unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(sink.finish().unwrap_err().kind(), ErrorKind::Full);

    disk.crash(Survivors::Nothing);
    let sink = target.reopen(&[checkpoint]).unwrap();
    sink.write_at(4, &CONTENT[4..]).unwrap();
    sink.finish().unwrap();
    assert_eq!(disk.contents(), CONTENT);
}

#[test]
fn a_callers_mistake_does_not_cost_the_sink() {
    let sink = Faulty::new(MemoryTarget::any(8).create().unwrap(), Faults::none());
    assert_eq!(sink.write_at(7, &[1, 2]).unwrap_err().kind(), ErrorKind::Bounds);
    sink.write_at(0, &CONTENT).unwrap();
    Box::new(sink).finish().unwrap();
}

#[test]
fn a_commit_whose_answer_is_lost_was_made_and_need_not_be_known() {
    let disk = MemoryTarget::ascending();
    let faults = Faults::none().at_call(Call::Commit, 2, Fault::Reset);
    let target = Faulty::new(disk.clone(), faults);
    let sink = target.create().unwrap();
    sink.write_at(0, &CONTENT[..3]).unwrap();
    let first = sink.commit().unwrap();
    sink.write_at(3, &CONTENT[3..]).unwrap();
    sink.commit().unwrap_err();
    disk.crash(Survivors::Nothing);
    assert_eq!(disk.contents(), CONTENT, "it was made");
    let sink = target.reopen(&[first]).unwrap();
    assert_eq!(sink.order(), transfer::Order::Ascending { next: 3 });
}

#[test]
fn wrong_bytes_reach_the_target_silently() {
    let disk = MemoryTarget::any(8);
    let faults = Faults::none().at_byte(Call::WriteAt, 1, Fault::Corrupt).at_byte(Call::WriteZeroes, 5, Fault::Corrupt);
    let sink = Faulty::new(disk.create().unwrap(), faults);
    sink.write_at(0, &CONTENT[..4]).unwrap();
    sink.write_zeroes(4, 4).unwrap();
    assert_eq!(disk.contents(), [1, 3, 3, 4, 0, 1, 0, 0]);
}

#[test]
fn reading_back_may_fail_or_be_wrong() {
    let faults = Faults::none().at_call(Call::ReadAt, 1, Fault::Corrupt).at_call(Call::ReadAt, 2, Fault::Short);
    let sink = Faulty::new(MemoryTarget::any(8).create().unwrap(), faults);
    sink.write_at(0, &CONTENT).unwrap();
    let mut buf = [0; 8];
    sink.read_at(0, &mut buf).unwrap();
    assert_eq!(buf, [1, 2, 3, 4, 4, 6, 7, 8], "the byte in the middle is wrong");
    assert_eq!(sink.read_at(0, &mut buf).unwrap_err().kind(), ErrorKind::Short);
}

#[test]
fn a_target_that_cannot_be_made_says_so_and_can_be_tried_again() {
    let faults =
        Faults::none().at_call(Call::Create, 1, Fault::Fail(ErrorKind::Full)).at_call(Call::Reopen, 1, Fault::Reset);
    let target = Faulty::new(MemoryTarget::any(8), faults);
    assert_eq!(target.create().err().map(|error| error.kind()), Some(ErrorKind::Full));
    assert_eq!(target.reopen(&[]).err().map(|error| error.kind()), Some(ErrorKind::Sink));
    assert!(target.create().is_ok() && target.reopen(&[]).is_ok());
}
