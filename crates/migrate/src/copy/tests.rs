use std::sync::atomic::{AtomicU64, Ordering};

use transfer::chunk::{ChunkValue, Chunks, DiskHasher};
use transfer::fault::{Call, Fault, Faults, Faulty};
use transfer::journal::{Header, MemoryStore, Source, inspect};
use transfer::memory::{MemoryRangeSource, MemoryTarget, Survivors};
use transfer::{Extent, Target};

use super::*;

const CHUNK: u64 = 16 << 10;

/// Nine chunks and a bit, the third to the sixth of them zeros; within the others zeros, too.
fn content() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..9 * CHUNK + 512).map(|at| u8::try_from(at % 251).unwrap()).collect();
    bytes[40_000..98_304].fill(0);
    bytes[130_000..131_072].fill(0);
    bytes
}

fn header(capacity_bytes: u64) -> Header {
    let source = Source {
        vm: String::new(),
        disk: "disk.raw".into(),
        uuid: String::new(),
        capacity_bytes,
        change_id: None,
        files: Vec::new(),
    };
    Header { source, road: "file".into(), format: "raw".into(), parameters: [].into(), chunk_bytes: CHUNK }
}

fn often(workers: usize) -> Options {
    Options { workers, commit_every_bytes: 20_000, commit_every: Duration::from_secs(3600) }
}

/// One life of a copy, from whatever `store` and `target` hold.
fn live(
    source: &dyn RangeSource,
    target: &dyn Target,
    store: &MemoryStore,
    options: &Options,
    stop: &dyn Fn(&Cancel) -> Box<dyn Observer>,
) -> Result<Copied> {
    let fresh = store.contents().is_empty();
    let (mut journal, progress, checkpoints) = if fresh {
        let header = header(source.len_bytes());
        let progress = Progress::new(header.chunks().unwrap());
        (Journal::create(store.clone(), &header).unwrap(), progress, Vec::new())
    } else {
        let (journal, recovered) = Journal::open(store.clone()).unwrap();
        (journal, recovered.progress, recovered.checkpoints)
    };
    let sink = if fresh { target.create()? } else { target.reopen(&checkpoints)? };
    let cancel = Cancel::new();
    let observer = stop(&cancel);
    let ends = Ends { source, sink: &*sink, cancel: &cancel };
    let copied = copy(&ends, &mut journal, &progress, options, &*observer)?;
    sink.finish()?;
    Ok(copied)
}

fn never(_: &Cancel) -> Box<dyn Observer> {
    Box::new(())
}

/// Cancels once so many bytes are settled.
struct StopAfter {
    cancel: Cancel,
    left: AtomicU64,
}

impl Observer for StopAfter {
    fn settled(&self, len_bytes: u64, _how: Settled) {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(len_bytes);
        self.left.store(left, Ordering::Relaxed);
        if left == 0 {
            self.cancel.cancel();
        }
    }
}

fn stop_after(bytes: u64) -> impl Fn(&Cancel) -> Box<dyn Observer> {
    move |cancel| Box::new(StopAfter { cancel: cancel.clone(), left: AtomicU64::new(bytes) })
}

fn digest(content: &[u8]) -> Option<[u8; 32]> {
    let mut hasher = DiskHasher::new(Chunks::new(content.len() as u64, CHUNK).unwrap());
    content.chunks(usize::try_from(CHUNK).unwrap()).for_each(|chunk| hasher.update(ChunkValue::of(chunk)));
    hasher.finish()
}

#[test]
fn everything_arrives_and_the_journal_says_so_with_and_without_a_map() {
    let content = content();
    for source in [MemoryRangeSource::new(content.clone()), MemoryRangeSource::without_map(content.clone())] {
        for workers in [1, 3] {
            let (target, store) = (MemoryTarget::any(content.len()), MemoryStore::default());
            let copied = live(&source, &target, &store, &often(workers), &never).unwrap();
            assert!(target.contents() == content);
            let progress = inspect(&store.contents()).unwrap().progress;
            assert_eq!((progress.missing(), progress.digest()), (Vec::new(), digest(&content)));
            assert!(copied.commits >= 2 && copied.kept_bytes == 0, "{copied:?}");
        }
    }
}

#[test]
fn an_ascending_sink_gets_everything_in_order_and_goes_on_where_it_was() {
    let content = content();
    let source = MemoryRangeSource::new(content.clone());
    let (target, store) = (MemoryTarget::ascending(), MemoryStore::default());
    let error = live(&source, &target, &store, &often(4), &stop_after(70_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    target.crash(Survivors::Nothing);
    store.crash(0);
    let copied = live(&source, &target, &store, &often(4), &never).unwrap();
    assert!(target.contents() == content);
    assert!(copied.kept_bytes > 0 && copied.read_bytes < content.len() as u64 - copied.kept_bytes, "{copied:?}");
}

#[test]
fn what_an_ascending_sink_took_beside_a_commit_is_compared_and_not_written_again() {
    let content = content();
    let source = MemoryRangeSource::new(content.clone());
    // The first part ends in data, the second goes into the chunks of zeros.
    for (stopped, beside) in [(20_000, 7_000), (30_000, 60_000)] {
        for right in [true, false] {
            let (target, store) = (MemoryTarget::ascending(), MemoryStore::default());
            live(&source, &target, &store, &often(1), &stop_after(stopped)).unwrap_err();
            let (mut journal, recovered) = Journal::open(store.clone()).unwrap();
            let sink = target.reopen(&recovered.checkpoints).unwrap();
            let Order::Ascending { next } = sink.order() else { panic!("an ascending sink") };
            let mut bytes = content[usize::try_from(next).unwrap()..][..beside].to_vec();
            *bytes.last_mut().unwrap() ^= u8::from(!right);
            sink.write_at(next, &bytes).unwrap();
            let checkpoint = sink.commit().unwrap();
            journal.append(&Commit { entries: Vec::new(), checkpoint }).unwrap();
            drop(sink);
            let outcome = live(&source, &target, &store, &often(1), &never);
            if right {
                assert!(outcome.unwrap().kept_bytes > 0);
                assert!(target.contents() == content);
                assert_eq!(inspect(&store.contents()).unwrap().progress.digest(), digest(&content));
            } else {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Checkpoint, "{stopped}");
            }
        }
    }
}

#[test]
fn a_copy_that_is_stopped_and_crashes_again_and_again_ends_right_and_keeps_what_was_committed() {
    let content = content();
    let source = MemoryRangeSource::without_map(content.clone());
    for seed in 0..24 {
        let (target, store) = (MemoryTarget::any(content.len()), MemoryStore::default());
        let (mut lives, mut kept) = (0, 0);
        loop {
            lives += 1;
            // Each life settles what earlier ones had and some 30,000 bytes more.
            let stop = stop_after(lives * 30_000 + seed * 97);
            match live(&source, &target, &store, &often(2), &stop) {
                Ok(copied) => {
                    kept = kept.max(copied.kept_bytes);
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
            }
            target.crash(if seed % 2 == 0 { Survivors::Nothing } else { Survivors::Sectors { seed } });
            store.crash(usize::try_from(seed * 3).unwrap());
        }
        assert!(lives > 2 && kept > 0, "{lives} lives, {kept} bytes kept");
        assert!(target.contents() == content, "seed {seed}");
        assert_eq!(inspect(&store.contents()).unwrap().progress.digest(), digest(&content));
    }
}

#[test]
fn a_kept_chunk_that_is_not_what_the_journal_says_is_copied_anew() {
    let content = content();
    let source = MemoryRangeSource::new(content.clone());
    let (target, store) = (MemoryTarget::any(content.len()), MemoryStore::default());
    live(&source, &target, &store, &often(1), &never).unwrap();
    let checkpoints = inspect(&store.contents()).unwrap().checkpoints;
    let vandal = target.reopen(&checkpoints).unwrap();
    vandal.write_at(100, b"not what it was").unwrap();
    drop(vandal);
    let copied = live(&source, &target, &store, &often(1), &never).unwrap();
    assert_eq!((copied.wrong_bytes, copied.read_bytes), (CHUNK, CHUNK));
    assert!(target.contents() == content);
}

#[test]
fn a_failure_of_the_source_keeps_what_was_written_and_one_of_the_sink_claims_nothing_new() {
    let content = content();
    let source = Faulty::new(
        MemoryRangeSource::new(content.clone()),
        Faults::none().at_call(Call::ReadRange, 4, Fault::Fail(ErrorKind::Source)),
    );
    let (target, store) = (MemoryTarget::any(content.len()), MemoryStore::default());
    let error = live(&source, &target, &store, &often(2), &never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    target.crash(Survivors::Nothing);
    let copied = live(&source, &target, &store, &often(2), &never).unwrap();
    assert!(copied.kept_bytes >= 2 * CHUNK, "{copied:?}");
    assert!(target.contents() == content);

    let disk = MemoryTarget::any(content.len());
    let faults = Faults::none().at_call(Call::Commit, 2, Fault::Fail(ErrorKind::Full));
    let full = Faulty::new(disk.clone(), faults);
    let store = MemoryStore::default();
    let plain = MemoryRangeSource::new(content.clone());
    let error = live(&plain, &full, &store, &often(2), &never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(inspect(&store.contents()).unwrap().checkpoints.len(), 1);
    disk.crash(Survivors::Nothing);
    live(&plain, &disk, &store, &often(2), &never).unwrap();
    assert!(disk.contents() == content);
}

/// A terabyte of holes with one piece of data in it.
struct Sparse {
    reads: AtomicU64,
}

const TERABYTE: u64 = 1 << 40;
const DATA_AT: u64 = 700 << 30;

impl RangeSource for Sparse {
    fn len_bytes(&self) -> u64 {
        TERABYTE
    }

    fn extents(&self, range: std::ops::Range<u64>) -> Result<Vec<Extent>> {
        let data = DATA_AT..DATA_AT + 4096;
        let cuts =
            [range.start, data.start.clamp(range.start, range.end), data.end.clamp(range.start, range.end), range.end];
        let kinds = [transfer::ExtentKind::Zero, transfer::ExtentKind::Data, transfer::ExtentKind::Zero];
        let pieces = cuts.windows(2).zip(kinds).filter(|(cut, _)| cut[0] < cut[1]);
        Ok(pieces.map(|(cut, kind)| Extent { range: cut[0]..cut[1], kind }).collect())
    }

    fn read_range(&self, _offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reads.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.fill(7);
        Ok(())
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Counting {
    written: AtomicU64,
    zeroed: AtomicU64,
}

impl Sink for Counting {
    fn order(&self) -> Order {
        Order::Any
    }

    fn write_at(&self, _offset: u64, bytes: &[u8]) -> Result<()> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, len_bytes: u64) -> Result<()> {
        self.zeroed.fetch_add(len_bytes, Ordering::Relaxed);
        Ok(())
    }

    fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "read back"))
    }

    fn commit(&self) -> Result<transfer::Checkpoint> {
        transfer::Checkpoint::new(Vec::new())
    }

    fn finish(self: Box<Self>) -> Result<transfer::Digests> {
        Ok(transfer::Digests::default())
    }
}

#[test]
fn a_terabyte_of_holes_costs_what_its_data_cost() {
    let (source, sink, store) = (Sparse { reads: AtomicU64::new(0) }, Counting::default(), MemoryStore::default());
    let header = Header { chunk_bytes: transfer::chunk::CHUNK_BYTES, ..header(TERABYTE) };
    let mut journal = Journal::create(store.clone(), &header).unwrap();
    let start = Progress::new(header.chunks().unwrap());
    let ends = Ends { source: &source, sink: &sink, cancel: &Cancel::new() };
    copy(&ends, &mut journal, &start, &often(2), &()).unwrap();
    assert_eq!((source.reads.into_inner(), sink.written.into_inner()), (4096, 4096));
    assert_eq!(sink.zeroed.into_inner(), TERABYTE - 4096);
    assert!(store.contents().len() < 100_000, "{} bytes of journal", store.contents().len());
    assert!(inspect(&store.contents()).unwrap().progress.digest().is_some());
}
