//! A crash at every call to the file, and what is there afterwards.

use diskimage::output::MemoryOutput;
use diskimage::qcow2::write::{Compression, Options, Qcow2Writer};

use super::disk::{COMPRESSIONS, Call, Model, Random, options};

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

/// Runs a script with a power cut after `changes` changes of the file, reopens, completes, and
/// returns whether the cut came before the end.
fn crash_run(options: &Options, seed: u64, changes: u64) -> bool {
    let what = format!("{:?}, seed {seed}, power cut after {changes}", options.compression);
    let output = MemoryOutput::default();
    let mut random = Random::new(seed);
    let mut model = Model::new(CAPACITY);
    let mut life = Qcow2Writer::create(output.clone(), options).unwrap();
    output.fail_after(changes);
    let calls: Vec<Call> = (0..14).map(|_| Call::random(&mut random, CAPACITY)).collect();
    let mut cut = calls.iter().any(|call| model.apply(&life, call).is_err());
    if !cut {
        cut = life.finish().is_err();
    } else {
        assert!(life.write_at(0, &[1]).is_err(), "{what}: a failed writer refuses");
        drop(life);
    }
    let mut random = Random::new(seed ^ changes << 8);
    let mut stored = 0;
    for round in 0..2 {
        output.crash(random.next());
        let all = model.checkpoints.len();
        stored += random.below(all - stored + 1);
        model.crash(stored);
        life = Qcow2Writer::reopen(output.clone(), options, &model.list()).unwrap();
        assert!(output.contents().iter().take(65536).all(|byte| *byte == 0), "{what}: nobody can open it");
        model.check_writer(&life, &format!("{what}, reopened {round}"));
        for _ in 0..3 {
            model.apply(&life, &Call::random(&mut random, CAPACITY)).unwrap();
        }
        drop(life);
    }
    output.crash(random.next());
    model.crash(model.checkpoints.len());
    life = Qcow2Writer::reopen(output.clone(), options, &model.list()).unwrap();
    model.complete(&life, &mut random).unwrap();
    model.check_writer(&life, &format!("{what}, completed"));
    life.finish().unwrap();
    // After the end the list still counts.
    let all = model.checkpoints.len();
    model.crash(all);
    output.crash(random.next());
    life = Qcow2Writer::reopen(output.clone(), options, &model.list()).unwrap();
    model.check_writer(&life, &format!("{what}, reopened after its end"));
    model.complete(&life, &mut random).unwrap();
    life.finish().unwrap();
    cut
}

#[test]
fn nothing_that_a_checkpoint_covers_is_missing_after_a_crash_at_any_change_of_the_file() {
    for compression in COMPRESSIONS {
        // Little room, so that clusters are sent off before they are complete.
        let options = Options { staged_bytes_max: 2 * 65536, ..options(CAPACITY, compression) };
        for seed in 0..3 {
            let mut changes = 0;
            while crash_run(&options, seed, changes) {
                changes += 1;
            }
            assert!(changes > 10, "a script changes the file more often than {changes} times");
        }
    }
}

#[test]
fn a_writer_that_failed_never_works_again() {
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(CAPACITY, Some(Compression::Zstd))).unwrap();
    writer.write_at(0, &[1; 100]).unwrap();
    output.fail_after(0);
    assert!(writer.commit().is_err());
    output.crash(0);
    assert!(writer.commit().is_err());
    assert!(writer.write_at(0, &[1]).is_err());
    assert!(writer.write_zeroes(0, 1).is_err());
    assert!(writer.read_at(0, &mut [0]).is_err());
    assert!(writer.finish().is_err());
}
