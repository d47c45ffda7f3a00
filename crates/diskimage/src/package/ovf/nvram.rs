//! Adds an nvram file to a descriptor that was made without one.
//!
//! VMware's tools name it twice: as a file of the package, and as the value of the machine's setting
//! `nvram`. Importers stumble over one without the other, so both are added or nothing. The text is
//! otherwise left as it is, byte for byte.

use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::xml::OVF_NAMESPACES;
use super::{Descriptor, OVF_BYTES_MAX};
use crate::{Error, Result};

/// VMware's extensions.
const VMW_NAMESPACE: &str = "http://www.vmware.com/schema/ovf";

/// Where something is to be inserted, and how the elements there are written.
struct Place {
    at: usize,
    /// The prefix of the element around it with its colon, or nothing.
    prefix: String,
    namespace: String,
    /// The element around it was written as empty; its end has to be written too.
    close: Option<String>,
}

/// Returns the descriptor with one more file that is the nvram of its machine.
///
/// # Errors
///
/// As [`Descriptor::parse`], and `Corrupt` for a descriptor without files' references or hardware.
pub fn add_nvram(text: &str, href: &str, size_bytes: u64) -> Result<String> {
    let descriptor = Descriptor::parse(text.as_bytes())?;
    let is_new = |id: &String| descriptor.file(id).is_none();
    let id = (descriptor.files.len() + 1..).map(|number| format!("file{number}")).find(is_new).unwrap_or_default();
    let missing = |what: &'static str| Error::corrupt("a descriptor has references and hardware").found(what);
    let references = find(text, "References")?.ok_or_else(|| missing("no References"))?;
    let hardware = find(text, "VirtualHardwareSection")?.ok_or_else(|| missing("no VirtualHardwareSection"))?;
    let (prefix, namespace) = (&references.prefix, &references.namespace);
    // The prefixes are declared once more: whatever the document calls these namespaces, this is right.
    let file = format!(
        "<{prefix}File xmlns:ovf=\"{namespace}\" ovf:href=\"{}\" ovf:id=\"{id}\" ovf:size=\"{size_bytes}\"/>",
        escape(href)
    );
    let setting = format!(
        "<vmw:ExtraConfig xmlns:vmw=\"{VMW_NAMESPACE}\" xmlns:ovf=\"{}\" ovf:required=\"false\" \
         vmw:key=\"nvram\" vmw:value=\"ovf:/file/{id}\"/>",
        hardware.namespace
    );
    let mut insertions = [(references, file), (hardware, setting)];
    insertions.sort_by_key(|(place, _)| place.at);
    let mut out = String::with_capacity(text.len() + 512);
    let mut copied = 0;
    for (place, element) in &insertions {
        out.push_str(&text[copied..place.at]);
        copied = place.at;
        match &place.close {
            None => out.push_str(element),
            Some(name) => {
                // `<References/>` becomes `<References>…</References>`.
                let open = out.trim_end_matches('>').trim_end_matches('/').len();
                out.truncate(open);
                out.push_str(&format!(">{element}</{name}>"));
            }
        }
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// Finds the end of the first element of an OVF namespace that is called `wanted`.
fn find(text: &str, wanted: &str) -> Result<Option<Place>> {
    debug_assert!(text.len() <= OVF_BYTES_MAX, "it was parsed before");
    let malformed = |source| Error::corrupt("an OVF descriptor is well-formed XML").caused_by(source);
    let mut reader = NsReader::from_str(text);
    loop {
        let before = offset(reader.buffer_position());
        let event = reader.read_event().map_err(malformed)?;
        let (name, is_empty) = match &event {
            Event::End(end) => (end.name(), false),
            Event::Empty(empty) => (empty.name(), true),
            Event::Eof => return Ok(None),
            _ => continue,
        };
        let (resolved, local) = reader.resolver().resolve_element(name);
        let ResolveResult::Bound(Namespace(namespace)) = resolved else { continue };
        if local.as_ref() != wanted || !OVF_NAMESPACES.contains(&namespace) {
            continue;
        }
        let prefix = name.prefix().map(|prefix| format!("{}:", prefix.as_ref())).unwrap_or_default();
        let at = if is_empty { offset(reader.buffer_position()) } else { before };
        let close = is_empty.then(|| name.as_ref().to_owned());
        return Ok(Some(Place { at, prefix, namespace: namespace.to_owned(), close }));
    }
}

/// A position in a text that is in memory.
fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(references: &str, hardware: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
             xmlns:o=\"http://schemas.dmtf.org/ovf/envelope/1\">\n{references}\n\
             <VirtualSystem o:id=\"vm\">{hardware}</VirtualSystem></Envelope>\n"
        )
    }

    const HARDWARE: &str = "<VirtualHardwareSection><Info/></VirtualHardwareSection>";

    #[test]
    fn the_file_and_the_setting_that_uses_it_are_added() {
        let text = descriptor("<References><File o:id=\"file2\" o:href=\"d.vmdk\"/></References>", HARDWARE);
        let added = add_nvram(&text, "a & b.nvram", 8684).unwrap();
        let read = Descriptor::parse(added.as_bytes()).unwrap();
        let file = read.file_by_href("a & b.nvram").unwrap();
        assert_eq!((file.id.as_str(), file.size_bytes), ("file3", Some(8684)));
        assert!(added.contains("vmw:key=\"nvram\" vmw:value=\"ovf:/file/file3\""), "{added}");
        let hardware = added.split("<VirtualHardwareSection>").nth(1).unwrap();
        assert!(hardware.find("vmw:ExtraConfig").unwrap() < hardware.find("</VirtualHardwareSection>").unwrap());
        assert!(added.ends_with("</VirtualSystem></Envelope>\n") && added.starts_with("<?xml version=\"1.0\"?>\n"));
    }

    #[test]
    fn empty_and_prefixed_elements_are_filled_too() {
        for (references, hardware) in [
            ("<References/>", HARDWARE),
            ("<o:References />", "<o:VirtualHardwareSection></o:VirtualHardwareSection>"),
            ("<References></References>", "<VirtualHardwareSection/>"),
        ] {
            let added = add_nvram(&descriptor(references, hardware), "x.nvram", 1).unwrap();
            let read = Descriptor::parse(added.as_bytes()).unwrap();
            assert_eq!(read.files.len(), 1, "{added}");
            assert_eq!(added.matches("nvram").count(), 2, "{added}");
        }
    }

    #[test]
    fn a_descriptor_without_a_place_for_both_gets_neither() {
        assert!(add_nvram(&descriptor("", HARDWARE), "x", 1).is_err());
        assert!(add_nvram(&descriptor("<References/>", ""), "x", 1).is_err());
        assert!(add_nvram("<html>", "x", 1).is_err());
    }
}
