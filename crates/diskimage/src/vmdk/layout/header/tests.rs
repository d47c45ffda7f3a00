//! The header's bytes, and which headers are refused.

use super::*;
use crate::ErrorKind;
use crate::vmdk::layout::{CAPACITY_SECTORS_MAX, SectorBytes};

fn sample() -> SectorBytes {
    Header::for_stream(1954, 1).unwrap().encode()
}

fn changed(offset: usize, bytes: &[u8]) -> SectorBytes {
    let mut sector = sample();
    sector[offset..offset + bytes.len()].copy_from_slice(bytes);
    sector
}

#[test]
fn the_header_of_a_stream_has_the_bytes_the_note_asks_for() {
    let sector = sample();
    assert_eq!(&sector[..4], b"KDMV");
    assert_eq!(sector[4..12], [3, 0, 0, 0, 1, 0, 3, 0]);
    assert_eq!(sector[56..64], [0xff; 8]);
    assert_eq!(sector[64], 128);
    assert_eq!(sector[72..79], [0, 0x0a, 0x20, 0x0d, 0x0a, 1, 0]);
    assert_eq!(sector[79..], [0; 433]);
}

#[test]
fn a_header_survives_encoding_and_parsing() {
    let header = Header::for_stream(1954, 1).unwrap();
    assert_eq!(Header::parse(&header.encode()).unwrap(), header);
    let footer = header.with_directory(Sector(77));
    assert_eq!(Header::parse(&footer.encode()).unwrap(), footer);
    assert!(header.agrees_with_footer(&footer));
}

#[test]
fn sizes_follow_from_capacity() {
    let header = Header::for_stream(1954, 1).unwrap();
    assert_eq!((header.grains(), header.directory_entries()), (16, 1));
    assert_eq!((header.table_sectors(), header.directory_sectors()), (4, 1));
    assert_eq!(header.guest_bytes_of(0), 65536);
    assert_eq!(header.guest_bytes_of(15), 34 * 512);
    assert_eq!(header.guest_bytes_of(16), 0);
    let largest = Header::for_stream(CAPACITY_SECTORS_MAX, 1).unwrap();
    assert_eq!(largest.directory_entries(), 1 << 21);
}

#[test]
fn impossible_headers_are_refused_by_the_right_kind() {
    use ErrorKind::{Corrupt, Limit, Unsupported};
    let cases: &[(usize, &[u8], ErrorKind)] = &[
        (0, b"kdmv", Corrupt),
        (4, &[0], Unsupported),
        (4, &[4], Unsupported),
        (10, &[7], Unsupported),
        (10, &[1], Unsupported),
        (10, &[2], Corrupt),
        (10, &[0], Corrupt),
        (12, &[0; 8], Limit),
        (12, &[0xff; 8], Limit),
        (20, &[0], Corrupt),
        (20, &[4], Corrupt),
        (20, &[129], Corrupt),
        (20, &[0, 0, 0, 0, 0, 0, 0, 0x80], Corrupt),
        (28, &[0xff; 8], Corrupt),
        (36, &[0, 0x10], Limit),
        (36, &[200], Corrupt),
        (44, &[0, 0], Corrupt),
        (44, &[0, 4], Corrupt),
        (44, &[1, 2], Corrupt),
        (64, &[1], Corrupt),
        (73, b"\r", Corrupt),
        (74, b"\n", Corrupt),
        (77, &[0], Corrupt),
        (77, &[2], Corrupt),
    ];
    for (offset, bytes, kind) in cases {
        let error = Header::parse(&changed(*offset, bytes)).unwrap_err();
        assert_eq!(error.kind(), *kind, "offset {offset} {bytes:?}");
    }
}

#[test]
fn the_newline_test_counts_only_with_its_flag() {
    let mut sector = changed(73, b"\r");
    assert!(Header::parse(&sector).is_err());
    sector[8] = 0;
    assert!(Header::parse(&sector).is_ok());
}

#[test]
fn a_directory_too_large_to_walk_is_refused() {
    let mut sector = changed(12, &CAPACITY_SECTORS_MAX.to_le_bytes());
    sector[20] = 8;
    assert_eq!(Header::parse(&sector).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_footer_of_another_disk_does_not_agree() {
    let header = Header::for_stream(1954, 1).unwrap();
    let other = Header::for_stream(1955, 1).unwrap().with_directory(Sector(9));
    assert!(!header.agrees_with_footer(&other));
}
