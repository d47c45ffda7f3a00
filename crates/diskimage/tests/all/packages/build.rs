//! Builds archives, descriptors and manifests, as others write them and as nobody should.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use diskimage::package::manifest::Algorithm;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

pub(super) const BLOCK: usize = 512;

/// One header block of tar, with fields as they are given.
pub(super) struct RawHeader<'a> {
    pub(super) name: &'a [u8],
    pub(super) size: [u8; 12],
    pub(super) kind: u8,
    pub(super) magic: &'a [u8; 8],
    pub(super) prefix: &'a [u8],
}

impl Default for RawHeader<'_> {
    fn default() -> Self {
        Self { name: b"", size: octal_size(0), kind: b'0', magic: b"ustar\x0000", prefix: b"" }
    }
}

impl RawHeader<'_> {
    pub(super) fn block(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..self.name.len()].copy_from_slice(self.name);
        block[100..108].copy_from_slice(b"0000644\0");
        block[108..116].copy_from_slice(b"0001750\0");
        block[116..124].copy_from_slice(b"0001750\0");
        block[124..136].copy_from_slice(&self.size);
        block[136..148].copy_from_slice(b"14000000000\0");
        block[156] = self.kind;
        block[257..265].copy_from_slice(self.magic);
        block[265..265 + 12].copy_from_slice(b"Domain Users");
        block[345..345 + self.prefix.len()].copy_from_slice(self.prefix);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

pub(super) fn octal_size(size: usize) -> [u8; 12] {
    format!("{size:011o}\0").into_bytes().try_into().unwrap()
}

/// GNU's notation of sizes that eleven octal digits do not hold.
pub(super) fn binary_size(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    field
}

pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// Appends a member with any header.
pub(super) fn tar_raw(tar: &mut Vec<u8>, header: &RawHeader<'_>, data: &[u8]) {
    tar.extend(header.block());
    tar.extend(data);
    pad(tar);
}

/// Appends an ordinary file.
pub(super) fn tar_file(tar: &mut Vec<u8>, name: &str, data: &[u8]) {
    tar_raw(tar, &RawHeader { name: name.as_bytes(), size: octal_size(data.len()), ..RawHeader::default() }, data);
}

/// Appends PAX records for the next member.
pub(super) fn tar_pax(tar: &mut Vec<u8>, records: &[(&str, &str)]) {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len();
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        data.extend(format!("{length}{rest}").into_bytes());
    }
    tar_raw(
        tar,
        &RawHeader { name: b"PaxHeaders/x", size: octal_size(data.len()), kind: b'x', ..RawHeader::default() },
        &data,
    );
}

pub(super) fn tar_end(tar: &mut Vec<u8>) {
    tar.extend([0; 2 * BLOCK]);
    tar.resize(tar.len().next_multiple_of(10240), 0);
}

/// A whole archive of ordinary files.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    files.iter().for_each(|(name, data)| tar_file(&mut tar, name, data));
    tar_end(&mut tar);
    tar
}

/// A whole zip archive; every second member is deflated.
pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (index, (name, data)) in files.iter().enumerate() {
        let is_deflated = index % 2 == 1;
        let packed = if is_deflated { deflate(data) } else { data.to_vec() };
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let mut common = vec![20, 0, 0, 0, if is_deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        for number in [crc.sum(), u32_of(packed.len()), u32_of(data.len())] {
            common.extend(number.to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(u32_of(zip.len()).to_le_bytes());
        directory.extend(name.as_bytes());
        zip.extend(b"PK\x03\x04");
        zip.extend(&common);
        zip.extend(name.as_bytes());
        zip.extend(packed);
    }
    let (offset, count) = (u32_of(zip.len()), u16::try_from(files.len()).unwrap());
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(u32_of(directory.len()).to_le_bytes());
    zip.extend(offset.to_le_bytes());
    zip.extend([0; 2]);
    zip
}

fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz(data: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn digest(algorithm: Algorithm, data: &[u8]) -> String {
    let bytes = match algorithm {
        Algorithm::Sha1 => Sha1::digest(data).to_vec(),
        Algorithm::Sha256 => Sha256::digest(data).to_vec(),
        Algorithm::Sha512 => Sha512::digest(data).to_vec(),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of a manifest in the form of VMware's tools, without its end.
pub(super) fn line(algorithm: Algorithm, name: &str, data: &[u8]) -> String {
    format!("{algorithm}({name})= {}", digest(algorithm, data))
}

/// What a test says about the disks of its package.
#[derive(Clone, Default)]
pub(super) struct Ovf {
    references: String,
    disks: String,
    items: String,
    settings: String,
    pub(super) memory: String,
    count: usize,
}

impl Ovf {
    /// A machine with one processor, a SCSI and two IDE controllers, drives and an adapter.
    pub(super) fn new() -> Self {
        Self {
            memory: item("InstanceID=2;ResourceType=4;AllocationUnits=byte * 2^20;VirtualQuantity=2048"),
            ..Self::default()
        }
    }

    /// Adds a disk in a file; `attributes` are those of the file.
    pub(super) fn disk(mut self, href: &str, attributes: &str) -> Self {
        let number = self.count;
        self.references += &format!("<File ovf:href='{href}' ovf:id='file{number}' {attributes}/>");
        self.described_disk(&format!(
            "ovf:fileRef='file{number}' ovf:capacity='32' ovf:capacityAllocationUnits='byte * 2^30'"
        ))
    }

    /// Adds a disk with any attributes.
    pub(super) fn described_disk(mut self, attributes: &str) -> Self {
        let number = self.count;
        self.disks += &format!("<Disk ovf:diskId='disk{number}' {attributes}/>");
        self.items += &item(&format!(
            "InstanceID={};ResourceType=17;HostResource=ovf:/disk/disk{number};Parent=3;AddressOnParent={number}",
            10 + number
        ));
        self.count += 1;
        self
    }

    /// Adds a file that is no disk.
    pub(super) fn file(mut self, id: &str, href: &str) -> Self {
        self.references += &format!("<File ovf:href='{href}' ovf:id='{id}'/>");
        self
    }

    /// Adds an item of hardware.
    pub(super) fn item(mut self, settings: &str) -> Self {
        self.items += &item(settings);
        self
    }

    pub(super) fn settings(mut self, settings: &str) -> Self {
        self.settings += settings;
        self
    }

    pub(super) fn text(&self) -> String {
        self.in_namespace("http://schemas.dmtf.org/ovf/envelope/1", &self.system("vm"))
    }

    pub(super) fn system(&self, id: &str) -> String {
        let Self { items, settings, memory, .. } = self;
        let fixed = [
            "InstanceID=1;ResourceType=3;VirtualQuantity=1",
            "InstanceID=3;ResourceType=6;ResourceSubType=lsilogicsas;Address=0",
            "InstanceID=4;ResourceType=5;Address=0",
            "InstanceID=5;ResourceType=5;Address=1",
            "InstanceID=6;ResourceType=15;Parent=5;AddressOnParent=0;ResourceSubType=vmware.cdrom.iso",
            "InstanceID=7;ResourceType=14",
            "InstanceID=8;ResourceType=10;ResourceSubType=E1000;Connection=VM Network",
        ]
        .map(item)
        .concat();
        format!(
            "<VirtualSystem ovf:id='{id}'><Info/><Name>{id}</Name><OperatingSystemSection ovf:id='80'/>\
             <VirtualHardwareSection><Info/>{fixed}{memory}{items}\
             <vmw:Config vmw:key='firmware' vmw:value='bios'/>{settings}</VirtualHardwareSection></VirtualSystem>"
        )
    }

    pub(super) fn in_namespace(&self, namespace: &str, systems: &str) -> String {
        let Self { references, disks, .. } = self;
        format!(
            "<?xml version='1.0' encoding='UTF-8'?>\n<Envelope xmlns='{namespace}' xmlns:ovf='{namespace}' \
             xmlns:vmw='http://www.vmware.com/schema/ovf' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' \
             xmlns:rasd='http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData'>\n\
             <References>{references}</References><DiskSection><Info/>{disks}</DiskSection>{systems}</Envelope>\n"
        )
    }
}

/// An item of hardware from `Name=value` words.
pub(super) fn item(settings: &str) -> String {
    let settings = settings.split(';').map(|word| word.split_once('=').unwrap());
    let inside: String = settings.map(|(name, value)| format!("<rasd:{name}>{value}</rasd:{name}>")).collect();
    format!("<Item>{inside}</Item>")
}

/// Writes files below a folder and returns the folder.
pub(super) fn lay(folder: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    for (name, data) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    folder.to_owned()
}

/// Writes one file and returns its path.
pub(super) fn lay_one(folder: &Path, name: &str, data: &[u8]) -> PathBuf {
    lay(folder, &[(name, data)]).join(name)
}
