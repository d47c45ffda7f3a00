//! What stands in the way of a conversion, and stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use migrate::ErrorKind;
use migrate::convert::{Options, Target};
use migrate::sink::Format;

use super::{Ear, Stage, digest, names_in, options};

fn usual() -> Options {
    options(Format::qcow2(None))
}

#[test]
fn what_no_conversion_wrote_is_replaced_only_when_told() {
    for name in ["x.qcow2", ".x.qcow2.part", ".x.qcow2.part.journal"] {
        let stage = Stage::new();
        fs::write(stage.at(name), "a stranger's").unwrap();
        let error = stage.run(&usual(), &Ear::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target, "{name}: {error}");
        assert!(error.to_string().contains(name) && error.hint().unwrap().contains("--force"), "{name}: {error}");
        assert_eq!(fs::read_to_string(stage.at(name)).unwrap(), "a stranger's", "{name}");
        assert_eq!(names_in(stage.folder.path()).len(), 2, "nothing new lies there");
        let report = stage.run(&Options { replace: true, ..usual() }, &Ear::default()).unwrap();
        assert_eq!(digest(&stage.at("x.qcow2")), report.content_digest, "{name}");
        assert_eq!(names_in(stage.folder.path()), ["disk.raw", "x.qcow2"], "{name}");
    }
}

#[test]
fn a_finished_image_is_not_written_again_without_being_told() {
    let stage = Stage::new();
    stage.run(&usual(), &Ear::default()).unwrap();
    let before = fs::read(stage.at("x.qcow2")).unwrap();
    assert_eq!(stage.run(&usual(), &Ear::default()).unwrap_err().kind(), ErrorKind::Target);
    assert!(fs::read(stage.at("x.qcow2")).unwrap() == before);
    assert_eq!(names_in(stage.folder.path()), ["disk.raw", "x.qcow2"]);
}

#[test]
fn a_file_that_is_read_is_never_written_to_by_any_name() {
    let stage = Stage::new();
    let before = digest(&stage.at("disk.raw"));
    std::os::unix::fs::symlink("disk.raw", stage.at("soft")).unwrap();
    fs::hard_link(stage.at("disk.raw"), stage.at("hard")).unwrap();
    let forced = Options { replace: true, ..options(Format::Raw) };
    for name in ["disk.raw", "soft", "hard"] {
        let error = super::convert(&stage.at("disk.raw"), &stage.at(name), &forced, &Ear::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name}: {error}");
    }
    assert_eq!(digest(&stage.at("disk.raw")), before);
}

#[test]
fn a_partial_file_is_its_owners_alone_and_a_finished_one_has_the_usual_mode() {
    let stage = Stage::new();
    stage.half(&usual());
    let mode = |name: &str| stage.at(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".x.qcow2.part"), mode(".x.qcow2.part.journal")), (0o600, 0o600));
    stage.run(&usual(), &Ear::default()).unwrap();
    fs::write(stage.at("usual"), "").unwrap();
    assert_eq!(mode("x.qcow2"), mode("usual"));
}

#[test]
fn one_image_is_written_by_one_conversion_at_a_time() {
    let stage = Stage::new();
    let _running = migrate::copy::JournalFile::open(&stage.at(".x.qcow2.part.journal")).unwrap();
    let error = stage.run(&Options { replace: true, ..usual() }, &Ear::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.chain().contains("another process"), "{}", error.chain());
}

#[test]
fn a_target_that_cannot_be_one_is_refused_with_the_reason() {
    let stage = Stage::new();
    fs::create_dir(stage.at("folder")).unwrap();
    let run = |target: &Path, format| super::convert(&stage.at("disk.raw"), target, &options(format), &Ear::default());
    let error = run(&stage.at("absent/x.raw"), Format::Raw).unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Target, Some("make the directory first")), "{error}");
    let error = run(&stage.at("folder"), Format::Raw).unwrap_err();
    assert!(error.to_string().contains("a directory"), "{error}");
    let odd = Format::Qcow2 { cluster_bytes: 5000, compression: None };
    let error = run(&stage.at("x.qcow2"), odd).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{}", error.chain());
    assert_eq!(names_in(stage.folder.path()), ["disk.raw", "folder"]);
    // A path that is said to be a device is opened only if it is one.
    let device = Target::Device { path: stage.at("disk.raw"), journal: None };
    let other = stage.at("other.raw");
    fs::copy(stage.at("disk.raw"), &other).unwrap();
    let source = migrate::convert::Source::open(&other).unwrap();
    let refused = |format| {
        let outcome = migrate::convert::disk(&source, &device, &options(format), &(), &transfer::Cancel::new());
        outcome.unwrap_err().kind()
    };
    assert_eq!((refused(Format::Raw), refused(Format::qcow2(None))), (ErrorKind::Target, ErrorKind::Usage));
}
