//! Directories that are shared, taken, full or forbidden.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use migrate::ErrorKind;
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;

use crate::lab::{Heard, Lab, WEB01, until};

const TWINS: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/a/twin"
instance_uuid = "aaaaaaaa-0000-4000-8000-000000000001"
[[vm.disk]]
size = "2MiB"
content = { kind = "seeded", seed = 1, fill = 1.0, compressibility = 0.5 }
[[vm]]
path = "DC0/vm/b/twin"
instance_uuid = "bbbbbbbb-0000-4000-8000-000000000002"
[[vm.disk]]
size = "2MiB"
content = { kind = "seeded", seed = 2, fill = 1.0, compressibility = 0.5 }
"#;

#[tokio::test]
async fn two_vms_of_one_name_share_a_directory() {
    let lab = Lab::with(TWINS, Settings::default()).await;
    lab.export("a/twin").await.unwrap();
    let report = lab.export("b/twin").await.unwrap();
    assert_eq!(report.descriptor, "twin-bbbbbbbb.ovf");
    assert_eq!(lab.files().len(), 8);
}

#[tokio::test]
async fn a_vm_that_is_there_already_is_not_overwritten() {
    let lab = Lab::with(TWINS, Settings::default()).await;
    lab.export("a/twin").await.unwrap();
    let before = fs::metadata(lab.target().join("twin.ovf")).unwrap().modified().unwrap();
    let error = lab.export("a/twin").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert_eq!(fs::metadata(lab.target().join("twin.ovf")).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn a_strangers_file_stops_the_export_before_a_byte_moves() {
    for name in ["web01.ovf", "web01.mf", "web01-disk-1.vmdk", "web01-file-0.nvram", ".web01.export", ".web01.ovf.part"]
    {
        let lab = Lab::with(WEB01, Settings::default()).await;
        fs::create_dir_all(lab.target()).unwrap();
        fs::write(lab.target().join(name), "a stranger's").unwrap();
        let error = lab.export("web01").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target, "{name}: {}", error.chain());
        assert!(error.to_string().contains(name), "{name}: {}", error.chain());
        assert_eq!(fs::read_to_string(lab.target().join(name)).unwrap(), "a stranger's");
        assert_eq!(lab.files(), [name], "and nothing of ours is left");
        assert_eq!(lab.file_bytes_sent(), 0, "{name}");
    }
}

#[tokio::test]
async fn two_exports_of_one_vm_into_one_directory_do_not_meet() {
    let settings = Settings { bytes_per_second: Some(1 << 20), ..Settings::default() };
    let lab = Arc::new(Lab::with(WEB01, settings).await);
    let heard = Arc::new(Heard::default());
    let cancel = CancellationToken::new();
    let first = {
        let (lab, heard, cancel) = (Arc::clone(&lab), Arc::clone(&heard), cancel.clone());
        tokio::spawn(async move { lab.export_until("web01", &heard, cancel).await })
    };
    until("bytes", || heard.received_bytes() > 100_000).await;
    let request = lab.request("web01");
    let second =
        migrate::export::export(&lab.source(), &request, Arc::new(Heard::default()), CancellationToken::new()).await;
    let error = second.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target, "{}", error.chain());
    assert!(error.to_string().contains("running"), "{}", error.chain());
    cancel.cancel();
    assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_target_that_cannot_be_made_is_said_before_the_lease() {
    let lab = Lab::with(WEB01, Settings::default()).await;
    fs::write(lab.target(), "a file in place of the directory").unwrap();
    let error = lab.export("web01").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target, "{}", error.chain());
    assert_eq!(lab.soap()["calls"]["ExportVm"].as_u64().unwrap_or(0), 0);
}

/// A small file system in memory; needs the right to mount.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: std::path::PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_target_fails_clearly_and_gives_the_vm_back() {
    let test = "a_full_target_fails_clearly_and_gives_the_vm_back";
    let lab = Lab::with(WEB01, Settings::default()).await;
    let Some(_disk) = SmallDisk::mount(lab.target()) else {
        return judges::skip(test, "file systems cannot be mounted here");
    };
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Target, "{}", error.chain());
    assert!(error.hint().unwrap().contains("room"), "{:?}", error.hint());
}
