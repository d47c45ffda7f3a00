//! Which request goes where.
//!
//! | listener | path | answered by |
//! |---|---|---|
//! | vCenter | `POST /sdk` | [`crate::soap`] |
//! | vCenter | `GET /sdk/vimServiceVersions.xml` | [`crate::soap`] |
//! | vCenter | `/` | a page that says what this is |
//! | all | `GET /folder/PATH?dcPath=…&dsName=…` | [`crate::folder`] |
//! | hosts; the vCenter when URLs say `*` | `/nfc/TICKET/NAME` | [`crate::nfc`] |
//! | a host without a vCenter, as "the vCenter" | `/ha-nfc/TICKET/NAME` | [`crate::nfc`] |

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONNECTION, COOKIE, HeaderName, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;

use crate::connection::{Connection, ListenerId};
use crate::folder;
use crate::inventory::Personality;
use crate::nfc;
use crate::reply::{Reply, full, text};
use crate::soap::SdkRequest;

/// Longest SOAP request that is read. Real ones have some KiB; an import specification some hundred.
pub(crate) const SDK_BODY_BYTES_MAX: usize = 4 << 20;

const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");

const XML: &str = "text/xml; charset=utf-8";

/// Answers one request on a TLS listener.
pub(crate) async fn answer<B>(connection: Arc<Connection>, peer: SocketAddr, request: Request<B>) -> Reply
where
    B: Body<Error: std::error::Error + Send + Sync + 'static>,
{
    connection.stats().requests.increment();
    let path = request.uri().path();
    if folder::is_here(path) {
        folder::note_leaked_credentials(&connection, request.headers());
        return folder::answer(&connection, &request);
    }
    nfc::note_leaked_credentials(&connection, request.headers());
    let on_vcenter = connection.listener == ListenerId::VCenter;
    if path.starts_with(connection.world.exports.prefix()) {
        let is_host = connection.world.inventory.vcenter.personality == Personality::Esxi;
        if on_vcenter && !is_host && !connection.world.faults.now().star_host {
            return not_found();
        }
        return nfc::answer(&connection, request.method(), path, request.headers());
    }
    match (request.method(), path) {
        _ if !on_vcenter => not_found(),
        (&Method::POST, "/sdk" | "/sdk/") => sdk(&connection, peer, request).await,
        (&Method::GET, "/sdk/vimServiceVersions.xml") => {
            full(StatusCode::OK, "text/xml", connection.world.soap.versions_xml())
        }
        (&Method::GET, "/") => text(
            StatusCode::OK,
            concat!("vcenter-sim ", env!("CARGO_PKG_VERSION"), ": a SIMULATED vCenter, for tests and demos\n"),
        ),
        _ => not_found(),
    }
}

async fn sdk<B>(connection: &Connection, peer: SocketAddr, request: Request<B>) -> Reply
where
    B: Body<Error: std::error::Error + Send + Sync + 'static>,
{
    let world = &connection.world;
    world.stats.sdk_requests.increment();
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, SDK_BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::debug!(%error, "cannot read a request");
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long or ended early\n");
        }
    };
    let request = SdkRequest {
        cookie: header(&head.headers, &COOKIE),
        soap_action: header(&head.headers, &SOAP_ACTION),
        user_agent: header(&head.headers, &USER_AGENT),
        body: &body,
        remote_addr: peer,
    };
    let answer = world.soap.post(world, request).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = full(status, XML, answer.body);
    let headers = reply.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(cookie) = answer.set_cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(SET_COOKIE, cookie);
    }
    if answer.close_connection {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "not found\n")
}
