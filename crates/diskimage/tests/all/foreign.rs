//! Streams as other writers lay them out, made by hand.

use diskimage::ErrorKind;
use diskimage::vmdk::grain::{GrainDeflater, Level};
use diskimage::vmdk::layout::{Header, Marker, SECTOR_LEN, Sector, SectorBytes};
use diskimage::vmdk::stream_walk::Proof;

use crate::model::{contents, walk};

const GRAIN_LEN: usize = 65536;
const ZEROS: SectorBytes = [0; SECTOR_LEN];

/// Puts a stream together, sector by sector.
pub(crate) struct Builder {
    sectors: Vec<SectorBytes>,
    deflater: GrainDeflater,
    /// Where the last grain starts.
    last_grain: usize,
}

impl Builder {
    fn new(header: SectorBytes, overhead: usize) -> Self {
        let mut sectors = vec![ZEROS; overhead];
        sectors[0] = header;
        Self { sectors, deflater: GrainDeflater::new(GRAIN_LEN, Level::FASTEST), last_grain: 0 }
    }

    fn position(&self) -> u32 {
        u32::try_from(self.sectors.len()).unwrap()
    }

    /// Appends a grain and returns its sector.
    fn grain(&mut self, index: u64) -> u32 {
        let position = self.position();
        self.last_grain = self.sectors.len();
        let zlib = self.deflater.deflate(&contents(index, GRAIN_LEN)).unwrap();
        let size_bytes = u32::try_from(zlib.len()).unwrap();
        let marker = Marker::Grain { lba: Sector(index * 128), size_bytes }.encode();
        let mut bytes = [&marker[..12], zlib].concat();
        bytes.resize(bytes.len().next_multiple_of(SECTOR_LEN), 0);
        self.sectors.extend(bytes.as_chunks::<SECTOR_LEN>().0);
        position
    }

    /// Appends 32-bit entries, padded to whole sectors, and returns their sector.
    fn entries(&mut self, entries: &[u32]) -> u32 {
        let position = self.position();
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(SECTOR_LEN), 0);
        self.sectors.extend(bytes.as_chunks::<SECTOR_LEN>().0);
        position
    }

    fn marker(&mut self, marker: Marker) {
        self.sectors.push(marker.encode());
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.sectors.as_flattened()
    }
}

fn header(capacity_sectors: u64) -> SectorBytes {
    Header::for_stream(capacity_sectors, 1).unwrap().encode()
}

/// Two coverages, tables of value 0 all together, redundant directory first, padding before: as
/// Xen Orchestra writes. `overhead_in_footer` differs from the header's there.
pub(crate) fn xen_orchestra() -> Builder {
    let mut head = header(80_000);
    head[8] |= 2;
    let mut stream = Builder::new(head, 128);
    let mut table = vec![0; 1024];
    for index in [0, 1, 7, 512, 600] {
        table[usize::try_from(index).unwrap()] = stream.grain(index);
    }
    stream.sectors.extend([ZEROS; 3]);
    let mut directories = Vec::new();
    for _ in 0..2 {
        stream.marker(Marker::GrainTable { sectors: 0 });
        let first = stream.entries(&table);
        stream.marker(Marker::GrainDirectory { sectors: 0 });
        directories.push(u64::from(stream.entries(&[first, first + 4])));
    }
    stream.marker(Marker::Footer { sectors: 0 });
    let mut footer = head;
    footer[48..56].copy_from_slice(&directories[0].to_le_bytes());
    footer[56..64].copy_from_slice(&directories[1].to_le_bytes());
    footer[64] += 9;
    stream.sectors.push(footer);
    stream.marker(Marker::EndOfStream);
    stream
}

#[test]
fn tables_announced_by_the_header_alone_are_understood() {
    let stream = xen_orchestra();
    let summary = walk(stream.bytes(), true).unwrap();
    assert_eq!((summary.grains, summary.proof), (5, Proof::Footer));
    for end in 0..stream.sectors.len() {
        let error = walk(stream.sectors[..end].as_flattened(), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "cut after {end} sectors");
    }
}

#[test]
fn a_footer_that_names_another_directory_is_corrupt() {
    for offset in [48, 56] {
        let mut stream = xen_orchestra();
        let footer = stream.sectors.len() - 2;
        stream.sectors[footer][offset] ^= 1;
        let error = walk(stream.bytes(), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_wrong_redundant_table_is_corrupt() {
    let good = xen_orchestra();
    let tables = good.sectors.iter().position(|sector| *sector == Marker::GrainTable { sectors: 0 }.encode()).unwrap();
    let mut bad = xen_orchestra();
    bad.sectors[tables + 1][0] += 1;
    assert_eq!(walk(bad.bytes(), false).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Tables in front, no redundant ones, an end marker and no footer: as open-vmdk and govmomi write.
pub(crate) fn tables_in_front(grains: &[u64], end: bool) -> Builder {
    const OVERHEAD: u32 = 30;
    const DIRECTORY: u32 = 21;
    let mut head = header(80_000);
    head[56..64].copy_from_slice(&u64::from(DIRECTORY).to_le_bytes());
    head[64..72].copy_from_slice(&u64::from(OVERHEAD).to_le_bytes());
    let mut stream = Builder::new(head, usize::try_from(OVERHEAD).unwrap());
    let directory = usize::try_from(DIRECTORY).unwrap();
    stream.sectors[directory][..4].copy_from_slice(&(DIRECTORY + 1).to_le_bytes());
    stream.sectors[directory][4..8].copy_from_slice(&(DIRECTORY + 5).to_le_bytes());
    for index in grains {
        let place = stream.grain(*index);
        let number = usize::try_from(*index).unwrap();
        let sector = &mut stream.sectors[directory + 1 + number / 128];
        sector[number % 128 * 4..][..4].copy_from_slice(&place.to_le_bytes());
    }
    if end {
        stream.marker(Marker::EndOfStream);
    }
    stream
}

#[test]
fn tables_in_front_prove_completeness_with_and_without_an_end_marker() {
    for end in [true, false] {
        let stream = tables_in_front(&[0, 5, 511, 512, 624], end);
        let summary = walk(stream.bytes(), true).unwrap();
        assert_eq!((summary.grains, summary.proof), (5, Proof::TablesInFront));
    }
    let empty = tables_in_front(&[], true);
    assert_eq!(walk(empty.bytes(), true).unwrap().grains, 0);
}

#[test]
fn grains_may_follow_their_tables_in_any_order() {
    let stream = tables_in_front(&[512, 5, 0, 624, 511], true);
    assert_eq!(walk(stream.bytes(), true).unwrap().grains, 5);
}

#[test]
fn a_grain_that_a_table_in_front_lists_must_come() {
    let stream = tables_in_front(&[0, 5, 512], false);
    for end in 0..stream.bytes().len() {
        let error = walk(&stream.bytes()[..end], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "cut at {end}");
    }
    // An end marker does not replace it.
    let mut cut = tables_in_front(&[0, 5, 512], false);
    cut.sectors.truncate(cut.last_grain);
    cut.marker(Marker::EndOfStream);
    assert_eq!(walk(cut.bytes(), false).unwrap_err().kind(), ErrorKind::Truncated);
}

#[test]
fn a_grain_that_no_table_in_front_lists_is_corrupt() {
    let mut stream = tables_in_front(&[0, 5], false);
    stream.grain(6);
    assert_eq!(walk(stream.bytes(), false).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_table_in_front_that_is_wrong_is_an_error() {
    let good = tables_in_front(&[0, 5], true);
    for sector in 21..30 {
        for offset in [0, 4, 20, 508] {
            let mut stream = tables_in_front(&[0, 5], true);
            stream.sectors[sector][offset] ^= 0x40;
            let result = walk(stream.bytes(), false);
            // Behind the two entries in use the directory is padding.
            let padding = sector == 21 && offset > 4;
            assert_eq!(result.is_ok(), padding, "sector {sector}, offset {offset}");
        }
    }
    assert!(walk(good.bytes(), false).is_ok());
}

#[test]
fn a_directory_that_is_neither_in_front_nor_left_to_the_footer_is_unsupported() {
    for place in [0_u64, 1, 29, 30, 1 << 40, u64::MAX - 1] {
        let mut stream = tables_in_front(&[0], true);
        stream.sectors[0][56..64].copy_from_slice(&place.to_le_bytes());
        let error = walk(stream.bytes(), false).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Corrupt | ErrorKind::Truncated),
            "{place}: {error}"
        );
    }
}

#[test]
fn entries_that_mean_zeros_are_no_grains() {
    let mut stream = tables_in_front(&[0, 5], true);
    stream.sectors[22][4] = 1;
    assert_eq!(walk(stream.bytes(), true).unwrap().grains, 2);
}

#[test]
fn an_odd_descriptor_is_a_warning() {
    let mut stream = tables_in_front(&[0], true);
    let text = b"# Disk DescriptorFile\nparentCID=12345678\nRDONLY 79999 SPARSE \"call-me.vmdk\"\n";
    stream.sectors[1][..text.len()].copy_from_slice(text);
    let summary = walk(stream.bytes(), false).unwrap();
    assert_eq!(summary.warnings.len(), 2, "{:?}", summary.warnings);
    assert_eq!(summary.descriptor.unwrap().extents.len(), 1);
    assert_eq!(summary.capacity_bytes, 80_000 * 512);

    let mut stream = tables_in_front(&[0], true);
    stream.sectors[1][..5].copy_from_slice(b"RW x\n");
    stream.sectors[0][72] = 1;
    let summary = walk(stream.bytes(), false).unwrap();
    assert_eq!((summary.warnings.len(), summary.descriptor), (2, None));
}
