//! OVAs that we write: in the standard's order, read back, and no archive before they are finished.

use std::fs;
use std::io::{Cursor, Read as _, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use diskimage::image::{FileSource, MemorySource};
use diskimage::package::Package;
use diskimage::package::machine::{
    Bus, Controller, ControllerModel, DeclaredFormat, Disk, DiskBacking, FileBacking, Machine, Place,
};
use diskimage::package::ova::{OvaFile, OvaOptions, OvaWriter};
use diskimage::package::ovf::{self, Compression, Contents, DescribedDisk, DescribedFile};
use diskimage::package::tar::{BLOCK_LEN, members};
use diskimage::vmdk::stream_write::{StreamOptions, StreamWriter};
use diskimage::{Error, ErrorKind};

use crate::model::contents;

/// A machine with as many disks as names.
pub(super) fn machine(names: &[&str]) -> Machine {
    let mut machine = Machine::new("web & co");
    machine.memory_bytes = 512 << 20;
    machine.hardware_version = Some("vmx-19".into());
    machine.guest_os.cim_id = Some(96);
    machine.controllers = vec![Controller { model: ControllerModel::Pvscsi, number: 0 }];
    let disk = |(unit, name): (usize, &&str)| Disk {
        place: Some(Place { bus: Bus::Scsi, controller: 0, unit: u32::try_from(unit).unwrap() }),
        capacity_bytes: Some(1 << 20),
        populated_bytes: None,
        backing: DiskBacking::File(FileBacking {
            name: (*name).to_owned(),
            format: DeclaredFormat::Vmdk,
            compression: Compression::Identity,
            chunk_bytes: None,
            size_bytes: None,
        }),
    };
    machine.disks = names.iter().enumerate().map(disk).collect();
    machine
}

pub(super) fn described(names: &[&str], sizes: &[u64]) -> Contents {
    let disk = |(name, size_bytes): (&&str, &u64)| DescribedDisk {
        file: Some(DescribedFile { name: (*name).to_owned(), size_bytes: *size_bytes }),
        format: DeclaredFormat::Vmdk,
        capacity_bytes: 1 << 20,
        populated_bytes: Some(*size_bytes),
    };
    Contents { disks: names.iter().zip(sizes).map(disk).collect(), nvram: None }
}

pub(super) fn options(names: &[&str]) -> OvaOptions {
    let unknown = vec![0; names.len()];
    OvaOptions {
        stem: "web".into(),
        data: names.iter().map(|name| (*name).to_owned()).collect(),
        descriptor_bytes: ovf::longest_bytes(&machine(names), &described(names, &unknown)).unwrap(),
        mtime_s: 1_700_000_000,
    }
}

/// Writes data members and ends the archive with a descriptor that says their sizes.
pub(super) fn write<W: Write + Seek>(output: W, names: &[&str], data: &[&[u8]]) -> Result<W, Error> {
    let mut writer = OvaWriter::create(output, options(names))?;
    let mut sizes = Vec::new();
    for data in data {
        let mut member = writer.member()?;
        data.chunks(777).for_each(|piece| member.write_all(piece).unwrap());
        sizes.push(member.finish()?.size_bytes);
    }
    let descriptor = ovf::write(&machine(names), &described(names, &sizes))?;
    writer.finish(&descriptor).map(|(output, _)| output)
}

#[test]
fn members_stand_in_the_order_of_the_standard_and_read_back() {
    let names = ["web-disk-0.vmdk", "web-disk-1.vmdk"];
    for lengths in [[0, 1], [511, 512], [513, 70_000]] {
        let data = lengths.map(|length| contents(4, length));
        let archive = write(Cursor::new(Vec::new()), &names, &[&data[0], &data[1]]).unwrap().into_inner();
        assert_eq!(archive.len() % 10240, 0);
        let source = Arc::new(MemorySource::new(archive, "web.ova"));
        let listing = members(source.as_ref()).unwrap();
        let order: Vec<_> = listing.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(order, ["web.ovf", "web.mf", names[0], names[1]]);
        assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
        let package = Package::from_archive(source).unwrap();
        let verification = package.verify(&mut |_| Ok(())).unwrap();
        verification.check().unwrap();
        assert_eq!((verification.verified.len(), verification.not_covered.len()), (3, 0));
        let read = package.machine(None).unwrap();
        assert_eq!(read.warnings, Vec::<String>::new());
        for (disk, expected) in read.disks.iter().zip(&data) {
            let DiskBacking::File(backing) = &disk.backing else { panic!("a disk with a file") };
            let file = package.disk_file(backing, disk.capacity_bytes).unwrap();
            let mut found = Vec::new();
            file.reader().unwrap().read_to_end(&mut found).unwrap();
            assert!(&found == expected && file.source().unwrap().is_some() && file.warnings().is_empty());
        }
    }
}

#[test]
fn a_stream_optimized_disk_is_written_straight_into_the_archive() {
    let mut writer = OvaWriter::create(Cursor::new(Vec::new()), options(&["d.vmdk"])).unwrap();
    let options = StreamOptions::new(1 << 20, 1, "d.vmdk");
    let mut disk = StreamWriter::create(writer.member().unwrap(), &options).unwrap();
    disk.write_grain(3, &contents(1, 65536)).unwrap();
    let (member, stats) = disk.finish().unwrap();
    let member = member.finish().unwrap();
    assert!(member.size_bytes > 65536 / 4 && stats.populated_bytes > 0);
    let descriptor = ovf::write(&machine(&["d.vmdk"]), &described(&["d.vmdk"], &[member.size_bytes])).unwrap();
    let (archive, _) = writer.finish(&descriptor).unwrap();
    let package = Package::from_archive(Arc::new(MemorySource::new(archive.into_inner(), "web.ova"))).unwrap();
    package.verify(&mut |_| Ok(())).unwrap().check().unwrap();
}

/// Fails every call after so many.
struct Failing {
    inner: Cursor<Vec<u8>>,
    calls_left: usize,
}

impl Failing {
    fn call(&mut self) -> std::io::Result<()> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or_else(|| std::io::Error::other("the disk is full"))?;
        Ok(())
    }
}

impl Write for Failing {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.call()?;
        self.inner.write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.call()
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.call()?;
        self.inner.seek(to)
    }
}

#[test]
fn an_archive_that_fails_at_any_call_is_none() {
    let data = contents(2, 3000);
    let mut finished = 0;
    for calls in 0..100 {
        let mut output = Failing { inner: Cursor::new(Vec::new()), calls_left: calls };
        let mut writer = match OvaWriter::create(&mut output, options(&["d.vmdk"])) {
            Ok(writer) => writer,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io);
                continue;
            }
        };
        let outcome = (|| {
            let mut member = writer.member()?;
            member.write_all(&data).map_err(|_| ErrorKind::Io).ok();
            let size = member.finish()?.size_bytes;
            let descriptor = ovf::write(&machine(&["d.vmdk"]), &described(&["d.vmdk"], &[size]))?;
            writer.finish(&descriptor).map(|_| ())
        })();
        let archive = output.inner.into_inner();
        match outcome {
            Ok(()) => finished += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                let is_none = archive.iter().take(BLOCK_LEN).all(|&byte| byte == 0);
                let is_whole = Package::from_archive(Arc::new(MemorySource::new(archive, "x")))
                    .and_then(|package| package.verify(&mut |_| Ok(()))?.check());
                // The very last calls fail when everything is written.
                assert!(is_none || is_whole.is_ok(), "{calls} calls");
            }
        }
    }
    assert!((1..90).contains(&finished), "{finished}");
}

#[test]
fn calls_out_of_order_and_names_that_do_not_fit_are_misuse() {
    let create =
        |names: &[&str]| OvaWriter::create(Cursor::new(Vec::new()), OvaOptions { descriptor_bytes: 10, ..base(names) });
    fn base(names: &[&str]) -> OvaOptions {
        OvaOptions {
            stem: "web".into(),
            data: names.iter().map(|name| (*name).to_owned()).collect(),
            descriptor_bytes: 10,
            mtime_s: 0,
        }
    }
    for names in [&["a", "a"][..], &["web.mf"], &["web.ovf"], &["../a"], &[""], &[&"x".repeat(101)], &["a\nb"]] {
        assert_eq!(create(names).unwrap_err().kind(), ErrorKind::Misuse, "{names:?}");
    }
    let early = create(&["a"]).unwrap();
    assert_eq!(early.finish("").map(|_| ()).unwrap_err().kind(), ErrorKind::Misuse);
    let long = create(&[]).unwrap();
    assert_eq!(long.finish("<eleven...>").map(|_| ()).unwrap_err().kind(), ErrorKind::Misuse);
    let mut abandoned = create(&["a", "b"]).unwrap();
    drop(abandoned.member().unwrap());
    assert_eq!(abandoned.member().map(|_| ()).unwrap_err().kind(), ErrorKind::Misuse);
    let mut full = create(&["a"]).unwrap();
    full.member().unwrap().finish().unwrap();
    assert_eq!(full.member().map(|_| ()).unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn a_file_gets_its_name_when_it_is_finished_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.ova");
    let start = || OvaFile::create(&path, options(&[]));
    let descriptor = ovf::write(&machine(&[]), &described(&[], &[])).unwrap();

    let unfinished = start().unwrap();
    assert!(!path.exists() && folder.path().join(".web.ova.part").exists());
    assert_eq!(start().map(|_| ()).unwrap_err().kind(), ErrorKind::Misuse, "somebody else is at it");
    unfinished.abandon().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let overtaken = start().unwrap();
    fs::write(&path, "a stranger's").unwrap();
    assert_eq!(overtaken.finish(&descriptor, 0o644).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a stranger's");
    fs::remove_file(&path).unwrap();
    fs::remove_file(folder.path().join(".web.ova.part")).unwrap();

    let members = start().unwrap().finish(&descriptor, 0o640).unwrap();
    assert_eq!(members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["web.ovf", "web.mf"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let package = Package::from_archive(Arc::new(FileSource::open(&path).unwrap())).unwrap();
    package.verify(&mut |_| Ok(())).unwrap().check().unwrap();
}
