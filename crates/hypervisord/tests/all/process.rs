//! The real program: it ends by itself, in whatever way its starter is gone.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::twin::{connected, private_directory};

fn start(directory: &TempDir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hypervisord"))
        .args(["--private", "--socket"])
        .arg(directory.path().join("socket"))
        .env("GOVC_URL", "https://user:secret@127.0.0.1:1")
        .env_remove("HYPERVISORD_LOG")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[tokio::test]
async fn it_ends_with_its_standard_input_and_leaves_nothing() {
    let directory = private_directory();
    let mut child = start(&directory);
    connected(&directory.path().join("socket")).await;
    child.stdin.as_mut().unwrap().write_all(b"what it says does not matter").unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "it is silent by default");
    assert!(!directory.path().exists());
}

#[tokio::test]
async fn sigterm_ends_it_while_its_input_is_open_but_sigint_and_sighup_do_not() {
    let directory = private_directory();
    let mut child = start(&directory);
    let client = connected(&directory.path().join("socket")).await;
    signal(&child, Signal::INT);
    signal(&child, Signal::HUP);
    client.info().await.unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}
