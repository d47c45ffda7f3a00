//! A body as a tree whose values have a type only where they are read.
//!
//! The older daemon read JSON and YAML into the same typed fields by different rules: a JSON `5` was no
//! name, a YAML `5` was one; a YAML `yes` was a boolean where one belonged and text elsewhere. So [`json`]
//! and [`yaml`] keep what they saw, and [`Fields`] decides by what stands in the field.
//!
//! Errors name the place, never the value: it may be a password.

pub mod json;
mod scalar;
pub mod yaml;

use std::fmt;

use serde_json::{Map, Number, Value};

use super::time;

/// One value of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing; the same as a field that is absent.
    Null,
    /// A boolean of JSON.
    Flag(bool),
    /// A number of JSON.
    Number(Number),
    /// A string of JSON, a quoted one or a block of YAML.
    Text(String),
    /// A plain scalar of YAML as it was written: text, a number or a boolean, as the field wants it.
    Plain(String),
    /// A list.
    List(Vec<Self>),
    /// An object. No key is there twice.
    Map(Vec<(String, Self)>),
}

/// A value of a type that its field does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllTyped {
    place: String,
    expected: &'static str,
}

impl IllTyped {
    /// Says that the value at `place` is not `expected`, which takes an article.
    pub fn new(place: impl Into<String>, expected: &'static str) -> Self {
        Self { place: place.into(), expected }
    }
}

impl fmt::Display for IllTyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { "it" } else { &self.place };
        write!(f, "{place} is not {}", self.expected)
    }
}

impl std::error::Error for IllTyped {}

impl Node {
    /// Returns the fields of an object; of `null` none, as Go reads it into a struct.
    ///
    /// # Errors
    /// When it is neither; `place` then names it.
    pub fn fields(&self, place: &str) -> Result<Fields<'_>, IllTyped> {
        match self {
            Self::Null => Ok(Fields { entries: &[], place: place.to_owned() }),
            Self::Map(entries) => Ok(Fields { entries, place: place.to_owned() }),
            _ => Err(IllTyped::new(place, "an object")),
        }
    }

    /// Returns the value as JSON; plain scalars become what YAML takes them for.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::Plain(text) => scalar::inferred(text),
            Self::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(entries) => Value::Object(object(entries)),
        }
    }
}

fn object(entries: &[(String, Node)]) -> Map<String, Value> {
    entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect()
}

/// The fields of an object. A field that is absent and one that is `null` are the same; fields that nobody
/// asks for are ignored.
#[derive(Debug)]
pub struct Fields<'a> {
    entries: &'a [(String, Node)],
    place: String,
}

impl<'a> Fields<'a> {
    /// Returns a field as it is.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        (*node != Node::Null).then_some(node)
    }

    /// Returns where a field stands, for an error.
    pub fn place(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// Returns a text.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn text(&self, key: &str) -> Result<Option<String>, IllTyped> {
        self.read(key, "a text", |node| match node {
            Node::Text(text) | Node::Plain(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Returns a boolean.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, IllTyped> {
        self.read(key, "a boolean", |node| match node {
            Node::Flag(flag) => Some(*flag),
            Node::Plain(text) => scalar::flag(text),
            _ => None,
        })
    }

    /// Returns an integer.
    ///
    /// # Errors
    /// When the field is something else, or does not fit 64 bits.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, IllTyped> {
        self.read(key, "an integer", |node| match node {
            Node::Number(number) => number.as_i64(),
            Node::Plain(text) => scalar::integer(text),
            _ => None,
        })
    }

    /// Returns a list of texts; absent is `None`, and a `null` in it an empty text.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>, IllTyped> {
        self.read(key, "a list of texts", |node| match node {
            Node::List(items) => items.iter().map(Node::as_item).collect(),
            _ => None,
        })
    }

    /// Returns an object as JSON.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn object(&self, key: &str) -> Result<Option<Map<String, Value>>, IllTyped> {
        self.read(key, "an object", |node| match node {
            Node::Map(entries) => Some(object(entries)),
            _ => None,
        })
    }

    /// Checks that a field is a time. Its value is of no use: the times of a job are the daemon's. YAML has
    /// many forms of a time, so there every scalar passes.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn time(&self, key: &str) -> Result<(), IllTyped> {
        let passed = self.read(key, "a time of RFC 3339", |node| match node {
            Node::Text(text) => time::read(text).map(drop),
            Node::Plain(_) => Some(()),
            _ => None,
        });
        passed.map(drop)
    }

    /// Returns the fields of an object in a field.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn fields(&self, key: &str) -> Result<Option<Self>, IllTyped> {
        self.node(key).map(|node| node.fields(&self.place(key))).transpose()
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &'static str,
        value: impl FnOnce(&Node) -> Option<T>,
    ) -> Result<Option<T>, IllTyped> {
        match self.node(key) {
            None => Ok(None),
            Some(node) => value(node).map(Some).ok_or_else(|| IllTyped::new(self.place(key), expected)),
        }
    }
}

impl Node {
    fn as_item(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Plain(text) => Some(text.clone()),
            Self::Null => Some(String::new()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: &str) -> Node {
        json::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn json_is_taken_by_its_types_alone() {
        let node =
            from(r#"{"s":"x","b":true,"i":4,"f":4.0,"e":1e0,"big":9223372036854775808,"n":null,"l":["a",null]}"#);
        let fields = node.fields("").unwrap();
        assert_eq!(fields.text("s"), Ok(Some("x".into())));
        assert_eq!(fields.text("n"), Ok(None));
        assert_eq!(fields.text("absent"), Ok(None));
        assert_eq!(fields.flag("b"), Ok(Some(true)));
        assert_eq!(fields.integer("i"), Ok(Some(4)));
        assert_eq!(fields.texts("l"), Ok(Some(vec!["a".into(), String::new()])));
        for key in ["f", "e", "big", "s", "b"] {
            assert_eq!(fields.integer(key).unwrap_err().to_string(), format!("{key} is not an integer"));
        }
        assert!(fields.text("i").is_err() && fields.flag("i").is_err() && fields.texts("s").is_err());
    }

    #[test]
    fn yaml_is_taken_as_the_field_wants_it() {
        let node = yaml::read("a: yes\nb: 1.10\nc: 0x8\nd: '4'\ne: 2001-12-14\nf: \"true\"\n").unwrap();
        let fields = node.fields("").unwrap();
        assert_eq!((fields.flag("a"), fields.text("a")), (Ok(Some(true)), Ok(Some("yes".into()))));
        assert_eq!(fields.text("b"), Ok(Some("1.10".into())));
        assert_eq!((fields.integer("c"), fields.text("c")), (Ok(Some(8)), Ok(Some("0x8".into()))));
        assert_eq!(fields.text("e"), Ok(Some("2001-12-14".into())));
        assert!(fields.integer("d").is_err() && fields.flag("f").is_err() && fields.integer("b").is_err());
    }

    #[test]
    fn errors_name_the_place_and_not_the_value() {
        let node = from(r#"{"vcenter":{"password":4711}}"#);
        let vcenter = node.fields("jobs[3]").unwrap().fields("vcenter").unwrap().unwrap();
        assert_eq!(vcenter.text("password").unwrap_err().to_string(), "jobs[3].vcenter.password is not a text");
    }

    #[test]
    fn times_are_checked_and_forgotten() {
        for (json, good) in [
            (r#"{"t":"0001-01-01T00:00:00Z"}"#, true),
            (r#"{"t":"2026-02-03T02:00:00.5+01:00"}"#, true),
            (r#"{"t":null}"#, true),
            (r#"{"t":""}"#, false),
            (r#"{"t":5}"#, false),
            (r#"{"t":"2026-02-03T02:00:00"}"#, false),
        ] {
            assert_eq!(from(json).fields("").unwrap().time("t").is_ok(), good, "{json}");
        }
        assert!(yaml::read("t: 2001-12-14 21:59:43.10 -5").unwrap().fields("").unwrap().time("t").is_ok());
    }
}
