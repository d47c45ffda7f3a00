//! Reads back what was written: for a resume that checks what it keeps.

use super::{Front, GRAIN_BYTES, VmdkWriter, bytes_of, cannot_read};
use crate::lock::lock;
use crate::number::{clip, u64_from};
use crate::output::admit;
use crate::vmdk::grain::GrainInflater;
use crate::vmdk::layout::{
    DEFLATED_GRAINS_MAX, ENTRY_LEN, GRAIN_MARKER_BYTES, GRAIN_SECTORS, SECTOR_LEN, Sector, TABLE_ENTRIES,
    parse_grain_marker,
};
use crate::vmdk::stream_write::GRAIN_LEN;
use crate::{Error, Result};

/// Bytes of a table.
const TABLE_LEN: usize = 512 * ENTRY_LEN;
const _: () = assert!(TABLE_ENTRIES == 512);

/// What reading back needs, and what it read last.
pub(super) struct Back {
    inflater: GrainInflater,
    stored: Vec<u8>,
    /// A coverage that ended, and its table.
    table: Option<(u64, Vec<u8>)>,
    /// A grain and its content.
    grain: Option<(u64, Vec<u8>)>,
}

impl Back {
    fn new() -> Self {
        Self { inflater: GrainInflater::new(GRAIN_LEN), stored: Vec::new(), table: None, grain: None }
    }
}

impl VmdkWriter {
    /// Fills `buf` with what was written at `offset`; what was not reads as zero.
    ///
    /// Writes wait meanwhile, because who reads back is the one who writes.
    ///
    /// # Errors
    /// `Misuse` outside of the disk, without effect. `Corrupt` and others are final.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        admit(offset, u64_from(buf.len()), self.capacity_bytes)?;
        self.life.run(|| {
            let mut front = lock(&self.front);
            let end = offset + u64_from(buf.len());
            if !self.line.is_settled_below(end.div_ceil(GRAIN_BYTES)) {
                self.line.settle()?;
            }
            let mut back = front.back.take().unwrap_or_else(Back::new);
            let mut rest = buf;
            let mut at = offset;
            while !rest.is_empty() {
                let within = clip(GRAIN_LEN, at % GRAIN_BYTES);
                let (piece, behind) = rest.split_at_mut((GRAIN_LEN - within).min(rest.len()));
                self.read_piece(&front, &mut back, at / GRAIN_BYTES, within, piece)?;
                at += u64_from(piece.len());
                rest = behind;
            }
            front.back = Some(back);
            Ok(())
        })
    }

    /// Fills `piece` from byte `within` of the grain `index` on.
    fn read_piece(&self, front: &Front, back: &mut Back, index: u64, within: usize, piece: &mut [u8]) -> Result<()> {
        piece.fill(0);
        let content = if index >= front.next / GRAIN_BYTES && !front.open.is_empty() {
            if index == front.next / GRAIN_BYTES { &front.open[..] } else { &[] }
        } else {
            self.stored_grain(back, index)?
        };
        let there = content.get(within..).unwrap_or_default();
        let len = there.len().min(piece.len());
        piece[..len].copy_from_slice(&there[..len]);
        Ok(())
    }

    /// Returns the content of a grain in the file; nothing for one that is not there.
    fn stored_grain<'a>(&self, back: &'a mut Back, index: u64) -> Result<&'a [u8]> {
        if back.grain.as_ref().is_none_or(|(known, _)| *known != index) {
            let place = self.place_of(back, index)?;
            let mut content = back.grain.take().map(|(_, content)| content).unwrap_or_default();
            content.clear();
            if let Some(place) = place {
                content.resize(clip(GRAIN_LEN, self.capacity_bytes - index * GRAIN_BYTES), 0);
                self.expand(back, index, place, &mut content).map_err(|error| error.or_at(bytes_of(place.0)))?;
                back.grain = Some((index, content));
            }
        }
        Ok(back.grain.as_ref().map_or(&[], |(_, content)| content))
    }

    /// Returns where a grain stands, `None` when it does not.
    fn place_of(&self, back: &mut Back, index: u64) -> Result<Option<Sector>> {
        let coverage = index / u64::from(TABLE_ENTRIES);
        let (open, table) = self.line.with_parts(|parts| (parts.open_entry(index), parts.table_place(coverage)));
        let entry = match (open, table) {
            (Some(entry), _) => entry,
            (None, None) => 0,
            (None, Some(place)) => {
                if back.table.as_ref().is_none_or(|(known, _)| *known != coverage) {
                    let mut table = vec![0; TABLE_LEN];
                    self.line.output().read_exact_at(&mut table, bytes_of(place.0)).map_err(cannot_read)?;
                    back.table = Some((coverage, table));
                }
                let slot = clip(TABLE_LEN, index % u64::from(TABLE_ENTRIES)) * ENTRY_LEN;
                let entry = back.table.as_ref().and_then(|(_, table)| table[slot..].first_chunk());
                entry.map_or(0, |entry| u32::from_le_bytes(*entry))
            }
        };
        Ok((entry != 0).then(|| Sector(entry.into())))
    }

    fn expand(&self, back: &mut Back, index: u64, place: Sector, content: &mut [u8]) -> Result<()> {
        let output = self.line.output();
        let mut first = [0; SECTOR_LEN];
        output.read_exact_at(&mut first, bytes_of(place.0)).map_err(cannot_read)?;
        let (lba, size_bytes) = parse_grain_marker(first.first_chunk().expect("a sector begins with a marker"));
        let size = u64::from(size_bytes);
        if lba.0 != index * GRAIN_SECTORS || size == 0 || size > DEFLATED_GRAINS_MAX * GRAIN_BYTES {
            let found = format!("{lba} and {size} bytes for grain {index}");
            return Err(Error::corrupt("a grain is what was written").found(found));
        }
        back.stored.resize(clip(usize::MAX, size), 0);
        let start = bytes_of(place.0) + u64_from(GRAIN_MARKER_BYTES);
        output.read_exact_at(&mut back.stored, start).map_err(cannot_read)?;
        back.inflater.inflate_into(&back.stored, content)
    }
}
