//! Ends from outside: nothing of a command stays behind, in whatever way it ends.

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::built;
use crate::support::{Ended, Place, Silent, only_child_of, signal, wait_until, wait_until_gone};

/// A command in the middle of its talk with a source that never answers.
struct Talking {
    place: Place,
    command: Child,
    daemon: Pid,
    _connection: std::net::TcpStream,
}

impl Talking {
    fn start(args: &[&str]) -> Self {
        let (place, source) = (Place::new(), Silent::new());
        let command = place.hyperctl(args).env("GOVC_URL", source.url()).spawn().unwrap();
        let connection = source.caught();
        let daemon = only_child_of(&command);
        Self { place, command, daemon, _connection: connection }
    }

    /// Waits for the end of the command and of everything that it has started.
    fn ended(self) -> Ended {
        let ended = Ended::new(self.command.wait_with_output().unwrap());
        wait_until_gone(self.daemon);
        wait_until("the directory is removed", || self.place.leftovers().is_empty());
        ended
    }
}

#[test]
fn after_kill_9_the_daemon_ends_and_its_directory_is_gone() {
    if built("after_kill_9_the_daemon_ends_and_its_directory_is_gone", "hypervisord").is_none() {
        return;
    }
    for args in [&["export", "vm1"][..], &["list"]] {
        let mut talking = Talking::start(args);
        talking.command.kill().unwrap();
        assert_eq!(talking.ended().code, None, "{args:?}");
    }
}

#[test]
fn sigint_and_sigterm_end_an_export_with_128_and_the_signal() {
    if built("sigint_and_sigterm_end_an_export_with_128_and_the_signal", "hypervisord").is_none() {
        return;
    }
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let talking = Talking::start(&["export", "vm1"]);
        signal(&talking.command, number);
        let ended = talking.ended();
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{number:?}");
        assert!(ended.err.contains("stopping: giving the VM back"), "{}", ended.err);
        assert!(!ended.err.contains("error: "), "a stop that was asked for is no error: {}", ended.err);
    }
}

#[test]
fn sigint_ends_a_list() {
    if built("sigint_ends_a_list", "hypervisord").is_none() {
        return;
    }
    let talking = Talking::start(&["list"]);
    signal(&talking.command, Signal::INT);
    assert_eq!(talking.ended().code, Some(130));
}

#[test]
fn a_stopped_export_with_json_prints_the_cancelled_job() {
    if built("a_stopped_export_with_json_prints_the_cancelled_job", "hypervisord").is_none() {
        return;
    }
    let talking = Talking::start(&["export", "vm1", "-json"]);
    signal(&talking.command, Signal::INT);
    let ended = talking.ended();
    let job: hyper_api::Job = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, job.state), (Some(130), hyper_api::JobState::Cancelled));
}

#[test]
fn the_second_sigint_does_not_wait_and_the_daemon_still_cleans_up() {
    if built("the_second_sigint_does_not_wait_and_the_daemon_still_cleans_up", "hypervisord").is_none() {
        return;
    }
    let mut talking = Talking::start(&["export", "vm1"]);
    // A daemon that does not answer any more is what the second signal is for.
    kill_process(talking.daemon, Signal::STOP).unwrap();
    signal(&talking.command, Signal::INT);
    let said = BufReader::new(talking.command.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.into_iter().any(|line| line.starts_with("stopping")), "the first signal is answered");
    assert_eq!(talking.command.try_wait().unwrap(), None, "the first signal waits for the daemon");
    signal(&talking.command, Signal::INT);
    assert_eq!(talking.command.wait().unwrap().code(), Some(130));
    kill_process(talking.daemon, Signal::CONT).unwrap();
    talking.ended();
}
