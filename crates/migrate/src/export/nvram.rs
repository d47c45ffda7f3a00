//! The nvram of a VM whose lease does not offer it: older hosts, and single ESXi hosts.
//!
//! A guest that boots by UEFI may not find its system without its boot entries, so the file is fetched
//! from the datastore, if the server lists one for this VM. No other file is ever read. That it cannot be
//! read (a host may hold it locked while the VM runs) is no reason to fail an export: it is said.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use transfer::Cancel;
use vsphere::Session;
use vsphere::datastore::{self, DatastorePath, FileAddress, FileSource, Road};
use vsphere::ovf::DescribedFile;
use vsphere::properties;
use vsphere::wire::generated::VirtualMachineFileLayoutExFileInfo;

use super::fetch::{Fetch, Fetched, Origin};
use super::meter::{FileMeter, Reporter};
use super::package::Package;
use super::plan::Plan;
use super::{FileReport, Proof, blocking, unless};
use crate::{ErrorKind, Result, rights};

/// What the server calls such a file in its list.
const LISTED_TYPE: &str = "nvram";

/// How often the file is looked for again where it cannot be read: storage vMotion takes it elsewhere, and
/// does so hardly twice within the moments that this takes.
const MOVES_MAX: u32 = 2;

/// Fetches the nvram that the server lists for the VM; `None` where there is none or it cannot be read.
///
/// # Errors
/// Of the target, and [`ErrorKind::Cancelled`]. What the source refuses is a warning.
pub(super) async fn fetch(
    session: &Session,
    plan: &Plan,
    package: &mut Package,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<Option<FileReport>> {
    let fetched = match unless(cancel, listed(session, plan)).await {
        Ok(None) => return Ok(None),
        Ok(Some(file)) => {
            let name = format!("{}-nvram.nvram", package.base());
            rights::run_current(|| package.list(std::slice::from_ref(&name)))?;
            wherever_it_is(session, plan, file, package, name, cancel).await
        }
        Err(error) => Err(error),
    };
    match fetched {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), ErrorKind::Target | ErrorKind::Cancelled) => Err(error),
        Err(error) => {
            let reason = error.chain();
            reporter
                .warning(&format!("the VM's nvram is missing in the package (an UEFI guest may need it): {reason}"));
            Ok(None)
        }
    }
}

/// Returns how the descriptor names it.
pub(super) fn described(plan: &Plan, file: &FileReport) -> DescribedFile {
    DescribedFile {
        device_key: format!("/{}/nvram", plan.vm.moref.id),
        path: file.name.clone(),
        size_bytes: file.size_bytes,
        capacity_bytes: None,
        populated_bytes: None,
    }
}

async fn listed(session: &Session, plan: &Plan) -> Result<Option<DatastorePath>> {
    let object = properties::read(session, &plan.vm.moref, &["layoutEx.file", "config.files.vmPathName"]).await?;
    let files: Vec<VirtualMachineFileLayoutExFileInfo> = object.list("layoutEx.file")?;
    // The VM may stand elsewhere than when the plan was made.
    let configuration: Option<String> = object.get("config.files.vmPathName")?;
    Ok(choose(&files, configuration.as_ref().unwrap_or(&plan.vm.config.vm_path_name)))
}

/// Reads the file, and follows it when the VM's files move meanwhile.
async fn wherever_it_is(
    session: &Session,
    plan: &Plan,
    mut file: DatastorePath,
    package: &Package,
    name: String,
    cancel: &CancellationToken,
) -> Result<FileReport> {
    for _ in 0..MOVES_MAX {
        let error = match by_any_road(session, plan, file.clone(), package, name.clone(), cancel).await {
            Err(error) if !matches!(error.kind(), ErrorKind::Target | ErrorKind::Cancelled) => error,
            ended => return ended,
        };
        match unless(cancel, listed(session, plan)).await {
            Ok(Some(now)) if now != file => {
                tracing::debug!(%file, %now, "the VM's files have moved");
                file = now;
            }
            Err(stop) if stop.kind() == ErrorKind::Cancelled => return Err(stop),
            _ => return Err(error),
        }
    }
    by_any_road(session, plan, file, package, name, cancel).await
}

/// Picks the VM's own: snapshots may have copies, which lie elsewhere or are called otherwise.
fn choose(files: &[VirtualMachineFileLayoutExFileInfo], configuration: &str) -> Option<DatastorePath> {
    let stem = |path: &str| path.rsplit_once('.').map_or(path, |(stem, _)| stem).to_owned();
    let listed = || files.iter().filter(|file| file.type_ == LISTED_TYPE && file.accessible != Some(false));
    let own = listed().find(|file| stem(&file.name) == stem(configuration));
    DatastorePath::parse(&own.or_else(|| listed().next())?.name)
}

/// Reads the file through the server, or else at a host. Leaves no part of it when both fail.
async fn by_any_road(
    session: &Session,
    plan: &Plan,
    file: DatastorePath,
    package: &Package,
    name: String,
    cancel: &CancellationToken,
) -> Result<FileReport> {
    let vm = &plan.vm.moref;
    let address = FileAddress { datacenter: vsphere::inventory::datacenter_path(session, vm).await?, file };
    let part = package.part(&name);
    let stop = StopOnDrop(Cancel::new());
    let once = |road: Road| {
        let origin = Origin::Datastore(FileSource::new(session, address.clone(), road, cancel.clone()));
        let meter = Arc::new(FileMeter::new(name.clone(), false, 0));
        Fetch { origin, part: part.clone(), size_bytes: None, with_sha1: false, meter, cancel: stop.0.clone() }
    };
    let mut result = run(once(Road::Server)).await;
    if !session.is_host() && result.as_ref().is_err_and(|error| is_worth_a_detour(error.kind())) {
        tracing::debug!(%address.file, "the server does not give the file, asking a host");
        let host = async {
            let datastore = datastore::datastore_of(session, vm, address.file.datastore()).await?;
            datastore::choose_host(session, vm, &datastore).await
        };
        if let Ok(host) = host.await {
            let first = result;
            // The server's refusal is the reason that people can act on.
            result = run(once(Road::Host(host))).await.or(first);
        }
    }
    let fetched = match result {
        Ok(fetched) => fetched,
        Err(error) => {
            // Else it would stay beside a package that does not name it.
            blocking(move || {
                if let Err(error) = std::fs::remove_file(&part) {
                    tracing::debug!(part = %part.display(), %error, "a part of the nvram stays");
                }
                Ok(())
            })
            .await?;
            return Err(error);
        }
    };
    Ok(FileReport {
        name,
        size_bytes: fetched.size_bytes,
        sha256: fetched.sha256,
        capacity_bytes: None,
        populated_bytes: None,
        proof: Some(Proof::Received),
    })
}

/// Stops the thread that reads when nobody waits for it any more: it must write to no part of a package
/// that was given up.
struct StopOnDrop(Cancel);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn run(fetch: Fetch) -> Result<Fetched> {
    blocking(move || fetch.run()).await
}

fn is_worth_a_detour(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Target | ErrorKind::Cancelled | ErrorKind::Login)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, kind: &str) -> VirtualMachineFileLayoutExFileInfo {
        VirtualMachineFileLayoutExFileInfo { name: name.into(), type_: kind.into(), ..Default::default() }
    }

    #[test]
    fn the_vms_own_nvram_is_chosen_and_nothing_that_is_not_listed_as_one() {
        let files = [
            file("[ds] web/web.vmx", "config"),
            file("[ds] web/web-Snapshot1.nvram", "nvram"),
            file("[ds] web/web.nvram", "nvram"),
        ];
        let chosen = |files: &[_]| choose(files, "[ds] web/web.vmx").map(|path| path.to_string());
        assert_eq!(chosen(&files).as_deref(), Some("[ds] web/web.nvram"));
        assert_eq!(chosen(&files[..2]).as_deref(), Some("[ds] web/web-Snapshot1.nvram"));
        assert_eq!(chosen(&files[..1]), None);
        let lost = VirtualMachineFileLayoutExFileInfo { accessible: Some(false), ..file("[ds] a/a.nvram", "nvram") };
        assert_eq!(chosen(&[lost]), None);
        assert_eq!(chosen(&[file("[ds] ../../etc/x.nvram", "nvram")]), None);
    }
}
