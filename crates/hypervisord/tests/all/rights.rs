//! A caller's job works with the caller's rights. Root only: nobody else can be several users.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use hypervisord::config::Exports;
use hypervisord::engine::Configured;
use hypervisord::workers::Workers;
use migrate::rights::Rights;

use crate::daemon::{Guarded, Reply, bearer, configured, send};

/// Two users of the daemon's group.
pub(crate) const USER: u32 = 54_341;
pub(crate) const OTHER: u32 = 54_342;

/// SHA-256 of `x`.
const X: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

pub(crate) fn skipped(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        judges::skip(test, "only root can work for other users");
    }
    !root
}

/// Returns a group that is on every machine, other than root's.
fn group() -> (String, u32) {
    let text = fs::read_to_string("/etc/group").unwrap();
    let line = text.lines().find(|line| !line.starts_with("root:") && line.split(':').count() == 4).unwrap();
    let fields: Vec<_> = line.split(':').collect();
    (fields[0].to_owned(), fields[2].parse().unwrap())
}

/// A daemon whose socket the group may use.
pub(crate) async fn started() -> Guarded {
    let daemon = Guarded::start(|config| config.auth.group = group().0).await;
    fs::set_permissions(daemon.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let exports = Exports { service_user: "no such user".into(), roots: vec![daemon.folder.path().join("exports")] };
    let configured = Configured { workers: Workers::of_machine(&exports), ..configured() };
    daemon.daemon.reload(&daemon.config, configured).unwrap();
    daemon
}

/// Sends over the socket as another user.
pub(crate) async fn as_user(daemon: &Guarded, uid: u32, method: &str, path: &str, body: &str) -> Reply {
    let rights = Rights::of_user(uid, uid, &[group().1]).unwrap();
    let stream = rights.run(|| UnixStream::connect(&daemon.config.listen.socket)).unwrap().unwrap();
    stream.set_nonblocking(true).unwrap();
    send(tokio::net::UnixStream::from_std(stream).unwrap(), method, path, &[], body.as_bytes()).await
}

/// A package that its owner alone may read.
fn package(folder: &Path, owner: u32) -> PathBuf {
    let directory = folder.join(format!("of {owner}"));
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("x.mf"), format!("SHA256(x.vmdk)= {X}\n")).unwrap();
    fs::write(directory.join("x.vmdk"), "x").unwrap();
    chown(&directory, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    directory
}

/// Submits the comparison of a package as a user, and returns the job at its end.
async fn verified(daemon: &Guarded, uid: u32, package: &Path) -> serde_json::Value {
    let body = serde_json::json!({ "kind": "verify", "path": package.join("x.mf") }).to_string();
    let submitted = as_user(daemon, uid, "POST", "/api/v1/jobs", &body).await;
    assert_eq!(submitted.status, 201, "{submitted:?}");
    let path = format!("/api/v1/jobs/{}", submitted.json()["id"].as_str().unwrap());
    // The stream of events ends when the job has.
    as_user(daemon, uid, "GET", &format!("{path}/events"), "").await;
    as_user(daemon, uid, "GET", &path, "").await.json()
}

#[tokio::test]
async fn a_users_job_reads_what_that_user_may_and_nothing_else() {
    if skipped("a_users_job_reads_what_that_user_may_and_nothing_else") {
        return;
    }
    let daemon = started().await;
    let (own, foreign) = (package(daemon.folder.path(), USER), package(daemon.folder.path(), OTHER));
    assert_eq!(verified(&daemon, USER, &own).await["state"], "completed");
    let failed = verified(&daemon, USER, &foreign).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(verified(&daemon, OTHER, &foreign).await["state"], "completed");
    let denied = as_user(&daemon, USER, "GET", "/api/v1/tokens", "").await;
    assert_eq!(denied.status, 403, "a user of the group is no administrator");
}

#[tokio::test]
async fn a_caller_over_tcp_gets_no_work_on_files_and_none_without_the_account() {
    if skipped("a_caller_over_tcp_gets_no_work_on_files_and_none_without_the_account") {
        return;
    }
    let daemon = started().await;
    let own = package(daemon.folder.path(), USER);
    let header = bearer(&daemon.make_token("operate").await);
    let post = async |body: serde_json::Value| {
        let body = body.to_string();
        daemon.tcp("POST", "/api/v1/jobs", &[("authorization", &header)], body.as_bytes()).await
    };
    let reply = post(serde_json::json!({ "kind": "verify", "path": own.join("x.mf") })).await;
    assert_eq!(reply.status, 403, "{reply:?}");
    let reply = post(serde_json::json!({ "vm": "ok", "output": daemon.folder.path().join("exports") })).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.json()["error"].as_str().unwrap().contains("no such user"), "{reply:?}");
    // Nor by the routes for older clients.
    let older = format!(r#"{{"vm_path": "ok", "output_path": "{}/exports"}}"#, daemon.folder.path().display());
    let reply = daemon.tcp("POST", "/jobs/submit", &[("authorization", &header)], older.as_bytes()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["accepted"]), (200, &0.into()), "{reply:?}");
    assert!(String::from_utf8_lossy(&reply.body).contains("no such user"), "{reply:?}");
}
