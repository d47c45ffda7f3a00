//! `/ws`, read by a client of our own: the few bytes of the protocol that a listener needs.

use std::collections::BTreeSet;

use hypervisord::http;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::twin::{Daemon, Twin};

/// The key and the answer to it that RFC 6455 gives as its example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;

struct Listener {
    stream: BufReader<UnixStream>,
}

impl Listener {
    async fn connect(daemon: &Daemon) -> Self {
        let mut stream = BufReader::new(UnixStream::connect(&daemon.socket).await.unwrap());
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        Self { stream }
    }

    /// Returns the next text frame; pings are passed over.
    async fn next(&mut self) -> Value {
        loop {
            let (opcode, payload) = self.frame().await;
            match opcode {
                OPCODE_TEXT => return serde_json::from_slice(&payload).unwrap(),
                OPCODE_PING => {}
                other => panic!("a frame of kind {other}"),
            }
        }
    }

    /// Returns the next frame of one kind.
    async fn next_of(&mut self, kind: &str) -> Value {
        for _ in 0..100 {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
        panic!("there is no {kind}");
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let first = self.stream.read_u8().await.unwrap();
        assert_eq!(first & 0xf0, 0x80, "whole frames without extensions");
        let length = match self.stream.read_u8().await.unwrap() {
            126 => u64::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.unwrap();
        (first & 0x0f, payload)
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        // Masked with zeros, which leave the payload as it is.
        let head = [0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        self.stream.write_all(&[&head, payload].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn a_listener_gets_the_status_the_jobs_every_change_and_the_figures() {
    let daemon = Daemon::over(&Twin::new()).await;
    let before = daemon.submit("ok").await;
    daemon.until(&before, |job| job.state.is_final()).await;
    let mut listener = Listener::connect(&daemon).await;
    let status = listener.next().await;
    assert_eq!(status["type"], "status");
    assert!(status["timestamp"].as_str().is_some_and(|time| !time.ends_with('Z')));
    assert_eq!(status["data"], json!({"total_jobs": 1, "running_jobs": 0, "completed_jobs": 1, "failed_jobs": 0}));
    let jobs = listener.next().await;
    assert_eq!((&jobs["type"], &jobs["data"]["jobs"][0]["status"]), (&json!("jobs"), &json!("completed")));
    let after = daemon.submit("fails").await;
    daemon.until(&after, |job| job.state.is_final()).await;
    let update = listener.next_of("job_update").await["data"].take();
    assert_eq!(
        (&update["definition"]["id"], &update["status"], &update["error"]),
        (&json!(after.id), &json!("failed"), &json!("write into /full: no space left"))
    );
    let metrics = listener.next_of("metrics").await["data"]["raw"].take();
    assert_eq!((&metrics["jobs_failed"], &metrics["websocket_clients"]), (&json!(1), &json!(1)));
    let told: BTreeSet<_> =
        metrics["recent_jobs"].as_array().unwrap().iter().map(|job| job["id"].to_string()).collect();
    assert_eq!(told, BTreeSet::from([json!(before.id).to_string(), json!(after.id).to_string()]));
}

#[tokio::test]
async fn what_a_listener_says_is_ignored_until_it_says_goodbye() {
    let daemon = Daemon::over(&Twin::new()).await;
    let mut listener = Listener::connect(&daemon).await;
    listener.send(OPCODE_TEXT, br#"{"type":"cancel_everything"}"#).await;
    assert_eq!(listener.next().await["type"], "status");
    listener.next_of("metrics").await;
    listener.send(OPCODE_CLOSE, &[]).await;
    for _ in 0..100 {
        if listener.frame().await.0 == OPCODE_CLOSE {
            return;
        }
    }
    panic!("the daemon does not close");
}

#[test]
fn the_routes_of_older_programs_are_marked_as_such() {
    let marked: BTreeSet<_> =
        http::routes().iter().filter(|route| route.is_compat()).map(|route| route.path()).collect();
    let expected = [
        "/capabilities",
        "/health",
        "/jobs/cancel",
        "/jobs/eta/{id}",
        "/jobs/logs/{id}",
        "/jobs/progress/{id}",
        "/jobs/query",
        "/jobs/status/{id}",
        "/jobs/submit",
        "/jobs/{id}",
        "/status",
        "/vms/info",
        "/vms/list",
        "/vms/poweroff",
        "/vms/remove-cdrom",
        "/vms/shutdown",
        "/ws",
    ];
    assert_eq!(marked, BTreeSet::from(expected));
}
