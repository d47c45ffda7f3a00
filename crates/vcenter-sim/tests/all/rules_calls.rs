//! What rules do to calls of the API, and how replies are sent.

use std::io::Read;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use vcenter_sim::faults::Settings;

use crate::client::{Answer, Client};
use crate::rules::{add, ruled, struck};
use crate::scene::{Scene, VM, scene};

const NAMESPACE: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Somebody who calls over HTTP, as clients do.
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) cookie: String,
    pub(crate) encoding: &'static str,
}

impl Caller {
    pub(crate) async fn connect(scene: &Scene) -> Self {
        Self { client: scene.vcenter().await, cookie: String::new(), encoding: "identity" }
    }

    pub(crate) async fn logged_in(scene: &Scene) -> Self {
        let mut caller = Self::connect(scene).await;
        let answer = caller.call("Login", "SessionManager", "SessionManager", LOGIN).await;
        assert_eq!(answer.status, StatusCode::OK);
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        caller.cookie = cookie.split(';').next().unwrap().to_owned();
        caller
    }

    pub(crate) async fn try_call(
        &mut self,
        method: &str,
        kind: &str,
        id: &str,
        more: &str,
    ) -> Result<Answer, hyper::Error> {
        let body = format!(
            "<e:Envelope xmlns:e=\"{NAMESPACE}\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>\
             <{method} xmlns=\"urn:vim25\"><_this type=\"{kind}\">{id}</_this>{more}</{method}></e:Body></e:Envelope>"
        );
        let headers =
            [("soapaction", "urn:vim25/8.0.3.0"), ("cookie", &self.cookie), ("accept-encoding", self.encoding)];
        self.client.try_send(Method::POST, "/sdk", &headers, &body).await
    }

    pub(crate) async fn call(&mut self, method: &str, kind: &str, id: &str, more: &str) -> Answer {
        self.try_call(method, kind, id, more).await.unwrap()
    }

    /// Makes a call that is answered with a result and returns it.
    pub(crate) async fn ask(&mut self, method: &str, kind: &str, id: &str, more: &str) -> String {
        let answer = self.call(method, kind, id, more).await;
        let status = answer.status;
        let text = String::from_utf8(answer.whole()).unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }

    /// Returns the id of the only VM.
    pub(crate) async fn vm(&mut self) -> String {
        let path = format!("<inventoryPath>{VM}</inventoryPath>");
        text_of(&self.ask("FindByInventoryPath", "SearchIndex", "SearchIndex", &path).await, "returnval")
    }

    /// Reads a property.
    pub(crate) async fn fetch(&mut self, kind: &str, id: &str, property: &str) -> String {
        self.ask("Fetch", kind, id, &format!("<prop>{property}</prop>")).await
    }

    pub(crate) async fn now(&mut self) -> Answer {
        self.call("CurrentTime", "ServiceInstance", "ServiceInstance", "").await
    }
}

pub(crate) const LOGIN: &str = "<userName>administrator@vsphere.local</userName><password>simulated</password>";

/// Returns what stands in the first element of this name.
pub(crate) fn text_of(xml: &str, element: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{element}")).unwrap_or_else(|| panic!("no {element} in {xml}"));
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split_once(&format!("</{element}>")).unwrap().0.to_owned()
}

pub(crate) fn assert_fault(answer: Answer, kind: &str) -> String {
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let text = String::from_utf8(answer.whole()).unwrap();
    assert!(text.contains(&format!("<{kind}Fault xmlns=\"urn:vim25\" xsi:type=\"{kind}\">")), "{kind} in {text}");
    text
}

fn on_time(then: Value) -> Value {
    json!({"name": "r", "when": {"method": "CurrentTime"}, "then": then, "times": 1})
}

#[tokio::test]
async fn a_call_is_refused_with_any_fault_and_its_fields() {
    let fault = json!({"fault": {"type": "FileNotFound", "message": "gone", "fields": {"file": "[ds] iso/x.iso"}}});
    let scene = ruled(json!({"when": {"method": "ExportVm", "object": VM}, "then": fault, "nth": 2})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    caller.ask("ExportVm", "VirtualMachine", &vm, "").await;
    let text = assert_fault(caller.call("ExportVm", "VirtualMachine", &vm, "").await, "FileNotFound");
    assert!(text.contains("<faultstring>gone</faultstring>") && text.contains("<file>[ds] iso/x.iso</file>"), "{text}");
    let calls = scene.control().await.get("/report").await.json();
    assert_eq!((&calls["soap"]["calls"]["ExportVm"], &calls["soap"]["faults"]["ExportVm"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_privilege_that_is_missing_refuses_the_calls_that_need_it_and_no_others() {
    let scene = ruled(json!({"then": {"deny": "VApp.Export"}})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    let text = assert_fault(caller.call("ExportVm", "VirtualMachine", &vm, "").await, "NoPermission");
    let fields = format!("<object type=\"VirtualMachine\">{vm}</object><privilegeId>VApp.Export</privilegeId>");
    assert!(text.contains(&fields), "{text}");
}

#[tokio::test]
async fn a_session_dies_at_a_call_and_its_lease_with_it() {
    let scene = ruled(json!({"when": {"method": "CurrentTime"}, "then": {"kill_session": true}, "nth": 2})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    caller.ask("ExportVm", "VirtualMachine", &vm, "").await;
    assert_eq!(caller.now().await.status, StatusCode::OK);
    assert_fault(caller.now().await, "NotAuthenticated");
    let report = scene.control().await.get("/report").await.json();
    assert_eq!((&report["soap"]["open"]["sessions"], &report["soap"]["open"]["leases"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_changed_password_refuses_logins_and_leaves_sessions_alone() {
    let scene = ruled(json!([
        {"when": {"method": "CurrentTime"}, "then": {"password_changed": true}, "nth": 1},
        {"when": {"method": "CurrentTime"}, "then": {"password_changed": false}, "nth": 2},
    ]))
    .await;
    let mut caller = Caller::logged_in(&scene).await;
    assert_eq!(caller.now().await.status, StatusCode::OK);
    let mut other = Caller::connect(&scene).await;
    assert_fault(other.call("Login", "SessionManager", "SessionManager", LOGIN).await, "InvalidLogin");
    assert_eq!(caller.now().await.status, StatusCode::OK);
    other.ask("Login", "SessionManager", "SessionManager", LOGIN).await;
}

#[tokio::test]
async fn there_are_no_more_sessions_than_a_rule_allows() {
    let scene = ruled(json!({"then": {"busy": {"above": 1, "of": "sessions"}}})).await;
    let mut first = Caller::logged_in(&scene).await;
    let refused = Caller::connect(&scene).await.call("Login", "SessionManager", "SessionManager", LOGIN).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(String::from_utf8(refused.whole()).unwrap().contains("Out of HTTP sessions"));
    first.ask("Logout", "SessionManager", "SessionManager", "").await;
    Caller::logged_in(&scene).await;
}

#[tokio::test]
async fn a_connection_ends_in_place_of_an_answer() {
    for then in [json!({"reset": true}), json!({"close": true})] {
        let scene = ruled(on_time(then.clone())).await;
        let mut caller = Caller::logged_in(&scene).await;
        let error = caller.try_call("CurrentTime", "ServiceInstance", "ServiceInstance", "").await.err().unwrap();
        let is_reset = format!("{error:?}").contains("ConnectionReset");
        assert_eq!(is_reset, then["reset"] == true, "{then}: {error:?}");
        caller.client = scene.vcenter().await;
        assert_eq!(caller.now().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn replies_are_no_xml_too_little_or_too_much_of_it() {
    for (edit, check) in [
        (json!("html"), (|text| text.starts_with("<!DOCTYPE html>")) as fn(&str) -> bool),
        (json!("empty"), |text| text.is_empty()),
        (json!("truncated"), |text| text.contains("Envelope") && !text.ends_with('>')),
        (json!("huge"), |text| text.len() > 64 << 20 && text.ends_with("</soapenv:Envelope>")),
        (json!({"replace": {"find": "xsd:dateTime", "with": "Later"}}), |text| text.ends_with("</soapenv:Envelope>")),
    ] {
        let scene = ruled(on_time(json!({"xml": edit}))).await;
        let mut caller = Caller::logged_in(&scene).await;
        let answer = caller.now().await;
        assert_eq!(answer.status, StatusCode::OK);
        let text = String::from_utf8(answer.whole()).unwrap();
        assert!(check(&text), "{edit}: {} bytes", text.len());
        assert_eq!(struck(&scene, "r"), 1);
    }
}

#[tokio::test]
async fn a_type_that_nobody_knows_stands_in_a_reply() {
    let replace = json!({"find": "xsi:type=\"VirtualVmxnet3\"", "with": "xsi:type=\"VirtualVmxnet9\""});
    let scene = ruled(json!({"then": {"xml": {"replace": replace}}})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    let devices = caller.fetch("VirtualMachine", &vm, "config.hardware.device").await;
    assert!(devices.contains("VirtualVmxnet9") && !devices.contains("VirtualVmxnet3"), "{devices}");
}

#[tokio::test]
async fn a_clock_goes_wrong() {
    let scene = ruled(json!({"when": {"method": "*"}, "then": {"clock_skew_s": -86_400}})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let answer = caller.now().await;
    let date = answer.headers["date"].to_str().unwrap().to_owned();
    let time = text_of(&String::from_utf8(answer.whole()).unwrap(), "returnval");
    let (time, now): (jiff::Timestamp, _) = (time.parse().unwrap(), jiff::Timestamp::now());
    let behind = now.duration_since(time).as_secs();
    assert!((86_399..86_500).contains(&behind), "{behind}");
    let yesterday = now.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap().strftime("%d %b %Y").to_string();
    assert!(date.contains(&yesterday), "{date}");
}

#[tokio::test]
async fn a_descriptor_comes_with_errors() {
    let spec =
        json!({"type": "OvfUnableToExportDisk", "message": "no disk", "fields": {"vmPath": VM, "diskName": "d"}});
    let scene = ruled(json!({"then": {"descriptor_error": spec}})).await;
    let mut caller = Caller::logged_in(&scene).await;
    let vm = caller.vm().await;
    let what = format!("<obj type=\"VirtualMachine\">{vm}</obj><cdp></cdp>");
    let reply = caller.ask("CreateDescriptor", "OvfManager", "OvfManager", &what).await;
    let error = text_of(&reply, "error");
    assert!(error.contains("xsi:type=\"OvfUnableToExportDisk\"") && error.contains("no disk"), "{error}");
}

#[tokio::test]
async fn replies_are_compressed_for_those_who_accept_it() {
    let scene = scene(Settings { gzip_replies: true, ..Settings::default() }).await;
    let mut caller = Caller::logged_in(&scene).await;
    let plain = caller.now().await;
    assert!(!plain.headers.contains_key("content-encoding"));
    assert!(text_of(&String::from_utf8(plain.whole()).unwrap(), "returnval").starts_with("20"));
    caller.encoding = "gzip, deflate";
    let packed = caller.now().await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut text = String::new();
    gunzip(&packed.whole()).as_slice().read_to_string(&mut text).unwrap();
    assert!(text_of(&text, "returnval").starts_with("20"), "{text}");
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    let len = libdeflater::Decompressor::new().gzip_decompress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}

#[tokio::test]
async fn replies_come_in_chunks_and_as_the_last_ones_of_their_connection() {
    let settings = Settings { chunked_replies: true, close_after_reply: true, ..Settings::default() };
    let scene = scene(settings).await;
    let mut caller = Caller::logged_in(&scene).await;
    assert!(caller.try_call("CurrentTime", "ServiceInstance", "ServiceInstance", "").await.is_err());
    caller.client = scene.vcenter().await;
    let answer = caller.now().await;
    assert_eq!(answer.headers["transfer-encoding"], "chunked");
    assert_eq!(answer.headers["connection"], "close");
    assert!(String::from_utf8(answer.whole()).unwrap().contains("CurrentTimeResponse"));
}

#[tokio::test]
async fn a_body_of_a_reply_stops_in_the_middle() {
    let scene = ruled(on_time(json!({"abort_at": 100}))).await;
    let mut caller = Caller::logged_in(&scene).await;
    let answer = caller.now().await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 100));
    assert!(answer.error.is_some());
    add(&scene, on_time(json!({"delay_ms": 1})));
    caller.client = scene.vcenter().await;
    caller.now().await.whole();
}
