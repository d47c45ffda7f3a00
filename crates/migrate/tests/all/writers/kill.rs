//! Conversions that end by `kill -9` at random moments, and are gone on with until they are done.
//!
//! ```text
//!  this test ── starts ──► itself, as a process that converts ── kills itself at a planned moment
//!      ▲                                                            │ a note: how much it had read
//!      └── journal checked ◄────────────────────────────────────────┘ … again, until it lives to the end
//! ```
//!
//! The signal is a real one, sent by a thread that waits for the moment and then spins for a random
//! while: the other threads are anywhere, in a system call or not.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use migrate::convert::{self, Observer, Options, Phase, Progress, Source, Target};
use migrate::{copy, sink::Format};
use transfer::{Cancel, journal};

use super::{formats, seeds};
use crate::disks::{Random, Watched, check_clean, compare, sparse_raw};

/// Size of the disk: three chunks of 8 MiB and a bit, of which half is data.
const CAPACITY: u64 = 25 << 20;

/// Kills per image; a seed is one kill.
const KILLS: u64 = 5;

const WORKERS: u64 = 2;

/// A commit is due after so much, so that a kill comes before, in and after many.
const COMMIT_EVERY_BYTES: u64 = 1 << 20;

/// What one life may write without a commit: twice what makes one due, then workers wait; and a piece of
/// a read that each of them had in hand.
const LOST_BYTES_MAX: u64 = 2 * COMMIT_EVERY_BYTES + WORKERS * (1 << 20);

/// What the process is told by, a value each: source, target, format, moment, spins, note.
const VARIABLE: &str = "HYPER2KVM_TEST_CONVERSION";

/// A moment that never comes.
const NEVER: u64 = u64::MAX;

/// The moment at which the copy is done and the image is finished.
const FINISHING: u64 = u64::MAX - 1;

#[test]
fn every_writer_goes_on_after_kill_9_and_reads_little_twice() {
    for (name, format) in formats() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source.raw");
        let data_bytes = sparse_raw(&source, CAPACITY, 11);
        let (mut killed, mut image) = (0, 0);
        while killed < seeds(25) {
            image += 1;
            let run = Run { name, format, folder: folder.path(), source: &source, data_bytes };
            killed += run.one_image(image);
        }
    }
}

/// What stays the same over all images of a format.
struct Run<'a> {
    name: &'a str,
    format: Format,
    folder: &'a Path,
    source: &'a Path,
    data_bytes: u64,
}

impl Run<'_> {
    /// Converts once, over some kills; returns how many.
    fn one_image(&self, seed: u64) -> u64 {
        let what = format!("{}, image {seed}", self.name);
        let mut random = Random::new(seed);
        let target = self.folder.join(format!("image-{seed}"));
        let journal_path = self.folder.join(format!(".image-{seed}.part.journal"));
        let (mut killed, mut read_bytes, mut done_bytes) = (0, 0, 0);
        loop {
            let moment = match killed {
                KILLS => NEVER,
                _ if random.one_in(4) => FINISHING,
                _ => random.below(usize::try_from(self.data_bytes / 3).unwrap()) as u64,
            };
            let spins_max = 1 << [4, 12, 18, 22][random.below(4)];
            let spins = random.below(spins_max) as u64;
            let (survived, read) = self.live(&target, moment, spins);
            read_bytes += read;
            assert!(
                read_bytes <= self.data_bytes + killed * LOST_BYTES_MAX,
                "{what}: {read_bytes} read after {killed}"
            );
            if survived {
                break;
            }
            killed += 1;
            let bytes = fs::read(&journal_path).unwrap_or_default();
            if target.exists() && !journal_path.exists() {
                // Killed behind its last step.
                break;
            }
            let now = journal::inspect(&bytes).map_or(0, |said| said.progress.done_bytes());
            assert!(now >= done_bytes, "{what}: of {done_bytes} bytes {now} are left");
            assert!(
                !target.exists() || now == CAPACITY || bytes.is_empty(),
                "{what}: half an image has the final name"
            );
            done_bytes = now;
        }
        let image = Source::open(&target).unwrap();
        let original = Source::open(self.source).unwrap();
        let digest = |source| convert::digest(source, 1, &Cancel::new()).unwrap();
        assert_eq!(digest(&image), digest(&original), "{what}: other contents");
        compare("every_writer_goes_on_after_kill_9", self.source, &target, self.format.name());
        check_clean("every_writer_goes_on_after_kill_9", &target, self.format.name());
        let left: Vec<_> = fs::read_dir(self.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{what}: {left:?}");
        fs::remove_file(&target).unwrap();
        killed
    }

    /// Lives once as a process of its own. Returns whether it survived, and how much it had read.
    fn live(&self, target: &Path, moment: u64, spins: u64) -> (bool, u64) {
        let note = self.folder.join("note");
        fs::write(&note, noted(0)).unwrap();
        let [source, target, note_path] = [self.source, target, &note].map(|path| path.to_str().unwrap());
        let told = [source, target, self.name, &moment.to_string(), &spins.to_string(), note_path].join("\n");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["writers::kill::a_conversion_in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"])
            .env(VARIABLE, told)
            .output()
            .unwrap();
        let killed = output.status.signal() == Some(9);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(killed || output.status.success(), "{}: {}\n{said}", self.name, output.status);
        let read = fs::read_to_string(&note).unwrap().parse().unwrap();
        fs::remove_file(&note).unwrap();
        (!killed, read)
    }
}

/// The process that is killed; started by the test above.
#[test]
#[ignore = "a part of another test, which starts it as a process"]
fn a_conversion_in_a_process_of_its_own() {
    let told = std::env::var(VARIABLE).unwrap();
    let [source, target, name, moment, spins, note] = told.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{told:?}");
    };
    let format = formats().into_iter().find(|(known, _)| *known == name).unwrap().1;
    let reads = Arc::new(AtomicU64::new(0));
    let finishing = Arc::new(AtomicU64::new(0));
    start_killer(moment.parse().unwrap(), spins.parse().unwrap(), &reads, &finishing, note.into());
    let counted = reads.clone();
    let source = Watched::open(Path::new(source), move |len_bytes| {
        counted.fetch_add(len_bytes, Ordering::SeqCst);
    });
    let copy = copy::Options {
        workers: usize::try_from(WORKERS).unwrap(),
        commit_every_bytes: COMMIT_EVERY_BYTES,
        commit_every: Duration::from_secs(3600),
    };
    let options = Options { copy, ..Options::new(format) };
    let observer = Finishing(finishing);
    let target = Target::at(Path::new(target));
    convert::disk(&source, &target, &options, &observer, &Cancel::new()).unwrap();
    write_note(Path::new(note), reads.load(Ordering::SeqCst));
}

/// Notes how much was read: one write of one length, so that a kill leaves the old number or the new one.
fn write_note(note: &Path, read_bytes: u64) {
    let file = fs::File::options().write(true).open(note).unwrap();
    file.write_all_at(noted(read_bytes).as_bytes(), 0).unwrap();
}

fn noted(read_bytes: u64) -> String {
    format!("{read_bytes:020}")
}

/// Starts the thread that ends this process.
fn start_killer(moment: u64, spins: u64, reads: &Arc<AtomicU64>, finishing: &Arc<AtomicU64>, note: PathBuf) {
    let (reads, finishing) = (reads.clone(), finishing.clone());
    std::thread::spawn(move || {
        let come = || match moment {
            NEVER => false,
            FINISHING => finishing.load(Ordering::SeqCst) > 0,
            moment => reads.load(Ordering::SeqCst) > moment,
        };
        while !come() {
            std::thread::yield_now();
        }
        (0..spins).for_each(|_| std::hint::spin_loop());
        // What is read between this note and the signal is not counted: a piece or two.
        write_note(&note, reads.load(Ordering::SeqCst));
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    });
}

/// Says when the copy is done.
struct Finishing(Arc<AtomicU64>);

impl Observer for Finishing {
    fn progress(&self, progress: &Progress) {
        if progress.phase == Phase::Finishing {
            self.0.store(1, Ordering::SeqCst);
        }
    }

    fn warning(&self, text: &str) {
        panic!("a killed conversion is gone on with: {text}");
    }
}
