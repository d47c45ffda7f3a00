//! What is fuzzed: one function per parser, from any bytes to nothing.
//!
//! libFuzzer runs them from `fuzz_targets/`, and the ordinary tests run them for a moment on the committed
//! corpora and on changes of those. A target may check more than "no panic": what was read can be
//! written and read again, and a second reader agrees.

use std::io::Read as _;
use std::sync::Arc;

use diskimage::image::probe::probe;
use diskimage::image::{Disk as _, EXTENTS_MAX, ExtentKind, Files as _, Image, MemorySource, NamedSources, extents};
use diskimage::output::MemoryOutput;
use diskimage::package::href::safe_href;
use diskimage::package::machine::DeclaredFormat;
use diskimage::package::manifest::Manifest;
use diskimage::package::ovf::{self, Contents, DescribedDisk, DescribedFile};
use diskimage::package::{Package, tar, vmx, zip};
use diskimage::qcow2::read::{Qcow2Reader, ReadOptions};
use diskimage::vmdk::descriptor::Descriptor;
use diskimage::vmdk::layout::cowd::CowdHeader;
use diskimage::vmdk::layout::sesparse::{SeSparseHeader, check_volatile_header};
use diskimage::vmdk::layout::{Header, Marker, SECTOR_LEN};
use diskimage::vmdk::read::{OpenOptions, Parent, open};
use diskimage::vmdk::stream_expand::{ExpandOptions, expand};
use diskimage::vmdk::stream_walk::{StreamWalker, WalkOptions};
use diskimage::vmdk::stream_write::StreamOptions;
use diskimage::vmdk::write::{Options as WriteOptions, VmdkWriter};

/// A target.
pub(crate) type Target = fn(&[u8]);

/// All targets, by the name of their corpus.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("href", href),
    ("manifest", manifest),
    ("ovf", ovf_descriptor),
    ("package", package),
    ("qcow2", qcow2),
    ("tar", tar_archive),
    ("vmdk_descriptor", vmdk_descriptor),
    ("vmdk_header", vmdk_header),
    ("vmdk_read", vmdk_read),
    ("vmdk_stream", vmdk_stream),
    ("vmdk_write", vmdk_write),
    ("vmsd", vmsd),
    ("vmx", vmx_file),
    ("zip", zip_archive),
];

/// A name inside of a descriptor: what is accepted leads nowhere but down.
pub(crate) fn href(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(href) = safe_href(text) {
        assert!(!href.literal().split('/').any(|part| part == ".." || part.is_empty()), "{text:?}");
    }
}

/// A manifest, in all its variants.
pub(crate) fn manifest(data: &[u8]) {
    drop(Manifest::parse("package.mf", data));
}

/// An OVF descriptor: its machine can be described again, and comes back with the same size.
pub(crate) fn ovf_descriptor(data: &[u8]) {
    let Ok(descriptor) = ovf::Descriptor::parse(data) else { return };
    let choice = descriptor.virtual_systems.first().map(|system| system.id.as_str());
    let Ok(machine) = descriptor.machine(choice) else { return };
    let disk = |number: usize| DescribedDisk {
        file: Some(DescribedFile { name: format!("{number}.vmdk"), size_bytes: 1 }),
        format: DeclaredFormat::Vmdk,
        capacity_bytes: 512,
        populated_bytes: None,
    };
    let contents = Contents { disks: (0..machine.disks.len()).map(disk).collect(), nvram: None };
    let text = ovf::write(&machine, &contents).expect("the contents fit the machine");
    let again = ovf::Descriptor::parse(text.as_bytes()).and_then(|descriptor| descriptor.machine(None));
    let again = again.expect("what we write is what we read");
    assert_eq!(
        (again.vcpus, again.disks.len(), again.nics.len()),
        (machine.vcpus, machine.disks.len(), machine.nics.len())
    );
}

/// A whole package of any container: what it says is there can be read, or that is an error.
pub(crate) fn package(data: &[u8]) {
    /// How much is read of a file that unpacks without end.
    const READ_BYTES_MAX: u64 = 1 << 20;
    let Ok(package) = Package::from_archive(Arc::new(MemorySource::new(data, "package.ova"))) else { return };
    drop(package.machine(None));
    for file in &package.descriptor().files {
        let Ok(file) = package.file(file, None) else { continue };
        drop(file.format());
        if let Ok(reader) = file.reader() {
            let mut read = Vec::new();
            let outcome = reader.take(READ_BYTES_MAX).read_to_end(&mut read);
            if let (Ok(Some(source)), Ok(_)) = (file.source(), outcome) {
                assert_eq!(source.len_bytes().min(READ_BYTES_MAX), u64::try_from(read.len()).unwrap_or(u64::MAX));
            }
        }
    }
    drop(package.verify(&mut |_| Ok(())));
}

/// A tar archive: going forward through it gives the members that are listed.
pub(crate) fn tar_archive(data: &[u8]) {
    let listed = tar::members(&MemorySource::new(data, "x.tar"));
    let mut stream = tar::StreamMembers::new(data);
    let mut names = Vec::new();
    let outcome = loop {
        match stream.next_member() {
            Ok(Some(member)) => names.push((member.name.clone(), member.size_bytes)),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(listed.is_ok(), outcome.is_ok(), "{listed:?} {outcome:?}");
    if let Ok(listing) = listed {
        let listed: Vec<_> = listing.members.into_iter().map(|member| (member.name, member.size_bytes)).collect();
        assert_eq!(listed, names);
    }
}

/// An image: what can be opened has a map without gaps, and what the map calls data can be read or
/// is an error.
pub(crate) fn qcow2(data: &[u8]) {
    /// Runs of the map that are looked at, and bytes that are read of each.
    const RUNS: usize = 2048;
    const READ_BYTES: u64 = 8192;

    let source = Arc::new(MemorySource::new(data, "fuzz.qcow2"));
    let Ok(disk) = Qcow2Reader::open(source, ReadOptions { accept_marked_corrupt: true }) else { return };
    let mut end = 0;
    let mut buf = Vec::new();
    for extent in extents(&disk, 0..disk.capacity_bytes()).take(RUNS) {
        let Ok(extent) = extent else { return };
        assert!(extent.range.start == end && extent.range.end > end, "{extent:?} behind {end}");
        end = extent.range.end;
        buf.resize(usize::try_from(extent.len_bytes().min(READ_BYTES)).unwrap_or(0), 0);
        let read = disk.read_at(extent.range.start, &mut buf);
        assert!(extent.kind == ExtentKind::Data || read.is_ok() && buf.iter().all(|byte| *byte == 0), "{extent:?}");
    }
}

/// The text that describes a disk.
pub(crate) fn vmdk_descriptor(data: &[u8]) {
    if let Ok(descriptor) = Descriptor::parse(data) {
        // Adding up what the extents claim must not overflow.
        let _sum = descriptor.capacity_sectors();
    }
}

/// The headers of sparse extents, and a marker: what was read is written the same again.
pub(crate) fn vmdk_header(data: &[u8]) {
    let _format = probe(data);
    drop(CowdHeader::parse(data));
    let Some(sector) = data.first_chunk::<SECTOR_LEN>() else { return };
    if let Ok(header) = Header::parse(sector) {
        assert_eq!(Header::parse(&header.encode()).ok(), Some(header));
    }
    drop(Marker::decode(sector));
    drop(SeSparseHeader::parse(sector));
    drop(check_volatile_header(sector));
}

/// What stands between the files of [`vmdk_read`].
pub(crate) const BETWEEN_FILES: &[u8] = b"\n====\n";

/// A disk of one or more files, the first of which is opened: its map tiles it, what is no data
/// reads as zeros, and a disk that was checked can be read.
pub(crate) fn vmdk_read(data: &[u8]) {
    const NAMES: [&str; 6] = ["disk", "a", "b", "c", "d", "e"];
    let mut files = NamedSources::new();
    let mut rest = data;
    for name in NAMES {
        let end = rest.windows(BETWEEN_FILES.len()).position(|window| window == BETWEEN_FILES);
        let (file, behind) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + BETWEEN_FILES.len()..]));
        files.insert(name, Arc::new(MemorySource::new(file, name)));
        rest = behind;
        if end.is_none() {
            break;
        }
    }
    for (parent, recover) in [(Parent::Named, false), (Parent::Ignored, true)] {
        let source = files.open(NAMES[0]).expect("there is a first file");
        if let Ok(image) = open(source, NAMES[0], &files, OpenOptions { parent, recover, ..OpenOptions::default() }) {
            read_here_and_there(&image);
        }
    }
}

fn read_here_and_there(image: &Image) {
    let capacity = image.capacity_bytes();
    let checked = image.check().is_ok();
    let Ok(runs) = image.extents(0..capacity) else {
        return;
    };
    let mut end = 0;
    for run in &runs {
        assert_eq!(run.range.start, end);
        assert!(run.range.end > end);
        end = run.range.end;
    }
    assert!(end == capacity || runs.len() == EXTENTS_MAX);
    let mut buf = vec![0xee; 5000];
    for run in runs.iter().take(50).chain(runs.last()) {
        let len = buf.len().min(usize::try_from(run.len_bytes()).unwrap_or(usize::MAX));
        let read = image.read_at(run.range.end - u64::try_from(len).expect("a buffer has a length"), &mut buf[..len]);
        if run.kind != ExtentKind::Data {
            read.expect("what is not stored can be read");
            assert!(buf[..len].iter().all(|&byte| byte == 0));
        }
    }
    let said = image.describe().map(|description| description.warnings);
    assert!(said.is_ok() || !checked || runs.len() == EXTENTS_MAX);
}

/// A stream-optimized disk that passes: however it is cut, the walker says the same, and so does
/// who expands it.
pub(crate) fn vmdk_stream(data: &[u8]) {
    let walk = |piece: usize| {
        let mut walker = StreamWalker::new(WalkOptions { inflate: true, ..WalkOptions::default() });
        data.chunks(piece).try_for_each(|bytes| walker.push(bytes)).ok().and_then(|()| walker.finish().ok())
    };
    let summary = walk(701);
    assert_eq!(walk(data.len().max(1)), summary);
    let mut end = 0;
    let seen = std::sync::Mutex::new(&mut end);
    let expanded = expand::<diskimage::Error>(
        &ExpandOptions { budget_bytes: 1000, ..ExpandOptions::new(1) },
        |push| data.chunks(5000).try_for_each(push),
        |offset, bytes| {
            let bytes_end = offset + u64::try_from(bytes.len()).expect("a length in memory");
            let mut end = seen.lock().expect("nobody panics with it");
            **end = bytes_end.max(**end);
            Ok(())
        },
    );
    assert_eq!(expanded.ok(), summary);
    assert!(summary.is_none_or(|summary| end <= summary.capacity_bytes));
}

/// What stands in front of the grains of [`vmdk_write`].
pub(crate) const WRITTEN_FRONT_LEN: usize = 384 * SECTOR_LEN;

/// Length of the checkpoint that [`vmdk_write`] begins with.
pub(crate) const WRITTEN_CHECKPOINT_LEN: usize = 56;

/// What the disk of [`vmdk_write`] is to be.
pub(crate) fn written_options() -> WriteOptions {
    const TWO_TABLES: u64 = (32 << 20) + (3 << 16) + 512;
    WriteOptions::new(StreamOptions::new(TWO_TABLES, 7, "disk.vmdk"))
}

/// A checkpoint and the grains of a file that a crash left: who goes on with it either refuses, or
/// has a disk that can be completed and then read wherever its grains are sound.
pub(crate) fn vmdk_write(data: &[u8]) {
    let (checkpoint, grains) = data.split_at(WRITTEN_CHECKPOINT_LEN.min(data.len()));
    let output = MemoryOutput::holding([&[0; WRITTEN_FRONT_LEN], grains].concat());
    let options = written_options();
    let Ok(writer) = VmdkWriter::reopen(output.clone(), &options, &[checkpoint]) else {
        assert_eq!(output.calls().changes, 0, "what is refused is left as it was");
        return;
    };
    let (next, capacity) = (writer.next_offset(), writer.capacity_bytes());
    assert!(next <= capacity);
    let mut piece = [0; 1000];
    let sound = [0, next.saturating_sub(1000)].map(|offset| writer.read_at(offset, &mut piece).is_ok());
    let writer = if sound.contains(&false) {
        drop(writer);
        VmdkWriter::reopen(output.clone(), &options, &[checkpoint]).expect("what was reopened can be again")
    } else {
        writer
    };
    writer.write_zeroes(next, capacity - next).expect("zeros follow");
    writer.finish().expect("the disk was written to its end");
    let source = Arc::new(MemorySource::new(output.contents(), "disk.vmdk"));
    let image = open(source, "disk.vmdk", &NamedSources::new(), OpenOptions::default()).expect("it is a disk");
    assert_eq!(image.capacity_bytes(), capacity);
    image.check().expect("its tables list its grains");
}

/// The list of a machine's snapshots: following parents ends.
pub(crate) fn vmsd(data: &[u8]) {
    let Ok(list) = vmx::snapshots(data) else { return };
    for snapshot in &list.snapshots {
        let mut parent = snapshot.parent;
        for _ in 0..=list.snapshots.len() {
            parent = parent.and_then(|uid| list.snapshots.iter().find(|known| known.uid == uid)?.parent);
        }
        assert_eq!(parent, None);
    }
}

/// The configuration of a machine.
pub(crate) fn vmx_file(data: &[u8]) {
    if let Ok(lines) = vmx::Vmx::parse(data) {
        drop(vmx::machine(&lines, "web.vmx"));
    }
}

/// A zip archive: what is listed lies in it.
pub(crate) fn zip_archive(data: &[u8]) {
    let Ok(members) = zip::members(&MemorySource::new(data, "x.zip")) else { return };
    for member in members {
        let end = member.data_offset.checked_add(member.packed_bytes).expect("a place is checked");
        assert!(usize::try_from(end).is_ok_and(|end| end <= data.len()), "{member:?}");
    }
}
