//! The daemon with a simulated vCenter behind it: what callers get belongs to them, and no secret gets out.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use hypervisord::config::Exports;
use hypervisord::engine::Configured;
use hypervisord::workers::Workers;
use serde_json::{Value, json};
use vcenter_sim::{Inventory, Options, Simulator};

use crate::daemon::{Guarded, Reply, bearer, send};
use crate::rights::{OTHER, USER, as_user, skipped, started};
use crate::twin::connected;

/// What nobody may read anywhere.
const PASSWORD: &str = "pw-5c1d9b7e";

async fn simulator() -> Simulator {
    let inventory = format!(
        "[vcenter]\npassword = \"{PASSWORD}\"\n[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/small\"\n\
         [[vm.disk]]\nsize = \"2MiB\"\ncontent = {{ kind = \"seeded\", seed = 1, fill = 1.0, compressibility = 0.5 }}\n"
    );
    let inventory = Inventory::parse(&inventory, Path::new(".")).unwrap();
    Simulator::start(inventory, Options::default()).await.unwrap()
}

/// Writes the file by which the simulator's certificate is known.
fn known_hosts(simulator: &Simulator, folder: &Path) -> String {
    let path = folder.join("known_hosts");
    let url = simulator.url();
    let address = url.trim_start_matches("https://").trim_end_matches("/sdk");
    fs::write(&path, format!("{address} {}\n", simulator.sha256_thumbprint())).unwrap();
    path.display().to_string()
}

fn user(simulator: &Simulator) -> String {
    simulator.world().inventory.vcenter.username.clone()
}

/// Makes a directory that its owner alone may use.
fn directory(folder: &Path, name: &str, owner: u32) -> String {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    chown(&path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

/// Asks over the socket, as a user, for an export.
async fn submitted(daemon: &Guarded, uid: u32, output: &str) -> Reply {
    let body = json!({ "vm": "small", "output": output }).to_string();
    as_user(daemon, uid, "POST", "/api/v1/jobs", &body).await
}

/// Exports over the socket as a user, and returns the job at its end.
async fn exported(daemon: &Guarded, uid: u32, output: &str) -> Value {
    let submitted = submitted(daemon, uid, output).await;
    assert_eq!(submitted.status, 201, "{submitted:?}");
    let path = format!("/api/v1/jobs/{}", submitted.json()["id"].as_str().unwrap());
    // The stream of events ends when the job has.
    as_user(daemon, uid, "GET", &format!("{path}/events"), "").await;
    as_user(daemon, uid, "GET", &path, "").await.json()
}

#[tokio::test]
async fn an_export_over_the_socket_belongs_to_its_caller_and_goes_nowhere_else() {
    if skipped("an_export_over_the_socket_belongs_to_its_caller_and_goes_nowhere_else") {
        return;
    }
    let (simulator, daemon) = (simulator().await, started().await);
    let folder = daemon.folder.path();
    let (url, user, known) = (simulator.url(), user(&simulator), known_hosts(&simulator, folder));
    let variables = [
        ("GOVC_URL", url.as_str()),
        ("GOVC_USERNAME", user.as_str()),
        ("GOVC_PASSWORD", PASSWORD),
        ("GOVC_TLS_KNOWN_HOSTS", known.as_str()),
    ];
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let workers = Workers::of_machine(&Exports::default());
    let configured = Configured { workers, ..Configured::from_env(&lookup) };
    daemon.daemon.reload(&daemon.config, configured).unwrap();
    let (own, foreign) = (directory(folder, "own", USER), directory(folder, "foreign", OTHER));
    let done = exported(&daemon, USER, &own).await;
    assert_eq!(done["state"], "completed", "{done:#}");
    let files = done["report"]["files"].as_array().unwrap();
    assert!(!files.is_empty());
    for file in files {
        let metadata = Path::new(&own).join(file["name"].as_str().unwrap()).metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (USER, USER), "{file}");
    }
    let denied = submitted(&daemon, USER, &foreign).await;
    assert_eq!((denied.status.as_u16(), &denied.json()["kind"]), (422, &json!("target")), "{denied:?}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 0);
    assert_eq!(exported(&daemon, OTHER, &foreign).await["state"], "completed");
}

#[tokio::test]
async fn no_secret_is_in_replies_arguments_logs_or_files() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display();
    fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    let config = format!(
        "state_dir = '{shown}/state'\n[listen]\nsocket = '{shown}/run/socket'\ntcp = ['127.0.0.1:0']\n[auth]\n\
         group = 'no such group'\nstart_token = '{shown}/run/token'\n[source]\nurl = '{}'\nusername = '{}'\n\
         password_file = '{shown}/password'\nknown_hosts = ['{}']\n",
        simulator.url(),
        user(&simulator),
        known_hosts(&simulator, folder.path()),
    );
    fs::write(folder.path().join("config.toml"), config).unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_hypervisord"))
        .args(["-config", &format!("{shown}/config.toml")])
        .env_clear()
        .env("HYPERVISORD_LOG", "trace")
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = folder.path().join("run/socket");
    connected(&socket).await;
    let token = fs::read_to_string(folder.path().join("run/token")).unwrap().trim().to_owned();
    let (mut said, header) = (String::new(), bearer(&token));
    let made = call(&socket, "POST", "/api/v1/tokens", &[], r#"{"name":"a","role":"admin"}"#).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let export = json!({ "vm": "small", "output": format!("{shown}/out") }).to_string();
    for (method, path, body) in [
        ("GET", "/api/v1/info", ""),
        ("GET", "/api/v1/vms", ""),
        ("GET", "/api/v1/tokens", ""),
        ("GET", "/metrics", ""),
        ("POST", "/api/v1/jobs", export.as_str()),
        ("GET", "/api/v1/jobs", ""),
        ("GET", "/api/v1/nowhere", ""),
        ("POST", "/api/v1/tokens", "{"),
        ("GET", &format!("/api/v1/jobs?token={secret}"), ""),
    ] {
        let reply = call(&socket, method, path, &[("authorization", &header)], body).await;
        said += &format!("{:?}\n{}\n", reply.headers, String::from_utf8_lossy(&reply.body));
    }
    said += &fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    said += &fs::read_to_string(format!("/proc/{}/environ", child.id())).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("TRACE") && log.contains("audit"), "the log has every level");
    said += &log;
    for entry in fs::read_dir(folder.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            said += &String::from_utf8_lossy(&fs::read(path).unwrap());
        }
    }
    for hidden in [PASSWORD, &token, &secret] {
        let at = said.find(hidden);
        assert_eq!(at, None, "{}", at.map_or("", |at| &said[at.saturating_sub(200)..at]));
    }
}

async fn call(socket: &Path, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> crate::daemon::Reply {
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    send(stream, method, path, headers, body.as_bytes()).await
}
