//! How replies to calls are sent: compressed, in chunks, as the last ones of their connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use libdeflater::{CompressionLvl, Compressor};

use super::{Reply, ReplyBody, boxed, whole};
use crate::faults::Settings;

/// Bytes of a chunk: small, so that even short replies come in several.
const CHUNK_BYTES: usize = 512;

/// Returns whether a client accepts gzip; `gzip;q=0` is a refusal.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let refused = parts
            .any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|quality| quality == 0.0)));
        named && !refused
    })
}

/// Sends a reply as the settings have it.
pub(crate) async fn encode(reply: Reply, settings: &Settings, gzip_accepted: bool) -> Reply {
    let (mut head, mut body) = reply.into_parts();
    if settings.close_after_reply {
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let gzip = settings.gzip_replies && gzip_accepted;
    if gzip || settings.chunked_replies {
        head.headers.remove(CONTENT_LENGTH);
        let Ok(collected) = body.collect().await else {
            return Reply::from_parts(head, whole(Bytes::new()));
        };
        let mut bytes = collected.to_bytes();
        if let Some(compressed) = gzip.then(|| compress(&bytes)).flatten() {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            bytes = compressed;
        }
        body = if settings.chunked_replies { chunked(bytes) } else { whole(bytes) };
    }
    Reply::from_parts(head, body)
}

fn compress(bytes: &[u8]) -> Option<Bytes> {
    let mut compressor = Compressor::new(CompressionLvl::fastest());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut out).ok()?;
    out.truncate(len);
    Some(Bytes::from(out))
}

/// Returns a body of unknown length, in pieces.
fn chunked(bytes: Bytes) -> ReplyBody {
    let pieces: Vec<Bytes> = bytes.chunks(CHUNK_BYTES).map(|piece| bytes.slice_ref(piece)).collect();
    boxed(Pieces(pieces.into_iter()))
}

/// A body of ready pieces that does not say how long it is.
struct Pieces(std::vec::IntoIter<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        assert!(!accepts_gzip(&HeaderMap::new()));
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, deflate", false),
        ] {
            assert_eq!(accepts(value), expected, "{value}");
        }
    }
}
