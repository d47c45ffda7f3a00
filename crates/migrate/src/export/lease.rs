//! The lease road: from a ready lease to a whole package.
//!
//! One stream per file, all files at once. Whatever goes wrong, here or in another file, ends all
//! streams and aborts the lease; only a package whose bytes are proven and described completes it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vsphere::lease::LeaseFile;
use vsphere::ovf::{DescribedFile, create_descriptor};
use vsphere::properties;
use vsphere::wire::MoRef;
use vsphere::wire::generated::VirtualMachinePowerState;
use vsphere::{Lease, Session, StreamRequest};

use super::claim::signature;
use super::disks::Disk;
use super::fetch::{self, Fetch, Fetched, Origin};
use super::meter::{FileMeter, Reporter};
use super::streams::Streams;
use super::{
    FileReport, Hold, Package, Phase, Plan, Proof, Report, SnapshotReport, blocking, descriptor, nvram, plan, refusal,
    stopped, verify,
};
use crate::names::file_name;
use crate::{Error, ErrorKind, Result, rights};

/// Longest name that is taken from the server for a file: with a base of 120 bytes, an id, a number and
/// `.….part.journal` around it a file name has less than 255 bytes.
const TARGET_ID_BYTES_MAX: usize = 60;

/// How long a stop waits for streams to end by themselves before everything is dropped.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A file of the lease and what it is called here.
struct Item {
    source: LeaseFile,
    name: String,
    meter: Arc<FileMeter>,
}

/// Everything that was checked before the lease may be completed.
pub(super) struct Proven {
    files: Vec<FileReport>,
    descriptor: String,
    received_bytes: u64,
    copy_ms: u64,
}

/// Fetches and proves everything of the VM, or of its `snapshot`, over a lease that has ended when this
/// returns.
pub(super) async fn run(
    session: &Session,
    plan: &Plan,
    snapshot: Option<&MoRef>,
    package: &mut Package,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> Result<Proven> {
    let lease = match snapshot {
        None => Lease::export_vm(session, &plan.vm.moref, cancel).await,
        Some(snapshot) => Lease::export_snapshot(session, snapshot, cancel).await,
    };
    let lease = match lease {
        Ok(lease) => lease,
        Err(error) => {
            use vsphere::ErrorKind as Kind;
            if matches!(error.kind(), Kind::Unreachable | Kind::Protocol | Kind::SessionLost) {
                forget_lost_lease(session).await;
            }
            return Err(refusal::explain(&plan.vm.path, error));
        }
    };
    let way = Way { session, lease: &lease, plan, snapshot, reporter, cancel };
    let proven = tokio::select! {
        proven = way.prove(package) => proven,
        reason = lease.lost() => Err(lost(plan, &reason)),
        () = overdue(cancel) => Err(stopped()),
        never = tell_renewals(&lease, plan, reporter) => match never {},
    };
    let id = lease.moref().id.clone();
    match proven {
        Ok(proven) => {
            reporter.phase(Phase::Finishing);
            if let Err(error) = lease.complete().await {
                // The bytes are proven and the lease is gone either way; the export is not wrong for it.
                reporter.warning(&format!("the server did not take the end of the lease: {error}"));
            }
            reporter.released(&id);
            Ok(proven)
        }
        Err(error) => {
            reporter.phase(Phase::Undoing);
            let error = cause(&lease, plan, error).await;
            lease.abort(&error.to_string()).await;
            reporter.released(&id);
            Err(error)
        }
    }
}

/// Tells the observer of every sign of life that the server took, as long as the lease is worked with.
async fn tell_renewals(lease: &Lease, plan: &Plan, reporter: &Reporter) -> Infallible {
    let mut renewals = lease.renewals();
    loop {
        let timeout = renewals.borrow_and_update().timeout;
        reporter.holding(&Hold { lease: lease.moref().id.clone(), vm_path: plan.vm.path.clone(), timeout });
        if renewals.changed().await.is_err() {
            // The keeper is gone, and whoever waits for the loss of the lease learns why.
            return std::future::pending().await;
        }
    }
}

/// The answer may have been the only thing that was lost, or spoilt: then a lease that nobody can name holds the VM.
/// It belongs to the session, which is this export's alone, and ends with it.
async fn forget_lost_lease(session: &Session) {
    if let Err(error) = session.restart().await {
        tracing::warn!(%error, "an export lease may be left to its timeout");
    }
}

/// Returns what is behind an error: streams and calls fail in many ways when a lease has ended, and none of
/// them says so.
async fn cause(lease: &Lease, plan: &Plan, error: Error) -> Error {
    use ErrorKind as Kind;
    if !matches!(error.kind(), Kind::NotFound | Kind::Unreachable | Kind::Permission | Kind::Server) {
        return error;
    }
    match lease.gone().await {
        Some(reason) => lost(plan, &reason).with_source(error),
        None => error,
    }
}

/// Resolves when a stop was asked for and the work has not ended by itself since: it hangs in a call to
/// a server that does not answer.
async fn overdue(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(STOP_GRACE).await;
}

fn lost(plan: &Plan, reason: &str) -> Error {
    let context = format!("export {}: the server gave up the export lease: {reason}", plan.vm.path);
    Error::new(ErrorKind::Server, context).with_hint("run the same command again")
}

/// What every step on the way from a lease to a proven package needs.
#[derive(Clone, Copy)]
struct Way<'a> {
    session: &'a Session,
    lease: &'a Lease,
    plan: &'a Plan,
    snapshot: Option<&'a MoRef>,
    reporter: &'a Reporter,
    cancel: &'a CancellationToken,
}

impl Way<'_> {
    async fn prove(self, package: &mut Package) -> Result<Proven> {
        let Self { lease, plan, reporter, .. } = self;
        check_disks(lease.files(), plan)?;
        let items = items(lease.files(), plan, package.base(), reporter);
        let names: Vec<_> = items.iter().map(|item| item.name.clone()).collect();
        rights::run_current(|| package.list(&names))?;
        reporter.files(items.iter().map(|item| Arc::clone(&item.meter)).collect());
        let with_sha1 = !lease.want_sha256().await?;
        reporter.phase(Phase::Copying);
        let begun = Instant::now();
        let fetched = self.copy(&items, package, with_sha1).await?;
        let copy_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        reporter.phase(Phase::Verifying);
        let mut files = self.verify(&items, &fetched, package).await?;
        self.check_power().await?;
        let described: Vec<_> = items.iter().zip(&files).map(|(item, file)| described(item, file)).collect();
        let nvram = match items.iter().all(|item| item.source.disk) {
            true => nvram::fetch(self.session, plan, package, reporter, self.cancel).await?,
            false => None,
        };
        let descriptor = self.describe(package.base(), described, nvram.as_ref()).await?;
        files.extend(nvram);
        if self.cancel.is_cancelled() {
            return Err(stopped());
        }
        let received_bytes = files.iter().map(|file| file.size_bytes).sum();
        Ok(Proven { files, descriptor, received_bytes, copy_ms })
    }

    /// Compares what came with what the host says it sent.
    async fn verify(self, items: &[Item], fetched: &[Fetched], package: &Package) -> Result<Vec<FileReport>> {
        let manifest = self.lease.manifest().await?;
        if manifest.is_none() {
            let text = "the server makes no manifest: the disks are proven by their own checksums only";
            self.reporter.warning(text);
            expand(items, package).await?;
        }
        let manifest = verify::by_key(manifest.as_deref())?;
        let check = |(item, file): (&Item, &Fetched)| {
            let proof = verify::check(&item.name, &item.source.key, file, &manifest)?;
            Ok(report(item, file, proof))
        };
        items.iter().zip(fetched).map(check).collect()
    }

    /// Lets the server describe the VM and checks that against the files.
    async fn describe(self, name: &str, mut files: Vec<DescribedFile>, nvram: Option<&FileReport>) -> Result<String> {
        let Self { session, plan, reporter, .. } = self;
        let made = create_descriptor(session, &plan.vm.moref, self.snapshot, name, &files).await;
        let made = made.map_err(|error| refusal::explain(&plan.vm.path, error))?;
        made.warnings.iter().for_each(|warning| reporter.warning(warning));
        let xml = descriptor::without(&made.xml, plan.unwanted)?;
        let xml = match nvram {
            None => xml,
            Some(nvram) => {
                files.push(nvram::described(plan, nvram));
                descriptor::with_nvram(&xml, nvram)?
            }
        };
        let (descriptor, odd) = descriptor::check(&xml, &files, &signature(&plan.identity))?;
        odd.iter().for_each(|warning| reporter.warning(warning));
        Ok(descriptor)
    }

    /// Fetches all files at once and returns them in their order, or the first error.
    async fn copy(self, items: &[Item], package: &Package, with_sha1: bool) -> Result<Vec<Fetched>> {
        let Self { session, lease, reporter, cancel, .. } = self;
        let mut streams = Streams::new(cancel);
        for item in items {
            let request = StreamRequest::new(
                item.source.url.clone(),
                item.source.thumbprint.clone(),
                session.tls().clone(),
                streams.token(),
            );
            streams.begin(Fetch {
                origin: Origin::Lease(request.with_idle_limit(session.patience().idle)),
                part: package.part(&item.name),
                size_bytes: item.source.size_bytes,
                with_sha1,
                meter: Arc::clone(&item.meter),
                cancel: streams.stop(),
            });
        }
        let percent = lease.percent();
        let _ticking = Ticking(reporter.start_ticking(move |value| percent.set(value)));
        streams.finish(reporter).await
    }

    /// Refuses what was copied when the VM was started meanwhile: whatever let it start, the disks may have
    /// been written to between the first byte and the last.
    async fn check_power(self) -> Result<()> {
        if self.plan.runs() || self.snapshot.is_some() {
            return Ok(());
        }
        let vm = &self.plan.vm;
        let object = properties::read(self.session, &vm.moref, &["runtime.powerState"]).await?;
        match object.get::<VirtualMachinePowerState>("runtime.powerState")? {
            Some(state) if state != VirtualMachinePowerState::PoweredOff => {
                let context =
                    format!("export {}: it is {state} now, so its disks changed while they were copied", vm.path);
                Err(Error::new(ErrorKind::State, context).with_hint("shut it down and run the same command again"))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a lease that does not offer every wanted disk: what it leaves out would be an empty disk in the
/// descriptor, and nothing later would notice. Where some are left out, it must also say which is which.
fn check_disks(files: &[LeaseFile], plan: &Plan) -> Result<()> {
    let refuse = |reason: String| {
        Err(Error::new(ErrorKind::Verification, format!("export {}: the lease {reason}", plan.vm.path)))
    };
    let is_place = |file: &LeaseFile, place: &str| plan::place_of(&file.key) == place;
    if plan.disks.iter().any(|disk| !disk.wanted) {
        let missing = |disk: &&Disk| disk.wanted && !files.iter().any(|file| is_place(file, &disk.place));
        let nameless = files.iter().any(|file| file.disk && !plan.is_disk(&file.key));
        return match plan.disks.iter().find(missing) {
            Some(disk) => refuse(format!("offers no {}", disk.label)),
            None if nameless => refuse("does not say which of its disks is which".to_owned()),
            None => Ok(()),
        };
    }
    let offered = files.iter().filter(|file| file.disk || plan.is_disk(&file.key)).count();
    match plan.disks.len() {
        wanted if wanted == offered => Ok(()),
        wanted => refuse(format!("offers {offered} disks, the VM has {wanted}")),
    }
}

/// Picks the files to export and names them. Images in drives are not part of the machine.
fn items(files: &[LeaseFile], plan: &Plan, base: &str, reporter: &Reporter) -> Vec<Item> {
    let mut taken = BTreeSet::new();
    let mut disks = 0;
    let mut items = Vec::new();
    for file in files {
        // The server may leave out that a file is a disk; its key says so too.
        let file = LeaseFile { disk: file.disk || plan.is_disk(&file.key), ..file.clone() };
        if !file.disk && !is_nvram(&file) {
            reporter.warning(&format!("{} is an image in a drive and is left out", file_name(&file.target_id)));
            continue;
        }
        if !plan.is_wanted(&file.key) {
            disks += 1;
            continue;
        }
        let fallback = if file.disk { format!("disk-{disks}.vmdk") } else { "nvram.nvram".to_owned() };
        let wanted = if file.target_id.is_empty() { fallback } else { short(&file_name(&file.target_id)) };
        // Target ids are the server's; nothing promises that they differ.
        let numbered = (2..).map(|number: u32| format!("{base}-{number}-{wanted}"));
        let mut candidates = std::iter::once(format!("{base}-{wanted}")).chain(numbered);
        let name = candidates.find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        let total = if file.disk { plan.capacity(&file.key, disks) } else { file.size_bytes };
        let meter = Arc::new(FileMeter::new(name.clone(), file.disk, total.unwrap_or(0)));
        disks += usize::from(file.disk);
        items.push(Item { source: file, name, meter });
    }
    items
}

/// Cuts what the server calls a file to what fits behind the longest base name, and keeps its ending.
fn short(name: &str) -> String {
    if name.len() <= TARGET_ID_BYTES_MAX {
        return name.to_owned();
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let ending = if ending.len() <= 8 && !ending.is_empty() { format!(".{ending}") } else { String::new() };
    let mut end = TARGET_ID_BYTES_MAX - ending.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

fn is_nvram(file: &LeaseFile) -> bool {
    file.target_id.ends_with(".nvram") || file.key.ends_with("nvram")
}

/// Checks the disks by what they say about themselves.
async fn expand(items: &[Item], package: &Package) -> Result<()> {
    for item in items.iter().filter(|item| item.source.disk) {
        let (name, part) = (item.name.clone(), package.part(&item.name));
        blocking(move || fetch::expand(&name, &part)).await?;
    }
    Ok(())
}

struct Ticking(tokio::task::JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn report(item: &Item, file: &Fetched, proof: Proof) -> FileReport {
    FileReport {
        name: item.name.clone(),
        size_bytes: file.size_bytes,
        sha256: file.sha256.clone(),
        capacity_bytes: file.disk.as_ref().map(|disk| disk.capacity_bytes),
        populated_bytes: file.disk.as_ref().map(|disk| disk.populated_bytes),
        proof: Some(proof),
    }
}

fn described(item: &Item, file: &FileReport) -> DescribedFile {
    DescribedFile {
        device_key: item.source.key.clone(),
        path: file.name.clone(),
        size_bytes: file.size_bytes,
        capacity_bytes: file.capacity_bytes,
        populated_bytes: file.populated_bytes,
    }
}

/// Gives the files their final names; `cleared` as in [`Package::finish`].
pub(super) async fn finish(
    plan: Plan,
    package: Package,
    proven: Proven,
    snapshot: Option<SnapshotReport>,
    cleared: bool,
) -> Result<Report> {
    blocking(move || {
        let descriptor = package.descriptor_name();
        let directory = package.directory().to_owned();
        let proof = proven.files.iter().filter_map(|file| file.proof).min();
        let files = package.finish(proven.files, &proven.descriptor, cleared)?;
        Ok(Report {
            vm_path: plan.vm.path,
            instance_uuid: Some(plan.identity.vm),
            directory,
            descriptor,
            files,
            received_bytes: proven.received_bytes,
            copy_ms: proven.copy_ms,
            snapshot,
            proof,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use diskimage::package::ovf::Unwanted;

    use super::*;
    use crate::export::claim::Identity;
    use crate::export::{Observer, Progress};

    struct Deaf;

    impl Observer for Deaf {
        fn progress(&self, _progress: &Progress) {}
        fn warning(&self, _text: &str) {}
    }

    fn plan(disks: &[&str]) -> Plan {
        let disk = |place: &&str| Disk {
            place: (*place).to_owned(),
            label: format!("Hard disk at {place}"),
            file: None,
            capacity_bytes: 512,
            wanted: true,
        };
        Plan {
            vm: plan::tests::vm("poweredOff", "connected"),
            identity: Identity { vm: "a".into(), server: "s".into() },
            disks: disks.iter().map(disk).collect(),
            unwanted: Unwanted::default(),
            notes: Vec::new(),
        }
    }

    fn file(place: &str, disk: bool, target_id: &str) -> LeaseFile {
        LeaseFile {
            key: format!("/vm-1/{place}"),
            url: String::new(),
            thumbprint: None,
            disk,
            target_id: target_id.into(),
            size_bytes: None,
        }
    }

    fn picked(files: &[LeaseFile], plan: &Plan) -> Vec<Item> {
        items(files, plan, "web01", &Reporter::new(Arc::new(Deaf)))
    }

    #[test]
    fn a_disk_is_a_disk_also_when_the_lease_does_not_say_so() {
        let plan = plan(&["VirtualNVMEController0:0"]);
        let files = [file("VirtualNVMEController0:0", false, "disk-0.vmdk")];
        let items = picked(&files, &plan);
        assert!(items[0].source.disk && items[0].meter.disk);
        assert!(check_disks(&files, &plan).is_ok());
    }

    #[test]
    fn a_lease_that_leaves_a_disk_out_is_refused() {
        let plan = plan(&["x0:0", "x0:1"]);
        let files = [file("x0:0", true, "disk-0.vmdk"), file("nvram", false, "file-0.nvram")];
        let error = check_disks(&files, &plan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Verification);
        assert!(error.to_string().contains("1 disks, the VM has 2"), "{error}");
    }

    #[test]
    fn a_disk_that_is_left_out_is_not_fetched_and_the_others_keep_their_names() {
        let mut plan = plan(&["x0:0", "x0:1"]);
        plan.disks[0].wanted = false;
        let files = [file("x0:0", true, ""), file("x0:1", true, "")];
        check_disks(&files, &plan).unwrap();
        let items = picked(&files, &plan);
        assert_eq!(items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["web01-disk-1.vmdk"]);
        // The one that is left out may be one that no lease offers.
        check_disks(&files[1..], &plan).unwrap();
        for (files, word) in [(&files[..1], "offers no"), (&[files[1].clone(), file("?", true, "")], "which")] {
            assert!(check_disks(files, &plan).unwrap_err().to_string().contains(word));
        }
    }

    #[test]
    fn names_differ_whatever_the_server_calls_its_files() {
        let files = ["2-d", "d", "d", "d", "../d"].map(|target| file("x", true, target));
        let names: BTreeSet<_> = picked(&files, &plan(&[])).into_iter().map(|item| item.name).collect();
        assert_eq!(names.len(), files.len());
        assert!(names.iter().all(|name| name.starts_with("web01-") && !name.contains('/')), "{names:?}");
    }
}
