//! JSON into [`Node`]s. Of a key that is given twice the last counts, as Go has it.

use serde::Deserialize as _;
use serde_json::Value;

use super::Node;

/// Reads one value and nothing behind it.
///
/// # Errors
/// When `body` is no JSON, begins with a byte-order mark, or has something behind the value.
pub fn read(body: &[u8]) -> Result<Node, serde_json::Error> {
    serde_json::from_slice(body).map(node)
}

/// Reads the first value and ignores what is behind it.
///
/// # Errors
/// When `body` does not begin with a JSON value.
pub fn read_first(body: &[u8]) -> Result<Node, serde_json::Error> {
    Value::deserialize(&mut serde_json::Deserializer::from_slice(body)).map(node)
}

/// Nesting is bounded by the parser (128 levels), and so is this recursion.
fn node(value: Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => Node::Flag(flag),
        Value::Number(number) => Node::Number(number),
        Value::String(text) => Node::Text(text),
        Value::Array(items) => Node::List(items.into_iter().map(node).collect()),
        Value::Object(entries) => Node::Map(entries.into_iter().map(|(key, value)| (key, node(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_given_twice_the_last_counts() {
        let node = read(br#"{"a":1,"a":"x"}"#).unwrap();
        assert_eq!(node, Node::Map(vec![("a".into(), Node::Text("x".into()))]));
    }

    #[test]
    fn what_is_behind_the_value_is_refused_or_ignored_as_asked() {
        for body in ["{} {}", "{}x", "[] ]"] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
            assert!(read_first(body.as_bytes()).is_ok(), "{body}");
        }
        assert!(read(b" {} \r\n").is_ok());
        assert!(read_first(b"").is_err());
    }

    #[test]
    fn a_byte_order_mark_and_bytes_that_are_no_utf_8_are_refused() {
        assert!(read("\u{feff}{}".as_bytes()).is_err());
        assert!(read(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn nesting_has_an_end() {
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }
}
