//! The description of the API: what is committed is what is served.

use hypervisord::http;

use crate::daemon::{Guarded, bearer};

/// Set to write the committed file anew instead of comparing with it.
const UPDATE: &str = "HYPER2KVM_UPDATE";

#[test]
fn the_committed_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let mut text = serde_json::to_string_pretty(&http::description()).unwrap();
    text.push('\n');
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "docs/openapi.json is old; {UPDATE}=1 cargo test -p hypervisord openapi writes it anew");
}

#[tokio::test]
async fn the_description_is_served_to_whoever_may_read() {
    let daemon = Guarded::start(|_| ()).await;
    assert_eq!(daemon.tcp("GET", "/api/v1/openapi.json", &[], b"").await.status, 401);
    let header = bearer(&daemon.make_token("read").await);
    let reply = daemon.tcp("GET", "/api/v1/openapi.json", &[("authorization", &header)], b"").await;
    assert_eq!(reply.json(), serde_json::to_value(http::description()).unwrap());
}
