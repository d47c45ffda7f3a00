//! What each route answers.

use std::os::unix::fs::PermissionsExt as _;

use http_body_util::{BodyExt as _, Full};
use hyper_api::client::ErrorKind;
use hyper_api::{ExportSpec, JobId, Problem, ProblemKind, VmOperation, VmRequest};
use hyper_util::rt::TokioIo;
use hypervisord::engine::Configured;
use hypervisord::private;
use hypervisord::store::Store;
use hypervisord::workers::Workers;
use tokio_util::sync::CancellationToken;

use crate::twin::{Daemon, Twin};

/// Sends what the typed client cannot, and returns status, content type and problem.
async fn raw(daemon: &Daemon, method: &str, path: &str, body: &str) -> (u16, String, Problem) {
    let stream = tokio::net::UnixStream::connect(&daemon.socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
    let response =
        sender.send_request(request.body(Full::<axum::body::Bytes>::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, media_type, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn info_and_vms_name_the_source_and_what_it_has() {
    let daemon = Daemon::over(&Twin::new()).await;
    let info = daemon.client.info().await.unwrap();
    assert_eq!((info.source.as_deref(), info.pid), (Some("https://twin:443"), std::process::id()));
    let list = daemon.client.vms().await.unwrap();
    assert_eq!((list.total, list.vms[0].path.as_str()), (1, "/DC0/vm/ok"));
    assert_eq!(list.vms[0].capacity_bytes, None);
    assert_eq!(daemon.client.vms_with_capacities().await.unwrap().vms[0].capacity_bytes, Some(1 << 30));
}

#[tokio::test]
async fn without_a_source_every_question_is_answered_with_the_reason() {
    let reason = hypervisord::problems::problem(ProblemKind::Usage, "read the source: GOVC_URL is not set");
    let daemon = Daemon::without_source(&Twin::new(), reason.clone()).await;
    let info = daemon.client.info().await.unwrap();
    assert_eq!((info.source, info.source_problem), (None, Some(reason.clone())));
    assert_eq!(daemon.client.vms().await.unwrap_err().problem(), Some(&reason));
    let spec = ExportSpec { vm: "ok".into(), output: "/out".into(), ..ExportSpec::default() };
    assert_eq!(daemon.client.submit(&spec.into()).await.unwrap_err().problem(), Some(&reason));
}

#[tokio::test]
async fn a_vm_is_looked_at_and_acted_on_by_its_name_in_the_body() {
    let daemon = Daemon::over(&Twin::new()).await;
    let named = |vm: &str, limit_s| VmRequest { vm: vm.to_owned(), limit_s };
    for operation in VmOperation::ALL {
        let detail = daemon.client.vm(operation, &named("ok", Some(20))).await.unwrap();
        assert_eq!((detail.vm.path.as_str(), detail.disks.len()), ("/DC0/vm/ok", 1));
        let missing = daemon.client.vm(operation, &named("none", None)).await.unwrap_err();
        assert_eq!(missing.problem().unwrap().kind, ProblemKind::NotFound);
    }
    let done = daemon.client.vm(VmOperation::Shutdown, &named("ok", Some(20))).await.unwrap().done;
    assert_eq!(done, "ShutDown { limit: 20s }");
    let late = daemon.client.vm(VmOperation::Shutdown, &named("ok", Some(1))).await.unwrap_err();
    assert_eq!((late.status(), late.problem().unwrap().kind), (Some(504), ProblemKind::Timeout));
}

#[tokio::test]
async fn wrong_requests_are_problems_with_the_status_of_the_table() {
    let daemon = Daemon::over(&Twin::new()).await;
    let huge = format!(r#"{{"vm":"{}","output":"/x"}}"#, "x".repeat(100_000));
    for (method, path, body, status, kind) in [
        ("GET", "/api/v1/nowhere", "", 404, ProblemKind::NotFound),
        ("DELETE", "/api/v1/jobs", "", 405, ProblemKind::Method),
        ("GET", "/api/v1/jobs/none", "", 404, ProblemKind::NotFound),
        ("GET", "/api/v1/jobs/none/events", "", 404, ProblemKind::NotFound),
        ("POST", "/api/v1/jobs/none/cancel", "", 404, ProblemKind::NotFound),
        ("POST", "/api/v1/jobs", "vm: yaml", 400, ProblemKind::Usage),
        ("POST", "/api/v1/jobs", "{}", 400, ProblemKind::Usage),
        ("POST", "/api/v1/jobs", r#"{"vm":"ok","output":"relative"}"#, 400, ProblemKind::Usage),
        ("POST", "/api/v1/jobs", r#"{"vm":"ok","output":"/x","format":"qcow2"}"#, 400, ProblemKind::Usage),
        ("POST", "/api/v1/jobs", r#"{"kind":"import","path":"/x"}"#, 400, ProblemKind::Usage),
        ("POST", "/api/v1/jobs", r#"{"kind":"verify","path":"relative"}"#, 400, ProblemKind::Usage),
        ("POST", "/api/v1/jobs", r#"{"vm":"ok","output":"/x","disks":"0"}"#, 400, ProblemKind::Usage),
        ("POST", "/api/v1/vms/poweroff", "{}", 400, ProblemKind::Usage),
        ("POST", "/api/v1/vms/poweroff", r#"{"vm":" "}"#, 400, ProblemKind::Usage),
        ("POST", "/api/v1/vms/shutdown", r#"{"vm":"ok","timeout":1}"#, 400, ProblemKind::Usage),
        ("GET", "/api/v1/vms/poweroff", "", 405, ProblemKind::Method),
        ("POST", "/api/v1/jobs", huge.as_str(), 413, ProblemKind::TooLarge),
    ] {
        let (got, media_type, problem) = raw(&daemon, method, path, body).await;
        assert_eq!((got, problem.status, problem.kind), (status, status, kind), "{method} {path}");
        assert_eq!(media_type, "application/problem+json", "{method} {path}");
    }
    assert_eq!(daemon.client.jobs().await.unwrap().total, 0, "a refused job is no job");
}

#[tokio::test]
async fn an_unknown_job_is_not_found() {
    let daemon = Daemon::over(&Twin::new()).await;
    let error = daemon.client.job(&JobId::new("none")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(404)));
}

#[tokio::test]
async fn the_socket_is_closed_to_others_and_removed_with_its_directory_at_the_end() {
    let daemon = Daemon::over(&Twin::new()).await;
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.stop.cancel();
    daemon.served.await.unwrap().unwrap();
    assert!(!daemon.socket.parent().unwrap().exists());
}

#[tokio::test]
async fn a_directory_that_others_can_enter_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
    let reason = hypervisord::problems::problem(ProblemKind::Usage, "none");
    let socket = directory.path().join("socket");
    let configured = Configured { engine: Err(reason), images: Twin::new(), workers: Workers::process() };
    let store = Store::open(&directory.path().join("state")).unwrap();
    let refused = private::serve(&socket, store, configured, CancellationToken::new()).await;
    assert!(refused.unwrap_err().to_string().contains("0700"));
    assert!(!socket.exists());
}
