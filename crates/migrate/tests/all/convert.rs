//! Conversions of one disk: what arrives, what is resumed, and what is never replaced.

mod names;
mod resume;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diskimage::qcow2::write::Compression;
use diskimage::vmdk::grain::Level;
use diskimage::vmdk::stream_write::{StreamOptions, StreamWriter};
use migrate::convert::{self, Observer, Options, Phase, Progress, Report, Source, Target};
use migrate::{Result, copy, sink::Format};
use transfer::Cancel;

use crate::disks::{Random, Watched, check_clean, compare, sparse_raw};

const CAPACITY: u64 = 20 << 20;

/// Hears a conversion.
#[derive(Default)]
struct Ear {
    warnings: Mutex<Vec<String>>,
    phases: Mutex<Vec<Phase>>,
    settled_bytes: AtomicU64,
}

impl Ear {
    fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }
}

impl Observer for Ear {
    fn progress(&self, progress: &Progress) {
        let before = self.settled_bytes.swap(progress.settled_bytes, Ordering::SeqCst);
        assert!(before <= progress.settled_bytes || progress.settled_bytes == 0, "progress goes back");
        assert!(progress.settled_bytes <= progress.total_bytes);
        let mut phases = self.phases.lock().unwrap();
        if phases.last() != Some(&progress.phase) {
            phases.push(progress.phase);
        }
    }

    fn warning(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

fn options(format: Format) -> Options {
    let copy = copy::Options { workers: 2, commit_every_bytes: 1 << 20, commit_every: Duration::from_secs(3600) };
    Options { copy, ..Options::new(format) }
}

fn convert(source: &Path, target: &Path, options: &Options, ear: &Ear) -> Result<Report> {
    convert::disk(&Source::open(source)?, &Target::at(target), options, ear, &Cancel::new())
}

fn digest(path: &Path) -> [u8; 32] {
    convert::digest(&Source::open(path).unwrap(), 2, &Cancel::new()).unwrap()
}

/// Returns the names in a folder, hidden ones too.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Makes a stream of a raw disk, as an export does.
fn stream_of(raw: &Path, path: &Path) {
    let content = fs::read(raw).unwrap();
    let options = StreamOptions::new(content.len() as u64, 7, "disk.vmdk");
    let mut writer = StreamWriter::create(fs::File::create(path).unwrap(), &options).unwrap();
    for (number, grain) in (0..).zip(content.chunks(65_536)) {
        writer.write_grain(number, grain).unwrap();
    }
    writer.finish().unwrap();
}

/// Returns every format, cluster and compression that is written.
fn formats() -> Vec<Format> {
    let mut formats = vec![Format::Raw, Format::StreamOptimized { level: Level::FASTEST }];
    for cluster_bytes in [64 << 10, 2 << 20] {
        let ways = [None, Some(Compression::Deflate), Some(Compression::Deflate12), Some(Compression::Zstd)];
        formats.extend(ways.map(|compression| Format::Qcow2 { cluster_bytes, compression }));
    }
    formats
}

#[test]
fn a_disk_of_any_kind_becomes_an_image_of_any_kind_with_the_same_content() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data_bytes = sparse_raw(&at("disk.raw"), CAPACITY, 3);
    stream_of(&at("disk.raw"), &at("disk.vmdk"));
    convert(&at("disk.raw"), &at("disk.qcow2"), &options(Format::qcow2(Some(Compression::Zstd))), &Ear::default())
        .unwrap();
    let expected = digest(&at("disk.raw"));
    for source in ["disk.raw", "disk.vmdk", "disk.qcow2"] {
        for (number, format) in formats().into_iter().enumerate() {
            let (ear, target) = (Ear::default(), at(&format!("{number}-of-{source}")));
            let report = convert(&at(source), &target, &options(format), &ear).unwrap();
            let what = format!("{source} to {format:?}");
            assert_eq!(report.content_digest, expected, "{what}");
            assert_eq!(digest(&target), expected, "{what}: read back");
            assert_eq!((report.capacity_bytes, report.kept_bytes, report.resumed), (CAPACITY, 0, false), "{what}");
            assert_eq!(report.file_bytes, target.metadata().unwrap().len(), "{what}");
            // Holes are not read. A format may only know them by grains or clusters of 64 KiB.
            assert!(
                (data_bytes..CAPACITY).contains(&report.read_bytes),
                "{what}: {} of {data_bytes}",
                report.read_bytes
            );
            assert_eq!(*ear.phases.lock().unwrap(), [Phase::Copying, Phase::Finishing], "{what}");
            assert_eq!(
                (ear.settled_bytes.into_inner(), ear.warnings.into_inner().unwrap()),
                (CAPACITY, vec![]),
                "{what}"
            );
            compare("a_disk_of_any_kind", &at("disk.raw"), &target, format.name());
            check_clean("a_disk_of_any_kind", &target, format.name());
            fs::remove_file(target).unwrap();
        }
    }
    assert_eq!(names_in(folder.path()), ["disk.qcow2", "disk.raw", "disk.vmdk"]);
}

#[test]
fn a_terabyte_of_holes_costs_what_its_data_cost() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("large.raw");
    let file = fs::File::create(&source).unwrap();
    file.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &Random::new(1).bytes(100_000), 777 << 30).unwrap();
    for format in [Format::Raw, Format::qcow2(None), Format::qcow2(Some(Compression::Deflate))] {
        let target = folder.path().join(format!("to-{}", format.name()));
        let report = convert(&source, &target, &Options { replace: true, ..options(format) }, &Ear::default()).unwrap();
        assert!((100_000..1 << 20).contains(&report.read_bytes), "{format:?}: {report:?}");
        // The first table of an image of this size alone has 16 KiB; nothing has a megabyte.
        assert!(report.allocated_bytes < 2 << 20, "{format:?}: {report:?}");
        assert_eq!(report.capacity_bytes, 1 << 40);
        assert_eq!(digest(&target), report.content_digest, "{format:?}");
    }
}

#[test]
fn an_image_that_is_damaged_is_named_and_leaves_nothing_under_the_final_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    sparse_raw(&at("disk.raw"), CAPACITY, 3);
    stream_of(&at("disk.raw"), &at("disk.vmdk"));
    let mut bytes = fs::read(at("disk.vmdk")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2000].fill(0x55);
    fs::write(at("disk.vmdk"), bytes).unwrap();
    let error = convert(&at("disk.vmdk"), &at("x.qcow2"), &options(Format::qcow2(None)), &Ear::default()).unwrap_err();
    assert_eq!(error.kind(), migrate::ErrorKind::Image);
    assert!(error.chain().contains("disk.vmdk"), "{}", error.chain());
    assert!(!at("x.qcow2").exists());
    for (path, kind) in [("absent", migrate::ErrorKind::NotFound), ("", migrate::ErrorKind::Image)] {
        assert_eq!(Source::open(&at(path)).unwrap_err().kind(), kind, "{path:?}");
    }
}

/// A folder with a source in it, and the names that a conversion to `x.qcow2` has.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        sparse_raw(&folder.path().join("disk.raw"), CAPACITY, 5);
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, options: &Options, ear: &Ear) -> Result<Report> {
        convert(&self.at("disk.raw"), &self.at("x.qcow2"), options, ear)
    }

    /// Converts about a half and stops; the other half is left to the next life.
    fn half(&self, options: &Options) {
        let cancel = Cancel::new();
        let (stop, read_bytes) = (cancel.clone(), AtomicU64::new(0));
        let source = Watched::open(&self.at("disk.raw"), move |len_bytes| {
            if read_bytes.fetch_add(len_bytes, Ordering::SeqCst) > CAPACITY / 4 {
                stop.cancel();
            }
        });
        let error = convert::disk(&source, &Target::at(&self.at("x.qcow2")), options, &(), &cancel).unwrap_err();
        assert_eq!(error.kind(), migrate::ErrorKind::Cancelled);
        assert_eq!(names_in(self.folder.path()), [".x.qcow2.part", ".x.qcow2.part.journal", "disk.raw"]);
    }
}
