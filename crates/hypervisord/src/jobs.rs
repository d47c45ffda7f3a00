//! All jobs of this process, in memory.
//!
//! ```text
//!  submit ─► Jobs ─► one task per job (run) ─► watch of the job's picture ─► routes, event streams
//!                         ▲
//!  cancel, drain ─────────┘ by token
//! ```
//!
//! Each job's state is owned by its task; everybody else sees pictures. What it does not do: nothing
//! survives the process (the durable store comes with the daemon mode), and nothing knows HTTP.

pub mod fold;
mod run;
mod wire;
mod work;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_api::{ExportSpec, Job, JobId, JobSpec, JobState, Phase, Problem, ProblemKind, Progress};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use wire::vm as vm_on_wire;

use crate::engine::Configured;
use crate::problems::refusal;

/// Jobs at work at once; others are pending. Each export has one connection per disk, and a host's
/// file service slows down beyond about this many VMs.
const RUNNING_MAX: usize = 4;

/// Jobs kept. Beyond it the oldest that has ended is forgotten; with none ended a submit is refused.
const KEPT_MAX: usize = 1000;

/// The jobs of this process. Clones are the same jobs.
#[derive(Clone, Debug)]
pub struct Jobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Oldest first.
    entries: Mutex<VecDeque<Entry>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    slots: Arc<Semaphore>,
}

#[derive(Debug)]
struct Entry {
    id: JobId,
    cancel: CancellationToken,
    pictures: watch::Receiver<Arc<Job>>,
}

impl Default for Jobs {
    fn default() -> Self {
        let shared = Shared {
            entries: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            slots: Arc::new(Semaphore::new(RUNNING_MAX)),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Jobs {
    /// Accepts a job and starts it as soon as there is room.
    ///
    /// # Errors
    /// [`ProblemKind::Usage`] for a request that makes no sense, [`ProblemKind::Busy`] when too many
    /// jobs are waiting or the daemon is stopping; besides what [`Configured::check`] gives.
    pub fn submit(&self, configured: &Configured, spec: JobSpec) -> Result<Arc<Job>, Box<Problem>> {
        configured.check(&spec)?;
        check(&spec)?;
        let mut entries = self.entries();
        if self.shared.stopping.is_cancelled() {
            return Err(refusal(ProblemKind::Busy, "accept a job: the daemon is stopping"));
        }
        make_room(&mut entries)?;
        let job = Arc::new(accepted(spec));
        let (sender, pictures) = watch::channel(Arc::clone(&job));
        let cancel = self.shared.stopping.child_token();
        entries.push_back(Entry { id: job.id.clone(), cancel: cancel.clone(), pictures });
        self.shared.tasks.spawn(run::run(configured.clone(), cancel, Arc::clone(&self.shared.slots), sender));
        Ok(job)
    }

    /// Returns all jobs, newest first.
    pub fn list(&self) -> Vec<Arc<Job>> {
        self.entries().iter().rev().map(|entry| Arc::clone(&entry.pictures.borrow())).collect()
    }

    /// Returns the pictures of one job, the present one first.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`].
    pub fn watch(&self, id: &JobId) -> Result<watch::Receiver<Arc<Job>>, Box<Problem>> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == *id).ok_or_else(|| not_found(id))?;
        Ok(entry.pictures.clone())
    }

    /// Asks for a stop of one job. It has ended when its picture says so, which takes as long as giving
    /// the VM back. Asking again changes nothing.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; [`ProblemKind::State`] when it has completed or failed.
    pub fn cancel(&self, id: &JobId) -> Result<Arc<Job>, Box<Problem>> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == *id).ok_or_else(|| not_found(id))?;
        let job = Arc::clone(&entry.pictures.borrow());
        if matches!(job.state, JobState::Completed | JobState::Failed) {
            return Err(refusal(ProblemKind::State, format!("cancel job {id}: it has {}", job.state.word())));
        }
        entry.cancel.cancel();
        Ok(job)
    }

    /// Runs a question to the source beside the jobs, so that [`Self::drain`] waits for its end too. The
    /// question gets a token that says when to stop: one that was dropped midway would leave a session
    /// behind. A caller that goes away does not end it.
    ///
    /// # Errors
    /// [`ProblemKind::Busy`] when the daemon stops before there is an answer.
    pub async fn ask<T, F>(&self, question: impl FnOnce(CancellationToken) -> F) -> Result<T, Box<Problem>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let stopping = self.shared.stopping.clone();
        let question = question(stopping.child_token());
        let asked = self.shared.tasks.spawn(async move {
            let late = async {
                stopping.cancelled().await;
                tokio::time::sleep(run::ANSWER_GRACE).await;
            };
            tokio::select! {
                answer = question => Ok(answer),
                () = late => Err(refusal(ProblemKind::Busy, "ask the source: the daemon is stopping")),
            }
        });
        asked.await.unwrap_or_else(|_| Err(refusal(ProblemKind::Internal, "ask the source: the question panicked")))
    }

    /// Returns true while jobs are taken.
    pub fn is_accepting(&self) -> bool {
        !self.shared.stopping.is_cancelled()
    }

    /// Refuses new jobs, stops all others and returns when every one of them has given its VM back.
    pub async fn drain(&self) {
        // Under the lock, so that no submit slips in between.
        {
            let _entries = self.entries();
            self.shared.stopping.cancel();
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // Nothing that holds the lock can leave the list half changed.
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(id: &JobId) -> Box<Problem> {
    refusal(ProblemKind::NotFound, format!("find job {id}: there is none with this id"))
}

fn make_room(entries: &mut VecDeque<Entry>) -> Result<(), Box<Problem>> {
    if entries.len() < KEPT_MAX {
        return Ok(());
    }
    match entries.iter().position(|entry| entry.pictures.borrow().state.is_final()) {
        Some(oldest) => {
            entries.remove(oldest);
            Ok(())
        }
        None => Err(refusal(ProblemKind::Busy, format!("accept a job: {KEPT_MAX} are not done yet"))),
    }
}

fn accepted(spec: JobSpec) -> Job {
    Job {
        id: JobId::new(uuid::Uuid::new_v4().to_string()),
        revision: 0,
        spec,
        state: JobState::Pending,
        phase: Phase::Waiting,
        vm_path: None,
        progress: Progress::default(),
        warnings: Vec::new(),
        report: None,
        conversion: None,
        verification: None,
        problem: None,
        created_at: run::timestamp(),
        started_at: None,
        ended_at: None,
    }
}

/// Control characters that a VM's name may hold: vSphere allows them and XML carries them, so `list`
/// shows such VMs. Whoever prints them escapes them.
const NAMEABLE: [char; 3] = ['\t', '\n', '\r'];

/// Refuses what can be seen to be wrong before anything is asked of the source.
fn check(spec: &JobSpec) -> Result<(), Box<Problem>> {
    match spec {
        JobSpec::Export(spec) => check_vm(spec)?,
        JobSpec::Convert(spec) => check_path("source", &spec.source)?,
        JobSpec::Verify(spec) => check_path("package", &spec.path)?,
        _ => {}
    }
    spec.output().map_or(Ok(()), |output| check_path("output", output))
}

fn check_vm(spec: &ExportSpec) -> Result<(), Box<Problem>> {
    if spec.vm.trim().is_empty() {
        return Err(wrong("it names no VM"));
    }
    if spec.vm.contains(|c: char| c.is_control() && !NAMEABLE.contains(&c)) {
        return Err(wrong("the VM's name holds control characters that no server can send"));
    }
    Ok(())
}

fn check_path(what: &str, path: &Path) -> Result<(), Box<Problem>> {
    if !path.is_absolute() {
        return Err(wrong(&format!("the path of the {what} is not absolute")));
    }
    if path.to_string_lossy().contains(char::is_control) {
        return Err(wrong(&format!("the path of the {what} holds control characters")));
    }
    Ok(())
}

fn wrong(why: &str) -> Box<Problem> {
    refusal(ProblemKind::Usage, format!("accept a job: {why}"))
}

#[cfg(test)]
mod tests {
    use hyper_api::VerifySpec;

    use super::*;

    #[test]
    fn a_request_that_makes_no_sense_is_refused_at_once() {
        for (vm, output, why) in [
            ("", "/x", "names no VM"),
            (" ", "/x", "names no VM"),
            ("a\u{1b}[2J", "/x", "control characters"),
            ("a", "x", "not absolute"),
            ("a", "/x\n", "control characters"),
        ] {
            let spec = ExportSpec { vm: vm.into(), output: output.into(), ..ExportSpec::default() };
            let refused = check(&spec.into()).unwrap_err();
            assert_eq!(refused.kind, ProblemKind::Usage);
            assert!(refused.error.contains(why), "{}", refused.error);
        }
        for vm in ["/DC0/vm/a", "/DC0/vm/two\nlines", "/DC0/vm/tab\tand\rreturn"] {
            check(&ExportSpec { vm: vm.into(), output: "/x".into(), ..ExportSpec::default() }.into()).unwrap();
        }
        for (path, why) in [("x", "not absolute"), ("/x\n", "control characters")] {
            let refused = check(&VerifySpec { path: path.into() }.into()).unwrap_err();
            assert!(refused.error.contains(why), "{}", refused.error);
        }
    }
}
