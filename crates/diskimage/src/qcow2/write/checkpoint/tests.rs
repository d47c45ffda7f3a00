//! Checkpoints come back, and what is not the next one is refused.

use super::*;

fn shape() -> Shape {
    Shape { geometry: Geometry::new(16).unwrap(), capacity_bytes: 1 << 40, compression: Some(CompressionType::Zstd) }
}

fn plain(host: u64) -> u64 {
    entry::encode_sole(host << 16)
}

fn compressed(offset: u64, len_bytes: u64) -> u64 {
    entry::encode_compressed(offset, len_bytes, shape().geometry).unwrap()
}

fn changes() -> Vec<(u64, u64)> {
    let mut changes = vec![(0, plain(5)), (1, plain(6)), (2, plain(7)), (3, plain(4)), (5, plain(9))];
    changes.extend([(6, 0), (7, 0), (9, 0), (10, compressed(0x2_0001, 700)), (11, compressed(0x2_02bd, 65_535))]);
    changes.extend([(100_000, compressed(0x1_0000, 1)), (100_001, plain(2)), ((1 << 24) - 1, plain(999))]);
    changes
}

fn encoded() -> Vec<u8> {
    let mut encoder = ChangesEncoder::new(shape().geometry);
    changes().into_iter().for_each(|(guest, entry)| encoder.push(guest, entry));
    encoder.finish()
}

fn decoded(bytes: &[u8], used_clusters: u64) -> Result<Vec<(u64, u64)>> {
    let mut changes = Vec::new();
    decode_changes(bytes, shape(), used_clusters, |guest, entry| changes.push((guest, entry)))?;
    Ok(changes)
}

#[test]
fn changes_come_back_and_are_short() {
    assert_eq!(decoded(&encoded(), 1000).unwrap(), changes());
    assert!(encoded().len() < 60, "{} bytes", encoded().len());
    assert_eq!(decoded(&[], 1).unwrap(), []);
}

#[test]
fn a_row_of_clusters_costs_a_few_bytes() {
    let mut encoder = ChangesEncoder::new(shape().geometry);
    (0..100_000).for_each(|cluster| encoder.push(cluster, plain(cluster + 1)));
    assert!(encoder.finish().len() < 8);
}

#[test]
fn changes_outside_of_disk_or_file_are_refused() {
    let error = decoded(&encoded(), 999).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    let outside_of_the_disk = [(1 << 24, plain(1))];
    let in_the_header = [(0, compressed(0xffff, 10))];
    for change in [outside_of_the_disk, in_the_header] {
        let mut encoder = ChangesEncoder::new(shape().geometry);
        change.into_iter().for_each(|(guest, entry)| encoder.push(guest, entry));
        assert!(decoded(&encoder.finish(), 1000).is_err());
    }
}

#[test]
fn no_bytes_make_decoding_panic() {
    let bytes = encoded();
    for end in 0..bytes.len() {
        let _cut = decode_changes(&bytes[..end], shape(), 1000, |_, _| {});
        for flip in [0x01, 0x02, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[end] ^= flip;
            let _damaged = decode_changes(&damaged, shape(), 1000, |_, _| {});
        }
    }
}

#[test]
fn a_list_is_read_in_its_order_and_any_prefix_is() {
    let inline = Checkpoint { used_clusters: 10, changes: Changes::Inline(encoded()) };
    let moved = Changes::InImage { offset: 0x10000, len_bytes: 70_000, checksum: 9 };
    let list = [inline.clone(), Checkpoint { used_clusters: 20, changes: moved }, inline];
    let mut writing = Chain::default();
    let encoded: Vec<Vec<u8>> = list.iter().map(|checkpoint| checkpoint.encode(shape(), &mut writing)).collect();
    let mut reading = Chain::default();
    for (bytes, checkpoint) in encoded.iter().zip(&list) {
        assert_eq!(&Checkpoint::decode(bytes, shape(), &mut reading).unwrap(), checkpoint);
    }
    assert_eq!(reading, writing);
    let refused = |bytes: &[u8], shape| Checkpoint::decode(bytes, shape, &mut Chain::default()).unwrap_err().kind();
    assert_eq!(refused(&encoded[1], shape()), ErrorKind::Checkpoint, "the first one is missing");
    assert_eq!(refused(&encoded[0], Shape { compression: None, ..shape() }), ErrorKind::Checkpoint);
    assert_eq!(refused(&encoded[0], Shape { capacity_bytes: 512, ..shape() }), ErrorKind::Checkpoint);
}

#[test]
fn a_checkpoint_damaged_or_cut_anywhere_is_refused() {
    let bytes =
        Checkpoint { used_clusters: 1000, changes: Changes::Inline(encoded()) }.encode(shape(), &mut Chain::default());
    let refused = |bytes: &[u8]| Checkpoint::decode(bytes, shape(), &mut Chain::default()).unwrap_err().kind();
    for place in 0..bytes.len() {
        assert_eq!(refused(&bytes[..place]), ErrorKind::Checkpoint);
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert_eq!(refused(&damaged), ErrorKind::Checkpoint, "byte {place}");
    }
}
