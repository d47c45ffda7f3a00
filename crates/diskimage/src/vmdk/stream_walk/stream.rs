//! The parts of a stream, one sector after the other: what each may be and what it must agree with.

use super::behind::TablesBehind;
use super::coverage::Coverages;
use super::front::{FrontTables, check_balance};
use super::grains::{Batch, Begun, Collector, Grains};
use super::inflate::GrainCheck;
use super::summary::{Proof, StreamSummary, read_descriptor};
use super::{State, WalkOptions};
use crate::number::{clip, u64_from};
use crate::vmdk::grain::{ZLIB_BYTES_MIN, is_zlib_header};
use crate::vmdk::layout::{
    DEFLATED_GRAINS_MAX, DirectoryPlace, GRAIN_MARKER_BYTES, Header, Marker, SECTOR_BYTES, SECTOR_LEN, Sector,
    SectorBytes,
};
use crate::{Error, Result};

/// Most sectors that are believed to be the payload of a progress marker, which nobody documents.
const PAYLOAD_SECTORS_MAX: u64 = 2048;

/// Sectors of zeros that are taken beyond the capacity: writers pad with up to a grain of them, and
/// an endless stream of zeros must end somewhere.
const ZERO_SECTORS_EXTRA: u64 = 4096;

/// Everything known since the header.
#[derive(Debug)]
pub(super) struct Stream {
    header: Header,
    /// The descriptor, collected while it passes.
    descriptor: Vec<u8>,
    /// Set when the tables are in front.
    front: Option<FrontTables>,
    coverages: Coverages,
    /// What came of tables behind the grains.
    behind: TablesBehind,
    zero_sectors: u64,
    grains: u64,
    populated_bytes: u64,
    covered_bytes: u64,
    /// Where the grain that is passing starts.
    grain_offset: u64,
    use_of_grains: Grains,
}

impl Stream {
    /// Begins with the header.
    pub(super) fn begin(
        sector: &SectorBytes,
        options: WalkOptions,
        collector: Option<Collector>,
    ) -> Result<(Self, State)> {
        let header = Header::parse(sector)?;
        if !header.is_stream() {
            return Err(Error::unsupported("a stream has compressed grains behind markers"));
        }
        if header.capacity_bytes() > options.capacity_bytes_max {
            return Err(Error::limit("the disk is not larger than the caller allows")
                .found(format!("{} bytes", header.capacity_bytes())));
        }
        let next = if header.overhead().0 > 1 { State::Front } else { State::Marker };
        let stream = Self {
            front: FrontTables::new(&header)?,
            use_of_grains: match collector {
                Some(collector) => Grains::Collect(collector),
                None if options.inflate => Grains::Check(GrainCheck::new(&header)),
                None => Grains::Pass,
            },
            header,
            descriptor: Vec::new(),
            coverages: Coverages::default(),
            behind: TablesBehind::default(),
            zero_sectors: 0,
            grains: 0,
            populated_bytes: 0,
            covered_bytes: 0,
            grain_offset: 0,
        };
        Ok((stream, next))
    }

    /// Takes the sector at `position` as what `state` says it is, and returns what comes next.
    pub(super) fn take_sector(&mut self, state: State, position: u64, sector: &SectorBytes) -> Result<State> {
        match state {
            State::Front => self.take_front(position, sector),
            State::Marker => self.take_marker(position, sector),
            State::MarkerOrPayload { sectors } => self.take_marker_or_payload(sectors, position, sector),
            State::Payload { left_sectors } => Ok(payload_after(left_sectors)),
            State::Tables { left_sectors } => self.behind.take_table(&self.header, left_sectors, position, sector),
            State::Directory { left_sectors } => {
                self.behind.take_directory(&self.header, &self.coverages, left_sectors, sector)
            }
            State::Footer => self.take_footer(sector),
            State::End => match Marker::decode(sector) {
                Ok(Marker::EndOfStream) => Ok(State::Done),
                _ => Err(Error::corrupt("the end marker follows the footer at once")),
            },
            State::Header | State::Grain { .. } | State::Done | State::Failed => {
                unreachable!("the walker handles these itself")
            }
        }
    }

    fn take_front(&mut self, position: u64, sector: &SectorBytes) -> Result<State> {
        if self.header.descriptor().contains(&position) {
            self.descriptor.extend_from_slice(sector);
        }
        if let Some(front) = &mut self.front {
            front.take(position, sector, &mut self.coverages)?;
        }
        Ok(if position + 1 == self.header.overhead().0 { State::Marker } else { State::Front })
    }

    fn take_marker(&mut self, position: u64, sector: &SectorBytes) -> Result<State> {
        match Marker::decode(sector)? {
            Marker::Grain { lba, size_bytes } => self.begin_grain(lba, size_bytes, position, sector),
            Marker::EndOfStream => self.take_zeros(),
            Marker::GrainTable { .. } | Marker::GrainDirectory { .. } if self.front.is_some() => {
                Err(Error::unsupported("tables stand in front of the grains or behind them, not both"))
            }
            Marker::GrainTable { sectors } => self.behind.begin_tables(&self.header, sectors),
            Marker::GrainDirectory { sectors } => self.behind.begin_directory(&self.header, sectors, position),
            Marker::Footer { sectors } => self.begin_footer(sectors),
            Marker::Progress { value } => Ok(State::MarkerOrPayload { sectors: value }),
        }
    }

    /// Decides what follows a progress marker: VirtualBox found nothing behind them, so a sector
    /// that makes sense as a marker is one.
    fn take_marker_or_payload(&mut self, sectors: u64, position: u64, sector: &SectorBytes) -> Result<State> {
        let is_marker = match Marker::decode(sector) {
            Ok(Marker::Grain { lba, size_bytes }) => self.check_grain(lba, size_bytes, sector).is_ok(),
            Ok(_) => true,
            Err(_) => false,
        };
        if is_marker || sectors == 0 {
            return self.take_marker(position, sector);
        }
        if sectors > PAYLOAD_SECTORS_MAX {
            return Err(
                Error::limit("an undocumented marker announces at most 1 MiB").found(format!("{sectors} sectors"))
            );
        }
        Ok(payload_after(sectors))
    }

    /// Takes a sector of zeros: padding, or the end of a stream without footer.
    fn take_zeros(&mut self) -> Result<State> {
        if self.behind.has_directory() {
            return Err(Error::corrupt("the end marker comes after the footer"));
        }
        self.zero_sectors += 1;
        if self.zero_sectors > self.header.capacity_sectors() + ZERO_SECTORS_EXTRA {
            return Err(Error::limit("a stream has fewer sectors of zeros than its disk"));
        }
        Ok(State::Marker)
    }

    /// Checks what can be known of a grain from its marker and its first bytes.
    fn check_grain(&self, lba: Sector, size_bytes: u32, sector: &SectorBytes) -> Result<()> {
        if !lba.0.is_multiple_of(self.header.grain_sectors()) {
            return Err(Error::corrupt("a grain starts at a multiple of the grain size").found(format!("guest {lba}")));
        }
        if lba.0 >= self.header.capacity_sectors() {
            return Err(Error::corrupt("a grain lies on the disk").found(format!("guest {lba}")));
        }
        let too_large = u64::from(size_bytes) > DEFLATED_GRAINS_MAX * self.header.grain_bytes();
        if too_large || size_bytes < ZLIB_BYTES_MIN {
            return Err(Error::corrupt("a compressed grain has at least 8 bytes and at most two grains")
                .found(format!("{size_bytes} bytes")));
        }
        if !is_zlib_header(sector[GRAIN_MARKER_BYTES], sector[GRAIN_MARKER_BYTES + 1]) {
            return Err(Error::corrupt("a compressed grain is a zlib stream"));
        }
        Ok(())
    }

    fn begin_grain(&mut self, lba: Sector, size_bytes: u32, position: u64, sector: &SectorBytes) -> Result<State> {
        if self.behind.has_directory() {
            return Err(Error::corrupt("no grain comes after the directory"));
        }
        self.check_grain(lba, size_bytes, sector)?;
        let index = lba.0 / self.header.grain_sectors();
        self.add_grain(index, position)?;
        let guest_bytes = self.header.guest_bytes_of(index);
        self.grains += 1;
        self.populated_bytes += guest_bytes;
        self.covered_bytes = self.covered_bytes.max(lba.0 * SECTOR_BYTES + guest_bytes);
        self.grain_offset = position * SECTOR_BYTES;
        let (offset, size_bytes) = (self.grain_offset, u64::from(size_bytes));
        self.use_of_grains.begin(Begun { index, offset, size_bytes, guest_bytes });
        self.use_of_grains.take(&sector[GRAIN_MARKER_BYTES..]);
        let marked_bytes = u64_from(GRAIN_MARKER_BYTES) + size_bytes;
        let left_bytes = marked_bytes.next_multiple_of(SECTOR_BYTES) - u64_from(SECTOR_LEN);
        if left_bytes == 0 {
            self.end_grain()?;
            return Ok(State::Marker);
        }
        Ok(State::Grain { left_bytes })
    }

    fn add_grain(&mut self, index: u64, position: u64) -> Result<()> {
        let entry = u32::try_from(position)
            .map_err(|_| Error::limit("a stream has at most 2 TiB, because its tables hold 32-bit sectors"))?;
        let table_entries = u64::from(self.header.table_entries());
        let coverage = clip(usize::MAX, index / table_entries);
        let slot = u32::try_from(index % table_entries).expect("a slot is below 512");
        if self.coverages.add_grain(coverage, slot, entry) {
            Ok(())
        } else {
            Err(Error::corrupt("each grain comes once").found(format!("grain {index}")))
        }
    }

    /// Takes more bytes of a grain, or of the padding behind it.
    pub(super) fn take_grain(&mut self, bytes: &[u8]) {
        self.use_of_grains.take(bytes);
    }

    /// Ends a grain.
    pub(super) fn end_grain(&mut self) -> Result<()> {
        self.use_of_grains.end().map_err(|error| error.at(self.grain_offset))
    }

    fn begin_footer(&self, sectors: u64) -> Result<State> {
        if sectors > 1 {
            return Err(Error::corrupt("the footer is one sector").found(format!("{sectors} sectors")));
        }
        if self.front.is_none() && !self.behind.has_directory() {
            return Err(Error::corrupt("the footer comes after the directory"));
        }
        Ok(State::Footer)
    }

    fn take_footer(&self, sector: &SectorBytes) -> Result<State> {
        let footer = Header::parse(sector)?;
        if !self.header.agrees_with_footer(&footer) {
            return Err(Error::corrupt("header and footer describe the same disk"));
        }
        let names_directory = match (footer.directory(), self.header.directory()) {
            (DirectoryPlace::At(place), DirectoryPlace::Footer) => self.behind.has_directory_at(place),
            (in_footer, in_header) => in_footer == in_header && self.front.is_some(),
        };
        if !names_directory {
            return Err(
                Error::corrupt("the footer names the directory that came").found(format!("{:?}", footer.directory()))
            );
        }
        let redundant = footer.redundant_directory();
        let behind = self.front.is_none();
        if redundant.is_some_and(|place| behind && !self.behind.has_directory_at(place)) {
            return Err(
                Error::corrupt("the footer names the redundant directory that came").found(format!("{redundant:?}"))
            );
        }
        Ok(State::End)
    }

    /// Ends the stream.
    pub(super) fn finish(self, footer_came: bool, stream_bytes: u64) -> Result<StreamSummary> {
        let proof = match (footer_came, &self.front) {
            (_, Some(_)) => {
                check_balance(&self.coverages)?;
                Proof::TablesInFront
            }
            (true, None) => Proof::Footer,
            (false, None) => {
                return Err(Error::truncated("a stream ends with footer and end marker"));
            }
        };
        let (descriptor, warnings) = read_descriptor(&self.header, &self.descriptor);
        Ok(StreamSummary {
            capacity_bytes: self.header.capacity_bytes(),
            grain_bytes: self.header.grain_bytes(),
            grains: self.grains,
            populated_bytes: self.populated_bytes,
            stream_bytes,
            proof,
            descriptor,
            warnings,
        })
    }

    /// Returns what was collected since the last call.
    pub(super) fn collected(&mut self, at_end: bool) -> Vec<Batch> {
        self.use_of_grains.collected(at_end)
    }

    pub(super) fn grain_bytes(&self) -> u64 {
        self.header.grain_bytes()
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.header.capacity_bytes()
    }

    pub(super) fn covered_bytes(&self) -> u64 {
        self.covered_bytes
    }

    pub(super) fn populated_bytes(&self) -> u64 {
        self.populated_bytes
    }
}

/// Returns what follows one sector of a payload.
fn payload_after(left_sectors: u64) -> State {
    match left_sectors.saturating_sub(1) {
        0 => State::Marker,
        left_sectors => State::Payload { left_sectors },
    }
}
