//! What is written is what is walked and read back, however the stream is cut.

use diskimage::vmdk::layout::CAPACITY_SECTORS_MAX;
use diskimage::vmdk::stream_walk::{Proof, StreamWalker, WalkOptions};
use diskimage::vmdk::stream_write::{GRAIN_LEN, StreamOptions, StreamWriter};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use crate::model::{Disk, contents, read_back, walk};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_written_disk_is_walked_and_read_back_whole(
        sectors in 1_u64..140_000,
        indices in btree_set(0_u64..1100, 0..24),
        seed: u64,
        cuts in vec(1_usize..70_000, 1..20),
    ) {
        let disk = Disk::new(sectors * 512).fill(indices, seed);
        let (stream, stats) = disk.write();
        let mut walker = StreamWalker::new(WalkOptions { inflate: true, ..Default::default() });
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*cut));
            walker.push(chunk).unwrap();
            rest = after;
            prop_assert_eq!(walker.stream_bytes(), u64::try_from(stream.len() - rest.len()).unwrap());
            prop_assert!(walker.covered_bytes() <= disk.capacity_bytes);
            prop_assert!(walker.grains_bytes() <= walker.covered_bytes());
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(walker.capacity_bytes(), Some(disk.capacity_bytes));
        let summary = walker.finish().unwrap();
        prop_assert_eq!(summary.capacity_bytes, disk.capacity_bytes);
        prop_assert_eq!(summary.grains, u64::try_from(disk.grains.len()).unwrap());
        prop_assert_eq!(summary.populated_bytes, disk.populated_bytes());
        prop_assert_eq!(summary.populated_bytes, stats.populated_bytes);
        prop_assert_eq!(summary.stream_bytes, stats.stream_bytes);
        prop_assert_eq!(summary.proof, Proof::Footer);
        prop_assert!(summary.warnings.is_empty());
        prop_assert!(read_back(&stream) == disk.raw());
    }
}

#[test]
fn single_bytes_give_the_same_as_one_chunk() {
    let (stream, _) = Disk::new(1954 * 512).fill(0..16, 3).write();
    let mut walker = StreamWalker::new(WalkOptions::default());
    for byte in &stream {
        walker.push(std::slice::from_ref(byte)).unwrap();
        walker.push(&[]).unwrap();
    }
    assert_eq!(walker.finish().unwrap(), walk(&stream, false).unwrap());
}

#[test]
fn progress_follows_the_highest_grain_and_ends_at_the_capacity() {
    let disk = Disk::new(1954 * 512).fill([2, 15], 1);
    let (stream, _) = disk.write();
    let mut walker = StreamWalker::new(WalkOptions::default());
    let mut seen = vec![(walker.covered_bytes(), walker.grains_bytes())];
    for chunk in stream.chunks(512) {
        walker.push(chunk).unwrap();
        let now = (walker.covered_bytes(), walker.grains_bytes());
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    let grain = u64::try_from(GRAIN_LEN).unwrap();
    assert_eq!(seen, [(0, 0), (3 * grain, grain), (1954 * 512, grain + 34 * 512)]);
}

#[test]
fn the_largest_disk_is_written_and_walked_at_the_cost_of_its_grains() {
    let capacity_bytes = CAPACITY_SECTORS_MAX * 512;
    let options = StreamOptions::new(capacity_bytes, 1, "huge.vmdk");
    let mut writer = StreamWriter::create(Vec::new(), &options).unwrap();
    let last = capacity_bytes / u64::try_from(GRAIN_LEN).unwrap() - 1;
    for index in [0, last / 2, last] {
        writer.write_grain(index, &contents(index, GRAIN_LEN)).unwrap();
    }
    let (stream, _) = writer.finish().unwrap();
    assert!(stream.len() < 9 << 20, "a directory of 8 MiB and little else");
    let summary = walk(&stream, true).unwrap();
    assert_eq!((summary.capacity_bytes, summary.grains), (capacity_bytes, 3));
}
