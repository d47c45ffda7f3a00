//! What runs jobs and answers questions about a source.
//!
//! The daemon knows these traits, and `migrate` behind them; its tests put a twin in the same place, so
//! that queueing, cancelling and the routes are tested without a server.
//!
//! * [`Engine`]: what needs the source.
//! * [`Images`]: what is done to files that lie here, with or without a source.

mod entitled;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_api::{InspectRequest, JobSpec, Problem, ProblemKind};
use migrate::export::{Observer, Report, Request};
use migrate::inventory::{Found, Vm};
use migrate::source::Source;
use migrate::vm::{Operation, Outcome};
use migrate::{conversion, inspect, verify};
use tokio_util::sync::CancellationToken;

use crate::caller::Who;
use crate::problems;
use crate::workers::Workers;
use entitled::Entitled;

/// Runs jobs against one source.
pub trait Engine: Send + Sync + 'static {
    /// Lists all VMs, with the `capacities` of their disks or without, unless `cancel` comes first. Leaves no
    /// session behind in either case.
    fn list(&self, capacities: bool, cancel: CancellationToken) -> BoxFuture<'_, migrate::Result<Vec<Vm>>>;

    /// Finds the VMs that `wanted` means, in its order, unless `cancel` comes first. Leaves no session behind.
    fn find(
        &self,
        wanted: Vec<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, migrate::Result<Vec<migrate::Result<Found>>>>;

    /// Exports one VM. Returns only when the source holds nothing for us any more, also after an error
    /// or when `cancel` is cancelled.
    fn export<'a>(
        &'a self,
        request: &'a Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Report>>;

    /// Does something small to one VM, unless `cancel` comes first. Leaves no session behind in any case.
    fn operate<'a>(
        &'a self,
        vm: &'a str,
        operation: Operation,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Outcome>>;
}

impl Engine for Source {
    fn list(&self, capacities: bool, cancel: CancellationToken) -> BoxFuture<'_, migrate::Result<Vec<Vm>>> {
        async move { migrate::inventory::list(self, capacities, &cancel).await }.boxed()
    }

    fn find(
        &self,
        wanted: Vec<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, migrate::Result<Vec<migrate::Result<Found>>>> {
        async move { migrate::inventory::find(self, &wanted, &cancel).await }.boxed()
    }

    fn export<'a>(
        &'a self,
        request: &'a Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Report>> {
        migrate::export::export(self, request, observer, cancel).boxed()
    }

    fn operate<'a>(
        &'a self,
        vm: &'a str,
        operation: Operation,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Outcome>> {
        async move { migrate::vm::operate(self, vm, operation, &cancel).await }.boxed()
    }
}

/// Works on disk images and packages that lie here.
pub trait Images: Send + Sync + 'static {
    /// Writes a disk or a package in another format. Returns only when nothing is written any more, also
    /// after an error or when `cancel` is cancelled.
    fn convert(
        &self,
        request: conversion::Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<conversion::Report>>;

    /// Says what a disk image or a package is.
    fn inspect<'a>(
        &'a self,
        request: &'a InspectRequest,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<inspect::Report>>;

    /// Compares the files of a package with its manifest.
    fn verify(
        &self,
        path: PathBuf,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<verify::Report>>;
}

/// The files of this machine, with the rights of the task that asks.
#[derive(Clone, Copy, Debug)]
pub struct LocalImages;

impl Images for LocalImages {
    fn convert(
        &self,
        request: conversion::Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<conversion::Report>> {
        conversion::convert(request, observer, cancel).boxed()
    }

    fn inspect<'a>(
        &'a self,
        request: &'a InspectRequest,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<inspect::Report>> {
        let options = inspect::OpenOptions { follow_outside: request.follow_outside, is_raw: request.source_is_raw };
        inspect::inspect(request.path.clone(), options, cancel).boxed()
    }

    fn verify(
        &self,
        path: PathBuf,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<verify::Report>> {
        verify::verify(path, observer, cancel).boxed()
    }
}

/// The source that the daemon is configured with, or why there is none. Without one the daemon
/// still serves: it then answers with the reason.
#[derive(Clone)]
pub struct Configured {
    /// Scheme, host and port for people, and the engine; or the reason.
    pub engine: Result<(String, Arc<dyn Engine>), Problem>,
    /// What works on files that lie here.
    pub images: Arc<dyn Images>,
    /// Who does the work of whom.
    pub workers: Workers,
}

impl Configured {
    /// Makes a source that cannot be used, for this reason.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self {
            engine: Err(problems::problem(ProblemKind::Usage, reason)),
            images: Arc::new(LocalImages),
            workers: Workers::process(),
        }
    }

    /// Reads the source from `GOVC_*` through `lookup`.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let engine = match Source::from_env(lookup) {
            Ok(source) => Ok((source.display_name(), Arc::new(source) as Arc<dyn Engine>)),
            Err(error) => Err(problems::from_migrate(&error)),
        };
        Self { engine, images: Arc::new(LocalImages), workers: Workers::process() }
    }

    /// Returns the same for a job of this caller: files are touched with the rights that the job has, and no others.
    ///
    /// # Errors
    /// Those of [`Workers::rights`].
    pub fn entitled(&self, who: &Who, spec: &JobSpec) -> Result<Self, Box<Problem>> {
        let rights = self.workers.rights(who, spec)?;
        let engine = self.engine.clone().map(|(name, inner)| {
            let engine: Arc<dyn Engine> = Arc::new(Entitled { inner, rights: rights.clone() });
            (name, engine)
        });
        let images = Arc::new(Entitled { inner: Arc::clone(&self.images), rights });
        Ok(Self { engine, images, workers: self.workers.clone() })
    }

    /// Refuses a job that cannot run here: an export without a source, or one of a kind that this version
    /// does not know.
    ///
    /// # Errors
    /// The reason why there is no source; [`ProblemKind::Usage`].
    pub fn check(&self, spec: &JobSpec) -> Result<(), Box<Problem>> {
        match spec {
            JobSpec::Export(_) => self.engine.as_ref().map(drop).map_err(|problem| Box::new(problem.clone())),
            JobSpec::Convert(_) | JobSpec::Verify(_) => Ok(()),
            _ => Err(problems::refusal(ProblemKind::Usage, "accept a job: this version does not know its kind")),
        }
    }
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Configured").field(&self.engine.as_ref().map(|(name, _)| name)).finish()
    }
}
