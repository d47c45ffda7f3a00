//! A twin of the engine whose every step a test decides, and a daemon over it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_api::client::{Client, Endpoint, ErrorKind};
use hyper_api::{ExportSpec, InspectRequest, Job, JobSpec, Problem};
use hypervisord::engine::{Configured, Engine, Images};
use hypervisord::jobs::fold::fold;
use hypervisord::private;
use hypervisord::store::{Filter, Store};
use hypervisord::workers::Workers;
use migrate::export::{
    Consistency, FileProgress, Observer, Phase, Progress, Proof, Report, Request, SnapshotPolicy, SnapshotReport,
};
use migrate::inventory::{Found, Vm};
use migrate::vm::{Disk, Operation, Outcome};
use migrate::{conversion, inspect, verify};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Exports by the name of the VM: `ok`, `fails`, `panics`, or `hold…`, which copies until it is
/// cancelled and then needs a permit of `undo` to give the VM back.
#[derive(Debug)]
pub(crate) struct Twin {
    pub(crate) undo: Semaphore,
    pub(crate) holding: AtomicUsize,
    pub(crate) finds: AtomicUsize,
    /// Failures of `flaky` that are left.
    pub(crate) flaky: AtomicUsize,
}

impl Twin {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            undo: Semaphore::new(0),
            holding: AtomicUsize::new(0),
            finds: AtomicUsize::new(0),
            flaky: AtomicUsize::new(0),
        })
    }

    async fn hold(&self, observer: &dyn Observer, cancel: CancellationToken) -> migrate::Result<Report> {
        self.holding.fetch_add(1, Ordering::SeqCst);
        observer.progress(&picture(Phase::Copying, 1));
        cancel.cancelled().await;
        observer.progress(&picture(Phase::Undoing, 1));
        self.undo.acquire().await.unwrap().forget();
        self.holding.fetch_sub(1, Ordering::SeqCst);
        Err(migrate::Error::new(migrate::ErrorKind::Cancelled, "export hold: cancelled"))
    }
}

impl Engine for Twin {
    fn list(&self, capacities: bool, _cancel: CancellationToken) -> BoxFuture<'_, migrate::Result<Vec<Vm>>> {
        let vm = Vm {
            path: "/DC0/vm/ok".into(),
            name: "ok".into(),
            moref: "vm-1".into(),
            instance_uuid: None,
            power_state: "poweredOff".into(),
            connection_state: "connected".into(),
            template: false,
            guest: None,
            cpus: Some(1),
            memory_mib: None,
            capacity_bytes: capacities.then_some(1 << 30),
            committed_bytes: None,
        };
        async move { Ok(vec![vm]) }.boxed()
    }

    fn find(
        &self,
        wanted: Vec<String>,
        _cancel: CancellationToken,
    ) -> BoxFuture<'_, migrate::Result<Vec<migrate::Result<Found>>>> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        let find = |vm: String| match vm.as_str() {
            "missing" => Err(migrate::Error::new(migrate::ErrorKind::NotFound, "find VM `missing`: there is none")),
            _ => Ok(Found { path: format!("/DC0/vm/{vm}"), host: Some("host-1".into()) }),
        };
        let found = wanted.into_iter().map(find).collect();
        async move { Ok(found) }.boxed()
    }

    fn export<'a>(
        &'a self,
        request: &'a Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Report>> {
        async move {
            match request.vm.as_str() {
                "ok" => {
                    for received in 0..=100 {
                        observer.progress(&picture(Phase::Copying, received));
                        tokio::task::yield_now().await;
                    }
                    observer.warning("one device is not known here");
                    Ok(report(request))
                }
                "fails" => Err(migrate::Error::new(migrate::ErrorKind::Target, "write into /full: no space left")
                    .with_hint("make room")),
                "flaky" if self.flaky.load(Ordering::SeqCst) > 0 => {
                    self.flaky.fetch_sub(1, Ordering::SeqCst);
                    Err(migrate::Error::new(migrate::ErrorKind::Unreachable, "reach the host of flaky"))
                }
                "flaky" => Ok(report(request)),
                "panics" => panic!("as the test wants it"),
                vm if vm.starts_with("hold") => self.hold(&*observer, cancel).await,
                other => panic!("no test has a VM {other}"),
            }
        }
        .boxed()
    }

    fn operate<'a>(
        &'a self,
        vm: &'a str,
        operation: Operation,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Outcome>> {
        async move {
            if !["ok", "/DC0/vm/ok"].contains(&vm) {
                return Err(migrate::Error::new(migrate::ErrorKind::NotFound, format!("find VM `{vm}`")));
            }
            if matches!(operation, Operation::ShutDown { limit } if limit.as_secs() == 1) {
                return Err(migrate::Error::new(migrate::ErrorKind::Late, "shut the guest down: not off after 1 s"));
            }
            let vm = self.list(true, CancellationToken::new()).await?.remove(0);
            let disk = Disk { label: "Hard disk 1".into(), file: None, capacity_bytes: 1 << 30 };
            Ok(Outcome { done: format!("{operation:?}"), vm, disks: vec![disk], drives: Vec::new() })
        }
        .boxed()
    }
}

/// Converts by the name of the source: `/ok` and `/hold`; verifies `/ok` and `/wrong`.
impl Images for Twin {
    fn convert(
        &self,
        request: conversion::Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<conversion::Report>> {
        async move {
            observer.progress(&picture(Phase::Copying, 100));
            if request.source == Path::new("/hold") {
                cancel.cancelled().await;
                return Err(migrate::Error::new(migrate::ErrorKind::Cancelled, "convert /hold: stopped"));
            }
            let disk = conversion::DiskReport {
                name: "ok.qcow2".into(),
                capacity_bytes: 1000,
                content_blake3: Some("ab".repeat(32)),
            };
            let (disks, output) = (vec![disk], request.output);
            Ok(conversion::Report { output, disks, files: Vec::new(), read_bytes: 100, kept_bytes: 0, copy_ms: 5 })
        }
        .boxed()
    }

    fn inspect<'a>(
        &'a self,
        request: &'a InspectRequest,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<inspect::Report>> {
        async move {
            if request.path == Path::new("/damaged") {
                return Err(migrate::Error::new(migrate::ErrorKind::Image, "open /damaged: no table"));
            }
            let mut machine = inspect::machine::Machine::new("vm");
            machine.vcpus = 2;
            Ok(inspect::Report {
                kind: "vmx",
                package: None,
                machine: Some(machine),
                disks: Vec::new(),
                warnings: Vec::new(),
            })
        }
        .boxed()
    }

    fn verify(
        &self,
        path: PathBuf,
        _observer: Arc<dyn Observer>,
        _cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<verify::Report>> {
        let wrong = verify::Mismatch {
            name: "disk.vmdk".into(),
            algorithm: "SHA256".into(),
            expected: "aa".into(),
            found: "bb".into(),
        };
        let mismatches = if path == Path::new("/wrong") { vec![wrong] } else { Vec::new() };
        let verified = vec!["vm.ovf".into()];
        let report =
            verify::Report { verified, mismatches, not_covered: Vec::new(), missing: Vec::new(), read_bytes: 7 };
        async move { Ok(report) }.boxed()
    }
}

fn picture(phase: Phase, received: u64) -> Progress {
    let file = FileProgress {
        name: "ok-disk-0.vmdk".into(),
        disk: true,
        received_bytes: received,
        covered_bytes: received * 10,
        total_bytes: 1000,
        complete: received == 100,
    };
    Progress { phase, vm_path: Some("/DC0/vm/ok".into()), files: vec![file] }
}

fn report(request: &Request) -> Report {
    Report {
        vm_path: "/DC0/vm/ok".into(),
        instance_uuid: None,
        directory: request.output.clone(),
        descriptor: "ok.ovf".into(),
        files: Vec::new(),
        received_bytes: 100,
        copy_ms: 5,
        snapshot: request.snapshot.map(|policy| SnapshotReport {
            name: "hyper2kvm-export-twin".into(),
            consistency: match policy {
                SnapshotPolicy::Crash => Consistency::Crash,
                SnapshotPolicy::Quiesce => Consistency::Quiesced,
            },
        }),
        proof: Some(Proof::Manifest),
    }
}

/// A private daemon in this process.
pub(crate) struct Daemon {
    pub(crate) client: Client,
    pub(crate) socket: PathBuf,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<anyhow::Result<()>>,
    _directory: TempDir,
    state: TempDir,
    submitted: AtomicUsize,
}

impl Daemon {
    pub(crate) async fn over(twin: &Arc<Twin>) -> Self {
        let engine: Arc<dyn Engine> = Arc::clone(twin) as Arc<dyn Engine>;
        Self::with(Configured {
            engine: Ok(("https://twin:443".into(), engine)),
            images: Arc::clone(twin) as _,
            workers: Workers::process(),
        })
        .await
    }

    /// A daemon without a source; files that lie here are the twin's.
    pub(crate) async fn without_source(twin: &Arc<Twin>, reason: Problem) -> Self {
        Self::with(Configured { engine: Err(reason), images: Arc::clone(twin) as _, workers: Workers::process() }).await
    }

    pub(crate) async fn with(configured: Configured) -> Self {
        let directory = private_directory();
        let socket = directory.path().join("socket");
        let stop = CancellationToken::new();
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let served = {
            let (socket, stop) = (socket.clone(), stop.clone());
            tokio::spawn(async move { private::serve(&socket, store, configured, stop).await })
        };
        let client = connected(&socket).await;
        Self { client, socket, stop, served, _directory: directory, state, submitted: AtomicUsize::new(0) }
    }

    /// Returns what the store has of the jobs after the daemon has ended.
    pub(crate) async fn stored(self) -> Vec<Job> {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        let store = Store::open(self.state.path()).unwrap();
        let page = store.page(Filter { limit: 100, ..Filter::default() }).await.unwrap();
        page.jobs.iter().map(|(id, log)| fold(id, log).unwrap().job).collect()
    }

    pub(crate) async fn submit(&self, vm: &str) -> Job {
        let output = format!("/out/{}", self.submitted.fetch_add(1, Ordering::SeqCst)).into();
        self.start(ExportSpec { vm: vm.into(), output, ..ExportSpec::default() }).await
    }

    pub(crate) async fn start(&self, spec: impl Into<JobSpec>) -> Job {
        self.client.submit(&spec.into()).await.unwrap()
    }

    /// Follows a job until `wanted` is true of a picture, and returns that.
    pub(crate) async fn until(&self, job: &Job, wanted: impl Fn(&Job) -> bool) -> Job {
        let mut events = self.client.events(&job.id, None).await.unwrap();
        loop {
            let job = events.next().await.unwrap().expect("the job does what the test waits for");
            if wanted(&job) {
                return job;
            }
        }
    }
}

/// Makes a directory that only this user can enter.
pub(crate) fn private_directory() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// Returns a client once somebody listens on `socket`.
pub(crate) async fn connected(socket: &Path) -> Client {
    let client = Client::new(Endpoint::unix(socket));
    // Two thousand times 5 ms: a daemon that never listens is a failed test, not one that hangs.
    for _ in 0..2000 {
        match client.info().await {
            Ok(_) => return client,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Connect, "{}", error.chain()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody listens on {}", socket.display());
}
