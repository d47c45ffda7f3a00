//! What an export makes of each fault that the simulator can play (`vcenter_sim::faults::rule`).
//!
//! Every export here ends in a right package or in an error that says what is wrong, and leaves no lease
//! and no session behind; [`Lab`] checks the latter at each end.
//!
//! | fault | what the export does | shown in |
//! |---|---|---|
//! | F1 session gone | before the lease: logs in again, goes on; later: the lease is lost, error; at the end: warning | `calls` |
//! | F2 password changed | one refused login, error `Login` | `calls` |
//! | F3 401, 403 at a file | error `Permission` naming the file, no second try; over `/folder` a 401 is asked about | `streams`, `folder` |
//! | F4 503 | waits as `Retry-After` says and tries again; for ever: error `Unreachable` | `calls`, `streams` |
//! | F5 500, abort in the middle | a stream is begun again, a question asked again; for ever: error | `calls`, `streams` |
//! | F6 reset, early end | begun again; a clean early end is no disk: `Verification` | `streams` |
//! | F7 silence | given up after the idle limit and begun again | `streams` |
//! | F8 trickle | goes on, the lease is renewed meanwhile | `streams` |
//! | F9 wrong part | error: another status, part or length than was asked for or announced | `streams`, `folder` |
//! | F10 HEAD lies | nothing: HEAD is never asked | `streams`, `folder` |
//! | F12 flipped byte, wrong manifest | `Verification` naming the file; no manifest: own checksums | `streams` |
//! | F13 lease fails, times out, vanishes | error with the server's reason; failed renewals and aborts are repeated | `leases` |
//! | F14 damaged format | `Verification` naming the file, though the manifest agrees; a grain that inflates short is found where the disk is read | `formats` |
//! | F15 wrong host, wrong certificate | error `Unreachable` or `Certificate` | `hosts` |
//! | F17, F24 snapshot task fails, never ends, is refused | error with the reason; a stop does not wait for ever; a removal is repeated | `snapshots`, `crate::snapshots` |
//! | F19 VM moves to a host or a datastore | lease goes on: right package; lease fails: error with the reason; nvram on a datastore: followed | `vms`, `storage` |
//! | F20 VM switched on | error `State`: what was copied is of no one moment | `vms` |
//! | F21 missing image | error with the file's name | `vms` |
//! | F22, F23 no privilege, no licence | error `Permission` naming privilege and object, or the server's words | `vms` |
//! | F25 consolidation needed | a right package, and a warning that says what to do | `crate::snapshots` |
//! | F27 no descriptor | error with the server's reasons | `calls` |
//! | F28 no XML, too much of it | error `Server`; an unknown type is passed over | `calls` |
//! | F29 stalled handshake, refused connection, maintenance | begun again; refused for ever: error `Unreachable`; maintenance: error `State` | `hosts` |
//! | F30 wrong clock | nothing | `calls` |
//! | F31 streams refused | waits for its other streams to end | `hosts` |
//! | F32 eleven disks, twelve snapshots, two files of one name, 4 TB of holes | a right package | `crate::worlds` |

mod calls;
mod folder;
mod formats;
mod hosts;
mod leases;
mod snapshots;
mod storage;
mod streams;
mod vms;

use migrate::export::{Proof, Report};
use migrate::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::lab::Lab;

/// As the lab's, but smaller: there are many exports here, and nobody looks at their bytes.
const WEB01: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/web/web01"
[[vm.disk]]
size = "4MiB"
content = { kind = "seeded", seed = 1, fill = 0.25, compressibility = 0.5 }
[[vm.disk]]
size = "8MiB"
content = { kind = "seeded", seed = 2, fill = 0.5, compressibility = 0.5 }
"#;

/// Exports under rules that must all strike.
async fn exported(rules: Value) -> (Lab, Result<Report>) {
    let lab = Lab::ruled(WEB01, rules).await;
    let result = lab.export("web01").await;
    lab.assert_struck();
    if result.is_err() {
        assert_eq!(lab.finished_files(), Vec::<String>::new());
    }
    (lab, result)
}

/// Exports under rules that make no difference to the package.
async fn right(rules: Value) -> (Lab, Report) {
    let (lab, result) = exported(rules.clone()).await;
    let report = result.unwrap_or_else(|error| panic!("{rules}: {}", error.chain()));
    assert_eq!(report.proof, Some(Proof::Manifest));
    (lab, report)
}

/// Exports under rules that make it fail with an error of this kind, in whose chain all words stand.
async fn wrong(rules: Value, kind: ErrorKind, words: &[&str]) -> (Lab, Error) {
    let (lab, result) = exported(rules.clone()).await;
    let error = result.map(|report| panic!("{rules}: {report:?}")).unwrap_err();
    assert_eq!(error.kind(), kind, "{rules}: {}", error.chain());
    for word in words {
        assert!(error.chain().contains(word), "{rules}: {word} in: {}", error.chain());
    }
    (lab, error)
}
