//! Does to requests, replies and bodies what rules say, and shapes the bodies of files.
//!
//! ```text
//!  request ─► deeds, waits, answers ─► router ─► deeds, edits ─► body: cut, flipped, silent, slow ─►
//!             (asked before)                     (asked after)
//! ```
//!
//! It stands between the server and the router, so that every handler is under the same rules and knows
//! none of them. Without rules it only counts and shapes the files that pass. What a rule wants done to
//! objects is done by `soap::meddle`; what it wants done to the format of a stream by `stream::damage`.

mod body;
mod deed;
mod edit;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use crate::connection::Connection;
use crate::line::StreamCount;
use crate::pace::profile::Road;
use crate::reply::encode::{accepts_gzip, encode};
use crate::reply::{Reply, boxed, text};
use crate::router;
use body::{Passing, Plan};
use visit::Visit;

/// Answers one request on a TLS listener, as the rules have it.
pub(crate) async fn answer(connection: Arc<Connection>, peer: SocketAddr, request: Request<Incoming>) -> Reply {
    let road = Road::of(request.uri().path());
    let is_file = road.is_some() && request.method() == Method::GET;
    if let Some(road) = road {
        wait_for_first_byte(&connection, road).await;
    }
    let is_call = request.method() == Method::POST && request.uri().path().starts_with("/sdk");
    let gzip = accepts_gzip(request.headers());
    if !connection.world.faults.has_rules() {
        let mut reply = router::answer(Arc::clone(&connection), peer, request).await;
        if is_call {
            reply = encode(reply, &connection.world.faults.now(), gzip).await;
        }
        return if is_file { pass(&connection, road, reply, Plan::default()) } else { reply };
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, router::SDK_BODY_BYTES_MAX).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long or ended early\n");
    };
    let body = body.to_bytes();
    let visit = Visit::new(&connection, &head, &body);
    let mut request = Request::from_parts(head, Full::new(body));
    if let Some(reply) = visit.before(&mut request).await {
        return reply;
    }
    let reply = router::answer(Arc::clone(&connection), peer, request).await;
    let (mut reply, plan) = visit.after(reply).await;
    if is_call {
        reply = encode(reply, &connection.world.faults.now(), gzip).await;
    }
    if is_file || !plan.is_empty() { pass(&connection, road, reply, plan) } else { reply }
}

/// Waits as long as the profile says that a road takes to answer.
async fn wait_for_first_byte(connection: &Connection, road: Road) {
    let latency = connection.world.faults.now().shape().lane(road).latency_ms;
    if latency > 0 {
        connection.world.stats.files.latency_ms.add(latency);
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
}

/// Lets a reply's body pass through faults and bandwidth.
fn pass(connection: &Arc<Connection>, road: Option<Road>, reply: Reply, plan: Plan) -> Reply {
    let (head, inner) = reply.into_parts();
    let count = road.filter(|_| head.status.is_success()).map(|_| StreamCount::begin(connection.line()));
    let passing = Passing::new(Arc::clone(connection), inner, plan, road, count);
    Reply::from_parts(head, boxed(passing))
}
