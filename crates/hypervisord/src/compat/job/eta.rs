//! How much longer a job takes.

use serde::Serialize;

use super::super::{duration, time};
use super::View;
use super::progress::{JobProgress, Peak, UNKNOWN, rate, remaining};

/// The reply of `GET /jobs/eta/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EtaReply {
    job_id: String,
    status: &'static str,
    timestamp: String,
    estimated_remaining: String,
    eta: Eta,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Eta {
    Known(Estimate),
    Unknown { message: &'static str },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Estimate {
    estimated_completion: String,
    time_remaining: String,
    time_remaining_seconds: u64,
    elapsed: String,
    elapsed_seconds: u64,
    percent_complete: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_rate_mbps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_remaining: Option<u64>,
}

impl View {
    /// Returns the reply of `GET /jobs/eta/{id}`.
    pub fn eta(&self, picture: &hyper_api::Job, peak: &mut Peak) -> EtaReply {
        let progress = JobProgress::new(picture, peak);
        let estimate = remaining(picture).and_then(|remaining| {
            let completion = self.now.checked_add(remaining).ok()?;
            let elapsed = self.elapsed(picture).unwrap_or_default();
            Some(Estimate {
                estimated_completion: time::write(completion, &self.zone),
                time_remaining: duration::text(remaining),
                time_remaining_seconds: remaining.as_secs(),
                elapsed: duration::text(elapsed),
                elapsed_seconds: elapsed.as_secs(),
                percent_complete: progress.percent_complete,
                transfer_rate_mbps: rate(picture),
                bytes_remaining: progress.total_bytes.checked_sub(progress.bytes_downloaded),
            })
        });
        EtaReply {
            job_id: picture.id.as_str().to_owned(),
            status: picture.state.word(),
            timestamp: self.timestamp(),
            estimated_remaining: estimate
                .as_ref()
                .map_or_else(|| UNKNOWN.to_owned(), |estimate| estimate.time_remaining.clone()),
            eta: estimate.map_or_else(|| Eta::Unknown { message: message(picture) }, Eta::Known),
        }
    }
}

/// Says why there is no estimate.
fn message(picture: &hyper_api::Job) -> &'static str {
    match picture.state {
        hyper_api::JobState::Pending => "the job has not begun",
        hyper_api::JobState::Running => "there is no estimate yet",
        _ => "the job has ended",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::tests::{picture, view};
    use super::*;

    #[test]
    fn an_estimate_has_all_its_forms() {
        assert_eq!(
            to_value(view().eta(&picture(json!({})), &mut Peak::default())).unwrap(),
            json!({
                "job_id": "5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11", "status": "running",
                "timestamp": "2026-02-03T02:00:30.000000+01:00", "estimated_remaining": "1m35s",
                "eta": {
                    "estimated_completion": "2026-02-03T02:02:05.000000+01:00", "time_remaining": "1m35s",
                    "time_remaining_seconds": 95, "elapsed": "29.75s", "elapsed_seconds": 29,
                    "percent_complete": 30.0, "transfer_rate_mbps": 1.5, "bytes_remaining": 1400,
                },
            })
        );
    }

    #[test]
    fn without_an_estimate_there_is_a_message() {
        for (state, message) in [
            ("pending", "the job has not begun"),
            ("completed", "the job has ended"),
            ("failed", "the job has ended"),
            ("cancelled", "the job has ended"),
        ] {
            let reply = to_value(view().eta(&picture(json!({"state": state})), &mut Peak::default())).unwrap();
            assert_eq!(reply["eta"], json!({"message": message}));
            assert_eq!(reply["estimated_remaining"], "Unknown");
        }
    }
}
