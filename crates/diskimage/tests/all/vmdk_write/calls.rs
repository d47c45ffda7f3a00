//! What single calls do and refuse.

use std::sync::Arc;

use diskimage::ErrorKind;
use diskimage::output::MemoryOutput;
use diskimage::parallel::Workers;
use diskimage::vmdk::stream_walk::{Proof, StreamWalker, WalkOptions};
use diskimage::vmdk::stream_write::StreamWriter;
use diskimage::vmdk::write::VmdkWriter;

use super::script::{Content, GRAIN};
use crate::writers::Random;

const CAPACITY: usize = 9 * GRAIN + 1024;

#[test]
fn everything_is_read_back_after_every_call() {
    let workers = Arc::new(Workers::start(2, 1 << 20).unwrap());
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let content = Content::new(&mut random, CAPACITY, 0);
        let options = content.options(random.one_in(2).then_some(&workers));
        let writer = VmdkWriter::create(MemoryOutput::default(), &options).unwrap();
        let mut next = 0;
        while next < CAPACITY {
            let range = content.step(&mut random, next);
            next = range.end;
            content.write(&writer, range).unwrap();
            assert_eq!(writer.next_offset(), u64::try_from(next).unwrap());
            content.check(&writer, next, &format!("seed {seed}"));
            let mut behind = vec![1; CAPACITY - next];
            writer.read_at(writer.next_offset(), &mut behind).unwrap();
            assert!(behind.iter().all(|&byte| byte == 0), "seed {seed}: nothing is behind {next}");
        }
    }
}

#[test]
fn any_number_of_threads_makes_the_same_file_and_its_walk_is_complete() {
    let content = Content::new(&mut Random::new(3), 40 * GRAIN + 512, 0);
    let file = content.file();
    for threads in 1..4 {
        // A budget for one grain, for some, and for all.
        for budget in [0, 5 * 2 * GRAIN, 1 << 30] {
            let workers = Arc::new(Workers::start(threads, budget).unwrap());
            let output = MemoryOutput::default();
            let writer = VmdkWriter::create(output.clone(), &content.options(Some(&workers))).unwrap();
            content.complete(writer, &mut Random::new(9));
            assert!(output.contents() == file, "{threads} threads, {budget} bytes");
        }
    }
    let mut walker = StreamWalker::new(WalkOptions { inflate: true, ..WalkOptions::default() });
    walker.push(&file).unwrap();
    let summary = walker.finish().unwrap();
    assert_eq!((summary.proof, summary.warnings), (Proof::Footer, Vec::<String>::new()));
}

#[test]
fn grains_are_those_of_the_writer_to_a_stream() {
    let content = Content::new(&mut Random::new(4), CAPACITY, GRAIN + 5);
    let mut stream = StreamWriter::create(Vec::new(), &content.options(None).stream).unwrap();
    for (index, grain) in (0..).zip(content.bytes.chunks(GRAIN)) {
        stream.write_grain(index, grain).unwrap();
    }
    let (stream, stats) = stream.finish().unwrap();
    let output = MemoryOutput::default();
    let writer = VmdkWriter::create(output.clone(), &content.options(None)).unwrap();
    writer.write_at(0, &content.bytes).unwrap();
    let file_stats = writer.finish().unwrap();
    assert_eq!((file_stats.grains, file_stats.populated_bytes), (stats.grains, stats.populated_bytes));
    let file = output.contents();
    assert_eq!(file_stats.file_bytes, u64::try_from(file.len()).unwrap());
    // Two slots of a grain stand in between; behind the grains positions differ by them.
    let data_bytes = stream.len() - 128 * 512 - (5 + 2 + 3) * 512;
    assert!(file[384 * 512..][..data_bytes] == stream[128 * 512..][..data_bytes]);
    assert_eq!(file.len() - stream.len(), 256 * 512);
}

#[test]
fn zeros_cost_nothing_however_they_come() {
    let content = Content { bytes: vec![0; CAPACITY], zeros_until: 0 };
    let written = MemoryOutput::default();
    let writer = VmdkWriter::create(written.clone(), &content.options(None)).unwrap();
    writer.write_at(0, &content.bytes[..GRAIN + 5]).unwrap();
    writer.write_zeroes(65541, 3 * 65536).unwrap();
    writer.write_at(4 * 65536 + 5, &content.bytes[4 * GRAIN + 5..]).unwrap();
    writer.commit().unwrap();
    assert_eq!(written.calls().writes, 0);
    let stats = writer.finish().unwrap();
    assert_eq!((stats.grains, stats.populated_bytes), (0, 0));

    let mut options = content.options(None);
    options.stream.capacity_bytes = 1 << 40;
    let huge = MemoryOutput::default();
    let writer = VmdkWriter::create(huge.clone(), &options).unwrap();
    writer.write_zeroes(0, 1 << 40).unwrap();
    assert_eq!(writer.finish().unwrap().file_bytes, 384 * 512 + 32768 * 4 + 4 * 512);
}

#[test]
fn refused_calls_have_no_effect() {
    let content = Content::new(&mut Random::new(5), CAPACITY, 0);
    let output = MemoryOutput::default();
    let writer = VmdkWriter::create(output.clone(), &content.options(None)).unwrap();
    content.write(&writer, 0..70_000).unwrap();
    let misuse = |outcome: diskimage::Result<()>| assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Misuse);
    for offset in [0, 69_999, 70_001, u64::MAX] {
        misuse(writer.write_at(offset, &[1, 2, 3]));
        misuse(writer.write_zeroes(offset, 3));
    }
    let too_much = CAPACITY - 70_000 + 1;
    misuse(writer.write_at(70_000, &vec![1; too_much]));
    misuse(writer.write_zeroes(70_000, u64::try_from(too_much).unwrap()));
    misuse(writer.write_zeroes(70_000, u64::MAX));
    misuse(writer.read_at(u64::try_from(CAPACITY).unwrap(), &mut [0]));
    writer.write_at(1, &[]).unwrap();
    writer.write_zeroes(u64::MAX, 0).unwrap();
    content.complete(writer, &mut Random::new(1));
    assert!(output.contents() == content.file());
}

#[test]
fn a_disk_that_was_not_written_to_its_end_is_not_finished() {
    let content = Content::new(&mut Random::new(6), CAPACITY, 0);
    for end in [0, 5, CAPACITY - 1] {
        let output = MemoryOutput::default();
        let writer = VmdkWriter::create(output.clone(), &content.options(None)).unwrap();
        content.write(&writer, 0..end).unwrap();
        assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Truncated);
        assert!(output.contents()[..512] == [0; 512]);
    }
}

#[test]
fn a_failed_write_ends_the_writer_wherever_it_happens() {
    let workers = Arc::new(Workers::start(2, 6 * 2 * GRAIN).unwrap());
    let content = Content::new(&mut Random::new(8), 60 * GRAIN, 0);
    for workers in [None, Some(&workers)] {
        for changes in [0, 1, 7] {
            let output = MemoryOutput::default();
            let writer = VmdkWriter::create(output.clone(), &content.options(workers)).unwrap();
            output.fail_after(changes);
            let failed = content.write(&writer, 0..60 * GRAIN).and_then(|()| writer.commit().map(drop));
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::Io, "after {changes}");
            output.crash(0);
            assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::Misuse);
            assert!(writer.read_at(0, &mut [0]).is_err());
            assert!(writer.finish().is_err());
        }
    }
}

#[test]
fn a_commit_beside_writes_covers_what_had_returned_before() {
    let workers = Arc::new(Workers::start(2, 1 << 20).unwrap());
    let content = Content::new(&mut Random::new(10), 100 * GRAIN, 0);
    let options = content.options(Some(&workers));
    let output = MemoryOutput::default();
    let writer = VmdkWriter::create(output.clone(), &options).unwrap();
    let mut list = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(11);
            let mut next = 0;
            while next < content.bytes.len() {
                let range = content.step(&mut random, next);
                next = range.end;
                content.write(&writer, range).unwrap();
            }
        });
        let mut before = 0;
        while before < writer.capacity_bytes() {
            before = writer.next_offset();
            list.push((writer.commit().unwrap(), before));
        }
    });
    drop(writer);
    let (last, before) = list.pop().unwrap();
    assert_eq!(before, 100 * 65536);
    list.push((last, before));
    for kept in [list.len(), list.len() / 2, 1] {
        let checkpoints: Vec<_> = list[..kept].iter().map(|(bytes, _)| bytes).collect();
        let writer = VmdkWriter::reopen(output.clone(), &options, &checkpoints).unwrap();
        assert!(writer.next_offset() >= list[kept - 1].1);
        content.check(&writer, usize::try_from(writer.next_offset()).unwrap(), &format!("{kept} checkpoints"));
    }
}
