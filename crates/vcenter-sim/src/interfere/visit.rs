//! One request under the rules: what it is about, and what is done before and after it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HeaderName, RANGE, RETRY_AFTER};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use percent_encoding::percent_decode_str;

use super::body::{At, Plan};
use super::{deed, edit};
use crate::connection::Connection;
use crate::faults::rule::action::{Action, Stage};
use crate::faults::rule::book::{Event, Load, Strike};
use crate::faults::rule::{Answer, FaultSpec};
use crate::folder;
use crate::pace::profile::Road;
use crate::reply::{Reply, full, text};
use crate::soap::About;

/// What a proxy shows when the server behind it does not answer as it should.
const PROXY_PAGE: &str = "<html><head><title>Service Unavailable</title></head>\
    <body><h1>Service Unavailable</h1><p>The service is temporarily not available.</p></body></html>\n";

/// What a server shows that has too much to do.
const BUSY_PAGE: &str = "<html><body><h1>Service Unavailable</h1><p>Out of HTTP sessions: Limited to the number \
    that is configured.</p></body></html>\n";

/// One request.
pub(super) struct Visit<'a> {
    connection: &'a Arc<Connection>,
    http: String,
    path: String,
    soap_action: Option<String>,
    about: About,
}

impl<'a> Visit<'a> {
    /// Looks at what a request is about.
    pub(super) fn new(connection: &'a Arc<Connection>, head: &http::request::Parts, body: &Bytes) -> Self {
        let world = &connection.world;
        let header =
            |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let path = head.uri.path().to_owned();
        let mut about = if path.starts_with("/sdk") && head.method == http::Method::POST {
            world.soap.about_call(body)
        } else {
            About { objects: objects_of_path(connection, &head.uri), ..About::default() }
        };
        about.cookie = header(&COOKIE);
        let soap_action = header(&HeaderName::from_static("soapaction"));
        Self { connection, http: head.method.to_string(), path, soap_action, about }
    }

    fn strikes(&self, stage: Stage) -> Vec<Strike> {
        let line = self.connection.line();
        let asks_for_file = self.http == "GET" && Road::of(&self.path).is_some();
        let load = Load {
            connections: self.connection.stats().connections_now(),
            streams: if asks_for_file { line.streams() + 1 } else { 0 },
            sessions: self.connection.world.soap.sessions() + 1,
        };
        self.connection.world.faults.strikes(&Event {
            stage,
            listener: line.name(),
            http: &self.http,
            path: &self.path,
            method: self.about.method.as_deref(),
            objects: &self.about.objects,
            load,
        })
    }

    /// Does what comes before the answer; returns the answer when a rule gives one.
    pub(super) async fn before(&self, request: &mut Request<Full<Bytes>>) -> Option<Reply> {
        let mut answer = None;
        for strike in self.strikes(Stage::Request) {
            match strike.action() {
                Action::DelayMs(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Action::IgnoreRange(_) => drop(request.headers_mut().remove(RANGE)),
                Action::Reset(_) => {
                    self.connection.cut();
                    // The server drops everything here as soon as it sees the cut.
                    std::future::pending::<()>().await;
                }
                Action::Close(_) => {
                    self.connection.hang_up();
                    std::future::pending::<()>().await;
                }
                Action::Fault(spec) => answer = Some(self.fault(spec)),
                Action::Deny(privilege) => answer = Some(self.denied(privilege)),
                Action::Answer(own) => answer = Some(own_answer(own)),
                Action::Busy(busy) => {
                    let page = Answer {
                        status: busy.status,
                        body: Some(BUSY_PAGE.to_owned()),
                        content_type: None,
                        retry_after_s: busy.retry_after_s,
                        headers: std::collections::BTreeMap::new(),
                    };
                    answer = Some(own_answer(&page));
                }
                _ => self.deed(&strike),
            }
        }
        answer
    }

    /// Does what comes after the answer; returns it with what is to happen to its body.
    pub(super) async fn after(self, mut reply: Reply) -> (Reply, Plan) {
        let mut plan = Plan::default();
        // A call that was refused has started nothing; rules may change the status below.
        let succeeded = reply.status().is_success();
        for strike in self.strikes(Stage::Reply) {
            match strike.action() {
                Action::Edit(change) => edit::apply(&mut reply, &mut plan, change),
                Action::Xml(change) => reply = edit::xml(reply, change).await,
                Action::ClockSkewS(seconds) => reply = edit::skew(reply, *seconds).await,
                Action::DescriptorError(spec) => reply = edit::descriptor_error(reply, spec).await,
                Action::Task(fate) => {
                    let soap = &self.connection.world.soap;
                    self.count(&strike, succeeded && soap.decide_task(&self.about, fate));
                }
                Action::LeaseUrl(url) => {
                    let soap = &self.connection.world.soap;
                    self.count(&strike, succeeded && soap.point_leases(&self.about, url));
                }
                Action::ResetAt(at) => plan.add(*at, At::Reset, &strike),
                Action::AbortAt(at) => plan.add(*at, At::Abort, &strike),
                Action::EndAt(at) => plan.add(*at, At::End, &strike),
                Action::FlipAt(at) => plan.add(*at, At::Flip, &strike),
                Action::Stall(stall) => plan.add(stall.at, At::Stall(Duration::from_millis(stall.ms)), &strike),
                Action::Trickle(trickle) => plan.trickle = Some(*trickle),
                _ => match strike.of.when.at_byte {
                    Some(at) => plan.add(at, At::Deed(self.about.clone()), &strike),
                    None => self.deed(&strike),
                },
            }
        }
        (reply, plan)
    }

    fn deed(&self, strike: &Strike) {
        deed::run(&self.connection.world, strike, &self.about, self.connection.line().name());
    }

    /// Takes a strike back that has done nothing.
    fn count(&self, strike: &Strike, is_done: bool) {
        if !is_done {
            self.connection.world.faults.take_back(strike);
        }
    }

    fn fault(&self, spec: &FaultSpec) -> Reply {
        let world = &self.connection.world;
        world.stats.sdk_requests.increment();
        let body = world.soap.refusal(spec, &self.about, self.soap_action.as_deref());
        full(StatusCode::INTERNAL_SERVER_ERROR, "text/xml; charset=utf-8", body)
    }

    fn denied(&self, privilege: &str) -> Reply {
        if self.about.method.is_none() {
            return text(StatusCode::FORBIDDEN, format!("permission denied: {privilege}\n"));
        }
        let mut spec = FaultSpec::plain("NoPermission", "Permission to perform this operation was denied.");
        spec.fields.insert("privilegeId".to_owned(), privilege.into());
        if let Some(object) = &self.about.receiver {
            let object = serde_json::json!({"type": object.kind, "id": object.id});
            spec.fields.insert("object".to_owned(), object);
        }
        self.fault(&spec)
    }
}

/// Returns the names of what a path is about.
fn objects_of_path(connection: &Connection, uri: &Uri) -> Vec<String> {
    let (world, path) = (&connection.world, uri.path());
    if let Some((_, file)) = world.exports.find(path) {
        let mut objects = file.names().all();
        objects.extend(world.soap.id_of_vm(file.names().vm_path));
        return objects;
    }
    let Some(rest) = path.strip_prefix("/folder/") else { return Vec::new() };
    let decoded = percent_decode_str(rest).decode_utf8_lossy().into_owned();
    let name = decoded.rsplit('/').next().unwrap_or_default().to_owned();
    let mut objects = vec![name, decoded];
    for vm in folder::owners(connection, uri) {
        let path = &world.inventory.vms[vm].path;
        objects.push(path.clone());
        objects.extend(world.soap.id_of_vm(path));
    }
    objects
}

fn own_answer(answer: &Answer) -> Reply {
    let body = answer.body.clone().unwrap_or_else(|| PROXY_PAGE.to_owned());
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = full(status, "text/html", body);
    let headers = reply.headers_mut();
    if let Some(content_type) = answer.content_type.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    edit::set_headers(headers, &answer.headers);
    reply
}
