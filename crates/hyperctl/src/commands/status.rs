//! `hyperctl status`: who answers, and how many jobs there are in each state.

use hyper_api::{Info, Job, JobState};
use serde::Serialize;

use super::Session;
use crate::cli::Json;
use crate::daemon::Daemon;
use crate::escape::{escape_ascii, escape_json_ascii};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{human, rows};

/// How to print it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    json: Json,
}

/// What is known of a daemon.
#[derive(Debug, Serialize)]
struct Status {
    #[serde(flatten)]
    info: Info,
    url: String,
    jobs: Counts,
}

/// Jobs by state.
#[derive(Debug, Default, Serialize)]
struct Counts {
    total: usize,
    pending: usize,
    running: usize,
    completed: usize,
    failed: usize,
    cancelled: usize,
}

impl Counts {
    fn of(jobs: &[Job]) -> Self {
        let of = |state: JobState| jobs.iter().filter(|job| job.state == state).count();
        Self {
            total: jobs.len(),
            pending: of(JobState::Pending),
            running: of(JobState::Running),
            completed: of(JobState::Completed),
            failed: of(JobState::Failed),
            cancelled: of(JobState::Cancelled),
        }
    }
}

/// Asks and prints.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let daemon = Daemon::running(&session.globals)?;
    let asked = async {
        let info = daemon.client().info().await?;
        let jobs = daemon.client().all_jobs(&[]).await?;
        Ok((info, jobs))
    };
    let (info, jobs) = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        asked = asked => asked.map_err(|error| daemon.explain(error))?,
    };
    let status = Status { info, url: daemon.client().endpoint().to_string(), jobs: Counts::of(&jobs) };
    session.console.print(&if args.json.json { json(&status) } else { table(&status) });
    Ok(Exit::Done)
}

fn json(status: &Status) -> String {
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(status).map_or_else(|_| String::new(), |text| escape_json_ascii(&text) + "\n")
}

fn table(status: &Status) -> String {
    let Status { info, url, jobs } = status;
    let uptime = info.uptime_s.map_or_else(|| "-".to_owned(), human::seconds);
    let lines = [
        ("Version", escape_ascii(&info.version)),
        ("Uptime", uptime),
        ("URL", escape_ascii(url)),
        ("Total Jobs", jobs.total.to_string()),
        ("Pending", jobs.pending.to_string()),
        ("Running", jobs.running.to_string()),
        ("Completed", jobs.completed.to_string()),
        ("Failed", jobs.failed.to_string()),
        ("Cancelled", jobs.cancelled.to_string()),
    ];
    format!("Daemon Status\n{}", rows::text(lines.iter().map(|(label, value)| (*label, value.as_str()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_labels_of_the_contract() {
        let info = Info {
            version: "0.1.0".into(),
            pid: 7,
            source: Some("https://vc:443".into()),
            source_problem: None,
            uptime_s: Some(3725),
        };
        let jobs = Counts { total: 3, pending: 1, completed: 2, ..Counts::default() };
        let status = Status { info, url: "unix:///run/hypervisord/socket".into(), jobs };
        insta::assert_snapshot!(table(&status), @r"
        Daemon Status
        | Version    | 0.1.0                          |
        | Uptime     | 1 h 02 min                     |
        | URL        | unix:///run/hypervisord/socket |
        | Total Jobs | 3                              |
        | Pending    | 1                              |
        | Running    | 0                              |
        | Completed  | 2                              |
        | Failed     | 0                              |
        | Cancelled  | 0                              |
        ");
        let read: serde_json::Value = serde_json::from_str(&json(&status)).unwrap();
        assert_eq!((&read["version"], &read["jobs"]["completed"]), (&"0.1.0".into(), &2.into()));
    }
}
