//! A stream that is expanded while it passes: the right bytes, each once, or the right error.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use diskimage::vmdk::stream_expand::{ExpandOptions, expand};
use diskimage::vmdk::stream_walk::StreamSummary;
use diskimage::vmdk::stream_write::GRAIN_LEN;
use diskimage::{Error, ErrorKind};

use crate::model::{Disk, contents, small_stream, walk};

/// Expands a stream that comes in pieces; returns what it was, and the disk.
fn expanded(stream: &[u8], piece: usize, options: &ExpandOptions) -> Result<(StreamSummary, Vec<u8>), Error> {
    let disk = Mutex::new(Vec::new());
    let seen = Mutex::new(BTreeSet::new());
    let summary = expand(
        options,
        |push| stream.chunks(piece).try_for_each(push),
        |offset, bytes| {
            let start = usize::try_from(offset).unwrap();
            for grain in (start..start + bytes.len()).step_by(GRAIN_LEN) {
                assert!(seen.lock().unwrap().insert(grain), "the grain at {grain} comes once");
            }
            let mut disk = disk.lock().unwrap();
            if disk.len() < start + bytes.len() {
                disk.resize(start + bytes.len(), 0);
            }
            disk[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        },
    )?;
    let mut disk = disk.into_inner().unwrap();
    disk.resize(usize::try_from(summary.capacity_bytes).unwrap(), 0);
    Ok((summary, disk))
}

fn kind(outcome: Result<(StreamSummary, Vec<u8>), Error>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn every_grain_comes_once_and_right_however_the_stream_is_cut_and_with_any_number_of_threads() {
    for disk in [
        Disk::new(100 << 20).fill([0, 1, 2, 700, 701, 1599], 11),
        Disk::new(8 << 20).fill(0..128, 22),
        Disk::new(64 << 20),
        Disk::new(1954 * 512).fill(0..16, 33),
        Disk::new(512).fill([0], 55),
    ] {
        let (stream, _) = disk.write();
        let (summary, raw) = (walk(&stream, true).unwrap(), disk.raw());
        for threads in [0, 1, 2, 4] {
            for (piece, budget_bytes) in [(511, 0), (100_000, 200_000), (stream.len(), usize::MAX)] {
                let options = ExpandOptions { budget_bytes, ..ExpandOptions::new(threads) };
                let found = expanded(&stream, piece, &options).unwrap();
                assert_eq!(found.0, summary);
                assert!(found.1 == raw, "{threads} threads, pieces of {piece}");
            }
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_truncated_also_inside_of_its_last_grain() {
    let stream = small_stream();
    for end in (0..stream.len()).filter(|end| end % 512 < 2 || end % 89 == 0) {
        let found = kind(expanded(&stream[..end], 700, &ExpandOptions::new(2)));
        assert_eq!(found, ErrorKind::Truncated, "cut at {end}");
    }
}

#[test]
fn a_damaged_grain_is_named() {
    let (mut stream, _) = Disk::new(8 << 20).fill(0..128, 5).write();
    // In the compressed bytes of the second grain or, for a short one, in a later grain.
    let at = 128 * 512 + 3000;
    stream[at] ^= 1;
    for threads in [1, 3] {
        let error = expanded(&stream, 10_000, &ExpandOptions::new(threads)).unwrap_err();
        let walked = walk(&stream, true).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, walked.offset()));
        assert!(error.offset().unwrap() <= u64::try_from(at).unwrap());
    }
}

#[test]
fn a_disk_larger_than_allowed_is_refused() {
    let options = ExpandOptions { capacity_bytes_max: (40 << 20) - 1, ..ExpandOptions::new(2) };
    assert_eq!(kind(expanded(&small_stream(), 512, &options)), ErrorKind::Limit);
}

/// An error of somebody else, who uses this crate.
#[derive(Debug)]
enum Others {
    Disk,
    Read,
    Consume,
}

impl From<Error> for Others {
    fn from(_: Error) -> Self {
        Self::Disk
    }
}

#[test]
fn errors_of_reader_and_consumer_come_back_as_they_are() {
    let (stream, _) = Disk::new(8 << 20).fill(0..128, 22).write();
    for threads in [1, 3] {
        let options = ExpandOptions::new(threads);
        let read = expand(
            &options,
            |push| {
                push(&stream[..100_000])?;
                Err(Others::Read)
            },
            |_, _| Ok(()),
        );
        assert!(matches!(read, Err(Others::Read)), "{read:?}");
        let consume =
            expand(&options, |push| stream.chunks(4096).try_for_each(push), |_, _| Err::<(), _>(Others::Consume));
        assert!(matches!(consume, Err(Others::Consume)), "{consume:?}");
        let disk = expand(&options, |push| push(&[1; 512]), |_, _| Ok::<(), Others>(()));
        assert!(matches!(disk, Err(Others::Disk)), "{disk:?}");
    }
}

#[test]
fn no_more_than_the_budget_waits_for_slow_consumers() {
    const THREADS: usize = 3;
    const BUDGET: usize = 1 << 20;
    const PIECE: usize = 10_000;
    // Batches of a few grains of noise: as long in the stream as on the disk.
    const BATCH: usize = 5 * GRAIN_LEN;
    let mut disk = Disk::new(32 << 20);
    disk.grains.extend((0..512).map(|index| (index, contents(4 + 5 * index, GRAIN_LEN))));
    let (stream, _) = disk.write();
    let (read, consumed, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let options = ExpandOptions { budget_bytes: BUDGET, ..ExpandOptions::new(THREADS) };
    let outcome = expand(
        &options,
        |push| {
            stream.chunks(PIECE).try_for_each(|bytes| {
                read.fetch_add(bytes.len(), Ordering::SeqCst);
                push(bytes)
            })
        },
        |_, bytes| {
            std::thread::yield_now();
            let ahead = read.load(Ordering::SeqCst) - consumed.fetch_add(bytes.len(), Ordering::SeqCst);
            most.fetch_max(ahead, Ordering::SeqCst);
            Ok::<(), Error>(())
        },
    );
    outcome.unwrap();
    let most = most.load(Ordering::SeqCst);
    // What waits or is in work, what is about to be put in, and the header.
    assert!(most < BUDGET + 2 * BATCH + PIECE + 128 * 512, "{most} bytes");
}
