//! `list` and every error of connecting, against vcsim: a server that we did not write.

use std::fs;

use judges::VcSim;

use crate::programs::{Hyperctl, Run};

/// Two datacenters, the second in a folder.
const TWO_DATACENTERS: &[&str] = &["-dc", "2", "-folder", "1"];

fn aim(vcsim: &VcSim, arguments: &[&str]) -> Hyperctl {
    Hyperctl::new(arguments)
        .env("GOVC_URL", vcsim.address())
        .env("GOVC_USERNAME", VcSim::USERNAME)
        .env("GOVC_PASSWORD", VcSim::PASSWORD)
        .env("GOVC_INSECURE", "1")
}

/// Returns the lines of stderr that give a reason.
fn reasons(run: &Run) -> Vec<String> {
    run.stderr().lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

#[test]
fn list_shows_every_vm_of_vcsim_with_its_path() {
    let Some(vcsim) = VcSim::start("list_shows_every_vm_of_vcsim_with_its_path", TWO_DATACENTERS) else { return };
    let json = aim(&vcsim, &["list", "--json"]).run().expect(0).json();
    let paths: Vec<_> = json["vms"].as_array().unwrap().iter().map(|vm| vm["path"].as_str().unwrap()).collect();
    let expected: Vec<_> = [("", "DC0", ""), ("/F0", "DC1", "/F0")]
        .iter()
        .flat_map(|(above, dc, below)| {
            ["C0_RP0_VM0", "C0_RP0_VM1", "H0_VM0", "H0_VM1"].map(|vm| format!("{above}/{dc}/vm{below}/{dc}_{vm}"))
        })
        .collect();
    assert_eq!(paths, expected);
    assert_eq!(json["total"], 8);
    // Each has one disk of 10 GiB.
    assert!(json["vms"].as_array().unwrap().iter().all(|vm| vm["storage_bytes"] == 10_u64 << 30), "{json:#}");
}

#[test]
fn each_error_of_connecting_is_one_line_with_its_exit_code() {
    let test = "each_error_of_connecting_is_one_line_with_its_exit_code";
    let Some(vcsim) = VcSim::start(test, TWO_DATACENTERS) else { return };
    let target = tempfile::tempdir().unwrap();
    let export = ["export", "no-such-vm", "-o", target.path().to_str().unwrap()];
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (what, hyperctl, code, word) in [
        ("wrong password", aim(&vcsim, &["list"]).env("GOVC_PASSWORD", "wrong"), 7, "log in"),
        ("unknown VM", aim(&vcsim, &export), 4, "no-such-vm"),
        ("unreachable host", aim(&vcsim, &["list"]).env("GOVC_URL", &closed), 8, "refused"),
        ("untrusted certificate", aim(&vcsim, &["list"]).env("GOVC_INSECURE", "0"), 9, "thumbprint"),
    ] {
        let run = hyperctl.run().expect(code);
        let reasons = reasons(&run);
        assert_eq!(reasons.len(), 1, "{what}: {}", run.stderr());
        assert!(reasons[0].contains(word), "{what}: {}", run.stderr());
        assert_eq!(run.stdout(), "", "{what}");
    }
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}
