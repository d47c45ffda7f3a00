//! What is written where, by how many, and at which cost.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use diskimage::ErrorKind;
use diskimage::image::{Disk as _, ExtentKind, extents};
use diskimage::output::{FileOutput, MemoryOutput};
use diskimage::qcow2::write::{Compression, Options, Qcow2Writer};
use proptest::collection::vec;
use proptest::prelude::*;

use super::disk::{COMPRESSIONS, options, read_back, reader};
use super::judge::{judge, judge_present};
use crate::writers::{Call, Model, Random, whole};

const CLUSTER: usize = 65536;

#[test]
fn zeros_are_not_written_and_clusters_of_zeros_are_not_there() {
    for compression in [None, Some(Compression::Zstd)] {
        let output = MemoryOutput::default();
        let writer = Qcow2Writer::create(output.clone(), &options(10 * CLUSTER, compression)).unwrap();
        let mut bytes = vec![0; 10 * CLUSTER];
        bytes[2 * CLUSTER + 5000] = 1;
        writer.write_at(0, &bytes).unwrap();
        writer.write_zeroes(0, 2 * 65536).unwrap();
        writer.write_at(3 * 65536 + 7, &bytes[..100_000]).unwrap();
        assert!(output.calls().written_bytes <= 4096, "one block: {compression:?}");
        assert_eq!(output.calls().zeroes, 0);
        let stats = writer.finish().unwrap();
        assert_eq!(stats.plain_clusters + stats.compressed_clusters, 1);
        assert_eq!(output.calls().written_zero_blocks, 0);
        assert_eq!(output.calls().syncs, 2);
        assert!(read_back(output.contents()) == bytes);
    }
}

#[test]
fn a_cluster_that_was_zeroed_is_gone_and_its_room_is_used_again() {
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(10 * CLUSTER, None)).unwrap();
    for _ in 0..20 {
        writer.write_at(0, &vec![1; 4 * CLUSTER]).unwrap();
        writer.write_zeroes(0, 4 * 65536).unwrap();
    }
    writer.write_at(5 * 65536, &vec![2; 4 * CLUSTER]).unwrap();
    let stats = writer.finish().unwrap();
    assert_eq!((stats.plain_clusters, stats.file_bytes), (4, (1 + 4 + 4) * 65536));
}

#[test]
fn what_comes_together_lies_together() {
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(64 * CLUSTER, None)).unwrap();
    let bytes = vec![7; 16 * CLUSTER];
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (writer, bytes) = (&writer, &bytes);
            scope.spawn(move || writer.write_at(part * 16 * 65536, bytes).unwrap());
        }
    });
    writer.finish().unwrap();
    let file = output.contents();
    let table = file.len() - 4 * CLUSTER;
    let entry = |cluster: usize| u64::from_be_bytes(file[table + cluster * 8..][..8].try_into().unwrap());
    for cluster in (0..64).filter(|cluster| cluster % 16 != 15) {
        assert_eq!(entry(cluster + 1), entry(cluster) + 65536, "cluster {cluster}");
    }
}

#[test]
fn pieces_that_come_front_to_back_are_compressed_once() {
    for compression in [Compression::Deflate, Compression::Zstd] {
        let text: Vec<u8> = (0..20 * CLUSTER).map(|at| b'a' + u8::try_from(at / 90 % 26).unwrap()).collect();
        let file_bytes = |piece: usize| {
            let output = MemoryOutput::default();
            let writer = Qcow2Writer::create(output.clone(), &options(20 * CLUSTER, Some(compression))).unwrap();
            for (offset, bytes) in (0..).step_by(piece).zip(text.chunks(piece)) {
                writer.write_at(offset, bytes).unwrap();
            }
            let stats = writer.finish().unwrap();
            assert_eq!((stats.plain_clusters, stats.compressed_clusters), (0, 20));
            assert!(read_back(output.contents()) == text);
            stats.file_bytes
        };
        assert_eq!(file_bytes(1000), file_bytes(20 * CLUSTER), "{compression:?}");
    }
}

#[test]
fn pieces_of_many_clusters_are_sent_off_where_there_is_no_room_but_not_the_one_in_work() {
    let options = |staged_bytes_max| Options { staged_bytes_max, ..options(8 * CLUSTER, Some(Compression::Zstd)) };
    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(2 * CLUSTER)).unwrap();
    for cluster in 0..8 {
        writer.write_at(cluster * 65536, &[7; 1000]).unwrap();
    }
    assert_eq!(output.calls().writes, 6);

    let output = MemoryOutput::default();
    let writer = Qcow2Writer::create(output.clone(), &options(0)).unwrap();
    for piece in 0..64 {
        writer.write_at(piece * 1024, &[7; 1024]).unwrap();
    }
    assert_eq!(output.calls().writes, 1);
}

#[test]
fn many_writers_and_commits_beside_them_lose_nothing() {
    for compression in COMPRESSIONS {
        let capacity = 32 * CLUSTER;
        let contents = Random::new(9).bytes(capacity);
        let output = MemoryOutput::default();
        let writer = Qcow2Writer::create(output.clone(), &options(capacity, compression)).unwrap();
        let list = Mutex::new(Vec::new());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let committer = scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    list.lock().unwrap().push(writer.commit().unwrap());
                }
            });
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    // Neighbours share clusters.
                    let pieces: Vec<_> =
                        (0..).step_by(10_000).zip(contents.chunks(10_000)).skip(thread).step_by(4).collect();
                    let writer = &writer;
                    scope.spawn(move || {
                        pieces.iter().for_each(|(offset, bytes)| writer.write_at(*offset, bytes).unwrap());
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            done.store(true, Ordering::Release);
            committer.join().unwrap();
        });
        let mut list = list.into_inner().unwrap();
        list.push(writer.commit().unwrap());
        drop(writer);
        output.crash(4);
        let writer = Qcow2Writer::reopen(output.clone(), &options(capacity, compression), &list).unwrap();
        let mut found = vec![0; capacity];
        writer.read_at(0, &mut found).unwrap();
        assert!(found == contents, "{compression:?}: all was committed");
        writer.finish().unwrap();
        assert!(read_back(output.contents()) == contents, "{compression:?}");
    }
}

/// Writes one byte to each cluster of a disk, in an order without neighbours.
fn scattered(writer: &Qcow2Writer, clusters: u64) {
    for number in 0..clusters {
        writer.write_at(number * 7919 % clusters * 65536 + number % 60_000, &[1]).unwrap();
    }
}

#[test]
fn changes_that_are_too_many_for_a_checkpoint_go_into_the_image() {
    let clusters = 20_011;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow2");
    let open = || {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        FileOutput::new(file).unwrap()
    };
    let options = Options::new(clusters * 65536);
    let writer = Qcow2Writer::create(open(), &options).unwrap();
    scattered(&writer, clusters);
    let first = writer.commit().unwrap();
    assert!(first.len() < 100, "{} bytes that say where the changes are", first.len());
    writer.write_at(0, &[2; 100]).unwrap();
    let second = writer.commit().unwrap();
    drop(writer);
    // Twice, because what the first life put there must outlive the second.
    for _ in 0..2 {
        let writer = Qcow2Writer::reopen(open(), &options, &[&first, &second]).unwrap();
        writer.write_at(70_000, &[3; 100]).unwrap();
        let mut found = [0; 1];
        for number in 0..clusters {
            let (cluster, within) = (number * 7919 % clusters, number % 60_000);
            writer.read_at(cluster * 65536 + within, &mut found).unwrap();
            assert!(found[0] != 0, "cluster {cluster}");
        }
    }
    let writer = Qcow2Writer::reopen(open(), &options, &[&first, &second]).unwrap();
    let stats = writer.finish().unwrap();
    assert_eq!(stats.plain_clusters, clusters);
    if judge_present("changes_that_are_too_many_for_a_checkpoint_go_into_the_image") {
        super::judge::qemu_img(folder.path(), &["check", "-f", "qcow2", "disk.qcow2"]);
    }
    let mut file = std::fs::read(&path).unwrap();
    file.truncate(65536);
    assert!(reader(file).is_err());
}

#[test]
fn a_terabyte_with_little_in_it_costs_little() {
    for cluster_bytes in [65536, 2 << 20] {
        let file = tempfile::tempfile().unwrap();
        let output = FileOutput::new(file.try_clone().unwrap()).unwrap();
        let capacity_bytes = 1 << 40;
        let options = Options { cluster_bytes, ..Options::new(capacity_bytes) };
        let writer = Qcow2Writer::create(output, &options).unwrap();
        writer.write_zeroes(0, capacity_bytes).unwrap();
        for place in [0, 1 << 39, capacity_bytes - 1] {
            writer.write_at(place, &[1]).unwrap();
        }
        writer.write_zeroes(1 << 20, capacity_bytes - (1 << 21)).unwrap();
        assert!(writer.commit().unwrap().len() < 200);
        let stats = writer.finish().unwrap();
        assert_eq!(stats.plain_clusters, 2);
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), stats.file_bytes);
        assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
        let source = diskimage::image::FileSource::new(file, "disk.qcow2").unwrap();
        let reader =
            diskimage::qcow2::read::Qcow2Reader::open(std::sync::Arc::new(source), Default::default()).unwrap();
        let data =
            extents(&reader, 0..reader.capacity_bytes()).filter(|e| e.as_ref().unwrap().kind == ExtentKind::Data);
        assert_eq!(data.count(), 2);
    }
}

#[test]
fn ranges_outside_of_the_disk_are_refused_without_effect() {
    let writer = Qcow2Writer::create(MemoryOutput::default(), &options(3 * 512, None)).unwrap();
    for offset in [1535, 1536, u64::MAX] {
        assert_eq!(writer.write_at(offset, &[1, 1]).unwrap_err().kind(), ErrorKind::Misuse);
        assert_eq!(writer.write_zeroes(offset, 2).unwrap_err().kind(), ErrorKind::Misuse);
        assert_eq!(writer.read_at(offset, &mut [0; 2]).unwrap_err().kind(), ErrorKind::Misuse);
    }
    assert!(writer.write_at(u64::MAX, &[]).is_ok() && writer.write_zeroes(u64::MAX, 0).is_ok());
    writer.write_at(1534, &[1, 1]).unwrap();
    writer.finish().unwrap();
}

#[test]
fn an_image_that_crashed_is_clean_after_its_end() {
    if !judge_present("an_image_that_crashed_is_clean_after_its_end") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let capacity = 9 * CLUSTER + 512;
    for (seed, compression) in (0..).zip(COMPRESSIONS.into_iter().cycle().take(12)) {
        let output = MemoryOutput::default();
        let options = options(capacity, compression);
        let mut random = Random::new(seed);
        let mut model = Model::new(capacity);
        for _ in 0..4 {
            let writer = Qcow2Writer::reopen(output.clone(), &options, &model.list()).unwrap();
            for _ in 0..12 {
                model.apply(&writer, &Call::random(&mut random, capacity)).unwrap();
            }
            if random.one_in(3) {
                writer.finish().unwrap();
            }
            output.crash(random.next());
            model.crash(model.checkpoints.len());
        }
        let writer = Qcow2Writer::reopen(output.clone(), &options, &model.list()).unwrap();
        model.complete(&writer, &mut random).unwrap();
        writer.finish().unwrap();
        std::fs::write(folder.path().join("disk.qcow2"), output.contents()).unwrap();
        judge(folder.path(), "disk.qcow2", &model.values, &format!("{compression:?}, seed {seed}"));
    }
}

fn call(capacity: usize) -> impl Strategy<Value = Call> {
    let range = (0..capacity, 1..200_000_usize).prop_map(move |(start, len)| start..capacity.min(start + len));
    let write = (range.clone(), any::<u64>())
        .prop_map(|(range, seed)| Call::Write { offset: range.start, bytes: Random::new(seed).bytes(range.len()) });
    prop_oneof![4 => write, 1 => range.prop_map(|range| Call::Zeroes { range }), 1 => Just(Call::Commit)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_calls_give_the_image_that_the_model_has(
        calls in vec(call(7 * CLUSTER + 1024), 0..20),
        kind in 0..4_usize,
        crash_after in 0..20_usize,
        crash_seed: u64,
    ) {
        let capacity = 7 * CLUSTER + 1024;
        let options = options(capacity, COMPRESSIONS[kind]);
        let output = MemoryOutput::default();
        let mut model = Model::new(capacity);
        let mut writer = Qcow2Writer::create(output.clone(), &options).unwrap();
        for (number, call) in calls.iter().enumerate() {
            model.apply(&writer, call).unwrap();
            if number == crash_after {
                drop(writer);
                output.crash(crash_seed);
                model.crash(model.checkpoints.len());
                writer = Qcow2Writer::reopen(output.clone(), &options, &model.list()).unwrap();
            }
        }
        model.check_writer(&writer, "through the writer");
        writer.finish().unwrap();
        let reader = reader(output.contents()).unwrap();
        model.check(&whole(&reader), "through the reader");
    }
}
