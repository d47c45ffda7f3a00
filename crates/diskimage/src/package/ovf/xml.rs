//! XML as a small tree: elements with their vocabulary, attributes, text and place.
//!
//! Wraps quick-xml's namespace reader. It adds the limits of [`super`], decodes UTF-16, refuses
//! document types, and gives attributes unescaped. Namespaces become one of four vocabularies,
//! because writers spell their URIs in several ways.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, OVF_BYTES_MAX};
use crate::{Error, Result};

/// Namespaces of OVF 1.x, 2.0 and 0.9, without the slash at the end that oVirt adds.
pub(super) const OVF_NAMESPACES: [&str; 3] = [
    "http://schemas.dmtf.org/ovf/envelope/1",
    "http://schemas.dmtf.org/ovf/envelope/2",
    "http://www.vmware.com/schema/ovf/1/envelope",
];
/// What the namespaces of CIM's settings begin with: one for each class, with and without `.xsd`.
const CIM_NAMESPACE_START: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/";
const VMWARE_NAMESPACE: &str = "http://www.vmware.com/schema/ovf";
const XSI_NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The vocabulary that a name belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Vocabulary {
    /// OVF, of any version.
    Ovf,
    /// CIM: the settings of virtual hardware.
    Cim,
    /// VMware's extensions.
    Vmware,
    /// Anything else, which is skipped over.
    #[default]
    Foreign,
}

/// An element with all that is inside.
#[derive(Debug, Default)]
pub(super) struct Node {
    vocabulary: Vocabulary,
    /// Its name without prefix.
    pub(super) name: String,
    attributes: Vec<Attribute>,
    /// The local part of `xsi:type`, which OVF 0.9 uses in place of element names.
    xsi_type: Option<String>,
    /// The elements directly inside, in their order.
    children: Vec<Self>,
    /// The text directly inside.
    text: String,
    /// The byte of the text at which it begins.
    pub(super) offset: u64,
    /// The byte behind it.
    pub(super) end: u64,
}

#[derive(Debug)]
struct Attribute {
    vocabulary: Vocabulary,
    name: String,
    value: String,
}

impl Node {
    /// Returns an attribute, written with an OVF prefix or none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attribute(Vocabulary::Ovf, name)
    }

    /// Returns an attribute of VMware's, written with its prefix or, as some tools do, none.
    pub(super) fn get_vmware(&self, name: &str) -> Option<&str> {
        self.attribute(Vocabulary::Vmware, name).or_else(|| self.get(name))
    }

    fn attribute(&self, vocabulary: Vocabulary, name: &str) -> Option<&str> {
        let mut known = self.attributes.iter().filter(|known| known.vocabulary == vocabulary);
        known.find(|known| known.name == name).map(|known| known.value.as_str())
    }

    /// Returns what kind of element of OVF this is: its name or, in OVF 0.9, its type.
    pub(super) fn kind(&self) -> &str {
        match (self.vocabulary, self.name.as_str(), &self.xsi_type) {
            (Vocabulary::Ovf, "Section" | "Content", Some(kind)) => kind.strip_suffix("_Type").unwrap_or(kind),
            (Vocabulary::Ovf, name, _) => name,
            _ => "",
        }
    }

    /// Iterates over the elements of OVF of one kind directly inside.
    pub(super) fn children<'n>(&'n self, kind: &'n str) -> impl Iterator<Item = &'n Self> {
        self.children.iter().filter(move |child| child.kind() == kind)
    }

    /// Iterates over all elements of OVF directly inside.
    pub(super) fn all_children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(|child| child.vocabulary == Vocabulary::Ovf)
    }

    /// Iterates over the elements of VMware's directly inside.
    pub(super) fn vmware_children<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Self> {
        self.children.iter().filter(move |child| child.vocabulary == Vocabulary::Vmware && child.name == name)
    }

    /// Returns the first element of OVF of a kind directly inside.
    pub(super) fn child(&self, kind: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.kind() == kind)
    }

    /// Returns the text of the first setting of CIM with one of these names, without outer blanks;
    /// `None` when it is empty.
    pub(super) fn cim(&self, names: &[&str]) -> Option<&str> {
        let mut settings = self.children.iter().filter(|child| child.vocabulary == Vocabulary::Cim);
        settings.find(|child| names.contains(&child.name.as_str())).map(Self::text).filter(|text| !text.is_empty())
    }

    /// Returns the text directly inside, without outer blanks.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// Returns the text of the first element of a kind directly inside; `None` when it is empty.
    pub(super) fn child_text(&self, kind: &str) -> Option<&str> {
        self.child(kind).map(Self::text).filter(|text| !text.is_empty())
    }
}

/// Reads a document of which the root is an element of OVF.
pub(super) fn read(bytes: &[u8]) -> Result<Node> {
    if bytes.len() > OVF_BYTES_MAX {
        return Err(Error::limit("an OVF descriptor has at most 8 MiB").found(format!("{} bytes", bytes.len())));
    }
    let text = decode(bytes)?;
    let mut reader = NsReader::from_str(&text);
    let mut builder = Builder::default();
    loop {
        let position = reader.buffer_position();
        let event = reader.read_event().map_err(|source| malformed().caused_by(source).at(position))?;
        let done = matches!(event, Event::Eof);
        builder.take(&reader, event, position..reader.buffer_position()).map_err(|error| error.or_at(position))?;
        if done {
            return builder.root.ok_or_else(|| malformed().found("no element at all"));
        }
    }
}

/// Builds the tree; the open elements stand on a stack, so nesting costs no stack of ours.
#[derive(Default)]
struct Builder {
    open: Vec<Node>,
    root: Option<Node>,
    elements: usize,
}

impl Builder {
    fn take(&mut self, reader: &NsReader<&[u8]>, event: Event<'_>, at: Range<u64>) -> Result<()> {
        match event {
            Event::Start(start) => self.start(reader, &start, at.start),
            Event::Empty(start) => {
                self.start(reader, &start, at.start)?;
                self.end(at.end)
            }
            Event::End(_) => self.end(at.end),
            Event::Text(text) => {
                self.add_text(&text.xml10_content());
                Ok(())
            }
            Event::CData(text) => {
                self.add_text(&text.xml10_content());
                Ok(())
            }
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let escaped = format!("&{name};");
                let text = quick_xml::escape::unescape(&escaped).map_err(|source| malformed().caused_by(source))?;
                self.add_text(&text);
                Ok(())
            }
            Event::DocType(_) => Err(Error::unsupported("an OVF descriptor has no document type declaration")),
            Event::Eof if !self.open.is_empty() => Err(Error::truncated("every element of an OVF descriptor ends")),
            Event::Eof | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Ok(()),
        }
    }

    fn start(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>, position: u64) -> Result<()> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Error::limit("an OVF descriptor has at most 100000 elements"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Error::limit("elements are nested at most 64 deep"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(malformed().found("a second root element"));
        }
        let node = read_node(reader, start, self.open.is_empty(), position)?;
        self.open.push(node);
        Ok(())
    }

    fn end(&mut self, end: u64) -> Result<()> {
        let mut node = self.open.pop().ok_or_else(|| malformed().found("an end without a start"))?;
        node.end = end;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn add_text(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            open.text.push_str(text);
        }
    }
}

fn read_node(reader: &NsReader<&[u8]>, start: &BytesStart<'_>, is_root: bool, offset: u64) -> Result<Node> {
    let resolver = reader.resolver();
    let (namespace, local) = resolver.resolve_element(start.name());
    // oVirt gives only the root a namespace.
    let vocabulary = match vocabulary_of(&namespace) {
        None if !is_root => Vocabulary::Ovf,
        known => known.unwrap_or_default(),
    };
    let mut node = Node { vocabulary, name: local.as_ref().to_owned(), offset, ..Node::default() };
    if is_root && (vocabulary, node.name.as_str()) != (Vocabulary::Ovf, "Envelope") {
        return Err(Error::corrupt("the outermost element of an OVF descriptor is an envelope"));
    }
    for (index, attribute) in start.attributes().enumerate() {
        if index >= ATTRIBUTES_MAX {
            return Err(Error::limit("an element has at most 256 attributes"));
        }
        let attribute = attribute.map_err(|source| malformed().caused_by(source))?;
        let value =
            attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|source| malformed().caused_by(source))?;
        let (namespace, local) = resolver.resolve_attribute(attribute.key);
        if namespace == ResolveResult::Bound(Namespace(XSI_NAMESPACE)) && local.as_ref() == "type" {
            let local = value.rsplit(':').next().unwrap_or_default();
            node.xsi_type = Some(local.to_owned());
            continue;
        }
        let vocabulary = vocabulary_of(&namespace).unwrap_or(Vocabulary::Ovf);
        if vocabulary != Vocabulary::Foreign {
            let name = local.as_ref().to_owned();
            node.attributes.push(Attribute { vocabulary, name, value: value.into_owned() });
        }
    }
    Ok(node)
}

/// Returns the vocabulary of a namespace; `None` when there is no namespace.
fn vocabulary_of(namespace: &ResolveResult<'_>) -> Option<Vocabulary> {
    let ResolveResult::Bound(Namespace(uri)) = namespace else {
        return matches!(namespace, ResolveResult::Unknown(_)).then_some(Vocabulary::Foreign);
    };
    let uri = uri.trim_end_matches('/');
    Some(if OVF_NAMESPACES.contains(&uri) {
        Vocabulary::Ovf
    } else if uri.starts_with(CIM_NAMESPACE_START) {
        Vocabulary::Cim
    } else if uri == VMWARE_NAMESPACE {
        Vocabulary::Vmware
    } else {
        Vocabulary::Foreign
    })
}

fn malformed() -> Error {
    Error::corrupt("an OVF descriptor is well-formed XML")
}

/// Returns the text, whatever its encoding says: by byte order mark, else UTF-8.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks::<2>();
        let text = char::decode_utf16(units.iter().map(|&bytes| unit(bytes)));
        let text: Result<String, _> = text.collect();
        text.ok().filter(|_| odd.is_empty()).map(Cow::Owned)
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    };
    text.ok_or_else(|| Error::unsupported("an OVF descriptor is text in UTF-8 or UTF-16"))
}
