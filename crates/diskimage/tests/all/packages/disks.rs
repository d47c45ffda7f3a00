//! Disks are read where they are in a package, with all that they name.

use std::sync::Arc;

use diskimage::image::{Disk as _, MemorySource};
use diskimage::package::machine::DiskBacking;
use diskimage::package::{DiskFormat, Package};
use diskimage::vmdk::read::{OpenOptions, open};
use diskimage::{Error, ErrorKind};

use super::build::*;
use crate::model::{Disk, contents};

/// Opens the only disk of an archive as a VMDK and reads all of it.
fn read(archive: Vec<u8>) -> Result<Vec<u8>, Error> {
    let package = Package::from_archive(Arc::new(MemorySource::new(archive, "vm.ova")))?;
    let machine = package.machine(None)?;
    let DiskBacking::File(backing) = &machine.disks[0].backing else { panic!("a disk with a file") };
    let file = package.disk_file(backing, None)?;
    assert!(matches!(file.format()?, DiskFormat::Image(_)));
    let name = file.members().next().unwrap();
    let source = file.source()?.expect("a member of a plain archive is used in place");
    let image = open(source, name, &package, OpenOptions::default())?;
    let mut raw = vec![0; usize::try_from(image.capacity_bytes()).unwrap()];
    image.read_at(0, &mut raw)?;
    Ok(raw)
}

#[test]
fn a_stream_optimized_disk_is_read_inside_of_the_archive_whole_or_in_parts() {
    let disk = Disk::new(1954 * 512).fill([0, 3, 15], 9);
    let (stream, _) = disk.write();
    let ovf = Ovf::new().disk("d.vmdk", "").text();
    let archive = tar(&[("vm.ovf", ovf.as_bytes()), ("d.vmdk", &stream)]);
    assert!(read(archive).unwrap() == disk.raw());

    let ovf = Ovf::new().disk("d.vmdk", &format!("ovf:chunkSize='10001' ovf:size='{}'", stream.len())).text();
    let names: Vec<_> = (0..stream.len().div_ceil(10001)).map(|number| format!("d.vmdk.{number:09}")).collect();
    let parts = names.iter().map(String::as_str).zip(stream.chunks(10001));
    let files: Vec<_> = [("vm.ovf", ovf.as_bytes())].into_iter().chain(parts).collect();
    assert!(files.len() > 3 && read(tar(&files)).unwrap() == disk.raw());
}

#[test]
fn parts_in_a_compressed_archive_come_in_one_pass_and_in_order() {
    let whole = contents(3, 30_001);
    let ovf = Ovf::new().disk("d", "ovf:chunkSize='10000' ovf:size='30001'").text();
    let names = ["d.000000000", "d.000000001", "d.000000002", "d.000000003"];
    let mut files: Vec<_> = names.into_iter().zip(whole.chunks(10_000)).collect();
    files.insert(2, ("between", &[7; 600]));
    files.push(("vm.ovf", ovf.as_bytes()));
    let read = |files: &[(&str, &[u8])]| {
        let package = Package::from_archive(Arc::new(MemorySource::new(gzip(&tar(files)), "vm.ova"))).unwrap();
        let mut read = Vec::new();
        let mut reader = package.file(&package.descriptor().files[0], None).unwrap().reader().unwrap();
        std::io::Read::read_to_end(&mut reader, &mut read)
            .map(|_| read)
            .map_err(|error| error.downcast::<Error>().unwrap())
    };
    assert!(read(&files).unwrap() == whole);
    files.swap(0, 1);
    assert_eq!(read(&files).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn what_a_disk_names_is_looked_for_in_the_package_only() {
    let flat = contents(5, 4096);
    let descriptor = |extent: &str| {
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 8 VMFS \"{extent}\"\n"
        )
    };
    let archive = |extent: &str| {
        let (ovf, descriptor) = (Ovf::new().disk("d.vmdk", "").text(), descriptor(extent));
        tar(&[("sub/vm.ovf", ovf.as_bytes()), ("sub/d.vmdk", descriptor.as_bytes()), ("sub/d-flat.vmdk", &flat)])
    };
    assert!(read(archive("d-flat.vmdk")).unwrap() == flat);
    for extent in ["/etc/hostname", "../../etc/hostname", "absent.vmdk"] {
        let error = read(archive(extent)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Outside | ErrorKind::Corrupt | ErrorKind::Io), "{extent}: {error}");
    }
}
