//! What is counted, in the words of Prometheus.
//!
//! Names and meanings are promises: dashboards are built on them.

use std::fmt;
use std::sync::Arc;

use hyper_api::JobState;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type of what [`Metrics::render`] returns.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels<const N: usize> = [(&'static str, String); N];

/// The counts of a process. Clones are the same counts.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    jobs: Family<Labels<1>, Gauge>,
    memory_bytes: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes counts that are all zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let (requests, jobs, memory_bytes) = (Family::default(), Family::default(), Gauge::default());
        registry.register("hypervisord_requests", "Requests by method, route and status", requests.clone());
        registry.register("hypervisord_jobs", "Jobs that are known, by state", Family::clone(&jobs));
        registry.register("process_resident_memory_bytes", "Resident memory", Gauge::clone(&memory_bytes));
        let info: Family<Labels<1>, Gauge> = Family::default();
        info.get_or_create(&[("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("hypervisord_build", "The version that runs, in a label", info);
        Self { shared: Arc::new(Shared { registry, requests, jobs, memory_bytes }) }
    }

    /// Counts a request. `route` is the pattern and not the path, so that ids do not make a series each.
    pub(crate) fn request(&self, method: &str, route: &str, status: u16) {
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        self.shared.requests.get_or_create(&labels).inc();
    }

    /// Returns the text for a scrape, with the numbers of jobs in each state.
    ///
    /// # Errors
    /// When it cannot be written; it goes to memory, so that does not happen.
    pub fn render(&self, jobs: impl IntoIterator<Item = (JobState, i64)>) -> Result<String, fmt::Error> {
        for (state, count) in jobs {
            self.shared.jobs.get_or_create(&[("state", state.word().to_owned())]).set(count);
        }
        if let Some(bytes) = resident_bytes() {
            self.shared.memory_bytes.set(bytes);
        }
        let mut text = String::new();
        encode(&mut text, &self.shared.registry)?;
        Ok(text)
    }
}

/// Returns the resident memory of this process; `None` where the kernel does not say.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<i64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_jobs_are_in_the_text() {
        let metrics = Metrics::new();
        metrics.request("GET", "/api/v1/jobs/{id}", 404);
        metrics.request("GET", "/api/v1/jobs/{id}", 404);
        let text = metrics.render([(JobState::Running, 3), (JobState::Failed, 0)]).unwrap();
        for line in [
            "hypervisord_requests_total{method=\"GET\",route=\"/api/v1/jobs/{id}\",status=\"404\"} 2",
            "hypervisord_jobs{state=\"running\"} 3",
            "hypervisord_jobs{state=\"failed\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is in\n{text}");
        }
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
