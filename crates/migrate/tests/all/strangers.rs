//! The same VM of the same server, brought out by a client that we did not write and by us.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};
use vcenter_sim::faults::Settings;
use vcenter_sim::inventory::Scenario;

use crate::lab::{Lab, WEB01};

fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the SHA-256 of every disk file of a directory by its name.
fn disks(directory: &Path) -> BTreeMap<String, String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".vmdk")).map(|name| (name.clone(), sha256(&directory.join(name)))).collect()
}

/// Returns the digests that a manifest of lines `SHA256(NAME)= DIGEST` states.
fn stated(manifest: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(manifest).unwrap();
    let entry = |line: &str| {
        let (name, digest) = line.strip_prefix("SHA256(")?.split_once(")= ")?;
        Some((name.to_owned(), digest.trim().to_owned()))
    };
    text.lines().map(|line| entry(line).unwrap_or_else(|| panic!("{line:?} in {text}"))).collect()
}

/// Has govc export a VM below `target`, and returns the package's directory.
async fn govc_exports(program: &Path, lab: &Lab, path: &str, target: &Path) -> std::path::PathBuf {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", target).env("GOVC_URL", lab.simulator.url()).env("GOVC_INSECURE", "1");
    command.env("GOVC_USERNAME", &lab.simulator.world().inventory.vcenter.username);
    command.env("GOVC_PASSWORD", "simulated").env("GOVC_PERSIST_SESSION", "false");
    command.args(["export.ovf", "-sha", "256", "-vm", &format!("/{path}")]).arg(target);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{path}: {output:?}");
    target.join(path.rsplit_once('/').unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disk_file_equals_the_one_that_govc_exports_and_govcs_manifest_is_true() {
    let test = "every_disk_file_equals_the_one_that_govc_exports_and_govcs_manifest_is_true";
    let Some(program) = judges::govc(test) else { return };
    let scenario = |name| Scenario::named(name).unwrap().text;
    for (inventory, path, count) in [
        (WEB01, "DC0/vm/web/web01", 2),
        (scenario("esxi"), "ha-datacenter/vm/router", 1),
        (scenario("every-disk"), "DC0/vm/controllers/all", 7),
        (scenario("every-disk"), "DC0/vm/contents/all", 5),
    ] {
        let lab = Lab::with(inventory, Settings::default()).await;
        let home = tempfile::tempdir().unwrap();
        // Ours first: govc sends its session's cookie to the hosts, and a lab takes that for a leak of ours.
        lab.export(path).await.unwrap_or_else(|error| panic!("{path}: {}", error.chain()));
        let package = govc_exports(&program, &lab, path, home.path()).await;
        let theirs = disks(&package);
        assert_eq!((theirs.len(), &disks(&lab.target())), (count, &theirs), "{path}");
        let name = path.rsplit_once('/').unwrap().1;
        let stated = stated(&package.join(format!("{name}.mf")));
        for (file, digest) in &stated {
            assert_eq!(&sha256(&package.join(file)), digest, "{path}: govc's {file}");
        }
        let unstated: Vec<_> = theirs.keys().filter(|file| !stated.contains_key(*file)).collect();
        assert!(unstated.is_empty(), "{path}: govc's manifest is silent on {unstated:?}");
        assert_eq!(lab.soap()["lease_endings"]["completed"], 2, "{:#}", lab.soap());
    }
}
