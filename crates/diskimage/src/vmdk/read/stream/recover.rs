//! Finds the grains of a stream that lost its tables, by its markers alone.
//!
//! What was cut off is missing without a trace, so that this is for rescue. The scan stops at the
//! first thing that it does not understand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::stored_sectors;
use crate::image::ByteSource;
use crate::image::oddities::Oddities;
use crate::number::{clip, u64_from};
use crate::vmdk::layout::{DEFLATED_GRAINS_MAX, Header, Marker, SECTOR_BYTES, SECTOR_LEN};
use crate::vmdk::read::grains::{ABSENT, GrainMap, Place};
use crate::{Error, Result};

/// Zeros between parts that are stepped over; writers pad by up to one grain, of at most 1 MiB.
const PADDING_SECTORS_MAX: u64 = 2048;

/// The grains that a scan found.
pub(in crate::vmdk::read) struct RecoveredMap {
    source: Arc<dyn ByteSource>,
    header: Header,
    /// Only tables with a grain: memory follows the grains that were found.
    tables: BTreeMap<u64, Arc<[Place]>>,
    oddities: Oddities,
}

/// Scans a stream from its first marker on.
///
/// # Errors
///
/// `Corrupt` when a grain comes twice; otherwise only what reading gives.
pub(in crate::vmdk::read) fn recover(source: Arc<dyn ByteSource>, header: Header) -> Result<RecoveredMap> {
    let mut tables: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
    let mut grains = 0_u64;
    let mut position = header.overhead().0;
    let mut zeros = 0;
    while let Some(marker) = marker_at(&*source, position) {
        let Some(next) = step(&header, marker, position) else {
            break;
        };
        zeros = if marker == Marker::EndOfStream { zeros + 1 } else { 0 };
        if zeros > PADDING_SECTORS_MAX {
            break;
        }
        if let Marker::Grain { lba, .. } = marker {
            if next.checked_mul(SECTOR_BYTES).is_none_or(|end| end > source.len_bytes()) {
                break;
            }
            let grain = lba.0 / header.grain_sectors();
            let entries = u64::from(header.table_entries());
            let places = tables.entry(grain / entries).or_insert_with(|| vec![ABSENT; clip(usize::MAX, entries)]);
            let place = &mut places[clip(usize::MAX, grain % entries)];
            if *place != ABSENT {
                return Err(Error::corrupt("a grain comes once")
                    .found(format!("grain {grain}"))
                    .at(position * SECTOR_BYTES)
                    .in_file(source.name()));
            }
            *place = position * SECTOR_BYTES;
            grains += 1;
        }
        position = next;
    }
    let oddities = Oddities::default();
    oddities.note(format!(
        "{} lost its tables; {grains} grains were found before sector {position}, and what was behind is missing",
        source.name()
    ));
    let tables = tables.into_iter().map(|(number, places)| (number, places.into())).collect();
    Ok(RecoveredMap { source, header, tables, oddities })
}

fn marker_at(source: &dyn ByteSource, position: u64) -> Option<Marker> {
    let mut sector = [0; SECTOR_LEN];
    source.read_at(position.checked_mul(SECTOR_BYTES)?, &mut sector).ok()?;
    Marker::decode(&sector).ok()
}

/// Returns the sector behind what a marker announces; `None` where it makes no sense.
fn step(header: &Header, marker: Marker, position: u64) -> Option<u64> {
    let next = position.checked_add(1)?;
    match marker {
        Marker::Grain { lba, size_bytes } => {
            let fits = lba.0.is_multiple_of(header.grain_sectors())
                && lba.0 < header.capacity_sectors()
                && u64::from(size_bytes) <= header.grain_bytes() * DEFLATED_GRAINS_MAX;
            position.checked_add(stored_sectors(size_bytes)).filter(|_| fits)
        }
        Marker::EndOfStream | Marker::Progress { .. } => Some(next),
        Marker::GrainTable { sectors: 0 } => next.checked_add(header.directory_entries() * header.table_sectors()),
        Marker::GrainDirectory { sectors: 0 } => next.checked_add(header.directory_sectors()),
        Marker::Footer { .. } => next.checked_add(1),
        Marker::GrainTable { sectors } | Marker::GrainDirectory { sectors } => next.checked_add(sectors),
    }
}

impl GrainMap for RecoveredMap {
    fn source(&self) -> &dyn ByteSource {
        &*self.source
    }

    fn capacity_bytes(&self) -> u64 {
        self.header.capacity_bytes()
    }

    fn grain_bytes(&self) -> u64 {
        self.header.grain_bytes()
    }

    fn table_grains(&self) -> u64 {
        self.header.table_entries().into()
    }

    fn table(&self, number: u64) -> Result<Arc<[Place]>> {
        Ok(self.tables.get(&number).cloned().unwrap_or_default())
    }

    fn metadata(&self, _claim: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        Ok(())
    }

    fn data_start(&self) -> u64 {
        self.header.overhead().0.saturating_mul(SECTOR_BYTES)
    }

    fn oddities(&self) -> &Oddities {
        &self.oddities
    }
}

impl std::fmt::Debug for RecoveredMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoveredMap").field("tables", &u64_from(self.tables.len())).finish_non_exhaustive()
    }
}
