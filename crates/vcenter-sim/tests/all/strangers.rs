//! Clients that we did not write, against the simulator: else client and server may share one
//! misunderstanding.

use std::path::Path;
use std::process::{Command, Output};

use vcenter_sim::Simulator;
use vcenter_sim::content::DiskContent;
use vcenter_sim::faults::Settings;

use crate::judge::convert;
use crate::scene::{VM, scene};

pub(crate) const USER: &str = "administrator@vsphere.local";
pub(crate) const PASSWORD: &str = "simulated";

/// Starts the usual simulator and gives its VM back, which a scene holds from the start.
async fn simulator() -> Simulator {
    let scene = scene(Settings::default()).await;
    scene.simulator.world().exports.close("lease-1");
    scene.simulator
}

/// Runs a program beside the simulator, which needs the threads of this runtime.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Returns the guest's bytes in a disk file, as qemu-img reads them.
pub(crate) fn guest_bytes(qemu_img: &Path, vmdk: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.raw");
    convert(qemu_img, vmdk, &image);
    std::fs::read(image).unwrap()
}

/// Returns the guest's bytes as the simulator knows them.
pub(crate) fn raw(content: &DiskContent) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
    content.read_range(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn govc(program: &Path, simulator: &Simulator, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("GOVC_URL", simulator.url()).env("GOVC_INSECURE", "1");
    command.env("GOVC_USERNAME", USER).env("GOVC_PASSWORD", PASSWORD).env("GOVC_PERSIST_SESSION", "false");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_sees_the_vm_and_exports_what_was_sent() {
    let test = "govc_sees_the_vm_and_exports_what_was_sent";
    let (Some(program), Some(qemu_img)) = (judges::govc(test), judges::qemu_img(test)) else { return };
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (vec!["about"], "simulated"),
        (vec!["find", "/", "-type", "m"], "/DC0/vm/web/web 01"),
        (vec!["vm.info", "-json", "web 01"], "\"powerState\": \"poweredOff\""),
        (vec!["vm.info", "web 01"], "Power state:  poweredOff"),
        (vec!["device.ls", "-vm", "web 01"], "VirtualPCIController"),
        (vec!["host.info", "-host", "esx1.sim.invalid"], "connected"),
    ] {
        let mut command = govc(&program, &simulator, folder.path());
        command.args(&arguments);
        let output = run(command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(expected), "{arguments:?}: {output:?}");
    }
    let mut export = govc(&program, &simulator, folder.path());
    export.args(["export.ovf", "-sha", "256", "-vm", "web 01"]).arg(folder.path());
    let output = run(export).await;
    assert!(output.status.success(), "{output:?}");
    for disk in 0..4 {
        let path = folder.path().join(format!("web 01/web 01-disk-{disk}.vmdk"));
        let content = simulator.world().exports.disk(VM, disk).unwrap();
        assert!(guest_bytes(&qemu_img, &path) == raw(&content), "{}", path.display());
    }
    let report = simulator.world().soap.report();
    assert_eq!(report["lease_endings"]["completed"], 1, "{report:#}");
    assert_eq!(report["open"]["sessions"], 0, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_is_refused_with_a_wrong_password() {
    let Some(program) = judges::govc("govc_is_refused_with_a_wrong_password") else { return };
    let simulator = simulator().await;
    let home = tempfile::tempdir().unwrap();
    let mut command = govc(&program, &simulator, home.path());
    command.env("GOVC_PASSWORD", "wrong").args(["ls", "/"]);
    let output = run(command).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("incorrect user name or password"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pyvmomi_reads_waits_and_is_refused_where_it_must_be() {
    let test = "pyvmomi_reads_waits_and_is_refused_where_it_must_be";
    let Some(python) = judges::python_with_pyvmomi(test) else { return };
    let simulator = simulator().await;
    let port = simulator.world().addresses.vcenter.port().to_string();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/strangers_client.py"));
    command.args([port.as_str(), USER, PASSWORD]);
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}
