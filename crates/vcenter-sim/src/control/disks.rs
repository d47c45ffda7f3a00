//! The raw bytes of disks, for judges that compare an export with what was exported.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::query::value;
use crate::content::DiskContent;
use crate::inventory::Disk;
use crate::reply::{Reply, boxed, text};
use crate::stream::hex;
use crate::world::World;

/// Bytes that are read at once.
const PIECE_LEN: usize = 256 << 10;

/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 4;

/// Answers with the bytes of a disk.
pub(super) fn raw(world: &World, query: Option<&str>) -> Reply {
    let content = match find(world, query) {
        Ok(content) => content,
        Err((status, rule)) => return text(status, rule),
    };
    let left = content.capacity_bytes();
    let mut reply = Response::new(boxed(RawBody { pieces: read(content), left }));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    reply
}

/// Answers with the SHA-256 of the bytes of a disk.
pub(super) async fn sha256(world: &World, query: Option<&str>) -> Reply {
    let content = match find(world, query) {
        Ok(content) => content,
        Err((status, rule)) => return text(status, rule),
    };
    let bytes = content.capacity_bytes();
    let mut pieces = read(content);
    let mut hash = Sha256::new();
    while let Some(piece) = pieces.recv().await {
        match piece {
            Ok(piece) => hash.update(&piece),
            Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot read the disk: {error}\n")),
        }
    }
    super::json_reply(&json!({ "sha256": hex(&hash.finalize()), "bytes": bytes }))
}

fn find(world: &World, query: Option<&str>) -> Result<Arc<DiskContent>, (StatusCode, String)> {
    let (Some(vm), Some(disk)) = (value(query, "vm"), value(query, "disk").and_then(|disk| disk.parse().ok())) else {
        let rule = "say ?vm=PATH&disk=NUMBER or ?vm=PATH&disk=NUMBER&snapshot=NAME\n";
        return Err((StatusCode::BAD_REQUEST, rule.to_owned()));
    };
    let Some(base) = world.exports.disk(&vm, disk) else {
        return Err((StatusCode::NOT_FOUND, format!("VM `{vm}` with disk {disk} is not in the inventory\n")));
    };
    let snapshot = value(query, "snapshot");
    let deltas = world.soap.deltas(&vm, snapshot.as_deref());
    let unknown = || (StatusCode::NOT_FOUND, format!("VM `{vm}` has no snapshot `{}`\n", snapshot.unwrap_or_default()));
    let deltas = deltas.ok_or_else(unknown)?;
    let layered = world.inventory.vm(&vm).and_then(|vm| vm.disks.get(disk)).is_some_and(Disk::is_in_snapshots);
    Ok(DiskContent::layered(&base, disk, if layered { &deltas } else { &[] }))
}

/// Reads a disk on a blocking thread, until its end, an error, or nobody listens any more.
fn read(content: Arc<DiskContent>) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut offset = 0;
        while offset < content.capacity_bytes() {
            let left = content.capacity_bytes() - offset;
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_LEN);
            let mut piece = vec![0; len];
            let read = content.read_range(offset, &mut piece);
            let failed = read.is_err();
            if sender.blocking_send(read.map(|()| Bytes::from(piece))).is_err() || failed {
                return;
            }
            offset += u64::try_from(len).expect("usize has at most 64 bits");
        }
    });
    receiver
}

/// The bytes of a disk as they are read.
struct RawBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl Body for RawBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(self.pieces.poll_recv(cx));
        if let Some(Ok(piece)) = &piece {
            self.left -= u64::try_from(piece.len()).expect("usize has at most 64 bits");
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
