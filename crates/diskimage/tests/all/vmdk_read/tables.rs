//! The tables of a hosted sparse extent: two copies, and what may be wrong with them.

use diskimage::image::Disk as _;
use diskimage::vmdk::read::OpenOptions;
use diskimage::{Error, ErrorKind};

use super::build::{Cell, Cells, Hosted, Places, SECTOR, Store, hosted, put, read_all, read_bytes};

fn sample(redundant: bool) -> (Cells, Vec<u8>, Places) {
    let mut link = Cells::random(9000, 8, 77);
    // One entry of each kind, at places that the tests know.
    link.cells[3] = Cell::Absent;
    link.cells[4] = Cell::Zero;
    link.cells[5] = Cell::Data(5);
    link.cells[600] = Cell::Data(600);
    let (bytes, places) = hosted(&link, &Hosted { redundant, ..Hosted::default() });
    (link, bytes, places)
}

fn warnings(bytes: Vec<u8>) -> Result<(Vec<u8>, Vec<String>), Error> {
    let mut store = Store::default();
    let image = store.put("x", bytes).open("x")?;
    let disk = read_all(&image)?;
    let all = image.describe()?.warnings;
    Ok((disk, all.into_iter().filter(|warning| !warning.contains("no descriptor inside")).collect()))
}

#[test]
fn a_broken_copy_of_the_tables_is_replaced_by_the_other_with_a_warning() {
    let (link, bytes, places) = sample(true);
    let disk = link.over(&[]);
    assert_eq!(warnings(bytes.clone()).unwrap(), (disk.clone(), Vec::new()));
    let beyond = u32::MAX.to_le_bytes();
    for copy in 0..2 {
        // An entry of a table, an entry of the directory, and the pointer to it.
        let header_field = [48, 56][copy];
        for place in [places.tables[copy][0] + 5 * 4, places.directories[copy] + 4, header_field] {
            let mut damaged = bytes.clone();
            put(&mut damaged, place, &beyond);
            let (read, said) = warnings(damaged).unwrap();
            assert!(read == disk, "copy {copy}, byte {place}");
            assert!(said.iter().any(|warning| warning.contains("copy of some tables")), "{said:?}");
        }
    }
}

#[test]
fn copies_that_are_both_well_formed_and_differ_are_an_error_unless_the_disk_was_not_closed() {
    let (link, bytes, places) = sample(true);
    for copy in 0..2 {
        let mut damaged = bytes.clone();
        put(&mut damaged, places.tables[copy][0] + 5 * 4, &0_u32.to_le_bytes());
        let error = read_bytes(damaged.clone()).unwrap_err();
        assert_eq!((error.kind(), error.rule()), (ErrorKind::Corrupt, "both copies of a grain table are the same"));
        damaged[72] = 1;
        let (read, said) = warnings(damaged).unwrap();
        // The first is the second in this file: the directory that counts stands behind the redundant one.
        assert_eq!(read == link.over(&[]), copy == 0);
        assert!(said.iter().any(|warning| warning.contains("differ")), "{said:?}");
        assert!(said.iter().any(|warning| warning.contains("not closed cleanly")), "{said:?}");
    }
}

#[test]
fn pointers_without_a_second_copy_are_checked_against_the_file() {
    let (_, bytes, places) = sample(false);
    let table = places.tables[0][0];
    let end = u32::try_from(bytes.len() / SECTOR).unwrap();
    use ErrorKind::{Corrupt, Truncated};
    let grain_front = u32::try_from(places.grains / SECTOR).unwrap() - 1;
    for (place, value, kind) in [
        (table + 5 * 4, end, Truncated),
        (table + 5 * 4, end - 7, Truncated),
        (table + 5 * 4, u32::MAX, Truncated),
        (table + 5 * 4, 2, Corrupt),
        (table + 5 * 4, grain_front, Corrupt),
        (places.directories[0], end, Truncated),
        (places.directories[0], end - 3, Truncated),
        (56, end, Truncated),
        (56, 0, Corrupt),
    ] {
        let mut damaged = bytes.clone();
        put(&mut damaged, place, &value.to_le_bytes());
        let error = read_bytes(damaged).unwrap_err();
        assert_eq!(error.kind(), kind, "byte {place} = {value}: {error}");
        assert_eq!(error.file(), Some("disk.vmdk"), "{error}");
    }
}

#[test]
fn an_entry_of_one_means_zeros_with_or_without_its_flag() {
    let (link, bytes, _) = sample(false);
    assert_eq!(warnings(bytes).unwrap(), (link.over(&[]), Vec::new()));
    let (bytes, _) = hosted(&link, &Hosted { unannounced_zeros: true, ..Hosted::default() });
    let (read, said) = warnings(bytes).unwrap();
    assert!(read == link.over(&[]));
    assert!(said.len() == 1 && said[0].contains("mean zeros"), "{said:?}");
}

#[test]
fn entries_behind_the_end_of_the_disk_are_not_looked_at() {
    let (link, mut bytes, places) = sample(false);
    let last = link.cells.len() % 512;
    put(&mut bytes, places.tables[0][2] + last * 4, &u32::MAX.to_le_bytes());
    assert!(read_bytes(bytes).unwrap() == link.over(&[]));
}

#[test]
fn the_last_grain_of_a_file_may_be_cut_at_the_end_of_the_disk() {
    let mut link = Cells::random(1954, 128, 3);
    link.cells = (0..16).map(Cell::Data).collect();
    let (mut bytes, places) = hosted(&link, &Hosted::default());
    // The last grain of the disk is the first in the file; move it behind all others, in its length.
    let needed = 34 * SECTOR;
    let grain = bytes[places.grains..places.grains + needed].to_vec();
    let moved = u32::try_from(bytes.len() / SECTOR).unwrap();
    put(&mut bytes, places.tables[0][0] + 15 * 4, &moved.to_le_bytes());
    bytes.extend(grain);
    assert!(read_bytes(bytes.clone()).unwrap() == link.over(&[]));
    bytes.pop();
    assert_eq!(read_bytes(bytes).unwrap_err().kind(), ErrorKind::Truncated);
}

#[test]
fn a_disk_larger_than_the_caller_allows_is_refused() {
    let (link, bytes, _) = sample(false);
    let mut store = Store::default();
    store.put("x", bytes);
    let open = |bytes: usize| {
        let capacity_bytes_max = u64::try_from(bytes).unwrap();
        store.open_with("x", OpenOptions { capacity_bytes_max, ..OpenOptions::default() })
    };
    assert_eq!(open(link.capacity - 1).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(usize::try_from(open(link.capacity).unwrap().capacity_bytes()).unwrap(), link.capacity);
}
