//! What a journal promises after a crash or damage: a prefix of what was committed, or a refusal.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use transfer::chunk::{ChunkValue, Chunks, DiskHasher};
use transfer::journal::{COMMIT_ENTRIES_MAX, Commit, Entry, Header, Journal, MemoryStore, Source, SourceFile, inspect};
use transfer::{Checkpoint, ErrorKind};

const CHUNK: u64 = 4096;
const CAPACITY: u64 = 9 * CHUNK + 512;

fn header() -> Header {
    Header {
        source: Source {
            vm: "503c1f0e-0000-4000-8000-00000000000a".into(),
            disk: "2000".into(),
            uuid: "6000C29a-7d8c-4a5b-9e3f-000000000001".into(),
            capacity_bytes: CAPACITY,
            change_id: Some("52 0a/17".into()),
            files: vec![SourceFile {
                name: "[ds1] web01/web01-flat.vmdk".into(),
                size_bytes: CAPACITY,
                modified: "Tue, 24 Nov 2026 10:00:00 GMT".into(),
            }],
        },
        road: "folder".into(),
        format: "qcow2".into(),
        parameters: BTreeMap::from([("cluster".into(), "65536".into())]),
        chunk_bytes: CHUNK,
    }
}

fn commit(entries: Vec<Entry>, checkpoint: &[u8]) -> Commit {
    Commit { entries, checkpoint: Checkpoint::new(checkpoint.to_vec()).unwrap() }
}

fn part(chunk: u64, len_bytes: u64, seed: u8) -> Entry {
    let value = if seed == 0 { ChunkValue::Zero } else { ChunkValue::of(&[seed; 100]) };
    Entry::Part { chunk, len_bytes, value }
}

/// Three commits with every sort of entry.
fn commits() -> [Commit; 3] {
    [
        commit(vec![part(0, CHUNK, 1), Entry::Zero { first: 4, count: 3 }], b"first"),
        commit(vec![part(1, 512, 2), part(2, 1024, 0)], b""),
        commit(vec![part(1, CHUNK, 3), part(9, 512, 4)], &[7; 300]),
    ]
}

fn written() -> Vec<u8> {
    let store = MemoryStore::default();
    let mut journal = Journal::create(store.clone(), &header()).unwrap();
    commits().iter().for_each(|commit| journal.append(commit).unwrap());
    store.contents()
}

#[test]
fn what_was_committed_is_read_back_and_the_journal_goes_on() {
    let store = MemoryStore::holding(&written());
    let (mut journal, recovered) = Journal::open(store.clone()).unwrap();
    assert_eq!((recovered.header, recovered.cut_bytes), (header(), 0));
    assert_eq!(recovered.checkpoints, commits().map(|commit| commit.checkpoint));
    let progress = &recovered.progress;
    assert_eq!(progress.missing(), [2 * CHUNK + 1024..4 * CHUNK, 7 * CHUNK..9 * CHUNK]);
    assert_eq!(progress.done_bytes(), 2 * CHUNK + 1024 + 3 * CHUNK + 512);
    assert_eq!(progress.chunk(1).unwrap().value, ChunkValue::of(&[3; 100]), "the later entry counts");
    assert_eq!(progress.digest(), None);
    journal
        .append(&commit(vec![part(2, CHUNK, 5), part(3, CHUNK, 0), part(7, CHUNK, 6), part(8, CHUNK, 7)], b"x"))
        .unwrap();
    let whole = inspect(&store.contents()).unwrap().progress;
    assert_eq!(whole.missing(), []);
    let mut hasher = DiskHasher::new(Chunks::new(CAPACITY, CHUNK).unwrap());
    (0..10).for_each(|index| hasher.update(whole.chunk(index).unwrap().value));
    assert!(whole.digest().is_some());
    assert_eq!(whole.digest(), hasher.finish());
}

#[test]
fn a_crash_during_an_append_takes_that_commit_alone_whatever_part_of_it_was_written() {
    let [first, second, third] = commits();
    for torn_bytes in 0..500 {
        let store = MemoryStore::default();
        let mut journal = Journal::create(store.clone(), &header()).unwrap();
        journal.append(&first).unwrap();
        let before = store.contents();
        journal.append(&second).unwrap();
        let appended = store.contents()[before.len()..].to_vec();
        let torn = MemoryStore::holding(&[&before[..], &appended[..torn_bytes.min(appended.len() - 1)]].concat());
        let (mut journal, recovered) = Journal::open(torn.clone()).unwrap();
        assert_eq!(recovered.checkpoints, std::slice::from_ref(&first.checkpoint), "torn at {torn_bytes}");
        assert_eq!(torn.contents(), before, "the torn end is cut off");
        journal.append(&third).unwrap();
        let checkpoints = inspect(&torn.contents()).unwrap().checkpoints;
        assert_eq!(checkpoints, [&first, &third].map(|commit| commit.checkpoint.clone()));
    }
}

#[test]
fn what_an_append_has_returned_survives_a_crash_that_drops_all_unsynced_bytes() {
    let store = MemoryStore::default();
    let mut journal = Journal::create(store.clone(), &header()).unwrap();
    for (count, commit) in (1..).zip(commits()) {
        journal.append(&commit).unwrap();
        store.crash(0);
        assert_eq!(inspect(&store.contents()).unwrap().checkpoints.len(), count);
    }
}

#[test]
fn damage_anywhere_gives_a_prefix_or_a_refusal_and_never_another_story() {
    let whole = written();
    let story = inspect(&whole).unwrap();
    let check = |damaged: &[u8], what: &str| match inspect(damaged) {
        Ok(read) => {
            assert_eq!(read.header, story.header, "{what}");
            assert!(story.checkpoints.starts_with(&read.checkpoints), "{what}");
            assert!(read.checkpoints.len() < 3 || damaged.len() > whole.len(), "{what}: damage was not seen");
            let mut model = transfer::journal::Progress::new(read.header.chunks().unwrap());
            commits()[..read.checkpoints.len()].iter().for_each(|commit| model.apply(commit));
            assert_eq!(read.progress, model, "{what}");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Checkpoint, "{what}"),
    };
    for at in 0..whole.len() {
        check(&whole[..at], &format!("truncated at {at}"));
        for bit in [0x01, 0x80] {
            let mut flipped = whole.clone();
            flipped[at] ^= bit;
            check(&flipped, &format!("flipped {bit:#x} at {at}"));
        }
        if at + 1 < whole.len() {
            check(&[&whole[..at], &whole[at + 1..]].concat(), &format!("a byte deleted at {at}"));
        }
    }
    check(&[&whole[..], &[0; 4096]].concat(), "zeros behind the end");
}

#[test]
fn an_empty_or_foreign_file_is_no_journal() {
    for bytes in [&b""[..], b"h2kvmjn1", b"h2kvmjn2 and more", &[0; 100]] {
        let error = Journal::open(MemoryStore::holding(bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
    }
}

#[test]
fn entries_that_do_not_fit_the_disk_are_refused_without_effect() {
    let store = MemoryStore::default();
    let mut journal = Journal::create(store.clone(), &header()).unwrap();
    let before = store.contents();
    for entry in [
        part(9, 513, 1),
        part(10, 1, 1),
        part(0, 0, 1),
        Entry::Zero { first: 9, count: 2 },
        Entry::Zero { first: u64::MAX, count: 2 },
        Entry::Zero { first: 0, count: 0 },
    ] {
        let error = journal.append(&commit(vec![entry], b"")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bounds);
    }
    let many = vec![part(0, 1, 1); COMMIT_ENTRIES_MAX + 1];
    assert_eq!(journal.append(&commit(many, b"")).unwrap_err().kind(), ErrorKind::Bounds);
    assert_eq!(store.contents(), before);
    journal.append(&commits()[0]).unwrap();
}

#[test]
fn a_commit_with_as_much_as_it_may_have_is_read_back() {
    let store = MemoryStore::default();
    let mut header = header();
    header.source.capacity_bytes = 1 << 50;
    let mut journal = Journal::create(store.clone(), &header).unwrap();
    let entries: Vec<_> = (0..COMMIT_ENTRIES_MAX as u64).map(|chunk| part(chunk, CHUNK, 9)).collect();
    let largest = commit(entries, &[1; transfer::sink::CHECKPOINT_BYTES_MAX]);
    journal.append(&largest).unwrap();
    let read = inspect(&store.contents()).unwrap();
    assert_eq!((read.checkpoints.len(), read.cut_bytes), (1, 0));
}

#[test]
fn a_change_of_anything_that_matters_is_named_with_both_values() {
    let then = header();
    assert_eq!(then.differences(&then), []);
    let mut now = header();
    now.source.change_id = None;
    now.source.files[0].modified = "later".into();
    now.parameters.insert("compress".into(), "zstd".into());
    now.source.capacity_bytes += 512;
    let differences = then.differences(&now);
    let what: Vec<_> = differences.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(what, ["capacity", "change id", "file [ds1] web01/web01-flat.vmdk", "compress"]);
    assert_eq!((differences[1].then.as_str(), differences[1].now.as_str()), ("52 0a/17", "none"));
    assert!(differences[2].now.contains("later"));
}

/// Old journals are read for ever: this one was written by the first version.
#[test]
fn the_journal_of_the_first_version_is_still_written_and_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/journal-1.bin");
    let sample = fs::read(path).unwrap();
    assert_eq!(sample, written(), "the format has changed: it needs another magic and a reader for the old one");
    let read = inspect(&sample).unwrap();
    assert_eq!((read.header, read.checkpoints.len()), (header(), 3));
}

/// What a chunk holds, by a plain vector.
type Model = Vec<Option<(u64, ChunkValue)>>;

fn apply(model: &mut Model, chunks: Chunks, entry: &Entry) {
    match *entry {
        Entry::Zero { first, count } => {
            for index in first..first + count {
                model[usize::try_from(index).unwrap()] = Some((chunks.len_bytes(index), ChunkValue::Zero));
            }
        }
        Entry::Part { chunk, len_bytes, value } => {
            model[usize::try_from(chunk).unwrap()] = Some((len_bytes, value));
        }
    }
}

fn entries() -> impl Strategy<Value = Entry> {
    let zero = (0_u64..10, 1_u64..10).prop_map(|(first, count)| Entry::Zero { first, count: count.min(10 - first) });
    let parts = (0_u64..10, 1_u64..=CHUNK, 0_u8..4).prop_map(|(chunk, len_bytes, seed)| {
        let len_bytes = if chunk == 9 { len_bytes.min(512) } else { len_bytes };
        part(
            chunk,
            if len_bytes % 2 == 0 { len_bytes } else { Chunks::new(CAPACITY, CHUNK).unwrap().len_bytes(chunk) },
            seed,
        )
    });
    prop_oneof![zero, parts]
}

proptest! {
    #[test]
    fn the_fold_agrees_with_a_plain_vector(list in prop::collection::vec(entries(), 0..40)) {
        let chunks = Chunks::new(CAPACITY, CHUNK).unwrap();
        let store = MemoryStore::default();
        let mut journal = Journal::create(store.clone(), &header()).unwrap();
        let mut model: Model = vec![None; 10];
        for group in list.chunks(3) {
            journal.append(&commit(group.to_vec(), b"c")).unwrap();
            group.iter().for_each(|entry| apply(&mut model, chunks, entry));
        }
        let progress = inspect(&store.contents()).unwrap().progress;
        let mut covered = vec![false; usize::try_from(CAPACITY).unwrap()];
        for (index, state) in (0..).zip(&model) {
            prop_assert_eq!(progress.chunk(index).map(|state| (state.len_bytes, state.value)), *state);
            let start = chunks.range(index).start;
            for at in start..start + state.map_or(0, |(len, _)| len) {
                covered[usize::try_from(at).unwrap()] = true;
            }
        }
        let missing = progress.missing();
        prop_assert!(missing.windows(2).all(|pair| pair[0].end < pair[1].start), "{:?}", missing);
        for (at, &covered) in (0..).zip(&covered) {
            prop_assert_eq!(missing.iter().any(|range| range.contains(&at)), !covered, "at {}", at);
        }
        let done = covered.iter().filter(|&&covered| covered).count() as u64;
        prop_assert_eq!(progress.done_bytes(), done);
        prop_assert_eq!(progress.digest().is_some(), done == CAPACITY);
    }
}
