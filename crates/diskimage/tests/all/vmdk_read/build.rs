//! Builds what no tool here writes, byte by byte and as unkindly as the formats allow: grains lie
//! in the file in another order than on the disk, tables too where the format lets them.

use std::sync::Arc;

use diskimage::Error;
use diskimage::image::{Disk as _, Image, MemorySource, NamedSources};
use diskimage::vmdk::grain::{GrainDeflater, Level};
use diskimage::vmdk::layout::{Header, Marker, Sector, grain_marker};
use diskimage::vmdk::read::{OpenOptions, open};

use crate::model::contents;

pub(crate) const SECTOR: usize = 512;

/// What a link has in one of its grains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Absent,
    Zero,
    /// Contents made from a seed; never all zeros.
    Data(u64),
}

/// One link: its size, its grain, and what is in each grain.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    pub(crate) capacity: usize,
    pub(crate) grain: usize,
    pub(crate) cells: Vec<Cell>,
}

impl Cells {
    /// Returns a link of `sectors` whose runs of cells follow from a seed.
    pub(crate) fn random(sectors: usize, grain_sectors: usize, seed: u64) -> Self {
        let mut state = seed | 1;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let count = sectors.div_ceil(grain_sectors);
        let mut cells = Vec::with_capacity(count);
        while cells.len() < count {
            // Most runs are short, and some pass over a whole table.
            let length = if next(6) == 0 { next(5000) } else { next(9) };
            let kind = next(4);
            for _ in 0..=length.min((count - cells.len() - 1) as u64) {
                cells.push(match kind {
                    0 | 1 => Cell::Absent,
                    2 => Cell::Zero,
                    _ => Cell::Data(next(1 << 20)),
                });
            }
        }
        Self { capacity: sectors * SECTOR, grain: grain_sectors * SECTOR, cells }
    }

    /// Returns what is in a grain, whole even at the end of the disk.
    fn grain_bytes(&self, index: usize) -> Option<Vec<u8>> {
        match self.cells[index] {
            Cell::Data(seed) => Some(contents(seed, self.grain)),
            Cell::Absent | Cell::Zero => None,
        }
    }

    /// Lays the link over `below`, as a guest would see it.
    pub(crate) fn over(&self, below: &[u8]) -> Vec<u8> {
        let mut disk = vec![0; self.capacity];
        let common = below.len().min(self.capacity);
        disk[..common].copy_from_slice(&below[..common]);
        for (index, piece) in disk.chunks_mut(self.grain).enumerate() {
            match (self.cells[index], self.grain_bytes(index)) {
                (_, Some(bytes)) => piece.copy_from_slice(&bytes[..piece.len()]),
                (Cell::Zero, _) => piece.fill(0),
                _ => {}
            }
        }
        disk
    }

    pub(crate) fn sectors(&self) -> usize {
        self.capacity / SECTOR
    }

    fn has_zeros(&self) -> bool {
        self.cells.contains(&Cell::Zero)
    }
}

pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// Appends zeros up to a multiple of `to`.
fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn sector_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() / SECTOR).unwrap()
}

/// How a hosted sparse extent is built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosted {
    pub(crate) descriptor: Option<String>,
    pub(crate) redundant: bool,
    /// Leave out the flag that announces zero grains.
    pub(crate) unannounced_zeros: bool,
}

/// Where things are in a built extent, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) directories: Vec<usize>,
    /// The tables of each directory; 0 for an absent one.
    pub(crate) tables: Vec<Vec<usize>>,
    pub(crate) grains: usize,
}

/// Builds an uncompressed hosted sparse extent.
pub(crate) fn hosted(link: &Cells, how: &Hosted) -> (Vec<u8>, Places) {
    const ENTRIES: usize = 512;
    const DESCRIPTOR_SECTORS: usize = 20;
    let mut bytes = vec![0; SECTOR];
    if let Some(text) = &how.descriptor {
        let start = bytes.len();
        bytes.resize(start + DESCRIPTOR_SECTORS * SECTOR, 0);
        put(&mut bytes, start, text.as_bytes());
    }
    let tables: Vec<&[Cell]> = link.cells.chunks(ENTRIES).collect();
    let mut places = Places::default();
    for _ in 0..=usize::from(how.redundant) {
        places.directories.push(bytes.len());
        let directory = bytes.len();
        bytes.resize(directory + tables.len() * 4, 0);
        pad(&mut bytes, SECTOR);
        let mut starts = vec![0; tables.len()];
        for (number, cells) in tables.iter().enumerate().rev() {
            if cells.iter().any(|&cell| cell != Cell::Absent) {
                starts[number] = bytes.len();
                let sector = sector_of(&bytes);
                put(&mut bytes, directory + number * 4, &sector.to_le_bytes());
                bytes.resize(bytes.len() + ENTRIES * 4, 0);
            }
        }
        places.tables.push(starts);
    }
    pad(&mut bytes, link.grain);
    places.grains = bytes.len();
    let mut entries = vec![0_u32; link.cells.len()];
    for index in (0..link.cells.len()).rev() {
        match (link.cells[index], link.grain_bytes(index)) {
            (_, Some(grain)) => {
                entries[index] = sector_of(&bytes);
                bytes.extend(grain);
            }
            (Cell::Zero, _) => entries[index] = 1,
            _ => {}
        }
    }
    for starts in &places.tables {
        for (index, entry) in entries.iter().enumerate() {
            let start = starts[index / ENTRIES];
            if start > 0 {
                put(&mut bytes, start + index % ENTRIES * 4, &entry.to_le_bytes());
            }
        }
    }
    let header = hosted_header(link, how, &places);
    put(&mut bytes, 0, &header);
    (bytes, places)
}

fn hosted_header(link: &Cells, how: &Hosted, places: &Places) -> Vec<u8> {
    let zeros = link.has_zeros() && !how.unannounced_zeros;
    let sector = |byte: usize| u64::try_from(byte / SECTOR).unwrap().to_le_bytes();
    let mut header = vec![0; SECTOR];
    let main = places.directories[places.directories.len() - 1];
    let flags = 1 | if how.redundant { 2 } else { 0 } | if zeros { 4 } else { 0 };
    for (offset, value) in [
        (0, &b"KDMV"[..]),
        (4, &(if zeros { 2_u32 } else { 1 }).to_le_bytes()),
        (8, &u32::to_le_bytes(flags)),
        (12, &sector(link.capacity)),
        (20, &sector(link.grain)),
        (28, &sector(if how.descriptor.is_some() { SECTOR } else { 0 })),
        (36, &sector(if how.descriptor.is_some() { 20 * SECTOR } else { 0 })),
        (44, &512_u32.to_le_bytes()),
        (48, &sector(if how.redundant { places.directories[0] } else { 0 })),
        (56, &sector(main)),
        (64, &sector(places.grains)),
        (73, b"\n \r\n"),
    ] {
        put(&mut header, offset, value);
    }
    header
}

/// How a stream is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    /// Entries of a table: 128, 256 or 512.
    pub(crate) entries: usize,
    /// Directory and tables in front, as qemu-img and govmomi have them, and not behind a footer.
    pub(crate) in_front: bool,
    /// The last grain in its length, as qemu-img has it, and not padded.
    pub(crate) short_last: bool,
}

/// Builds a stream. Its grains come from the last to the first; a grain of zeros is stored as one,
/// because the flag for entries of 1 is not set.
pub(crate) fn stream(link: &Cells, how: Stream) -> Vec<u8> {
    let tables = link.cells.len().div_ceil(how.entries);
    let table_len = how.entries * 4;
    let directory_len = (tables * 4).next_multiple_of(SECTOR);
    // No grain may stand in sector 1: its entry would mean zeros.
    let mut bytes = vec![0; 2 * SECTOR];
    let front = bytes.len();
    if how.in_front {
        bytes.resize(front + directory_len + tables * table_len, 0);
    }
    let overhead = bytes.len();
    let mut entries = vec![0_u32; tables * how.entries];
    for index in (0..link.cells.len()).rev() {
        let len = if how.short_last { link.grain.min(link.capacity - index * link.grain) } else { link.grain };
        let grain = match link.cells[index] {
            Cell::Absent => continue,
            Cell::Zero => vec![0; len],
            Cell::Data(seed) => contents(seed, link.grain)[..len].to_vec(),
        };
        entries[index] = sector_of(&bytes);
        let mut deflater = GrainDeflater::new(len, Level::FASTEST);
        let zlib = deflater.deflate(&grain).unwrap();
        let lba = Sector(u64::try_from(index * link.grain / SECTOR).unwrap());
        bytes.extend(grain_marker(lba, u32::try_from(zlib.len()).unwrap()));
        bytes.extend(zlib);
        pad(&mut bytes, SECTOR);
    }
    let directory = if how.in_front { front } else { behind(&mut bytes, tables * table_len, directory_len) };
    let first_table = if how.in_front { front + directory_len } else { directory - SECTOR - tables * table_len };
    for (number, entries) in entries.chunks(how.entries).enumerate() {
        let table = first_table + number * table_len;
        put(&mut bytes, directory + number * 4, &u32::try_from(table / SECTOR).unwrap().to_le_bytes());
        let words: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        put(&mut bytes, table, &words);
    }
    let header = |directory: u64| stream_header(link, how, directory, overhead);
    let place = u64::try_from(directory / SECTOR).unwrap();
    if how.in_front {
        put(&mut bytes, 0, &header(place));
    } else {
        put(&mut bytes, 0, &header(u64::MAX));
        bytes.extend(Marker::Footer { sectors: 1 }.encode());
        bytes.extend(header(place));
        bytes.extend([0; SECTOR]);
    }
    bytes
}

/// Makes room for tables and directory behind the grains, with their markers, and returns where the
/// directory is.
fn behind(bytes: &mut Vec<u8>, tables_len: usize, directory_len: usize) -> usize {
    let sectors = |len: usize| u64::try_from(len / SECTOR).unwrap();
    bytes.extend(Marker::GrainTable { sectors: sectors(tables_len) }.encode());
    bytes.resize(bytes.len() + tables_len, 0);
    bytes.extend(Marker::GrainDirectory { sectors: sectors(directory_len) }.encode());
    let directory = bytes.len();
    bytes.resize(directory + directory_len, 0);
    directory
}

fn stream_header(link: &Cells, how: Stream, directory: u64, overhead: usize) -> [u8; SECTOR] {
    let mut header = Header::for_stream(u64::try_from(link.sectors()).unwrap(), 0).unwrap().encode();
    let sector = |bytes: usize| u64::try_from(bytes / SECTOR).unwrap().to_le_bytes();
    put(&mut header, 20, &sector(link.grain));
    put(&mut header, 28, &[0; 16]);
    put(&mut header, 44, &u32::try_from(how.entries).unwrap().to_le_bytes());
    put(&mut header, 56, &directory.to_le_bytes());
    put(&mut header, 64, &sector(overhead));
    header
}

/// Builds a COWD delta. Its `parent` field can be filled, to make other readers stumble.
pub(crate) fn cowd(link: &Cells, parent: &[u8]) -> Vec<u8> {
    const ENTRIES: usize = 4096;
    let mut bytes = vec![0; 4 * SECTOR];
    let tables: Vec<&[Cell]> = link.cells.chunks(ENTRIES).collect();
    let directory = bytes.len();
    bytes.resize(directory + tables.len() * 4, 0);
    pad(&mut bytes, SECTOR);
    for (number, cells) in tables.iter().enumerate().rev() {
        if cells.iter().all(|&cell| cell == Cell::Absent) {
            continue;
        }
        // Data first: a table may lie anywhere.
        let mut entries = vec![0_u32; ENTRIES];
        for slot in (0..cells.len()).rev() {
            match (cells[slot], link.grain_bytes(number * ENTRIES + slot)) {
                (_, Some(grain)) => {
                    entries[slot] = sector_of(&bytes);
                    bytes.extend(grain);
                }
                (Cell::Zero, _) => entries[slot] = 1,
                _ => {}
            }
        }
        let sector = sector_of(&bytes);
        put(&mut bytes, directory + number * 4, &sector.to_le_bytes());
        bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
    }
    let free = sector_of(&bytes);
    let u32_of = |value: usize| u32::try_from(value).unwrap();
    for (offset, value) in [
        (4, 1),
        (8, 3),
        (12, u32_of(link.sectors())),
        (16, u32_of(link.grain / SECTOR)),
        (20, 4),
        (24, u32_of(tables.len())),
        (28, free),
    ] {
        put(&mut bytes, offset, &value.to_le_bytes());
    }
    put(&mut bytes, 0, b"COWD");
    put(&mut bytes, 32, parent);
    bytes
}

/// Builds a seSparse delta. Grains are numbered from `first_grain` on, so that numbers of more than
/// twelve bits are met; the file has a hole in front of them.
pub(crate) fn sesparse(link: &Cells, first_grain: u64) -> Vec<u8> {
    const ENTRIES: usize = 4096;
    const TABLE: usize = ENTRIES * 8;
    assert_eq!(link.grain, 4096);
    let tables: Vec<&[Cell]> = link.cells.chunks(ENTRIES).collect();
    let directory = 8 * SECTOR;
    let directory_len = (tables.len() * 8).next_multiple_of(SECTOR);
    let tables_start = (directory + directory_len).next_multiple_of(4096);
    let grains_start = tables_start + tables.len() * TABLE;
    let mut bytes = vec![0; grains_start];
    let mut grain = first_grain;
    bytes.resize(grains_start + usize::try_from(first_grain).unwrap() * 4096, 0);
    for (number, cells) in tables.iter().enumerate() {
        if cells.iter().all(|&cell| cell == Cell::Absent) {
            continue;
        }
        // Tables are numbered from the back.
        let table = tables.len() - 1 - number;
        let entry = 0x1000_0000_0000_0000 | u64::try_from(table).unwrap();
        put(&mut bytes, directory + number * 8, &entry.to_le_bytes());
        for slot in (0..cells.len()).rev() {
            let entry = match (cells[slot], link.grain_bytes(number * ENTRIES + slot)) {
                (_, Some(content)) => {
                    bytes.extend(content);
                    grain += 1;
                    let number = grain - 1;
                    3 << 60 | (number & 0xfff) << 48 | number >> 12
                }
                // Both ways to say zero; the first keeps the number of a former grain.
                (Cell::Zero, _) if slot % 2 == 0 => 1 << 60 | 0x0005_0000_0000_0000,
                (Cell::Zero, _) => 2 << 60,
                _ => 0,
            };
            put(&mut bytes, tables_start + table * TABLE + slot * 8, &u64::to_le_bytes(entry));
        }
    }
    let sectors = |bytes: usize| u64::try_from(bytes / SECTOR).unwrap();
    for (offset, value) in [
        (0, 0xcafe_babe),
        (8, 0x2_0000_0001),
        (16, sectors(link.capacity)),
        (24, 8),
        (32, 64),
        (80, 1),
        (88, 1),
        (96, 2),
        (104, 1),
        (112, 3),
        (120, 1),
        (128, sectors(directory)),
        (136, sectors(directory_len)),
        (144, sectors(tables_start)),
        (152, sectors(tables.len() * TABLE)),
        (160, 4),
        (168, 1),
        (176, 5),
        (184, 1),
        (192, sectors(grains_start)),
        (200, grain * 8),
        (SECTOR, 0xcafe_cafe),
    ] {
        put(&mut bytes, offset, &u64::to_le_bytes(value));
    }
    bytes
}

/// Writes the text of a descriptor: its extents, and a parent where there is one.
pub(crate) fn descriptor(create_type: &str, extents: &[String], parent: Option<&str>) -> String {
    let parent_cid = if parent.is_some() { "11111111" } else { "ffffffff" };
    let hint = parent.map_or_else(String::new, |name| format!("parentFileNameHint=\"{name}\"\n"));
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=11111111\nparentCID={parent_cid}\ncreateType=\"{create_type}\"\n{hint}\n\
         # Extent description\n{}\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n",
        extents.join("\n")
    )
}

/// Files in memory.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) files: NamedSources,
}

impl Store {
    pub(crate) fn put(&mut self, name: &str, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.files.insert(name, Arc::new(MemorySource::new(bytes.into(), name)));
        self
    }

    pub(crate) fn open(&self, name: &str) -> Result<Image, Error> {
        self.open_with(name, OpenOptions::default())
    }

    pub(crate) fn open_with(&self, name: &str, options: OpenOptions) -> Result<Image, Error> {
        use diskimage::image::Files as _;
        open(self.files.open(name)?, name, &self.files, options)
    }

    /// Opens a disk and reads all of it, through its map first.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        read_all(&self.open(name)?)
    }
}

/// Reads a whole disk, in pieces that fit no grain.
pub(crate) fn read_all(image: &Image) -> Result<Vec<u8>, Error> {
    const PIECE: usize = 1_000_003;
    let mut disk = vec![0xee; usize::try_from(image.capacity_bytes()).unwrap()];
    for (number, piece) in disk.chunks_mut(PIECE).enumerate() {
        image.read_at(u64::try_from(number * PIECE).unwrap(), piece)?;
    }
    Ok(disk)
}

/// Opens bytes that stand alone and reads all of them.
pub(crate) fn read_bytes(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut store = Store::default();
    store.put("disk.vmdk", bytes).read("disk.vmdk")
}
