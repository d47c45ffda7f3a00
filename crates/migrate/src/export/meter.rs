//! How far an export is: counters that the copying threads move, and the picture made of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{FileProgress, Hold, Observer, Phase, Progress};

/// Observers hear at most this often of moving bytes.
const TICK: Duration = Duration::from_millis(100);

/// The counters of one file.
#[derive(Debug)]
pub(super) struct FileMeter {
    pub(super) name: String,
    pub(super) disk: bool,
    /// Capacity of a disk, announced size of anything else; 0 when unknown.
    pub(super) total_bytes: u64,
    received_bytes: AtomicU64,
    covered_bytes: AtomicU64,
    complete: AtomicBool,
}

impl FileMeter {
    pub(super) fn new(name: String, disk: bool, total_bytes: u64) -> Self {
        let zero = || AtomicU64::new(0);
        let complete = AtomicBool::new(false);
        Self { name, disk, total_bytes, received_bytes: zero(), covered_bytes: zero(), complete }
    }

    /// Sets both counters; they go back to zero when a stream is begun again.
    pub(super) fn set(&self, received_bytes: u64, covered_bytes: u64) {
        self.received_bytes.store(received_bytes, Ordering::Relaxed);
        self.covered_bytes.store(covered_bytes, Ordering::Relaxed);
    }

    pub(super) fn complete(&self, received_bytes: u64) {
        let covered = if self.disk { self.total_bytes } else { received_bytes };
        self.set(received_bytes, covered);
        self.complete.store(true, Ordering::Relaxed);
    }

    fn progress(&self) -> FileProgress {
        FileProgress {
            name: self.name.clone(),
            disk: self.disk,
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            covered_bytes: self.covered_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes,
            complete: self.complete.load(Ordering::Relaxed),
        }
    }
}

/// Tells the observer where the export is.
#[derive(Clone)]
pub(super) struct Reporter {
    observer: Arc<dyn Observer>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    phase: Phase,
    vm_path: Option<String>,
    files: Vec<Arc<FileMeter>>,
}

impl Reporter {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Self {
        let shared = Shared { phase: Phase::Connecting, vm_path: None, files: Vec::new() };
        let reporter = Self { observer, shared: Arc::new(Mutex::new(shared)) };
        reporter.change(|_| {});
        reporter
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.change(|shared| shared.phase = phase);
    }

    pub(super) fn vm_path(&self, path: &str) {
        self.change(|shared| shared.vm_path = Some(path.to_owned()));
    }

    pub(super) fn files(&self, files: Vec<Arc<FileMeter>>) {
        self.change(|shared| shared.files = files);
    }

    pub(super) fn warning(&self, text: &str) {
        self.observer.warning(text);
    }

    pub(super) fn holding(&self, hold: &Hold) {
        self.observer.holding(hold);
    }

    pub(super) fn released(&self, lease: &str) {
        self.observer.released(lease);
    }

    /// Returns the share of guest bytes that have arrived, 0 to 100.
    pub(super) fn percent(&self) -> i32 {
        let files = self.lock().progress().files;
        let total: u64 = files.iter().map(|file| file.total_bytes).sum();
        let covered: u64 = files.iter().map(|file| file.covered_bytes.min(file.total_bytes)).sum();
        let percent = u128::from(covered) * 100 / u128::from(total.max(1));
        i32::try_from(percent).unwrap_or(100)
    }

    /// Reports moving bytes until the handle is aborted; `each` runs with every report.
    pub(super) fn start_ticking(&self, each: impl Fn(i32) + Send + 'static) -> JoinHandle<()> {
        let reporter = self.clone();
        tokio::spawn(async move {
            let mut last = None;
            loop {
                tokio::time::sleep(TICK).await;
                each(reporter.percent());
                // Told under the lock: an old picture must not come after a newer one.
                let shared = reporter.lock();
                let progress = shared.progress();
                if last.as_ref() != Some(&progress) {
                    reporter.observer.progress(&progress);
                    last = Some(progress);
                }
            }
        })
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut shared = self.lock();
        change(&mut shared);
        self.observer.progress(&shared.progress());
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn progress(&self) -> Progress {
        Progress {
            phase: self.phase,
            vm_path: self.vm_path.clone(),
            files: self.files.iter().map(|file| file.progress()).collect(),
        }
    }
}
