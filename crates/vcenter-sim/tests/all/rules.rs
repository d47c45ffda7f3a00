//! Rules as such: where they come from, what is refused, what is counted.

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;
use vcenter_sim::{Inventory, Options, Simulator};

use crate::scene::{Scene, scene};

/// Adds rules to a running simulator.
pub(crate) fn add(scene: &Scene, rules: Value) {
    scene.simulator.world().faults.add_rules(parse_json(&rules.to_string()).unwrap()).unwrap();
}

/// Starts the usual simulator with rules.
pub(crate) async fn ruled(rules: Value) -> Scene {
    let scene = scene(Settings::default()).await;
    add(&scene, rules);
    scene
}

pub(crate) fn struck(scene: &Scene, rule: &str) -> u64 {
    scene.simulator.world().faults.struck().get(rule).copied().unwrap_or(0)
}

#[tokio::test]
async fn rules_come_and_go_while_the_simulator_runs() {
    let scene = scene(Settings::default()).await;
    let (mut control, mut host) = (scene.control().await, scene.host().await);
    let path = &scene.items[2].path;
    let rule =
        r#"{"name": "busy day", "when": {"path": "/nfc/*"}, "then": {"answer": {"status": 503, "retry_after_s": 7}}}"#;
    assert_eq!(control.send(Method::POST, "/rules", &[], rule).await.status, StatusCode::OK);
    let answer = host.get(path).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "7");
    let listed = control.get("/rules").await.json();
    assert_eq!(listed[0]["strikes"], 1);
    assert_eq!(listed[0]["rule"], serde_json::from_str::<Value>(rule).unwrap());
    let gone = control.send(Method::DELETE, "/rules?name=busy%20day", &[], "").await.json();
    assert_eq!(gone, json!({"removed": 1}));
    assert_eq!(host.get(path).await.status, StatusCode::OK);
    // What has struck stays in the report.
    assert_eq!(control.get("/report").await.json()["faults_struck"], json!({"busy day": 1}));
    assert_eq!(control.send(Method::DELETE, "/rules", &[], "").await.json(), json!({"removed": 0}));
}

#[tokio::test]
async fn a_rule_that_is_refused_changes_nothing_and_says_what_is_possible() {
    let scene = scene(Settings::default()).await;
    let mut control = scene.control().await;
    for (body, words) in [
        (r#"{"then": {"explode": true}}"#, "handshake_stall_ms"),
        (r#"{"when": {"listener": "esx9"}, "then": {"reset": true}}"#, "vcenter, esx1.sim.invalid, esx2.sim.invalid"),
        (r#"[{"then": {"reset": true}}, {"then": {"reset": true}, "nth": 0}]"#, "counts from one"),
        ("{", "EOF"),
    ] {
        let answer = control.send(Method::POST, "/rules", &[], body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let text = String::from_utf8(answer.whole()).unwrap();
        assert!(text.contains(words), "{body}: {text}");
    }
    assert_eq!(control.get("/rules").await.json(), json!([]));
    let wrong = control.send(Method::DELETE, "/rules?rule=x", &[], "").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(control.send(Method::PUT, "/rules", &[], "").await.headers["allow"], "GET, POST, DELETE");
}

#[tokio::test]
async fn an_inventory_brings_rules_and_one_that_cannot_strike_stops_the_start() {
    let text = |listener: &str| {
        format!(
            "[[datacenter]]\nname = \"DC0\"\n[[rule]]\nwhen = {{ listener = \"{listener}\" }}\nthen = {{ reset = true }}\n"
        )
    };
    let start = |text: &str| Simulator::start(Inventory::parse(text, Path::new(".")).unwrap(), Options::default());
    let simulator = start(&text("vcenter")).await.unwrap();
    let mut client = crate::client::Client::tls(simulator.world().addresses.vcenter).await;
    assert!(client.try_send(Method::GET, "/", &[], "").await.is_err());
    assert_eq!(simulator.world().faults.struck()["rule-1"], 1);
    let refused = start(&text("esx7")).await.unwrap_err();
    assert!(refused.to_string().contains("there are: vcenter, esx1.sim.invalid"), "{refused}");
}
