use std::io::Write;

use diskimage::vmdk::grain::GrainInflater;

use super::*;

fn seeded(size: u64, seed: u64, fill: f64, compressibility: f64) -> Arc<DiskContent> {
    let content = Content::Seeded { seed, fill, compressibility };
    open(size, content)
}

fn open(size: u64, content: Content) -> Arc<DiskContent> {
    let disk = Disk::new(size, content);
    Arc::new(DiskContent::open(&disk).unwrap())
}

fn raw(content: &DiskContent) -> Vec<u8> {
    let mut bytes = vec![0xaa; usize::try_from(content.capacity_bytes()).unwrap()];
    content.read_range(0, &mut bytes).unwrap();
    bytes
}

/// Puts the grains of a stream together to what they expand to.
fn expanded(content: &Arc<DiskContent>) -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(content.capacity_bytes()).unwrap()];
    let mut inflater = GrainInflater::new(GRAIN_LEN);
    let mut reader = GrainReader::new(Arc::clone(content));
    loop {
        match reader.step().unwrap() {
            Step::End => return disk,
            Step::Nothing => {}
            Step::Grain(index, grain) => {
                let at = usize::try_from(index * GRAIN_BYTES).unwrap();
                match grain {
                    Grain::Deflated(zlib) => {
                        let data = inflater.inflate(zlib, GRAIN_LEN).unwrap();
                        disk[at..at + GRAIN_LEN].copy_from_slice(data);
                    }
                    Grain::Raw(data) => disk[at..at + data.len()].copy_from_slice(data),
                }
            }
        }
    }
}

#[test]
fn the_stream_and_raw_reads_give_the_same_bytes() {
    for (size, fill) in [(512, 1.0), (65536 * 40, 0.5), (65536 * 3 + 512, 1.0), (3_000_320, 0.7)] {
        let content = seeded(size, 11, fill, 0.5);
        assert!(raw(&content) == expanded(&content), "{size} bytes, fill {fill}");
    }
}

#[test]
fn any_range_is_a_part_of_the_whole() {
    let content = seeded(65536 * 6 + 1024, 3, 0.6, 0.3);
    let whole = raw(&content);
    for (start, len) in [(0, 1), (5, 20), (15, 2), (16, 65520), (65530, 30), (60000, 200_000), (392_000, 2240)] {
        let mut part = vec![0xaa; len];
        content.read_range(start, &mut part).unwrap();
        let start = usize::try_from(start).unwrap();
        assert!(part == whole[start..start + len], "{start}+{len}");
    }
    let mut over_the_end = vec![0xaa; 1024];
    content.read_range(content.capacity_bytes() - 512, &mut over_the_end).unwrap();
    assert_eq!(over_the_end[512..], [0; 512]);
}

#[test]
fn all_grains_of_all_disks_differ() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in [1, 2] {
        let content = seeded(65536 * 600, seed, 1.0, 1.0);
        let whole = raw(&content);
        for grain in whole.chunks(GRAIN_LEN) {
            assert!(seen.insert(grain.to_vec()));
        }
    }
}

#[test]
fn fill_is_met_and_counted() {
    let size = 65536 * 10_000;
    for (fill, expected) in [(0.0, 0..=0), (1.0, 10_000..=10_000), (0.25, 2_300..=2_700)] {
        let content = seeded(size, 5, fill, 0.5);
        let grains = content.populated_bytes().unwrap() / GRAIN_BYTES;
        assert!(expected.contains(&grains), "fill {fill}: {grains} grains");
    }
    assert_eq!(seeded(65536 + 512, 5, 1.0, 0.5).populated_bytes().unwrap(), 65536 + 512);
}

#[test]
fn a_terabyte_with_little_in_it_is_walked_in_bounded_steps() {
    let content = seeded(1 << 40, 9, 0.000_001, 0.5);
    let mut reader = GrainReader::new(Arc::clone(&content));
    let (mut grains, mut pauses) = (0, 0);
    loop {
        match reader.step().unwrap() {
            Step::End => break,
            Step::Nothing => pauses += 1,
            Step::Grain(..) => grains += 1,
        }
    }
    assert_eq!(grains * GRAIN_BYTES, content.populated_bytes().unwrap());
    assert!(pauses > 100, "{pauses}");
}

#[test]
fn the_bytes_of_a_seed_are_for_ever() {
    // Changing the generator would change what every recorded hash of a scenario means.
    let content = seeded(65536 * 64, 42, 0.5, 0.5);
    let sum = raw(&content).chunks(8).fold(0, |sum, word| mix(sum ^ u64::from_le_bytes(word.try_into().unwrap())));
    assert_eq!(sum, 0xeb3c_f584_f8b2_28c2, "{sum:#x}");
}

#[test]
fn a_file_is_followed_by_zeros() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut data = vec![0; 65536 * 2 + 100];
    random::fill(1, &mut data);
    data[..65536].fill(0);
    file.write_all(&data).unwrap();
    let content = open(65536 * 4 + 512, Content::File { path: file.path().to_owned() });
    let whole = raw(&content);
    assert!(whole[..data.len()] == data);
    assert!(whole[data.len()..].iter().all(|&byte| byte == 0));
    assert!(expanded(&content) == whole);
    assert_eq!(content.populated_bytes().unwrap(), 65536 * 2);
}

#[test]
fn a_file_that_is_longer_than_its_disk_or_not_there_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 513]).unwrap();
    for (path, word) in [(file.path().to_owned(), "513 bytes"), ("/nonexistent/x".into(), "/nonexistent/x")] {
        let content = Content::File { path };
        let disk = Disk::new(512, content);
        let error = DiskContent::open(&disk).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Inventory);
        assert!(error.to_string().contains(word), "{error}");
    }
}

fn delta(number: u32, share: u16) -> Delta {
    Delta { number, seed: 77 + u64::from(number), share }
}

#[test]
fn the_highest_link_that_wrote_a_grain_counts_and_else_the_disk_below() {
    let base = seeded(65536 * 60 + 512, 3, 0.4, 0.5);
    let (lower, upper) = (delta(1, 0x5000), delta(2, 0x3000));
    let (below, content) = (raw(&base), raw(&DiskContent::layered(&base, 1, &[lower, upper])));
    let mut seen = [0; 3];
    for (index, grain) in (0..).zip(content.chunks(GRAIN_LEN)) {
        let at = usize::try_from(index * GRAIN_BYTES).unwrap();
        let mut expected = below[at..at + grain.len()].to_vec();
        let writer = [upper, lower].into_iter().find(|delta| delta.wrote(1, index));
        if let Some(delta) = writer {
            delta.fill(1, index, &mut expected);
        }
        seen[usize::try_from(writer.map_or(0, |delta| delta.number)).unwrap()] += 1;
        assert!(grain == expected, "grain {index}");
    }
    assert!(seen.iter().all(|&grains| grains > 5), "{seen:?}");
}

#[test]
fn a_layered_disk_gives_the_same_bytes_as_stream_as_ranges_and_as_a_count() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[7; 65536 + 100]).unwrap();
    let bases = [
        seeded(65536 * 40 + 512, 11, 0.3, 0.5),
        seeded(65536 * 40, 11, 0.0, 0.5),
        open(65536 * 20 + 1024, Content::File { path: file.path().to_owned() }),
    ];
    for base in bases {
        let content = DiskContent::layered(&base, 0, &[delta(1, 0x4000), delta(2, 0x2000)]);
        let whole = raw(&content);
        assert!(whole == expanded(&content));
        let populated: usize = whole.chunks(GRAIN_LEN).filter(|g| g.iter().any(|&b| b != 0)).map(<[u8]>::len).sum();
        assert_eq!(content.populated_bytes().unwrap(), u64::try_from(populated).unwrap());
        for (start, len) in [(1, 9), (65530, 30), (70_000, 300_000), (65536, 65536)] {
            let mut part = vec![0xaa; len];
            content.read_range(start, &mut part).unwrap();
            let start = usize::try_from(start).unwrap();
            assert!(part == whole[start..start + len], "{start}+{len}");
        }
    }
}

#[test]
fn links_without_writes_are_the_disk_itself_and_others_are_another_disk() {
    let base = seeded(65536 * 40, 11, 0.3, 0.5);
    assert!(Arc::ptr_eq(&DiskContent::layered(&base, 0, &[]), &base));
    assert!(Arc::ptr_eq(&DiskContent::layered(&base, 0, &[delta(1, 0)]), &base));
    let layered = |disk, deltas: &[Delta]| DiskContent::layered(&base, disk, deltas);
    let all = [
        Arc::clone(&base),
        layered(0, &[delta(1, 9)]),
        layered(1, &[delta(1, 9)]),
        layered(0, &[delta(1, 8)]),
        layered(0, &[delta(2, 9)]),
        layered(0, &[delta(1, 9), delta(2, 9)]),
    ];
    let keys: std::collections::HashSet<_> = all.iter().map(|content| content.key()).collect();
    let fingerprints: std::collections::BTreeSet<_> = all.iter().map(|content| content.fingerprint()).collect();
    assert_eq!((keys.len(), fingerprints.len()), (all.len(), all.len()));
    // A merge renames links; the bytes stay.
    let renamed = Delta { number: 0, ..delta(1, 9) };
    assert_eq!(layered(0, &[renamed]).key(), layered(0, &[delta(1, 9)]).key());
}

#[test]
fn a_chain_over_a_large_empty_disk_is_walked_in_bounded_steps() {
    let base = seeded(64 << 30, 9, 0.0, 0.5);
    let content = DiskContent::layered(&base, 0, &[Delta { number: 1, seed: 5, share: 4 }]);
    let mut reader = GrainReader::new(Arc::clone(&content));
    let (mut grains, mut pauses) = (0, 0);
    loop {
        match reader.step().unwrap() {
            Step::End => break,
            Step::Nothing => pauses += 1,
            Step::Grain(..) => grains += 1,
        }
    }
    assert_eq!(grains * GRAIN_BYTES, content.populated_bytes().unwrap());
    assert!(grains > 20 && pauses > 0, "{grains} grains, {pauses} pauses");
}
