//! What is fuzzed: one function per parser, from any bytes to nothing.
//!
//! libFuzzer runs them from `fuzz_targets/`, and the ordinary tests run them for a moment on the committed
//! corpora and on changes of those. A target may check more than "no panic": what was read can be
//! written and read again, and a second reader agrees.

use std::sync::Arc;

use diskimage::image::{Disk as _, ExtentKind, MemorySource, extents};
use diskimage::package::href::safe_href;
use diskimage::package::manifest::Manifest;
use diskimage::package::ovf;
use diskimage::qcow2::read::{Qcow2Reader, ReadOptions};
use diskimage::vmdk::descriptor::Descriptor;
use diskimage::vmdk::layout::{Header, Marker, SECTOR_LEN};
use diskimage::vmdk::stream_walk::{StreamWalker, WalkOptions};

/// A target.
pub(crate) type Target = fn(&[u8]);

/// All targets, by the name of their corpus.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("href", href),
    ("manifest", manifest),
    ("ovf", ovf_descriptor),
    ("qcow2", qcow2),
    ("vmdk_descriptor", vmdk_descriptor),
    ("vmdk_header", vmdk_header),
    ("vmdk_stream", vmdk_stream),
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

/// An OVF descriptor.
pub(crate) fn ovf_descriptor(data: &[u8]) {
    drop(ovf::Descriptor::parse(data));
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

/// The header of a sparse extent, and a marker: what was read is written the same again.
pub(crate) fn vmdk_header(data: &[u8]) {
    let Some(sector) = data.first_chunk::<SECTOR_LEN>() else { return };
    if let Ok(header) = Header::parse(sector) {
        assert_eq!(Header::parse(&header.encode()).ok(), Some(header));
    }
    drop(Marker::decode(sector));
}

/// A stream-optimized disk that passes: however it is cut, the walker says the same.
pub(crate) fn vmdk_stream(data: &[u8]) {
    let walk = |piece: usize| {
        let mut walker = StreamWalker::new(WalkOptions { inflate: true, ..WalkOptions::default() });
        data.chunks(piece).try_for_each(|bytes| walker.push(bytes)).is_ok() && walker.finish().is_ok()
    };
    assert_eq!(walk(data.len().max(1)), walk(701));
}
