//! Nobody gets in who does not belong, over all routes there are.

use hyper_api::Role;
use hypervisord::config::{Access, Config};
use hypervisord::http::{self, Need, Route};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::daemon::{Guarded, bearer, configured};

/// Returns the path of a route with something in place of its variables.
fn filled(path: &str) -> String {
    path.replace("{id}", "none")
}

/// Returns true when an error has the form of its route: a problem of this kind, or what older clients notice.
fn says(body: &serde_json::Value, route: &Route, kind: &str) -> bool {
    if route.is_compat() { body["total_jobs"] == "-" && body["error"].is_string() } else { body["kind"] == kind }
}

#[tokio::test]
async fn without_a_token_only_the_three_health_routes_answer() {
    // One wrong request per route is more than an address has in a minute.
    let daemon = Guarded::start(|config| config.limits.refusals_per_minute = 1000).await;
    let mut open = Vec::new();
    for route in http::routes() {
        let reply = daemon.tcp(route.method().as_str(), &filled(route.path()), &[], b"").await;
        if route.need() == Need::Nothing {
            assert_eq!(reply.status, 200, "{route:?} {reply:?}");
            open.push(route.path());
        } else {
            assert_eq!(reply.status, 401, "{route:?} {reply:?}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
            assert!(says(&reply.json(), &route, "unauthorized"), "{route:?} {reply:?}");
        }
    }
    open.sort_unstable();
    assert_eq!(open, ["/health", "/healthz", "/readyz"]);
    // Nor does a stranger learn which routes there are.
    for (method, path) in [("GET", "/nowhere"), ("DELETE", "/healthz"), ("GET", "/"), ("PUT", "/api/v1/jobs")] {
        assert_eq!(daemon.tcp(method, path, &[], b"").await.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn a_role_reaches_what_it_is_for_and_nothing_above() {
    let daemon = Guarded::start(|_| ()).await;
    for role in Role::ALL {
        let header = bearer(&daemon.make_token(role.word()).await);
        for route in http::routes() {
            let reply =
                daemon.tcp(route.method().as_str(), &filled(route.path()), &[("authorization", &header)], b"").await;
            let may = match route.need() {
                Need::Nothing => true,
                Need::Role(needed) => role >= needed,
            };
            let refused = reply.status == 403 || reply.status == 401;
            assert_eq!(refused, !may, "{role} {route:?} {reply:?}");
            if refused {
                assert!(says(&reply.json(), &route, "forbidden"), "{route:?} {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_start_token_operates_and_either_header_carries_it() {
    let daemon = Guarded::start(|_| ()).await;
    let token = daemon.token();
    for (name, value) in [("authorization", bearer(&token)), ("x-api-key", token.clone())] {
        assert_eq!(daemon.tcp("GET", "/api/v1/jobs", &[(name, &value)], b"").await.status, 200);
        assert_eq!(daemon.tcp("GET", "/api/v1/tokens", &[(name, &value)], b"").await.status, 403);
    }
    let other = [("authorization", "Bearer h2k_start_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    assert_eq!(daemon.tcp("GET", "/api/v1/jobs", &other, b"").await.status, 401);
    let path = format!("/api/v1/jobs?api_key={token}");
    let reply = daemon.tcp("GET", &path, &[], b"").await;
    assert_eq!(reply.status, 400);
    assert!(!String::from_utf8_lossy(&reply.body).contains(&token));
}

#[tokio::test]
async fn a_revoked_token_lets_nobody_in_and_a_stop_ends_the_start_token() {
    let daemon = Guarded::start(|_| ()).await;
    let header = bearer(&daemon.make_token("admin").await);
    let headers = [("authorization", header.as_str())];
    let list = daemon.tcp("GET", "/api/v1/tokens", &headers, b"").await.json();
    let id = list["tokens"][0]["id"].as_str().unwrap();
    assert_eq!(list["tokens"][0]["secret"], serde_json::Value::Null);
    assert_eq!(daemon.tcp("DELETE", &format!("/api/v1/tokens/{id}"), &headers, b"").await.status, 204);
    assert_eq!(daemon.tcp("GET", "/api/v1/tokens", &headers, b"").await.status, 401);
    let (socket, token) = (daemon.config.listen.socket.clone(), daemon.config.auth.start_token.clone());
    assert!(socket.exists() && token.exists());
    daemon.daemon.stop().await;
    assert!(!socket.exists() && !token.exists());
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused_even_with_a_token() {
    let daemon = Guarded::start(|config| config.listen.hosts = vec!["daemon.example.org".into()]).await;
    let header = bearer(&daemon.token());
    for (host, origin, expected) in [
        ("localhost:8080", None, 200),
        ("daemon.example.org", None, 200),
        ("localhost:9999", Some("http://localhost:9999"), 200),
        ("evil.example.org", None, 403),
        ("localhost:8080", Some("http://evil.example.org"), 403),
        ("localhost:8080", Some("http://localhost:3000"), 403),
    ] {
        let mut headers = vec![("authorization", header.as_str()), ("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let reply = daemon.tcp("GET", "/api/v1/jobs", &headers, b"").await;
        assert_eq!(reply.status, expected, "{host} {origin:?}");
        // A page that is not ours cannot even see whether the daemon lives.
        headers.remove(0);
        assert_eq!(daemon.tcp("GET", "/healthz", &headers, b"").await.status, expected, "{host} {origin:?}");
    }
}

#[tokio::test]
async fn over_the_socket_the_kernel_says_who_asks() {
    let daemon = Guarded::start(|_| ()).await;
    let reply = daemon.unix("GET", "/api/v1/tokens", &[("authorization", "Bearer wrong")], b"").await;
    assert_eq!(reply.status, 200, "its own user may everything: {reply:?}");
    let from_page = [("origin", "http://evil.example.org")];
    assert_eq!(daemon.unix("GET", "/api/v1/tokens", &from_page, b"").await.status, 403);
}

#[tokio::test]
async fn open_loopback_opens_the_compatibility_routes_and_no_others() {
    let daemon = Guarded::start(|config| config.auth.loopback = Access::Open).await;
    for route in http::routes().iter().filter(|route| route.need() != Need::Nothing) {
        let reply = daemon.tcp(route.method().as_str(), &filled(route.path()), &[], b"").await;
        assert_eq!(reply.status == 401, !route.is_compat(), "{route:?} {reply:?}");
    }
    for (method, path, expected) in [
        ("GET", "/schedules", 404),
        ("POST", "/webhooks/0/test", 404),
        ("DELETE", "/status", 405),
        ("GET", "/api/v1/nowhere", 401),
        ("DELETE", "/api/v1/jobs", 401),
    ] {
        assert_eq!(daemon.tcp(method, path, &[], b"").await.status, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_watch_without_a_token_ends_and_says_why() {
    let daemon = Guarded::start(|_| ()).await;
    let reply = daemon.tcp("GET", "/jobs/5c1f0b7e", &[], b"").await;
    let body = reply.json();
    assert_eq!((reply.status.as_u16(), &body["status"]), (401, &serde_json::json!("failed")));
    assert!(body["error"].as_str().unwrap().contains("token"), "{body}");
}

#[tokio::test]
async fn metrics_take_a_token_unless_they_are_opened() {
    let daemon = Guarded::start(|_| ()).await;
    assert_eq!(daemon.tcp("GET", "/metrics", &[], b"").await.status, 401);
    let mut open: Config = daemon.config.clone();
    open.auth.metrics = Access::Open;
    daemon.daemon.reload(&open, configured()).unwrap();
    let reply = daemon.tcp("GET", "/metrics", &[], b"").await;
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let refused = "hypervisord_requests_total{method=\"GET\",route=\"/metrics\",status=\"401\"} 1";
    assert!(text.lines().any(|line| line == refused), "a reload keeps the counts: {text}");
    assert!(text.contains("hypervisord_jobs{state=\"running\"} 0"), "{text}");
}

#[tokio::test]
async fn too_large_too_many_and_unreadable_requests_are_refused() {
    let daemon = Guarded::start(|config| config.limits.requests_per_second = 1).await;
    let reader = bearer(&daemon.make_token("operate").await);
    let large = vec![b'x'; 64 << 20];
    let reply = daemon.tcp("POST", "/api/v1/jobs", &[("authorization", &reader)], &large).await;
    assert_eq!((reply.status.as_u16(), reply.json()["kind"].clone()), (413, "too_large".into()));
    let start = bearer(&daemon.token());
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(daemon.tcp("GET", "/api/v1/jobs", &[("authorization", &start)], b"").await.status.as_u16());
    }
    assert!(codes[0] == 200 && codes.contains(&429), "{codes:?}");
    let other = bearer(&daemon.make_token("read").await);
    assert_eq!(daemon.tcp("GET", "/api/v1/jobs", &[("authorization", &other)], b"").await.status, 200);
    let many: String = "a".repeat(40 << 10);
    assert_eq!(daemon.tcp("GET", "/healthz", &[("x-much", &many)], b"").await.status, 431);
}

#[tokio::test]
async fn who_is_wrong_again_and_again_is_held_up_and_nobody_else_is() {
    let daemon = Guarded::start(|config| config.limits.refusals_per_minute = 2).await;
    let wrong = [("authorization", "Bearer wrong")];
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(daemon.tcp("GET", "/api/v1/jobs", &wrong, b"").await.status.as_u16());
    }
    assert!(codes[0] == 401 && codes.contains(&429), "{codes:?}");
    let right = bearer(&daemon.token());
    assert_eq!(daemon.tcp("GET", "/api/v1/jobs", &[("authorization", &right)], b"").await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_hung_up_on() {
    let daemon = Guarded::start(|config| config.limits.head_seconds = 1).await;
    let mut stream = tokio::net::TcpStream::connect(daemon.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: local").await.unwrap();
    let mut answer = Vec::new();
    // Ends when the daemon hangs up; the test's own time is not measured.
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
}

#[tokio::test]
async fn an_address_that_others_reach_speaks_tls_only() {
    let daemon = Guarded::start(|config| config.listen.tcp = vec!["0.0.0.0:0".to_owned()]).await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], daemon.address().port()));
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    let stream = crate::tls::connected(address, &daemon.config.state_dir.join("tls/certificate.pem")).await;
    let header = bearer(&daemon.token());
    let reply = crate::daemon::send(stream, "GET", "/api/v1/info", &[("authorization", &header)], b"").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let stream = crate::tls::connected(address, &daemon.config.state_dir.join("tls/certificate.pem")).await;
    assert_eq!(crate::daemon::send(stream, "GET", "/api/v1/info", &[], b"").await.status, 401);
    assert!(daemon.folder.path().exists());
}

#[tokio::test]
async fn a_batch_may_be_larger_than_one_job_and_has_an_end_too() {
    let daemon = Guarded::start(|_| ()).await;
    let job =
        |number: u32| serde_json::json!({ "kind": "verify", "path": format!("/none/{number}{}", "x".repeat(100)) });
    let batch = |count| serde_json::json!({ "jobs": (0..count).map(job).collect::<Vec<_>>() }).to_string();
    let body = batch(1000);
    assert!(body.len() > 100_000);
    let reply = daemon.unix("POST", "/api/v1/jobs/batch", &[], body.as_bytes()).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["accepted"]), (200, &serde_json::json!(1000)));
    let page = daemon.unix("GET", "/api/v1/jobs?limit=1000", &[], b"").await.json();
    assert_eq!(page["jobs"].as_array().unwrap().len(), 1000);
    let reply = daemon.unix("POST", "/api/v1/jobs/batch", &[], br#"{"jobs":[]}"#).await;
    assert_eq!(reply.status, 400);
    let jobs = vec![0; 20_001];
    let reply = daemon
        .unix("POST", "/api/v1/jobs/batch", &[], serde_json::json!({ "jobs": jobs }).to_string().as_bytes())
        .await;
    assert_eq!(reply.status, 413);
    daemon.daemon.stop().await;
}
