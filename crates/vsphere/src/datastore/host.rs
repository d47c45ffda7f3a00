//! Which host can read a datastore.

use crate::error::{Error, ErrorKind, Result};
use crate::properties::{self, Object};
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::DatastoreHostMount;

/// Returns the datastore of a VM that has this name; names are unique within a datacenter, so it is no
/// other's.
///
/// # Errors
/// What the server says; [`ErrorKind::NotFound`] when the VM uses no datastore of this name.
pub async fn datastore_of(session: &Session, vm: &MoRef, name: &str) -> Result<MoRef> {
    let object = properties::read(session, vm, &["datastore"]).await?;
    for datastore in object.list::<MoRef>("datastore")? {
        let shown = properties::read(session, &datastore, &["name"]).await?;
        if shown.get::<String>("name")?.as_deref() == Some(name) {
            return Ok(datastore);
        }
    }
    Err(Error::new(ErrorKind::NotFound, format!("find datastore `{name}`: {vm} does not use it")))
}

/// Returns a host that can read `datastore`: the one that `vm` is on now, if it can, for that one holds
/// the locks of a running VM. Asked anew each time, because VMs move.
///
/// # Errors
/// What the server says; [`ErrorKind::State`] when no host can.
pub async fn choose_host(session: &Session, vm: &MoRef, datastore: &MoRef) -> Result<MoRef> {
    let own = properties::read(session, vm, &["runtime.host"]).await?.get::<MoRef>("runtime.host")?;
    let mounts = properties::read(session, datastore, &["host"]).await?.list::<DatastoreHostMount>("host")?;
    for host in candidates(&mounts, own.as_ref()) {
        let paths = ["runtime.connectionState", "runtime.powerState", "runtime.inMaintenanceMode"];
        if is_usable(&properties::read(session, &host, &paths).await?) {
            return Ok(host);
        }
    }
    Err(Error::new(ErrorKind::State, format!("choose a host for {datastore}: none that has it mounted is at work")))
}

/// Returns the hosts that have the datastore in reach, the preferred one first.
fn candidates(mounts: &[DatastoreHostMount], preferred: Option<&MoRef>) -> Vec<MoRef> {
    let in_reach = |mount: &&DatastoreHostMount| {
        mount.mount_info.mounted != Some(false) && mount.mount_info.accessible != Some(false)
    };
    let mut hosts: Vec<MoRef> = mounts.iter().filter(in_reach).map(|mount| mount.key.clone()).collect();
    hosts.sort_by_key(|host| Some(host) != preferred);
    hosts
}

/// A property that the server does not show speaks for the host; the request will tell.
fn is_usable(host: &Object) -> bool {
    let word = |path: &str, good: &str| host.get::<String>(path).ok().flatten().is_none_or(|word| word == good);
    let maintenance = host.get::<bool>("runtime.inMaintenanceMode").ok().flatten();
    word("runtime.connectionState", "connected") && word("runtime.powerState", "poweredOn") && maintenance != Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generated::HostMountInfo;

    fn mount(host: &str, mounted: Option<bool>, accessible: Option<bool>) -> DatastoreHostMount {
        DatastoreHostMount {
            key: MoRef::new("HostSystem", host),
            mount_info: HostMountInfo { mounted, accessible, ..HostMountInfo::default() },
        }
    }

    #[test]
    fn the_hosts_that_reach_it_are_taken_and_the_vms_own_first() {
        let mounts = [
            mount("host-1", Some(true), Some(true)),
            mount("host-2", Some(false), Some(true)),
            mount("host-3", Some(true), Some(false)),
            mount("host-4", None, None),
        ];
        let ids = |own: &str| -> Vec<String> {
            candidates(&mounts, Some(&MoRef::new("HostSystem", own))).into_iter().map(|host| host.id).collect()
        };
        assert_eq!(ids("host-4"), ["host-4", "host-1"]);
        assert_eq!(ids("host-2"), ["host-1", "host-4"]);
    }
}
