//! A crash at every change of the file, and what is there afterwards.

use diskimage::ErrorKind;
use diskimage::output::MemoryOutput;
use diskimage::qcow2::write::{Compression, Options, Qcow2Writer};

use super::disk::{COMPRESSIONS, options, read_back};
use crate::writers::{Call, Model, Random, Subject, Writer, seeds};

/// Six clusters, the last of them short.
const CAPACITY: usize = 5 * 65536 + 3 * 512;

#[test]
fn random_calls_without_a_crash_give_what_the_model_has() {
    for compression in COMPRESSIONS {
        for seed in 0..12 {
            let mut random = Random::new(seed);
            let writer = Qcow2Writer::create(MemoryOutput::default(), &options(CAPACITY, compression)).unwrap();
            let mut model = Model::new(CAPACITY);
            for number in 0..40 {
                let call = Call::random(&mut random, CAPACITY);
                model.apply(&writer, &call).unwrap();
                model.check_writer(&writer, &format!("{compression:?}, seed {seed}, call {number}"));
            }
        }
    }
}

#[test]
fn nothing_that_a_checkpoint_covers_is_missing_after_a_crash_at_any_change_of_the_file() {
    for (number, compression) in (0..).zip(COMPRESSIONS) {
        // Little room, so that clusters are sent off before they are complete.
        let options = Options { staged_bytes_max: 2 * 65536, ..options(CAPACITY, compression) };
        let subject = Subject {
            name: format!("{compression:?}"),
            capacity: CAPACITY,
            open: &|output, list| Ok(Box::new(Qcow2Writer::reopen(output, &options, list)?) as Box<dyn Writer>),
            read_back: &read_back,
            look: &|file| assert!(file[..65536] == [0; 65536], "nobody can open it while it is written"),
        };
        let share = (seeds() + 3 - number) / 4;
        subject.crash_runs(0..share.max(1));
    }
}

#[test]
fn a_writer_that_failed_never_works_again() {
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(CAPACITY, Some(Compression::Zstd))).unwrap();
    writer.write_at(0, &[1; 100]).unwrap();
    output.fail_after(0);
    assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::Io);
    output.crash(0);
    assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::Misuse);
    assert!(writer.write_at(0, &[1]).is_err());
    assert!(writer.write_zeroes(0, 1).is_err());
    assert!(writer.read_at(0, &mut [0]).is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn checkpoints_of_something_else_are_refused_and_change_nothing() {
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(CAPACITY, None)).unwrap();
    writer.write_at(0, &[7; 200_000]).unwrap();
    let first = writer.commit().unwrap();
    writer.write_at(200_000, &[8; 100_000]).unwrap();
    let second = writer.commit().unwrap();
    drop(writer);
    let before = output.contents();
    let refused = |options: &Options, list: &[&[u8]]| {
        let error = Qcow2Writer::reopen(output.clone(), options, list).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        assert!(output.contents() == before);
    };
    let same = options(CAPACITY, None);
    refused(&same, &[b"not a checkpoint of anything"]);
    refused(&same, &[&second]);
    refused(&same, &[&second, &first]);
    refused(&same, &[&first, &first]);
    refused(&options(CAPACITY + 512, None), &[&first]);
    refused(&options(CAPACITY, Some(Compression::Zstd)), &[&first]);
    refused(&Options { cluster_bytes: 1 << 17, ..same }, &[&first]);
    let short = MemoryOutput::holding(before[..3 * 65536].to_vec());
    assert_eq!(Qcow2Writer::reopen(short, &same, &[first]).unwrap_err().kind(), ErrorKind::Checkpoint);
}
