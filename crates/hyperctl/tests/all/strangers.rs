//! `list` and every error of connecting, against vcsim: a server that we did not write.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::programs::{Hyperctl, Run};

struct VcSim {
    child: Child,
    address: String,
    _files: tempfile::TempDir,
}

impl VcSim {
    fn start(test: &str) -> Option<Self> {
        let program = judges::vcsim(test)?;
        let files = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(["-l", "127.0.0.1:0", "-username", "user", "-password", "secret", "-dc", "2", "-folder", "1"])
            .env("TMPDIR", files.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once('@')?.1.split_once("/sdk")?.0.to_owned())
        });
        Some(Self { child, address: address.unwrap(), _files: files })
    }

    fn aim(&self, arguments: &[&str]) -> Hyperctl {
        Hyperctl::new(arguments)
            .env("GOVC_URL", &self.address)
            .env("GOVC_USERNAME", "user")
            .env("GOVC_PASSWORD", "secret")
            .env("GOVC_INSECURE", "1")
    }
}

impl Drop for VcSim {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Returns the lines of stderr that give a reason.
fn reasons(run: &Run) -> Vec<String> {
    run.stderr().lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

#[test]
fn list_shows_every_vm_of_vcsim_with_its_path() {
    let Some(vcsim) = VcSim::start("list_shows_every_vm_of_vcsim_with_its_path") else { return };
    let json = vcsim.aim(&["list", "--json"]).run().expect(0).json();
    let paths: Vec<_> = json["vms"].as_array().unwrap().iter().map(|vm| vm["path"].as_str().unwrap()).collect();
    let expected: Vec<_> = [("", "DC0", ""), ("/F0", "DC1", "/F0")]
        .iter()
        .flat_map(|(above, dc, below)| {
            ["C0_RP0_VM0", "C0_RP0_VM1", "H0_VM0", "H0_VM1"].map(|vm| format!("{above}/{dc}/vm{below}/{dc}_{vm}"))
        })
        .collect();
    assert_eq!(paths, expected);
    assert_eq!(json["total"], 8);
}

#[test]
fn each_error_of_connecting_is_one_line_with_its_exit_code() {
    let Some(vcsim) = VcSim::start("each_error_of_connecting_is_one_line_with_its_exit_code") else { return };
    let target = tempfile::tempdir().unwrap();
    let export = ["export", "no-such-vm", "-o", target.path().to_str().unwrap()];
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (what, hyperctl, code, word) in [
        ("wrong password", vcsim.aim(&["list"]).env("GOVC_PASSWORD", "wrong"), 7, "log in"),
        ("unknown VM", vcsim.aim(&export), 4, "no-such-vm"),
        ("unreachable host", vcsim.aim(&["list"]).env("GOVC_URL", &closed), 8, "refused"),
        ("untrusted certificate", vcsim.aim(&["list"]).env("GOVC_INSECURE", "0"), 9, "thumbprint"),
    ] {
        let run = hyperctl.run().expect(code);
        let reasons = reasons(&run);
        assert_eq!(reasons.len(), 1, "{what}: {}", run.stderr());
        assert!(reasons[0].contains(word), "{what}: {}", run.stderr());
        assert_eq!(run.stdout(), "", "{what}");
    }
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}
