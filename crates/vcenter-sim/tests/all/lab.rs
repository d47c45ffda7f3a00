//! A world with a cluster, a vApp, an orphan, and properties that may not be read.

use std::path::Path;

use vcenter_sim::Inventory;

pub(crate) const LAB: &str = r#"
[vcenter]
sessions_max = 3
denied_privileges = ["VirtualMachine.Interact.PowerOff"]

[[datacenter]]
name = "DC0"
hosts = ["esx1", "esx2", "esx3"]
networks = ["VM Network", "DMZ"]

[[datacenter.cluster]]
name = "C1"
hosts = ["esx1", "esx2"]

[[vm]]
path = "DC0/vm/web/web01"
network = "DMZ"

[[vm.disk]]
size = "8 MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }

[[vm]]
path = "DC0/vm/db01"
host = "esx3"
power = "poweredOn"
unreadable = ["config.annotation", "layoutEx"]

[[vm]]
path = "DC0/vm/app/front"
vapp = "app"

[[vm]]
path = "DC0/vm/lost"
connection = "orphaned"
"#;

pub(crate) fn lab() -> Inventory {
    Inventory::parse(LAB, Path::new(".")).unwrap()
}
