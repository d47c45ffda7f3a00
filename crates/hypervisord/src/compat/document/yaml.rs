//! YAML 1.1 into [`Node`]s: a tree over the events of serde-saphyr's parser.
//!
//! Serde's data model has no place for "this was written plain", so the library's own reading into types
//! cannot keep `name: 1.10` as it is written and yet refuse `'true'` for a boolean. The events can.
//!
//! Of several documents the first is read; whatever stands behind it is not even looked at. Aliases are
//! expanded, merge keys obeyed, keys given twice refused, as the older daemon did.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::{Node, scalar};

/// What the tags of YAML itself begin with, once `!!` is resolved.
const YAML_TAG_PREFIX: &str = "tag:yaml.org,2002:";

/// What may be kept and put in again for anchors and aliases together, in the measure of [`weight_of`]. An honest
/// job file repeats a few options; one of a kilobyte can be written so that it expands to all memory.
const COPIED_WEIGHT_MAX: usize = 16 << 20;

/// What a value weighs besides its text.
const NODE_WEIGHT: usize = 64;

/// Levels of nesting, aliases included. The parser has the same limit for what is written out.
const DEPTH_MAX: usize = 255;

/// A document that cannot be read.
#[derive(Debug)]
pub enum Error {
    /// It is no YAML.
    Syntax(ScanError),
    /// It is YAML of a kind that is not taken, for the reason given.
    Refused(Cow<'static, str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The parser's text names places and kinds of signs, and never quotes a value.
            Self::Syntax(error) => error.fmt(f),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

fn refused<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Error> {
    Err(Error::Refused(reason.into()))
}

/// Reads the first document of `text`; without any it is [`Node::Null`].
///
/// # Errors
/// When the document is no YAML, gives a key twice, has a key that is no scalar, merges what is no mapping,
/// or is made to grow without measure.
pub fn read(text: &str) -> Result<Node, Error> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(Error::Syntax)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => tree.take(scalar_node(text, style, tag.as_deref())?, anchor)?,
            Event::Alias(anchor) => tree.alias(anchor)?,
            Event::SequenceStart(_, anchor, _) => tree.open(Frame::new(anchor, Kind::List(Vec::new())))?,
            Event::MappingStart(_, anchor, _) => tree.open(Frame::new(anchor, Kind::Map(Mapping::default())))?,
            Event::SequenceEnd | Event::MappingEnd => tree.close()?,
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    Ok(tree.root.unwrap_or(Node::Null))
}

fn scalar_node(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, Error> {
    let plain = match tag.filter(|tag| tag.handle() == YAML_TAG_PREFIX).map(Tag::suffix) {
        // A tag of somebody's own says nothing about the type.
        None => style == ScalarStyle::Plain,
        Some("str") => false,
        Some("binary") => return refused("a value is tagged as binary, which no field takes"),
        // `!!int '4'` is a number however it is quoted, and a merge key may be tagged as one.
        Some(_) => true,
    };
    Ok(match plain {
        true if scalar::is_null(&text) => Node::Null,
        true => Node::Plain(text.into_owned()),
        false => Node::Text(text.into_owned()),
    })
}

/// Returns the own weight of a node: without what it contains.
fn weight_of(node: &Node) -> usize {
    match node {
        Node::Text(text) | Node::Plain(text) => NODE_WEIGHT + text.len(),
        Node::Map(entries) => NODE_WEIGHT + entries.iter().map(|(key, _)| NODE_WEIGHT + key.len()).sum::<usize>(),
        _ => NODE_WEIGHT,
    }
}

/// A finished value, how much it weighs with all that it contains, and how deep it is.
#[derive(Clone, Debug)]
struct Value {
    node: Node,
    weight: usize,
    depth: usize,
}

/// A collection that is being read.
#[derive(Debug)]
struct Frame {
    anchor: usize,
    kind: Kind,
    weight: usize,
    depth: usize,
}

#[derive(Debug)]
enum Kind {
    List(Vec<Node>),
    Map(Mapping),
}

#[derive(Debug, Default)]
struct Mapping {
    entries: Vec<(String, Node)>,
    seen: HashSet<String>,
    key: Option<Key>,
    merged: Option<Node>,
}

#[derive(Debug)]
enum Key {
    Named(String),
    Merge,
}

impl Frame {
    const fn new(anchor: usize, kind: Kind) -> Self {
        Self { anchor, kind, weight: 0, depth: 1 }
    }
}

/// The document as far as it is read. The parser numbers anchors from 1; 0 is none.
#[derive(Debug, Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Frame>,
    anchors: HashMap<usize, Value>,
    copied_weight: usize,
}

impl Tree {
    fn open(&mut self, frame: Frame) -> Result<(), Error> {
        if self.open.len() >= DEPTH_MAX {
            return refused("it is nested too deeply");
        }
        self.open.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(frame) = self.open.pop() else { return refused("a collection ends that never began") };
        let node = match frame.kind {
            Kind::List(items) => Node::List(items),
            Kind::Map(mapping) => Node::Map(mapping.finish()?),
        };
        let weight = frame.weight + weight_of(&node);
        self.put(Value { node, weight, depth: frame.depth }, frame.anchor)
    }

    fn take(&mut self, node: Node, anchor: usize) -> Result<(), Error> {
        let weight = weight_of(&node);
        self.put(Value { node, weight, depth: 0 }, anchor)
    }

    fn alias(&mut self, anchor: usize) -> Result<(), Error> {
        // An anchor is known once its value is whole.
        let Some(weight) = self.anchors.get(&anchor).map(|value| value.weight) else {
            return refused("a value contains itself");
        };
        self.copy_allowed(weight)?;
        let value = self.anchors[&anchor].clone();
        self.put(value, 0)
    }

    /// Counts a copy of a value that weighs `weight`, and refuses it when there were too many.
    fn copy_allowed(&mut self, weight: usize) -> Result<(), Error> {
        self.copied_weight = self.copied_weight.saturating_add(weight);
        if self.copied_weight > COPIED_WEIGHT_MAX {
            return refused("its aliases expand to too much");
        }
        Ok(())
    }

    /// Puts a finished value to where it belongs: into the collection that is open, or at the root.
    fn put(&mut self, value: Value, anchor: usize) -> Result<(), Error> {
        if anchor != 0 {
            self.copy_allowed(value.weight)?;
            self.anchors.insert(anchor, value.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(value.node);
            return Ok(());
        };
        frame.weight = frame.weight.saturating_add(value.weight);
        frame.depth = frame.depth.max(value.depth + 1);
        if frame.depth > DEPTH_MAX {
            return refused("it is nested too deeply");
        }
        match &mut frame.kind {
            Kind::List(items) => items.push(value.node),
            Kind::Map(mapping) => mapping.put(value.node)?,
        }
        Ok(())
    }
}

impl Mapping {
    /// Takes a key or, after a key, its value.
    fn put(&mut self, node: Node) -> Result<(), Error> {
        match self.key.take() {
            None => self.key = Some(self.new_key(node)?),
            Some(Key::Named(name)) => self.entries.push((name, node)),
            Some(Key::Merge) => self.merged = Some(node),
        }
        Ok(())
    }

    fn new_key(&mut self, node: Node) -> Result<Key, Error> {
        let key = match node {
            Node::Plain(text) if text == "<<" => {
                if self.merged.is_some() {
                    return refused("the merge key is given twice");
                }
                return Ok(Key::Merge);
            }
            Node::Plain(text) | Node::Text(text) => text,
            Node::Null => "null".to_owned(),
            _ => return refused("a key is not a scalar"),
        };
        if !self.seen.insert(key.clone()) {
            return refused(format!("the key {key:?} is given twice"));
        }
        Ok(Key::Named(key))
    }

    /// Returns the entries with those merged in that the mapping has not itself; of several merged mappings
    /// the first that has a key decides.
    fn finish(mut self) -> Result<Vec<(String, Node)>, Error> {
        let sources = match self.merged.take() {
            None => Vec::new(),
            Some(Node::List(sources)) => sources,
            Some(source) => vec![source],
        };
        for source in sources {
            let Node::Map(entries) = source else { return refused("what is merged is not a mapping") };
            for (key, node) in entries {
                if self.seen.insert(key.clone()) {
                    self.entries.push((key, node));
                }
            }
        }
        Ok(self.entries)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(text: &str) -> serde_json::Value {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_json()
    }

    fn reason(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn scalars_are_kept_as_they_are_written() {
        let node = read("a: 1.10\nb: '4'\nc: ~\nd: |\n  two\n  lines\ne: !!str 5\nf: !!int '7'\n").unwrap();
        let plain = |text: &str| Node::Plain(text.into());
        let text = |text: &str| Node::Text(text.into());
        let expected = [plain("1.10"), text("4"), Node::Null, text("two\nlines\n"), text("5"), plain("7")];
        let Node::Map(entries) = node else { panic!("it is a mapping") };
        assert_eq!(entries.into_iter().map(|(_, node)| node).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn comments_line_ends_of_dos_marks_and_a_byte_order_mark_are_allowed() {
        assert_eq!(json("\u{feff}# first\r\n---\r\na: 1 # one\r\nb:\r\n  - x\r\n"), json!({"a": 1, "b": ["x"]}));
        assert_eq!(json("%YAML 1.1\n---\na: 1\n"), json!({"a": 1}));
    }

    #[test]
    fn of_several_documents_only_the_first_is_read() {
        assert_eq!(json("a: 1\n---\nb: 2\n"), json!({"a": 1}));
        assert_eq!(json("---\na: 1\n...\n]]] no yaml\n"), json!({"a": 1}));
    }

    #[test]
    fn nothing_is_null() {
        for text in ["", "# only a comment\n", "---\n", "~"] {
            assert_eq!(read(text).unwrap(), Node::Null, "{text:?}");
        }
    }

    #[test]
    fn aliases_and_merge_keys_work_from_unknown_keys_too() {
        let text = "defaults: &d {format: ovf, thin: true}\nmore: &m {thin: false, compress: true}\n\
                    jobs:\n- {<<: *d, format: raw}\n- {<<: [*m, *d]}\n- *d\n";
        let jobs = json(text)["jobs"].take();
        assert_eq!(
            jobs,
            json!([
                {"format": "raw", "thin": true},
                {"format": "ovf", "thin": false, "compress": true},
                {"format": "ovf", "thin": true},
            ])
        );
        assert_eq!(json("'<<': 1"), json!({"<<": 1}), "a quoted key merges nothing");
    }

    #[test]
    fn keys_that_are_numbers_become_text() {
        assert_eq!(json("1: a\n2.5: b\ntrue: c\n"), json!({"1": "a", "2.5": "b", "true": "c"}));
    }

    #[test]
    fn what_has_no_one_meaning_is_refused() {
        for (text, why) in [
            ("a: 1\na: 2\n", "\"a\" is given twice"),
            ("<<: {a: 1}\n<<: {b: 1}\n", "merge key is given twice"),
            ("<<: 5\n", "not a mapping"),
            ("<<: [5]\n", "not a mapping"),
            ("? [a]\n: b\n", "key is not a scalar"),
            ("a: !!binary aGFsbG8=\n", "binary"),
            ("a: &a [*a]\n", "contains itself"),
        ] {
            assert!(reason(text).contains(why), "{text}: {}", reason(text));
        }
        for text in ["a: *none\n", "a: [\n", "a: b: c\n", "\"a", "a:\n\t- b\n"] {
            assert!(matches!(read(text), Err(Error::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn aliases_cannot_be_made_to_fill_the_memory() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..=9 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(reason(&bomb).contains("expand to too much"));
    }

    #[test]
    fn nesting_has_an_end_with_aliases_too() {
        assert!(read(&"[".repeat(100_000)).is_err());
        let mut chain = format!("a0: &a0 {}x{}\n", "[".repeat(200), "]".repeat(200));
        for level in 1..=3 {
            let (open, close) = ("[".repeat(200), "]".repeat(200));
            chain.push_str(&format!("a{level}: &a{level} {open}*a{}{close}\n", level - 1));
        }
        assert!(reason(&chain).contains("nested too deeply"));
    }
}
