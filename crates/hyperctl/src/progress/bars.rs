//! Progress as bars: one per disk and one for the whole.

use hyper_api::{Amounts, Job};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines;
use crate::escape::escape;
use crate::human;

/// How a bar looks. The message holds what bytes, rate and estimate are: they come from the daemon,
/// which measures them where the bytes are.
const TEMPLATE: &str = "{prefix:<28!} [{bar:24}] {percent:>3}% {wide_msg}";

/// The same before anything is known of the size: a bar would look full.
const TEMPLATE_UNSIZED: &str = "{prefix:<28!} {wide_msg}";

/// The bars of one job.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    /// One per disk, in the order of the job's files.
    disks: Vec<ProgressBar>,
    whole: ProgressBar,
}

impl Bars {
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let whole = all.add(bar("total"));
        Self { all, disks: Vec::new(), whole }
    }

    pub(super) fn update(&mut self, job: &Job) {
        let disks: Vec<_> = job.progress.files.iter().filter(|file| file.disk).collect();
        for file in disks.iter().skip(self.disks.len()) {
            self.disks.push(self.all.insert_before(&self.whole, bar(&escape(&file.name))));
        }
        for (bar, file) in self.disks.iter().zip(&disks) {
            show(bar, &file.amounts, if file.complete { "done" } else { "" });
        }
        show(&self.whole, &job.progress.amounts, &lines::words(job));
    }

    /// Runs `print` with the bars out of the way.
    pub(super) fn around(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    pub(super) fn clear(self) {
        for bar in self.disks.iter().chain([&self.whole]) {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    ProgressBar::no_length().with_style(style(TEMPLATE_UNSIZED)).with_prefix(name.to_owned())
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn show(bar: &ProgressBar, amounts: &Amounts, what: &str) {
    if amounts.total_bytes > 0 && bar.length() != Some(amounts.total_bytes) {
        bar.set_length(amounts.total_bytes);
        bar.set_style(style(TEMPLATE));
    }
    bar.set_position(amounts.covered_bytes);
    bar.set_message(message(amounts, what));
}

fn message(amounts: &Amounts, what: &str) -> String {
    let rate = amounts.rate_bytes_per_s.map(human::rate);
    let eta = amounts.eta_s.map(|eta| format!("ETA {}", human::seconds(eta)));
    let parts = [Some(human::bytes(amounts.received_bytes)), rate, eta, (!what.is_empty()).then(|| what.to_owned())];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_understood() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        ProgressStyle::with_template(TEMPLATE_UNSIZED).unwrap();
    }

    #[test]
    fn a_message_says_what_is_known() {
        let mut amounts = Amounts { received_bytes: 3 << 20, ..Amounts::default() };
        assert_eq!(message(&amounts, "preparing"), "3.0 MiB  preparing");
        (amounts.rate_bytes_per_s, amounts.eta_s) = (Some(1 << 20), Some(65));
        assert_eq!(message(&amounts, ""), "3.0 MiB  1.0 MiB/s  ETA 1 min 05 s");
    }

    #[test]
    fn bars_follow_a_job_and_never_lose_one() {
        let sample = include_str!("../../../hyper-api/tests/samples/job-running-0.1.json");
        let job: Job = serde_json::from_str(sample).unwrap();
        let mut bars = Bars::new();
        bars.update(&job);
        bars.update(&job);
        assert_eq!(bars.disks.len(), 1, "nvram has no bar");
        assert_eq!(bars.disks[0].position(), job.progress.files[0].amounts.covered_bytes);
        assert_eq!(bars.whole.length(), Some(job.progress.amounts.total_bytes));
        bars.clear();
    }
}
