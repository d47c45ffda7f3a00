//! Packages with a member deleted, cut or flipped at its head, middle and tail, in every container.
//!
//! What comes in is right or it is an error. Where the damage cannot be seen without a manifest,
//! the manifest sees it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use diskimage::package::Package;
use diskimage::package::machine::DiskBacking;
use diskimage::package::manifest::Algorithm::Sha256;
use diskimage::{Error, ErrorKind};

use super::build::*;
use crate::model::contents;

/// The three files of the package that damage is done to.
fn files() -> [(&'static str, Vec<u8>); 3] {
    let disk = contents(2, 40_000);
    let ovf = Ovf::new().disk("disk.vmdk", "ovf:size='40000'").text().into_bytes();
    let manifest = format!("{}\n{}\n", line(Sha256, "vm.ovf", &ovf), line(Sha256, "disk.vmdk", &disk));
    [("vm.ovf", ovf), ("vm.mf", manifest.into_bytes()), ("disk.vmdk", disk)]
}

type Pack = fn(&Path, &[(&str, &[u8])]) -> PathBuf;

const CONTAINERS: [(&str, Pack); 5] = [
    ("folder", |at, files| lay(at, files)),
    ("tar", |at, files| lay_one(at, "vm.ova", &tar(files))),
    ("zip", |at, files| lay_one(at, "vm.ova", &zip(files))),
    ("tar.gz", |at, files| lay_one(at, "vm.ova", &gzip(&tar(files)))),
    ("tar.xz", |at, files| lay_one(at, "vm.ova", &xz(&tar(files)))),
];

/// Reads everything: the machine's disk, and whether the manifest agrees.
fn import(path: &Path) -> Result<(Vec<u8>, usize), Error> {
    let package = Package::open(path)?;
    let machine = package.machine(None)?;
    let DiskBacking::File(backing) = &machine.disks[0].backing else { panic!("a disk with a file") };
    let mut disk = Vec::new();
    let mut reader = package.disk_file(backing, machine.disks[0].capacity_bytes)?.reader()?;
    reader.read_to_end(&mut disk).map_err(|error| error.downcast::<Error>().unwrap())?;
    let verification = package.verify(&mut |_| Ok(()))?;
    verification.check()?;
    Ok((disk, verification.verified.len()))
}

#[test]
fn a_package_comes_in_whole_from_every_container() {
    let files = files();
    for (container, pack) in CONTAINERS {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = files.iter().map(|(name, data)| (*name, data.as_slice())).collect();
        let (disk, verified) = import(&pack(folder.path(), &files)).unwrap();
        assert!(disk == files[2].1 && verified == 2, "{container}");
    }
}

/// Damages data in place; returns `None` where a deleted file is meant.
fn damaged(data: &[u8], how: &str, place: usize) -> Option<Vec<u8>> {
    let at = [0, data.len() / 2, data.len() - 1][place];
    match how {
        "delete" => None,
        "truncate" => Some(data[..at].to_vec()),
        _ => {
            let mut data = data.to_vec();
            data[at] ^= 0x41;
            Some(data)
        }
    }
}

#[test]
fn a_damaged_file_of_a_package_is_an_error_or_harmless() {
    let files = files();
    let mut refused = 0;
    for (container, pack) in CONTAINERS {
        for victim in 0..files.len() {
            for how in ["delete", "truncate", "flip"] {
                for place in 0..3 {
                    let folder = tempfile::tempdir().unwrap();
                    let broken = damaged(&files[victim].1, how, place);
                    let mut all: Vec<_> = files.iter().map(|(name, data)| (*name, data.as_slice())).collect();
                    match &broken {
                        Some(data) => all[victim].1 = data,
                        None => drop(all.remove(victim)),
                    }
                    let what = format!("{container}: {how} {} {place}", files[victim].0);
                    match import(&pack(folder.path(), &all)) {
                        Err(_) => refused += 1,
                        // Without its manifest, or with a line of it broken, a package is only checked
                        // less; and the last line needs no end.
                        Ok((disk, verified)) => {
                            let needs_less = verified < 2 || (how, place) == ("truncate", 2);
                            assert!(victim == 1 && disk == files[2].1 && needs_less, "{what}: {verified} verified");
                        }
                    }
                }
            }
        }
    }
    assert!(refused >= 5 * 2 * 9, "{refused} of the damages to descriptor and disk were refused");
}

#[test]
fn a_damaged_archive_is_an_error_or_harmless() {
    let files = files();
    let files: Vec<_> = files.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    for (container, pack) in CONTAINERS.into_iter().skip(1) {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path(), &files);
        let whole = fs::read(&path).unwrap();
        let mut refused = 0;
        // Of a packed archive every byte is much like another, and each try unpacks all of it.
        let step = if container.contains('.') { 997 } else { 97 };
        for position in (0..whole.len()).step_by(step) {
            let mut flipped = whole.clone();
            flipped[position] ^= 0x20;
            for broken in [&whole[..position], &flipped] {
                fs::write(&path, broken).unwrap();
                match import(&path) {
                    Err(error) => {
                        refused += 1;
                        assert_ne!(error.kind(), ErrorKind::Misuse, "{container} {position}: {error}");
                    }
                    Ok((disk, _)) => assert!(disk == files[2].1, "{container} {position}: another disk"),
                }
            }
        }
        assert!(refused > whole.len() / step, "{container}: {refused} of the damages were refused");
    }
}
