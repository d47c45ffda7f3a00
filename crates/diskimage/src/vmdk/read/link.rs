//! Opens one disk of a chain: finds out what it is made of and puts the parts together.

mod part;

use std::collections::BTreeMap;
use std::sync::Arc;

use part::{OpenedPart, open_file_part, open_part, open_sparse_part};

use super::concat::Concat;
use super::tables::Caches;
use crate::image::disk::Disk;
use crate::image::files::beside;
use crate::image::probe::{Format, probe_source};
use crate::image::{ByteSource, Files, Link, LinkDescription, PartDescription};
use crate::number::clip;
use crate::vmdk::descriptor::{Access, DESCRIPTOR_BYTES_MAX, Descriptor, Extent, ExtentKind};
use crate::vmdk::layout::{Header, SECTOR_BYTES, SECTOR_LEN};
use crate::{Error, Result};

/// What is the same for all links of a chain.
pub(super) struct Context<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) caches: Arc<Caches>,
    pub(super) capacity_bytes_max: u64,
    pub(super) recover: bool,
}

impl Context<'_> {
    fn check_capacity(&self, bytes: Option<u64>, name: &str) -> Result<u64> {
        bytes.filter(|&bytes| bytes <= self.capacity_bytes_max).ok_or_else(|| {
            let found = bytes.map_or_else(|| "beyond 64 bits".to_owned(), |bytes| format!("{bytes} bytes"));
            Error::limit("the disk is no larger than the caller allows").found(found).in_file(name)
        })
    }
}

/// A link, and what it says about the one below.
pub(super) struct OpenedLink {
    pub(super) link: Link,
    pub(super) has_parent: bool,
    pub(super) parent_name: Option<String>,
}

/// Opens whatever a source is.
pub(super) fn open_link(source: Arc<dyn ByteSource>, name: &str, context: &Context<'_>) -> Result<OpenedLink> {
    let shown = source.name().to_owned();
    let format = probe_source(&*source)?;
    match format {
        Some(Format::VmdkDescriptor) => open_descriptor(&source, name, context),
        Some(Format::VmdkSparse) => open_sparse(source, name, context),
        Some(Format::VmdkCowd | Format::VmdkSeSparse) => {
            let part = open_file_part(source, context)?;
            let link = single(&shown, part, context)?;
            Ok(OpenedLink { link, has_parent: true, parent_name: None })
        }
        Some(format) if format.refusal().is_some() => {
            Err(Error::unsupported(format.refusal().unwrap_or_default()).in_file(&shown))
        }
        Some(format) => {
            Err(Error::unsupported("a VMDK is opened as a VMDK").found(format!("{format:?}")).in_file(&shown))
        }
        None => Err(Error::unsupported(
            "a VMDK is a descriptor or a sparse extent (this is neither: a flat extent is opened by its descriptor)",
        )
        .in_file(&shown)),
    }
}

/// Opens a descriptor that is a file of its own.
fn open_descriptor(source: &Arc<dyn ByteSource>, name: &str, context: &Context<'_>) -> Result<OpenedLink> {
    let mut text = vec![0; clip(DESCRIPTOR_BYTES_MAX + 1, source.len_bytes())];
    source.read_at(0, &mut text)?;
    let shown = source.name();
    let descriptor = Descriptor::parse(&text).map_err(|error| error.in_file(shown))?;
    from_descriptor(&descriptor, source, name, None, context)
}

/// Opens a sparse extent, with the descriptor that may be inside.
fn open_sparse(source: Arc<dyn ByteSource>, name: &str, context: &Context<'_>) -> Result<OpenedLink> {
    let shown = source.name().to_owned();
    let mut sector = [0; SECTOR_LEN];
    source.read_at(0, &mut sector)?;
    let header = Header::parse(&sector).map_err(|error| error.in_file(&shown))?;
    let (descriptor, odd) = embedded_descriptor(&*source, &header)?;
    let extents = descriptor.as_ref().map_or(0, |descriptor| descriptor.extents.len());
    let mut opened = match &descriptor {
        Some(descriptor) if extents > 1 => {
            let own = own_extent(&descriptor.extents, name).ok_or_else(|| {
                Error::corrupt("a descriptor with several extents has one for the file it stands in").in_file(&shown)
            })?;
            from_descriptor(descriptor, &source, name, Some(own), context)?
        }
        _ => {
            if descriptor.as_ref().is_some_and(|descriptor| descriptor.encrypted) {
                return Err(encrypted(&shown));
            }
            let part = open_sparse_part(source, header.clone(), context)?;
            let mut link = single(&shown, part, context)?;
            let (has_parent, parent_name) = descriptor.as_ref().map_or((false, None), |descriptor| {
                describe_by(descriptor, &mut link.description);
                (has_parent(descriptor), descriptor.parent_hint.clone())
            });
            OpenedLink { link, has_parent, parent_name }
        }
    };
    let warnings = &mut opened.link.description.warnings;
    warnings.extend(odd);
    if let Some(descriptor) = descriptor.filter(|_| extents <= 1)
        && descriptor.capacity_sectors() != Some(header.capacity_sectors())
    {
        warnings.push(format!(
            "the descriptor inside says {} sectors, the header {}, which counts",
            descriptor.capacity_sectors().unwrap_or_default(),
            header.capacity_sectors()
        ));
    }
    Ok(opened)
}

/// Reads the descriptor inside of an extent; what is odd about it does not harm the data.
fn embedded_descriptor(source: &dyn ByteSource, header: &Header) -> Result<(Option<Descriptor>, Option<String>)> {
    let range = header.descriptor();
    if range.is_empty() {
        let odd = "there is no descriptor inside, as in an extent of a larger disk".to_owned();
        return Ok((None, Some(odd)));
    }
    let mut text = vec![0; clip(DESCRIPTOR_BYTES_MAX, (range.end - range.start) * SECTOR_BYTES)];
    let start = range.start.checked_mul(SECTOR_BYTES).ok_or_else(|| Error::limit("a descriptor lies in the file"))?;
    source.read_at(start, &mut text)?;
    match Descriptor::parse(&text) {
        Ok(descriptor) => Ok((Some(descriptor), None)),
        Err(error) => {
            // Without it nobody knows whether there is a parent.
            let place = start.saturating_add(error.offset().unwrap_or_default());
            Err(error.at(place).in_file(source.name()))
        }
    }
}

/// Returns which extent of an embedded descriptor is the file it stands in: the one of its name,
/// or the first, because files are renamed.
fn own_extent(extents: &[Extent], name: &str) -> Option<usize> {
    let last_part = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let own = last_part(name);
    let named = |extent: &Extent| extent.name.as_deref().is_some_and(|name| last_part(name) == own);
    let position = extents.iter().position(named).unwrap_or(0);
    (extents.get(position)?.kind == ExtentKind::Sparse).then_some(position)
}

/// Puts the extents of a descriptor together. `own` is the one in whose file the descriptor stands.
fn from_descriptor(
    descriptor: &Descriptor,
    source: &Arc<dyn ByteSource>,
    name: &str,
    own: Option<usize>,
    context: &Context<'_>,
) -> Result<OpenedLink> {
    let shown = source.name();
    if descriptor.encrypted {
        return Err(encrypted(shown));
    }
    if descriptor.extents.is_empty() {
        return Err(Error::corrupt("a descriptor has at least one extent").in_file(shown));
    }
    let sectors = descriptor.capacity_sectors();
    let capacity_bytes =
        context.check_capacity(sectors.and_then(|sectors| sectors.checked_mul(SECTOR_BYTES)), shown)?;
    let mut description = new_description(shown, capacity_bytes);
    describe_by(descriptor, &mut description);
    let mut parts: Vec<Box<dyn Disk>> = Vec::new();
    let mut opened: BTreeMap<String, Arc<dyn ByteSource>> = BTreeMap::new();
    let mut start = 0;
    for (number, extent) in descriptor.extents.iter().enumerate() {
        let file = match &extent.name {
            _ if own == Some(number) => Some(source.clone()),
            Some(file) if needs_file(extent) => {
                let file = beside(name, file);
                let found = match opened.get(&file) {
                    Some(found) => found.clone(),
                    None => context.files.open(&file).map_err(|error| error.in_file(shown))?,
                };
                if own.is_none() && found.identity() == source.identity() {
                    return Err(Error::corrupt("an extent is not the descriptor that names it").in_file(shown));
                }
                opened.insert(file, found.clone());
                Some(found)
            }
            _ => None,
        };
        let part = open_part(extent, file, shown, context)?;
        if part.kind == "flat" && flat_is_longer(extent, &part) {
            description.warnings.push(format!("{} is longer than its extent", part.name));
        }
        description.parts.push(describe_part(&part, start));
        start += part.disk.capacity_bytes();
        parts.push(part.disk);
    }
    let no_access = descriptor.extents.iter().filter(|extent| extent.access == Access::None).count();
    if no_access > 0 {
        description.warnings.push(format!("{no_access} extents must not be read (NOACCESS)"));
    }
    Ok(OpenedLink {
        link: Link { disk: Box::new(Concat::new(parts)), description },
        has_parent: has_parent(descriptor),
        parent_name: descriptor.parent_hint.clone(),
    })
}

/// Returns whether a flat file has more than its extent takes. Files that begin with an extent have
/// nothing else in them; a device that is cut into extents does.
fn flat_is_longer(extent: &Extent, part: &OpenedPart) -> bool {
    extent.offset_sectors == 0 && part.file_bytes > part.disk.capacity_bytes()
}

/// Returns whether an extent has bytes in a file that may be read.
fn needs_file(extent: &Extent) -> bool {
    extent.kind != ExtentKind::Zero && extent.access != Access::None
}

fn has_parent(descriptor: &Descriptor) -> bool {
    descriptor.has_parent() || descriptor.parent_hint.as_ref().is_some_and(|hint| !hint.is_empty())
}

fn encrypted(name: &str) -> Error {
    Error::new(crate::ErrorKind::Encrypted, "the disk is not encrypted (decrypt it on its host first)").in_file(name)
}

/// Makes a link of one part.
fn single(name: &str, part: OpenedPart, context: &Context<'_>) -> Result<Link> {
    let capacity_bytes = context.check_capacity(Some(part.disk.capacity_bytes()), name)?;
    let mut description = new_description(name, capacity_bytes);
    description.parts.push(describe_part(&part, 0));
    part.kind.clone_into(&mut description.variant);
    Ok(Link { disk: part.disk, description })
}

fn new_description(name: &str, capacity_bytes: u64) -> LinkDescription {
    LinkDescription { name: name.to_owned(), format: "vmdk", capacity_bytes, ..LinkDescription::default() }
}

fn describe_part(part: &OpenedPart, start: u64) -> PartDescription {
    PartDescription {
        name: part.name.clone(),
        kind: part.kind,
        guest: start..start + part.disk.capacity_bytes(),
        file_bytes: part.file_bytes,
    }
}

/// Takes over what a descriptor says about the whole disk.
fn describe_by(descriptor: &Descriptor, description: &mut LinkDescription) {
    const NO_PARENT: &str = "ffffffff";
    if let Some(create_type) = &descriptor.create_type {
        description.variant.clone_from(create_type);
    }
    description.parent.clone_from(&descriptor.parent_hint);
    description.content_id.clone_from(&descriptor.cid);
    description.parent_content_id = descriptor.parent_cid.clone().filter(|cid| !cid.eq_ignore_ascii_case(NO_PARENT));
    if descriptor.strange_lines > 0 {
        description.warnings.push(format!("{} lines of the descriptor are not understood", descriptor.strange_lines));
    }
    if let Some(bytes) = descriptor.database.get("logicalsectorsize").filter(|bytes| *bytes != "512") {
        description.warnings.push(format!("the guest sees sectors of {bytes} bytes"));
    }
}
