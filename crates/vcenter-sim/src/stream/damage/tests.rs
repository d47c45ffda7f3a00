use std::sync::Arc;

use super::*;
use crate::content::DiskContent;
use crate::inventory::{Content, Disk};
use crate::stream::{FileStream, Made};

fn disk(fill: f64) -> Arc<DiskContent> {
    let content = Content::Seeded { seed: 4, fill, compressibility: 0.5 };
    // More than one grain table (32 MiB each).
    let disk = Disk::new(40 << 20, content);
    Arc::new(DiskContent::open(&disk).unwrap())
}

fn run(mut stream: FileStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match stream.make().unwrap() {
            Made::Piece(piece) => bytes.extend_from_slice(&piece),
            Made::Nothing => {}
            Made::End(digests) => {
                let size = digests.map(|digests| digests.size);
                assert!(size.is_none_or(|size| size == u64::try_from(bytes.len()).unwrap()));
                return bytes;
            }
        }
    }
}

fn whole() -> Vec<u8> {
    run(FileStream::disk(disk(0.05), true).unwrap())
}

fn damaged(kind: VmdkDamage) -> Vec<u8> {
    run(FileStream::damaged_disk(disk(0.05), kind).unwrap())
}

/// The units of a stream: what they are, where they stand, and the sector or number that they name.
fn units(stream: &[u8]) -> Vec<(Kind, u64, u64)> {
    let mut reader = Damage::new(VmdkDamage::NoEndOfStream);
    reader.input.extend_from_slice(stream);
    let sectors = reader.head().unwrap();
    drop(reader.input.split_to(bytes_of(sectors)));
    reader.place = sectors;
    let mut units = Vec::new();
    while let Some(unit) = reader.unit() {
        units.push((unit.kind, unit.place, u64_at(&unit.bytes, 0).unwrap()));
    }
    assert!(reader.input.is_empty());
    units
}

fn grains(stream: &[u8]) -> Vec<u64> {
    units(stream).into_iter().filter(|unit| unit.0 == Kind::Grain).map(|unit| unit.2).collect()
}

/// Checks that each table entry names a sector at which that very grain begins.
fn check_tables(stream: &[u8]) {
    let units = units(stream);
    let grains: Vec<(u64, u64)> =
        units.iter().filter(|unit| unit.0 == Kind::Grain).map(|unit| (unit.1, unit.2)).collect();
    let tables: Vec<u64> = units.iter().filter(|unit| unit.0 == Kind::Marker(TABLE)).map(|unit| unit.1 + 1).collect();
    let directory = units.iter().find(|unit| unit.0 == Kind::Marker(DIRECTORY)).unwrap().1 + 1;
    let footer = units.iter().find(|unit| unit.0 == Kind::Marker(FOOTER)).unwrap().1 + 1;
    assert_eq!(u64_at(stream, bytes_of(footer) + GD_OFFSET_AT), Some(directory));
    let entry = |sector: u64, index: usize| u64::from(u32_at(stream, bytes_of(sector) + index * 4).unwrap());
    let mut found = 0;
    for index in 0..2 {
        let table = entry(directory, index);
        assert!(tables.contains(&table), "{table}");
        for slot in 0..512 {
            let sector = entry(table, slot);
            if sector > 1 {
                let lba = u64::try_from((index * 512 + slot) * 128).unwrap();
                assert!(grains.contains(&(sector, lba)), "{lba} is not at {sector}");
                found += 1;
            }
        }
    }
    let mut distinct: Vec<u64> = grains.iter().map(|grain| grain.1).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(found, distinct.len());
}

#[test]
fn a_stream_without_its_end_is_a_prefix_of_the_whole() {
    let whole = whole();
    check_tables(&whole);
    let no_end = damaged(VmdkDamage::NoEndOfStream);
    assert_eq!(no_end, whole[..whole.len() - SECTOR]);
    let no_footer = damaged(VmdkDamage::NoFooter);
    assert!(whole.starts_with(&no_footer));
    assert_eq!(units(&no_footer).last().unwrap().0, Kind::Marker(DIRECTORY));
}

#[test]
fn grains_change_places_and_the_tables_follow() {
    let stream = damaged(VmdkDamage::Disorder);
    let (mut before, after) = (grains(&whole()), grains(&stream));
    assert_ne!(before, after);
    before.swap(0, 1);
    assert_eq!(before, after);
    check_tables(&stream);
}

#[test]
fn a_grain_comes_twice_and_the_tables_follow() {
    let stream = damaged(VmdkDamage::DuplicateGrain);
    let mut grains = grains(&stream);
    assert_eq!(grains[0], grains[1]);
    grains.remove(0);
    assert_eq!(grains, self::grains(&whole()));
    check_tables(&stream);
}

#[test]
fn one_marker_is_of_no_known_kind() {
    let (whole, stream) = (whole(), damaged(VmdkDamage::BadMarker));
    let different: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != stream[at]).collect();
    assert_eq!(different.len(), 1);
    assert!(units(&stream).iter().any(|unit| unit.0 == Kind::Marker(UNKNOWN)));
}

#[test]
fn the_last_grain_is_short_and_the_tables_follow() {
    let (whole, stream) = (whole(), damaged(VmdkDamage::ShortGrain));
    assert_eq!(grains(&stream), grains(&whole));
    check_tables(&stream);
    let last = |stream: &[u8]| {
        let at = bytes_of(units(stream).iter().rfind(|unit| unit.0 == Kind::Grain).unwrap().1);
        let size = usize::try_from(u32_at(stream, at + 8).unwrap()).unwrap();
        let mut content = vec![0; GRAIN_BYTES];
        let data = &stream[at + GRAIN_HEAD..at + GRAIN_HEAD + size];
        let len = Decompressor::new().zlib_decompress(data, &mut content).unwrap();
        content.truncate(len);
        content
    };
    let (before, after) = (last(&whole), last(&stream));
    assert_eq!((before.len(), after.len()), (GRAIN_BYTES, GRAIN_BYTES / 2));
    assert_eq!(before[..GRAIN_BYTES / 2], after);
}

#[test]
fn a_disk_without_grains_has_nothing_to_damage() {
    let empty = run(FileStream::disk(disk(0.0), true).unwrap());
    for kind in [VmdkDamage::Disorder, VmdkDamage::DuplicateGrain, VmdkDamage::ShortGrain] {
        assert_eq!(run(FileStream::damaged_disk(disk(0.0), kind).unwrap()), empty);
    }
}
