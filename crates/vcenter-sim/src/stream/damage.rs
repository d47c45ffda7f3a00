//! Damage to the format of a stream-optimized VMDK, for readers that believe only what they check.
//!
//! ```text
//!  header, descriptor │ grain │ grain │ … │ table │ … │ directory │ footer │ end │
//!                       unit    unit        unit        unit        unit     unit
//! ```
//!
//! A stream is taken apart into its units, and one of them is changed, doubled, swapped or left out. Where
//! that moves what follows, the tables and the footer are made to agree: the stream is wrong in the one
//! way that was asked for and in no other. It is hashed afterwards, so that a manifest does not tell.
//!
//! Units are whole sectors. A stream without a grain has none to damage and passes as it is.

use std::mem;

use bytes::{Bytes, BytesMut};
use libdeflater::{CompressionLvl, Compressor, Decompressor};

use crate::faults::rule::VmdkDamage;

const SECTOR: usize = 512;

/// Place of `overHead`, in sectors, in the header.
const OVERHEAD_AT: usize = 64;
/// Place of `gdOffset` in the header, of which the footer is a copy.
const GD_OFFSET_AT: usize = 56;

/// Bytes of a grain's marker before its data: the sector that it stands for, and its length.
const GRAIN_HEAD: usize = 12;

/// Kinds of markers.
const END_OF_STREAM: u32 = 0;
const TABLE: u32 = 1;
const DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;
/// No kind at all.
const UNKNOWN: u32 = 77;

/// Bytes of an inflated grain: 128 sectors, as `stream` writes them.
const GRAIN_BYTES: usize = 128 * SECTOR;

/// A stream that is being damaged.
#[derive(Debug)]
pub(super) struct Damage {
    kind: VmdkDamage,
    /// What has not yet become a unit.
    input: BytesMut,
    /// Sectors of header and descriptor, once they are known.
    head_sectors: Option<u64>,
    /// Sector at which the next unit began before the damage.
    place: u64,
    /// Units that wait for what follows them.
    held: Vec<Unit>,
    grains: u64,
    done: bool,
    moves: Vec<Move>,
}

/// What stood from a sector on stands elsewhere now.
#[derive(Clone, Copy, Debug)]
struct Move {
    /// The first sector that has moved, and the first after it that has not.
    from: u64,
    until: u64,
    by: i64,
}

#[derive(Clone, Debug)]
struct Unit {
    bytes: BytesMut,
    kind: Kind,
    place: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Grain,
    Marker(u32),
}

impl Damage {
    pub(super) fn new(kind: VmdkDamage) -> Self {
        Self {
            kind,
            input: BytesMut::new(),
            head_sectors: None,
            place: 0,
            held: Vec::new(),
            grains: 0,
            done: false,
            moves: Vec::new(),
        }
    }

    /// Takes the next bytes and returns what is ready of the damaged stream; often nothing.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Bytes {
        self.input.extend_from_slice(piece);
        let mut out = BytesMut::new();
        if self.head_sectors.is_none() {
            let Some(sectors) = self.head() else { return Bytes::new() };
            out.extend_from_slice(&self.input.split_to(bytes_of(sectors)));
            self.head_sectors = Some(sectors);
            self.place = sectors;
        }
        while let Some(unit) = self.unit() {
            self.pass(unit, &mut out);
        }
        out.freeze()
    }

    /// Returns what is left at the end.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        for unit in mem::take(&mut self.held) {
            self.write(unit, &mut out);
        }
        out.extend_from_slice(&mem::take(&mut self.input));
        out.freeze()
    }

    /// Returns the sectors of the head, once all of it is there.
    fn head(&self) -> Option<u64> {
        let sectors = u64_at(&self.input, OVERHEAD_AT)?;
        (self.input.len() >= bytes_of(sectors)).then_some(sectors)
    }

    /// Takes the next unit, once all of it is there.
    fn unit(&mut self) -> Option<Unit> {
        let (value, size) = (u64_at(&self.input, 0)?, u32_at(&self.input, 8)?);
        let (len, kind) = if size == 0 {
            (SECTOR + bytes_of(value), Kind::Marker(u32_at(&self.input, GRAIN_HEAD)?))
        } else {
            (padded(GRAIN_HEAD + usize::try_from(size).ok()?), Kind::Grain)
        };
        if self.input.len() < len {
            return None;
        }
        let unit = Unit { bytes: self.input.split_to(len), kind, place: self.place };
        self.place += unit.sectors();
        Some(unit)
    }

    fn pass(&mut self, mut unit: Unit, out: &mut BytesMut) {
        let is_grain = unit.kind == Kind::Grain;
        self.grains += u64::from(is_grain);
        match self.kind {
            VmdkDamage::NoFooter if self.done || unit.kind == Kind::Marker(FOOTER) => {
                self.done = true;
                return;
            }
            VmdkDamage::NoEndOfStream if unit.kind == Kind::Marker(END_OF_STREAM) => return,
            VmdkDamage::Disorder if is_grain && self.grains == 1 => {
                self.held.push(unit);
                return;
            }
            VmdkDamage::Disorder if is_grain && self.grains == 2 && !self.held.is_empty() => {
                self.swap(unit, out);
                return;
            }
            VmdkDamage::DuplicateGrain if is_grain && self.grains == 1 => {
                let by = signed(unit.sectors());
                self.moves.push(Move { from: unit.place + unit.sectors(), until: u64::MAX, by });
                self.write(unit.clone(), out);
            }
            VmdkDamage::BadMarker if !is_grain && !self.done => {
                self.done = true;
                unit.bytes[GRAIN_HEAD..GRAIN_HEAD + 4].copy_from_slice(&UNKNOWN.to_le_bytes());
            }
            VmdkDamage::ShortGrain if is_grain => {
                self.release(out);
                self.held.push(unit);
                return;
            }
            VmdkDamage::ShortGrain if unit.kind == Kind::Marker(DIRECTORY) => self.shorten(),
            _ => {}
        }
        if self.held.is_empty() || unit.kind != Kind::Marker(TABLE) {
            self.release(out);
            self.write(unit, out);
        } else {
            // A table behind what may still be the last grain.
            self.held.push(unit);
        }
    }

    /// Writes the second grain before the first one.
    fn swap(&mut self, second: Unit, out: &mut BytesMut) {
        let Some(first) = self.held.first() else { return };
        let (start, middle, end) = (first.place, second.place, second.place + second.sectors());
        self.moves.push(Move { from: start, until: middle, by: signed(second.sectors()) });
        self.moves.push(Move { from: middle, until: end, by: -signed(middle - start) });
        self.write(second, out);
        self.release(out);
    }

    /// Halves the content of the grain that is held, and moves what follows it.
    fn shorten(&mut self) {
        let Some(grain) = self.held.first_mut() else { return };
        let Some(shorter) = half(&grain.bytes) else { return };
        let before = grain.sectors();
        let end = grain.place + before;
        grain.bytes = shorter;
        let by = signed(grain.sectors()) - signed(before);
        self.moves.push(Move { from: end, until: u64::MAX, by });
    }

    fn release(&mut self, out: &mut BytesMut) {
        for unit in mem::take(&mut self.held) {
            self.write(unit, out);
        }
    }

    /// Writes a unit with its references to sectors as they are now.
    fn write(&self, mut unit: Unit, out: &mut BytesMut) {
        match unit.kind {
            Kind::Marker(TABLE | DIRECTORY | UNKNOWN) => self.correct_entries(&mut unit.bytes[SECTOR..]),
            Kind::Marker(FOOTER) => {
                let at = SECTOR + GD_OFFSET_AT;
                if let Some(sector) = u64_at(&unit.bytes, at) {
                    unit.bytes[at..at + 8].copy_from_slice(&self.moved(sector).to_le_bytes());
                }
            }
            Kind::Grain | Kind::Marker(_) => {}
        }
        out.extend_from_slice(&unit.bytes);
    }

    fn correct_entries(&self, entries: &mut [u8]) {
        for entry in entries.chunks_exact_mut(4) {
            let sector = u64::from(u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]));
            // 0 is "not there", 1 "zeros"; both stay what they are.
            if let Ok(moved) = u32::try_from(self.moved(sector)).map(u32::to_le_bytes) {
                entry.copy_from_slice(&moved);
            }
        }
    }

    fn moved(&self, sector: u64) -> u64 {
        let found = self.moves.iter().find(|moved| (moved.from..moved.until).contains(&sector) && sector > 1);
        found.map_or(sector, |moved| sector.saturating_add_signed(moved.by))
    }
}

impl Unit {
    fn sectors(&self) -> u64 {
        u64::try_from(self.bytes.len() / SECTOR).expect("usize has at most 64 bits")
    }
}

/// Returns a grain with the first half of its content.
fn half(grain: &[u8]) -> Option<BytesMut> {
    let size = usize::try_from(u32_at(grain, 8)?).ok()?;
    let mut content = vec![0; GRAIN_BYTES];
    let inflated = Decompressor::new().zlib_decompress(grain.get(GRAIN_HEAD..GRAIN_HEAD + size)?, &mut content).ok()?;
    let content = &content[..inflated / 2];
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut deflated = vec![0; compressor.zlib_compress_bound(content.len())];
    let size = compressor.zlib_compress(content, &mut deflated).ok()?;
    let mut shorter = BytesMut::from(&grain[..8]);
    shorter.extend_from_slice(&u32::try_from(size).ok()?.to_le_bytes());
    shorter.extend_from_slice(&deflated[..size]);
    shorter.resize(padded(shorter.len()), 0);
    Some(shorter)
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(SECTOR)
}

fn bytes_of(sectors: u64) -> usize {
    usize::try_from(sectors).unwrap_or(usize::MAX / SECTOR).saturating_mul(SECTOR)
}

fn signed(sectors: u64) -> i64 {
    i64::try_from(sectors).unwrap_or(i64::MAX)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
