//! A crash at every change of the file, and what is there afterwards.

use std::sync::Arc;

use diskimage::ErrorKind;
use diskimage::output::MemoryOutput;
use diskimage::parallel::Workers;
use diskimage::vmdk::write::VmdkWriter;

use super::script::{Content, GRAIN};
use crate::vmdk_read::build::read_bytes;
use crate::writers::{Random, seeds};

/// Six grains, the last of them short.
const SMALL: usize = 5 * GRAIN + 3 * 512;

/// What one table covers: 512 grains.
const COVERAGE: usize = 512 * GRAIN;

/// One disk in the making, with what a caller keeps of it.
struct Run<'a> {
    content: &'a Content,
    /// What a life without a crash makes.
    file: &'a [u8],
    workers: Option<&'a Arc<Workers>>,
    output: MemoryOutput,
    /// Checkpoints, and up to where each covers the disk.
    checkpoints: Vec<(Vec<u8>, usize)>,
    random: Random,
    what: String,
}

impl Run<'_> {
    /// Writes until something fails or `calls` are done. Returns whether something failed.
    fn write(&mut self, writer: &VmdkWriter, calls: usize) -> bool {
        let mut next = usize::try_from(writer.next_offset()).unwrap();
        for _ in 0..calls {
            if self.random.one_in(3) {
                match writer.commit() {
                    Ok(checkpoint) => self.checkpoints.push((checkpoint, next)),
                    Err(_) => return true,
                }
            }
            if next < self.content.bytes.len() {
                let range = self.content.step(&mut self.random, next);
                next = range.end;
                if self.content.write(writer, range).is_err() {
                    return true;
                }
            }
        }
        false
    }

    /// Crashes, keeps `kept` checkpoints, reopens, and checks what they cover.
    fn reopen(&mut self, kept: usize) -> VmdkWriter {
        self.output.crash(self.random.next());
        self.checkpoints.truncate(kept);
        let list: Vec<_> = self.checkpoints.iter().map(|(bytes, _)| bytes).collect();
        let writer = VmdkWriter::reopen(self.output.clone(), &self.content.options(self.workers), &list).unwrap();
        let covered = self.checkpoints.last().map_or(0, |(_, next)| *next);
        let what = format!("{}, reopened with {kept}", self.what);
        assert_eq!(writer.next_offset(), u64::try_from(covered).unwrap(), "{what}");
        self.content.check(&writer, covered, &what);
        assert!(self.output.contents()[..512] == [0; 512], "{what}: nobody takes it for a disk");
        writer
    }
}

/// Runs a script with a power cut after `changes` changes of the file, goes on over two more
/// crashes, completes, and returns whether the cut came before the end.
fn crash_run(content: &Content, file: &[u8], workers: Option<&Arc<Workers>>, seed: u64, changes: u64) -> bool {
    let mut run = Run {
        content,
        file,
        workers,
        output: MemoryOutput::default(),
        checkpoints: Vec::new(),
        random: Random::new(seed),
        what: format!("seed {seed}, power cut after {changes}"),
    };
    let writer = VmdkWriter::create(run.output.clone(), &content.options(workers)).unwrap();
    run.output.fail_after(changes);
    let mut cut = run.write(&writer, 60);
    if cut {
        assert!(writer.commit().is_err(), "{}: a failed writer refuses", run.what);
        drop(writer);
    } else {
        cut = writer.finish().is_err();
    }
    run.random = Random::new(seed ^ changes << 8);
    let mut stored = 0;
    for _ in 0..2 {
        stored += run.random.below(run.checkpoints.len() - stored + 1);
        let writer = run.reopen(stored);
        assert!(!run.write(&writer, 4));
    }
    let all = run.checkpoints.len();
    // After its end, the list still counts; so this is done twice.
    for round in 0..2 {
        let writer = run.reopen(all);
        run.content.complete(writer, &mut run.random);
        assert!(run.output.contents() == run.file, "{}, finished {round}: another file than without crashes", run.what);
    }
    drop(run.reopen(all));
    cut
}

/// Crashes at every change of the file, or at some, in scripts of several seeds.
fn crash_runs(seeds: std::ops::Range<u64>, capacity: usize, zeros_until: usize, workers: Option<&Arc<Workers>>) {
    for seed in seeds {
        let mut random = Random::new(seed);
        let content = Content::new(&mut random, capacity, zeros_until);
        let file = content.file();
        assert!(read_bytes(file.clone()).unwrap() == content.bytes, "seed {seed}");
        let (mut changes, mut runs) = (0, 0);
        while crash_run(&content, &file, workers, seed, changes) {
            // The first seed is the thorough one.
            changes += if seed == 0 { 1 } else { 1 + u64::try_from(random.below(24)).unwrap() };
            runs += 1;
        }
        assert!(runs > 0, "a script changes the file");
    }
}

#[test]
fn nothing_that_a_checkpoint_covers_is_missing_after_a_crash_at_any_change_of_the_file() {
    crash_runs(0..seeds(), SMALL, 0, None);
}

#[test]
fn a_crash_around_a_table_takes_nothing() {
    crash_runs(0..1, COVERAGE + 2 * GRAIN + 512, COVERAGE - 2 * GRAIN - 700, None);
}

#[test]
fn a_crash_takes_nothing_while_several_threads_deflate() {
    let workers = Arc::new(Workers::start(3, 4 * 2 * GRAIN).unwrap());
    crash_runs(0..seeds().div_ceil(3), SMALL, 0, Some(&workers));
}

#[test]
fn checkpoints_of_something_else_are_refused_and_change_nothing() {
    let content = Content::new(&mut Random::new(5), SMALL, 0);
    let options = content.options(None);
    let output = MemoryOutput::default();
    let writer = VmdkWriter::create(output.clone(), &options).unwrap();
    content.write(&writer, 0..200_000).unwrap();
    let first = writer.commit().unwrap();
    content.write(&writer, 200_000..300_000).unwrap();
    let second = writer.commit().unwrap();
    drop(writer);
    let before = output.contents();
    let refused = |output: &MemoryOutput, change: &dyn Fn(&mut diskimage::vmdk::write::Options), list: &[&[u8]]| {
        let (mut options, before) = (options.clone(), output.contents());
        change(&mut options);
        let error = VmdkWriter::reopen(output.clone(), &options, list).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        assert!(output.contents() == before);
    };
    let same = |_: &mut diskimage::vmdk::write::Options| {};
    for list in [&[&b"not a checkpoint"[..]][..], &[&second], &[&second, &first], &[&first, &first]] {
        refused(&output, &same, list);
    }
    refused(&output, &|options| options.stream.capacity_bytes += 512, &[&first]);
    refused(&output, &|options| options.stream.cid = 8, &[&first]);
    refused(&output, &|options| options.stream.extent_name = "other.vmdk".into(), &[&first]);
    // The same list over a file that lost what it names.
    let list: [&[u8]; 2] = [&first, &second];
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = before.clone();
        change(&mut file);
        refused(&MemoryOutput::holding(file), &same, &list);
    };
    damaged(&|file| file.truncate(400 * 512));
    damaged(&|file| file.truncate(384 * 512));
    damaged(&|file| file.clear());
    // The first marker: another grain, a grain of another length, none at all.
    damaged(&|file| file[384 * 512] ^= 0x80);
    damaged(&|file| file[384 * 512 + 9] ^= 2);
    damaged(&|file| file[384 * 512..385 * 512].fill(0));
    // Both slots.
    damaged(&|file| file[128 * 512..384 * 512].fill(0x33));
    assert!(VmdkWriter::reopen(output, &options, &list).is_ok());
}
