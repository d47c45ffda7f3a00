use std::path::Path;
use std::sync::Arc;

use super::cowd::Cowd;
use super::home::{Spot, homes};
use super::layer::{Declared, Held};
use super::sesparse::SeSparse;
use super::*;
use crate::content::{DiskContent, GRAIN_BYTES};

fn inventory(text: &str) -> Inventory {
    Inventory::parse(text, Path::new(".")).unwrap()
}

fn datastores(text: &str, directories: &[&str]) -> Datastores {
    let directories: Vec<String> = directories.iter().map(|&name| name.to_owned()).collect();
    let inventory = inventory(text);
    Datastores::new(&inventory, &homes(&inventory, &directories))
}

const TWO: &str = "[[datacenter]]\nname = \"DC0\"\nhosts = [\"a\"]\ndatastores = [\"ds1\", \"ds2\"]\nvmfs5 = [\"ds2\"]\n\
                   [[datacenter]]\nname = \"DC1\"\nhosts = [\"b\"]\ndatastores = [\"ds1\"]\n";

#[test]
fn datastores_of_one_name_in_two_datacenters_are_two() {
    let there = datastores(TWO, &[]);
    assert_eq!((there.named(0, "ds1"), there.named(1, "ds1"), there.named(1, "ds2")), (Some(0), Some(2), None));
    assert_eq!(there.of_datacenter(0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((there.get(0).vmfs, there.get(1).vmfs), (6, 5));
    let uuids: BTreeSet<_> = (0..3).map(|index| there.get(index).uuid.clone()).collect();
    assert_eq!(uuids.len(), 3);
    let uuid = &there.get(0).uuid;
    assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 8, 4, 12], "{uuid}");
}

#[test]
fn owners_follow_vms_that_move_and_leave_the_others_where_they_are() {
    let text = format!(
        "{TWO}[[vm]]\npath = \"DC0/vm/x\"\n[[vm]]\npath = \"DC0/vm/y\"\n\
         [[vm.disk]]\nsize = \"1 MiB\"\nfile = \"[ds1] x/data.vmdk\"\n"
    );
    let inventory = inventory(&text);
    let homes = homes(&inventory, &["x".to_owned(), "y".to_owned()]);
    let there = Datastores::new(&inventory, &homes);
    there.follow(&[]);
    assert_eq!(there.moves(), 0);
    let to = Home::at(Spot { datastore: 1, directory: "y".to_owned() });
    there.follow(&[Moved { vm: 1, from: homes[1].clone(), to: to.clone() }]);
    assert_eq!((there.owners(0, "x"), there.owners(0, "y"), there.owners(1, "y")), (vec![0], vec![], vec![1]));
    assert_eq!(there.directories(0), BTreeSet::from(["x".to_owned()]));
    there.follow(&[Moved { vm: 1, from: to, to: homes[1].clone() }]);
    assert_eq!((there.owners(0, "x"), there.owners(0, "y"), there.owners(1, "y")), (vec![0, 1], vec![1], vec![]));
    assert_eq!(there.moves(), 2);
}

#[test]
fn a_directory_belongs_to_all_vms_with_disks_in_it() {
    let text = format!(
        "{TWO}[[vm]]\npath = \"DC0/vm/x\"\n[[vm]]\npath = \"DC0/vm/y\"\n\
         [[vm.disk]]\nsize = \"1 MiB\"\nfile = \"[ds1] x/data.vmdk\"\n\
         [[vm.disk]]\nsize = \"1 MiB\"\nfile = \"[ds1] x/more.vmdk\"\n"
    );
    let there = datastores(&text, &["x", "y"]);
    assert_eq!((there.owners(0, "x"), there.owners(0, "y")), (vec![0, 1], vec![1]));
}

#[test]
fn what_is_allocated_follows_the_fill_without_a_walk() {
    let disk = |fill| Disk::new(1 << 40, Content::Seeded { seed: 1, fill, compressibility: 0.5 });
    assert_eq!(allocated_bytes(&disk(0.0)), 0);
    assert_eq!(allocated_bytes(&disk(0.25)), (1 << 40) / 1000 * 250);
    assert_eq!(allocated_bytes(&disk(1.0)), (1 << 40) / 1000 * 1000);
}

/// A link over a disk of several tables with a short last grain.
fn layer(capacity: u64) -> Layer {
    let content = Content::Seeded { seed: 11, fill: 0.4, compressibility: 0.5 };
    let content = Arc::new(DiskContent::open(&Disk::new(capacity, content)).unwrap());
    Layer::Declared(Arc::new(Declared::new(content, 0, 2)), 1, Vec::new())
}

fn whole(source: &Source, size: u64) -> Vec<u8> {
    let mut bytes = vec![0xaa; usize::try_from(size).unwrap()];
    source.read_range(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn any_part_of_a_link_is_a_part_of_its_file() {
    let capacity = (40 << 20) + 512;
    let cowd = Arc::new(Cowd::new(layer(capacity), capacity));
    let sesparse = Arc::new(SeSparse::new(layer(capacity), capacity));
    let sizes = [cowd.size_bytes(), sesparse.size_bytes()];
    for (source, size) in [Source::Cowd(cowd), Source::SeSparse(sesparse)].into_iter().zip(sizes) {
        let whole = whole(&source, size);
        for (start, len) in [(0, 3), (2040, 600), (2049, 7), (size / 2 + 1, 200_001), (size - 10, 10), (70_001, 5)] {
            let mut part = vec![0xaa; len];
            source.read_range(start, &mut part).unwrap();
            let start = usize::try_from(start).unwrap();
            assert!(part == whole[start..start + len], "{start}+{len}");
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

#[test]
fn a_redo_log_leads_from_its_directory_to_each_sector() {
    let capacity = (5 << 20) + 512;
    let (layer, link) = (layer(capacity), Cowd::new(layer(capacity), capacity));
    let size = link.size_bytes();
    let bytes = whole(&Source::Cowd(Arc::new(link)), size);
    assert_eq!(&bytes[..4], b"COWD");
    assert_eq!([12, 20, 24, 28].map(|at| u32_at(&bytes, at)), [10_241, 4, 3, bytes.len() / 512]);
    let mut seen = [0; 3];
    for grain in 0..capacity.div_ceil(GRAIN_BYTES) {
        let sector = usize::try_from(grain * 128).unwrap();
        let table = u32_at(&bytes, 4 * 512 + sector / 4096 * 4);
        let entry = if table == 0 { 0 } else { u32_at(&bytes, table * 512 + sector % 4096 * 4) };
        match layer.held(grain) {
            Held::Nothing => assert_eq!(entry, 0, "grain {grain}"),
            Held::Zeros => assert_eq!(entry, 1, "grain {grain}"),
            Held::Data => {
                let mut right = vec![0; 512];
                layer.read_inside(grain, 0, &mut right).unwrap();
                assert!(bytes[entry * 512..][..512] == right, "grain {grain}");
            }
        }
        seen[layer.held(grain) as usize] += 1;
    }
    assert!(seen[0] > 0 && seen[2] > 0, "{seen:?}");
}

#[test]
fn a_link_that_nobody_wrote_to_is_small_whatever_its_disk_has() {
    let empty = || Layer::Written(0, vec![Delta { number: 1, seed: 1, share: 0 }]);
    assert!(SeSparse::new(empty(), 4 << 40).size_bytes() < 8 << 20);
    assert!(Cowd::new(empty(), 2000 << 30).size_bytes() < 8 << 20);
}
