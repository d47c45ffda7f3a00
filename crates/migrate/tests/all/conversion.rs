//! Whatever a user names, damaged in every way: an error, or the right bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use migrate::conversion::{Format, Report, Request, convert};
use migrate::export::{Observer, Progress};
use tokio_util::sync::CancellationToken;

use crate::disks::Random;

/// Not a multiple of a grain or a cluster, and enough for several tables' worth of neither.
const CAPACITY: usize = (1 << 20) + 4096 + 512;

/// The largest unit of any format here: what a flipped byte may change at most.
const UNIT_BYTES: usize = 64 << 10;

struct Nobody;

impl Observer for Nobody {
    fn progress(&self, _progress: &Progress) {}
    fn warning(&self, _text: &str) {}
}

fn request(source: &Path, output: &Path, format: Format) -> Request {
    Request {
        source: source.to_owned(),
        output: output.to_owned(),
        format,
        compression: None,
        cluster_bytes: None,
        replace: false,
        follow_outside: false,
        source_is_raw: false,
    }
}

fn run(request: Request) -> migrate::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(convert(request, Arc::new(Nobody), CancellationToken::new()))
}

/// One readable thing: the files that make it up, and the one that a user names.
struct Sample {
    name: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    /// Whether the format can tell that a byte of data is wrong.
    is_checked: bool,
}

impl Sample {
    /// Takes the files as they lie in `folder`; the first is the one to name.
    fn of(folder: &Path, files: &[&'static str], is_checked: bool) -> Self {
        let read = |name: &&'static str| (*name, fs::read(folder.join(name)).unwrap());
        Self { name: files[0], files: files.iter().map(read).collect(), is_checked }
    }
}

fn qemu_img(folder: &Path, arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn samples(folder: &Path, disk: &[u8]) -> Vec<Sample> {
    fs::write(folder.join("disk.raw"), disk).unwrap();
    let made = |name: &'static str, format: &str, options: &[&str]| {
        let arguments = [&["convert", "-f", "raw", "-O", format], options, &["disk.raw", name]].concat();
        qemu_img(folder, &arguments);
    };
    made("sparse.vmdk", "vmdk", &["-o", "subformat=monolithicSparse"]);
    made("flat.vmdk", "vmdk", &["-o", "subformat=monolithicFlat"]);
    made("split.vmdk", "vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]);
    made("stream.vmdk", "vmdk", &["-o", "subformat=streamOptimized"]);
    made("plain.qcow2", "qcow2", &[]);
    made("packed.qcow2", "qcow2", &["-c", "-o", "compression_type=zstd"]);
    let source = folder.join("disk.raw");
    run(request(&source, &folder.join("ours.vmdk"), Format::Vmdk)).unwrap();
    run(request(&source, &folder.join("vm.ova"), Format::Ova)).unwrap();
    run(request(&source, &folder.join("ovf"), Format::Ovf)).unwrap();
    for name in ["disk.ovf", "disk-disk-0.vmdk"] {
        fs::rename(folder.join("ovf").join(name), folder.join(name)).unwrap();
    }
    [
        (&["sparse.vmdk"][..], false),
        (&["flat.vmdk", "flat-flat.vmdk"], false),
        (&["split.vmdk", "split-s001.vmdk"], false),
        (&["stream.vmdk"], true),
        (&["plain.qcow2"], false),
        (&["packed.qcow2"], false),
        (&["ours.vmdk"], true),
        (&["vm.ova"], true),
        (&["disk.ovf", "disk-disk-0.vmdk"], true),
    ]
    .into_iter()
    .map(|(files, is_checked)| Sample::of(folder, files, is_checked))
    .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Delete,
    Truncate,
    Flip,
}

/// Returns what is left of a file, none where it is gone.
fn damaged(bytes: &[u8], damage: Damage, place: usize) -> Option<Vec<u8>> {
    let last = bytes.len() - 1;
    // Head, middle, tail; the very first byte and the very last one are the strictest.
    let at = [0, last / 2, last][place];
    match damage {
        Damage::Delete => None,
        Damage::Truncate => Some(bytes[..at].to_vec()),
        Damage::Flip => {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 0x10;
            Some(bytes)
        }
    }
}

/// Returns how far apart the first and the last byte are that differ.
fn spread(one: &[u8], other: &[u8]) -> usize {
    assert_eq!(one.len(), other.len(), "the disk has its size");
    let differ = |(index, (one, other)): (usize, (&u8, &u8))| (one != other).then_some(index);
    let places: Vec<_> = one.iter().zip(other).enumerate().filter_map(differ).collect();
    places.last().zip(places.first()).map_or(0, |(last, first)| last - first + 1)
}

#[test]
fn damage_anywhere_is_an_error_or_comes_out_right() {
    let test = "damage_anywhere_is_an_error_or_comes_out_right";
    if judges::qemu_img(test).is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let disk = Random::new(5).bytes(CAPACITY);
    let (mut errors, mut right, mut unseen) = (0, 0, 0);
    for sample in samples(place.path(), &disk) {
        for file in 0..sample.files.len() {
            for damage in [Damage::Delete, Damage::Truncate, Damage::Flip] {
                for at in 0..3 {
                    let folder = tempfile::tempdir().unwrap();
                    for (index, (name, bytes)) in sample.files.iter().enumerate() {
                        let left = if index == file { damaged(bytes, damage, at) } else { Some(bytes.clone()) };
                        left.iter().for_each(|left| fs::write(folder.path().join(name), left).unwrap());
                    }
                    let what = format!("{}: {damage:?} {} at {at}", sample.name, sample.files[file].0);
                    let output: PathBuf = folder.path().join("out.raw");
                    match run(request(&folder.path().join(sample.name), &output, Format::Raw)) {
                        Err(error) => {
                            assert!(!output.exists(), "{what}: nothing wrong stands under the final name");
                            assert_ne!(error.kind(), migrate::ErrorKind::Internal, "{what}: {}", error.chain());
                            errors += 1;
                        }
                        Ok(_) => {
                            assert_ne!(damage, Damage::Delete, "{what}");
                            let spread = spread(&fs::read(&output).unwrap(), &disk);
                            let may_be_wrong = !sample.is_checked && damage == Damage::Flip;
                            assert!(spread == 0 || may_be_wrong, "{what}: {spread} bytes are wrong and nobody says so");
                            assert!(spread <= UNIT_BYTES, "{what}: one byte has changed {spread}");
                            *(if spread == 0 { &mut right } else { &mut unseen }) += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(errors > right && right > 0 && unseen < 10, "{errors} errors, {right} right, {unseen} unseen");
}
