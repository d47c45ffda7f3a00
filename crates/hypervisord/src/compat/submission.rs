//! Bodies of a submit: one job, an object with `jobs`, or a list, as JSON or YAML.
//!
//! Two kinds of wrong are told apart. A body that cannot be read, one ill-typed field included, refuses the
//! whole request. A job that can be read and makes no sense is rejected alone, with one text ([`rules`]),
//! and the others go on.

pub mod rules;

use std::fmt;

use super::definition::Submitted;
use super::document::{IllTyped, Node, json, yaml};

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl Unreadable {
    /// Makes one from its reason, which is about "it".
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl From<IllTyped> for Unreadable {
    fn from(error: IllTyped) -> Self {
        Self(error.to_string())
    }
}

fn unreadable<T>(reason: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable::new(reason))
}

/// In which language a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Json,
    Yaml,
    /// JSON if it can be read as that, else YAML.
    Either,
}

impl Language {
    /// A type with parameters is none of those that are known: older callers that send one send both kinds.
    fn of(content_type: Option<&str>) -> Self {
        match content_type {
            Some("application/json") => Self::Json,
            Some("application/x-yaml" | "text/yaml") => Self::Yaml,
            _ => Self::Either,
        }
    }
}

/// Reads the jobs of a submit's body; at least one.
///
/// # Errors
/// When the body is neither JSON nor YAML as its type says, has a field of a wrong type, or no job.
pub fn read(body: &[u8], content_type: Option<&str>) -> Result<Vec<Submitted>, Unreadable> {
    in_language(body, content_type, json::read, jobs)
}

/// Reads a body that is one object, and ignores what is behind it.
///
/// # Errors
/// As [`read`]; also when `take` refuses the object.
pub fn read_object<T>(
    body: &[u8],
    content_type: Option<&str>,
    take: impl Fn(&Node) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return unreadable("it is empty");
    }
    in_language(body, content_type, json::read_first, take)
}

fn in_language<T>(
    body: &[u8],
    content_type: Option<&str>,
    read_json: impl Fn(&[u8]) -> serde_json::Result<Node>,
    take: impl Fn(&Node) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    let from_json = || read_json(body).map_err(|error| Unreadable(error.to_string())).and_then(|node| take(&node));
    let from_yaml = || from_yaml(body).and_then(|node| take(&node));
    match Language::of(content_type) {
        Language::Json => from_json(),
        Language::Yaml => from_yaml(),
        Language::Either => from_json().or_else(|reason| {
            let meant_json = body.trim_ascii_start().starts_with(b"{") || body.trim_ascii_start().starts_with(b"[");
            from_yaml().map_err(|other| if meant_json { reason } else { other })
        }),
    }
}

fn from_yaml(body: &[u8]) -> Result<Node, Unreadable> {
    let text = str::from_utf8(body).map_err(|_| Unreadable("it is no UTF-8".to_owned()))?;
    yaml::read(text).map_err(|error| Unreadable(error.to_string()))
}

/// Finds the jobs in a document. An object with a VM path is one job, even when it has `jobs` too.
fn jobs(document: &Node) -> Result<Vec<Submitted>, Unreadable> {
    match document {
        Node::Map(_) => {
            let one = Submitted::read(document, "");
            if one.as_ref().is_ok_and(|one| !one.definition.vm_path.is_empty()) {
                return Ok(one.into_iter().collect());
            }
            match document.fields("")?.node("jobs") {
                Some(Node::List(items)) => list(items),
                Some(_) => Err(IllTyped::new("jobs", "a list").into()),
                None => one.map_err(Unreadable::from).and_then(|_| unreadable("it has neither `vm_path` nor `jobs`")),
            }
        }
        Node::List(items) => list(items),
        Node::Null => unreadable("it is empty"),
        _ => unreadable("it is neither an object nor a list"),
    }
}

fn list(items: &[Node]) -> Result<Vec<Submitted>, Unreadable> {
    if items.is_empty() {
        return unreadable("the list of jobs is empty");
    }
    let read = |(index, node)| Submitted::read(node, &format!("jobs[{index}]")).map_err(Unreadable::from);
    items.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json");
    const YAML: Option<&str> = Some("application/x-yaml");

    fn paths(body: &str, content_type: Option<&str>) -> Result<Vec<String>, String> {
        let jobs = read(body.as_bytes(), content_type).map_err(|error| error.to_string())?;
        Ok(jobs.into_iter().map(|job| job.definition.vm_path).collect())
    }

    #[test]
    fn one_job_a_list_and_an_object_with_jobs_are_all_read() {
        for (body, expected) in [
            (r#"{"vm_path":"a"}"#, &["a"][..]),
            (r#"{"jobs":[{"vm_path":"a"},{"vm_path":"b"}]}"#, &["a", "b"]),
            (r#"[{"vm_path":"a"},{"vm_path":""},null]"#, &["a", "", ""]),
            (r#"{"vm_path":"a","jobs":[{"vm_path":"b"}]}"#, &["a"]),
            (r#"{"vm_path":"","name":5,"jobs":[{"vm_path":"b"}]}"#, &["b"]),
        ] {
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            for content_type in [JSON, None, Some("application/x-www-form-urlencoded")] {
                assert_eq!(paths(body, content_type).as_ref(), Ok(&expected), "{body}");
            }
        }
        assert_eq!(paths("jobs:\n- vm_path: a\n- vm_path: 7\n", YAML).unwrap(), ["a", "7"]);
        assert_eq!(paths("- vm_path: a\n", Some("text/yaml")).unwrap(), ["a"]);
    }

    #[test]
    fn the_type_says_how_a_body_is_read_and_any_other_type_leaves_both() {
        let yaml = "vm_path: a\n";
        assert!(paths(yaml, JSON).is_err());
        assert_eq!(paths(yaml, Some("application/json; charset=utf-8")).unwrap(), ["a"]);
        assert_eq!(paths(yaml, None).unwrap(), ["a"]);
        // By the rules of YAML a number is a name.
        let number = r#"{"vm_path":"a","name":5}"#;
        assert_eq!(paths(number, JSON).unwrap_err(), "name is not a text");
        assert_eq!(paths(number, None).unwrap(), ["a"]);
    }

    #[test]
    fn a_body_without_a_job_is_refused_as_a_whole() {
        for (body, content_type, why) in [
            ("", JSON, "EOF"),
            ("", YAML, "empty"),
            ("", None, "empty"),
            ("[]", JSON, "list of jobs is empty"),
            ("{}", JSON, "neither `vm_path` nor `jobs`"),
            (r#"{"jobs":[]}"#, JSON, "list of jobs is empty"),
            (r#"{"jobs":null}"#, JSON, "neither"),
            (r#"{"jobs":{}}"#, JSON, "jobs is not a list"),
            (r#"{"name":5}"#, JSON, "name is not a text"),
            ("null", JSON, "empty"),
            ("5", JSON, "neither an object nor a list"),
            ("just a line", None, "neither an object nor a list"),
        ] {
            let reason = paths(body, content_type).unwrap_err();
            assert!(reason.contains(why), "{body}: {reason}");
        }
    }

    #[test]
    fn one_ill_typed_job_refuses_the_whole_body() {
        let body = r#"[{"vm_path":"a"},{"vm_path":"b","options":{"parallel_downloads":4.0}}]"#;
        assert_eq!(paths(body, JSON).unwrap_err(), "jobs[1].options.parallel_downloads is not an integer");
        assert_eq!(paths("[1]", JSON).unwrap_err(), "jobs[0] is not an object");
    }

    #[test]
    fn json_that_is_neither_is_refused_with_the_reason_of_json() {
        assert!(paths("{\"vm_path\": \"a\"", None).unwrap_err().contains("EOF while parsing"));
        assert!(paths("vm_path: [", None).unwrap_err().contains("line"));
    }

    #[test]
    fn behind_a_question_may_stand_anything() {
        let ids = |node: &Node| Ok(node.fields("")?.texts("job_ids")?.unwrap_or_default());
        assert_eq!(read_object(br#"{"job_ids":["a"]} and more"#, JSON, ids).unwrap(), ["a"]);
        assert_eq!(read_object(b" \n", None, ids), Err(Unreadable("it is empty".into())));
    }
}
