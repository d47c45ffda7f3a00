//! Folds what an export says into what a caller sees: sums, rates and estimates.
//!
//! Pure: `now` is passed in, as the time since any fixed moment. Rates are taken over a sliding
//! window, so that they follow a change within seconds and do not jump with every packet.

use std::collections::VecDeque;
use std::time::Duration;

use hyper_api::{Amounts, FileProgress, Progress};
use migrate::export::Phase;

/// Rates are means over this time: long enough to cover the bursts of a server that reads ahead,
/// short enough that a stall shows at once.
const WINDOW: Duration = Duration::from_secs(5);

/// No rate before this much was measured: the first packets arrive faster than the disk can go on.
const MEASURED_MIN: Duration = Duration::from_millis(500);

/// Samples closer than this replace each other; bounds a window to about 50 of them.
const SAMPLE_SPACING: Duration = Duration::from_millis(100);

/// The progress of one export.
#[derive(Debug, Default)]
pub(super) struct Meters {
    files: Vec<migrate::export::FileProgress>,
    meters: Vec<Meter>,
    whole: Meter,
    copying: bool,
}

impl Meters {
    /// Takes what the export said at `now`.
    pub(super) fn observe(&mut self, now: Duration, seen: &migrate::export::Progress) {
        self.copying = seen.phase == Phase::Copying;
        self.files.clone_from(&seen.files);
        self.meters.resize_with(seen.files.len(), Meter::default);
        for (meter, file) in self.meters.iter_mut().zip(&self.files) {
            meter.add(now, file.received_bytes, file.covered_bytes);
        }
        let (received, covered) = self.files.iter().fold((0u64, 0u64), |(received, covered), file| {
            (received.saturating_add(file.received_bytes), covered.saturating_add(file.covered_bytes))
        });
        self.whole.add(now, received, covered);
    }

    /// Returns the picture at `now`. Rates and estimates are there only while bytes are moving.
    pub(super) fn progress(&self, now: Duration) -> Progress {
        let files: Vec<_> =
            self.files.iter().zip(&self.meters).map(|(file, meter)| self.file(now, file, meter)).collect();
        let sum =
            |part: fn(&Amounts) -> u64| files.iter().fold(0u64, |sum, file| sum.saturating_add(part(&file.amounts)));
        let rate = self.whole.rates(now).filter(|_| self.copying).map(|rates| rates.received);
        let amounts = Amounts {
            received_bytes: sum(|amounts| amounts.received_bytes),
            covered_bytes: sum(|amounts| amounts.covered_bytes),
            total_bytes: sum(|amounts| amounts.total_bytes),
            rate_bytes_per_s: rate,
            eta_s: slowest(&files),
        };
        Progress { amounts, files }
    }

    fn file(&self, now: Duration, file: &migrate::export::FileProgress, meter: &Meter) -> FileProgress {
        let rates = meter.rates(now).filter(|_| self.copying && !file.complete);
        let left = file.total_bytes.saturating_sub(file.covered_bytes);
        let amounts = Amounts {
            received_bytes: file.received_bytes,
            covered_bytes: file.covered_bytes,
            total_bytes: file.total_bytes,
            rate_bytes_per_s: rates.map(|rates| rates.received),
            eta_s: rates.filter(|_| file.total_bytes > 0).and_then(|rates| seconds(left, rates.covered)),
        };
        FileProgress { name: file.name.clone(), disk: file.disk, complete: file.complete, amounts }
    }
}

/// Returns the estimate of the whole: all disks are fetched at once, so the slowest decides. None
/// when one of them gives no estimate. Files that are no disks are too small to matter.
fn slowest(files: &[FileProgress]) -> Option<u64> {
    let open = files.iter().filter(|file| file.disk && !file.complete);
    open.map(|file| file.amounts.eta_s).try_fold(None, |slowest, eta| Some(slowest.max(Some(eta?)))).flatten()
}

/// Returns how long `bytes` take, rounded up; none at a standstill.
fn seconds(bytes: u64, bytes_per_s: u64) -> Option<u64> {
    (bytes_per_s > 0).then(|| bytes.div_ceil(bytes_per_s))
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    received: u64,
    covered: u64,
}

/// Bytes per second over [`WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    received: u64,
    covered: u64,
}

/// The samples of one window; the first may be older, so that the window is always full.
#[derive(Debug, Default)]
struct Meter {
    samples: VecDeque<Sample>,
}

impl Meter {
    fn add(&mut self, at: Duration, received: u64, covered: u64) {
        let next = Sample { at, received, covered };
        let begun_again = self.samples.back().is_some_and(|last| received < last.received || covered < last.covered);
        if begun_again {
            self.samples.clear();
        }
        // The last but one is the anchor: only a sample that is close to it is replaced.
        let close = self.samples.len() >= 2
            && self
                .samples
                .get(self.samples.len() - 2)
                .is_some_and(|anchor| at.saturating_sub(anchor.at) < SAMPLE_SPACING);
        if close {
            self.samples.pop_back();
        }
        self.samples.push_back(next);
        while self.samples.get(1).is_some_and(|second| at.saturating_sub(second.at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    fn rates(&self, now: Duration) -> Option<Rates> {
        let last = self.samples.back()?;
        let from = now.saturating_sub(WINDOW);
        // The youngest sample at or before the window's beginning; else the oldest there is.
        let first = self.samples.iter().rev().find(|sample| sample.at <= from).or_else(|| self.samples.front())?;
        let elapsed = now.saturating_sub(first.at);
        let per_second = |bytes: u64| {
            let rate = u128::from(bytes) * 1_000_000 / elapsed.as_micros().max(1);
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        (elapsed >= MEASURED_MIN).then(|| Rates {
            received: per_second(last.received - first.received),
            covered: per_second(last.covered - first.covered),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk(received: u64, covered: u64, total: u64) -> migrate::export::FileProgress {
        migrate::export::FileProgress {
            name: "d.vmdk".into(),
            disk: true,
            received_bytes: received,
            covered_bytes: covered,
            total_bytes: total,
            complete: covered == total,
        }
    }

    fn seen(files: Vec<migrate::export::FileProgress>) -> migrate::export::Progress {
        migrate::export::Progress { phase: Phase::Copying, vm_path: None, files }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Feeds one disk that receives 1 MiB and covers 4 MiB every 100 ms, of 400 MiB.
    fn steady(until_ms: u64) -> Meters {
        let mut meters = Meters::default();
        for tick in 0..=until_ms / 100 {
            meters.observe(ms(tick * 100), &seen(vec![disk(tick * MIB, tick * 4 * MIB, 400 * MIB)]));
        }
        meters
    }

    #[test]
    fn a_steady_stream_has_its_rate_and_its_estimate() {
        let progress = steady(2000).progress(ms(2000));
        assert_eq!(progress.files[0].amounts.rate_bytes_per_s, Some(10 * MIB));
        assert_eq!(progress.amounts.rate_bytes_per_s, Some(10 * MIB));
        // 320 MiB to cover at 40 MiB/s.
        assert_eq!((progress.files[0].amounts.eta_s, progress.amounts.eta_s), (Some(8), Some(8)));
    }

    #[test]
    fn there_is_no_rate_before_half_a_second() {
        assert_eq!(steady(400).progress(ms(400)).amounts.rate_bytes_per_s, None);
        assert_eq!(steady(500).progress(ms(500)).amounts.rate_bytes_per_s, Some(10 * MIB));
    }

    #[test]
    fn a_stall_brings_the_rate_to_zero_and_takes_the_estimate_away() {
        let meters = steady(6000);
        assert_eq!(meters.progress(ms(8500)).amounts.rate_bytes_per_s, Some(5 * MIB));
        let stalled = meters.progress(ms(12_000)).amounts;
        assert_eq!((stalled.rate_bytes_per_s, stalled.eta_s), (Some(0), None));
    }

    #[test]
    fn an_old_speed_is_forgotten_after_the_window() {
        let mut meters = steady(1000);
        for second in 2..=10 {
            meters.observe(ms(second * 1000), &seen(vec![disk(10 * MIB + second * MIB, 40 * MIB, 400 * MIB)]));
        }
        assert_eq!(meters.progress(ms(10_000)).amounts.rate_bytes_per_s, Some(MIB));
    }

    #[test]
    fn a_disk_that_begins_again_is_measured_anew() {
        let mut meters = steady(3000);
        meters.observe(ms(3100), &seen(vec![disk(0, 0, 400 * MIB)]));
        assert_eq!(meters.progress(ms(3100)).amounts.rate_bytes_per_s, None);
        meters.observe(ms(4100), &seen(vec![disk(2 * MIB, 2 * MIB, 400 * MIB)]));
        assert_eq!(meters.progress(ms(4100)).amounts.rate_bytes_per_s, Some(2 * MIB));
    }

    #[test]
    fn the_slowest_disk_decides_and_one_without_an_estimate_spoils_it() {
        let mut meters = Meters::default();
        for second in 0..=2 {
            let files = vec![disk(second, second * MIB, 10 * MIB), disk(second, second * MIB, 60 * MIB)];
            meters.observe(ms(second * 1000), &seen(files));
        }
        assert_eq!(meters.progress(ms(2000)).amounts.eta_s, Some(58));
        meters.observe(ms(2500), &seen(vec![disk(5, 3 * MIB, 10 * MIB), disk(0, 0, 60 * MIB)]));
        assert_eq!(meters.progress(ms(2600)).amounts.eta_s, None);
    }

    #[test]
    fn finished_disks_and_other_phases_have_no_rate() {
        let mut meters = steady(2000);
        meters.observe(ms(2100), &seen(vec![disk(100 * MIB, 400 * MIB, 400 * MIB)]));
        let file = meters.progress(ms(2100)).files[0].amounts;
        assert_eq!((file.rate_bytes_per_s, file.eta_s), (None, None));
        let mut last = seen(vec![disk(100 * MIB, 400 * MIB, 400 * MIB)]);
        last.phase = Phase::Finishing;
        meters.observe(ms(2200), &last);
        assert_eq!(meters.progress(ms(2200)).amounts.rate_bytes_per_s, None);
    }

    #[test]
    fn a_window_stays_small_however_often_it_is_fed() {
        let mut meters = Meters::default();
        for tick in 0..20_000 {
            meters.observe(ms(tick), &seen(vec![disk(tick, tick, 1 << 40)]));
        }
        assert!(meters.whole.samples.len() <= 53, "{} samples", meters.whole.samples.len());
        assert_eq!(meters.progress(ms(19_999)).amounts.rate_bytes_per_s, Some(1000));
    }
}
