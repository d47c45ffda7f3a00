//! Files that qemu-img made (these tests were written with 7.2), and files that it cannot make but
//! can read: our bytes are its bytes, and those of `vmdk-core`.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use diskimage::image::{Disk as _, ExtentKind, Image, extents};
use diskimage::vmdk::read::{OpenOptions, open_path};

use super::build::{Cell, Cells, Hosted, cowd, descriptor, hosted, read_all, sesparse};
use super::others::{qemu, qemu_img, read_by_qemu, read_by_vmdk_core};
use crate::model::Disk;

const SUBFORMATS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

fn open_at(path: &Path) -> Image {
    open_path(path, OpenOptions::default()).unwrap()
}

#[test]
fn every_subformat_of_qemu_img_reads_as_it_was_written() {
    if judges::qemu_img("every_subformat_of_qemu_img_reads_as_it_was_written").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disks = [
        ("sparse", Disk::new(100 << 20).fill([0, 1, 700, 1599], 11)),
        ("full", Disk::new(8 << 20).fill(0..128, 22)),
        ("empty", Disk::new(64 << 20)),
        ("odd", Disk::new(1954 * 512).fill(0..16, 33)),
        ("odd-sparse", Disk::new(70_001 * 512).fill([3, 546], 44)),
        ("one-sector", Disk::new(512).fill([0], 55)),
    ];
    for (name, disk) in &disks {
        let raw = disk.raw();
        fs::write(folder.path().join("in.raw"), &raw).unwrap();
        for subformat in SUBFORMATS {
            let option = format!("subformat={subformat}");
            qemu_img(folder.path(), &["convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", "out.vmdk"]);
            let path = folder.path().join("out.vmdk");
            let image = open_at(&path);
            assert!(read_all(&image).unwrap() == raw, "{name} {subformat}");
            let description = image.describe().unwrap();
            assert_eq!(description.links[0].variant, subformat, "{name}");
            assert_eq!(description.warnings, Vec::<String>::new(), "{name} {subformat}");
            // A flat file that qemu-img made has a block at its start, data or not.
            let most = 4096 + 65536 * u64::try_from(disk.grains.len()).unwrap();
            assert!(description.allocated_bytes <= most, "{name} {subformat}: {}", description.allocated_bytes);
            assert!(read_by_vmdk_core(&path).is_none_or(|bytes| bytes == raw), "vmdk-core: {name} {subformat}");
        }
    }
}

#[test]
fn a_chain_made_by_qemu_img_reads_as_qemu_reads_it() {
    if judges::qemu_img("a_chain_made_by_qemu_img_reads_as_qemu_reads_it").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, command: &str| {
        let output = qemu(path, "qemu-io", &["-f", "vmdk", "-c", command, name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    qemu_img(path, &["create", "-f", "vmdk", "-o", "zeroed_grain=on", "base.vmdk", "20001k"]);
    write("base.vmdk", "write -P 0x11 0 3M");
    write("base.vmdk", "write -P 0x12 17M 1M");
    let mut below = "base.vmdk".to_owned();
    for (number, commands) in
        [["write -P 0x21 1M 70k", "write -z 2M 128k"], ["write -P 0x31 1030k 5k", "write -P 0x32 16M 2M"]]
            .iter()
            .enumerate()
    {
        let name = format!("snap{number}.vmdk");
        let option = format!("zeroed_grain=on,backing_file={below},backing_fmt=vmdk");
        qemu_img(path, &["create", "-f", "vmdk", "-o", &option, &name]);
        for command in commands {
            write(&name, command);
        }
        below = name;
    }
    let image = open_at(&path.join(&below));
    assert_eq!(image.links().len(), 3);
    let bytes = read_all(&image).unwrap();
    assert!(Some(&bytes) == read_by_qemu(path, &below).as_ref());
    let at = |offset: usize| bytes[offset];
    assert_eq!((at(0), at(1 << 20), at(1030 << 10), at(2 << 20), at(16 << 20)), (0x11, 0x21, 0x31, 0, 0x32));
    let zeros = image.links()[1].disk.extents(2 << 20..(2 << 20) + 65536).unwrap();
    assert_eq!(zeros[0].kind, ExtentKind::Zero, "a zeroed grain hides its parent");
}

#[test]
fn a_disk_of_several_files_of_2_gib_is_whole() {
    if judges::qemu_img("a_disk_of_several_files_of_2_gib_is_whole").is_none() {
        return;
    }
    const GIB: u64 = 1 << 30;
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("in.raw")).unwrap();
    file.set_len(3 * GIB + 512 * 7).unwrap();
    // Over the border of the first two files, and in the last sector.
    file.write_all_at(&[0xab; 8192], 2 * GIB - 4096).unwrap();
    file.write_all_at(&[0xcd; 512], 3 * GIB + 512 * 6).unwrap();
    for subformat in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let option = format!("subformat={subformat}");
        qemu_img(folder.path(), &["convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", "out.vmdk"]);
        let image = open_at(&folder.path().join("out.vmdk"));
        assert_eq!(image.capacity_bytes(), 3 * GIB + 512 * 7);
        let mut data = 0;
        for extent in extents(&image, 0..image.capacity_bytes()) {
            let extent = extent.unwrap();
            if extent.kind == ExtentKind::Data {
                data += extent.len_bytes();
            }
        }
        assert!(data <= 4 * 65536, "{subformat}: {data} bytes of data");
        let mut buf = vec![0; 16384];
        image.read_at(2 * GIB - 8192, &mut buf).unwrap();
        assert!(buf[..4096].iter().all(|&byte| byte == 0) && buf[12288..].iter().all(|&byte| byte == 0));
        assert!(buf[4096..12288].iter().all(|&byte| byte == 0xab), "{subformat}");
        let mut last = [0; 512];
        image.read_at(3 * GIB + 512 * 6, &mut last).unwrap();
        assert_eq!(last, [0xcd; 512]);
    }
}

#[test]
fn the_cost_of_a_sparse_tebibyte_follows_its_data() {
    if judges::qemu_img("the_cost_of_a_sparse_tebibyte_follows_its_data").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    qemu_img(path, &["create", "-f", "vmdk", "big.vmdk", "1T"]);
    let output = qemu(path, "qemu-io", &["-f", "vmdk", "-c", "write -P 7 700G 64k", "big.vmdk"]);
    assert!(output.status.success());
    let image = open_at(&path.join("big.vmdk"));
    let runs: Vec<_> = extents(&image, 0..1 << 40).collect::<Result<_, _>>().unwrap();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert_eq!(runs[1].range, 700 << 30..(700 << 30) + 65536);
}

/// A file that no tool here writes, what is in it, and what `vmdk-core` makes of it.
struct Built {
    name: &'static str,
    disk: Vec<u8>,
    by_vmdk_core: Vec<u8>,
}

/// Writes the files into a folder.
fn built(folder: &Path) -> Vec<Built> {
    let put = |name: &str, bytes: Vec<u8>| fs::write(folder.join(name), bytes).unwrap();
    let base = crate::model::contents(9, 40_000 * 512);
    put("base-flat.vmdk", base.clone());
    put("base.vmdk", descriptor("vmfs", &["RW 40000 VMFS \"base-flat.vmdk\"".into()], None).into_bytes());
    let line = |kind: &str, file: &str| vec![format!("RW 40000 {kind} \"{file}\"")];
    let mut all = vec![Built { name: "base.vmdk", disk: base.clone(), by_vmdk_core: base.clone() }];
    for (name, grain) in [("cowd-1", 1), ("cowd-32", 32)] {
        // QEMU reads an entry of 1 as the sector of this number, so there is none here.
        let link = without_zeros(&Cells::random(40_000, grain, 4));
        let file = format!("{name}-delta.vmdk");
        put(&file, cowd(&link, b"base.vmdk"));
        put(name, descriptor("vmfsSparse", &line("VMFSSPARSE", &file), Some("base.vmdk")).into_bytes());
        // It takes the delta for a disk that has everything. We and QEMU are right.
        all.push(Built { name, disk: link.over(&base), by_vmdk_core: link.over(&[]) });
    }
    let link = Cells::random(40_000, 8, 5);
    put("se-sesparse.vmdk", sesparse(&link, 5000));
    put("se", descriptor("seSparse", &line("SESPARSE", "se-sesparse.vmdk"), Some("base.vmdk")).into_bytes());
    all.push(Built { name: "se", disk: link.over(&base), by_vmdk_core: link.over(&base) });
    for (name, grain) in [("sparse-16", 16), ("sparse-128", 128), ("sparse-256", 256)] {
        let link = Cells::random(40_000, grain, 6);
        let text = descriptor("monolithicSparse", &line("SPARSE", name), Some("base.vmdk"));
        let how = Hosted { descriptor: Some(text), redundant: true, ..Hosted::default() };
        put(name, hosted(&link, &how).0);
        // It reads a grain of zeros from the parent. The note, QEMU and we hide the parent.
        all.push(Built { name, disk: link.over(&base), by_vmdk_core: without_zeros(&link).over(&base) });
    }
    all
}

fn without_zeros(link: &Cells) -> Cells {
    let mut link = link.clone();
    link.cells.iter_mut().filter(|cell| **cell == Cell::Zero).for_each(|cell| *cell = Cell::Absent);
    link
}

#[test]
fn what_no_tool_writes_reads_as_qemu_reads_it() {
    if judges::qemu_img("what_no_tool_writes_reads_as_qemu_reads_it").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for Built { name, disk, .. } in built(folder.path()) {
        assert!(read_all(&open_at(&folder.path().join(name))).unwrap() == disk, "{name}: ours");
        assert!(read_by_qemu(folder.path(), name).unwrap() == disk, "{name}: QEMU");
    }
}

#[test]
fn what_no_tool_writes_reads_as_vmdk_core_reads_it_but_for_two_faults_of_its() {
    let folder = tempfile::tempdir().unwrap();
    let mut faults = 0;
    for Built { name, disk, by_vmdk_core } in built(folder.path()) {
        assert!(read_all(&open_at(&folder.path().join(name))).unwrap() == disk, "{name}: ours");
        assert!(read_by_vmdk_core(&folder.path().join(name)).unwrap() == by_vmdk_core, "{name}: vmdk-core");
        faults += usize::from(disk != by_vmdk_core);
    }
    assert_eq!(faults, 3, "two COWD deltas, and one sparse link with zeros over data");
}
