//! qemu-img as a judge: it must read what we write, and we must take what it writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use diskimage::ErrorKind;
use diskimage::vmdk::layout::SECTOR_LEN;
use diskimage::vmdk::stream_walk::Proof;

use crate::model::{Disk, walk};

/// Returns whether the judge is there; says so when it is not.
fn judge_present(test: &str) -> bool {
    judges::qemu_img(test).is_some()
}

fn qemu_img(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).current_dir(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The shapes of disks that matter: sparse, full, empty, and of odd sizes.
fn shapes() -> Vec<(&'static str, Disk)> {
    vec![
        ("sparse", Disk::new(100 << 20).fill([0, 1, 700, 1599], 11)),
        ("full", Disk::new(8 << 20).fill(0..128, 22)),
        ("empty", Disk::new(64 << 20)),
        ("odd", Disk::new(1954 * 512).fill(0..16, 33)),
        ("odd-sparse", Disk::new(70_001 * 512).fill([3, 546], 44)),
        ("one-sector", Disk::new(512).fill([0], 55)),
        ("noise", Disk::new(1 << 20).fill((0..16).map(|i| i * 5 + 4), 0)),
    ]
}

#[test]
fn qemu_img_reads_every_stream_we_write() {
    if !judge_present("qemu_img_reads_every_stream_we_write") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, disk) in shapes() {
        let (stream, _) = disk.write();
        fs::write(folder.path().join("disk.vmdk"), &stream).unwrap();
        let info = qemu_img(folder.path(), &["info", "--output=json", "disk.vmdk"]);
        assert!(info.contains("\"format\": \"vmdk\""), "{name}: {info}");
        assert!(info.contains("streamOptimized"), "{name}: {info}");
        assert!(info.contains(&format!("\"virtual-size\": {}", disk.capacity_bytes)), "{name}: {info}");
        qemu_img(folder.path(), &["check", "disk.vmdk"]);
        qemu_img(folder.path(), &["convert", "-O", "raw", "disk.vmdk", "disk.raw"]);
        assert!(fs::read(folder.path().join("disk.raw")).unwrap() == disk.raw(), "{name} differs");
    }
}

#[test]
fn qemu_img_streams_are_walked() {
    if !judge_present("qemu_img_streams_are_walked") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, disk) in shapes() {
        let stream = made_by_qemu(folder.path(), &disk);
        let summary = walk(&stream, true).unwrap();
        assert_eq!(summary.capacity_bytes, disk.capacity_bytes, "{name}");
        assert_eq!(summary.proof, Proof::TablesInFront, "{name}");
        assert_eq!(summary.grains, u64::try_from(disk.grains.len()).unwrap(), "{name}");
        assert_eq!(summary.populated_bytes, disk.populated_bytes(), "{name}");
        assert_eq!(summary.warnings, Vec::<String>::new(), "{name}");
        assert!(summary.descriptor.is_some(), "{name}");
    }
}

#[test]
fn qemu_img_streams_cut_before_the_last_grain_ends_are_truncated() {
    if !judge_present("qemu_img_streams_cut_before_the_last_grain_ends_are_truncated") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stream = made_by_qemu(folder.path(), &Disk::new(40 << 20).fill([0, 9, 600], 5));
    // What follows the last grain is zeros, and the grain itself ends in its checksum.
    let data_end = stream.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let grain_end = data_end.next_multiple_of(SECTOR_LEN);
    for end in (0..grain_end).filter(|end| end % SECTOR_LEN == 0 || end % 89 == 0) {
        let error = walk(&stream[..end], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "cut at {end}: {error}");
    }
    assert!(walk(&stream[..grain_end], true).is_ok());
}

fn made_by_qemu(folder: &Path, disk: &Disk) -> Vec<u8> {
    fs::write(folder.join("in.raw"), disk.raw()).unwrap();
    let stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"];
    let arguments = [&["convert", "-f", "raw"], &stream[..], &["in.raw", "out.vmdk"]].concat();
    qemu_img(folder, &arguments);
    fs::read(folder.join("out.vmdk")).unwrap()
}
