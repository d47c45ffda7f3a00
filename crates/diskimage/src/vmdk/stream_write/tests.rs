//! Bytes that the writer makes, and what it refuses. Whole streams are judged by `tests/all`.

use super::*;
use crate::ErrorKind;
use crate::vmdk::layout::{Header, Marker, Sector};

fn options(capacity_bytes: u64) -> StreamOptions {
    StreamOptions::new(capacity_bytes, 7, "disk.vmdk")
}

fn writer(capacity_bytes: u64) -> StreamWriter<Vec<u8>> {
    StreamWriter::create(Vec::new(), &options(capacity_bytes)).unwrap()
}

fn sector(stream: &[u8], number: usize) -> [u8; SECTOR_LEN] {
    stream[number * SECTOR_LEN..][..SECTOR_LEN].try_into().unwrap()
}

fn marker(stream: &[u8], number: usize) -> Marker {
    Marker::decode(&sector(stream, number)).unwrap()
}

fn entry(stream: &[u8], first_sector: usize, slot: usize) -> u32 {
    let offset = first_sector * SECTOR_LEN + slot * 4;
    u32::from_le_bytes(stream[offset..offset + 4].try_into().unwrap())
}

#[test]
fn parts_stand_in_the_order_of_the_note() {
    let mut writer = writer(40 << 20);
    writer.write_grain(3, &[1; GRAIN_LEN]).unwrap();
    writer.write_grain(513, &[2; GRAIN_LEN]).unwrap();
    let (stream, stats) = writer.finish().unwrap();

    assert!(sector(&stream, 1).starts_with(b"# Disk DescriptorFile"));
    let is_short_grain = |number, lba| {
        matches!(marker(&stream, number),
            Marker::Grain { lba: Sector(at), size_bytes: ..=500 } if at == lba)
    };
    assert!(is_short_grain(128, 3 * 128));
    assert_eq!(marker(&stream, 129), Marker::GrainTable { sectors: 4 });
    assert_eq!((entry(&stream, 130, 2), entry(&stream, 130, 3)), (0, 128));
    assert!(is_short_grain(134, 513 * 128));
    assert_eq!(marker(&stream, 135), Marker::GrainTable { sectors: 4 });
    assert_eq!(entry(&stream, 136, 1), 134);
    assert_eq!(marker(&stream, 140), Marker::GrainDirectory { sectors: 1 });
    assert_eq!((entry(&stream, 141, 0), entry(&stream, 141, 1)), (130, 136));
    assert_eq!(marker(&stream, 142), Marker::Footer { sectors: 1 });
    let header = Header::parse(&sector(&stream, 0)).unwrap();
    let footer = Header::parse(&sector(&stream, 143)).unwrap();
    assert_eq!(footer, header.with_directory(Sector(141)));
    assert_eq!(marker(&stream, 144), Marker::EndOfStream);
    assert_eq!(stream.len(), 145 * SECTOR_LEN);
    assert_eq!(stats.stream_bytes, u64_from(stream.len()));
    assert_eq!((stats.grains, stats.populated_bytes), (2, 2 * 65536));
}

#[test]
fn a_terabyte_of_nothing_costs_only_its_directory() {
    let (stream, stats) = writer(1 << 40).finish().unwrap();
    let directory_bytes = 32768 * 4;
    assert_eq!(stream.len(), 128 * SECTOR_LEN + directory_bytes + 4 * SECTOR_LEN);
    assert_eq!(stats.grains, 0);
}

#[test]
fn grains_of_zeros_are_left_out_but_keep_their_turn() {
    let mut writer = writer(1 << 20);
    writer.write_grain(4, &[0; GRAIN_LEN]).unwrap();
    assert_eq!(writer.write_grain(4, &[1; GRAIN_LEN]).unwrap_err().kind(), ErrorKind::Misuse);
    let (_, stats) = writer.finish().unwrap();
    assert_eq!((stats.grains, stats.zero_grains, stats.populated_bytes), (0, 1, 0));
}

#[test]
fn a_refused_call_leaves_the_writer_usable() {
    let mut writer = writer(1954 * 512);
    let full = [1; GRAIN_LEN];
    writer.write_grain(2, &full).unwrap();
    let refused = [
        writer.write_grain(2, &full),
        writer.write_grain(1, &full),
        writer.write_grain(16, &full),
        writer.write_grain(3, &full[1..]),
        writer.write_grain(15, &full),
        writer.write_deflated_grain(3, b""),
        writer.write_deflated_grain(3, b"\x78\x9c"),
        writer.write_deflated_grain(3, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"),
        writer.write_deflated_grain(3, &[&b"\x78\x9c"[..], &[0; 2 * GRAIN_LEN]].concat()),
    ];
    for (number, result) in refused.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Misuse, "case {number}");
    }
    writer.write_grain(15, &full[..34 * 512]).unwrap();
    let (_, stats) = writer.finish().unwrap();
    assert_eq!((stats.grains, stats.populated_bytes), (2, 65536 + 34 * 512));
}

#[test]
fn impossible_options_are_refused() {
    let kind = |options: &StreamOptions| StreamWriter::create(Vec::new(), options).unwrap_err().kind();
    assert_eq!(kind(&options(1000)), ErrorKind::Misuse);
    assert_eq!(kind(&options(0)), ErrorKind::Limit);
    assert_eq!(kind(&options((64 << 40) + 512)), ErrorKind::Limit);
    let mut quoted = options(512);
    quoted.extent_name = "a\"b".into();
    assert_eq!(kind(&quoted), ErrorKind::Misuse);
}

#[test]
fn a_long_name_takes_a_second_sector_for_the_descriptor() {
    let mut options = options(1 << 20);
    options.extent_name = "ü".repeat(400);
    let (stream, _) = StreamWriter::create(Vec::new(), &options).unwrap().finish().unwrap();
    let header = Header::parse(&sector(&stream, 0)).unwrap();
    assert_eq!((header.descriptor(), header.overhead()), (1..4, Sector(128)));
}

#[test]
fn ready_grains_give_the_same_stream_as_raw_ones() {
    let mut raw = writer(1 << 20);
    let mut ready = writer(1 << 20);
    let mut deflater = GrainDeflater::new(GRAIN_LEN, Level::default());
    let mut lengths = Vec::new();
    for index in [0, 5, 15] {
        let data: Vec<u8> = (0..GRAIN_LEN).map(|i| (i % 251).to_le_bytes()[0] ^ 0x55).collect();
        raw.write_grain(index, &data).unwrap();
        let zlib = deflater.deflate(&data).unwrap();
        lengths.push((index, zlib.len()));
        ready.write_deflated_grain(index, zlib).unwrap();
    }
    assert_eq!(raw.position_bytes(), ready.position_bytes());
    let (raw, ready) = (raw.finish().unwrap(), ready.finish().unwrap());
    assert_eq!(raw, ready);
    let predicted = stream_len_bytes(&options(1 << 20), lengths).unwrap();
    assert_eq!(predicted, u64_from(raw.0.len()));
}

#[test]
fn a_stream_beyond_what_tables_address_is_refused() {
    let grains = (0..).map(|index| (index, 2 * GRAIN_LEN));
    let error = stream_len_bytes(&options(64 << 40), grains).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn nothing_is_written_after_a_failed_write() {
    /// Takes a number of bytes, then fails.
    #[derive(Debug)]
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = StreamWriter::create(Full(GRAIN_LEN), &options(1 << 20)).unwrap();
    let error = writer.write_grain(0, &[1; GRAIN_LEN]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let error = writer.write_grain(1, &[1; GRAIN_LEN]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Misuse);
}
