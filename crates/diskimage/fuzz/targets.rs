//! What is fuzzed: one function per parser, from any bytes to nothing.
//!
//! libFuzzer runs them from `fuzz_targets/`, and the ordinary tests run them for a moment on the committed
//! corpora and on changes of those. A target may check more than "no panic": what was read can be
//! written and read again, and a second reader agrees.

use diskimage::package::href::safe_href;
use diskimage::package::manifest::Manifest;
use diskimage::package::ovf;
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
