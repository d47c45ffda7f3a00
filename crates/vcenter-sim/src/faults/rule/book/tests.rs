use serde_json::json;

use super::*;

const START: Duration = Duration::ZERO;

fn book(rules: &[serde_json::Value]) -> Book {
    let mut book = Book::default();
    for rule in rules {
        book.add(serde_json::from_value(rule.clone()).unwrap(), START);
    }
    book
}

fn call(method: &str) -> Event<'_> {
    Event {
        stage: Stage::Request,
        listener: "vcenter",
        http: "POST",
        path: "/sdk",
        method: Some(method),
        objects: &[],
        load: Load::default(),
    }
}

fn get(path: &str) -> Event<'_> {
    Event { listener: "esx1", http: "GET", path, method: None, ..call("") }
}

fn names(book: &mut Book, event: &Event<'_>) -> Vec<String> {
    book.decide(event, START).into_iter().map(|strike| strike.rule).collect()
}

#[test]
fn a_rule_with_a_number_strikes_at_that_match_and_once_unless_it_says_how_often() {
    let progress = json!({"method": "HttpNfcLeaseProgress"});
    let mut book = book(&[
        json!({"name": "third", "when": progress, "then": {"kill_session": true}, "nth": 3}),
        json!({"name": "from two", "when": progress, "then": {"delay_ms": 1}, "nth": 2, "times": 2}),
        json!({"name": "always", "when": {"method": "*"}, "then": {"delay_ms": 1}}),
    ]);
    assert_eq!(names(&mut book, &call("Login")), ["always"]);
    let seen: Vec<_> = (0..4).map(|_| names(&mut book, &call("HttpNfcLeaseProgress")).join("+")).collect();
    assert_eq!(seen, ["always", "from two+always", "third+from two+always", "always"]);
}

#[test]
fn all_that_a_condition_says_must_be_true() {
    let then = json!({"reset": true});
    let mut book = book(&[
        json!({"name": "host", "when": {"listener": "esx1"}, "then": then}),
        json!({"name": "head", "when": {"http": "HEAD"}, "then": then}),
        json!({"name": "path", "when": {"path": "/nfc/*", "http": "POST"}, "then": then}),
        json!({"name": "object", "when": {"object": "vm-1", "method": "ExportVm"}, "then": then}),
    ]);
    assert_eq!(names(&mut book, &get("/nfc/t/disk-0.vmdk")), ["host"]);
    assert_eq!(names(&mut book, &Event { http: "HEAD", listener: "esx2", ..get("/x") }), ["head"]);
    assert_eq!(names(&mut book, &Event { http: "POST", listener: "esx2", ..get("/nfc/t") }), ["path"]);
    let objects = ["vm-1".to_owned(), "DC0/vm/x".to_owned()];
    assert_eq!(names(&mut book, &Event { objects: &objects, ..call("ExportVm") }), ["object"]);
    assert!(names(&mut book, &Event { objects: &objects, ..call("Login") }).is_empty());
    assert!(names(&mut book, &call("ExportVm")).is_empty());
}

#[test]
fn one_answer_is_enough_and_the_others_do_not_count_the_request() {
    let mut book = book(&[
        json!({"name": "a", "then": {"answer": {"status": 503}}, "times": 1}),
        json!({"name": "b", "then": {"close": true}, "times": 1}),
        json!({"name": "c", "then": {"delay_ms": 1}}),
    ]);
    let event = get("/nfc/t");
    assert_eq!(names(&mut book, &event), ["a", "c"]);
    assert_eq!(names(&mut book, &event), ["b", "c"]);
    assert_eq!(names(&mut book, &event), ["c"]);
}

#[test]
fn actions_for_calls_leave_other_requests_alone() {
    let mut book = book(&[
        json!({"name": "fault", "then": {"fault": {"type": "SystemError"}}}),
        json!({"name": "deny", "then": {"deny": "VApp.Export"}}),
        json!({"name": "deny folder", "then": {"deny": "Datastore.Browse"}}),
    ]);
    assert!(names(&mut book, &get("/nfc/t")).is_empty());
    assert_eq!(names(&mut book, &get("/folder/x/y.vmdk")), ["deny folder"]);
    assert_eq!(names(&mut book, &call("Login")), ["fault"]);
    book.remove(Some("fault"));
    assert_eq!(names(&mut book, &call("ExportVm")), ["deny"]);
    assert!(names(&mut book, &call("Login")).is_empty());
}

#[test]
fn a_crowd_is_one_when_there_are_more_than_the_rule_allows() {
    let mut book = book(&[
        json!({"name": "streams", "then": {"busy": {"above": 2, "of": "streams"}}}),
        json!({"name": "sessions", "then": {"busy": {"above": 1, "of": "sessions"}}}),
    ]);
    let streams = |streams| Event { load: Load { streams, ..Load::default() }, ..get("/nfc/t") };
    assert!(names(&mut book, &streams(2)).is_empty());
    assert_eq!(names(&mut book, &streams(3)), ["streams"]);
    let sessions = Load { sessions: 2, ..Load::default() };
    assert_eq!(names(&mut book, &Event { load: sessions, ..call("Login") }), ["sessions"]);
    assert!(names(&mut book, &Event { load: sessions, ..call("Logout") }).is_empty());
}

#[test]
fn draws_follow_from_seed_name_and_number_and_have_the_wanted_frequency() {
    let rule = |seed: u64| json!({"name": "p", "then": {"reset": true}, "probability": 0.25, "seed": seed});
    let run = |seed| {
        let mut book = book(&[rule(seed)]);
        (0..4000).map(|_| !names(&mut book, &get("/x")).is_empty()).collect::<Vec<bool>>()
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
    let struck = first.iter().filter(|struck| **struck).count();
    assert!((900..1100).contains(&struck), "{struck}");
}

#[test]
fn a_rule_with_a_time_sleeps_until_then_and_counts_nothing_before() {
    let mut book = book(&[json!({"name": "late", "then": {"reset": true}, "after_ms": 100, "nth": 2})]);
    let at = |book: &mut Book, ms| book.decide(&get("/x"), Duration::from_millis(ms)).len();
    assert_eq!([0, 99, 100, 101, 102].map(|ms| at(&mut book, ms)), [0, 0, 0, 1, 0]);
    assert_eq!((book.all()[0].matches, book.all()[0].strikes), (3, 1));
}

#[test]
fn deeds_happen_with_the_request_or_at_a_byte_of_the_reply() {
    let mut book = book(&[
        json!({"name": "at once", "then": {"power": {"state": "on"}}}),
        json!({"name": "later", "when": {"at_byte": 5}, "then": {"power": {"state": "on"}}}),
        json!({"name": "a lease after its call", "then": {"lease": {"becomes": "gone"}}}),
    ]);
    let request = get("/nfc/t");
    assert_eq!(names(&mut book, &request), ["at once"]);
    assert_eq!(names(&mut book, &Event { stage: Stage::Reply, ..request }), ["later", "a lease after its call"]);
}

#[test]
fn removed_rules_strike_no_more() {
    let mut book = book(&[json!({"name": "a", "then": {"reset": true}}), json!({"then": {"delay_ms": 1}})]);
    assert_eq!(names(&mut book, &get("/x")), ["a", "rule-2"]);
    assert_eq!(book.remove(Some("a")), 1);
    assert_eq!(names(&mut book, &get("/x")), ["rule-2"]);
    assert_eq!(book.remove(None), 1);
    assert!(book.is_empty());
}
