//! What runs jobs and answers questions about a source.
//!
//! The daemon knows this trait, and `migrate` behind it; its tests put a twin in the same place, so
//! that queueing, cancelling and the routes are tested without a server.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_api::Problem;
use migrate::export::{Observer, Report, Request};
use migrate::inventory::Vm;
use migrate::source::Source;
use tokio_util::sync::CancellationToken;

use crate::problems;

/// Runs jobs against one source.
pub trait Engine: Send + Sync + 'static {
    /// Lists all VMs, with the `capacities` of their disks or without, unless `cancel` comes first. Leaves no
    /// session behind in either case.
    fn list(&self, capacities: bool, cancel: CancellationToken) -> BoxFuture<'_, migrate::Result<Vec<Vm>>>;

    /// Exports one VM. Returns only when the source holds nothing for us any more, also after an error
    /// or when `cancel` is cancelled.
    fn export<'a>(
        &'a self,
        request: &'a Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Report>>;
}

impl Engine for Source {
    fn list(&self, capacities: bool, cancel: CancellationToken) -> BoxFuture<'_, migrate::Result<Vec<Vm>>> {
        async move { migrate::inventory::list(self, capacities, &cancel).await }.boxed()
    }

    fn export<'a>(
        &'a self,
        request: &'a Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Report>> {
        migrate::export::export(self, request, observer, cancel).boxed()
    }
}

/// The source that the daemon is configured with, or why there is none. Without one the daemon
/// still serves: it then answers with the reason.
#[derive(Clone)]
pub struct Configured {
    /// Scheme, host and port for people, and the engine; or the reason.
    pub engine: Result<(String, Arc<dyn Engine>), Problem>,
}

impl Configured {
    /// Reads the source from `GOVC_*` through `lookup`.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let engine = match Source::from_env(lookup) {
            Ok(source) => Ok((source.display_name(), Arc::new(source) as Arc<dyn Engine>)),
            Err(error) => Err(problems::from_migrate(&error)),
        };
        Self { engine }
    }
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Configured").field(&self.engine.as_ref().map(|(name, _)| name)).finish()
    }
}
