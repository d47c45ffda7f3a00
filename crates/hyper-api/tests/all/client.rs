//! The client against a server that says exactly what a test wants it to say.

use hyper_api::client::{Client, Endpoint, ErrorKind};
use hyper_api::{JobId, JobState, ProblemKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers one connection with `reply` after its request's head, then closes; returns the request.
async fn serve_once(reply: String) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the client hung up");
        }
        stream.write_all(reply.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (Client::new(Endpoint::parse(&format!("http://127.0.0.1:{port}")).unwrap()), server)
}

fn reply(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn job_id() -> JobId {
    JobId::new("5c1f0b7e-9a3d-4e52-8d0c-3f0c9f3e2a11")
}

#[tokio::test]
async fn a_typed_reply_is_read_and_the_request_names_its_host() {
    let (client, server) = serve_once(reply("200 OK", include_str!("../samples/info-0.1.json"))).await;
    assert_eq!(client.info().await.unwrap().pid, 4711);
    let request = server.await.unwrap();
    assert!(request.starts_with("GET /api/v1/info HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: 127.0.0.1:"), "{request}");
}

#[tokio::test]
async fn a_refusal_carries_the_problem() {
    let (client, _server) = serve_once(reply("404 Not Found", include_str!("../samples/problem-0.1.json"))).await;
    let error = client.job(&job_id()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(404)));
    assert_eq!(error.problem().unwrap().kind, ProblemKind::NotFound);
    assert_eq!(error.to_string(), "find VM web01: three VMs have this name");
}

#[tokio::test]
async fn a_refusal_by_a_stranger_names_the_status() {
    let (client, _server) = serve_once(reply("502 Bad Gateway", "<html>nginx</html>")).await;
    let error = client.vms().await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(502)));
    assert!(error.to_string().ends_with("status 502"), "{error}");
}

#[tokio::test]
async fn a_reply_of_another_shape_is_a_protocol_error() {
    let (client, _server) = serve_once(reply("200 OK", "[]")).await;
    assert_eq!(client.jobs().await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_reply_that_is_cut_short_is_a_protocol_error() {
    let (client, _server) = serve_once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".into()).await;
    assert_eq!(client.info().await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn nobody_there_is_a_connect_error_that_names_the_address() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(Endpoint::unix(directory.path().join("none")));
    let error = client.info().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.chain().contains("/none"), "{}", error.chain());
}

#[tokio::test]
async fn events_are_read_until_the_stream_ends_and_the_last_id_is_sent() {
    let one_line = |sample: &str| serde_json::from_str::<serde_json::Value>(sample).unwrap().to_string();
    let running = one_line(include_str!("../samples/job-running-0.1.json"));
    let completed = one_line(include_str!("../samples/job-completed-0.1.json"));
    let body = format!(
        ": keep-alive\n\n{}{}{}",
        hyper_api::sse::write("17", "job", &running),
        hyper_api::sse::write("18", "log", "a line of another kind"),
        hyper_api::sse::write("40", "job", &completed),
    );
    let (client, server) = serve_once(reply("200 OK", &body)).await;
    let mut events = client.events(&job_id(), Some("16")).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().state, JobState::Running);
    assert_eq!(events.last_event_id(), Some("17"));
    assert_eq!(events.next().await.unwrap().unwrap().state, JobState::Completed);
    assert_eq!(events.next().await.unwrap(), None);
    assert!(server.await.unwrap().contains("\r\nlast-event-id: 16\r\n"));
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_and_not_an_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n: hi\n\r\n";
    let (client, _server) = serve_once(head.into()).await;
    let mut events = client.events(&job_id(), None).await.unwrap();
    assert_eq!(events.next().await.unwrap_err().kind(), ErrorKind::Protocol);
}
