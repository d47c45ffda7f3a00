//! How far a conversion is: the disks as files of one picture.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::convert;
use crate::export::{FileProgress, Observer, Phase, Progress};

/// Tells the observer how far all disks are.
pub(super) struct Meter<'a> {
    observer: &'a dyn Observer,
    picture: Mutex<Progress>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        let picture = Mutex::new(Progress { phase: Phase::Planning, vm_path: None, files: Vec::new() });
        let meter = Self { observer, picture };
        meter.change(|_| {});
        meter
    }

    /// Says which disks there are: names and sizes of the guest's disks.
    pub(super) fn disks(&self, disks: impl Iterator<Item = (String, u64)>) {
        let file = |(name, total_bytes)| FileProgress { name, disk: true, total_bytes, ..FileProgress::default() };
        self.change(|picture| picture.files = disks.map(file).collect());
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.change(|picture| picture.phase = phase);
    }

    pub(super) fn warning(&self, text: &str) {
        self.observer.warning(text);
    }

    /// Returns what hears of the disk `index`.
    pub(super) fn of_disk(&self, index: usize) -> OfDisk<'_> {
        OfDisk { meter: self, index }
    }

    /// Says that a disk is done.
    pub(super) fn complete(&self, index: usize) {
        self.change(|picture| {
            if let Some(file) = picture.files.get_mut(index) {
                (file.covered_bytes, file.complete) = (file.total_bytes, true);
            }
        });
    }

    /// The observer hears under the lock: an old picture must not come after a newer one.
    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut picture: MutexGuard<'_, Progress> = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut picture);
        self.observer.progress(&picture);
    }
}

/// Hears of one disk.
pub(super) struct OfDisk<'a> {
    meter: &'a Meter<'a>,
    index: usize,
}

impl convert::Observer for OfDisk<'_> {
    fn progress(&self, progress: &convert::Progress) {
        self.meter.change(|picture| {
            picture.phase = match progress.phase {
                convert::Phase::Copying => Phase::Copying,
                convert::Phase::Finishing => Phase::Finishing,
            };
            if let Some(file) = picture.files.get_mut(self.index) {
                file.received_bytes = progress.copied_bytes;
                file.covered_bytes = progress.settled_bytes;
                file.total_bytes = progress.total_bytes;
            }
        });
    }

    fn warning(&self, text: &str) {
        self.meter.warning(text);
    }
}
