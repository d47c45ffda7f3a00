//! Clients that we did not write take snapshots, switch VMs and change drives.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use vcenter_sim::content::DiskContent;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::strangers::{PASSWORD, USER, govc, guest_bytes, raw, run};
use crate::typed::inventory;

/// Longest wait for something that has to happen; never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

const MORE: &str = "power = \"poweredOn\"\nguest_writes = 0.1\nisos = [\"[datastore1] iso/x.iso\"]\n";

async fn simulator() -> Simulator {
    let inventory = Inventory::parse(&inventory(MORE), Path::new(".")).unwrap();
    Simulator::start(inventory, Options::default()).await.unwrap()
}

/// Runs govc, which must succeed, and returns what it prints.
async fn govc_says(program: &Path, simulator: &Simulator, home: &Path, arguments: &[&str]) -> String {
    let mut command = govc(program, simulator, home);
    command.args(arguments);
    let output = run(command).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_takes_shows_exports_and_removes_snapshots() {
    let test = "govc_takes_shows_exports_and_removes_snapshots";
    let (Some(program), Some(qemu_img)) = (judges::govc(test), judges::qemu_img(test)) else { return };
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let says = async |arguments: &[&str]| govc_says(&program, &simulator, folder.path(), arguments).await;
    assert_eq!(says(&["snapshot.tree", "-vm", "a"]).await, "");
    says(&["snapshot.create", "-vm", "a", "-m=false", "-q", "-d", "first of two", "one"]).await;
    says(&["snapshot.create", "-vm", "a", "two"]).await;
    let tree = says(&["snapshot.tree", "-vm", "a", "-i", "-d", "-D"]).await;
    assert!(tree.contains("snapshot-1") && tree.contains("first of two"), "{tree}");
    assert_eq!(says(&["snapshot.tree", "-vm", "a", "-C"]).await.trim(), "two");
    let folder_text = folder.path().to_str().unwrap();
    says(&["export.ovf", "-sha", "256", "-vm", "a", "-snapshot", "one", folder_text]).await;
    let world = simulator.world();
    for disk in 0..2 {
        let base = world.exports.disk("DC0/vm/a", disk).unwrap();
        let kept = DiskContent::layered(&base, disk, &world.soap.deltas("DC0/vm/a", Some("one")).unwrap());
        let path = folder.path().join(format!("a/a-disk-{disk}.vmdk"));
        assert!(guest_bytes(&qemu_img, &path) == raw(&kept), "{}", path.display());
    }
    says(&["snapshot.remove", "-vm", "a", "one"]).await;
    let tree = says(&["snapshot.tree", "-vm", "a"]).await;
    assert!(tree.starts_with("two\n") && !tree.contains("one"), "{tree}");
    let info = says(&["device.info", "-vm", "a", "disk-1000-0"]).await;
    assert!(info.contains("a/a-000002.vmdk"), "{info}");
    says(&["snapshot.remove", "-vm", "a", "*"]).await;
    let report = simulator.world().soap.report();
    assert!(report["open"].as_object().unwrap().values().all(|count| *count == 0), "{report:#}");
    assert_eq!(report["lease_endings"]["completed"], 1, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_switches_vms_and_changes_drives() {
    let Some(program) = judges::govc("govc_switches_vms_and_changes_drives") else { return };
    let simulator = simulator().await;
    let home = tempfile::tempdir().unwrap();
    let says = async |arguments: &[&str]| govc_says(&program, &simulator, home.path(), arguments).await;
    let power = async || says(&["object.collect", "-s", "/DC0/vm/a", "runtime.powerState"]).await.trim().to_owned();
    says(&["device.cdrom.eject", "-vm", "a"]).await;
    let drive = says(&["device.info", "-vm", "a", "cdrom-3000"]).await;
    assert!(!drive.contains("x.iso"), "{drive}");
    for (flag, expected) in
        [("-suspend", "suspended"), ("-on", "poweredOn"), ("-reset", "poweredOn"), ("-s", "poweredOff")]
    {
        says(&["vm.power", flag, "a"]).await;
        // Nobody waits for a guest.
        let deadline = Instant::now() + PATIENCE;
        while flag == "-s" && power().await != expected {
            assert!(Instant::now() < deadline, "the guest did not shut down");
        }
        assert_eq!(power().await, expected, "{flag}");
    }
    says(&["device.remove", "-vm", "a", "cdrom-3000"]).await;
    assert!(!says(&["device.ls", "-vm", "a"]).await.contains("cdrom"));
    says(&["vm.power", "-on", "a"]).await;
    says(&["vm.power", "-off", "a"]).await;
    assert_eq!(power().await, "poweredOff");
    let mut command = govc(&program, &simulator, home.path());
    command.args(["vm.power", "-off", "a"]);
    let output = run(command).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("current state (poweredOff)"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pyvmomi_takes_and_removes_snapshots_and_shuts_down() {
    let Some(python) = judges::python_with_pyvmomi("pyvmomi_takes_and_removes_snapshots_and_shuts_down") else {
        return;
    };
    let simulator = simulator().await;
    let port = simulator.world().addresses.vcenter.port().to_string();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/strangers_snapshots.py"));
    command.args([port.as_str(), USER, PASSWORD]);
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}
