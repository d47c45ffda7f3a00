//! Answers requests for the files of leases, as hosts do at `/nfc/TICKET/NAME`.
//!
//! The ticket in the URL is the only credential. A disk is sent chunked, without a length, from the
//! beginning whatever the request's `Range` says; what is no disk has a length. [`body`] makes the
//! bytes arrive at the connection's bandwidth, or not at all.

mod body;

use std::sync::Arc;

use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::connection::{Connection, ListenerId};
use crate::export::RunningStream;
use crate::reply::{Reply, empty, text};
use body::FileBody;

/// What real hosts call the stream of a disk.
const DISK_TYPE: HeaderValue = HeaderValue::from_static("application/x-vnd.vmware-streamVmdk");
const FILE_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Answers one request below `/nfc/`.
pub(crate) fn answer(connection: &Arc<Connection>, method: &Method, path: &str, headers: &HeaderMap) -> Reply {
    let world = &connection.world;
    let stats = &world.stats.files;
    match *method {
        Method::GET => {}
        Method::HEAD => {
            stats.heads.increment();
            if world.faults.now().head_405 {
                return not_allowed();
            }
        }
        _ => return not_allowed(),
    }
    let Some((lease, file)) = world.exports.find(path) else {
        stats.refused.increment();
        return text(StatusCode::NOT_FOUND, "no such ticket or file\n");
    };
    let content_type = if file.item.disk { DISK_TYPE } else { FILE_TYPE };
    if *method == Method::HEAD {
        let mut reply = empty(StatusCode::OK);
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
        return reply;
    }
    if file.mark_fetched() && world.faults.now().single_use_tickets {
        stats.refused.increment();
        return text(StatusCode::NOT_FOUND, "this ticket was used\n");
    }
    if headers.contains_key(RANGE) {
        stats.ranges_ignored.increment();
    }
    let Some(running) = RunningStream::begin(lease, Arc::clone(connection)) else {
        stats.refused.increment();
        return text(StatusCode::NOT_FOUND, "the lease has ended\n");
    };
    match FileBody::begin(Arc::clone(connection), file, running) {
        Ok(body) => {
            stats.started.increment();
            let mut reply = Response::new(crate::reply::boxed(body));
            reply.headers_mut().insert(CONTENT_TYPE, content_type);
            reply
        }
        Err(error) => {
            tracing::warn!(%error, "cannot begin the stream of a file");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot begin the stream\n")
        }
    }
}

/// Counts a request that brought credentials to a host, whatever it asks for.
pub(crate) fn note_leaked_credentials(connection: &Connection, headers: &HeaderMap) {
    let leaked = headers.contains_key(COOKIE) || headers.contains_key(AUTHORIZATION);
    if leaked && matches!(connection.listener, ListenerId::Host(_)) {
        connection.world.stats.credentials_leaked_to_host.increment();
    }
}

fn not_allowed() -> Reply {
    let mut reply = empty(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    reply
}
