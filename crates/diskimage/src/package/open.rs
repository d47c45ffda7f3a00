//! A whole package: container, descriptor and manifest together.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::certificate::{CERTIFICATE_BYTES_MAX, Certificate};
use super::container::{Container, ContainerKind, read_member};
use super::format::{DiskFormat, disk_format};
use super::machine::{DeclaredFormat, FileBacking, Machine};
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::ovf::{Compression, Descriptor, FileRef, OVF_BYTES_MAX};
use super::parts::{Parts, Resolved, resolve};
use super::unpack::{Bounded, Packing, SourceReader, Unpacked, read_start};
use super::verify::{self, Verification};
use crate::image::{ByteSource, Files};
use crate::{Error, Result};

/// What unpacking a disk may give beyond twice its capacity: every format is smaller than that.
const UNPACKED_BYTES_SLACK: u64 = 1 << 30;

/// An open package, of which the descriptor and the manifest are read.
pub struct Package {
    pub(super) container: Container,
    descriptor_name: String,
    /// The folder of the descriptor inside the container, with a slash at its end; or nothing.
    base: String,
    pub(super) descriptor: Descriptor,
    /// With names as the container has them.
    pub(super) manifest: Option<Manifest>,
    certificates: Vec<(String, Certificate)>,
    warnings: Vec<String>,
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Package").field("descriptor", &self.descriptor_name).finish_non_exhaustive()
    }
}

impl Package {
    /// Opens what a user named: an archive of any kind, a folder, or a descriptor.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is no package; `Corrupt` when it has no descriptor or several, or its
    /// parts contradict each other; besides what reading its parts gives.
    pub fn open(path: &Path) -> Result<Self> {
        let (container, descriptor) = Container::open(path)?;
        let in_file = |error: Error| error.in_file(&path.display().to_string());
        Self::read(container, descriptor).map_err(in_file)
    }

    /// Opens an archive.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn from_archive(source: Arc<dyn ByteSource>) -> Result<Self> {
        let name = source.name().to_owned();
        Self::read(Container::archive(source)?, None).map_err(|error| error.in_file(&name))
    }

    /// `named` is the descriptor that the user named; then only what bears its name belongs to it.
    fn read(container: Container, named: Option<String>) -> Result<Self> {
        let names = match &named {
            Some(name) => companions(&container, name)?,
            None => container.names()?,
        };
        let descriptor_name = only_descriptor(&names)?.to_owned();
        let base = descriptor_name.rfind('/').map_or("", |slash| &descriptor_name[..=slash]).to_owned();
        let texts: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_text(name)).collect();
        let mut package = Self {
            descriptor_name,
            base,
            descriptor: Descriptor::default(),
            manifest: None,
            certificates: Vec::new(),
            warnings: container.warnings.clone(),
            container,
        };
        let mut read = Vec::new();
        package.container.visit(&texts, &mut |name, input| {
            let most =
                if has_extension(name, "ovf") { OVF_BYTES_MAX } else { MANIFEST_BYTES_MAX.max(CERTIFICATE_BYTES_MAX) };
            read.push((name.to_owned(), super::unpack::read_text(input, most, name)?));
            Ok(())
        })?;
        for (name, text) in read {
            package.take_text(&name, &text).map_err(|error| error.in_file(&name))?;
        }
        Ok(package)
    }

    fn take_text(&mut self, name: &str, text: &[u8]) -> Result<()> {
        if has_extension(name, "ovf") {
            self.descriptor = Descriptor::parse(text)?;
        } else if has_extension(name, "mf") {
            let (folder, own_name) = name.rfind('/').map_or(("", name), |slash| name.split_at(slash + 1));
            let manifest = Manifest::parse(own_name, text)?.in_folder(folder);
            self.manifest.get_or_insert_default().merge(manifest)?;
        } else {
            let certificate = Certificate::parse(text)?;
            self.warnings.push(format!("the signature in {name} is not checked"));
            self.certificates.push((name.to_owned(), certificate));
        }
        Ok(())
    }

    /// Returns what holds the files.
    #[must_use]
    pub fn kind(&self) -> ContainerKind {
        self.container.kind()
    }

    /// Returns the name of the descriptor inside the package.
    #[must_use]
    pub fn descriptor_name(&self) -> &str {
        &self.descriptor_name
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the digests of all manifests, with names as the package has them.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Returns the certificates by the names of their files; they are not checked.
    #[must_use]
    pub fn certificates(&self) -> &[(String, Certificate)] {
        &self.certificates
    }

    /// Returns what is odd about container and manifest.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let manifest = self.manifest.iter().flat_map(|manifest| manifest.warnings());
        self.warnings.iter().chain(manifest).map(String::as_str)
    }

    /// Returns one machine of the package; see [`Descriptor::machine`].
    ///
    /// # Errors
    ///
    /// As [`Descriptor::machine`].
    pub fn machine(&self, choice: Option<&str>) -> Result<Machine> {
        self.descriptor.machine(choice).map_err(|error| error.in_file(&self.descriptor_name))
    }

    /// Finds the file of a disk.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it, or a part of it, is missing; `Truncated` when it is shorter than the
    /// descriptor says; `Unsupported` when it is cut into parts and the descriptor does not say so.
    pub fn disk_file(&self, backing: &FileBacking, capacity_bytes: Option<u64>) -> Result<PackageFile<'_>> {
        let file = FileRef {
            id: String::new(),
            href: backing.name.clone(),
            size_bytes: backing.size_bytes,
            compression: backing.compression,
            chunk_bytes: backing.chunk_bytes,
        };
        Ok(PackageFile { declared: backing.format, ..self.file(&file, capacity_bytes)? })
    }

    /// Finds a file of the descriptor; `capacity_bytes` is that of the disk in it and bounds what
    /// unpacking may give.
    ///
    /// # Errors
    ///
    /// As [`Self::disk_file`].
    pub fn file(&self, file: &FileRef, capacity_bytes: Option<u64>) -> Result<PackageFile<'_>> {
        let resolved = resolve(&self.container, &self.base, file)?;
        let unpacked_bytes_max =
            capacity_bytes.unwrap_or_default().saturating_mul(2).saturating_add(UNPACKED_BYTES_SLACK);
        Ok(PackageFile {
            package: self,
            resolved,
            compression: file.compression,
            declared: DeclaredFormat::Unknown,
            unpacked_bytes_max,
        })
    }

    /// Reads every file that a manifest speaks of and compares digests.
    ///
    /// `progress` hears how many bytes were read, and stops the work with an error.
    ///
    /// # Errors
    ///
    /// What reading gives, or `progress`. A digest that differs is no error here; see
    /// [`Verification::check`].
    pub fn verify(&self, progress: &mut dyn FnMut(u64) -> Result<()>) -> Result<Verification> {
        verify::verify(self, progress)
    }

    /// Returns how many bytes [`Self::verify`] will read; 0 without a manifest.
    ///
    /// # Errors
    ///
    /// `Outside` for a name in the manifest that leads out of the package, `Io` when a file cannot be
    /// opened.
    pub fn verified_len_bytes(&self) -> Result<u64> {
        self.manifest.as_ref().map_or(Ok(0), |manifest| verify::len_bytes(&self.container, manifest))
    }

    /// Returns the text of the descriptor.
    ///
    /// # Errors
    ///
    /// What reading gives.
    pub fn descriptor_text(&self) -> Result<Vec<u8>> {
        read_member(&self.container, &self.descriptor_name, OVF_BYTES_MAX)
    }

    /// Returns the members that each file of the descriptor stands for.
    pub(super) fn referenced(&self) -> Result<Vec<(String, Resolved)>> {
        let files = self.descriptor.files.iter();
        files.map(|file| Ok((file.href.clone(), resolve(&self.container, &self.base, file)?))).collect()
    }
}

/// A file of a package, found and ready to be read.
#[derive(Debug)]
pub struct PackageFile<'p> {
    package: &'p Package,
    resolved: Resolved,
    compression: Compression,
    declared: DeclaredFormat,
    unpacked_bytes_max: u64,
}

impl PackageFile<'_> {
    /// Returns its length in the package, before anything is unpacked.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.resolved.len_bytes()
    }

    /// Iterates over the members that it consists of.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.resolved.parts.iter().map(|(name, _)| name.as_str())
    }

    /// Returns what is odd about it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.resolved.warnings
    }

    /// Returns the format of the disk in it; see [`disk_format`].
    ///
    /// # Errors
    ///
    /// As [`disk_format`], and what reading the start gives.
    pub fn format(&self) -> Result<DiskFormat> {
        let start = match self.declared {
            DeclaredFormat::Raw => Vec::new(),
            _ => read_start(&mut self.reader()?)?,
        };
        let name = self.members().next().unwrap_or_default();
        disk_format(self.declared, &start).map_err(|error| error.in_file(name))
    }

    /// Returns it for random access, where it is; `None` when it can only be streamed, because it
    /// or its container is compressed.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be opened.
    pub fn source(&self) -> Result<Option<Arc<dyn ByteSource>>> {
        match self.compression {
            Compression::Identity => self.packed_source(),
            Compression::Gzip => Ok(None),
        }
    }

    /// Returns it for reading from its start, unpacked.
    ///
    /// # Errors
    ///
    /// `Io` when it cannot be opened. Reading gives errors of this crate inside of
    /// [`std::io::Error`]; unpacking more than the disk can need is `Limit`.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>> {
        let name = self.members().next().unwrap_or_default().to_owned();
        match (self.compression, self.packed_source()?) {
            (Compression::Identity, Some(source)) => Ok(Box::new(SourceReader::new(source))),
            (Compression::Identity, None) => self.packed_reader(),
            (Compression::Gzip, Some(source)) => {
                Ok(Box::new(Bounded::at_most(Unpacked::new(source, Packing::Gzip), self.unpacked_bytes_max, &name)))
            }
            (Compression::Gzip, None) => {
                let inner = Unpacked::of_reader(self.packed_reader()?, Packing::Gzip, &name);
                Ok(Box::new(Bounded::at_most(inner, self.unpacked_bytes_max, &name)))
            }
        }
    }

    /// Returns the members joined, as they are in the package.
    fn packed_source(&self) -> Result<Option<Arc<dyn ByteSource>>> {
        let sources: Result<Option<Vec<_>>> = self.members().map(|name| self.package.container.source(name)).collect();
        let name = self.members().next().unwrap_or_default();
        sources?.map(|sources| Parts::join(name, sources)).transpose()
    }

    fn packed_reader(&self) -> Result<Box<dyn Read + Send>> {
        self.package.container.reader(&self.members().collect::<Vec<_>>())
    }
}

/// Opens what a disk of the package names: extents and parents, which are members too.
impl Files for Package {
    fn open(&self, name: &str) -> Result<Arc<dyn ByteSource>> {
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(Error::outside("a name inside of a disk stays in its package").found(format!("{name:?}")));
        }
        let source = self.container.source(name)?;
        source.ok_or_else(|| {
            Error::unsupported("a part of a disk is read where it is, not out of compressed data").in_file(name)
        })
    }
}

/// Returns the names that belong to a bare descriptor: its own, and manifest and certificate beside.
fn companions(container: &Container, descriptor: &str) -> Result<Vec<String>> {
    let stem = descriptor.rsplit_once('.').map_or(descriptor, |(stem, _)| stem);
    let mut names = vec![descriptor.to_owned()];
    for extension in ["mf", "cert"] {
        let name = format!("{stem}.{extension}");
        if container.size(&name)?.is_some() {
            names.push(name);
        }
    }
    Ok(names)
}

fn only_descriptor(names: &[String]) -> Result<&str> {
    let descriptors: Vec<_> = names.iter().filter(|name| has_extension(name, "ovf")).collect();
    match descriptors[..] {
        [only] => Ok(only),
        [] => Err(Error::corrupt("a package has an OVF descriptor").found("none is there")),
        [first, second, ..] => {
            Err(Error::corrupt("a package has one OVF descriptor").found(format!("{first:?} and {second:?}")))
        }
    }
}

fn is_text(name: &str) -> bool {
    ["ovf", "mf", "cert"].iter().any(|extension| has_extension(name, extension))
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, known)| known.eq_ignore_ascii_case(extension))
}
