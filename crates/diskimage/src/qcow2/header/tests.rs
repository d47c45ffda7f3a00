//! The header's bytes, and which headers are refused.

use super::*;
use crate::ErrorKind;

const FILE_BYTES: u64 = 1 << 20;

fn sample(compression: CompressionType) -> Header {
    let places = TablePlaces { l1_offset: 0x30000, refcount_table_offset: 0x10000, refcount_table_clusters: 1 };
    Header::for_image(Geometry::new(16).unwrap(), 1 << 30, compression, places)
}

fn bytes() -> Vec<u8> {
    let mut bytes = sample(CompressionType::Deflate).encode();
    bytes.resize(65536, 0);
    bytes
}

fn changed(offset: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = bytes();
    bytes[offset..offset + field.len()].copy_from_slice(field);
    bytes
}

/// Adds an extension at the end of the header.
fn extended(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = changed(112, &kind.to_be_bytes());
    bytes[116..120].copy_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
    bytes[120..120 + data.len()].copy_from_slice(data);
    bytes
}

#[test]
fn a_header_survives_encoding_and_parsing() {
    for compression in [CompressionType::Deflate, CompressionType::Zstd] {
        let header = sample(compression);
        let mut bytes = header.encode();
        bytes.resize(65536, 0);
        assert_eq!(Header::parse(&bytes, FILE_BYTES).unwrap(), header);
    }
}

#[test]
fn fields_stand_where_the_format_puts_them() {
    let bytes = sample(CompressionType::Zstd).encode();
    assert_eq!(bytes[..8], [b'Q', b'F', b'I', 0xfb, 0, 0, 0, 3]);
    assert_eq!(bytes[20..32], [0, 0, 0, 16, 0, 0, 0, 0, 0x40, 0, 0, 0]);
    assert_eq!(bytes[36..48], [0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0]);
    assert_eq!(bytes[72..80], [0, 0, 0, 0, 0, 0, 0, 8]);
    assert_eq!(bytes[96..105], [0, 0, 0, 4, 0, 0, 0, 112, 1]);
    assert_eq!(bytes[105..], [0; 15]);
}

#[test]
fn headers_that_break_a_rule_are_refused_with_its_place() {
    use ErrorKind::{Corrupt, Encrypted, Limit, Truncated, Unsupported};
    let cases: &[(usize, &[u8], ErrorKind, u64)] = &[
        (0, b"QFI\xfa", Corrupt, 0),
        (4, &[0, 0, 0, 1], Unsupported, 4),
        (4, &[0, 0, 0, 4], Unsupported, 4),
        (20, &[0, 0, 0, 8], Corrupt, 20),
        (20, &[0, 0, 0, 22], Corrupt, 20),
        (20, &[0xff; 4], Corrupt, 20),
        (24, &[0xff; 8], Limit, 24),
        (24, &[0, 0, 0, 0, 0x40, 0, 0, 1], Unsupported, 24),
        (24, &[0, 0, 0, 0, 0x40, 0, 2, 0], Corrupt, 36),
        (32, &[0, 0, 0, 1], Encrypted, 32),
        (36, &[0, 0, 0, 1], Corrupt, 36),
        (36, &[0, 0x40, 0, 1], Limit, 36),
        (40, &[0; 8], Corrupt, 40),
        (40, &[0, 0, 0, 0, 0, 3, 2, 0], Corrupt, 40),
        (40, &[0, 0, 0, 0, 0, 1, 0, 0], Corrupt, 40),
        (40, &[0, 0, 0, 0, 0, 0x10, 0, 0], Truncated, 40),
        (40, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0], Truncated, 40),
        (48, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0], Truncated, 48),
        (56, &[0, 0, 0, 0], Corrupt, 56),
        (56, &[0, 0, 0, 129], Limit, 56),
        (60, &[0, 1, 0, 1], Limit, 60),
        (72, &[0x80], Unsupported, 72),
        (79, &[4], Unsupported, 72),
        (79, &[8], Corrupt, 104),
        (79, &[16], Unsupported, 72),
        (96, &[0, 0, 0, 7], Corrupt, 96),
        (100, &[0, 0, 0, 96], Corrupt, 100),
        (100, &[0, 0, 0, 109], Corrupt, 100),
        (100, &[0, 1, 0, 8], Corrupt, 100),
        (104, &[1], Corrupt, 104),
        (104, &[2], Unsupported, 104),
    ];
    for (offset, field, kind, place) in cases {
        let error = Header::parse(&changed(*offset, field), FILE_BYTES).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (*kind, Some(*place)), "{field:?} at {offset}: {error}");
    }
}

#[test]
fn flags_that_do_not_stop_a_reader_are_told() {
    let dirty = Header::parse(&changed(79, &[1]), FILE_BYTES).unwrap();
    assert!(dirty.is_dirty() && !dirty.is_marked_corrupt());
    let corrupt = Header::parse(&changed(79, &[2]), FILE_BYTES).unwrap();
    assert!(corrupt.is_marked_corrupt() && !corrupt.is_dirty());
    // Unknown bits that are compatible or for writers only.
    assert!(Header::parse(&changed(80, &[0xff; 16]), FILE_BYTES).is_ok());
}

#[test]
fn version_2_ends_after_72_bytes() {
    let mut bytes = changed(4, &[0, 0, 0, 2]);
    bytes[72..112].fill(0);
    let header = Header::parse(&bytes, FILE_BYTES).unwrap();
    assert_eq!((header.version(), header.refcount_bits()), (2, 16));
    assert!(!header.has_zero_flag());
    // What would be features in version 3 are extensions here.
    bytes[72..80].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(Header::parse(&bytes, FILE_BYTES).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_backing_file_is_named_and_its_format_comes_from_the_extension() {
    let mut bytes = extended(0xe279_2aca, b"qcow2");
    bytes[8..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 9]);
    bytes[512..521].copy_from_slice(b"base.disk");
    let header = Header::parse(&bytes, FILE_BYTES).unwrap();
    let backing = Backing { name: "base.disk".to_owned(), format: Some("qcow2".to_owned()) };
    assert_eq!(header.backing(), Some(&backing));
    bytes[514] = 0;
    assert_eq!(Header::parse(&bytes, FILE_BYTES).unwrap_err().offset(), Some(512));
    for (offset, len_bytes) in [(104_u64, 9_u32), (65530, 9), (u64::MAX, 9), (512, 1024)] {
        bytes[8..16].copy_from_slice(&offset.to_be_bytes());
        bytes[16..20].copy_from_slice(&len_bytes.to_be_bytes());
        let error = Header::parse(&bytes, FILE_BYTES).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(8)));
    }
}

#[test]
fn extensions_are_walked_and_the_bad_ones_refused() {
    assert!(Header::parse(&extended(0x1234_5678, &[7; 13]), FILE_BYTES).is_ok(), "unknown ones do not matter");
    let encrypted = Header::parse(&extended(0x0537_be77, &[0; 16]), FILE_BYTES).unwrap_err();
    assert_eq!((encrypted.kind(), encrypted.offset()), (ErrorKind::Encrypted, Some(112)));
    let mut long = extended(0x1234_5678, &[]);
    long[116..120].copy_from_slice(&[0xff; 4]);
    assert_eq!(Header::parse(&long, FILE_BYTES).unwrap_err().kind(), ErrorKind::Corrupt);
    for name in [&b""[..], b"ra\0w", &[b'x'; 64]] {
        assert_eq!(Header::parse(&extended(0xe279_2aca, name), FILE_BYTES).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_header_cut_anywhere_is_truncated_or_corrupt() {
    let bytes = bytes();
    for end in 0..112 {
        let error = Header::parse(&bytes[..end], FILE_BYTES).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Corrupt), "cut at {end}: {error}");
    }
}
