//! The control endpoint: plain HTTP for tests, demos and judges, beside the simulated servers.
//!
//! | request | answer |
//! |---|---|
//! | `GET /report` | what was seen: connections, requests, bytes, leases, sessions, faults that struck |
//! | `GET /faults` | the switches and faults that hold now |
//! | `POST /faults` | changes those that the JSON object names; `null` restores a default |
//! | `GET /rules` | all rules, with how often they matched and struck |
//! | `POST /rules` | adds a rule, or a list of them |
//! | `DELETE /rules`, `DELETE /rules?name=NAME` | removes all rules, or those of this name |
//! | `GET /disks?vm=PATH&disk=N` | the raw bytes of a disk; with `&snapshot=NAME` those that a snapshot keeps |
//! | `GET /disks/sha256?vm=PATH&disk=N` | their SHA-256 and size |
//! | `GET /calls?after=N` | the calls that began after the N-th, in order: what, on what, by whom, how it ended |
//! | `POST /vms/move?vm=PATH&host=NAME&datastore=NAME` | moves a VM to another host, datastore, or both, as vMotion does |
//! | `POST /shutdown` | stops the simulator |
//!
//! No credentials: it is for whoever started the simulator, on loopback.

mod disks;
mod query;
mod vms;

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{ALLOW, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::faults::rule::parse_json;
use crate::reply::{Reply, empty, full, text};
use crate::server::{accept_until_stop, serve_http};
use crate::world::World;

const FAULTS_BODY_BYTES_MAX: usize = 64 << 10;

const JSON: &str = "application/json";

/// Serves the endpoint until the stop, which it can cause.
pub(crate) async fn serve(listener: TcpListener, world: Arc<World>, stop: watch::Sender<bool>) {
    let signal = stop.subscribe();
    accept_until_stop(listener, None, signal.clone(), |tcp: TcpStream, _peer: SocketAddr| {
        let (world, stop, signal) = (Arc::clone(&world), stop.clone(), signal.clone());
        async move {
            let answer = |request| answer(&world, &stop, request);
            serve_http(tcp, answer, signal).await;
        }
    })
    .await;
}

async fn answer(world: &Arc<World>, stop: &watch::Sender<bool>, request: Request<Incoming>) -> Reply {
    if !is_for_an_address(&request) {
        return text(StatusCode::FORBIDDEN, "use the address of this endpoint, not a name\n");
    }
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    match (path.as_str(), method) {
        ("/report", Method::GET) => json_reply(&report(world)),
        ("/faults", Method::GET) => match serde_json::to_value(&*world.faults.now()) {
            Ok(settings) => json_reply(&settings),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        ("/faults", Method::POST) => change_faults(world, request).await,
        ("/rules", Method::GET) => json_reply(&world.faults.rules()),
        ("/rules", Method::POST) => add_rules(world, request).await,
        ("/rules", Method::DELETE) => remove_rules(world, request.uri().query()),
        ("/disks", Method::GET) => disks::raw(world, request.uri().query()),
        ("/disks/sha256", Method::GET) => disks::sha256(world, request.uri().query()).await,
        ("/calls", Method::GET) => calls(world, request.uri().query()),
        ("/vms/move", Method::POST) => vms::migrate(world, request.uri().query()),
        ("/shutdown", Method::POST) => {
            stop.send_replace(true);
            text(StatusCode::OK, "stopping\n")
        }
        ("/report" | "/calls" | "/disks" | "/disks/sha256", _) => not_allowed("GET"),
        ("/faults", _) => not_allowed("GET, POST"),
        ("/rules", _) => not_allowed("GET, POST, DELETE"),
        ("/shutdown" | "/vms/move", _) => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

/// Returns whether a request names an address, as tools do: a web page that lured a browser here by a
/// name of its own must not be able to change or stop anything.
fn is_for_an_address(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    host.parse::<SocketAddr>().is_ok() || host.rsplit_once(':').is_some_and(|(name, _)| name == "localhost")
}

fn report(world: &World) -> Value {
    let mut report = world.stats.report();
    report["simulator"] = json!(concat!("vcenter-sim ", env!("CARGO_PKG_VERSION")));
    report["faults_struck"] = json!(world.faults.struck());
    report["soap"] = world.soap.report();
    report
}

fn calls(world: &World, query: Option<&str>) -> Reply {
    let after = match query::value(query, "after") {
        None => Ok(0),
        Some(number) => number.parse::<u64>(),
    };
    match after {
        Ok(after) => json_reply(&world.soap.calls(after)),
        Err(_) => text(StatusCode::BAD_REQUEST, "`after` is the number of a call\n"),
    }
}

async fn change_faults(world: &World, request: Request<Incoming>) -> Reply {
    let Ok(body) = Limited::new(request.into_body(), FAULTS_BODY_BYTES_MAX).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long or ended early\n");
    };
    let merged = serde_json::from_slice(&body.to_bytes())
        .map_err(|error| error.to_string())
        .and_then(|changes: Value| world.faults.merge(&changes));
    match merged {
        Ok(()) => json_reply(&json!({})),
        Err(rule) => text(StatusCode::BAD_REQUEST, format!("{rule}\n")),
    }
}

async fn add_rules(world: &World, request: Request<Incoming>) -> Reply {
    let Ok(body) = Limited::new(request.into_body(), FAULTS_BODY_BYTES_MAX).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long or ended early\n");
    };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    match parse_json(&body).and_then(|rules| world.faults.add_rules(rules)) {
        Ok(()) => json_reply(&json!({})),
        Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

fn remove_rules(world: &World, query: Option<&str>) -> Reply {
    let name = match query {
        None | Some("") => None,
        Some(query) => match query.strip_prefix("name=") {
            Some(name) => Some(percent_decode_str(name).decode_utf8_lossy().into_owned()),
            None => return text(StatusCode::BAD_REQUEST, "the only parameter is `name`\n"),
        },
    };
    json_reply(&json!({"removed": world.faults.remove_rules(name.as_deref())}))
}

fn json_reply(value: &Value) -> Reply {
    full(StatusCode::OK, JSON, format!("{value:#}\n"))
}

fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = empty(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    reply
}
