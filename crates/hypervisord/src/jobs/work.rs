//! What each kind of job does, and what it leaves in the job's picture.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use hyper_api::{Job, JobSpec};
use migrate::export::{Observer, Request};
use migrate::{Error, ErrorKind, conversion, export, verify};
use tokio_util::sync::CancellationToken;

use super::wire;
use crate::engine::Configured;
use crate::exports;

/// What a job has made.
#[derive(Debug)]
pub(super) enum Done {
    Exported(export::Report),
    Converted(conversion::Request, conversion::Report),
    Verified(verify::Report),
}

/// Starts the work of a job; nothing is done before the future is polled. With `adopt` a finished package that
/// stands at the target is this job's own.
pub(super) fn start(
    configured: &Configured,
    spec: &JobSpec,
    adopt: bool,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> BoxFuture<'static, migrate::Result<Done>> {
    match spec {
        JobSpec::Export(spec) => match configured.engine.clone() {
            Ok((_, engine)) => {
                let request = Request { adopt, ..exports::request(spec) };
                async move { engine.export(&request, observer, cancel).await.map(Done::Exported) }.boxed()
            }
            Err(problem) => refused(ErrorKind::Usage, problem.error),
        },
        JobSpec::Convert(spec) => match wire::conversion(spec) {
            Some(request) => {
                let work = configured.images.convert(request.clone(), observer, cancel);
                work.map_ok(|report| Done::Converted(request, report)).boxed()
            }
            None => refused(ErrorKind::Usage, "convert: this version does not know the format"),
        },
        JobSpec::Verify(spec) => {
            configured.images.verify(spec.path.clone(), observer, cancel).map_ok(Done::Verified).boxed()
        }
        _ => refused(ErrorKind::Usage, "run a job: this version does not know its kind"),
    }
}

fn refused(kind: ErrorKind, why: impl Into<String>) -> BoxFuture<'static, migrate::Result<Done>> {
    let error = Error::new(kind, why);
    async { Err(error) }.boxed()
}

impl Done {
    /// Puts the report into the job's picture.
    ///
    /// # Errors
    /// What makes the job a failed one although it came to its end.
    pub(super) fn into_job(self, job: &mut Job) -> migrate::Result<()> {
        match self {
            Self::Exported(report) => {
                job.vm_path = Some(report.vm_path.clone());
                job.report = Some(wire::report(report));
                Ok(())
            }
            Self::Converted(request, report) => {
                job.conversion = Some(wire::converted(&request, report));
                Ok(())
            }
            Self::Verified(report) => {
                let JobSpec::Verify(spec) = &job.spec else { return Ok(()) };
                let checked = report.check(&spec.path);
                job.verification = Some(wire::verified(report));
                checked
            }
        }
    }
}
