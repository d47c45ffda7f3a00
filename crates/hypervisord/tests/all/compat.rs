//! The routes of older programs, seen over the wire: what every one of them answers, and the order in which the
//! older client and the older wrapper call them.

use std::sync::atomic::Ordering;

use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use hyper_util::rt::TokioIo;
use hypervisord::config::{Access, Exports};
use hypervisord::engine::Configured;
use hypervisord::listen::Given;
use hypervisord::serve;
use hypervisord::workers::Workers;
use serde_json::{Value, json};

use crate::daemon::{Guarded, configured};
use crate::twin::{Daemon, Twin};

const JSON: &str = "application/json";

/// Members whose value is another in every run; a golden reply has the word for their form instead.
const TIMES: [&str; 6] = ["timestamp", "created_at", "started_at", "completed_at", "updated_at", "last_checked"];

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    /// Returns the body as JSON, with times, ids and durations masked after their form was checked.
    fn masked(&self) -> Value {
        assert!(self.text.ends_with('\n') && self.headers["content-type"] == "application/json", "{}", self.text);
        let mut body = serde_json::from_str(&self.text).unwrap();
        mask(&mut body);
        body
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), &value) {
                    (name, Value::String(text)) if TIMES.contains(&name) => {
                        assert!(is_time(text), "{name}: {text}");
                        *value = json!("TIME");
                    }
                    ("id" | "job_id", Value::String(text)) if text.len() == 36 => *value = json!("ID"),
                    ("duration", Value::Number(_)) => *value = json!("NS"),
                    _ => mask(value),
                }
            }
        }
        _ => {}
    }
}

/// `2026-02-03T02:00:00.000000+01:00`, and never a `Z`.
fn is_time(text: &str) -> bool {
    text.len() == 32
        && text[..19].parse::<jiff::civil::DateTime>().is_ok()
        && &text[19..20] == "."
        && &text[29..30] == ":"
}

async fn call(daemon: &Daemon, method: &str, path: &str, content_type: &str, body: &str) -> Reply {
    let stream = tokio::net::UnixStream::connect(&daemon.socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost:8080");
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let request = request.body(Full::<axum::body::Bytes>::from(body.to_owned())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Reply { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(daemon: &Daemon, path: &str) -> Reply {
    call(daemon, "GET", path, "", "").await
}

async fn post(daemon: &Daemon, path: &str, body: &Value) -> Reply {
    call(daemon, "POST", path, JSON, &body.to_string()).await
}

/// Submits as the older client does, and returns the id.
async fn submit(daemon: &Daemon, vm: &str) -> String {
    let body = json!({"id": "", "name": vm, "vm_path": vm, "output_path": format!("/out/{vm}"),
                      "created_at": "0001-01-01T00:00:00Z"});
    let reply = post(daemon, "/jobs/submit", &body).await.json();
    assert_eq!(reply["accepted"], 1, "{reply}");
    reply["job_id"].as_str().unwrap().to_owned()
}

/// Polls as the older wrapper does, without its pauses, until the job has one of the final words.
async fn ended(daemon: &Daemon, id: &str) -> Value {
    for _ in 0..2000 {
        let reply = post(daemon, "/jobs/query", &json!({"job_ids": [id], "all": false})).await.json();
        assert_eq!(reply["total"], 1, "{reply}");
        if let Some("completed" | "failed" | "cancelled") = reply["jobs"][0]["status"].as_str() {
            return reply["jobs"][0].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("job {id} does not end");
}

fn error_body(error: &str) -> Value {
    json!({"error": error, "timestamp": "TIME", "total_jobs": "-", "total": "-", "errors": "-", "logs": "-"})
}

#[tokio::test]
async fn an_idle_daemon_answers_every_question_with_lists_and_zeros() {
    let daemon = Daemon::over(&Twin::new()).await;
    assert_eq!(get(&daemon, "/health").await.masked(), json!({"status": "healthy", "timestamp": "TIME"}));
    let mut status = get(&daemon, "/status").await.masked();
    assert!(status["uptime"].as_str().unwrap().ends_with('s'));
    status["uptime"] = json!("UPTIME");
    assert_eq!(
        status,
        json!({"version": env!("CARGO_PKG_VERSION"), "uptime": "UPTIME", "total_jobs": 0, "running_jobs": 0,
               "completed_jobs": 0, "failed_jobs": 0, "cancelled_jobs": 0, "pending_jobs": 0, "timestamp": "TIME"})
    );
    let capabilities = get(&daemon, "/capabilities").await.masked();
    assert_eq!(capabilities["default_method"], "web");
    assert_eq!(
        capabilities["capabilities"]["web"],
        json!({"method": "web", "available": true, "version": "built-in", "path": "internal", "priority": 4,
               "last_checked": "TIME"})
    );
    let nothing = json!({"jobs": [], "total": 0, "timestamp": "TIME"});
    assert_eq!(get(&daemon, "/jobs/query?all=true").await.masked(), nothing);
    assert_eq!(post(&daemon, "/jobs/query", &json!({"all": true})).await.masked(), nothing);
    assert_eq!(post(&daemon, "/jobs/query", &json!({"job_ids": ["none"]})).await.masked(), nothing);
    assert_eq!(
        post(&daemon, "/jobs/cancel", &json!({})).await.masked(),
        json!({"cancelled": [], "failed": [], "errors": {}, "timestamp": "TIME"})
    );
}

#[tokio::test]
async fn a_job_goes_from_submit_to_completed_as_the_older_wrapper_sees_it() {
    let daemon = Daemon::over(&Twin::new()).await;
    let body = json!({"id": "", "name": "mine", "vm_path": "ok", "output_path": "/out", "metadata": {"k": [1]},
                      "created_at": "0001-01-01T00:00:00Z"});
    let accepted = post(&daemon, "/jobs/submit", &body).await;
    let id = accepted.json()["job_id"].as_str().unwrap().to_owned();
    let mut masked = accepted.masked();
    masked["job_ids"] = json!(["ID"]);
    assert_eq!(masked, json!({"job_ids": ["ID"], "job_id": "ID", "accepted": 1, "rejected": 0, "timestamp": "TIME"}));
    let mut job = ended(&daemon, &id).await;
    mask(&mut job);
    assert_eq!(
        job,
        json!({
            "definition": {"id": "ID", "name": "mine", "vm_path": "ok", "output_path": "/out", "output_dir": "/out",
                           "created_at": "TIME", "metadata": {"k": [1]}},
            "status": "completed",
            "progress": {"phase": "copying", "files_downloaded": 1, "total_files": 1, "bytes_downloaded": 1000,
                         "bytes_transferred": 1000, "total_bytes": 1000, "percent_complete": 100.0,
                         "export_method": "web"},
            "result": {"vm_name": "ok", "output_dir": "/out", "ovf_path": "/out/ok.ovf", "files": [],
                       "output_files": [], "total_size": 0, "duration": "NS", "success": true,
                       "export_method": "web"},
            "started_at": "TIME", "completed_at": "TIME", "updated_at": "TIME",
        })
    );
    for path in ["/jobs/", "/jobs/status/"] {
        assert_eq!(get(&daemon, &format!("{path}{id}")).await.masked(), job);
    }
    let mut progress = get(&daemon, &format!("/jobs/progress/{id}")).await.masked();
    let ten = json!({"phase": "copying", "current_file": "", "current_step": "", "files_downloaded": 1,
                     "total_files": 1, "bytes_downloaded": 1000, "total_bytes": 1000, "percent_complete": 100.0,
                     "estimated_remaining": "Unknown", "export_method": "web"});
    assert_eq!(progress["progress"].take(), ten);
    assert!(ten.as_object().unwrap().iter().all(|(name, value)| progress[name] == *value), "{progress}");
    assert_eq!((&progress["job_id"], &progress["elapsed_seconds"]), (&json!("ID"), &json!(0)));
    assert_eq!(
        get(&daemon, &format!("/jobs/eta/{id}")).await.masked(),
        json!({"job_id": "ID", "status": "completed", "timestamp": "TIME", "estimated_remaining": "Unknown",
               "eta": {"message": "the job has ended"}})
    );
    let said = [
        "queued: export ok",
        "attempt 1 started",
        "copying",
        "one device is not known here",
        "found /DC0/vm/ok",
        "completed",
    ];
    assert_eq!(
        get(&daemon, &format!("/jobs/logs/{id}?tail=1")).await.masked(),
        json!({"job_id": "ID", "logs": said, "log_count": 6, "timestamp": "TIME"})
    );
}

#[tokio::test]
async fn an_id_with_colour_behind_it_still_finds_its_job() {
    let daemon = Daemon::over(&Twin::new()).await;
    let id = submit(&daemon, "ok").await;
    let with_colour = format!("{id}\u{1b}[0m\u{1b}[0m");
    let reply = post(&daemon, "/jobs/query", &json!({"job_ids": [with_colour], "all": false})).await.json();
    assert_eq!((&reply["total"], &reply["jobs"][0]["definition"]["id"]), (&json!(1), &json!(id)));
}

#[tokio::test]
async fn a_failed_job_says_why_and_a_batch_says_what_was_rejected() {
    let daemon = Daemon::over(&Twin::new()).await;
    let batch = "jobs:\n- {vm_path: fails, output_path: /out/a}\n- {name: no path, output_path: /out/b}\n\
                 - {vm_path: ok, output_path: /out/c, format: qcow2}\n- {vm_path: ok, output_path: relative}\n";
    let reply = call(&daemon, "POST", "/jobs/submit", "application/x-yaml", batch).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["accepted"], &body["rejected"]), (200, &json!(1), &json!(3)));
    assert_eq!(
        body["errors"],
        json!([
            "no path: it names no VM",
            "ok: the format qcow2 is not built yet",
            "ok: a relative output directory, and the daemon has no export root to begin at",
        ])
    );
    let id = body["job_ids"][0].as_str().unwrap();
    let job = ended(&daemon, id).await;
    assert_eq!((&job["status"], &job["error"]), (&json!("failed"), &json!("write into /full: no space left")));
    let logs = get(&daemon, &format!("/jobs/logs/{id}")).await.json();
    assert_eq!(
        logs["logs"],
        json!([
            "queued: export fails",
            "attempt 1 started",
            "connecting failed",
            "failed: write into /full: no space left"
        ])
    );
    let by_state = get(&daemon, "/jobs/query?status=failed").await.json();
    assert_eq!((&by_state["total"], &by_state["jobs"][0]["definition"]["id"]), (&json!(1), &json!(id)));
    assert_eq!(get(&daemon, "/jobs/query?status=completed,running").await.json()["total"], 0);
}

#[tokio::test]
async fn a_cancel_answers_when_the_job_is_over_and_says_why_others_are_not() {
    let twin = Twin::new();
    let daemon = Daemon::over(&twin).await;
    let (done, held) = (submit(&daemon, "ok").await, submit(&daemon, "hold").await);
    ended(&daemon, &done).await;
    while twin.holding.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let running = get(&daemon, &format!("/jobs/{held}")).await.json();
    assert_eq!((&running["status"], &running["progress"]["phase"]), (&json!("running"), &json!("copying")));
    twin.undo.add_permits(1);
    let reply = post(&daemon, "/jobs/cancel", &json!({"job_ids": [held, done, "none"]})).await.json();
    assert_eq!(reply["cancelled"], json!([held]));
    assert_eq!(reply["failed"], json!([done, "none"]));
    assert_eq!(reply["errors"][&done], format!("cancel job {done}: it has completed"));
    assert_eq!(reply["errors"]["none"], "find job none: there is none with this id");
    assert_eq!(ended(&daemon, &held).await["status"], "cancelled");
    let status = get(&daemon, "/status").await.json();
    assert_eq!(
        (&status["total_jobs"], &status["completed_jobs"], &status["cancelled_jobs"]),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn the_vms_are_listed_and_found_by_path_id_and_name() {
    let daemon = Daemon::over(&Twin::new()).await;
    let vm = json!({"name": "ok", "path": "/DC0/vm/ok", "power_state": "poweredOff", "guest_os": "", "memory_mb": 0,
                    "num_cpu": 1, "storage_bytes": 1 << 30});
    let list = json!({"vms": [vm], "total": 1, "timestamp": "TIME"});
    assert_eq!(get(&daemon, "/vms/list").await.masked(), list);
    assert_eq!(post(&daemon, "/vms/list", &json!({"server": "https://twin"})).await.masked(), list);
    for wanted in ["/DC0/vm/ok", "ok", "vm-1"] {
        assert_eq!(
            post(&daemon, "/vms/info", &json!({"vm_path": wanted})).await.masked(),
            json!({"success": true, "vm_info": vm, "timestamp": "TIME"})
        );
    }
    for (path, extra, done) in [
        ("/vms/shutdown", json!({}), "ShutDown { limit: 300s }"),
        ("/vms/shutdown", json!({"timeout": 0}), "ShutDown { limit: 300s }"),
        ("/vms/shutdown", json!({"timeout": 4, "vcenter": {"server": "twin"}}), "ShutDown { limit: 4s }"),
        ("/vms/poweroff", json!({}), "PowerOff"),
        ("/vms/remove-cdrom", json!({}), "RemoveCdroms"),
    ] {
        let mut body = extra;
        body["vm_path"] = json!("ok");
        assert_eq!(
            post(&daemon, path, &body).await.masked(),
            json!({"success": true, "message": format!("/DC0/vm/ok: {done}"), "timestamp": "TIME"}),
            "{body}"
        );
    }
    for (path, body, status) in [
        ("/vms/info", json!({"vm_path": "none"}), 404),
        ("/vms/info", json!({}), 400),
        ("/vms/info", json!({"vm_path": 5}), 400),
        ("/vms/info", json!({"vm_path": "ok", "vcenter": {"server": "elsewhere"}}), 400),
        ("/vms/list", json!({"server": "twin", "username": "u", "password": "hidden"}), 400),
        ("/vms/shutdown", json!({}), 400),
        ("/vms/shutdown", json!({"vm_path": "ok", "timeout": -1}), 400),
        ("/vms/shutdown", json!({"vm_path": "ok", "timeout": "5m"}), 400),
        ("/vms/shutdown", json!({"vm_path": "ok", "timeout": 1}), 504),
        ("/vms/poweroff", json!({"vm_path": "/DC0/vm/none"}), 404),
        ("/vms/remove-cdrom", json!({"vm_path": "none"}), 404),
    ] {
        let reply = post(&daemon, path, &body).await;
        assert_eq!((reply.status, &reply.masked()["total"]), (status, &json!("-")), "{path} {body}");
        assert!(!reply.text.contains("hidden"));
    }
}

#[tokio::test]
async fn without_a_source_vms_are_unavailable_and_jobs_rejected_one_by_one() {
    let reason = hypervisord::problems::problem(hyper_api::ProblemKind::Usage, "read the source: GOVC_URL is not set");
    let daemon = Daemon::without_source(&Twin::new(), reason).await;
    for (method, path) in [("GET", "/vms/list"), ("POST", "/vms/info")] {
        let reply = call(&daemon, method, path, JSON, r#"{"vm_path":"ok"}"#).await;
        assert_eq!((reply.status, reply.masked()), (503, error_body("read the source: GOVC_URL is not set")));
    }
    let reply = post(&daemon, "/jobs/submit", &json!([{"vm_path": "a"}, {"vm_path": "b"}])).await;
    assert_eq!((reply.status, &reply.json()["rejected"], &reply.json()["job_ids"]), (200, &json!(2), &json!([])));
}

#[tokio::test]
async fn errors_of_every_kind_have_the_form_that_older_clients_notice() {
    let daemon = Daemon::over(&Twin::new()).await;
    for (method, path, body, status) in [
        ("GET", "/nowhere", "", 404),
        ("GET", "/", "", 404),
        ("POST", "/api/login", "{}", 404),
        ("GET", "/schedules", "", 404),
        ("POST", "/schedules", "{}", 404),
        ("GET", "/webhooks", "", 404),
        ("POST", "/webhooks/0/test", "", 404),
        ("DELETE", "/webhooks/0", "", 404),
        ("GET", "/jobs/progress/none", "", 404),
        ("GET", "/jobs/logs/none", "", 404),
        ("GET", "/jobs/eta/none", "", 404),
        ("POST", "/jobs/submit", "", 400),
        ("POST", "/jobs/submit", "{}", 400),
        ("POST", "/jobs/submit", "[]", 400),
        ("POST", "/jobs/submit", r#"{"vm_path":"a","name":5}"#, 400),
        ("POST", "/jobs/query", "", 400),
        ("POST", "/jobs/query", r#"{"status":["done"]}"#, 400),
        ("GET", "/jobs/query?limit=x", "", 400),
        ("POST", "/jobs/cancel", "", 400),
        ("POST", "/jobs/cancel", r#"{"job_ids":"a"}"#, 400),
        ("GET", "/ws", "", 400),
    ] {
        let reply = call(&daemon, method, path, JSON, body).await;
        let body = reply.masked();
        let error = body["error"].as_str().unwrap_or_default();
        assert_eq!((reply.status, &body), (status, &error_body(error)), "{method} {path}");
        assert!(!error.is_empty());
    }
}

#[tokio::test]
async fn a_watch_of_an_unknown_job_is_told_that_it_failed() {
    let daemon = Daemon::over(&Twin::new()).await;
    for path in ["/jobs/none", "/jobs/status/none"] {
        let reply = get(&daemon, path).await;
        let mut expected = error_body("find job none: there is none with this id");
        expected["status"] = json!("failed");
        assert_eq!((reply.status, reply.masked()), (404, expected));
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_refused_with_those_that_it_takes() {
    let daemon = Daemon::over(&Twin::new()).await;
    for (method, path, allowed) in [
        ("DELETE", "/status", &["GET"][..]),
        ("GET", "/jobs/submit", &["POST"]),
        ("GET", "/jobs/cancel", &["POST"]),
        ("PUT", "/jobs/query", &["GET", "POST"]),
        ("POST", "/jobs/some-job", &["GET"]),
        ("GET", "/vms/info", &["POST"]),
        ("DELETE", "/vms/list", &["GET", "POST"]),
        ("POST", "/ws", &["GET"]),
    ] {
        let reply = call(&daemon, method, path, "", "").await;
        assert_eq!((reply.status, &reply.masked()["total_jobs"]), (405, &json!("-")), "{method} {path}");
        let allow = reply.headers["allow"].to_str().unwrap();
        assert!(allowed.iter().all(|method| allow.split(',').any(|item| item.trim() == *method)), "{path}: {allow}");
    }
}

#[tokio::test]
async fn a_body_of_ten_mebibytes_is_read_and_a_larger_one_is_not() {
    const LIMIT: usize = 10 << 20;
    let daemon = Daemon::over(&Twin::new()).await;
    for (length, status) in [(LIMIT, 200), (LIMIT + 1, 413)] {
        let body = r#"{"job_ids":["none"]}"#;
        let body = format!("{body}{}", " ".repeat(length - body.len()));
        let reply = call(&daemon, "POST", "/jobs/query", JSON, &body).await;
        assert_eq!(reply.status, status);
        assert!(reply.text.ends_with("}\n"));
    }
}

#[tokio::test]
async fn no_reply_ever_holds_a_password() {
    let daemon = Daemon::over(&Twin::new()).await;
    let with_login = json!({"vm_path": "ok", "output_path": "/out", "password": "hidden-1",
        "vcenter_url": "https://u:hidden-2@twin", "vcenter": {"server": "twin", "username": "u", "password": "hidden-3"}});
    let reply = post(&daemon, "/jobs/submit", &with_login).await;
    assert_eq!(reply.json()["rejected"], 1);
    assert!(!reply.text.contains("hidden"), "{}", reply.text);
    let ill_typed = json!({"vm_path": "ok", "password": ["hidden"]});
    let reply = post(&daemon, "/jobs/submit", &ill_typed).await;
    assert_eq!((reply.status, reply.text.contains("hidden")), (400, false));
}

#[tokio::test]
async fn over_tcp_a_relative_output_begins_at_the_first_root() {
    let daemon = Guarded::start(|config| config.auth.loopback = Access::Open).await;
    let body =
        br#"[{"vm_path":"ok","output_path":"a/b"},{"vm_path":"/DC0/vm/ok"},{"vm_path":"ok","output_path":"../x"}]"#;
    let reply = daemon.tcp("POST", "/jobs/submit", &[("content-type", JSON)], body).await.json();
    assert_eq!((&reply["accepted"], &reply["errors"]), (&json!(2), &json!(["ok: the output directory leads upwards"])));
    let root = daemon.config.exports.roots[0].to_str().unwrap();
    for (id, output) in reply["job_ids"].as_array().unwrap().iter().zip(["a/b", "ok"]) {
        let job = daemon.tcp("GET", &format!("/jobs/{}", id.as_str().unwrap()), &[], b"").await.json();
        assert_eq!(job["definition"]["output_dir"], format!("{root}/{output}"));
    }
}

#[tokio::test]
async fn a_job_that_nobody_can_work_for_is_rejected() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can work as others");
        return;
    }
    let daemon = Guarded::start(|config| config.auth.loopback = Access::Open).await;
    let exports = Exports { service_user: "no-such-user".into(), ..Exports::default() };
    let entitled = Configured { workers: Workers::of_machine(&exports), ..configured() };
    daemon.daemon.reload(&daemon.config, entitled).unwrap();
    let body = br#"{"vm_path":"ok","output_path":"/out"}"#;
    let reply = daemon.tcp("POST", "/jobs/submit", &[("content-type", JSON)], body).await.json();
    let error = reply["errors"][0].as_str().unwrap();
    assert!(reply["rejected"] == 1 && error.starts_with("ok: ") && error.contains("no-such-user"), "{reply}");
}

#[tokio::test]
async fn an_id_of_the_callers_own_and_what_was_defined_with_it_outlive_the_daemon() {
    let roots = tempfile::tempdir().unwrap();
    let mut daemon = Guarded::start(|config| {
        config.auth.loopback = Access::Open;
        config.exports.roots = vec![roots.path().to_owned()];
    })
    .await;
    let body = json!({"id": "nightly-1", "name": "mine", "vm_path": "ok", "output_path": "a", "method": "govc",
                      "options": {"parallel_downloads": 8}, "metadata": {"ticket": 7}})
    .to_string();
    let headers = [("content-type", JSON)];
    for _ in 0..2 {
        let reply = daemon.tcp("POST", "/jobs/submit", &headers, body.as_bytes()).await.json();
        assert_eq!(
            (&reply["job_id"], &reply["rejected"]),
            (&json!("nightly-1"), &json!(0)),
            "a repeat is no second job"
        );
    }
    let other = br#"{"id":"nightly-1","vm_path":"ok","output_path":"b"}"#;
    let reply = daemon.tcp("POST", "/jobs/submit", &headers, other).await.json();
    assert_eq!(reply["errors"], json!(["ok: accept a job: its id is that of another job"]));
    let before = daemon.tcp("GET", "/jobs/nightly-1", &[], b"").await.json();
    daemon.daemon.stop().await;
    daemon.daemon = serve::Daemon::start(daemon.config.clone(), configured(), Given::default()).await.unwrap();
    let after = daemon.tcp("GET", "/jobs/nightly-1", &[], b"").await.json();
    assert_eq!(after["definition"], before["definition"]);
    assert_eq!(
        (&after["definition"]["metadata"], &after["definition"]["options"]),
        (&json!({"ticket": 7}), &json!({"parallel_downloads": 8}))
    );
    let logs = daemon.tcp("GET", "/jobs/logs/nightly-1", &[], b"").await.json();
    let said = |text: &str| logs["logs"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(text));
    assert!(said("govc was asked for") && said("8 connections were asked for"), "{logs}");
}
