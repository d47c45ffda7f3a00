//! Raw disks: files and block devices, written over crashes and read back.

mod device;

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use diskimage::ErrorKind;
use diskimage::image::FileSource;
use diskimage::output::{FileOutput, MemoryOutput};
use diskimage::raw::read::RawReader;
use diskimage::raw::write::{Options, RawWriter};

use crate::writers::{Call, Model, Random, Subject, Writer, seeds, whole};

const CAPACITY: usize = 5 * 65536 + 3 * 512;

fn options(capacity: usize) -> Options {
    Options::new(u64::try_from(capacity).unwrap())
}

#[test]
fn nothing_that_a_checkpoint_covers_is_missing_after_a_crash_at_any_change_of_the_file() {
    let subject = Subject {
        name: "raw".to_owned(),
        capacity: CAPACITY,
        open: &|output, list| Ok(Box::new(RawWriter::reopen(output, options(CAPACITY), list)?) as Box<dyn Writer>),
        read_back: &|file| file,
        look: &|file| assert_eq!(file.len(), CAPACITY),
    };
    subject.crash_runs(0..seeds());
}

#[test]
fn random_calls_on_a_real_file_give_what_the_model_has_and_its_map() {
    for seed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let writer = RawWriter::create(FileOutput::new(file).unwrap(), options(CAPACITY)).unwrap();
        let mut model = Model::new(CAPACITY);
        let mut random = Random::new(seed);
        for _ in 0..40 {
            model.apply(&writer, &Call::random(&mut random, CAPACITY)).unwrap();
        }
        model.check_writer(&writer, "through the writer");
        writer.finish().unwrap();
        let reader = RawReader::open(Arc::new(FileSource::open(&path).unwrap()));
        model.check(&whole(&reader), "through the reader");
    }
}

#[test]
fn blocks_of_zeros_are_never_written_to_a_new_file_and_cost_nothing_there() {
    let output = MemoryOutput::default();
    let capacity = 1 << 20;
    let writer = RawWriter::create(output.clone(), options(capacity)).unwrap();
    let mut bytes = vec![0; capacity];
    bytes[300_000] = 1;
    let before = output.calls();
    writer.write_at(0, &bytes).unwrap();
    writer.write_zeroes(500_000, 400_000).unwrap();
    let after = output.calls();
    assert_eq!(after.written_bytes - before.written_bytes, 4096);
    assert_eq!(after.zeroes, before.zeroes);
    // Where something was written there is a hole afterwards.
    writer.write_at(0, &vec![0; capacity]).unwrap();
    assert_eq!(output.calls().written_zero_blocks, 0);
    assert!(output.contents().iter().all(|byte| *byte == 0));
}

#[test]
fn a_terabyte_of_nothing_is_written_in_no_time_and_takes_no_room() {
    let file = tempfile::tempfile().unwrap();
    let capacity = 1 << 40;
    let writer =
        RawWriter::create(FileOutput::new(file.try_clone().unwrap()).unwrap(), Options::new(capacity)).unwrap();
    writer.write_zeroes(0, capacity).unwrap();
    writer.write_at(capacity - 4096, &[1; 4096]).unwrap();
    writer.commit().unwrap();
    writer.finish().unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), capacity);
    assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
}

#[test]
fn checkpoints_of_something_else_are_refused_and_change_nothing() {
    let output = MemoryOutput::default();
    let writer = RawWriter::create(output.clone(), options(CAPACITY)).unwrap();
    writer.write_at(5, &[1; 100]).unwrap();
    let first = writer.commit().unwrap();
    let second = writer.commit().unwrap();
    drop(writer);
    let before = output.contents();
    let refused = |capacity: usize, list: &[&[u8]]| {
        let error = RawWriter::reopen(output.clone(), options(capacity), list).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(output.contents() == before);
    };
    refused(CAPACITY, &[b"not a checkpoint of anything"]);
    refused(CAPACITY, &[&second]);
    refused(CAPACITY, &[&first, &first]);
    refused(CAPACITY + 512, &[&first]);
    let short = MemoryOutput::holding(before[..CAPACITY - 512].to_vec());
    assert_eq!(RawWriter::reopen(short, options(CAPACITY), &[&first]).unwrap_err().kind(), ErrorKind::Checkpoint);
    assert!(RawWriter::reopen(output.clone(), options(CAPACITY), &[&first, &second]).is_ok());
}

#[test]
fn sizes_that_no_disk_has_and_ranges_outside_are_refused() {
    for capacity in [0, 511, 513] {
        let error = RawWriter::create(MemoryOutput::default(), options(capacity)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
    }
    let writer = RawWriter::create(MemoryOutput::default(), options(1024)).unwrap();
    for offset in [1023, 1024, u64::MAX] {
        assert_eq!(writer.write_at(offset, &[1, 1]).unwrap_err().kind(), ErrorKind::Misuse);
        assert_eq!(writer.write_zeroes(offset, 2).unwrap_err().kind(), ErrorKind::Misuse);
    }
    assert!(writer.write_at(u64::MAX, &[]).is_ok());
    writer.write_at(1022, &[1, 1]).unwrap();
}
