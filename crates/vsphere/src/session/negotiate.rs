//! Agrees on an API version: the newest that both sides know.

use super::http::Http;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{ApiVersion, Element, Limits};

/// Says without login which versions a server speaks.
const VERSIONS: &str = "/sdk/vimServiceVersions.xml";

pub(super) async fn version(http: &Http) -> Result<ApiVersion> {
    match http.get(VERSIONS).await? {
        // Every server since 4.0 has the list; what has none gets the oldest that we speak.
        None => Ok(ApiVersion::OLDEST),
        Some(text) => {
            let root = Element::parse(&text, Limits::default())
                .map_err(|error| Error::new(ErrorKind::Protocol, format!("read {VERSIONS}")).with_source(error))?;
            Ok(newest(&root).unwrap_or(ApiVersion::OLDEST))
        }
    }
}

fn newest(root: &Element) -> Option<ApiVersion> {
    let is_vim = |space: &&Element| space.child("name").is_some_and(|name| name.text.trim() == "urn:vim25");
    let space = root.children.iter().find(is_vim)?;
    let prior = space.child("priorVersions").map(|prior| prior.children.as_slice()).unwrap_or_default();
    let all = space.child("version").into_iter().chain(prior);
    all.filter_map(|version| ApiVersion::parse(version.text.trim())).filter(|v| *v <= ApiVersion::NEWEST).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(versions: &str) -> Option<String> {
        let text = format!(
            "<namespaces version=\"1.0\"><namespace><name>urn:vim2</name><version>9.9</version></namespace>\
             <namespace><name>urn:vim25</name>{versions}</namespace></namespaces>"
        );
        newest(&Element::parse(&text, Limits::default()).unwrap()).map(|version| version.to_string())
    }

    #[test]
    fn the_newest_version_that_we_know_is_taken() {
        let prior = "<version>12.0.0.0</version><priorVersions><version>8.0.2.0</version>\
                     <version>8.0.10.0</version><version>2.5u2</version></priorVersions>";
        assert_eq!(of(prior).as_deref(), Some("8.0.10.0"));
        assert_eq!(of("<version>6.5</version>").as_deref(), Some("6.5"));
        assert_eq!(of(""), None);
    }
}
