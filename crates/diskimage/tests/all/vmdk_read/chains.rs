//! Chains of all kinds against a vector of bytes.

use diskimage::ErrorKind;
use diskimage::image::{Disk as _, ExtentKind, Image, extents};
use diskimage::vmdk::read::{OpenOptions, Parent};
use proptest::prelude::*;

use super::build::{Cell, Cells, Hosted, SECTOR, Store, Stream, cowd, descriptor, hosted, read_all, sesparse, stream};
use crate::model::contents;

/// The kinds of links that can lie over another.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One file, descriptor inside, every table twice.
    Monolithic,
    /// A descriptor, and two sparse extents of which the first ends inside of a grain.
    Split,
    Cowd {
        grain_sectors: usize,
    },
    SeSparse,
    /// A descriptor over a stream, of which a grain of zeros hides what is below.
    Stream {
        grain_sectors: usize,
        how: Stream,
    },
}

const KINDS: [Kind; 7] = [
    Kind::Monolithic,
    Kind::Split,
    Kind::Cowd { grain_sectors: 1 },
    Kind::Cowd { grain_sectors: 16 },
    Kind::SeSparse,
    Kind::Stream { grain_sectors: 8, how: Stream { entries: 128, in_front: false, short_last: false } },
    Kind::Stream { grain_sectors: 256, how: Stream { entries: 512, in_front: true, short_last: true } },
];

/// Puts a link into a store and returns what the guest sees through it.
fn add(
    store: &mut Store,
    name: &str,
    kind: Kind,
    sectors: usize,
    seed: u64,
    below: &[u8],
    parent: Option<&str>,
) -> Vec<u8> {
    let line = |sectors: usize, kind: &str, file: &str| format!("RW {sectors} {kind} \"{file}\"");
    match kind {
        Kind::Monolithic => {
            let link = Cells::random(sectors, 8, seed);
            let text = descriptor("monolithicSparse", &[line(sectors, "SPARSE", "renamed.vmdk")], parent);
            let (bytes, _) = hosted(&link, &Hosted { descriptor: Some(text), redundant: true, ..Hosted::default() });
            store.put(name, bytes);
            link.over(below)
        }
        Kind::Split => {
            let first = (sectors / 2).next_multiple_of(8) + 3;
            let first = first.min(sectors - 1);
            let links = [Cells::random(first, 8, seed), Cells::random(sectors - first, 16, !seed)];
            let names = [format!("{name}-s001"), format!("{name}-s002")];
            let lines = [line(first, "SPARSE", &names[0]), line(sectors - first, "SPARSE", &names[1])];
            store.put(name, descriptor("twoGbMaxExtentSparse", &lines, parent));
            let mut disk = Vec::new();
            for (link, file) in links.iter().zip(&names) {
                store.put(file, hosted(link, &Hosted::default()).0);
                disk.extend(link.over(below.get(disk.len()..).unwrap_or_default()));
            }
            disk
        }
        Kind::Cowd { grain_sectors } => {
            let link = Cells::random(sectors, grain_sectors, seed);
            let file = format!("{name}-delta");
            store.put(name, descriptor("vmfsSparse", &[line(sectors, "VMFSSPARSE", &file)], parent));
            store.put(&file, cowd(&link, b""));
            link.over(below)
        }
        Kind::Stream { grain_sectors, how } => {
            let link = Cells::random(sectors, grain_sectors, seed);
            let file = format!("{name}-stream");
            store.put(name, descriptor("streamOptimized", &[line(sectors, "SPARSE", &file)], parent));
            store.put(&file, stream(&link, how));
            link.over(below)
        }
        Kind::SeSparse => {
            let link = Cells::random(sectors, 8, seed);
            let file = format!("{name}-sesparse");
            store.put(name, descriptor("seSparse", &[line(sectors, "SESPARSE", &file)], parent));
            store.put(&file, sesparse(&link, 0));
            link.over(below)
        }
    }
}

/// Puts a flat base into a store and returns its bytes.
fn add_flat(store: &mut Store, name: &str, sectors: usize) -> Vec<u8> {
    let disk = contents(9, sectors * SECTOR);
    let file = format!("{name}-flat");
    let line = format!("RW {sectors} VMFS \"{file}\"");
    store.put(name, descriptor("vmfs", &[line], None)).put(&file, disk.clone());
    disk
}

/// Checks the map against the bytes: what is no data is zeros, and runs tile the disk.
fn check_map(image: &Image, disk: &[u8]) {
    let mut end = 0;
    for extent in extents(image, 0..image.capacity_bytes()) {
        let extent = extent.unwrap();
        assert_eq!(extent.range.start, end);
        end = extent.range.end;
        let range = usize::try_from(extent.range.start).unwrap()..usize::try_from(end).unwrap();
        if extent.kind != ExtentKind::Data {
            assert!(disk[range.clone()].iter().all(|&byte| byte == 0), "{range:?} is not zero");
        }
    }
    assert_eq!(end, image.capacity_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_chain_reads_as_its_links_laid_over_each_other(
        kinds in proptest::collection::vec(0..KINDS.len(), 1..5),
        sectors in proptest::collection::vec(20_usize..9000, 5),
        flat in any::<bool>(),
        seed in any::<u64>(),
        reads in proptest::collection::vec((any::<u64>(), 0_usize..70_000), 12),
    ) {
        let mut store = Store::default();
        // One size in most runs, as VMware has it; in others the disk grew or shrank.
        let size = |number: usize| if seed % 4 == 0 { sectors[number] } else { sectors[0] };
        let mut disk = if flat { add_flat(&mut store, "link-0", size(0)) } else { Vec::new() };
        let mut parent = flat.then(|| "link-0".to_owned());
        for (number, &kind) in (1..).zip(&kinds) {
            let name = format!("link-{number}");
            let seed = seed.wrapping_mul(number).wrapping_add(number);
            let sectors = size(usize::try_from(number).unwrap());
            disk = add(&mut store, &name, KINDS[kind], sectors, seed, &disk, parent.as_deref());
            parent = Some(name);
        }
        let image = store.open(&parent.unwrap()).unwrap();
        prop_assert_eq!(image.links().len(), kinds.len() + usize::from(flat));
        prop_assert_eq!(usize::try_from(image.capacity_bytes()).unwrap(), disk.len());
        prop_assert!(read_all(&image).unwrap() == disk);
        check_map(&image, &disk);
        for (offset, len) in reads {
            let start = usize::try_from(offset % u64::try_from(disk.len()).unwrap()).unwrap();
            let end = (start + len).min(disk.len());
            let mut buf = vec![0xee; end - start];
            image.read_at(u64::try_from(start).unwrap(), &mut buf).unwrap();
            prop_assert!(buf == disk[start..end], "bytes {} to {}", start, end);
        }
        let description = image.describe().unwrap();
        prop_assert_eq!(description.links.len(), image.links().len());
    }
}

#[test]
fn a_delta_of_several_tables_reads_right_in_each_format() {
    for (kind, sectors) in [(Kind::Cowd { grain_sectors: 1 }, 5 * 4096 + 7), (Kind::SeSparse, 3 * 32768 + 9)] {
        let mut store = Store::default();
        let base = add_flat(&mut store, "base", sectors);
        let disk = add(&mut store, "delta", kind, sectors, 77, &base, Some("base"));
        assert!(store.read("delta").unwrap() == disk, "{kind:?}");
    }
}

#[test]
fn streams_of_every_geometry_are_read_and_pass_their_check() {
    for grain_sectors in [8, 16, 128, 2048] {
        for entries in [128, 256, 512] {
            for (in_front, short_last) in [(false, false), (true, true), (false, true), (true, false)] {
                let link = Cells::random(grain_sectors * 5 - 7, grain_sectors, 99);
                let how = Stream { entries, in_front, short_last };
                let mut store = Store::default();
                let image = store.put("x", stream(&link, how)).open("x").unwrap();
                image.check().unwrap();
                assert!(read_all(&image).unwrap() == link.over(&[]), "grain {grain_sectors}, {how:?}");
            }
        }
    }
}

#[test]
fn a_descriptor_inside_may_name_more_extents_than_its_own_file() {
    let link = Cells::random(100, 8, 6);
    let lines = ["RW 10 ZERO".to_owned(), "RW 100 SPARSE \"old-name\"".to_owned(), "RW 64 FLAT \"flat\"".to_owned()];
    let flat = contents(5, 64 * SECTOR);
    let expected = [vec![0; 10 * SECTOR], link.over(&[]), flat.clone()].concat();
    let put = |store: &mut Store, lines: &[String]| {
        let text = Some(descriptor("custom", lines, None));
        store
            .put("old-name", hosted(&link, &Hosted { descriptor: text, ..Hosted::default() }).0)
            .put("flat", flat.clone());
    };
    let mut store = Store::default();
    put(&mut store, &lines);
    assert!(store.read("old-name").unwrap() == expected);
    // Renamed, only an extent that comes first is known to be this file.
    let renamed = |lines: &[String]| {
        let mut store = Store::default();
        put(&mut store, lines);
        let bytes =
            hosted(&link, &Hosted { descriptor: Some(descriptor("custom", lines, None)), ..Hosted::default() }).0;
        store.put("new-name", bytes).read("new-name")
    };
    assert!(renamed(&lines[1..]).unwrap() == expected[10 * SECTOR..]);
    assert_eq!(renamed(&lines).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_grain_number_of_more_than_twelve_bits_is_found() {
    for first in [4094, 5000] {
        let mut cells = Cells::random(64, 8, 1);
        for (number, cell) in (0..).zip(&mut cells.cells) {
            *cell = Cell::Data(number);
        }
        let mut store = Store::default();
        store
            .put("x", descriptor("seSparse", &["RW 64 SESPARSE \"y\"".into()], None))
            .put("y", sesparse(&cells, first));
        assert!(store.read("x").unwrap() == cells.over(&[]), "from {first}");
    }
}

#[test]
fn a_bare_delta_is_read_over_a_parent_that_is_given() {
    let mut store = Store::default();
    let base = add_flat(&mut store, "base", 500);
    for bare in ["cowd", "sesparse"] {
        let link = Cells::random(500, 8, 5);
        store.put(bare, if bare == "cowd" { cowd(&link, b"") } else { sesparse(&link, 0) });
        let alone = store.open(bare).unwrap_err();
        assert_eq!(alone.kind(), ErrorKind::Unsupported, "{alone}");
        let given = Parent::Given(store_links(&store));
        let image = store.open_with(bare, OpenOptions { parent: given, ..OpenOptions::default() }).unwrap();
        assert!(read_all(&image).unwrap() == link.over(&base), "{bare}");
        let ignored = OpenOptions { parent: Parent::Ignored, ..OpenOptions::default() };
        let image = store.open_with(bare, ignored).unwrap();
        assert!(read_all(&image).unwrap() == link.over(&[]), "{bare}");
    }
    let given = OpenOptions { parent: Parent::Given(store_links(&store)), ..OpenOptions::default() };
    assert_eq!(store.open_with("base", given).unwrap_err().kind(), ErrorKind::Misuse);
}

fn store_links(store: &Store) -> Vec<diskimage::image::Link> {
    store.open("base").unwrap().into_links()
}

#[test]
fn a_chain_that_loops_is_an_error() {
    let flat = |parent| descriptor("vmfsSparse", &["RW 8 VMFSSPARSE \"delta\"".into()], Some(parent));
    let mut store = Store::default();
    store.put("delta", cowd(&Cells::random(8, 1, 1), b""));
    store.put("a", flat("b")).put("b", flat("c")).put("c", flat("a")).put("self", flat("./self"));
    for name in ["a", "self"] {
        let error = store.open(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.rule(), "a chain of parents does not loop");
    }
}

#[test]
fn a_chain_of_more_than_64_links_is_refused_and_one_of_64_is_read() {
    let mut store = Store::default();
    let mut disk = add_flat(&mut store, "link-0", 40);
    for number in 1..=64 {
        let parent = format!("link-{}", number - 1);
        let kind = KINDS[number % KINDS.len()];
        let name = format!("link-{number}");
        disk = add(&mut store, &name, kind, 40, u64::try_from(number).unwrap() * 31, &disk, Some(&parent));
        if number == 63 {
            assert!(store.read(&name).unwrap() == disk);
        }
    }
    assert_eq!(store.open("link-64").unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_parent_of_another_content_id_is_read_with_a_warning() {
    let mut store = Store::default();
    let base = add_flat(&mut store, "base", 100);
    let disk = add(&mut store, "delta", Kind::SeSparse, 100, 3, &base, Some("base"));
    let image = store.open("delta").unwrap();
    assert_eq!(image.describe().unwrap().warnings, Vec::<String>::new());
    let changed =
        descriptor("vmfs", &["RW 100 VMFS \"base-flat\"".into()], None).replace("CID=11111111", "CID=12345678");
    store.put("base", changed);
    let image = store.open("delta").unwrap();
    assert!(read_all(&image).unwrap() == disk);
    let warnings = image.describe().unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("12345678"), "{warnings:?}");
}

#[test]
fn a_parent_that_is_missing_or_outside_is_an_error_and_not_zeros() {
    let text = |hint| descriptor("vmfsSparse", &["RW 8 VMFSSPARSE \"delta\"".into()], Some(hint));
    let mut store = Store::default();
    store.put("delta", cowd(&Cells::random(8, 1, 1), b""));
    for (hint, kind) in
        [("absent", ErrorKind::Io), ("/vmfs/volumes/x/base.vmdk", ErrorKind::Outside), ("../base", ErrorKind::Outside)]
    {
        store.put("child", text(hint));
        let error = store.open("child").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    // A parent that is only known by its content id.
    store.put("child", text("x").replace("parentFileNameHint=\"x\"\n", ""));
    assert_eq!(store.open("child").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn links_of_a_chain_may_lie_in_folders_beside_each_other() {
    let mut store = Store::default();
    let base = add_flat(&mut store, "vm/base/disk.vmdk", 64);
    store.put("vm/base/vm/base/disk.vmdk-flat", base.clone());
    let link = Cells::random(64, 8, 8);
    let text = descriptor("vmfsSparse", &["RW 64 VMFSSPARSE \"delta\"".into()], Some("../base/disk.vmdk"));
    store.put("vm/snap/disk.vmdk", text).put("vm/snap/delta", cowd(&link, b""));
    assert!(store.read("vm/snap/disk.vmdk").unwrap() == link.over(&base));
}
