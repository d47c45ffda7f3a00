//! The fuzz targets, for a moment: the committed corpora and changes of them.
//!
//! The long runs are libFuzzer's (`./dev soak fuzz`). `HYPER2KVM_FUZZ_MS` says how long each target
//! runs here; without it each runs a number of inputs that costs about a second.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../../fuzz/targets.rs"]
pub(crate) mod targets;

/// Inputs of each target when no time is given.
const INPUTS: u64 = 3_000;

/// Longest input that changes make.
const INPUT_BYTES_MAX: usize = 1 << 20;

macro_rules! smokes {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                smoke(stringify!($name));
            }
        )*

        #[test]
        fn every_target_has_a_smoke_and_a_binary() {
            let smokes = [$(stringify!($name)),*];
            let targets: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(smokes[..], targets[..]);
            let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
            for name in targets {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
                assert!(folder().join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no binary");
            }
        }
    };
}

smokes!(
    href,
    manifest,
    ovf,
    package,
    qcow2,
    tar,
    vmdk_descriptor,
    vmdk_header,
    vmdk_read,
    vmdk_stream,
    vmdk_write,
    vmsd,
    vmx,
    zip
);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn smoke(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let end =
        std::env::var("HYPER2KVM_FUZZ_MS").ok().map(|ms| Instant::now() + Duration::from_millis(ms.parse().unwrap()));
    let mut choice = Choice(0x6879_7065_7232_6b76);
    let mut inputs = 0;
    for input in &corpus {
        run(name, *target, input);
    }
    while end.map_or(inputs < INPUTS, |end| Instant::now() < end) {
        let mut input = corpus[choice.below(corpus.len())].clone();
        for _ in 0..=choice.below(8) {
            change(&mut input, &corpus, &mut choice);
        }
        run(name, *target, &input);
        inputs += 1;
    }
    assert!(inputs > 0, "{name} had no time");
}

/// Runs one input; one that makes the target panic is kept in a file, for a test of its own.
fn run(name: &str, target: targets::Target, input: &[u8]) {
    if catch_unwind(|| target(input)).is_err() {
        let path = std::env::temp_dir().join(format!("hyper2kvm-fuzz-{name}-{}", std::process::id()));
        fs::write(&path, input).unwrap();
        panic!("{name} panics on the input in {}", path.display());
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder().join("corpus").join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes an input in one of the ways that parsers trip over.
fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], choice: &mut Choice) {
    const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x8000, 0xffff_ffff, 1 << 63, u64::MAX];
    let at = choice.below(input.len() + 1);
    match choice.below(8) {
        0 if at < input.len() => input[at] ^= 1 << choice.below(8),
        1 if at < input.len() => input[at] = choice.byte(),
        2 | 3 => {
            let width = [1, 2, 4, 8][choice.below(4)];
            let number = NUMBERS[choice.below(NUMBERS.len())].wrapping_add(u64::from(choice.byte() % 3)).to_le_bytes();
            if let Some(field) = input.get_mut(at..at + width) {
                field.copy_from_slice(&number[..width]);
            }
        }
        4 => input.truncate(at),
        5 => {
            let end = (at + choice.below(600)).min(input.len());
            input.drain(at..end);
        }
        6 => {
            let other = &corpus[choice.below(corpus.len())];
            let start = choice.below(other.len() + 1);
            let end = (start + choice.below(600)).min(other.len());
            input.splice(at..at, other[start..end].iter().copied());
        }
        _ => {
            let end = (at + choice.below(600)).min(input.len());
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
    }
    input.truncate(INPUT_BYTES_MAX);
}

/// Repeatable choices (SplitMix64).
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}
