//! Parts in another order than ours: what is taken and what is not.

use diskimage::ErrorKind;
use diskimage::vmdk::layout::{Marker, SECTOR_LEN, SectorBytes};

use crate::model::{sectors, small_stream, walk};

const GRAIN_1: usize = 128;
const TABLE_1_MARKER: usize = 129;
const GRAIN_2: usize = 134;
const TABLE_2_MARKER: usize = 135;
const DIRECTORY_MARKER: usize = 140;
const FOOTER_MARKER: usize = 142;
const END: usize = 144;
const ZEROS: SectorBytes = [0; SECTOR_LEN];

fn kind_of(sectors: &[SectorBytes]) -> ErrorKind {
    walk(sectors.as_flattened(), false).unwrap_err().kind()
}

fn without(range: std::ops::Range<usize>) -> Vec<SectorBytes> {
    let mut sectors = sectors(&small_stream());
    sectors.drain(range);
    sectors
}

/// Inserts a sector and moves everything that points behind it.
fn with_moved(at: usize, sector: SectorBytes) -> Vec<SectorBytes> {
    let mut sectors = sectors(&small_stream());
    let mut bump = |place: usize, offset: usize| {
        let bytes = &mut sectors[place][offset..offset + 4];
        let pointer = u32::from_le_bytes(bytes.try_into().unwrap());
        if usize::try_from(pointer).unwrap() >= at {
            bytes.copy_from_slice(&(pointer + 1).to_le_bytes());
        }
    };
    bump(130, 12);
    bump(136, 4);
    bump(141, 0);
    bump(141, 4);
    bump(143, 56);
    sectors.insert(at, sector);
    sectors
}

#[test]
fn grains_are_taken_in_any_order() {
    // The two grains change places, and so do the entries of their tables.
    let mut sectors = sectors(&small_stream());
    sectors.swap(GRAIN_1, GRAIN_2);
    sectors[130][12] = 134;
    sectors[136][4] = 128;
    let summary = walk(sectors.as_flattened(), true).unwrap();
    assert_eq!(summary.grains, 2);
}

#[test]
fn a_grain_elsewhere_than_its_table_says_is_corrupt() {
    let mut sectors = sectors(&small_stream());
    sectors.swap(GRAIN_1, GRAIN_2);
    assert_eq!(kind_of(&sectors), ErrorKind::Corrupt);
}

#[test]
fn a_grain_that_comes_twice_is_corrupt() {
    let grain = sectors(&small_stream())[GRAIN_1];
    assert_eq!(kind_of(&with_moved(TABLE_1_MARKER, grain)), ErrorKind::Corrupt);
    // Not at once, but when its table is compared.
    assert_eq!(kind_of(&with_moved(TABLE_2_MARKER, grain)), ErrorKind::Corrupt);
}

#[test]
fn a_grain_that_no_table_lists_is_corrupt() {
    let mut grain = sectors(&small_stream())[GRAIN_1];
    let lba = 9_u64 * 128;
    grain[..8].copy_from_slice(&lba.to_le_bytes());
    assert_eq!(kind_of(&with_moved(TABLE_1_MARKER, grain)), ErrorKind::Corrupt);
}

#[test]
fn a_missing_part_is_an_error() {
    for range in [
        GRAIN_1..GRAIN_1 + 1,
        TABLE_1_MARKER..GRAIN_2,
        GRAIN_2..TABLE_2_MARKER,
        TABLE_2_MARKER..DIRECTORY_MARKER,
        DIRECTORY_MARKER..FOOTER_MARKER,
        FOOTER_MARKER..END,
        END..END + 1,
        FOOTER_MARKER + 1..END,
    ] {
        let error = walk(without(range.clone()).as_flattened(), false).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Corrupt), "{range:?}: {error}");
    }
}

#[test]
fn a_footer_before_the_directory_is_corrupt() {
    let mut sectors = sectors(&small_stream());
    sectors[DIRECTORY_MARKER..END].rotate_left(2);
    assert_eq!(kind_of(&sectors), ErrorKind::Corrupt);
}

#[test]
fn an_end_marker_before_the_footer_is_corrupt() {
    let mut sectors = sectors(&small_stream());
    sectors[FOOTER_MARKER..].rotate_right(1);
    assert_eq!(kind_of(&sectors), ErrorKind::Corrupt);
}

#[test]
fn a_grain_behind_the_directory_is_corrupt() {
    let grain = sectors(&small_stream())[GRAIN_1];
    assert_eq!(kind_of(&with_moved(FOOTER_MARKER, grain)), ErrorKind::Corrupt);
}

#[test]
fn a_marker_of_a_grain_that_cannot_be_is_corrupt() {
    let stream = small_stream();
    let changes: [(usize, &[u8]); 5] = [
        (0, &[0x81]),          // not aligned
        (0, &[0x80, 0x41, 1]), // behind the end of the disk
        (8, &[7, 0]),          // too short for zlib
        (8, &[1, 0, 2]),       // more than two grains
        (12, &[0x1f, 0x8b]),   // not zlib
    ];
    for (offset, bytes) in changes {
        let mut damaged = stream.clone();
        let start = GRAIN_1 * SECTOR_LEN + offset;
        damaged[start..start + bytes.len()].copy_from_slice(bytes);
        let error = walk(&damaged, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.offset(), Some(128 * 512), "{error}");
    }
}

#[test]
fn zeros_between_grains_and_tables_are_padding() {
    let summary = walk(with_moved(TABLE_2_MARKER, ZEROS).as_flattened(), true).unwrap();
    assert_eq!(summary.grains, 2);
}

#[test]
fn endless_zeros_end_in_a_limit() {
    let mut sectors = sectors(&small_stream());
    sectors.truncate(GRAIN_1);
    sectors.resize(GRAIN_1 + (40 << 11) + 5000, ZEROS);
    assert_eq!(kind_of(&sectors), ErrorKind::Limit);
}

#[test]
fn progress_markers_are_skipped_with_or_without_payload() {
    let lonely = Marker::Progress { value: 0 }.encode();
    let misleading = Marker::Progress { value: 50 }.encode();
    for marker in [lonely, misleading] {
        let summary = walk(with_moved(GRAIN_2, marker).as_flattened(), true).unwrap();
        assert_eq!(summary.grains, 2);
    }
    let mut sectors = with_moved(DIRECTORY_MARKER, Marker::Progress { value: 2 }.encode());
    sectors.splice(DIRECTORY_MARKER + 1..DIRECTORY_MARKER + 1, [[0xee; SECTOR_LEN]; 2]);
    let footer = sectors.len() - 2;
    sectors[footer][56] += 2;
    let summary = walk(sectors.as_flattened(), true).unwrap();
    assert_eq!(summary.grains, 2);
}
