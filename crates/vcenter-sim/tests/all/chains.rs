//! Do the files of a chain, read by a program that we did not write, give the bytes that the guest sees?

use std::path::Path;
use std::process::Command;

use http::Method;
use vcenter_sim::content::DiskContent;
use vcenter_sim::{Inventory, Options, Simulator};

use vsphere::wire::MoRef;
use vsphere::wire::generated::{FindByInventoryPath, PowerOffVMTask};

use crate::client::Client;
use crate::soap::Desk;

/// A disk of each kind, with a short last grain where that is allowed, and a chain of each kind of link.
const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
datastores = ["new", "old"]
vmfs5 = ["old"]

[[vm]]
path = "DC0/vm/declared"
datastore = "old"

[[vm.disk]]
size = 20972032
layout = "delta"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }

[[vm.disk]]
size = 20972032
layout = "sesparse"
links = 3
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }

[[vm.disk]]
size = 5243392
layout = "split"
extent_size = "1 MiB"
content = { kind = "seeded", seed = 3, fill = 0.8, compressibility = 0.5 }

[[vm.disk]]
size = "40 MiB"
layout = "split"
extent_size = "16 MiB"
links = 2
parent = "absolute"
content = { kind = "seeded", seed = 4, fill = 0.3, compressibility = 0.5 }

[[vm.disk]]
size = "8 MiB"
links = 1
parent = "[new]"
content = { kind = "seeded", seed = 5, fill = 0.5, compressibility = 0.5 }

[[vm]]
path = "DC0/vm/taken"
guest_writes = 0.2
power = "poweredOn"

[[vm.disk]]
size = 41944064
content = { kind = "seeded", seed = 6, fill = 0.4, compressibility = 0.5 }

[[vm.disk]]
size = "20 MiB"
layout = "delta"
content = { kind = "seeded", seed = 7, fill = 0.4, compressibility = 0.5 }

[[vm.snapshot]]
name = "first"

[[vm.snapshot]]
name = "second"
"#;

/// Basic credentials of the simulator's account.
const CREDENTIALS: &str = "Basic YWRtaW5pc3RyYXRvckB2c3BoZXJlLmxvY2FsOnNpbXVsYXRlZA==";

struct Lab {
    simulator: Simulator,
    client: Client,
    /// Has a folder for each datastore.
    directory: tempfile::TempDir,
}

impl Lab {
    async fn open() -> Self {
        let inventory = Inventory::parse(INVENTORY, Path::new(".")).unwrap();
        let simulator = Simulator::start(inventory, Options::default()).await.unwrap();
        let client = Client::tls(simulator.world().addresses.vcenter).await;
        Self { simulator, client, directory: tempfile::tempdir().unwrap() }
    }

    async fn get(&mut self, datastore: &str, path: &str) -> Vec<u8> {
        let url = format!("/folder/{path}?dcPath=DC0&dsName={datastore}");
        let answer = self.client.send(Method::GET, &url, &[("authorization", CREDENTIALS)], "").await;
        assert_eq!(answer.status, http::StatusCode::OK, "{url}");
        answer.whole()
    }

    /// Fetches a directory as far as its page names files; returns the names of descriptors.
    async fn fetch(&mut self, datastore: &str, directory: &str) -> Vec<String> {
        let page = String::from_utf8(self.get(datastore, directory).await).unwrap();
        let folder = self.directory.path().join(datastore).join(directory);
        std::fs::create_dir_all(&folder).unwrap();
        let mut descriptors = Vec::new();
        for name in page.split("\">").skip(1).filter_map(|rest| rest.split_once("</a>")).map(|(name, _)| name) {
            let bytes = self.get(datastore, &format!("{directory}/{name}")).await;
            if bytes.starts_with(b"# Disk DescriptorFile") {
                descriptors.push(name.to_owned());
                let text = String::from_utf8(bytes).unwrap();
                std::fs::write(folder.join(name), self.at_home(&text)).unwrap();
            } else {
                std::fs::write(folder.join(name), bytes).unwrap();
            }
        }
        descriptors
    }

    /// Lets a descriptor's absolute name of its parent lead into the temporary directory: the judge cannot
    /// see `/vmfs/volumes`.
    fn at_home(&self, descriptor: &str) -> String {
        let here = |line: &str| {
            let Some(rest) = line.strip_prefix("parentFileNameHint=\"/vmfs/volumes/") else { return line.to_owned() };
            let (_, path) = rest.split_once('/').unwrap();
            let datastore = if path.contains("_base") || path == "declared/declared_4.vmdk\"" { "new" } else { "old" };
            format!("parentFileNameHint=\"{}/{datastore}/{path}", self.directory.path().display())
        };
        descriptor.lines().map(|line| here(line) + "\n").collect()
    }

    fn raw(&self, vm: &str, disk: usize) -> Vec<u8> {
        let world = self.simulator.world();
        let deltas = world.soap.deltas(vm, None).unwrap();
        let content = DiskContent::layered(&world.exports.disk(vm, disk).unwrap(), disk, &deltas);
        let mut bytes = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
        content.read_range(0, &mut bytes).unwrap();
        bytes
    }

    /// Has the judge make the raw disk of a descriptor.
    fn converted(&self, qemu_img: &Path, descriptor: &str) -> Vec<u8> {
        let raw = self.directory.path().join("disk.raw");
        let mut command = Command::new(qemu_img);
        command.args(["convert", "-f", "vmdk", "-O", "raw"]).arg(self.directory.path().join(descriptor)).arg(&raw);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{descriptor}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(raw).unwrap()
    }
}

#[tokio::test]
async fn qemu_img_reads_every_declared_chain_as_its_content() {
    let Some(qemu_img) = judges::qemu_img("qemu_img_reads_every_declared_chain_as_its_content") else { return };
    let mut lab = Lab::open().await;
    let descriptors = lab.fetch("old", "declared").await;
    lab.fetch("new", "declared").await;
    let expected = [
        "declared-000001.vmdk",
        "declared.vmdk",
        "declared_1-000001.vmdk",
        "declared_1-000002.vmdk",
        "declared_1-000003.vmdk",
        "declared_1.vmdk",
        "declared_2.vmdk",
        "declared_3-000001.vmdk",
        "declared_3-000002.vmdk",
        "declared_3.vmdk",
        "declared_4-000001.vmdk",
    ];
    assert_eq!(descriptors, expected);
    let tops = ["declared-000001", "declared_1-000003", "declared_2", "declared_3-000002", "declared_4-000001"];
    for (disk, top) in tops.into_iter().enumerate() {
        let right = lab.raw("DC0/vm/declared", disk);
        assert!(lab.converted(&qemu_img, &format!("old/declared/{top}.vmdk")) == right, "{top}");
        // A link less, and the bytes are others: what a link holds counts.
        if let Some((stem, number)) = top.rsplit_once("-00000") {
            let below = number.parse::<u32>().unwrap() - 1;
            let name = if below == 0 { format!("{stem}.vmdk") } else { format!("{stem}-00000{below}.vmdk") };
            let datastore = if disk == 4 { "new" } else { "old" };
            assert!(lab.converted(&qemu_img, &format!("{datastore}/declared/{name}")) != right, "{name}");
        }
    }
}

#[tokio::test]
async fn qemu_img_reads_the_chain_above_snapshots_as_the_guest_does() {
    let test = "qemu_img_reads_the_chain_above_snapshots_as_the_guest_does";
    let Some(qemu_img) = judges::qemu_img(test) else { return };
    let mut lab = Lab::open().await;
    let world = std::sync::Arc::clone(lab.simulator.world());
    // Off, so that nothing is locked; what the guest wrote stays.
    let mut desk = Desk { simulator: lab.simulator, cookie: None };
    desk.log_in().await;
    let path = "DC0/vm/taken".to_owned();
    let this = MoRef::new("SearchIndex", "SearchIndex");
    let vm = desk.ask(FindByInventoryPath { this, inventory_path: path }).await.unwrap().unwrap();
    let task = desk.ask(PowerOffVMTask { this: vm }).await.unwrap();
    desk.end(task).await.unwrap();
    lab.simulator = desk.simulator;
    let descriptors = lab.fetch("new", "taken").await;
    // The second disk has a link of the inventory below those of the snapshots.
    assert_eq!(descriptors.len(), 3 + 4, "{descriptors:?}");
    for (disk, top) in ["taken-000002", "taken_1-000003"].into_iter().enumerate() {
        assert!(lab.converted(&qemu_img, &format!("new/taken/{top}.vmdk")) == lab.raw("DC0/vm/taken", disk), "{top}");
        let below = world.exports.disk("DC0/vm/taken", disk).unwrap();
        let mut original = vec![0; usize::try_from(below.capacity_bytes()).unwrap()];
        below.read_range(0, &mut original).unwrap();
        let name = ["taken", "taken_1-000001"][disk];
        assert!(lab.converted(&qemu_img, &format!("new/taken/{name}.vmdk")) == original, "{name}");
    }
    let text = std::fs::read_to_string(lab.directory.path().join("new/taken/taken.vmsd")).unwrap();
    for line in ["snapshot0.disk0.fileName = \"taken.vmdk\"", "snapshot1.disk1.fileName = \"taken_1-000002.vmdk\""] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn fresh_links_have_the_content_id_of_their_parent() {
    let mut lab = Lab::open().await;
    let mut ids = Vec::new();
    for name in ["taken_1.vmdk", "taken_1-000001.vmdk", "taken_1-000002.vmdk", "taken_1-000003.vmdk"] {
        let text = String::from_utf8(lab.get("new", &format!("taken/{name}")).await).unwrap();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_matches('"').to_owned()
        };
        assert!(value("ddb.longContentID = ").ends_with(&value("CID=")), "{text}");
        ids.push((value("parentCID="), value("CID=")));
    }
    assert_eq!(ids[0].0, "ffffffff");
    let base = &ids[0].1;
    assert!(ids[1..].iter().all(|(parent, own)| parent == base && own == base), "{ids:?}");
}
