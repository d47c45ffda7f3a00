//! Answers requests below `/folder`: the files of datastores, read as a whole or in ranges.
//!
//! ```text
//!  access ─► target ─► directory: a page with links
//!  (401/403)  (404)  └► file: locked? ─► range ─► body, at the connection's bandwidth
//! ```
//!
//! The vCenter knows all datacenters by their paths and takes its sessions and accounts; a host knows its
//! own datastores, and takes tickets. Deliberately absent: every method that changes something.

mod access;
mod body;
mod page;
mod range;
mod target;
mod ticket;

pub(crate) use access::note_leaked_credentials;
pub(crate) use ticket::{Ticket, Tickets};

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use jiff::Timestamp;

use crate::connection::Connection;
use crate::content::mix;
use crate::datastore::file::{Lock, StoredFile};
use crate::datastore::tree::{self, Entry};
use crate::export::text_seed;
use crate::reply::{Reply, boxed, empty, text};
use body::{FileBody, Part};
use range::Wanted;
use target::{Miss, Target};

const FILE_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Between the parts of a reply with several ranges; no file has it, because disks have no lines.
const BOUNDARY: &str = "vcenter-sim-3f1d8c52b6a94e07";

/// Returns whether a path is answered here.
pub(crate) fn is_here(path: &str) -> bool {
    path == "/folder" || path.starts_with("/folder/")
}

/// Returns the VMs whose file a URL names, or all that have files in the directory that it names.
pub(crate) fn owners(connection: &Connection, uri: &Uri) -> Vec<usize> {
    let world = &connection.world;
    match Target::of(connection, uri, world.faults.now().folder_double_decode) {
        Ok(Target::File { datastore, path }) => tree::owners(world, datastore, &path, &|vm| world.soap.vm_now(vm)),
        _ => Vec::new(),
    }
}

/// Answers one request.
pub(crate) fn answer<B>(connection: &Arc<Connection>, request: &Request<B>) -> Reply {
    let stats = &connection.stats().folder;
    stats.requests.increment();
    let settings = connection.world.faults.now();
    let head_refused = *request.method() == Method::HEAD && settings.folder_head_405;
    if !matches!(*request.method(), Method::GET | Method::HEAD) || head_refused {
        let mut reply = empty(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = if settings.folder_head_405 { "GET" } else { "GET, HEAD" };
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return reply;
    }
    if let Err(denied) = access::check(connection, request.method(), request.uri(), request.headers()) {
        stats.denied.increment();
        return denied.reply();
    }
    match Target::of(connection, request.uri(), settings.folder_double_decode) {
        Ok(Target::File { datastore, path }) => answer_path(connection, request, datastore, &path),
        Ok(Target::Datacenters) => page::datacenters(&connection.world),
        Ok(Target::Datastores { datacenter }) => page::datastores(&connection.world, datacenter),
        Err(Miss::NotFound) => not_found(),
        Err(Miss::Malformed) => text(StatusCode::BAD_REQUEST, "the path is not percent-encoded UTF-8\n"),
    }
}

fn answer_path<B>(connection: &Arc<Connection>, request: &Request<B>, datastore: usize, path: &str) -> Reply {
    let world = &connection.world;
    let now = |vm| world.soap.vm_now(vm);
    let moves = world.datastores.moves();
    match tree::find(world, datastore, path, &now) {
        None => not_found(),
        Some(Entry::Directory(_)) => match tree::list(world, datastore, path, &now) {
            Some(entries) => page::directory(world, datastore, path, &entries),
            None => not_found(),
        },
        Some(Entry::File(file)) => answer_file(connection, request, &file, moves),
    }
}

fn answer_file<B>(connection: &Arc<Connection>, request: &Request<B>, file: &StoredFile, moves: u64) -> Reply {
    let settings = connection.world.faults.now();
    let locked = match file.lock {
        Lock::Free => false,
        Lock::Written => true,
        Lock::Read => settings.folder_lower_links_locked,
    };
    if locked {
        connection.stats().folder.locked.increment();
        let status = StatusCode::from_u16(settings.folder_locked_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return text(status, "the file is locked\n");
    }
    let is_head = *request.method() == Method::HEAD;
    let mut headers = describe(file);
    if is_head && settings.folder_head_hides_ranges {
        headers.remove(ACCEPT_RANGES);
    }
    let wanted = if is_head { Wanted::All } else { wanted(file, request.headers(), &headers) };
    let (status, parts) = match wanted {
        Wanted::All => (StatusCode::OK, vec![Part::File(0..file.size_bytes)]),
        Wanted::Nothing => {
            let mut reply = text(StatusCode::RANGE_NOT_SATISFIABLE, "there is nothing in this range\n");
            insert(reply.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", file.size_bytes));
            return reply;
        }
        Wanted::Ranges(ranges) => {
            connection.stats().folder.ranges.add(u64::try_from(ranges.len()).unwrap_or(u64::MAX));
            (StatusCode::PARTIAL_CONTENT, ranged(file, &ranges, &mut headers))
        }
    };
    let len: u64 = parts.iter().map(Part::len).sum();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    let mut reply = if is_head {
        empty(status)
    } else {
        Response::new(boxed(FileBody::new(Arc::clone(connection), file, moves, parts)))
    };
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// Returns the headers that every reply with this file has.
fn describe(file: &StoredFile) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, FILE_TYPE);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(&mut headers, LAST_MODIFIED, &http_date(file.modified));
    let version = mix(text_seed(&file.path()) ^ mix(file.size_bytes) ^ mix(file.modified.unsigned_abs()));
    insert(&mut headers, ETAG, &format!("\"{version:016x}\""));
    headers
}

/// Returns what a request wants of a file, described by `headers`.
fn wanted(file: &StoredFile, request: &HeaderMap, headers: &HeaderMap) -> Wanted {
    let Some(range) = request.get(RANGE).and_then(|value| value.to_str().ok()) else { return Wanted::All };
    // Whoever has a part of another version gets all of this one.
    let same = |value: &HeaderValue| headers.get(ETAG) == Some(value) || headers.get(LAST_MODIFIED) == Some(value);
    if !request.get(IF_RANGE).is_none_or(same) {
        return Wanted::All;
    }
    range::parse(range, file.size_bytes)
}

/// Returns the parts of a reply with ranges, and says in the headers what they are.
fn ranged(file: &StoredFile, ranges: &[std::ops::Range<u64>], headers: &mut HeaderMap) -> Vec<Part> {
    let said = |range: &std::ops::Range<u64>| format!("bytes {}-{}/{}", range.start, range.end - 1, file.size_bytes);
    if let [range] = ranges {
        insert(headers, CONTENT_RANGE, &said(range));
        return vec![Part::File(range.clone())];
    }
    insert(headers, CONTENT_TYPE, &format!("multipart/byteranges; boundary={BOUNDARY}"));
    let mut parts = Vec::with_capacity(ranges.len() * 2 + 1);
    for range in ranges {
        let head = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n\r\n",
            said(range)
        );
        parts.push(Part::Bytes(Bytes::from(head)));
        parts.push(Part::File(range.clone()));
    }
    parts.push(Part::Bytes(Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"))));
    parts
}

/// Returns a time as HTTP writes it.
fn http_date(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("made of digits and ASCII words"));
}

fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "no such file or directory\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_form_that_http_asks_for() {
        assert_eq!(http_date(1_735_689_600), "Wed, 01 Jan 2025 00:00:00 GMT");
    }

    #[test]
    fn only_folder_and_what_is_below_it_is_answered_here() {
        assert!(is_here("/folder") && is_here("/folder/") && is_here("/folder/a/b"));
        assert!(!is_here("/folders") && !is_here("/nfc/folder/"));
    }
}
