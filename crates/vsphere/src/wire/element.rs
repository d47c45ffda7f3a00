//! The element tree: parsed from text with namespaces resolved, written back with ours.
//!
//! Real servers and clients bind any prefix to the schema-instance namespace, so names are resolved,
//! never compared with their prefix. Of the attributes only three mean something in vim25: `xsi:type`,
//! `xsi:nil` and the plain `type` of a managed object reference; all others are skipped (pyvmomi
//! sends `versionId` on every parameter).

use std::fmt::Write as _;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{QName, ResolveResult};

/// `xsi:type` and `xsi:nil` live here.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The types of scalars.
const XSD: &str = "http://www.w3.org/2001/XMLSchema";
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const VIM: &str = "urn:vim25";

/// The namespaces that are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    /// `urn:vim25`, every method and type of the API.
    #[default]
    Vim,
    /// SOAP 1.1 envelope.
    Soap,
    /// XML Schema, the scalars in `xsi:type`.
    Schema,
    /// None, or one that means nothing here.
    Other,
}

/// The resolved value of an `xsi:type` attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XsiType {
    /// Namespace of the type.
    pub namespace: Namespace,
    /// Local name, for example `VirtualDisk` or `string`.
    pub name: String,
}

/// One element with everything in it. An element with `xsi:nil="true"` is dropped while parsing,
/// because vim25 says "absent" by absence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Element {
    /// Local name.
    pub name: String,
    /// Namespace of the name.
    pub namespace: Namespace,
    /// Resolved `xsi:type`.
    pub xsi_type: Option<XsiType>,
    /// The plain `type` attribute: the managed type of a reference.
    pub managed_type: Option<String>,
    /// Text, joined over entities and CDATA sections. Blank text beside children is dropped.
    pub text: String,
    /// Child elements in document order.
    pub children: Vec<Self>,
}

/// Bounds on what is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest document, in bytes.
    pub bytes_max: usize,
    /// Deepest nesting of elements.
    pub depth_max: usize,
}

impl Default for Limits {
    /// 64 MiB and 64 levels: a reply of 1,000 VMs with all properties is some tens of MiB, and the
    /// deepest type in use (a disk's chain of backings) nests about 40 deep.
    fn default() -> Self {
        Self { bytes_max: 64 << 20, depth_max: 64 }
    }
}

/// Text that is not the XML we accept. Not retryable.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The text breaks XML's own rules.
    #[error("not well-formed XML near byte {position}: {reason}")]
    Malformed {
        /// Where the reader stood, in bytes.
        position: u64,
        /// What the reader says.
        reason: String,
    },
    /// A bound of [`Limits`] is exceeded.
    #[error("XML larger than allowed: more than {limit} {unit}")]
    TooLarge {
        /// The bound.
        limit: usize,
        /// What it counts.
        unit: &'static str,
    },
    /// A document type, an entity of its own, or no root element.
    #[error("XML with {0}, which vim25 never has")]
    Unexpected(&'static str),
}

impl Element {
    /// Makes an empty element of the API's namespace.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Makes an element of the API's namespace that holds `text`.
    pub fn with_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), ..Self::default() }
    }

    /// Returns the first child named `name`.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Parses one document.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(text: &str, limits: Limits) -> Result<Self, ParseError> {
        if text.len() > limits.bytes_max {
            return Err(ParseError::TooLarge { limit: limits.bytes_max, unit: "bytes" });
        }
        Parser { reader: NsReader::from_str(text), limits, open: Vec::new(), root: None }.run()
    }

    /// Writes the element; `xsi` and `xsd` must be bound by an ancestor, the default namespace to
    /// `urn:vim25`. Characters that XML cannot carry become U+FFFD.
    pub fn write_xml(&self, out: &mut String) {
        let _ = write!(out, "<{}", self.name);
        if let Some(managed) = &self.managed_type {
            out.push_str(" type=\"");
            escape_into(managed, out);
            out.push('"');
        }
        if let Some(xsi) = &self.xsi_type {
            let prefix = if xsi.namespace == Namespace::Schema { "xsd:" } else { "" };
            let _ = write!(out, " xsi:type=\"{prefix}{}\"", xsi.name);
        }
        if self.text.is_empty() && self.children.is_empty() {
            let _ = write!(out, "></{}>", self.name);
            return;
        }
        out.push('>');
        escape_into(&self.text, out);
        self.children.iter().for_each(|child| child.write_xml(out));
        let _ = write!(out, "</{}>", self.name);
    }
}

/// Appends `text` with XML's special characters escaped.
pub(super) fn escape_into(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A reader turns a bare carriage return into a line feed.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}

struct Parser<'a> {
    reader: NsReader<&'a [u8]>,
    limits: Limits,
    /// Elements whose end has not come; `true` marks one with `xsi:nil`.
    open: Vec<(Element, bool)>,
    root: Option<Element>,
}

impl Parser<'_> {
    fn run(mut self) -> Result<Element, ParseError> {
        loop {
            let event = self.reader.read_event().map_err(|error| self.malformed(&error))?;
            match event {
                Event::Start(start) => {
                    let opened = self.open(&start)?;
                    self.open.push(opened);
                }
                Event::Empty(start) => {
                    let opened = self.open(&start)?;
                    self.close(opened);
                }
                Event::End(_) => {
                    // The reader checks that end tags match, so one is open here.
                    if let Some(opened) = self.open.pop() {
                        self.close(opened);
                    }
                }
                Event::Text(text) => self.text(&text.xml10_content()),
                Event::CData(text) => self.text(&text.xml10_content()),
                Event::GeneralRef(reference) => self.reference(&reference.xml10_content())?,
                Event::DocType(_) => return Err(ParseError::Unexpected("a document type")),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof if self.open.is_empty() => {
                    return self.root.ok_or(ParseError::Unexpected("no root element"));
                }
                Event::Eof => return Err(self.malformed(&"the document ends inside an element")),
            }
        }
    }

    fn open(&self, start: &BytesStart<'_>) -> Result<(Element, bool), ParseError> {
        if self.open.len() >= self.limits.depth_max {
            return Err(ParseError::TooLarge { limit: self.limits.depth_max, unit: "levels" });
        }
        if self.root.is_some() {
            return Err(self.malformed(&"a second root element"));
        }
        let resolver = self.reader.resolver();
        let (namespace, local) = resolver.resolve_element(start.name());
        let mut element =
            Element { name: local.as_ref().to_owned(), namespace: self::namespace(&namespace), ..Element::default() };
        let mut nil = false;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.malformed(&error))?;
            let (namespace, local) = resolver.resolve_attribute(attribute.key);
            let value = || attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| self.malformed(&error));
            match (uri(&namespace), local.as_ref()) {
                (Some(XSI), "type") => element.xsi_type = Some(self.xsi_type(&value()?)),
                (Some(XSI), "nil") => nil = matches!(value()?.as_ref(), "true" | "1"),
                (None, "type") => element.managed_type = Some(value()?.into_owned()),
                _ => {}
            }
        }
        Ok((element, nil))
    }

    /// Resolves the prefix inside the *value* of `xsi:type`.
    fn xsi_type(&self, value: &str) -> XsiType {
        let (namespace, local) = self.reader.resolver().resolve_element(QName(value.trim()));
        XsiType { namespace: self::namespace(&namespace), name: local.as_ref().to_owned() }
    }

    fn close(&mut self, (mut element, nil): (Element, bool)) {
        if !element.children.is_empty() && element.text.trim().is_empty() {
            element.text.clear();
        }
        match self.open.last_mut() {
            Some(_) if nil => {}
            Some((parent, _)) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((element, _)) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    fn reference(&mut self, name: &str) -> Result<(), ParseError> {
        let resolved = match name.strip_prefix('#') {
            Some(number) => character(number).map(String::from),
            None => quick_xml::escape::resolve_predefined_entity(name).map(str::to_owned),
        };
        let text = resolved.ok_or(ParseError::Unexpected("an entity of its own"))?;
        self.text(&text);
        Ok(())
    }

    fn malformed(&self, reason: &dyn std::fmt::Display) -> ParseError {
        ParseError::Malformed { position: self.reader.buffer_position(), reason: reason.to_string() }
    }
}

fn character(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

fn uri<'a>(result: &'a ResolveResult<'_>) -> Option<&'a str> {
    match result {
        ResolveResult::Bound(namespace) => Some(namespace.as_ref()),
        _ => None,
    }
}

fn namespace(result: &ResolveResult<'_>) -> Namespace {
    match uri(result) {
        Some(VIM) => Namespace::Vim,
        Some(SOAP) => Namespace::Soap,
        Some(XSD) => Namespace::Schema,
        _ => Namespace::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Element, ParseError> {
        Element::parse(text, Limits::default())
    }

    #[test]
    fn types_are_resolved_by_namespace_and_not_by_prefix() {
        let text = r#"<a xmlns="urn:vim25" xmlns:q="http://www.w3.org/2001/XMLSchema-instance"
            xmlns:s="http://www.w3.org/2001/XMLSchema"><v q:type="s:string">x</v><d q:type="VirtualDisk"/></a>"#;
        let root = parse(text).unwrap();
        let types: Vec<_> = root.children.iter().map(|c| c.xsi_type.clone().unwrap()).collect();
        assert_eq!(types[0], XsiType { namespace: Namespace::Schema, name: "string".into() });
        assert_eq!(types[1], XsiType { namespace: Namespace::Vim, name: "VirtualDisk".into() });
    }

    #[test]
    fn a_reference_sent_as_any_value_has_two_type_attributes() {
        let text = r#"<val xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="urn:vim25"
            type="Folder" xsi:type="ManagedObjectReference">group-d1</val>"#;
        let val = parse(text).unwrap();
        assert_eq!(val.managed_type.as_deref(), Some("Folder"));
        assert_eq!(val.xsi_type.unwrap().name, "ManagedObjectReference");
        assert_eq!(val.text, "group-d1");
    }

    #[test]
    fn text_is_joined_over_entities_and_cdata() {
        assert_eq!(parse("<n>a&amp;b<![CDATA[<c>]]>&#233;&#x41;</n>").unwrap().text, "a&b<c>éA");
    }

    #[test]
    fn nil_elements_count_as_absent() {
        let text = r#"<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><b x:nil="true"/><c/></a>"#;
        let names: Vec<_> = parse(text).unwrap().children.into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["c"]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut element = Element::with_text("name", "a<b>&\"c\r\n\t é");
        element.managed_type = Some("Folder".into());
        let mut xml = String::new();
        element.write_xml(&mut xml);
        let back = parse(&xml).unwrap();
        assert_eq!((back.text, back.managed_type), (element.text, element.managed_type));
    }

    #[test]
    fn bounds_hold() {
        let deep = "<a>".repeat(65) + &"</a>".repeat(65);
        assert!(matches!(parse(&deep), Err(ParseError::TooLarge { limit: 64, .. })));
        let limits = Limits { bytes_max: 3, depth_max: 64 };
        assert!(matches!(Element::parse("<a/>", limits), Err(ParseError::TooLarge { limit: 3, .. })));
    }

    #[test]
    fn cut_and_hostile_documents_are_errors() {
        for text in ["", "<a>", "<a></b>", "<a/><b/>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a>&x;</a>"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
