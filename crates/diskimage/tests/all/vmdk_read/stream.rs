//! Streams at any place: footers, tables in front, and what may go wrong with them.

use diskimage::ErrorKind;
use diskimage::image::{Disk as _, ExtentKind};
use diskimage::vmdk::read::OpenOptions;

use super::build::{Cell, Cells, SECTOR, Store, Stream, put, read_all, read_bytes, stream};
use crate::foreign::{tables_in_front, xen_orchestra};
use crate::model::{Disk, contents, small_stream};

#[test]
fn what_we_write_is_read_at_any_place() {
    let disk = Disk::new(70_001 * 512).fill([0, 3, 4, 5, 511, 512, 546], 44);
    let mut store = Store::default();
    store.put("x", disk.write().0);
    let image = store.open("x").unwrap();
    let raw = disk.raw();
    assert!(read_all(&image).unwrap() == raw);
    for (start, len) in [(0, 1), (65_535, 2), (200_000, 300_000), (raw.len() - 513, 513), (33 << 20, 1 << 20)] {
        let mut buf = vec![0xee; len];
        image.read_at(u64::try_from(start).unwrap(), &mut buf).unwrap();
        assert!(buf == raw[start..start + len], "{start} {len}");
    }
    let runs = image.extents(0..image.capacity_bytes()).unwrap();
    let data: u64 =
        runs.iter().filter(|run| run.kind == ExtentKind::Data).map(diskimage::image::Extent::len_bytes).sum();
    assert_eq!(data, disk.populated_bytes());
    let description = image.describe().unwrap();
    assert_eq!((description.allocated_bytes, description.links[0].variant.as_str()), (data, "streamOptimized"));
    assert_eq!(description.warnings, Vec::<String>::new());
}

#[test]
fn streams_as_others_lay_them_out_are_read() {
    let with = |grains: &[u64]| {
        let mut raw = vec![0; 80_000 * SECTOR];
        for &grain in grains {
            let start = usize::try_from(grain).unwrap() * 65536;
            let len = 65536.min(raw.len() - start);
            raw[start..start + len].copy_from_slice(&contents(grain, 65536)[..len]);
        }
        raw
    };
    // Both directories behind the grains, the redundant one first, announced by the footer.
    assert!(read_bytes(xen_orchestra().bytes().to_vec()).unwrap() == with(&[0, 1, 7, 512, 600]));
    for end in [true, false] {
        let grains = [512, 5, 0, 624, 511];
        assert!(read_bytes(tables_in_front(&grains, end).bytes().to_vec()).unwrap() == with(&grains));
    }
}

#[test]
fn a_grain_in_sector_1_is_an_error_because_its_entry_means_zeros() {
    let link = Cells { capacity: 8 * SECTOR, grain: 8 * SECTOR, cells: vec![Cell::Data(1)] };
    let bytes = stream(&link, Stream { entries: 128, in_front: false, short_last: false });
    assert!(read_bytes(bytes.clone()).unwrap() == link.over(&[]));
    // Everything moves up by the empty sector behind the header.
    let mut moved = [&bytes[..SECTOR], &bytes[2 * SECTOR..]].concat();
    let directory = moved.len() - 4 * SECTOR;
    let footer = moved.len() - 2 * SECTOR;
    let table = directory - 2 * SECTOR;
    put(&mut moved, 64, &1_u64.to_le_bytes());
    put(&mut moved, footer + 64, &1_u64.to_le_bytes());
    put(&mut moved, footer + 56, &u64::try_from(directory / SECTOR).unwrap().to_le_bytes());
    put(&mut moved, directory, &u32::try_from(table / SECTOR).unwrap().to_le_bytes());
    put(&mut moved, table, &1_u32.to_le_bytes());
    let error = read_bytes(moved).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.rule().starts_with("sector 1"), "{error}");
}

#[test]
fn padding_behind_the_end_is_stepped_over_up_to_64_kib() {
    let stream = small_stream();
    let whole = read_bytes(stream.clone()).unwrap();
    for zeros in [1, 511, 512, 777, 65536] {
        let mut padded = stream.clone();
        padded.resize(stream.len() + zeros, 0);
        assert!(read_bytes(padded).unwrap() == whole, "{zeros}");
    }
    for tail in [vec![0; 65536 + SECTOR], vec![7; 100], vec![7; 512]] {
        let error = read_bytes([stream.clone(), tail].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    }
}

#[test]
fn a_stream_cut_anywhere_is_an_error_and_what_is_left_can_be_rescued_on_demand() {
    let stream = small_stream();
    for end in (0..stream.len()).step_by(173) {
        let error = read_bytes(stream[..end].to_vec()).unwrap_err();
        let expected: &[ErrorKind] =
            if end < SECTOR { &[ErrorKind::Truncated, ErrorKind::Unsupported] } else { &[ErrorKind::Truncated] };
        assert!(expected.contains(&error.kind()), "cut at {end}: {error}");
    }
    let mut expected = vec![0; 40 << 20];
    let grain = 65536;
    expected[3 * grain..4 * grain].fill(1);
    let rescued = |end: usize| {
        let mut store = Store::default();
        store.put("x", &stream[..end]);
        let image = store.open_with("x", OpenOptions { recover: true, ..OpenOptions::default() }).unwrap();
        let warnings = image.describe().unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.contains("lost its tables")), "{warnings:?}");
        read_all(&image).unwrap()
    };
    // In front of the second grain, inside of it, and behind it.
    assert!(rescued(134 * SECTOR) == expected);
    assert!(rescued(134 * SECTOR + 40) == expected);
    expected[513 * grain..514 * grain].fill(2);
    assert!(rescued(135 * SECTOR) == expected);
    assert!(rescued(143 * SECTOR) == expected);
}

#[test]
fn a_marker_that_names_another_grain_than_its_table_is_an_error() {
    let mut stream = small_stream();
    put(&mut stream, 128 * SECTOR, &(4_u64 * 128).to_le_bytes());
    let error = read_bytes(stream).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(128 * 512)));
    assert_eq!(error.file(), Some("disk.vmdk"));
}

#[test]
fn sizes_of_grains_are_bounded_before_they_are_read() {
    for (size, kind) in [
        (0, ErrorKind::Corrupt),
        (1, ErrorKind::Corrupt),
        (65536 * 2 + 1, ErrorKind::Corrupt),
        (u32::MAX, ErrorKind::Corrupt),
        (65536 * 2, ErrorKind::Truncated),
    ] {
        let mut stream = small_stream();
        put(&mut stream, 128 * SECTOR + 8, &u32::to_le_bytes(size));
        assert_eq!(read_bytes(stream).unwrap_err().kind(), kind, "{size}");
    }
}

#[test]
fn a_large_grain_that_noise_made_longer_is_read_in_two_steps() {
    let disk = Disk::new(1 << 20).fill([4, 9, 14], 0);
    let (stream, _) = disk.write();
    assert!(stream.len() > 3 * 65536, "noise does not shrink");
    assert!(read_bytes(stream).unwrap() == disk.raw());
}

#[test]
fn many_threads_read_one_stream() {
    let disk = Disk::new(8 << 20).fill(0..128, 22);
    let raw = disk.raw();
    let mut store = Store::default();
    store.put("x", disk.write().0);
    let image = store.open("x").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (image, raw) = (&image, &raw);
            scope.spawn(move || {
                let mut buf = vec![0; 100_000];
                for step in 0..40 {
                    let start = (thread * 977_777 + step * 123_457) % (raw.len() - buf.len());
                    image.read_at(u64::try_from(start).unwrap(), &mut buf).unwrap();
                    assert!(buf == raw[start..start + buf.len()]);
                }
            });
        }
    });
}

#[test]
fn the_contents_of_samples_are_never_all_zeros() {
    assert!((0..100).all(|seed| contents(seed, 512).iter().any(|&byte| byte != 0)));
}
