use std::path::Path;

use super::*;
use crate::stream::Made;

fn inventory() -> Inventory {
    let text = "[[datacenter]]\nname = \"DC0\"\n\
        [[vm]]\npath = \"DC0/vm/a\"\nnvram_bytes = 100\nisos = [\"[d] x.iso\"]\n\
        [[vm.disk]]\nsize = 196608\ncontent = { kind = \"seeded\", seed = 1, fill = 1.0, compressibility = 0.5 }\n\
        [[vm.disk]]\nsize = 196608\ncontent = { kind = \"seeded\", seed = 1, fill = 1.0, compressibility = 0.5 }\n\
        [[vm]]\npath = \"DC0/vm/b\"\nnvram_bytes = 0\n";
    Inventory::parse(text, Path::new(".")).unwrap()
}

fn send(exports: &Exports, item: &ExportItem) -> bool {
    let (_, file) = exports.find(&item.path).unwrap();
    let mut stream = exports.stream(&file, None).unwrap();
    let hashed = stream.is_hashed();
    loop {
        if let Made::End(digests) = stream.make().unwrap() {
            exports.complete(&file, digests);
            return hashed;
        }
    }
}

#[test]
fn a_vm_offers_disks_then_nvram_then_images() {
    let inventory = inventory();
    let exports = Exports::new(&inventory).unwrap();
    let items = exports.open("l1", &inventory.vms[0], "vm-1");
    let names: Vec<_> = items.iter().map(|item| (item.key.as_str(), item.target_id.as_str(), item.disk)).collect();
    assert_eq!(
        names,
        [
            ("/vm-1/ParaVirtualSCSIController0:0", "disk-0.vmdk", true),
            ("/vm-1/ParaVirtualSCSIController0:1", "disk-1.vmdk", true),
            ("/vm-1/nvram", "file-0.nvram", false),
            ("/vm-1/VirtualIDEController0:0", "file-1.iso", false),
        ]
    );
    assert_eq!(items[0].file_size, None);
    assert_eq!(items[2].file_size, Some(100));
    assert!(items[3].file_size.unwrap() >= 1 << 20);
    assert_eq!(exports.open("l2", &inventory.vms[1], "vm-2"), []);
}

#[test]
fn tickets_are_fresh_and_die_with_their_lease() {
    let inventory = inventory();
    let exports = Exports::new(&inventory).unwrap();
    let first = exports.open("l1", &inventory.vms[0], "vm-1");
    let second = exports.open("l2", &inventory.vms[0], "vm-1");
    assert_ne!(first[0].path, second[0].path);
    exports.close("l1");
    assert!(exports.find(&first[0].path).is_none());
    assert!(exports.find(&second[0].path).is_some());
    for wrong in ["/nfc/", "/nfc/x/disk-0.vmdk", "/disk-0.vmdk", &second[0].path[..second[0].path.len() - 1]] {
        assert!(exports.find(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn only_what_was_sent_whole_is_in_the_manifest() {
    let inventory = inventory();
    let exports = Exports::new(&inventory).unwrap();
    let items = exports.open("l1", &inventory.vms[0], "vm-1");
    assert_eq!(exports.sent("l1"), []);
    send(&exports, &items[2]);
    send(&exports, &items[0]);
    let sent = exports.sent("l1");
    let keys: Vec<_> = sent.iter().map(|file| file.key.as_str()).collect();
    assert_eq!(keys, [&items[0].key, &items[2].key]);
    assert_eq!((sent[0].capacity, sent[0].populated), (Some(196_608), Some(196_608)));
    assert_eq!((sent[1].size, sent[1].capacity, sent[1].populated), (100, None, None));
    exports.close("l1");
    assert_eq!(exports.sent("l1"), []);
}

#[test]
fn equal_contents_are_hashed_once() {
    let inventory = inventory();
    let exports = Exports::new(&inventory).unwrap();
    let items = exports.open("l1", &inventory.vms[0], "vm-1");
    assert!(send(&exports, &items[0]));
    assert!(!send(&exports, &items[1]));
    let sent = exports.sent("l1");
    assert_eq!(sent[0].sha256, sent[1].sha256);
    let again = exports.open("l2", &inventory.vms[0], "vm-1");
    assert!(!send(&exports, &again[0]));
    assert_eq!(exports.sent("l2")[0].sha1, sent[0].sha1);
}
