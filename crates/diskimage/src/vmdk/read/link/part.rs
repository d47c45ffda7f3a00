//! Opens one extent.

use std::sync::Arc;

use super::Context;
use crate::image::ByteSource;
use crate::image::disk::Disk;
use crate::image::probe::{Format, probe};
use crate::vmdk::descriptor::{Access, Extent, ExtentKind};
use crate::vmdk::layout::{DirectoryPlace, Header, SECTOR_BYTES, SECTOR_LEN, Sector};
use crate::vmdk::read::constant::{NoAccessPart, ZeroPart};
use crate::vmdk::read::cowd::CowdMap;
use crate::vmdk::read::flat::FlatPart;
use crate::vmdk::read::grains::PlainGrains;
use crate::vmdk::read::hosted::HostedMap;
use crate::vmdk::read::sesparse::SeSparseMap;
use crate::vmdk::read::stream::{Footer, StreamGrains, find_footer, recover};
use crate::{Error, ErrorKind, Result};

/// Longest signature that tells sparse extents apart.
const MAGIC_LEN: usize = 8;

/// A part of a disk, with what a report says about it.
pub(super) struct OpenedPart {
    pub(super) disk: Box<dyn Disk>,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) file_bytes: u64,
}

/// Opens the extent of a descriptor. `file` is there when the extent has bytes that may be read.
pub(super) fn open_part(
    extent: &Extent,
    file: Option<Arc<dyn ByteSource>>,
    descriptor: &str,
    context: &Context<'_>,
) -> Result<OpenedPart> {
    let capacity_bytes = extent
        .sectors
        .checked_mul(SECTOR_BYTES)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| Error::corrupt("an extent has at least one sector").in_file(descriptor))?;
    if matches!(extent.kind, ExtentKind::VmfsRdm | ExtentKind::VmfsRaw) {
        return Err(Error::unsupported("the disk is a file and not a raw device (RDM)")
            .found(extent.name.clone().unwrap_or_default())
            .in_file(descriptor));
    }
    let fileless = |disk: Box<dyn Disk>, kind| OpenedPart { disk, kind, name: String::new(), file_bytes: 0 };
    if extent.access == Access::None {
        let descriptor = descriptor.to_owned();
        return Ok(fileless(Box::new(NoAccessPart { capacity_bytes, descriptor }), "none"));
    }
    let Some(file) = file else {
        return Ok(fileless(Box::new(ZeroPart { capacity_bytes }), "zero"));
    };
    if matches!(extent.kind, ExtentKind::Flat | ExtentKind::Vmfs) {
        let (name, file_bytes) = (file.name().to_owned(), file.len_bytes());
        let disk = Box::new(FlatPart::new(file, Sector(extent.offset_sectors), capacity_bytes)?);
        return Ok(OpenedPart { disk, kind: "flat", name, file_bytes });
    }
    if extent.offset_sectors != 0 {
        return Err(Error::unsupported("a sparse extent begins at the start of its file")
            .found(format!("offset {}", extent.offset_sectors))
            .in_file(descriptor));
    }
    let part = open_file_part(file, context)?;
    let expected = match extent.kind {
        ExtentKind::VmfsSparse => part.kind == "cowd",
        ExtentKind::SeSparse => part.kind == "sesparse",
        _ => ["sparse", "stream"].contains(&part.kind),
    };
    if !expected {
        return Err(Error::corrupt("an extent is of the type that its descriptor says")
            .found(format!("{} instead of {:?}", part.kind, extent.kind))
            .in_file(&part.name));
    }
    if part.disk.capacity_bytes() != capacity_bytes {
        return Err(Error::corrupt("an extent is as large as its descriptor says")
            .found(format!("{} bytes instead of {capacity_bytes}", part.disk.capacity_bytes()))
            .in_file(&part.name));
    }
    Ok(part)
}

/// Opens a sparse extent by what its first bytes say.
pub(super) fn open_file_part(source: Arc<dyn ByteSource>, context: &Context<'_>) -> Result<OpenedPart> {
    let mut magic = [0; MAGIC_LEN];
    source.read_at(0, &mut magic)?;
    let (name, file_bytes) = (source.name().to_owned(), source.len_bytes());
    let caches = &context.caches;
    let (disk, kind): (Box<dyn Disk>, _) = match probe(&magic) {
        Some(Format::VmdkSparse) => {
            let mut sector = [0; SECTOR_LEN];
            source.read_at(0, &mut sector)?;
            let header = Header::parse(&sector).map_err(|error| error.in_file(&name))?;
            return open_sparse_part(source, header, context);
        }
        Some(Format::VmdkCowd) => (Box::new(PlainGrains::new(CowdMap::open(source, caches)?)), "cowd"),
        Some(Format::VmdkSeSparse) => (Box::new(PlainGrains::new(SeSparseMap::open(source, caches)?)), "sesparse"),
        Some(Format::UnfinishedVmdk) => {
            return Err(Error::unsupported(Format::UnfinishedVmdk.refusal().unwrap_or_default()).in_file(&name));
        }
        _ => return Err(Error::corrupt("a sparse extent starts with a signature").in_file(&name)),
    };
    Ok(OpenedPart { disk, kind, name, file_bytes })
}

/// Opens a hosted sparse extent or a stream whose header was read.
pub(super) fn open_sparse_part(
    source: Arc<dyn ByteSource>,
    header: Header,
    context: &Context<'_>,
) -> Result<OpenedPart> {
    let (name, file_bytes) = (source.name().to_owned(), source.len_bytes());
    let caches = &context.caches;
    if !header.is_stream() {
        let disk = Box::new(PlainGrains::new(HostedMap::open(source, header, caches)?));
        return Ok(OpenedPart { disk, kind: "sparse", name, file_bytes });
    }
    let located = match header.directory() {
        DirectoryPlace::At(_) => Ok(Footer { header: header.clone(), end_bytes: file_bytes }),
        DirectoryPlace::Footer => find_footer(&*source, &header),
    };
    let map = located
        .and_then(|Footer { header, end_bytes }| Ok((HostedMap::open(source.clone(), header, caches)?, end_bytes)));
    let disk = match map {
        Ok((map, end_bytes)) => StreamGrains::new(Box::new(map), end_bytes, caches),
        Err(error) if context.recover && error.kind() != ErrorKind::Io => {
            StreamGrains::new(Box::new(recover(source, header)?), file_bytes, caches)
        }
        Err(error) => return Err(error),
    };
    Ok(OpenedPart { disk: Box::new(disk), kind: "stream", name, file_bytes })
}
