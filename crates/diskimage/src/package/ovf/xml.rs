//! A bounded walk over XML: elements with their namespace, attributes and text.
//!
//! Wraps quick-xml's namespace reader. It adds the limits of [`super`], decodes UTF-16, refuses
//! document types, and gives attributes unescaped.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::{DEPTH_MAX, ELEMENTS_MAX, OVF_BYTES_MAX};
use crate::{Error, Result};

/// Namespaces of OVF 1.x, 2.0 and 0.9.
const OVF_NAMESPACES: [&str; 3] = [
    "http://schemas.dmtf.org/ovf/envelope/1",
    "http://schemas.dmtf.org/ovf/envelope/2",
    "http://www.vmware.com/schema/ovf/1/envelope",
];
const XSI_NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// What a visitor hears of.
pub(super) trait Visitor {
    /// An element begins. `path` names the elements around it, outermost first.
    fn start(&mut self, path: &[String], element: &Element) -> Result<()>;
    /// An element ends; `text` is the text directly inside it.
    fn end(&mut self, path: &[String], element: &Element, text: &str) -> Result<()>;
}

/// An element of an OVF namespace. Others have an empty name and no attributes.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Its name without prefix.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    /// The local part of `xsi:type`, which OVF 0.9 uses in place of element names.
    pub(super) xsi_type: Option<String>,
}

impl Element {
    /// Returns an attribute, written with an OVF prefix or none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An element that has begun and not ended.
#[derive(Default)]
struct Open {
    element: Element,
    text: String,
}

/// Walks over a document.
pub(super) fn walk(bytes: &[u8], visitor: &mut impl Visitor) -> Result<()> {
    if bytes.len() > OVF_BYTES_MAX {
        return Err(Error::limit("an OVF descriptor has at most 8 MiB").found(format!("{} bytes", bytes.len())));
    }
    let text = decode(bytes)?;
    let mut reader = NsReader::from_str(&text);
    let mut walker = Walker { visitor, path: Vec::new(), open: Vec::new(), elements: 0 };
    loop {
        let position = reader.buffer_position();
        let event = reader.read_event().map_err(|source| malformed().caused_by(source).at(position))?;
        let done = matches!(event, Event::Eof);
        walker.take(&reader, event).map_err(|error| error.or_at(position))?;
        if done {
            return Ok(());
        }
    }
}

struct Walker<'v, V> {
    visitor: &'v mut V,
    path: Vec<String>,
    open: Vec<Open>,
    elements: usize,
}

impl<V: Visitor> Walker<'_, V> {
    fn take(&mut self, reader: &NsReader<&[u8]>, event: Event<'_>) -> Result<()> {
        match event {
            Event::Start(start) => self.start(reader, &start),
            Event::Empty(start) => {
                self.start(reader, &start)?;
                self.end()
            }
            Event::End(_) => self.end(),
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
            Event::Eof if self.elements == 0 => Err(malformed().found("no element at all")),
            Event::Eof | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Ok(()),
        }
    }

    fn start(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<()> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Error::limit("an OVF descriptor has at most 100000 elements"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Error::limit("elements are nested at most 64 deep"));
        }
        if self.open.is_empty() && self.elements > 1 {
            return Err(malformed().found("a second root element"));
        }
        let element = read_element(reader, start)?;
        self.visitor.start(&self.path, &element)?;
        self.path.push(element.name.clone());
        self.open.push(Open { element, text: String::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let open = self.open.pop().ok_or_else(|| malformed().found("an end without a start"))?;
        self.path.pop();
        self.visitor.end(&self.path, &open.element, &open.text)
    }

    fn add_text(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            open.text.push_str(text);
        }
    }
}

fn read_element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element> {
    let resolver = reader.resolver();
    let (namespace, local) = resolver.resolve_element(start.name());
    let mut element = Element::default();
    if is_ovf(&namespace) {
        element.name = local.as_ref().to_owned();
    }
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|source| malformed().caused_by(source))?;
        let value =
            attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|source| malformed().caused_by(source))?;
        let (namespace, local) = resolver.resolve_attribute(attribute.key);
        if namespace == ResolveResult::Bound(Namespace(XSI_NAMESPACE)) && local.as_ref() == "type" {
            let local = value.rsplit(':').next().unwrap_or_default();
            element.xsi_type = Some(local.to_owned());
        } else if !element.name.is_empty() && (is_ovf(&namespace) || namespace == ResolveResult::Unbound) {
            element.attributes.push((local.as_ref().to_owned(), value.into_owned()));
        }
    }
    Ok(element)
}

fn is_ovf(namespace: &ResolveResult<'_>) -> bool {
    matches!(namespace, ResolveResult::Bound(Namespace(uri)) if OVF_NAMESPACES.contains(uri))
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
