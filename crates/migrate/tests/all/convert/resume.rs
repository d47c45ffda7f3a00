//! What the next life of a conversion keeps, and when it must not.

use std::fs;
use std::time::{Duration, SystemTime};

use migrate::ErrorKind;
use migrate::convert::{self, Options, Target};
use migrate::sink::Format;
use transfer::Cancel;

use super::{CAPACITY, Ear, Stage, digest, names_in, options};
use crate::disks::Watched;

#[test]
fn a_stopped_conversion_is_gone_on_with_and_reads_nothing_twice() {
    for format in super::formats() {
        let stage = Stage::new();
        stage.half(&options(format));
        let ear = Ear::default();
        let report = stage.run(&options(format), &ear).unwrap();
        assert_eq!(ear.warnings(), [""; 0], "{format:?}");
        assert!(report.resumed && report.kept_bytes > CAPACITY / 8, "{format:?}: {report:?}");
        let whole = stage.run(&Options { replace: true, ..options(format) }, &Ear::default()).unwrap();
        // A chunk of which a part was copied is kept as far as it goes, its holes included.
        assert!(report.read_bytes + report.kept_bytes >= whole.read_bytes, "{format:?}: {report:?} {whole:?}");
        assert!(report.read_bytes < whole.read_bytes - CAPACITY / 8, "{format:?}: {report:?} {whole:?}");
        assert_eq!(report.content_digest, digest(&stage.at("disk.raw")), "{format:?}");
        assert_eq!(names_in(stage.folder.path()), ["disk.raw", "x.qcow2"], "{format:?}");
    }
}

/// Runs a conversion that cannot go on with the half that is there; returns why, in its words.
fn anew(stage: &Stage, options: &Options) -> String {
    let ear = Ear::default();
    let report = stage.run(options, &ear).unwrap();
    assert!(!report.resumed && report.kept_bytes == 0, "{report:?}");
    assert_eq!(report.content_digest, digest(&stage.at("disk.raw")));
    assert_eq!(digest(&stage.at("x.qcow2")), report.content_digest);
    assert_eq!(names_in(stage.folder.path()), ["disk.raw", "x.qcow2"]);
    let [warning] = &ear.warnings()[..] else { panic!("{:?}", ear.warnings()) };
    warning.clone()
}

#[test]
fn a_source_that_was_written_to_since_is_converted_anew() {
    let stage = Stage::new();
    let usual = options(Format::qcow2(None));
    stage.half(&usual);
    let file = fs::File::options().write(true).open(stage.at("disk.raw")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"changed", 0).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(2)).unwrap();
    let why = anew(&stage, &usual);
    assert!(why.contains("disk.raw was") && why.contains("written"), "{why}");
}

#[test]
fn another_format_or_cluster_is_begun_anew() {
    let usual = options(Format::qcow2(None));
    let larger = options(Format::Qcow2 { cluster_bytes: 128 << 10, compression: None });
    for (other, word) in [(options(Format::Raw), "format was qcow2, is raw"), (larger, "cluster was 65536, is 131072")]
    {
        let stage = Stage::new();
        stage.half(&usual);
        let why = anew(&stage, &other);
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn a_journal_without_its_partial_file_and_a_damaged_one_are_begun_anew() {
    let usual = options(Format::qcow2(None));
    let stage = Stage::new();
    stage.half(&usual);
    fs::remove_file(stage.at(".x.qcow2.part")).unwrap();
    let why = anew(&stage, &usual);
    assert!(why.contains(".x.qcow2.part"), "{why}");

    let stage = Stage::new();
    stage.half(&usual);
    let mut journal = fs::read(stage.at(".x.qcow2.part.journal")).unwrap();
    journal[20] ^= 1;
    fs::write(stage.at(".x.qcow2.part.journal"), journal).unwrap();
    let why = anew(&stage, &usual);
    assert!(why.contains("damaged"), "{why}");
}

#[test]
fn a_partial_file_that_is_not_what_the_journal_says_ends_as_the_right_image() {
    for format in super::formats() {
        let stage = Stage::new();
        stage.half(&options(format));
        let mut bytes = fs::read(stage.at(".x.qcow2.part")).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle..middle + 200_000].fill(0xa5);
        fs::write(stage.at(".x.qcow2.part"), bytes).unwrap();
        let report = stage.run(&options(format), &Ear::default()).unwrap();
        assert_eq!(digest(&stage.at("x.qcow2")), report.content_digest, "{format:?}");
        assert_eq!(report.content_digest, digest(&stage.at("disk.raw")), "{format:?}");
    }
}

#[test]
fn a_source_that_changes_while_it_is_read_gives_no_image() {
    let stage = Stage::new();
    let disk = stage.at("disk.raw");
    let usual = options(Format::qcow2(None));
    let file = fs::File::options().write(true).open(&disk).unwrap();
    let later = SystemTime::now() + Duration::from_secs(2);
    let source = Watched::open(&disk, move |_| file.set_modified(later).unwrap());
    let target = Target::at(&stage.at("x.qcow2"));
    let error = convert::disk(&source, &target, &usual, &(), &Cancel::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification);
    assert!(error.to_string().contains("changed while it was read"), "{error}");
    assert!(!stage.at("x.qcow2").exists());
    anew(&stage, &usual);
}

#[test]
fn a_conversion_that_ended_between_its_renaming_and_its_last_step_is_found_done() {
    let usual = options(Format::qcow2(None));
    let stage = Stage::new();
    // All but the finish is there: what the last life does then is that, and no more.
    let disk = stage.at("disk.raw");
    let journal = stage.at(".x.qcow2.part.journal");
    let kept = journal.clone();
    let source = Watched::open(&disk, move |_| {});
    /// Keeps a copy of the journal of a whole disk.
    struct Keep(std::path::PathBuf);
    impl convert::Observer for Keep {
        fn progress(&self, progress: &convert::Progress) {
            if progress.phase == convert::Phase::Finishing {
                fs::copy(&self.0, self.0.with_extension("kept")).unwrap();
            }
        }
        fn warning(&self, text: &str) {
            panic!("{text}");
        }
    }
    let target = Target::at(&stage.at("x.qcow2"));
    let first = convert::disk(&source, &target, &usual, &Keep(kept), &Cancel::new()).unwrap();
    let restore = || fs::copy(journal.with_extension("kept"), &journal).unwrap();
    restore();
    let report = stage.run(&usual, &Ear::default()).unwrap();
    assert!(report.resumed && report.read_bytes == 0, "{report:?}");
    assert_eq!((report.content_digest, report.file_bytes), (first.content_digest, first.file_bytes));
    assert!(!journal.exists());
    // Another file under the name is not ours, whatever the journal says.
    restore();
    fs::write(stage.at("x.qcow2"), "a stranger's").unwrap();
    assert_eq!(stage.run(&usual, &Ear::default()).unwrap_err().kind(), ErrorKind::Target);
    assert_eq!(fs::read_to_string(stage.at("x.qcow2")).unwrap(), "a stranger's");
}
