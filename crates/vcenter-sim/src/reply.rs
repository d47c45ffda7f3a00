//! Small HTTP replies, and the one body type that all of them share.

pub(crate) mod encode;

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;

/// The body of every reply.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

/// A reply of this server.
pub(crate) type Reply = Response<ReplyBody>;

/// Returns a body as the common type.
pub(crate) fn boxed(body: impl Body<Data = Bytes, Error = io::Error> + Send + 'static) -> ReplyBody {
    UnsyncBoxBody::new(body)
}

/// Returns a body whose bytes are all there.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> ReplyBody {
    boxed(Full::new(bytes.into()).map_err(|never: Infallible| match never {}))
}

/// Returns a reply whose bytes are all there.
pub(crate) fn full(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(whole(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Returns a reply for people to read.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    full(status, "text/plain; charset=utf-8", body)
}

/// Returns a reply without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = text(status, Bytes::new());
    reply.headers_mut().remove(CONTENT_TYPE);
    reply
}
