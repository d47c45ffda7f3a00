//! Our client and our server over the files of datastores: bytes, ranges, tickets, locks, odd names.

use std::ops::Range;

use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;
use vsphere::datastore::{DatastorePath, FileAddress, FileSource, Road, choose_host, datastore_of};
use vsphere::{ErrorKind, Session, inventory};

use crate::lab::Lab;

const INVENTORY: &str = r#"
[[datacenter]]
name = "R&D"
folder = "Lab 1"
hosts = ["esx1.sim.invalid", "esx2.sim.invalid"]
datastores = ["ds 1+2"]

[[vm]]
path = "Lab 1/R&D/vm/web 01"
[[vm.disk]]
size = "3 MiB"
content = { kind = "seeded", seed = 1, fill = 0.7, compressibility = 0.5 }

[[vm]]
path = "Lab 1/R&D/vm/busy"
power = "poweredOn"
[[vm.disk]]
size = "1 MiB"
"#;

const WEB: &str = "Lab 1/R&D/vm/web 01";

/// Returns the address of a file, which has the session's spelling of the datacenter.
async fn address(session: &Session, vm: &str, file: &str) -> FileAddress {
    let vm = inventory::find(session, vm).await.unwrap().moref;
    let datacenter = inventory::datacenter_path(session, &vm).await.unwrap();
    FileAddress { datacenter, file: DatastorePath::parse(&format!("[ds 1+2] {file}")).unwrap() }
}

/// Reads on a thread of its own, as the product does.
async fn read(source: FileSource, range: Option<Range<u64>>) -> vsphere::Result<Vec<u8>> {
    let read = move || {
        let mut stream = source.open(range)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next_chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn source(session: &Session, address: &FileAddress, road: Road) -> FileSource {
    FileSource::new(session, address.clone(), road, CancellationToken::new())
}

fn disk(lab: &Lab) -> Vec<u8> {
    let mut bytes = vec![0; 3 << 20];
    lab.simulator.world().exports.disk(WEB, 0).unwrap().read_range(0, &mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flat_disk_is_read_whole_and_in_part_through_the_vcenter_and_at_a_host() {
    let lab = Lab::with(INVENTORY, Settings::default()).await;
    let session = lab.session().await;
    let address = address(&session, WEB, "web 01/web 01-flat.vmdk").await;
    let vm = inventory::find(&session, WEB).await.unwrap().moref;
    let datastore = datastore_of(&session, &vm, "ds 1+2").await.unwrap();
    let host = choose_host(&session, &vm, &datastore).await.unwrap();
    let right = disk(&lab);
    for road in [Road::Server, Road::Host(host)] {
        assert!(read(source(&session, &address, road.clone()), None).await.unwrap() == right, "{road:?}");
        let part = read(source(&session, &address, road.clone()), Some(1_000_001..2_500_000)).await.unwrap();
        assert!(part == right[1_000_001..2_500_000], "{road:?}");
    }
    let stats = &lab.simulator.world().stats;
    assert_eq!((stats.tickets_issued.get(), stats.tickets_used.get()), (2, 2));
    assert_eq!(stats.credentials_leaked_to_host.get(), 0);
    assert_eq!((stats.vcenter.folder.ranges.get(), stats.hosts[0].folder.ranges.get()), (1, 1));
    session.logout().await.unwrap();
    lab.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_decodes_twice_is_understood_and_remembered() {
    let lab = Lab::with(INVENTORY, Settings { folder_double_decode: true, ..Settings::default() }).await;
    let session = lab.session().await;
    let address = address(&session, WEB, "web 01/web 01-flat.vmdk").await;
    let requests = || lab.simulator.world().stats.vcenter.folder.requests.get();
    assert!(read(source(&session, &address, Road::Server), None).await.unwrap() == disk(&lab));
    let first = requests();
    assert!(first > 1, "the first try must be in vain, or this tests nothing");
    read(source(&session, &address, Road::Server), Some(0..10)).await.unwrap();
    assert_eq!(requests(), first + 1);
    session.logout().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_and_one_that_is_not_there_are_named() {
    let lab = Lab::with(INVENTORY, Settings { folder_locked_status: 403, ..Settings::default() }).await;
    let session = lab.session().await;
    for (file, kind) in [("busy/busy-flat.vmdk", ErrorKind::Permission), ("busy/none.vmdk", ErrorKind::NotFound)] {
        let address = address(&session, "Lab 1/R&D/vm/busy", file).await;
        let error = read(source(&session, &address, Road::Server), None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.to_string().contains(file), "{error}");
    }
    session.logout().await.unwrap();
}
