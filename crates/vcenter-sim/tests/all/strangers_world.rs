//! Strangers in a larger world: a cluster, a vApp, an ESXi host; and every property of every object.

use std::path::Path;
use std::process::Command;

use vcenter_sim::{Inventory, Options, Simulator};

use crate::lab::lab;
use crate::strangers::{govc, guest_bytes, raw, run};

async fn start(inventory: Inventory) -> Simulator {
    Simulator::start(inventory, Options::default()).await.unwrap()
}

/// Runs govc once for each line of arguments and looks for a text in what it says.
async fn ask(program: &Path, simulator: &Simulator, questions: &[(&[&str], &str)]) {
    let home = tempfile::tempdir().unwrap();
    for (arguments, expected) in questions {
        let mut command = govc(program, simulator, home.path());
        command.env("GOVC_USERNAME", &simulator.world().inventory.vcenter.username).args(*arguments);
        let output = run(command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(expected), "{arguments:?} without {expected}: {output:?}");
    }
    assert_eq!(simulator.world().soap.report()["open"]["sessions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_finds_its_way_through_clusters_pools_and_vapps() {
    let Some(program) = judges::govc("govc_finds_its_way_through_clusters_pools_and_vapps") else { return };
    let simulator = start(lab()).await;
    ask(
        &program,
        &simulator,
        &[
            (&["about", "-json"], "\"apiType\": \"VirtualCenter\""),
            (&["ls", "-l", "/DC0/vm"], "/DC0/vm/app (VirtualApp)"),
            (&["ls", "-l", "/DC0/host"], "/DC0/host/C1 (ClusterComputeResource)"),
            (&["ls", "-l", "-json", "/DC0/host/C1"], "\"type\": \"ClusterComputeResource\""),
            (&["tree"], "web01"),
            (&["find", "/", "-type", "m", "-runtime.powerState", "poweredOn"], "/DC0/vm/db01\n"),
            (&["find", "/", "-type", "m", "-runtime.connectionState", "orphaned"], "/DC0/vm/lost\n"),
            (&["find", ".", "-type", "p"], "/DC0/host/C1/Resources/app"),
            (&["vm.info", "-json", "web01"], "\"snapshotOperationsSupported\": true"),
            (&["vm.info", "-r", "-t", "-waitip=false", "web01"], "DMZ"),
            (&["pool.info", "C1/Resources"], "Shares:       normal"),
            (&["pool.info", "-json", "esx3/Resources"], "\"configuredMemoryMB\": 1024"),
            (&["host.info", "-host", "esx3"], "simulated CPU"),
            (&["cluster.usage", "C1"], "512.0GB"),
            (&["datacenter.info", "DC0"], "Clusters:          1"),
            (&["tasks"], "Initiator"),
            (&["object.collect", "-s", "/DC0/vm/db01", "summary.runtime.host"], "HostSystem:host-"),
            (&["object.collect", "-json", "/DC0/host/C1", "summary"], "\"currentFailoverLevel\": 0"),
            (&["option.ls", "VirtualCenter."], "vcenter-sim"),
            (&["session.ls"], "govc/"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_follows_the_tasks_of_a_vm_to_their_end() {
    let Some(program) = judges::govc("govc_follows_the_tasks_of_a_vm_to_their_end") else { return };
    let simulator = start(lab()).await;
    ask(
        &program,
        &simulator,
        &[
            (&["vm.power", "-on", "web01"], "OK"),
            (&["tasks", "/DC0/vm/web/web01"], "PowerOnVM"),
            (
                &["object.collect", "-s", "-wait", "5s", "/DC0/vm/web/web01", "-runtime.powerState", "poweredOn"],
                "poweredOn",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_takes_an_esxi_host_for_one_and_exports_from_it() {
    let test = "govc_takes_an_esxi_host_for_one_and_exports_from_it";
    let (Some(program), Some(qemu_img)) = (judges::govc(test), judges::qemu_img(test)) else { return };
    let simulator = start(Inventory::scenario("esxi").unwrap()).await;
    let target = tempfile::tempdir().unwrap();
    let target = target.path().to_str().unwrap();
    ask(
        &program,
        &simulator,
        &[
            (&["about", "-json"], "\"apiType\": \"HostAgent\""),
            (&["ls", "/"], "/ha-datacenter\n"),
            (&["ls", "-i", "vm/router"], "VirtualMachine:1"),
            (&["find", "/", "-type", "m"], "/ha-datacenter/vm/router\n"),
            (&["host.info"], "esx1.sim.invalid"),
            (&["export.ovf", "-sha", "256", "-vm", "router", target], ""),
        ],
    )
    .await;
    let disk = Path::new(target).join("router/router-disk-0.vmdk");
    let content = simulator.world().exports.disk("ha-datacenter/vm/router", 0).unwrap();
    assert!(guest_bytes(&qemu_img, &disk) == raw(&content), "{}", disk.display());
    assert_eq!(simulator.world().soap.report()["lease_endings"]["completed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pyvmomi_reads_every_property_of_every_object_of_either_personality() {
    let test = "pyvmomi_reads_every_property_of_every_object_of_either_personality";
    let Some(python) = judges::python_with_pyvmomi(test) else { return };
    for inventory in [lab(), Inventory::scenario("esxi").unwrap()] {
        let simulator = start(inventory).await;
        let port = simulator.world().addresses.vcenter.port().to_string();
        let account = &simulator.world().inventory.vcenter;
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/strangers_world.py"));
        command.args([port.as_str(), &account.username, &account.password]);
        let output = run(command).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("ok\n"), "{output:?}");
        let report = simulator.world().soap.report();
        assert_eq!((&report["open"]["sessions"], &report["open"]["views"]), (&0.into(), &0.into()), "{report:#}");
    }
}
