//! Compresses and expands one cluster.
//!
//! *Deflate* means raw deflate, without zlib's header and checksum, so nothing but its own syntax
//! and the length of the result tells a damaged cluster from a whole one. *zstd* is a frame per
//! cluster, with the length of the content and without a checksum, as qemu-img writes it.
//!
//! The bytes of a cluster may be followed by others: an entry counts whole sectors.
//!
//! Buffers and states are made once and kept in [`crate::spares`], one per thread that works at the time.

use std::fmt;

use flate2::{Compress, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

use super::header::CompressionType;
use super::layout::Geometry;
use crate::{Error, Result};

/// Level of libdeflate.
///
/// Measured on 192 MiB of programs and libraries (half), sources (a quarter), noise and zeros, in
/// clusters of 64 KiB, on an AMD EPYC; bytes of all compressed clusters and CPU seconds:
///
/// | level | MB | s | | others | MB | s |
/// |--:|--:|--:|---|---|--:|--:|
/// | 1 | 71.4 | 0.88 | | `qemu-img` 7.2 `convert -c -m 16 -W`, its file | 71.6 | 4.4 |
/// | 3 | 68.9 | 1.23 | | the same with zstd | 70.7 | 1.0 |
/// | 5 | 67.5 | 1.52 | | zstd level 1 | 73.1 | 0.39 |
/// | 6 | 67.2 | 1.82 | | zstd level 3 | 70.2 | 0.56 |
/// | 7 | 67.0 | 2.30 | | zstd level 5 | 67.8 | 1.20 |
///
/// Level 3 is smaller than what qemu-img makes at under a third of its CPU; each level above costs
/// more than it gives.
const DEFLATE_LEVEL: i32 = 3;

/// Level of zlib-rs for the small window.
const DEFLATE_12_LEVEL: u32 = 6;

/// Window of the small kind: 4 KiB, what QEMU itself writes.
const DEFLATE_12_WINDOW_BITS: u8 = 12;

/// Level of zstd: its default, which qemu-img uses; the figures stand at [`DEFLATE_LEVEL`].
const ZSTD_LEVEL: i32 = 3;

/// Largest window of a zstd frame that is expanded: 8 MiB. A frame needs no more than the cluster,
/// 2 MiB; without this limit a header could ask for 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a writer compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Deflate with the usual window of 32 KiB. Every QEMU reads it, because there the whole
    /// cluster serves as window.
    Deflate,
    /// Deflate with a window of 4 KiB, for readers that know no other, such as those on ISA-L.
    /// Slower and a little larger.
    Deflate12,
    /// zstd: faster and smaller; QEMU 5.1 and later.
    Zstd,
}

impl Compression {
    /// Returns what the header says of it.
    #[must_use]
    pub fn compression_type(self) -> CompressionType {
        match self {
            Self::Deflate | Self::Deflate12 => CompressionType::Deflate,
            Self::Zstd => CompressionType::Zstd,
        }
    }
}

/// Compresses clusters of one size.
pub(super) struct ClusterCompressor {
    method: Method,
    /// As long as the method may need to fail by itself where it cannot shrink a cluster.
    buffer: Vec<u8>,
    cluster_len: usize,
}

enum Method {
    Deflate(Compressor),
    Deflate12(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl ClusterCompressor {
    pub(super) fn new(compression: Compression, geometry: Geometry) -> Result<Self> {
        let cluster_len = geometry.cluster_len();
        let level = CompressionLvl::new(DEFLATE_LEVEL).expect("the level exists");
        let (method, len) = match compression {
            Compression::Deflate => (Method::Deflate(Compressor::new(level)), cluster_len),
            Compression::Deflate12 => {
                let level = flate2::Compression::new(DEFLATE_12_LEVEL);
                let state = Compress::new_with_window_bits(level, false, DEFLATE_12_WINDOW_BITS);
                (Method::Deflate12(state), cluster_len)
            }
            Compression::Zstd => {
                let state = zstd::bulk::Compressor::new(ZSTD_LEVEL)
                    .map_err(|source| Error::io("cannot make a zstd compressor", source))?;
                (Method::Zstd(state), zstd::zstd_safe::compress_bound(cluster_len))
            }
        };
        Ok(Self { method, buffer: vec![0; len], cluster_len })
    }

    /// Compresses a whole cluster; returns `None` where that does not make it smaller.
    pub(super) fn compress(&mut self, cluster: &[u8]) -> Result<Option<&[u8]>> {
        debug_assert_eq!(cluster.len(), self.cluster_len, "clusters are whole");
        let len = match &mut self.method {
            // Fails only where the buffer is too short.
            Method::Deflate(state) => state.deflate_compress(cluster, &mut self.buffer).ok(),
            Method::Deflate12(state) => {
                state.reset();
                let status = state
                    .compress(cluster, &mut self.buffer, FlushCompress::Finish)
                    .map_err(|source| Error::misuse("cannot deflate a cluster").caused_by(source))?;
                (status == Status::StreamEnd).then(|| crate::number::clip(usize::MAX, state.total_out()))
            }
            Method::Zstd(state) => Some(
                state
                    .compress_to_buffer(cluster, &mut self.buffer[..])
                    .map_err(|source| Error::io("cannot compress a cluster by zstd", source))?,
            ),
        };
        Ok(len.filter(|len| *len < self.cluster_len).map(|len| &self.buffer[..len]))
    }
}

impl fmt::Debug for ClusterCompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCompressor").field("cluster_len", &self.cluster_len).finish_non_exhaustive()
    }
}

/// Expands clusters into buffers of the caller, so that no input can ask for memory.
pub(super) enum ClusterExpander {
    Deflate(Decompressor),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl ClusterExpander {
    pub(super) fn new(compression: CompressionType) -> Result<Self> {
        match compression {
            CompressionType::Deflate => Ok(Self::Deflate(Decompressor::new())),
            CompressionType::Zstd => {
                let make = || {
                    let mut state = zstd::stream::raw::Decoder::new()?;
                    state.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                    Ok(state)
                };
                make().map(Self::Zstd).map_err(|source| Error::io("cannot make a zstd decompressor", source))
            }
        }
    }

    /// Expands the data at the start of `compressed` to exactly one cluster, all of `out`.
    pub(super) fn expand(&mut self, compressed: &[u8], out: &mut [u8]) -> Result<()> {
        match self {
            Self::Deflate(state) => inflate(state, compressed, out),
            Self::Zstd(state) => unzstd(state, compressed, out),
        }
    }
}

impl fmt::Debug for ClusterExpander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deflate(_) => "ClusterExpander(deflate)",
            Self::Zstd(_) => "ClusterExpander(zstd)",
        })
    }
}

fn inflate(state: &mut Decompressor, compressed: &[u8], out: &mut [u8]) -> Result<()> {
    match state.deflate_decompress(compressed, out) {
        Ok(len) if len == out.len() => Ok(()),
        Ok(len) => Err(too_short(len, out.len())),
        Err(DecompressionError::InsufficientSpace) => Err(too_long()),
        Err(DecompressionError::BadData) => Err(Error::corrupt("a compressed cluster is a whole deflate stream")),
    }
}

fn unzstd(state: &mut zstd::stream::raw::Decoder<'static>, compressed: &[u8], out: &mut [u8]) -> Result<()> {
    let rule = "a compressed cluster is a zstd frame, or several";
    state.reinit().map_err(|source| Error::io("cannot reset a zstd decompressor", source))?;
    let wanted = out.len();
    let mut input = InBuffer::around(compressed);
    let mut output = OutBuffer::around(out);
    // Each turn consumes input or makes output, or is the last.
    loop {
        let before = (input.pos(), output.pos());
        let open = state.run(&mut input, &mut output).map_err(|source| Error::corrupt(rule).caused_by(source))?;
        match (output.pos() == wanted, open == 0) {
            (true, true) => return Ok(()),
            (true, false) if before == (input.pos(), output.pos()) => return Err(too_long()),
            (false, _) if before == (input.pos(), output.pos()) => return Err(too_short(output.pos(), wanted)),
            _ => {}
        }
    }
}

fn too_short(len: usize, wanted: usize) -> Error {
    Error::corrupt("a compressed cluster expands to a whole cluster").found(format!("{len} bytes of {wanted}"))
}

fn too_long() -> Error {
    Error::corrupt("a compressed cluster expands to no more than a cluster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const ALL: [Compression; 3] = [Compression::Deflate, Compression::Deflate12, Compression::Zstd];

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| b'a' + u8::try_from((at / 7 % 26) ^ (at % 3)).unwrap()).collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(len)
        .collect()
    }

    #[test]
    fn every_compression_comes_back_even_with_garbage_behind_it() {
        for bits in [9, 16, 21] {
            let geometry = Geometry::new(bits).unwrap();
            let cluster = text(geometry.cluster_len());
            for compression in ALL {
                let mut compressor = ClusterCompressor::new(compression, geometry).unwrap();
                let mut expander = ClusterExpander::new(compression.compression_type()).unwrap();
                for _ in 0..2 {
                    let mut compressed = compressor.compress(&cluster).unwrap().expect("text shrinks").to_vec();
                    compressed.extend([0xff; 300]);
                    let mut out = vec![0; cluster.len()];
                    expander.expand(&compressed, &mut out).unwrap();
                    assert!(out == cluster, "{compression:?}, 2^{bits}");
                }
            }
        }
    }

    #[test]
    fn noise_is_not_made_smaller() {
        let geometry = Geometry::new(16).unwrap();
        for compression in ALL {
            let mut compressor = ClusterCompressor::new(compression, geometry).unwrap();
            assert_eq!(compressor.compress(&noise(65536)).unwrap(), None, "{compression:?}");
            assert!(compressor.compress(&text(65536)).unwrap().is_some(), "{compression:?} goes on");
        }
    }

    #[test]
    fn the_small_window_has_no_distance_beyond_4_kib() {
        let geometry = Geometry::new(16).unwrap();
        let cluster = [noise(20_000), noise(20_000), vec![0; 25_536]].concat();
        let len = |compression| {
            let mut compressor = ClusterCompressor::new(compression, geometry).unwrap();
            compressor.compress(&cluster).unwrap().unwrap().len()
        };
        assert!(len(Compression::Deflate) < 21_000, "the second half repeats the first");
        assert!(len(Compression::Deflate12) > 40_000, "which is too far away here");
    }

    #[test]
    fn a_cluster_of_another_length_or_cut_short_is_corrupt() {
        let half = Geometry::new(15).unwrap();
        for compression in ALL {
            let mut compressor = ClusterCompressor::new(compression, half).unwrap();
            let compressed = compressor.compress(&text(32768)).unwrap().unwrap().to_vec();
            let mut expander = ClusterExpander::new(compression.compression_type()).unwrap();
            for len in [65536, 32767, 16384, 0] {
                let error = expander.expand(&compressed, &mut vec![0; len]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{compression:?} to {len}");
            }
            for end in 0..compressed.len() {
                let error = expander.expand(&compressed[..end], &mut vec![0; 32768]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{compression:?} cut at {end}");
            }
        }
    }

    #[test]
    fn two_zstd_frames_in_a_row_are_one_cluster() {
        let cluster = text(65536);
        let frames: Vec<u8> =
            cluster.chunks(32768).flat_map(|half| zstd::bulk::compress(half, ZSTD_LEVEL).unwrap()).collect();
        let mut out = vec![0; 65536];
        ClusterExpander::new(CompressionType::Zstd).unwrap().expand(&frames, &mut out).unwrap();
        assert!(out == cluster);
    }

    #[test]
    fn a_window_larger_than_any_cluster_is_refused() {
        let cluster = text(65536);
        // Magic, no single segment, and a window of 128 MiB, then one raw block.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3];
        frame.extend(&(65536_u32 << 3 | 1).to_le_bytes()[..3]);
        frame.extend(&cluster);
        let mut expander = ClusterExpander::new(CompressionType::Zstd).unwrap();
        assert_eq!(expander.expand(&frame, &mut vec![0; 65536]).unwrap_err().kind(), ErrorKind::Corrupt);
        frame[5] = 6 << 3;
        let mut out = vec![0; 65536];
        expander.expand(&frame, &mut out).unwrap();
        assert!(out == cluster, "the same with a window of 64 KiB");
    }
}
