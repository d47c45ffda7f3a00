//! A guest's disk for the rows about images: text, programs and zeros, the same at every run.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

const MIB: usize = 1 << 20;

/// Of every 11 MiB of a disk so many are text, programs and zeros. A stream of it has some 3/11 of its size,
/// as that of a server that is half full.
const TEXT_MIB: usize = 4;
const PROGRAM_MIB: usize = 3;
const ZERO_MIB: usize = 4;

/// Words of a text: more than a window of deflate can hold, as in logs and documents.
const WORDS: usize = 20_000;

/// A generator that gives the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % limit
    }
}

/// Writes a raw disk of about `mib` MiB, sparse where it is zero, and returns its size in MiB.
pub(super) fn write(path: &Path, mib: usize) -> Result<usize> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    let mut out = BufWriter::with_capacity(MIB, file);
    let mut random = Random(7);
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| word(&mut random)).collect();
    let rounds = mib.div_ceil(TEXT_MIB + PROGRAM_MIB + ZERO_MIB).max(1);
    for _ in 0..rounds {
        for _ in 0..TEXT_MIB {
            out.write_all(&text(&mut random, &words))?;
        }
        for _ in 0..PROGRAM_MIB {
            out.write_all(&program(&mut random))?;
        }
        out.seek(SeekFrom::Current(i64::try_from(ZERO_MIB * MIB)?))?;
    }
    let mib = rounds * (TEXT_MIB + PROGRAM_MIB + ZERO_MIB);
    let file = out.into_inner().context("write the guest's disk")?;
    file.set_len(u64::try_from(mib * MIB)?).context("size the guest's disk")?;
    Ok(mib)
}

fn word(random: &mut Random) -> Vec<u8> {
    let len = 2 + random.below(9);
    let mut word: Vec<u8> = (0..len).map(|_| b'a' + u8::try_from(random.below(26)).unwrap_or_default()).collect();
    word.push(b' ');
    word
}

/// Returns 1 MiB of words; frequent ones come often, as in a language.
fn text(random: &mut Random, words: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::with_capacity(MIB + 16);
    while text.len() < MIB {
        let most = 1 + random.below(words.len());
        text.extend_from_slice(&words[random.below(most)]);
    }
    text.truncate(MIB);
    text
}

/// Returns 1 MiB like machine code: instructions of a small set with operands that vary.
fn program(random: &mut Random) -> Vec<u8> {
    let mut code = Vec::with_capacity(MIB + 16);
    while code.len() < MIB {
        let instruction = [0x48, 0x8b, 0x45, 0x89, 0xe8, 0x0f, 0x85, 0xc3][random.below(8)];
        code.extend_from_slice(&[0x48, instruction, 0xf8]);
        let operand = random.next().to_le_bytes();
        code.extend_from_slice(&operand[..1 + random.below(4)]);
    }
    code.truncate(MIB);
    code
}
