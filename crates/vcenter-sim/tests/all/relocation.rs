//! Storage vMotion: after it a VM has all its files elsewhere, everything says so, and whoever was reading
//! the old ones is told by the end of the stream.

use http::{Method, StatusCode};
use serde_json::json;
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;
use vcenter_sim::{Inventory, Options};
use vsphere::wire::MoRef;
use vsphere::wire::generated::{
    ExportVm, FindByDatastorePath, HostDatastoreBrowserSearchSpec, HttpNfcLeaseInfo, HttpNfcLeaseState, RelocateVMTask,
    VirtualMachineConfigInfo, VirtualMachineFileLayoutEx, VirtualMachineRelocateSpec,
    VirtualMachineRelocateSpecDiskLocator, VirtualMachineSummary,
};

use crate::client::{Answer, Client};
use crate::datastores::{chain, find, search};
use crate::soap::{Desk, assert_fault};
use crate::strangers::{govc, run};

/// A VM spread over two datastores, another of its name where it may go, and a datastore out of reach.
const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
datastores = ["old", "fast"]
vmfs5 = ["old"]

[[datacenter]]
name = "DC1"
hosts = ["esx3.sim.invalid"]
datastores = ["far"]

[[vm]]
path = "DC0/vm/web01"
isos = ["[old] iso/x.iso"]

[[vm.disk]]
size = "3 MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }

[[vm.disk]]
size = "1 MiB"
links = 1
file = "[fast] data/d.vmdk"
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }

[[vm.snapshot]]
name = "before"

[[vm]]
path = "DC0/vm/other/web01"
datastore = "fast"

[[vm]]
path = "DC0/vm/master"
template = true
"#;

const VM: &str = "DC0/vm/web01";

async fn desk() -> Desk {
    let mut desk = Desk::with_inventory(INVENTORY, Options::default()).await;
    desk.log_in().await;
    desk
}

/// Moves a VM to a datastore by the API, as `spec` says besides.
async fn relocate(desk: &Desk, vm: &MoRef, spec: VirtualMachineRelocateSpec) -> Result<Option<MoRef>, String> {
    desk.run(RelocateVMTask { this: vm.clone(), spec, priority: None }).await
}

async fn to(desk: &Desk, datastore: &str) -> VirtualMachineRelocateSpec {
    VirtualMachineRelocateSpec { datastore: Some(find(desk, datastore).await), ..Default::default() }
}

/// Asks for a file by its path `[datastore] directory/name`.
async fn ask(desk: &Desk, method: Method, file: &str) -> Answer {
    let (datastore, path) = file.strip_prefix('[').unwrap().split_once("] ").unwrap();
    let mut client = Client::tls(desk.simulator.world().addresses.vcenter).await;
    let cookie = desk.cookie.clone().unwrap();
    client.send(method, &format!("/folder/{path}?dcPath=DC0&dsName={datastore}"), &[("cookie", &cookie)], "").await
}

async fn files(desk: &Desk, vm: &MoRef) -> Vec<String> {
    let layout: VirtualMachineFileLayoutEx = desk.get(vm, "layoutEx").await;
    layout.file.into_iter().map(|file| file.name).collect()
}

#[tokio::test]
async fn a_vm_that_moves_takes_all_its_files_along_and_everything_says_so() {
    let desk = desk().await;
    let vm = find(&desk, VM).await;
    let (old, fast) = (find(&desk, "DC0/datastore/old").await, find(&desk, "DC0/datastore/fast").await);
    assert_eq!(desk.list::<MoRef>(&vm, "datastore").await, [old.clone(), fast.clone()]);
    let before = files(&desk, &vm).await;
    let mut bytes = Vec::new();
    for extent in ["[old] web01/web01-flat.vmdk", "[fast] data/d-flat.vmdk", "[old] web01/web01.nvram"] {
        assert!(before.contains(&extent.to_owned()), "{extent} in {before:?}");
        bytes.push(ask(&desk, Method::GET, extent).await.whole());
    }
    relocate(&desk, &vm, to(&desk, "DC0/datastore/fast").await).await.unwrap();

    // The other VM of this name has the directory that this one would have.
    let after = files(&desk, &vm).await;
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|file| file.starts_with("[fast] web01_1/")), "{after:?}");
    let summary: VirtualMachineSummary = desk.get(&vm, "summary").await;
    assert_eq!(summary.config.vm_path_name, "[fast] web01_1/web01_1.vmx");
    let config: VirtualMachineConfigInfo = desk.get(&vm, "config").await;
    assert_eq!(config.files.log_directory.as_deref(), Some("[fast] web01_1/"));
    // A redo log becomes what VMFS 6 has in its place, and disks get the VM's names.
    assert_eq!(chain(&config, 0), ["[fast] web01_1/web01_1-000001.vmdk", "[fast] web01_1/web01_1.vmdk"]);
    assert_eq!(
        chain(&config, 1),
        [
            "[fast] web01_1/web01_1_1-000002.vmdk",
            "[fast] web01_1/web01_1_1-000001.vmdk",
            "[fast] web01_1/web01_1_1.vmdk"
        ]
    );
    assert!(after.contains(&"[fast] web01_1/web01_1-000001-sesparse.vmdk".to_owned()), "{after:?}");

    // The image stays where it was.
    assert_eq!(desk.list::<MoRef>(&vm, "datastore").await, [fast.clone(), old.clone()]);
    assert!(desk.list::<MoRef>(&fast, "vm").await.contains(&vm));
    for file in &after {
        assert_eq!(ask(&desk, Method::HEAD, file).await.status, StatusCode::OK, "{file}");
    }
    for file in &before {
        assert_eq!(ask(&desk, Method::GET, file).await.status, StatusCode::NOT_FOUND, "{file}");
    }
    let moved = ["web01_1-flat.vmdk", "web01_1_1-flat.vmdk", "web01_1.nvram"];
    for (bytes, name) in bytes.into_iter().zip(moved) {
        assert!(ask(&desk, Method::GET, &format!("[fast] web01_1/{name}")).await.whole() == bytes, "{name}");
    }
    let datacenter = find(&desk, "DC0").await;
    for (path, found) in [("[old] web01/web01.vmx", None), ("[fast] web01_1/web01_1.vmx", Some(vm.clone()))] {
        let this = MoRef::new("SearchIndex", "SearchIndex");
        let call = FindByDatastorePath { this, datacenter: datacenter.clone(), path: path.to_owned() };
        assert_eq!(desk.ask(call).await.unwrap(), found, "{path}");
    }
    for (datastore, directory, is_there) in [(&old, "[old] web01", false), (&fast, "[fast] web01_1", true)] {
        let browser: MoRef = desk.get(datastore, "browser").await;
        let found = search(&desk, &browser, directory, HostDatastoreBrowserSearchSpec::default()).await;
        assert_eq!(found.is_ok(), is_there, "{directory}");
    }
}

#[tokio::test]
async fn a_way_back_leads_to_the_old_names_and_a_move_to_the_same_place_is_none() {
    let desk = desk().await;
    let vm = find(&desk, VM).await;
    let version = async || desk.get::<VirtualMachineConfigInfo>(&vm, "config").await.change_version;
    relocate(&desk, &vm, to(&desk, "DC0/datastore/old").await).await.unwrap();
    // The disk that lay elsewhere is gathered in; the directory stays.
    let gathered = files(&desk, &vm).await;
    assert!(gathered.iter().all(|file| file.starts_with("[old] web01/")), "{gathered:?}");
    let unchanged = version().await;
    relocate(&desk, &vm, to(&desk, "DC0/datastore/old").await).await.unwrap();
    assert_eq!((files(&desk, &vm).await, version().await), (gathered.clone(), unchanged.clone()));
    relocate(&desk, &vm, to(&desk, "DC0/datastore/fast").await).await.unwrap();
    assert_ne!(version().await, unchanged);
    relocate(&desk, &vm, to(&desk, "DC0/datastore/old").await).await.unwrap();
    assert_eq!(files(&desk, &vm).await, gathered);
}

#[tokio::test]
async fn a_host_and_a_datastore_may_change_at_once_and_only_what_is_near_is_possible() {
    let desk = desk().await;
    let vm = find(&desk, VM).await;
    let host = find(&desk, "DC0/host/esx2.sim.invalid/esx2.sim.invalid").await;
    let pool = find(&desk, "DC0/host/esx2.sim.invalid/Resources").await;
    let both = VirtualMachineRelocateSpec {
        host: Some(host.clone()),
        pool: Some(pool.clone()),
        ..to(&desk, "DC0/datastore/fast").await
    };
    relocate(&desk, &vm, both).await.unwrap();
    assert_eq!(desk.get::<MoRef>(&vm, "runtime.host").await, host);
    assert!(files(&desk, &vm).await[0].starts_with("[fast] "));
    let far = find(&desk, "DC1/host/esx3.sim.invalid/esx3.sim.invalid").await;
    let locator = VirtualMachineRelocateSpecDiskLocator { disk_id: 2000, ..Default::default() };
    let near = to(&desk, "DC0/datastore/old").await;
    let child_most = Some("moveChildMostDiskBacking".to_owned());
    for (spec, fault) in [
        (to(&desk, "DC1/datastore/far").await, "InvalidDatastore"),
        (VirtualMachineRelocateSpec { host: Some(far), ..Default::default() }, "InvalidArgument"),
        (
            VirtualMachineRelocateSpec {
                host: Some(find(&desk, "DC0/host/esx1.sim.invalid/esx1.sim.invalid").await),
                pool: Some(pool),
                ..Default::default()
            },
            "InvalidArgument",
        ),
        (VirtualMachineRelocateSpec { disk: vec![locator], ..near.clone() }, "NotSupported"),
        (VirtualMachineRelocateSpec { disk_move_type: child_most, ..near }, "NotSupported"),
    ] {
        assert_eq!(relocate(&desk, &vm, spec).await.unwrap_err(), fault);
    }
    let template = find(&desk, "DC0/vm/master").await;
    let refused = relocate(&desk, &template, to(&desk, "DC0/datastore/fast").await).await;
    assert_eq!(refused.unwrap_err(), "NotSupported");
}

#[tokio::test]
async fn a_host_without_a_vcenter_moves_nothing() {
    let mut desk = Desk::over(Inventory::scenario("esxi").unwrap(), Options::default()).await;
    let login = "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">ha-sessionmgr</_this>\
                 <userName>root</userName><password>simulated</password></Login>";
    let cookie = desk.call("8.0.3.0", login).await.set_cookie.unwrap();
    desk.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    let call = "<RelocateVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this><spec/></RelocateVM_Task>";
    assert_fault(&desk.call("8.0.3.0", call).await, "NotSupported");
}

#[tokio::test]
async fn a_lease_keeps_a_vm_from_moving_and_one_that_moves_all_the_same_is_sent_on() {
    let desk = desk().await;
    let vm = find(&desk, VM).await;
    let lease = desk.ask(ExportVm { this: vm.clone() }).await.unwrap();
    let disabled: Vec<String> = desk.list(&vm, "disabledMethod").await;
    assert!(disabled.contains(&"RelocateVM_Task".to_owned()), "{disabled:?}");
    let refused = relocate(&desk, &vm, to(&desk, "DC0/datastore/fast").await).await;
    assert_eq!(refused.unwrap_err(), "TaskInProgress");
    let info: HttpNfcLeaseInfo = desk.get(&lease, "info").await;
    let path = |index: usize| format!("/nfc/{}", info.device_url[index].url.split_once("/nfc/").unwrap().1);
    let world = desk.simulator.world();
    let mut host = Client::tls(world.addresses.hosts[0].addr).await;
    let before = host.get(&path(0)).await.whole();
    let rule = json!({
        "when": {"path": "/nfc/*", "at_byte": 100_000},
        "then": {"move_vm": {"datastore": "fast"}},
        "times": 1,
    });
    world.faults.add_rules(parse_json(&rule.to_string()).unwrap()).unwrap();
    assert!(host.get(&path(0)).await.whole() == before);
    assert_eq!(world.faults.rules()[0]["strikes"], 1);
    assert!(files(&desk, &vm).await[0].starts_with("[fast] "));
    assert_eq!(desk.get::<HttpNfcLeaseState>(&lease, "state").await, HttpNfcLeaseState::Ready);
}

#[tokio::test]
async fn a_file_that_moves_while_it_is_read_breaks_off_and_is_not_found_again() {
    let options = Options { settings: Some(Settings::default()), ..Options::default() };
    let mut desk = Desk::with_inventory(INVENTORY, options).await;
    desk.log_in().await;
    let world = desk.simulator.world();
    let rule = |vm: &str, from: &str, datastore: &str| {
        let then = json!({"move_vm": {"vm": vm, "datastore": datastore}});
        json!({"when": {"path": from, "at_byte": 300_000}, "then": then, "nth": 1}).to_string()
    };
    let flat = "[old] web01/web01-flat.vmdk";
    // Another VM that moves is nobody's concern.
    let other = rule("DC0/vm/other/web01", "/folder/*", "old");
    world.faults.add_rules(parse_json(&other).unwrap()).unwrap();
    assert_eq!(ask(&desk, Method::GET, flat).await.whole().len(), 3 << 20);
    assert_eq!(world.faults.rules()[0]["strikes"], 1);
    world.faults.add_rules(parse_json(&rule(VM, "/folder/*", "fast")).unwrap()).unwrap();
    let cut = ask(&desk, Method::GET, flat).await;
    assert_eq!((cut.status, world.faults.rules()[1]["strikes"].as_u64()), (StatusCode::OK, Some(1)));
    assert!(cut.error.is_some() && cut.body.len() >= 300_000 && cut.body.len() < 3 << 20, "{}", cut.body.len());
    assert_eq!(ask(&desk, Method::GET, flat).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_control_endpoint_moves_a_vm_and_says_what_is_not_there() {
    let desk = desk().await;
    let vm = find(&desk, VM).await;
    let address = desk.simulator.control_url();
    let mut control = Client::plain(address.strip_prefix("http://").unwrap().parse().unwrap()).await;
    for (query, status, words) in [
        ("vm=DC0/vm/web01", StatusCode::BAD_REQUEST, "datastore=NAME"),
        ("vm=DC0/vm/web01&datastore=far", StatusCode::NOT_FOUND, "no datastore `far`"),
        ("vm=DC0/vm/web09&datastore=fast", StatusCode::NOT_FOUND, "`DC0/vm/web09`"),
        ("vm=DC0/vm/web01&datastore=fast&host=esx2.sim.invalid", StatusCode::OK, "fast"),
    ] {
        let answer = control.send(Method::POST, &format!("/vms/move?{query}"), &[], "").await;
        assert_eq!(answer.status, status, "{query}");
        let text = String::from_utf8(answer.whole()).unwrap();
        assert!(text.contains(words), "{query}: {text}");
    }
    assert!(files(&desk, &vm).await[0].starts_with("[fast] "));
    let host = find(&desk, "DC0/host/esx2.sim.invalid/esx2.sim.invalid").await;
    assert_eq!(desk.get::<MoRef>(&vm, "runtime.host").await, host);
}

#[tokio::test]
async fn who_watches_the_files_of_a_vm_or_the_vms_of_a_datastore_is_told() {
    const COLLECTOR: &str = "<_this type=\"PropertyCollector\">propertyCollector</_this>";
    let desk = desk().await;
    let vm = find(&desk, VM).await;
    let fast = find(&desk, "DC0/datastore/fast").await;
    let watch = |object: &MoRef, path: &str| {
        format!(
            "<CreateFilter xmlns=\"urn:vim25\">{COLLECTOR}<spec><propSet><type>{kind}</type><pathSet>{path}</pathSet>\
             </propSet><objectSet><obj type=\"{kind}\">{id}</obj></objectSet></spec><partialUpdates>false\
             </partialUpdates></CreateFilter>",
            kind = object.kind,
            id = object.id
        )
    };
    let paths = ["summary.config.vmPathName", "layoutEx.file", "datastore", "name"];
    for path in paths {
        assert_eq!(desk.call("8.0.3.0", &watch(&vm, path)).await.status, 200, "{path}");
    }
    assert_eq!(desk.call("8.0.3.0", &watch(&fast, "vm")).await.status, 200);
    let check = |version: &str| {
        format!("<CheckForUpdates xmlns=\"urn:vim25\">{COLLECTOR}<version>{version}</version></CheckForUpdates>")
    };
    assert!(desk.call("8.0.3.0", &check("")).await.body.contains("<kind>enter</kind>"));
    // Its second disk was there before it came, so that the VM is among those of the datastore already.
    relocate(&desk, &vm, to(&desk, "DC0/datastore/old").await).await.unwrap();
    let news = desk.call("8.0.3.0", &check("1")).await.body;
    assert!(news.contains("<name>layoutEx.file</name>") && news.contains("<name>vm</name>"), "{news}");
    assert!(!news.contains("vmPathName") && !news.contains("<name>name</name>"), "{news}");
    relocate(&desk, &vm, to(&desk, "DC0/datastore/fast").await).await.unwrap();
    let news = desk.call("8.0.3.0", &check("2")).await.body;
    assert!(news.contains("[fast] web01_1/web01_1.vmx") && news.contains("<name>vm</name>"), "{news}");
    assert!(news.contains("<name>datastore</name>") && !news.contains("<name>name</name>"), "{news}");
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_moves_a_vm_to_another_datastore_and_finds_its_files_there() {
    let Some(program) = judges::govc("govc_moves_a_vm_to_another_datastore_and_finds_its_files_there") else { return };
    let desk = desk().await;
    let home = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["vm.migrate", "-dc", "DC0", "-ds", "fast", "/DC0/vm/web01"][..], "OK"),
        (&["vm.info", "-json", "-dc", "DC0", "/DC0/vm/web01"], "[fast] web01_1/web01_1.vmx"),
        (&["datastore.ls", "-dc", "DC0", "-ds", "fast", "web01_1"], "web01_1-000001.vmdk"),
        (&["vm.migrate", "-dc", "DC0", "-host", "esx2.sim.invalid", "/DC0/vm/web01"], "OK"),
    ] {
        let mut command = govc(&program, &desk.simulator, home.path());
        command.args(arguments);
        let output = run(command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(expected), "{arguments:?} without {expected}: {output:?}");
    }
    let gone = run({
        let mut command = govc(&program, &desk.simulator, home.path());
        command.args(["datastore.ls", "-dc", "DC0", "-ds", "old", "web01"]);
        command
    });
    assert!(!gone.await.status.success());
}
