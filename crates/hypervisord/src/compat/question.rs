//! What a query and a cancel ask for.

use hyper_api::JobState;

use super::document::Node;
use super::id;
use super::submission::{self, Unreadable};

/// Which jobs a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These; unknown ones are left out.
    Ids(Vec<String>),
    /// All.
    All,
    /// Those in one of these states; empty is every state.
    States(Vec<JobState>),
}

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which jobs.
    pub wanted: Wanted,
    /// How many at most, newest first; `None` is no limit.
    pub limit: Option<usize>,
}

/// The raw fields of a query, from a body or from the query string.
#[derive(Debug, Default)]
struct Asked {
    ids: Vec<String>,
    states: Vec<String>,
    all: bool,
    limit: i64,
}

impl Query {
    /// Reads the body of a query.
    ///
    /// # Errors
    /// When it is empty, no object, has a field of a wrong type, or names a state that there is not.
    pub fn from_body(body: &[u8], content_type: Option<&str>) -> Result<Self, Unreadable> {
        submission::read_object(body, content_type, |node| {
            let fields = node.fields("")?;
            let asked = Asked {
                ids: fields.texts("job_ids")?.unwrap_or_default(),
                states: fields.texts("status")?.unwrap_or_default(),
                all: fields.flag("all")?.unwrap_or_default(),
                limit: fields.integer("limit")?.unwrap_or_default(),
            };
            asked.understood()
        })
    }

    /// Reads the pairs of a query string; other names are ignored, of a name given twice the last counts.
    ///
    /// # Errors
    /// When a value is of a wrong type, or names a state that there is not.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Unreadable> {
        let list =
            |value: &str| value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
        let mut asked = Asked::default();
        for (name, value) in pairs {
            match name.as_str() {
                "job_ids" => asked.ids = list(&value),
                "status" => asked.states = list(&value),
                "all" => asked.all = boolean(&value).ok_or_else(|| Unreadable::new("all is not a boolean"))?,
                "limit" => asked.limit = value.parse().map_err(|_| Unreadable::new("limit is not an integer"))?,
                _ => {}
            }
        }
        asked.understood()
    }
}

impl Asked {
    /// Ids that were sent decide, also when none of them is an id.
    fn understood(self) -> Result<Query, Unreadable> {
        let limit = usize::try_from(self.limit).map_err(|_| Unreadable::new("limit is less than zero"))?;
        let wanted = if !self.ids.is_empty() {
            Wanted::Ids(id::cleaned(&self.ids))
        } else if self.all {
            Wanted::All
        } else {
            Wanted::States(self.states.iter().map(|word| state(word)).collect::<Result<_, _>>()?)
        };
        Ok(Query { wanted, limit: (limit > 0).then_some(limit) })
    }
}

/// Reads the body of a cancel: the ids, cleaned.
///
/// # Errors
/// When it is empty, no object, or its ids are no list of texts.
pub fn cancel(body: &[u8], content_type: Option<&str>) -> Result<Vec<String>, Unreadable> {
    submission::read_object(body, content_type, |node: &Node| {
        Ok(id::cleaned(node.fields("")?.texts("job_ids")?.unwrap_or_default()))
    })
}

fn state(word: &str) -> Result<JobState, Unreadable> {
    use JobState::{Cancelled, Completed, Failed, Pending, Running};
    let states = [Pending, Running, Completed, Failed, Cancelled];
    let known = states.into_iter().find(|state| state.word() == word);
    known.ok_or_else(|| Unreadable::new(format!("there is no status {word:?}")))
}

/// Reads a boolean as Go does.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json");

    fn query(body: &str) -> Result<Query, String> {
        Query::from_body(body.as_bytes(), JSON).map_err(|error| error.to_string())
    }

    fn pairs(text: &str) -> Result<Query, String> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Query::from_pairs(pairs.map(|(name, value)| (name.into(), value.into()))).map_err(|error| error.to_string())
    }

    fn ids(ids: &[&str]) -> Wanted {
        Wanted::Ids(ids.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ids_win_over_all_and_all_over_states() {
        use JobState::{Failed, Pending};
        for (body, wanted) in [
            (r#"{"job_ids":["a"],"all":true,"status":["failed"]}"#, ids(&["a"])),
            (r#"{"job_ids":["a\u001b[0m\u001b[0m"," b",""],"all":false}"#, ids(&["a", "b"])),
            (r#"{"job_ids":[""],"all":true}"#, ids(&[])),
            (r#"{"job_ids":[],"all":true,"status":["failed"]}"#, Wanted::All),
            (r#"{"all":false,"status":["failed","pending"]}"#, Wanted::States(vec![Failed, Pending])),
            (r#"{"all":false}"#, Wanted::States(Vec::new())),
            ("{}", Wanted::States(Vec::new())),
            (r#"{"job_ids":null,"status":null,"limit":null} {}"#, Wanted::States(Vec::new())),
        ] {
            assert_eq!(query(body), Ok(Query { wanted, limit: None }), "{body}");
        }
    }

    #[test]
    fn the_query_string_asks_in_the_same_way() {
        assert_eq!(pairs("all=true&limit=2"), Ok(Query { wanted: Wanted::All, limit: Some(2) }));
        assert_eq!(pairs("job_ids=a, b,,c%1b&all=1").unwrap().wanted, ids(&["a", "b", "c"]));
        assert_eq!(pairs("status=failed,&x=y").unwrap().wanted, Wanted::States(vec![JobState::Failed]));
        assert_eq!(pairs("").unwrap().wanted, Wanted::States(Vec::new()));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (body, why) in [
            ("", "empty"),
            ("[]", "not an object"),
            (r#"{"status":["done"]}"#, "no status \"done\""),
            (r#"{"status":"failed"}"#, "not a list"),
            (r#"{"limit":-1}"#, "less than zero"),
            (r#"{"limit":1.0}"#, "not an integer"),
        ] {
            let reason = query(body).unwrap_err();
            assert!(reason.contains(why), "{body}: {reason}");
        }
        for text in ["all=yes", "limit=x", "limit=-1", "status=done"] {
            assert!(pairs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cancel_without_ids_is_a_cancel_of_nothing() {
        assert_eq!(cancel(b"{}", JSON), Ok(Vec::new()));
        assert_eq!(cancel(br#"{"job_ids":["a\u001b[0m","b"]}x"#, JSON), Ok(vec!["a".into(), "b".into()]));
        assert!(cancel(b"", JSON).is_err());
        assert!(cancel(br#"{"job_ids":"a"}"#, JSON).is_err());
    }
}
