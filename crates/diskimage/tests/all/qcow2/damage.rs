//! Damage of every kind at every place of structure: an error or the right bytes, never others.

use diskimage::image::{Disk as _, extents};
use diskimage::output::MemoryOutput;
use diskimage::qcow2::write::{Compression, Options, Qcow2Writer};
use diskimage::{Error, ErrorKind};

use super::disk::{options, reader};
use crate::writers::Random;

const CAPACITY: usize = 12 * 65536;

/// Cluster 1 and what follows: data; then L2 table, L1 table, refcount table, refcount block.
fn image(compression: Option<Compression>) -> (Vec<u8>, Vec<u8>) {
    let mut contents = Random::new(5).bytes(CAPACITY);
    contents[3 * 65536..4 * 65536].fill(0);
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(CAPACITY, compression)).unwrap();
    writer.write_at(0, &contents).unwrap();
    writer.finish().unwrap();
    (output.contents(), contents)
}

/// Bytes that a failed test does not print.
struct Contents(Vec<u8>);

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl PartialEq<Vec<u8>> for Contents {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self.0 == *other
    }
}

/// Reads everything that can be read, map and data.
fn read_all(file: Vec<u8>) -> Result<Contents, Error> {
    let disk = reader(file)?;
    extents(&disk, 0..disk.capacity_bytes()).try_for_each(|extent| extent.map(drop))?;
    let mut found = vec![0; usize::try_from(disk.capacity_bytes()).unwrap()];
    disk.read_at(0, &mut found)?;
    Ok(Contents(found))
}

#[test]
fn an_image_cut_anywhere_is_an_error() {
    for compression in [None, Some(Compression::Deflate), Some(Compression::Zstd)] {
        let (file, contents) = image(compression);
        assert!(read_all(file.clone()).unwrap() == contents);
        for end in (0..file.len()).step_by(509) {
            match read_all(file[..end].to_vec()) {
                Err(error) => {
                    let kind = error.kind();
                    assert!(matches!(kind, ErrorKind::Truncated | ErrorKind::Corrupt), "cut at {end}: {error}");
                }
                // Without the counts, at the end of our images, all can be read; but that is told.
                Ok(found) => {
                    assert!(end >= file.len() - 65536 && found == contents, "cut at {end}");
                    assert_eq!(reader(file[..end].to_vec()).unwrap().warnings().len(), 1);
                }
            }
        }
    }
}

#[test]
fn data_cut_from_a_foreign_image_with_its_tables_in_front_is_an_error() {
    // Tables moved in front, as qemu-img has them: then a cut takes only data.
    let (file, contents) = image(None);
    let tail = file.len() - 4 * 65536;
    let (data, tables) = (&file[65536..tail], &file[tail..]);
    let mut moved = [&file[..65536], tables, data].concat();
    let shift = |moved: &mut Vec<u8>, at: usize, by: i64| {
        let value = u64::from_be_bytes(moved[at..at + 8].try_into().unwrap());
        if value != 0 {
            moved[at..at + 8].copy_from_slice(&value.wrapping_add_signed(by).to_be_bytes());
        }
    };
    let back = 65536 - i64::try_from(tail).unwrap();
    shift(&mut moved, 40, back);
    shift(&mut moved, 48, back);
    (0..8192).for_each(|entry| shift(&mut moved, 65536 + entry * 8, 4 * 65536));
    shift(&mut moved, 2 * 65536, back);
    shift(&mut moved, 3 * 65536, back);
    assert!(read_all(moved.clone()).unwrap() == contents);
    for cut in [1, 512, 50_000, 65_536, 200_000] {
        let error = read_all(moved[..moved.len() - cut].to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "cut by {cut}");
    }
}

#[test]
fn a_flipped_bit_of_structure_is_an_error_or_does_not_matter() {
    for compression in [None, Some(Compression::Deflate), Some(Compression::Zstd)] {
        let (file, contents) = image(compression);
        let tables = file.len() - 4 * 65536;
        let header = 0..112;
        let l2 = tables..tables + 12 * 8;
        let l1 = tables + 65536..tables + 65536 + 8;
        let counts = tables + 2 * 65536..tables + 2 * 65536 + 8;
        let mut refused = 0;
        for at in header.chain(l2.clone()).chain(l1.clone()).chain(counts) {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                let outcome = read_all(damaged.clone());
                let Ok(found) = outcome else {
                    refused += 1;
                    continue;
                };
                let is_entry = l2.contains(&at) || l1.contains(&at);
                // A smaller disk, a table elsewhere, and an entry that points at other data or says
                // "zero": nothing in the format tells.
                let cannot_know = matches!(at, 24..32 | 40..48) || is_entry;
                let same = found == contents;
                assert!(same || cannot_know, "{compression:?}: bit {bit} of byte {at}");
            }
        }
        assert!(refused > 500, "{compression:?}: {refused}");
    }
}

#[test]
fn an_entry_that_points_at_a_table_or_beyond_the_end_is_an_error() {
    let (file, _) = image(None);
    let tables = file.len() - 4 * 65536;
    let copied = 1_u64 << 63;
    let places: [u64; 5] = [0, 1, 2, 3, 4].map(|number| u64::try_from(tables).unwrap() + number * 65536);
    for (number, place) in places.into_iter().enumerate() {
        let mut damaged = file.clone();
        damaged[tables..tables + 8].copy_from_slice(&(copied | place).to_be_bytes());
        let kind = if number == 4 { ErrorKind::Truncated } else { ErrorKind::Corrupt };
        assert_eq!(read_all(damaged).unwrap_err().kind(), kind, "data at {place}");
        let mut damaged = file.clone();
        damaged[tables + 65536..tables + 65544].copy_from_slice(&(copied | place).to_be_bytes());
        // The place of the only L2 table itself is right.
        if number != 0 {
            assert_eq!(read_all(damaged).unwrap_err().kind(), kind, "a table at {place}");
        }
    }
    let compressed = (1 << 62) | u64::try_from(tables).unwrap();
    let mut damaged = file.clone();
    damaged[tables..tables + 8].copy_from_slice(&compressed.to_be_bytes());
    assert_eq!(read_all(damaged).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn damaged_compressed_data_are_an_error_or_found_by_nobody() {
    for compression in [Compression::Deflate, Compression::Zstd] {
        let (file, contents) = image(Some(compression));
        let mut refused = 0;
        for at in (65536..66_500).step_by(3) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x11;
            match read_all(damaged) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(error.offset().is_some(), "an error names its place");
                    refused += 1;
                }
                // Raw deflate and zstd without a checksum cannot tell a changed letter.
                Ok(found) => assert_eq!(found.0.len(), contents.len()),
            }
        }
        assert!(refused > 0, "{compression:?}");
    }
}

#[test]
fn options_that_no_image_can_have_are_refused() {
    let refused = |options: Options| Qcow2Writer::create(MemoryOutput::default(), &options).unwrap_err().kind();
    let usual = options(CAPACITY, None);
    assert_eq!(refused(Options { capacity_bytes: 0, ..usual }), ErrorKind::Misuse);
    assert_eq!(refused(Options { capacity_bytes: 513, ..usual }), ErrorKind::Misuse);
    assert_eq!(refused(Options { capacity_bytes: (64 << 40) + 512, ..usual }), ErrorKind::Limit);
    for cluster_bytes in [0, 1, 32768, 65537, 98304, 4 << 20] {
        assert_eq!(refused(Options { cluster_bytes, ..usual }), ErrorKind::Misuse, "{cluster_bytes}");
    }
}
