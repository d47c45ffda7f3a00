//! Every truncation and every damaged byte of a small stream.

use diskimage::ErrorKind;
use diskimage::vmdk::layout::SECTOR_LEN;
use diskimage::vmdk::stream_walk::{StreamWalker, WalkOptions};

use crate::model::{Disk, small_stream, walk};

#[test]
fn a_stream_cut_anywhere_is_truncated() {
    let stream = small_stream();
    for end in 0..stream.len() {
        let error = walk(&stream[..end], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "cut at {end}: {error}");
        assert_eq!(error.offset(), Some(u64::try_from(end).unwrap()));
    }
    walk(&stream, false).unwrap();
}

#[test]
fn anything_behind_the_end_is_corrupt() {
    let stream = small_stream();
    for tail in [&[0][..], &[1], &[0; SECTOR_LEN], &stream[128 * SECTOR_LEN..]] {
        let error = walk(&[&stream, tail].concat(), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.offset(), Some(u64::try_from(stream.len()).unwrap()));
    }
}

/// Returns whether a byte may change, because no reader's data depend on it.
fn is_harmless(position: usize, before: u8, after: u8) -> bool {
    let (sector, offset) = (position / SECTOR_LEN, position % SECTOR_LEN);
    match sector {
        // Redundant directory (its flag is not set), overhead as far as it points into the padding
        // in front of the grains, unclean mark (a warning), padding.
        0 | 143 => matches!(offset, 48..56 | 64..73 | 79..),
        // Descriptor and padding in front of the grains.
        1..128 => true,
        // Grains: a length that ends in the same sector and the data are the matter of the next
        // tests, which expand them.
        128 | 134 => offset >= 8,
        // What is behind the type of a marker.
        129 | 135 => offset >= 16,
        // The same; and a length that is left to the header.
        140 | 142 => offset >= 16 || (offset == 0 && after == 0),
        // An absent grain that becomes a grain of zeros.
        130..134 | 136..140 => offset % 4 == 0 && (before, after) == (0, 1),
        // Of the directory two entries are in use.
        141 => offset >= 8,
        _ => false,
    }
}

#[test]
fn a_damaged_byte_of_structure_is_an_error_or_harmless() {
    let stream = small_stream();
    let whole = walk(&stream, false).unwrap();
    let mut refused = 0;
    for position in 0..stream.len() {
        // The padding in front is skipped unseen; a sample of it is enough.
        if (2..127).contains(&(position / SECTOR_LEN)) && position % 97 != 0 {
            continue;
        }
        for flip in [0x01, 0x02, 0x80, 0xff] {
            let mut damaged = stream.clone();
            damaged[position] ^= flip;
            match walk(&damaged, false) {
                Err(_) => refused += 1,
                Ok(summary) => {
                    assert!(is_harmless(position, stream[position], damaged[position]), "byte {position} ^ {flip:#x}");
                    assert_eq!(summary.grains, whole.grains);
                    assert_eq!(summary.capacity_bytes, whole.capacity_bytes);
                    assert_eq!(summary.populated_bytes, whole.populated_bytes);
                }
            }
        }
    }
    assert!(refused > 4 * 8 * SECTOR_LEN, "tables and end marker alone are 9 sectors");
}

#[test]
fn a_wrong_length_of_a_grain_is_found_when_it_cuts_into_the_data() {
    let stream = small_stream();
    let size_at = 128 * SECTOR_LEN + 8;
    for shorter in 1..50 {
        let mut damaged = stream.clone();
        damaged[size_at] -= shorter;
        assert_eq!(walk(&damaged, true).unwrap_err().kind(), ErrorKind::Corrupt, "{shorter} bytes");
    }
}

#[test]
fn a_damaged_byte_of_a_grain_is_found_when_grains_are_expanded() {
    let disk = Disk::new(1954 * 512).fill([0, 15], 6);
    let (stream, _) = disk.write();
    assert!(walk(&stream, true).is_ok());
    let first = 128 * SECTOR_LEN + 12;
    let size = usize::from(u16::from_le_bytes([stream[first - 4], stream[first - 3]]));
    for position in (first..first + size).step_by(61) {
        let mut damaged = stream.clone();
        damaged[position] ^= 0x40;
        match walk(&damaged, true) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert_eq!(error.offset(), Some(128 * 512), "an error names its grain");
            }
            // The window size in the zlib header does not change what comes out.
            Ok(_) => assert_eq!(position, first),
        }
    }
}

#[test]
fn a_walk_does_not_go_on_after_an_error() {
    let mut stream = small_stream();
    stream[0] ^= 1;
    let mut walker = StreamWalker::new(WalkOptions::default());
    assert_eq!(walker.push(&stream).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(walker.push(&stream).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(walker.finish().unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn a_disk_larger_than_the_caller_allows_is_refused_by_its_header() {
    let stream = small_stream();
    let allow = |capacity_bytes_max| {
        let mut walker = StreamWalker::new(WalkOptions { inflate: false, capacity_bytes_max });
        walker.push(&stream[..SECTOR_LEN])
    };
    assert!(allow(40 << 20).is_ok());
    assert_eq!(allow((40 << 20) - 1).unwrap_err().kind(), ErrorKind::Limit);
}
