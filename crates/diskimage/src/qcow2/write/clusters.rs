//! Writing, zeroing and reading one cluster.
//!
//! The order inside of each function is what makes crashes harmless: data first, entry second, and
//! the place of the old data is given back last, and only where the whole cluster was rewritten.

use std::ops::Range;

use super::super::codec::{ClusterCompressor, ClusterExpander};
use super::super::entry::{self, Blob, Mapping};
use super::space::Space;
use super::stage::{Unit, Units};
use super::{Piece, Qcow2Writer, cannot_read, cannot_write};
use crate::lock::lock;
use crate::number::u64_from;
use crate::output::{is_zero, write_fresh, write_over};
use crate::{Error, Result};

/// Host clusters in a row for one call, so that what comes together lies together.
#[derive(Debug)]
pub(super) struct Reserve(Range<u64>);

impl Reserve {
    fn nothing() -> Self {
        Self(0..0)
    }

    pub(super) fn give_back(self, space: &mut Space) {
        self.0.for_each(|host| space.give_back(host));
    }
}

/// What a cluster's data became.
enum Stored {
    /// Nothing: they are all zeros.
    Zero,
    /// Compressed data that stand in the file under this entry.
    Packed(u64),
    /// No smaller when compressed; not written yet.
    Plain,
}

impl Qcow2Writer {
    /// Reserves what a write of several clusters will need.
    pub(super) fn reserve_for(&self, offset: u64, bytes: &[u8]) -> Result<Reserve> {
        if self.compression.is_some() || bytes.len() <= self.shape.geometry.cluster_len() {
            return Ok(Reserve::nothing());
        }
        let mut rest = bytes;
        let mut clusters = 0;
        for piece in self.pieces(offset, u64_from(bytes.len())) {
            let (bytes, behind) = rest.split_at(piece.within.len());
            rest = behind;
            if self.map().get(piece.cluster) == 0 && !is_zero(bytes) {
                clusters += 1;
            }
        }
        let mut space = lock(&self.space);
        if clusters < 2 || space.has_free() {
            return Ok(Reserve::nothing());
        }
        let first = space.run(&*self.output, clusters).map_err(cannot_write)?;
        Ok(Reserve(first..first + clusters))
    }

    /// Writes a part of a cluster, or all of it.
    pub(super) fn write_piece(&self, piece: &Piece, bytes: &[u8], reserve: &mut Reserve) -> Result<()> {
        if self.compression.is_none() {
            let _units = self.stage.lock(piece.cluster);
            return match self.mapping(piece.cluster)? {
                Mapping::Plain { .. } if piece.whole && is_zero(bytes) => {
                    self.install(piece.cluster, Stored::Zero, &[])
                }
                Mapping::Plain { host } => self.write_in_place(host, piece, bytes),
                _ if is_zero(bytes) => Ok(()),
                _ => self.write_new(piece, bytes, reserve),
            };
        }
        if piece.whole {
            // Compressed and written before the lock is taken.
            let stored = self.store(bytes)?;
            let mut units = self.stage.lock(piece.cluster);
            let _replaced = self.stage.take(&mut units, piece.cluster);
            return self.install(piece.cluster, stored, bytes);
        }
        self.change_part(piece, Part::Bytes(bytes))
    }

    /// Makes a part of a cluster zero.
    pub(super) fn zero_piece(&self, piece: &Piece) -> Result<()> {
        self.change_part(piece, Part::Zeros)
    }

    /// Makes whole clusters read as zero; the cost follows those that are there.
    pub(super) fn clear(&self, clusters: Range<u64>) -> Result<()> {
        if self.compression.is_some() {
            for mut units in self.stage.all() {
                let staged: Vec<u64> = units.keys().copied().filter(|cluster| clusters.contains(cluster)).collect();
                for cluster in staged {
                    let _dropped = self.stage.take(&mut units, cluster);
                }
            }
        }
        let mut rest = clusters;
        loop {
            let found = self.map().first_in(rest.clone());
            let Some(cluster) = found else {
                return Ok(());
            };
            let _units = self.stage.lock(cluster);
            self.install(cluster, Stored::Zero, &[])?;
            rest.start = cluster + 1;
        }
    }

    /// Reads a part of a cluster.
    pub(super) fn read_piece(&self, piece: &Piece, out: &mut [u8]) -> Result<()> {
        let units = self.stage.lock(piece.cluster);
        if let Some(unit) = units.get(&piece.cluster) {
            out.copy_from_slice(&unit.bytes[piece.within.clone()]);
            return Ok(());
        }
        match self.mapping(piece.cluster)? {
            Mapping::Plain { host } => {
                self.output.read_exact_at(out, host + u64_from(piece.within.start)).map_err(cannot_read)
            }
            Mapping::Compressed(blob) => {
                out.copy_from_slice(&self.expand(blob)?[piece.within.clone()]);
                Ok(())
            }
            Mapping::Unallocated | Mapping::Zero { .. } => {
                out.fill(0);
                Ok(())
            }
        }
    }

    /// Brings every staged cluster into the file; they stay staged, because more of them may come.
    pub(super) fn flush_all(&self) -> Result<()> {
        for mut units in self.stage.all() {
            let dirty: Vec<u64> = units.iter().filter(|(_, unit)| unit.dirty).map(|(cluster, _)| *cluster).collect();
            for cluster in dirty {
                self.flush(&mut units, cluster)?;
            }
        }
        Ok(())
    }

    fn change_part(&self, piece: &Piece, part: Part<'_>) -> Result<()> {
        let mut units = self.stage.lock(piece.cluster);
        if !units.contains_key(&piece.cluster) {
            let bytes = match self.mapping(piece.cluster)? {
                Mapping::Plain { host } => {
                    return match part {
                        Part::Bytes(bytes) => self.write_in_place(host, piece, bytes),
                        Part::Zeros => {
                            let place = host + u64_from(piece.within.start);
                            self.output.zero(place, u64_from(piece.within.len())).map_err(cannot_write)
                        }
                    };
                }
                Mapping::Compressed(blob) => self.expand(blob)?,
                _ if part.is_zero() => return Ok(()),
                Mapping::Unallocated | Mapping::Zero { .. } => vec![0; self.shape.geometry.cluster_len()],
            };
            self.stage.put(&mut units, piece.cluster, Unit { bytes, dirty: false });
        }
        let unit = units.get_mut(&piece.cluster).expect("staged above");
        match part {
            Part::Bytes(bytes) => unit.bytes[piece.within.clone()].copy_from_slice(bytes),
            Part::Zeros => unit.bytes[piece.within.clone()].fill(0),
        }
        unit.dirty = true;
        if piece.ends {
            // Chunks are written front to back, so this is all of it.
            self.flush(&mut units, piece.cluster)?;
            let _complete = self.stage.take(&mut units, piece.cluster);
        }
        if self.stage.is_over_full() {
            self.make_room(&mut units, piece.cluster)?;
        }
        Ok(())
    }

    /// Sends off another staged cluster than the one in work: a clean one of its stripe where there
    /// is one. Where nobody has another, there are hardly more than threads.
    fn make_room(&self, own: &mut Units, in_work: u64) -> Result<()> {
        let victim = |units: &Units| {
            let others = units.iter().filter(|(cluster, _)| **cluster != in_work);
            others.min_by_key(|(_, unit)| unit.dirty).map(|(cluster, _)| *cluster)
        };
        // The own stripe is held, so it is not among these.
        for mut units in self.stage.unlocked() {
            if let Some(cluster) = victim(&units) {
                return self.send_off(&mut units, cluster);
            }
        }
        victim(own).map_or(Ok(()), |cluster| self.send_off(own, cluster))
    }

    fn send_off(&self, units: &mut Units, cluster: u64) -> Result<()> {
        self.flush(units, cluster)?;
        let _sent = self.stage.take(units, cluster);
        Ok(())
    }

    /// Brings a staged cluster into the file.
    fn flush(&self, units: &mut Units, cluster: u64) -> Result<()> {
        let Some(unit) = units.get_mut(&cluster).filter(|unit| unit.dirty) else {
            return Ok(());
        };
        let stored = self.store(&unit.bytes)?;
        let is_plain = matches!(stored, Stored::Plain);
        // Staged clusters have no plain place: so nothing is given back of which only a part
        // was rewritten.
        self.install(cluster, stored, &unit.bytes)?;
        unit.dirty = false;
        if is_plain {
            // From now on it is written in place.
            let _plain = self.stage.take(units, cluster);
        }
        Ok(())
    }

    /// Compresses a cluster and brings it into the file, without an entry yet.
    fn store(&self, bytes: &[u8]) -> Result<Stored> {
        if is_zero(bytes) {
            return Ok(Stored::Zero);
        }
        let Some(compression) = self.compression else {
            return Ok(Stored::Plain);
        };
        let geometry = self.shape.geometry;
        let padded;
        let whole = if bytes.len() == geometry.cluster_len() {
            bytes
        } else {
            // The last cluster of the disk.
            padded = [bytes, &vec![0; geometry.cluster_len() - bytes.len()]].concat();
            &padded
        };
        self.compressors.with(
            || ClusterCompressor::new(compression, geometry),
            |compressor| match compressor.compress(whole)? {
                None => Ok(Stored::Plain),
                Some(compressed) => self.pack(compressed).map(Stored::Packed),
            },
        )
    }

    fn pack(&self, compressed: &[u8]) -> Result<u64> {
        let len_bytes = u64_from(compressed.len());
        let offset = lock(&self.space).place(&*self.output, len_bytes).map_err(cannot_write)?;
        let entry = entry::encode_compressed(offset, len_bytes, self.shape.geometry)
            .ok_or_else(|| Error::limit("compressed clusters lie where the format can name them").at(offset))?;
        self.output.write_all_at(compressed, offset).map_err(cannot_write)?;
        Ok(entry)
    }

    /// Gives a cluster its new entry. All of it is rewritten, or it had no plain place before.
    fn install(&self, cluster: u64, stored: Stored, bytes: &[u8]) -> Result<()> {
        let old = self.mapping(cluster)?;
        let entry = match stored {
            Stored::Zero => 0,
            Stored::Packed(entry) => entry,
            Stored::Plain => {
                if let Mapping::Plain { host } = old {
                    return write_over(&*self.output, host, bytes).map_err(cannot_write);
                }
                let host = self.new_host(&mut Reserve::nothing())?;
                write_fresh(&*self.output, host, bytes).map_err(cannot_write)?;
                entry::encode_sole(host)
            }
        };
        self.map().set(cluster, entry);
        if let Mapping::Plain { host } = old {
            let cluster_bytes = self.shape.geometry.cluster_bytes();
            self.output.zero(host, cluster_bytes).map_err(cannot_write)?;
            lock(&self.space).give_back(host / cluster_bytes);
        }
        Ok(())
    }

    /// Writes to a cluster that has no place yet.
    fn write_new(&self, piece: &Piece, bytes: &[u8], reserve: &mut Reserve) -> Result<()> {
        let host = self.new_host(reserve)?;
        write_fresh(&*self.output, host + u64_from(piece.within.start), bytes).map_err(cannot_write)?;
        self.map().set(piece.cluster, entry::encode_sole(host));
        Ok(())
    }

    fn write_in_place(&self, host: u64, piece: &Piece, bytes: &[u8]) -> Result<()> {
        write_over(&*self.output, host + u64_from(piece.within.start), bytes).map_err(cannot_write)
    }

    /// Returns the position of a host cluster that reads as zero.
    fn new_host(&self, reserve: &mut Reserve) -> Result<u64> {
        let host = match reserve.0.next() {
            Some(host) => host,
            None => lock(&self.space).one(&*self.output).map_err(cannot_write)?,
        };
        Ok(host * self.shape.geometry.cluster_bytes())
    }

    fn mapping(&self, cluster: u64) -> Result<Mapping> {
        let entry = self.map().get(cluster);
        entry::decode_l2(entry, self.shape.geometry, true)
    }

    /// Returns a whole cluster that is stored compressed.
    fn expand(&self, blob: Blob) -> Result<Vec<u8>> {
        let mut compressed = vec![0; usize::try_from(blob.len_bytes).expect("about a cluster")];
        self.output.read_exact_at(&mut compressed, blob.offset).map_err(cannot_read)?;
        let compression = self
            .compression
            .ok_or_else(|| Error::corrupt("an image without compression has no compressed clusters").at(blob.offset))?;
        let mut bytes = vec![0; self.shape.geometry.cluster_len()];
        self.expanders.with(
            || ClusterExpander::new(compression.compression_type()),
            |expander| expander.expand(&compressed, &mut bytes).map_err(|error| error.or_at(blob.offset)),
        )?;
        Ok(bytes)
    }
}

/// What a part of a cluster becomes.
#[derive(Clone, Copy)]
enum Part<'a> {
    Bytes(&'a [u8]),
    Zeros,
}

impl Part<'_> {
    fn is_zero(self) -> bool {
        match self {
            Self::Bytes(bytes) => is_zero(bytes),
            Self::Zeros => true,
        }
    }
}
