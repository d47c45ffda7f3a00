//! Things that may happen between any two calls of an export, tried at every one of them: the result is
//! right or the error says what to do, and the server holds nothing for us afterwards. A vCenter and a host
//! without one are asked different things, so both are tried.
//!
//! | what | of what follows |
//! |---|---|
//! | the session dies before call *n* | it is renewed; only where a lease died with it the export ends, and says so |
//! | the reply to call *n* is lost | a call that reads is made again; what a lost call has made is found and removed |

use std::fs;
use std::sync::Arc;

use migrate::export::{Request, SnapshotPolicy};
use migrate::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;

use crate::lab::{Heard, Lab};

/// A VM with one small disk.
const SMALL: &str = r#"
[[datacenter]]
name = "DC0"
folder = "Lab"
[[vm]]
path = "Lab/DC0/vm/app/db"
power = "poweredOff"
[[vm.disk]]
size = "256KiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
"#;

/// The same VM on a host without a vCenter.
const ON_HOST: &str = r#"
[vcenter]
personality = "esxi"
[[datacenter]]
name = "ha-datacenter"
[[vm]]
path = "ha-datacenter/vm/db"
power = "poweredOff"
[[vm.disk]]
size = "256KiB"
content = { kind = "seeded", seed = 1, fill = 0.5, compressibility = 0.5 }
"#;

/// Exports once and returns how it ended; the target is as before afterwards.
async fn once(lab: &Lab, snapshot: Option<SnapshotPolicy>) -> Result<(), Error> {
    let request = Request { snapshot, ..lab.request("db") };
    let result = lab.run(&request, &Arc::<Heard>::default(), CancellationToken::new()).await;
    let finished = lab.finished_files();
    match &result {
        Ok(_) => assert_eq!(finished, ["db-disk-0.vmdk", "db-file-0.nvram", "db.mf", "db.ovf"]),
        Err(error) => assert_eq!(finished, Vec::<String>::new(), "{}", error.chain()),
    }
    drop(fs::remove_dir_all(lab.target()));
    result.map(drop)
}

/// Returns whether a rule has struck, and removes it.
fn struck(lab: &Lab, name: &str) -> bool {
    let faults = &lab.simulator.world().faults;
    faults.remove_rules(None);
    faults.struck().get(name).is_some_and(|strikes| *strikes > 0)
}

#[tokio::test]
async fn a_session_that_dies_at_any_call_ends_well_or_says_what_to_do() {
    sessions_die(SMALL).await;
}

#[tokio::test]
async fn a_session_that_dies_at_any_call_to_a_host_ends_well_or_says_what_to_do() {
    sessions_die(ON_HOST).await;
}

async fn sessions_die(inventory: &str) {
    let lab = Lab::with(inventory, Settings::default()).await;
    for snapshot in [None, Some(SnapshotPolicy::Crash)] {
        let (mut survived, mut said) = (0, 0);
        for call in 1.. {
            let name = format!("session {snapshot:?} {call}");
            lab.rules(&[&format!(
                r#"{{"name":"{name}","when":{{"method":"*"}},"then":{{"kill_session":true}},"nth":{call}}}"#
            )]);
            let result = once(&lab, snapshot).await;
            if !struck(&lab, &name) {
                result.unwrap();
                break;
            }
            match result {
                Ok(()) => survived += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Server, "call {call}: {}", error.chain());
                    assert!(error.hint().is_some_and(|hint| hint.contains("again")), "call {call}: {}", error.chain());
                    said += 1;
                }
            }
        }
        // The calls before and after the lease are more than those within it.
        assert!(survived > said && said > 0, "{survived} exports survived, {said} ended with an error");
    }
}

#[tokio::test]
async fn a_reply_that_is_lost_at_any_call_leaves_nothing_behind() {
    replies_are_lost(SMALL).await;
}

#[tokio::test]
async fn a_reply_of_a_host_that_is_lost_at_any_call_leaves_nothing_behind() {
    replies_are_lost(ON_HOST).await;
}

async fn replies_are_lost(inventory: &str) {
    let lab = Lab::with(inventory, Settings::default()).await;
    once(&lab, Some(SnapshotPolicy::Crash)).await.unwrap();
    let calls = lab.soap()["calls"].as_object().unwrap().clone();
    for (method, count) in calls {
        // A session whose cookie never came is nobody's to end; it ends by itself.
        if method == "Login" {
            continue;
        }
        for nth in 1..=count.as_u64().unwrap() {
            let name = format!("{method} {nth}");
            lab.rules(&[&format!(
                r#"{{"name":"{name}","when":{{"method":"{method}"}},"then":{{"reset_at":0}},"nth":{nth}}}"#
            )]);
            let result = once(&lab, Some(SnapshotPolicy::Crash)).await;
            if !struck(&lab, &name) {
                // How often a wait is answered depends on the moment.
                assert!(method == "WaitForUpdatesEx" && nth > 1, "{name}");
                result.unwrap();
                continue;
            }
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::Unreachable, "{name}: {}", error.chain());
            }
        }
    }
}
