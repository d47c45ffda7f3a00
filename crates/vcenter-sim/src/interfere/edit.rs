//! Changes of replies: status and headers, and the XML of calls.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use jiff::{SignedDuration, Timestamp};
use vsphere::wire::{Element, Encode, Value as _};

use super::body::Plan;
use crate::faults::rule::{Edit, FaultSpec, XmlEdit};
use crate::reply::{Reply, ReplyBody, whole};
use crate::soap::localized;

/// Replies that are longer are left as they are; none of the simulator's own comes near.
const XML_BYTES_MAX: usize = 256 << 20;

/// Blanks that make a reply huge: more than a careful client reads.
const HUGE_BYTES: usize = 65 << 20;

/// Begin and end of a page in the place of XML.
const PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>We will be back.</body></html>\n";

/// How every time of a reply is written: the digits of `2023-11-14T22:13:20.000000Z`, and what stands
/// between them.
const TIME_FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

/// Changes status, headers and length.
pub(super) fn apply(reply: &mut Reply, plan: &mut Plan, change: &Edit) {
    if let Some(status) = change.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        *reply.status_mut() = status;
    }
    if let Some(bytes) = change.body_bytes {
        plan.len_bytes = Some(bytes);
        reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        // This is the truth again, whatever an edit before said.
        plan.length_is_a_lie = false;
    }
    set_headers(reply.headers_mut(), &change.headers);
    plan.length_is_a_lie |= change.headers.keys().any(|name| CONTENT_LENGTH == name.to_lowercase().as_str());
}

/// Sets headers; those with an empty value are taken away.
pub(super) fn set_headers(headers: &mut HeaderMap, changes: &BTreeMap<String, String>) {
    for (name, value) in changes {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            continue;
        };
        if value.is_empty() {
            headers.remove(name);
        } else {
            headers.insert(name, value);
        }
    }
}

/// Spoils the XML of a reply.
pub(super) async fn xml(reply: Reply, change: &XmlEdit) -> Reply {
    if *change == XmlEdit::Html {
        let (mut head, _) = reply.into_parts();
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        return Reply::from_parts(head, whole(PAGE));
    }
    change_text(reply, |text| match change {
        XmlEdit::Truncated => text.chars().take(text.chars().count() / 2).collect(),
        XmlEdit::Replace { find, with } => text.replace(find.as_str(), with),
        XmlEdit::Huge => match text.rfind("</soapenv:Envelope>") {
            Some(end) => format!("{}{}{}", &text[..end], " ".repeat(HUGE_BYTES), &text[end..]),
            None => text,
        },
        XmlEdit::Empty | XmlEdit::Html => String::new(),
    })
    .await
}

/// Moves the times of a reply.
pub(super) async fn skew(reply: Reply, seconds: i64) -> Reply {
    let mut reply = change_text(reply, |text| skewed(&text, seconds)).await;
    if let Ok(now) = Timestamp::now().checked_add(SignedDuration::from_secs(seconds)) {
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        if let Some(date) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
            reply.headers_mut().insert(DATE, date);
        }
    }
    reply
}

/// Adds to the errors in the reply to `CreateDescriptor`.
pub(super) async fn descriptor_error(reply: Reply, spec: &FaultSpec) -> Reply {
    let Ok(fault) = spec.fault() else { return reply };
    let mut element = Element::new("error");
    localized(fault).fill(&mut element, Encode { version: vsphere::wire::ApiVersion::NEWEST });
    let mut error = String::new();
    element.write_xml(&mut error);
    let end = "</ovfDescriptor>";
    change_text(reply, |text| text.replacen(end, &format!("{end}{error}"), 1)).await
}

/// Changes the text of a reply; what is no text or too long stays as it is.
async fn change_text(reply: Reply, change: impl FnOnce(String) -> String) -> Reply {
    let (mut head, body) = reply.into_parts();
    let Ok(collected) = Limited::new(body, XML_BYTES_MAX).collect().await else {
        head.status = StatusCode::INTERNAL_SERVER_ERROR;
        return Reply::from_parts(head, whole("a rule cannot change a reply of this length\n"));
    };
    let bytes: Bytes = collected.to_bytes();
    let body: ReplyBody = match String::from_utf8(bytes.to_vec()) {
        Ok(text) => whole(change(text)),
        Err(_) => whole(bytes),
    };
    head.headers.remove(CONTENT_LENGTH);
    Reply::from_parts(head, body)
}

/// Returns the text with every time in it moved.
fn skewed(text: &str, seconds: i64) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.as_bytes().windows(TIME_FORM.len()).position(is_time) {
        let (before, found) = rest.split_at(at);
        let (time, after) = found.split_at(TIME_FORM.len());
        out.push_str(before);
        let moved = time.parse::<Timestamp>().and_then(|time| time.checked_add(SignedDuration::from_secs(seconds)));
        match moved {
            Ok(moved) => out.push_str(&format!("{moved:.6}")),
            Err(_) => out.push_str(time),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_time(window: &[u8]) -> bool {
    window.iter().zip(TIME_FORM).all(|(is, form)| if *form == b'0' { is.is_ascii_digit() } else { is == form })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_and_nothing_else_does() {
        let text = "<a>2023-11-14T23:59:59.500000Z</a><b>2023-11-14</b>é<c>2023-11-14T00:00:00.000000Z</c>";
        let moved = skewed(text, 3600);
        assert_eq!(moved, "<a>2023-11-15T00:59:59.500000Z</a><b>2023-11-14</b>é<c>2023-11-14T01:00:00.000000Z</c>");
        assert_eq!(skewed(&moved, -3600), text);
    }

    #[test]
    fn a_header_without_a_value_is_taken_away() {
        let mut headers = HeaderMap::new();
        headers.insert("accept-ranges", HeaderValue::from_static("bytes"));
        let changes = [("accept-ranges", ""), ("content-range", "bytes 0-1/9")];
        set_headers(&mut headers, &changes.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["content-range"], "bytes 0-1/9");
    }
}
