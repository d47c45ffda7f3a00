//! What the tests of this folder share.

use std::sync::Arc;

use diskimage::image::MemorySource;
use diskimage::qcow2::read::{Qcow2Reader, ReadOptions};
use diskimage::qcow2::write::{Compression, Options};

use crate::writers::whole;

/// The variants of an image that differ in how they are written.
pub(crate) const COMPRESSIONS: [Option<Compression>; 4] =
    [None, Some(Compression::Deflate), Some(Compression::Deflate12), Some(Compression::Zstd)];

pub(crate) fn options(capacity: usize, compression: Option<Compression>) -> Options {
    Options { compression, ..Options::new(u64::try_from(capacity).unwrap()) }
}

pub(crate) fn reader(file: Vec<u8>) -> diskimage::Result<Qcow2Reader> {
    Qcow2Reader::open(Arc::new(MemorySource::new(file, "disk.qcow2")), ReadOptions::default())
}

/// Reads a finished image by the reader.
pub(crate) fn read_back(file: Vec<u8>) -> Vec<u8> {
    let reader = reader(file).unwrap();
    assert_eq!(reader.warnings(), [""; 0]);
    whole(&reader)
}
