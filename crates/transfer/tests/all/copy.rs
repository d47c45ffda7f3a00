//! The loop of the lease road.

use proptest::prelude::*;
use transfer::fault::{Call, Fault, Faults, Faulty};
use transfer::memory::{MemoryStreamSource, MemoryTarget, Survivors};
use transfer::{
    Cancel, Checkpoint, Copied, CopyOptions, Error, ErrorKind, Order, Result, StreamObserver, Target, copy_stream,
};

use crate::harness::content;

const LEN: usize = 10_000;
const PIECE: usize = 700;

/// An observer that keeps what it saw.
#[derive(Debug, Default)]
struct Record {
    bytes: Vec<u8>,
    checkpoints: Vec<Checkpoint>,
    covered: Vec<u64>,
}

impl StreamObserver for Record {
    fn bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert_eq!(offset, self.bytes.len() as u64, "bytes come without gaps");
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn committed(&mut self, covered_bytes: u64, checkpoint: Checkpoint) -> Result<()> {
        self.covered.push(covered_bytes);
        self.checkpoints.push(checkpoint);
        Ok(())
    }
}

fn every(bytes: u64) -> CopyOptions {
    CopyOptions { commit_every_bytes: Some(bytes) }
}

proptest! {
    #[test]
    fn whatever_the_pieces_and_the_cadence_the_sink_gets_the_stream(
        content in proptest::collection::vec(any::<u8>(), 0..5000),
        piece in 1..2000_usize,
        cadence in proptest::option::of(0..3000_u64),
        ascending in any::<bool>(),
    ) {
        let target = if ascending { MemoryTarget::ascending() } else { MemoryTarget::any(content.len()) };
        let sink = target.create().unwrap();
        let mut record = Record::default();
        let mut source = MemoryStreamSource::new(content.clone(), piece);
        let options = CopyOptions { commit_every_bytes: cadence };
        let copied = copy_stream(&mut source, &*sink, &options, &Cancel::new(), &mut record).unwrap();
        sink.finish().unwrap();
        prop_assert_eq!(copied.len_bytes, content.len() as u64);
        prop_assert_eq!(copied.commits, record.checkpoints.len() as u64);
        prop_assert_eq!(target.contents(), content.clone());
        prop_assert_eq!(record.bytes, content);
    }
}

#[test]
fn commits_come_at_the_cadence_and_cover_what_they_say() {
    let target = MemoryTarget::ascending();
    let sink = target.create().unwrap();
    let mut record = Record::default();
    let mut source = MemoryStreamSource::new(content(LEN), PIECE);
    let copied = copy_stream(&mut source, &*sink, &every(2000), &Cancel::new(), &mut record).unwrap();
    assert_eq!(copied, Copied { len_bytes: 10_000, commits: 4 });
    assert_eq!(record.covered, [2100, 4200, 6300, 8400]);
    target.crash(Survivors::Nothing);
    let sink = target.reopen(&record.checkpoints[..3]).unwrap();
    assert_eq!(sink.order(), Order::Ascending { next: 6300 });
    assert_eq!(target.contents(), content(LEN)[..6300]);
}

#[test]
fn without_a_cadence_nothing_is_committed() {
    let faults = Faults::none();
    let sink = Faulty::new(MemoryTarget::ascending().create().unwrap(), faults.clone());
    let options = CopyOptions { commit_every_bytes: None };
    copy_stream(&mut MemoryStreamSource::new(content(LEN), PIECE), &sink, &options, &Cancel::new(), &mut ()).unwrap();
    assert_eq!((faults.calls(Call::WriteAt), faults.calls(Call::Commit)), (15, 0));
}

#[test]
fn a_request_to_stop_is_noticed_before_the_next_write() {
    let cancel = Cancel::new();
    let target = MemoryTarget::ascending();
    let sink = target.create().unwrap();
    let mut stop_at_3000 = |offset: u64, _: &[u8]| {
        if offset >= 3000 {
            cancel.cancel();
        }
        Ok(())
    };
    let mut source = MemoryStreamSource::new(content(LEN), 1000);
    let error = copy_stream(&mut source, &*sink, &every(1 << 20), &cancel, &mut stop_at_3000).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Cancelled, false));
    assert_eq!(target.contents(), content(LEN)[..4000], "the piece that was seen is written, no other");
}

#[test]
fn bytes_that_the_observer_refuses_are_not_written() {
    let target = MemoryTarget::ascending();
    let sink = target.create().unwrap();
    let mut refuse = |offset: u64, _: &[u8]| match offset {
        2100.. => Err(Error::new(ErrorKind::Corrupt, "follow the markers")),
        _ => Ok(()),
    };
    let mut source = MemoryStreamSource::new(content(LEN), PIECE);
    let error = copy_stream(&mut source, &*sink, &CopyOptions::default(), &Cancel::new(), &mut refuse).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Corrupt, true));
    assert_eq!(target.contents().len(), 2100);
}

#[test]
fn a_sink_that_holds_something_is_not_written_over() {
    let sink = MemoryTarget::ascending().create().unwrap();
    sink.write_at(0, b"something").unwrap();
    let mut source = MemoryStreamSource::new(content(LEN), PIECE);
    let error = copy_stream(&mut source, &*sink, &CopyOptions::default(), &Cancel::new(), &mut ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Order);
}

#[test]
fn a_broken_stream_is_copied_right_after_a_restart_into_a_new_sink() {
    let target = MemoryTarget::ascending();
    let faults = Faults::none().at_byte(Call::NextBytes, 5000, Fault::Reset);
    let mut source = Faulty::new(MemoryStreamSource::new(content(LEN), PIECE), faults);
    let first = target.create().unwrap();
    let error = copy_stream(&mut source, &*first, &every(2000), &Cancel::new(), &mut ()).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(target.contents(), content(LEN)[..5000]);
    drop(first);

    transfer::StreamSource::restart(&mut source).unwrap();
    let second = target.create().unwrap();
    copy_stream(&mut source, &*second, &every(2000), &Cancel::new(), &mut ()).unwrap();
    second.finish().unwrap();
    assert_eq!(target.contents(), content(LEN));
}

#[test]
fn a_failure_of_the_sink_ends_the_copy_and_is_not_retryable() {
    for (call, fault, kind) in [
        (Call::WriteAt, Fault::Short, ErrorKind::Full),
        (Call::WriteAt, Fault::Reset, ErrorKind::Sink),
        (Call::Commit, Fault::Reset, ErrorKind::Sink),
    ] {
        let faults = Faults::none().at_call(call, 2, fault);
        let sink = Faulty::new(MemoryTarget::ascending().create().unwrap(), faults.clone());
        let mut source = MemoryStreamSource::new(content(LEN), PIECE);
        let error = copy_stream(&mut source, &sink, &every(2000), &Cancel::new(), &mut ()).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{call:?} {fault:?}");
        assert_eq!(faults.calls(call), 2, "nothing is tried again");
    }
}
