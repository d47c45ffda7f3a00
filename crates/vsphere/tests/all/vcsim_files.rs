//! Files of datastores against vcsim, a server that we did not write.

use std::fs;

use judges::VcSim;
use tokio_util::sync::CancellationToken;
use vsphere::datastore::{DatastorePath, FileAddress, FileSource, Road, choose_host, datastore_of};
use vsphere::{ErrorKind, HostStream, Session, inventory};

use crate::vcsim::session;

/// A name with characters that mean something in URLs.
const NAME: &str = "a b&c+100%.nvram";

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|number| number.to_le_bytes()).collect()
}

/// Puts a file beside the VM's own and returns its address.
async fn put(vcsim: &VcSim, session: &Session, name: &str) -> FileAddress {
    let vm = inventory::find(session, "DC0_H0_VM0").await.unwrap();
    fs::write(vcsim.datastore("DC0-LocalDS_0").join("DC0_H0_VM0").join(name), content()).unwrap();
    FileAddress {
        datacenter: inventory::datacenter_path(session, &vm.moref).await.unwrap(),
        file: DatastorePath::parse(&format!("[LocalDS_0] DC0_H0_VM0/{name}")).unwrap(),
    }
}

/// Reads a stream to its end on a thread of its own, as the product does.
async fn read(source: FileSource, range: Option<std::ops::Range<u64>>) -> vsphere::Result<Vec<u8>> {
    let read = move || {
        let mut stream: HostStream = source.open(range)?;
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

#[tokio::test]
async fn a_file_is_read_whole_and_in_part_through_the_server() {
    let Some((vcsim, session)) = session("a_file_is_read_whole_and_in_part_through_the_server", &[]).await else {
        return;
    };
    let address = put(&vcsim, &session, NAME).await;
    assert_eq!(address.datacenter, "DC0");
    let whole = read(source(&session, &address, Road::Server), None).await.unwrap();
    assert!(whole == content(), "{} bytes came", whole.len());
    let part = read(source(&session, &address, Road::Server), Some(1000..5000)).await.unwrap();
    assert!(part == content()[1000..5000], "{} bytes came", part.len());
    let tail = read(source(&session, &address, Road::Server), Some(1_199_000..9_000_000)).await.unwrap();
    assert!(tail == content()[1_199_000..], "{} bytes came", tail.len());
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_file_is_read_at_a_host_with_a_ticket() {
    let Some((vcsim, session)) = session("a_file_is_read_at_a_host_with_a_ticket", &[]).await else { return };
    let address = put(&vcsim, &session, NAME).await;
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap().moref;
    let datastore = datastore_of(&session, &vm, address.file.datastore()).await.unwrap();
    let host = choose_host(&session, &vm, &datastore).await.unwrap();
    assert_eq!(host.kind, "HostSystem");
    let read = read(source(&session, &address, Road::Host(host)), None).await.unwrap();
    assert!(read == content(), "{} bytes came", read.len());
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let Some((_vcsim, session)) = session("a_file_that_is_not_there_is_named", &[]).await else { return };
    let file = DatastorePath::parse("[LocalDS_0] nowhere/no such.iso").unwrap();
    let address = FileAddress { datacenter: "DC0".into(), file };
    let error = read(source(&session, &address, Road::Server), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert_eq!(error.to_string(), "open [LocalDS_0] nowhere/no such.iso");
    session.logout().await.unwrap();
}
