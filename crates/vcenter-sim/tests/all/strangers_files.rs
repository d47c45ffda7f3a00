//! A client that we did not write lists and fetches the files of datastores.

use std::path::Path;
use std::process::Output;

use sha2::{Digest, Sha256};
use vcenter_sim::content::DiskContent;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::strangers::{govc, run};

const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
folder = "Lab/EU"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
datastores = ["new", "old & slow"]
vmfs5 = ["old & slow"]

[[vm]]
path = "Lab/EU/DC0/vm/web/web 01"
datastore = "old & slow"
guest_writes = 0.1

[[vm.disk]]
size = 20972032
layout = "delta"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }

[[vm]]
path = "Lab/EU/DC0/vm/other"
"#;

async fn simulator() -> Simulator {
    let inventory = Inventory::parse(INVENTORY, Path::new(".")).unwrap();
    // Hosts have another name than the vCenter's: a cookie knows no ports, so at the same address the
    // client would show them the vCenter's session.
    let options = Options { url_name: Some("localhost".to_owned()), ..Options::default() };
    Simulator::start(inventory, options).await.unwrap()
}

async fn says(program: &Path, simulator: &Simulator, home: &Path, arguments: &[&str]) -> Output {
    let mut command = govc(program, simulator, home);
    command.env("GOVMOMI_USE_SERVICE_TICKET_HOSTNAME", "true").args(arguments);
    run(command).await
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_lists_datastores_and_their_files() {
    let Some(program) = judges::govc("govc_lists_datastores_and_their_files") else { return };
    let (simulator, home) = (simulator().await, tempfile::tempdir().unwrap());
    let says = async |arguments: &[&str]| says(&program, &simulator, home.path(), arguments).await;
    let info = text(&says(&["datastore.info"]).await);
    assert!(info.contains("Name:        new") && info.contains("URL:       ds:///vmfs/volumes/"), "{info}");
    assert_eq!(text(&says(&["datastore.ls", "-ds", "old & slow"]).await), "web 01\n");
    let long = text(&says(&["datastore.ls", "-ds", "old & slow", "-l", "web 01"]).await);
    for name in ["web 01.vmx", "web 01.nvram", "web 01-000001-delta.vmdk", "vmware.log"] {
        assert!(
            long.lines().any(|line| line.ends_with(&format!("  {name}")) && line.contains("2025")),
            "{name}: {long}"
        );
    }
    let all = text(&says(&["datastore.ls", "-ds", "old & slow", "-R"]).await);
    assert!(all.contains("[old & slow] web 01/:\n") && all.contains("\nweb 01-flat.vmdk\n"), "{all}");
    let one = text(&says(&["datastore.ls", "-ds", "old & slow", "web 01/*.vmx"]).await);
    assert_eq!(one, "web 01.vmx\n");
    let missing = says(&["datastore.ls", "-ds", "new", "nothing"]).await;
    assert!(!missing.status.success(), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn govc_downloads_a_chain_through_the_vcenter_and_from_a_host() {
    let test = "govc_downloads_a_chain_through_the_vcenter_and_from_a_host";
    let (Some(program), Some(qemu_img)) = (judges::govc(test), judges::qemu_img(test)) else { return };
    let (simulator, home) = (simulator().await, tempfile::tempdir().unwrap());
    let world = simulator.world();
    let content = world.exports.disk("Lab/EU/DC0/vm/web/web 01", 0).unwrap();
    let deltas = world.soap.deltas("Lab/EU/DC0/vm/web/web 01", None).unwrap();
    let content = DiskContent::layered(&content, 0, &deltas);
    let mut right = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
    content.read_range(0, &mut right).unwrap();
    let mut hashes = Vec::new();
    for way in [vec![], vec!["-host", "esx1.sim.invalid"], vec!["-host", "esx2.sim.invalid"]] {
        let folder = tempfile::tempdir().unwrap();
        let mut sums = Vec::new();
        for name in ["web 01.vmdk", "web 01-flat.vmdk", "web 01-000001.vmdk", "web 01-000001-delta.vmdk"] {
            let (source, target) = (format!("web 01/{name}"), folder.path().join(name));
            let mut arguments = vec!["datastore.download", "-ds", "old & slow"];
            arguments.extend(&way);
            arguments.extend([source.as_str(), target.to_str().unwrap()]);
            text(&says(&program, &simulator, home.path(), &arguments).await);
            sums.push(Sha256::digest(std::fs::read(&target).unwrap()));
        }
        let raw = folder.path().join("disk.raw");
        let mut convert = std::process::Command::new(&qemu_img);
        convert.args(["convert", "-f", "vmdk", "-O", "raw"]).arg(folder.path().join("web 01-000001.vmdk")).arg(&raw);
        text(&run(convert).await);
        assert!(std::fs::read(&raw).unwrap() == right, "{way:?}");
        hashes.push(sums);
    }
    assert!(hashes.iter().all(|sums| *sums == hashes[0]));
    let stats = &world.stats;
    assert_eq!((stats.tickets_issued.get(), stats.tickets_used.get()), (8, 8));
    assert_eq!((stats.credentials_leaked_to_host.get(), stats.hosts[0].folder.denied.get()), (0, 0));
    let report = world.soap.report();
    assert_eq!(report["open"]["sessions"], 0, "{report:#}");
}
