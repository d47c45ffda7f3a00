//! What the other tests share: samples, a walk in one call, and a reader simple enough to trust.

use std::collections::BTreeMap;

use diskimage::Error;
use diskimage::vmdk::grain::GrainInflater;
use diskimage::vmdk::layout::{DirectoryPlace, GRAIN_MARKER_BYTES, Header, Marker, SECTOR_LEN, SectorBytes};
use diskimage::vmdk::stream_walk::{StreamSummary, StreamWalker, WalkOptions};
use diskimage::vmdk::stream_write::{GRAIN_LEN, StreamOptions, StreamStats, StreamWriter};

/// A disk: its size, and the grains that are not all zeros.
pub(crate) struct Disk {
    pub(crate) capacity_bytes: u64,
    pub(crate) grains: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, grains: BTreeMap::new() }
    }

    /// Fills grains with contents between noise and repetition, by a seed.
    pub(crate) fn fill(mut self, indices: impl IntoIterator<Item = u64>, seed: u64) -> Self {
        for index in indices {
            let start = index * u64::try_from(GRAIN_LEN).unwrap();
            let Some(left) = self.capacity_bytes.checked_sub(start).filter(|&left| left > 0) else {
                continue;
            };
            let len = usize::try_from(left).unwrap().min(GRAIN_LEN);
            self.grains.insert(index, contents(seed ^ index, len));
        }
        self
    }

    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut raw = vec![0; usize::try_from(self.capacity_bytes).unwrap()];
        for (index, data) in &self.grains {
            let start = usize::try_from(*index).unwrap() * GRAIN_LEN;
            raw[start..start + data.len()].copy_from_slice(data);
        }
        raw
    }

    pub(crate) fn populated_bytes(&self) -> u64 {
        self.grains.values().map(|data| u64::try_from(data.len()).unwrap()).sum()
    }

    pub(crate) fn write(&self) -> (Vec<u8>, StreamStats) {
        let options = StreamOptions::new(self.capacity_bytes, 0x1234_5678, "disk.vmdk");
        let mut writer = StreamWriter::create(Vec::new(), &options).unwrap();
        for (index, data) in &self.grains {
            writer.write_grain(*index, data).unwrap();
        }
        writer.finish().unwrap()
    }
}

/// Makes bytes of which the first part is noise and the rest repeats; never all zeros.
pub(crate) fn contents(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = usize::try_from(seed % 5).unwrap() * len / 4;
    (0..len)
        .map(|position| {
            if position < noise {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            } else {
                b'a' + u8::try_from(position / 100 % 26).unwrap()
            }
        })
        .collect()
}

/// The small stream that damage is done to: two coverages with a grain each.
///
/// Sector 0 header, 1 descriptor, 128 grain, 129 marker, 130–133 table, 134 grain, 135 marker,
/// 136–139 table, 140 marker, 141 directory, 142 marker, 143 footer, 144 end.
pub(crate) fn small_stream() -> Vec<u8> {
    let mut disk = Disk::new(40 << 20);
    disk.grains.insert(3, vec![1; GRAIN_LEN]);
    disk.grains.insert(513, vec![2; GRAIN_LEN]);
    let (stream, _) = disk.write();
    assert_eq!(stream.len(), 145 * SECTOR_LEN);
    stream
}

pub(crate) fn walk(stream: &[u8], inflate: bool) -> Result<StreamSummary, Error> {
    let mut walker = StreamWalker::new(WalkOptions { inflate, ..WalkOptions::default() });
    walker.push(stream)?;
    walker.finish()
}

/// Returns the sectors of a stream, to be moved about.
pub(crate) fn sectors(stream: &[u8]) -> Vec<SectorBytes> {
    let (sectors, rest) = stream.as_chunks::<SECTOR_LEN>();
    assert!(rest.is_empty());
    sectors.to_vec()
}

/// Reads a finished stream by footer, directory and tables, as a random-access reader would.
pub(crate) fn read_back(stream: &[u8]) -> Vec<u8> {
    let sectors = sectors(stream);
    let footer = Header::parse(&sectors[sectors.len() - 2]).unwrap();
    let DirectoryPlace::At(directory) = footer.directory() else {
        panic!("a footer knows its directory");
    };
    let entry = |first: usize, number: usize| {
        let bytes = &sectors[first + number / 128][number % 128 * 4..][..4];
        usize::try_from(u32::from_le_bytes(bytes.try_into().unwrap())).unwrap()
    };
    let mut inflater = GrainInflater::new(GRAIN_LEN);
    let mut raw = vec![0; usize::try_from(footer.capacity_bytes()).unwrap()];
    for (index, guest) in raw.chunks_mut(GRAIN_LEN).enumerate() {
        let table = entry(usize::try_from(directory.0).unwrap(), index / 512);
        let place = if table == 0 { 0 } else { entry(table, index % 512) };
        if place == 0 {
            continue;
        }
        let Marker::Grain { lba, size_bytes } = Marker::decode(&sectors[place]).unwrap() else {
            panic!("a table points at grains");
        };
        assert_eq!(lba.0, u64::try_from(index).unwrap() * 128);
        let start = place * SECTOR_LEN + GRAIN_MARKER_BYTES;
        let zlib = &stream[start..start + usize::try_from(size_bytes).unwrap()];
        guest.copy_from_slice(inflater.inflate(zlib, guest.len()).unwrap());
    }
    raw
}
