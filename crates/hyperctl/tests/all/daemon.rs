//! The commands that speak to a running daemon, with the real one.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::programs::{Hyperctl, Run, Sim, built, until};

/// A VM whose name holds a word that readers look for.
const LAB: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/failed-web"
[[vm.disk]]
size = "8MiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
"#;

/// A daemon of this machine; it ends with the test.
struct Daemon {
    child: Child,
    folder: tempfile::TempDir,
    sim: Sim,
}

impl Daemon {
    fn start(test: &str, sim_arguments: &[&str]) -> Option<Self> {
        let (sim, program) = (built(test, "vcenter-sim")?, built(test, "hypervisord")?);
        let sim = Sim::start(&sim, LAB, sim_arguments);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "state_dir = \"{}\"\n[listen]\nsocket = \"{}\"\ntcp = []\n[auth]\nstart_token = \"{}\"\n",
            at("state"),
            at("run/socket"),
            at("run/token")
        );
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        // The simulator is this daemon's source, by the variables that a user has.
        let aimed = sim.aim(Hyperctl::new(&[]));
        let mut command = Command::new(program);
        command.env_clear().envs(aimed.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("--config").arg(folder.path().join("config.toml"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let daemon = Self { child, folder, sim };
        until("the daemon's socket", || daemon.socket().exists().then_some(()));
        Some(daemon)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run/socket")
    }

    /// Runs a command that finds the daemon by the variable.
    fn run(&self, arguments: &[&str]) -> Run {
        Hyperctl::new(arguments).env("HYPERVISORD_URL", format!("unix://{}", self.socket().display())).run()
    }

    /// Submits an export into a directory of this test and returns the id, as the older wrapper reads it.
    fn submit(&self, directory: &str) -> String {
        let output = self.folder.path().join(directory);
        let run = self.run(&["submit", "-vm", "failed-web", "-output", output.to_str().unwrap()]).expect(0);
        let text = run.stdout();
        assert!(text.starts_with("Submitted 1 job(s)\nAccepted Jobs: 1\n"), "{text}");
        let line = text.lines().find(|line| line.to_lowercase().contains("job id:")).unwrap();
        line.rsplit(':').next().unwrap().trim().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the older wrapper does with the answer of `query`.
fn as_read(output: &str) -> &'static str {
    let output = output.to_lowercase();
    ["completed", "failed", "cancelled"].into_iter().find(|word| output.contains(word)).unwrap_or("running")
}

#[test]
fn a_job_is_submitted_asked_about_and_watched_to_its_end() {
    let test = "a_job_is_submitted_asked_about_and_watched_to_its_end";
    let Some(daemon) = Daemon::start(test, &["--bytes-per-second", "4000000"]) else { return };
    assert_eq!(daemon.run(&["query"]).expect(0).stdout(), "No jobs found\n");
    let id = daemon.submit("out");
    let early = daemon.run(&["query", "-id", &id]).expect(0);
    assert!(["running", "completed"].contains(&as_read(&early.stdout())), "{}", early.stdout());
    let watched = daemon.run(&["watch", &id]).expect(0);
    let lines: Vec<_> = watched.stdout().lines().map(str::to_owned).collect();
    let (last, before) = lines.split_last().unwrap();
    assert!(as_read(last) == "completed" && before.iter().all(|line| as_read(line) == "running"), "{lines:#?}");
    assert!(last.ends_with(&format!("Output: {}", daemon.folder.path().join("out").display())), "{last}");
    assert!(daemon.folder.path().join("out/failed-web.ovf").exists());
    let job = daemon.run(&["query", "-id", &id, "-json"]).expect(0).json();
    assert_eq!((&job["state"], &job["id"]), (&"completed".into(), &id.as_str().into()));
    let status = daemon.run(&["status"]).expect(0).stdout();
    assert!(status.starts_with("Daemon Status\n") && status.contains("| Completed  | 1"), "{status}");
    let all = daemon.run(&["jobs", "-status", "completed"]).expect(0).stdout();
    assert!(all.contains(&id) && all.lines().count() == 1, "{all}");
    assert_eq!((daemon.sim.open("leases"), daemon.sim.open("sessions")), (0, 0));
}

#[test]
fn jobs_that_failed_or_are_not_there_have_their_exit_codes_and_reasons() {
    let test = "jobs_that_failed_or_are_not_there_have_their_exit_codes_and_reasons";
    let Some(daemon) = Daemon::start(test, &[]) else { return };
    let first = daemon.submit("out");
    daemon.run(&["watch", &first]).expect(0);
    // The package is there already.
    let second = daemon.submit("out");
    let watched = daemon.run(&["watch", &second]).expect(1);
    assert_eq!(as_read(watched.stdout().lines().last().unwrap()), "failed");
    let query = daemon.run(&["query", "-id", &second]).expect(0);
    assert_eq!(as_read(&query.stdout()), "failed");
    assert!(query.stderr().contains("exported there before"), "{}", query.stderr());
    let both = daemon.run(&["query", "-id", &format!(" {first} , nope,")]).expect(4);
    assert!(both.stdout().contains(&first) && both.stderr().contains("nope: no such job"), "{}", both.stdout());
    let unknown = daemon.run(&["query", "-id", "nope"]).expect(4);
    assert_eq!(unknown.stdout(), "");
    daemon.run(&["watch", "nope"]).expect(4);
    let refused = daemon.run(&["cancel", "-id", &first]).expect(1);
    assert!(refused.stderr().contains(&first), "{}", refused.stderr());
    daemon.run(&["cancel", "-id", "nope"]).expect(4);
}

#[test]
fn a_cancelled_job_is_cancelled_when_the_answer_comes() {
    let Some(daemon) =
        Daemon::start("a_cancelled_job_is_cancelled_when_the_answer_comes", &["--bytes-per-second", "100000"])
    else {
        return;
    };
    let id = daemon.submit("out");
    let run = daemon.run(&["cancel", "-id", &id]).expect(0);
    assert_eq!(run.stdout(), format!("Cancelled 1 job(s)\n  - {id}\n"));
    assert_eq!(as_read(&daemon.run(&["query", "-id", &id]).expect(0).stdout()), "cancelled");
    daemon.run(&["watch", &id]).expect(6);
    assert_eq!((daemon.sim.open("leases"), daemon.sim.open("sessions")), (0, 0));
}

#[test]
fn the_daemons_source_is_used_by_the_commands_that_need_one_and_tokens_are_made_over_the_socket() {
    let test = "the_daemons_source_is_used_by_the_commands_that_need_one_and_tokens_are_made_over_the_socket";
    let Some(daemon) = Daemon::start(test, &[]) else { return };
    let listed = daemon.run(&["grep", "web", "-l"]).expect(0);
    assert_eq!(listed.stdout(), "failed-web\n");
    assert!(listed.stderr().contains("of the daemon at unix://"), "{}", listed.stderr());
    let made = daemon.run(&["token", "create", "backup", "-role", "read", "-expires", "1h"]).expect(0);
    let secret = made.stdout().trim().to_owned();
    assert!(!secret.is_empty() && !made.stderr().contains(&secret));
    let list = daemon.run(&["token", "list"]).expect(0).stdout();
    assert!(list.contains("\tbackup\tread\t") && !list.contains(&secret), "{list}");
    let id = list.split('\t').next().unwrap().to_owned();
    daemon.run(&["token", "revoke", &id]).expect(0);
    daemon.run(&["token", "revoke", &id]).expect(4);
}
