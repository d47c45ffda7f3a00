//! A small simulator with one lease, opened behind the back of SOAP.

use std::path::Path;

use vcenter_sim::export::ExportItem;
use vcenter_sim::faults::Settings;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::client::Client;

/// Two hosts; a VM whose disks are sparse, full, empty, of an odd size, and an nvram file.
const INVENTORY: &str = r#"
[[datacenter]]
name = "DC0"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]

[[vm]]
path = "DC0/vm/web/web 01"
nvram_bytes = 8684
isos = ["[datastore1] iso/x.iso"]

[[vm.disk]]
size = "40 MiB"
content = { kind = "seeded", seed = 1, fill = 0.1, compressibility = 0.5 }

[[vm.disk]]
size = "2 MiB"
content = { kind = "seeded", seed = 2, fill = 1.0, compressibility = 0.0 }

[[vm.disk]]
size = "8 MiB"

[[vm.disk]]
size = 3000832
content = { kind = "seeded", seed = 4, fill = 0.9, compressibility = 1.0 }
"#;

pub(crate) const VM: &str = "DC0/vm/web/web 01";

pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    pub(crate) items: Vec<ExportItem>,
}

pub(crate) async fn scene(settings: Settings) -> Scene {
    with_options(Options { settings: Some(settings), ..Options::default() }).await
}

pub(crate) async fn with_options(options: Options) -> Scene {
    let inventory = Inventory::parse(INVENTORY, Path::new(".")).unwrap();
    let simulator = Simulator::start(inventory, options).await.unwrap();
    let world = simulator.world();
    let items = world.exports.open("lease-1", world.inventory.vm(VM).unwrap(), "vm-62");
    Scene { simulator, items }
}

impl Scene {
    /// Connects to the first host.
    pub(crate) async fn host(&self) -> Client {
        Client::tls(self.simulator.world().addresses.hosts[0].addr).await
    }

    /// Connects to the vCenter.
    pub(crate) async fn vcenter(&self) -> Client {
        Client::tls(self.simulator.world().addresses.vcenter).await
    }

    /// Connects to the control endpoint.
    pub(crate) async fn control(&self) -> Client {
        let addr = self.simulator.control_url();
        Client::plain(addr.strip_prefix("http://").unwrap().parse().unwrap()).await
    }

    /// Returns the raw bytes of one of the VM's disks.
    pub(crate) fn raw(&self, disk: usize) -> Vec<u8> {
        let content = self.simulator.world().exports.disk(VM, disk).unwrap();
        let mut bytes = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
        content.read_range(0, &mut bytes).unwrap();
        bytes
    }
}
