//! Images that qemu-img made (7.2 or later), in every variant that we read.

use std::fs;
use std::path::Path;
use std::process::Command;

use diskimage::image::{Disk as _, ExtentKind, Image, extents};
use diskimage::qcow2::read::{ReadOptions, open_path};
use diskimage::{Error, ErrorKind};

use super::judge::{judge_present, qemu_img};
use crate::writers::{Random, whole};

const CAPACITY: usize = 3 << 20 | 5 << 9;

/// Opens an image with its backing files.
fn open(folder: &Path, name: &str) -> Result<Image, Error> {
    open_path(&folder.join(name), ReadOptions::default())
}

fn write_raw(folder: &Path, name: &str, seed: u64) -> Vec<u8> {
    let contents = Random::new(seed).bytes(CAPACITY);
    fs::write(folder.join(name), &contents).unwrap();
    contents
}

/// Lets QEMU write into an image, as a guest would.
fn qemu_io(folder: &Path, name: &str, commands: &[&str]) {
    let arguments = commands.iter().flat_map(|command| ["-c", command]);
    let output =
        Command::new("qemu-io").args(arguments).args(["-f", "qcow2", name]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{commands:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_variant_of_qemu_img_is_read() {
    if !judge_present("every_variant_of_qemu_img_is_read") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let contents = write_raw(folder.path(), "in.raw", 1);
    let variants = [
        vec!["-o", "compat=0.10"],
        vec!["-o", "compat=1.1"],
        vec!["-c"],
        vec!["-c", "-o", "compat=0.10"],
        vec!["-c", "-o", "compression_type=zstd"],
        vec!["-c", "-o", "cluster_size=2M"],
        vec!["-c", "-o", "cluster_size=2M,compression_type=zstd"],
        vec!["-c", "-o", "cluster_size=512"],
        vec!["-o", "lazy_refcounts=on"],
        vec!["-o", "preallocation=metadata"],
        vec!["-o", "preallocation=full"],
        vec!["-S", "0"],
        vec!["-o", "cluster_size=512"],
        vec!["-o", "cluster_size=4K"],
        vec!["-o", "cluster_size=2M"],
        vec!["-o", "refcount_bits=1"],
        vec!["-o", "refcount_bits=64"],
    ];
    for variant in variants {
        let arguments = [&["convert", "-f", "raw", "-O", "qcow2"], &variant[..], &["in.raw", "out.qcow2"]].concat();
        qemu_img(folder.path(), &arguments);
        let disk = open(folder.path(), "out.qcow2").unwrap();
        assert!(whole(&disk) == contents, "{variant:?}");
        let description = disk.describe().unwrap();
        assert_eq!(description.warnings, [""; 0], "{variant:?}");
        assert_eq!(description.links[0].format, "qcow2");
    }
}

#[test]
fn an_image_with_extended_entries_or_its_data_elsewhere_is_refused() {
    if !judge_present("an_image_with_extended_entries_or_its_data_elsewhere_is_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for option in ["extended_l2=on", "data_file=data.raw"] {
        qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "-o", option, "disk.qcow2", "10M"]);
        assert_eq!(open(folder.path(), "disk.qcow2").unwrap_err().kind(), ErrorKind::Unsupported, "{option}");
    }
    let secret = ["--object", "secret,id=s,data=abc"];
    let aes = ["-o", "encrypt.format=aes,encrypt.key-secret=s"];
    let create = [&["create", "-q"], &secret[..], &["-f", "qcow2"], &aes, &["disk.qcow2", "10M"]].concat();
    qemu_img(folder.path(), &create);
    assert_eq!(open(folder.path(), "disk.qcow2").unwrap_err().kind(), ErrorKind::Encrypted);
}

#[test]
fn a_chain_of_backing_files_is_read_as_qemu_reads_it() {
    if !judge_present("a_chain_of_backing_files_is_read_as_qemu_reads_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_raw(folder, "base.raw", 2);
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "middle.qcow2"]);
    qemu_io(folder, "middle.qcow2", &["write -P 7 100k 300k", "write -z 1M 256k", "write -z -u 2M 128k"]);
    // Larger than what lies below, with clusters of another size.
    let options = "cluster_size=4k";
    qemu_img(
        folder,
        &["create", "-q", "-f", "qcow2", "-o", options, "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2", "5M"],
    );
    qemu_io(folder, "top.qcow2", &["write -P 9 1100k 8k", "write -z 200k 12k", "write -P 3 4M 10k"]);
    let disk = open(folder, "top.qcow2").unwrap();
    assert_eq!(disk.links().len(), 3);
    let found = whole(&disk);
    qemu_img(folder, &["convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "expected.raw"]);
    assert!(found == fs::read(folder.join("expected.raw")).unwrap());
    assert_eq!((found[1100 << 10], found[1024 << 10], found[200 << 10], found[120 << 10]), (9, 0, 0, 7));
    let zero =
        extents(&disk, 0..disk.capacity_bytes()).filter(|extent| extent.as_ref().unwrap().kind == ExtentKind::Zero);
    assert!(zero.count() >= 3, "zero flags hide what lies below");
    // The same with a smaller disk on top.
    qemu_img(folder, &["create", "-q", "-f", "qcow2", "-b", "top.qcow2", "-F", "qcow2", "small.qcow2", "1M"]);
    assert!(whole(&open(folder, "small.qcow2").unwrap()) == found[..1 << 20]);
}

#[test]
fn backing_files_without_format_by_protocol_outside_or_in_a_loop_are_refused() {
    if !judge_present("backing_files_without_format_by_protocol_outside_or_in_a_loop_are_refused") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("inside");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("outside.raw"), vec![1; 1 << 20]).unwrap();
    let create = |backing: &str, format: &str| {
        qemu_img(&folder, &["create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", format, "disk.qcow2", "1M"]);
        open(&folder, "disk.qcow2").unwrap_err()
    };
    assert_eq!(create("../outside.raw", "raw").kind(), ErrorKind::Outside);
    assert_eq!(create("/etc/passwd", "raw").kind(), ErrorKind::Outside);
    assert_eq!(create("absent.raw", "raw").kind(), ErrorKind::Io);
    assert_eq!(create("nbd://localhost/x", "raw").kind(), ErrorKind::Unsupported);
    assert_eq!(create("json:{}", "raw").kind(), ErrorKind::Unsupported);
    assert_eq!(create("x.vmdk", "vmdk").kind(), ErrorKind::Unsupported);
    qemu_img(&folder, &["create", "-q", "-u", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "loop.qcow2", "1M"]);
    let looped = create("loop.qcow2", "qcow2");
    assert_eq!(looped.kind(), ErrorKind::Corrupt);
    assert!(looped.to_string().contains("does not loop"), "{looped}");
    // The name of the extension, so that the format is not said.
    let mut bytes = fs::read(folder.join("disk.qcow2")).unwrap();
    let at = bytes.windows(4).position(|four| four == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
    bytes[at] = 0x11;
    fs::write(folder.join("disk.qcow2"), bytes).unwrap();
    let unsaid = open(&folder, "disk.qcow2").unwrap_err();
    assert!(unsaid.to_string().contains("says the format"), "{unsaid}");
}

#[test]
fn a_chain_longer_than_64_links_is_refused() {
    if !judge_present("a_chain_longer_than_64_links_is_refused") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = |number: usize| format!("{number:02}.qcow2");
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", &name(0), "1M"]);
    qemu_img(folder.path(), &["create", "-q", "-u", "-f", "qcow2", "-b", "00.qcow2", "-F", "qcow2", &name(1), "1M"]);
    let template = fs::read(folder.path().join("01.qcow2")).unwrap();
    let at = template.windows(8).position(|name| name == b"00.qcow2").unwrap();
    for number in 2..=64 {
        let mut bytes = template.clone();
        bytes[at..at + 8].copy_from_slice(name(number - 1).as_bytes());
        fs::write(folder.path().join(name(number)), bytes).unwrap();
    }
    assert_eq!(open(folder.path(), &name(63)).unwrap().links().len(), 64);
    assert_eq!(open(folder.path(), &name(64)).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_terabyte_with_little_in_it_costs_little() {
    if !judge_present("a_terabyte_with_little_in_it_costs_little") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (options, cluster_bytes) in [("cluster_size=64k", 1 << 16), ("cluster_size=2M", 2 << 20)] {
        qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", "1T"]);
        qemu_io(folder.path(), "disk.qcow2", &["write -P 5 600G 1M", "write -P 6 1023G 64k"]);
        let disk = open(folder.path(), "disk.qcow2").unwrap();
        let all: Vec<_> = extents(&disk, 0..1 << 40).collect::<Result<_, _>>().unwrap();
        let data: Vec<_> = all.iter().filter(|extent| extent.kind == ExtentKind::Data).collect();
        assert_eq!((all.len(), data.len()), (5, 2), "{options}");
        assert_eq!(data[0].range, 600 << 30..(600 << 30) + cluster_bytes.max(1 << 20));
        let mut buf = [0; 2];
        disk.read_at((600 << 30) + (1 << 20) - 1, &mut buf).unwrap();
        assert_eq!(buf, [5, 0]);
    }
}

#[test]
fn an_image_that_was_not_closed_is_read_with_a_warning_and_one_marked_corrupt_only_on_demand() {
    if !judge_present("an_image_that_was_not_closed_is_read_with_a_warning_and_one_marked_corrupt_only_on_demand") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let contents = write_raw(folder.path(), "in.raw", 3);
    let create = ["convert", "-f", "raw", "-O", "qcow2", "-o", "lazy_refcounts=on", "in.raw", "disk.qcow2"];
    qemu_img(folder.path(), &create);
    let path = folder.path().join("disk.qcow2");
    let mut bytes = fs::read(&path).unwrap();
    bytes[79] |= 1;
    // Its counts were not kept.
    let table = usize::try_from(u64::from_be_bytes(bytes[48..56].try_into().unwrap())).unwrap();
    bytes[table..table + 8].copy_from_slice(&0x5000_0000_0000_u64.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let disk = open(folder.path(), "disk.qcow2").unwrap();
    assert!(whole(&disk) == contents);
    let warnings = disk.describe().unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("not closed"), "{warnings:?}");
    bytes[79] |= 2;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(open(folder.path(), "disk.qcow2").unwrap_err().kind(), ErrorKind::Corrupt);
    let disk = open_path(&path, ReadOptions { accept_marked_corrupt: true }).unwrap();
    assert!(whole(&disk) == contents);
}
