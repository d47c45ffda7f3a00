//! Does a program that we did not write read what is sent?

use std::path::Path;
use std::process::Command;

use vcenter_sim::faults::Settings;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::client::Client;
use crate::scene::scene;

#[tokio::test]
async fn qemu_img_reads_every_disk_as_it_is() {
    let Some(qemu_img) = judges::qemu_img("qemu_img_reads_every_disk_as_it_is") else { return };
    let scene = scene(Settings::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let mut host = scene.host().await;
    for (disk, item) in scene.items.iter().filter(|item| item.disk).enumerate() {
        let vmdk = directory.path().join(&item.target_id);
        let raw = directory.path().join(format!("{disk}.raw"));
        std::fs::write(&vmdk, host.get(&item.path).await.whole()).unwrap();
        convert(&qemu_img, &vmdk, &raw);
        assert!(std::fs::read(&raw).unwrap() == scene.raw(disk), "{}", item.target_id);
    }
}

#[tokio::test]
async fn qemu_img_reads_a_disk_whose_content_is_a_file() {
    let Some(qemu_img) = judges::qemu_img("qemu_img_reads_a_disk_whose_content_is_a_file") else { return };
    let directory = tempfile::tempdir().unwrap();
    // Text, a hole of some grains, and an end inside of a grain.
    let mut data: Vec<u8> = (0..60_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    data[100_000..400_000].fill(0);
    std::fs::write(directory.path().join("content.raw"), &data).unwrap();
    let text = "[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/a\"\n\
                [[vm.disk]]\nsize = \"3 MiB\"\ncontent = { kind = \"file\", path = \"content.raw\" }\n";
    let inventory = Inventory::parse(text, directory.path()).unwrap();
    let simulator = Simulator::start(inventory, Options::default()).await.unwrap();
    let world = simulator.world();
    let item = world.exports.open("lease", &world.inventory.vms[0], "vm-1").remove(0);
    let body = Client::tls(world.addresses.hosts[0].addr).await.get(&item.path).await.whole();
    let (vmdk, raw) = (directory.path().join("disk.vmdk"), directory.path().join("disk.raw"));
    std::fs::write(&vmdk, &body).unwrap();
    convert(&qemu_img, &vmdk, &raw);
    data.resize(3 << 20, 0);
    assert!(std::fs::read(&raw).unwrap() == data);
    let sent = world.exports.sent("lease").remove(0);
    assert_eq!((sent.size, sent.capacity), (u64::try_from(body.len()).unwrap(), Some(3 << 20)));
    assert!(sent.populated.unwrap() < 3 << 20);
}

/// Has qemu-img make the raw disk.
pub(crate) fn convert(qemu_img: &Path, vmdk: &Path, raw: &Path) {
    let output =
        Command::new(qemu_img).args(["convert", "-f", "vmdk", "-O", "raw"]).args([vmdk, raw]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
