//! What a package is, judged by others.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use migrate::export::{Phase, Proof};
use sha2::{Digest as _, Sha256};
use vcenter_sim::faults::Settings;

use crate::lab::{Heard, Lab, WEB01};

pub(crate) fn sha256(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_package_holds_what_its_manifest_and_descriptor_say() {
    let lab = Lab::with(WEB01, Settings::default()).await;
    let heard = Arc::new(Heard::default());
    let report = lab.export_heard("web01", &heard).await.unwrap();
    assert_eq!(
        lab.files(),
        ["web01-disk-0.vmdk", "web01-disk-1.vmdk", "web01-file-0.nvram", "web01.mf", "web01.ovf"],
        "and no hidden file is left"
    );
    assert_eq!((report.vm_path.as_str(), report.proof), ("/DC0/vm/web/web01", Some(Proof::Manifest)));
    let manifest = fs::read_to_string(lab.target().join("web01.mf")).unwrap();
    assert_eq!(manifest.lines().count(), 4);
    for line in manifest.lines() {
        let (name, hash) = line.strip_prefix("SHA256(").unwrap().split_once(")= ").unwrap();
        assert_eq!(sha256(&lab.target().join(name)), hash, "{name}");
    }
    let descriptor = fs::read_to_string(lab.target().join("web01.ovf")).unwrap();
    for file in report.files.iter().filter(|file| file.proof.is_some()) {
        let length = fs::metadata(lab.target().join(&file.name)).unwrap().len();
        assert_eq!(file.size_bytes, length);
        assert!(descriptor.contains(&format!("ovf:href=\"{}\"", file.name)));
        assert!(descriptor.contains(&format!("ovf:size=\"{length}\"")), "{descriptor}");
        if let Some(populated) = file.populated_bytes {
            assert!(descriptor.contains(&format!("ovf:populatedSize=\"{populated}\"")), "{descriptor}");
        }
    }
    assert!(heard.warnings().is_empty(), "{:?}", heard.warnings());
}

#[tokio::test]
async fn progress_never_goes_back_and_ends_whole() {
    let lab = Lab::with(WEB01, Settings { bytes_per_second: Some(8 << 20), ..Settings::default() }).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard("web01", &heard).await.unwrap();
    let all = heard.all();
    let copying: Vec<_> = all.iter().filter(|progress| progress.phase == Phase::Copying).collect();
    assert!(copying.len() > 5, "{} reports", copying.len());
    for pair in copying.windows(2) {
        for (before, after) in pair[0].files.iter().zip(&pair[1].files) {
            assert!(before.received_bytes <= after.received_bytes && before.covered_bytes <= after.covered_bytes);
        }
    }
    let last = all.last().unwrap();
    assert!(last.files.iter().all(|file| file.complete && file.covered_bytes == file.total_bytes), "{last:#?}");
}

#[tokio::test]
async fn every_exported_disk_equals_the_simulators_contents() {
    let Some(qemu_img) = judges::qemu_img("every_exported_disk_equals_the_simulators_contents") else { return };
    let mut inventory = String::from("[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/shapes\"\n");
    // Sparse, full, empty, and sizes that are no multiple of a grain (64 KiB).
    let shapes = [
        ("256MiB", 0.02, 1),
        ("24MiB", 1.0, 2),
        ("128MiB", 0.0, 3),
        ("1000448", 0.7, 4),
        ("20971008", 1.0, 5),
        ("512", 1.0, 6),
    ];
    for (size, fill, seed) in shapes {
        let size = if size.ends_with("iB") { format!("\"{size}\"") } else { size.to_owned() };
        inventory += &format!(
            "[[vm.disk]]\nsize = {size}\n\
             content = {{ kind = \"seeded\", seed = {seed}, fill = {fill:.2}, compressibility = 0.5 }}\n"
        );
    }
    let lab = Lab::with(&inventory, Settings::default()).await;
    let report = lab.export("shapes").await.unwrap();
    let disks: Vec<_> = report.files.iter().filter(|file| file.capacity_bytes.is_some()).collect();
    assert_eq!(disks.len(), shapes.len());
    for (index, disk) in disks.iter().enumerate() {
        let raw = lab.target().join(format!("{index}.raw"));
        let converted = Command::new(&qemu_img)
            .args(["convert", "-f", "vmdk", "-O", "raw"])
            .arg(lab.target().join(&disk.name))
            .arg(&raw)
            .output()
            .unwrap();
        assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
        assert_eq!(fs::metadata(&raw).unwrap().len(), disk.capacity_bytes.unwrap());
        assert_eq!(sha256(&raw), lab.contents_sha256("DC0/vm/shapes", index), "disk {index}");
    }
}

#[tokio::test]
async fn a_vm_without_disks_is_a_package_of_its_hardware() {
    let inventory = "[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/bare\"\nnvram_bytes = 0\n";
    let lab = Lab::with(inventory, Settings::default()).await;
    let report = lab.export("bare").await.unwrap();
    assert_eq!(lab.files(), ["bare.mf", "bare.ovf"]);
    assert_eq!(report.proof, None);
}

#[tokio::test]
async fn an_image_in_a_drive_is_left_out_and_said() {
    let inventory = WEB01.replace(
        "[[vm.disk]]\nsize = \"64MiB\"",
        "isos = [\"[datastore1] iso/install.iso\"]\n[[vm.disk]]\nsize = \"64MiB\"",
    );
    let lab = Lab::with(&inventory, Settings::default()).await;
    let heard = Arc::new(Heard::default());
    lab.export_heard("web01", &heard).await.unwrap();
    assert!(lab.files().iter().all(|name| !name.ends_with(".iso")));
    assert!(heard.warnings().iter().any(|warning| warning.contains("left out")), "{:?}", heard.warnings());
}
