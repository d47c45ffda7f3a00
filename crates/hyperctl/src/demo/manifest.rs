//! Reads an OVF manifest and every file that it names, and compares.
//!
//! Written here a second time on purpose: who receives a package shares no code with who made it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::exit::Exit;
use crate::failure::Failure;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A file that is as its manifest says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
}

/// Compares every file that `manifest` names with its hash.
pub(crate) fn verify(manifest: &Path) -> Result<Vec<Checked>, Failure> {
    let wrong = |reason: String| Failure::new(Exit::Verification, format!("verify {}: {reason}", manifest.display()));
    let text = std::fs::read_to_string(manifest).map_err(|reason| wrong(reason.to_string()))?;
    let entries = parse(&text).map_err(|line| wrong(format!("line {line} is not of the form SHA256(name)= hash")))?;
    if entries.is_empty() {
        return Err(wrong("it names no file".to_owned()));
    }
    let check = |(name, expected): (&str, &str)| {
        let (sha256, size_bytes) =
            hash(&manifest.with_file_name(name)).map_err(|reason| wrong(format!("read {name}: {reason}")))?;
        if !sha256.eq_ignore_ascii_case(expected) {
            return Err(wrong(format!("{name} has the SHA-256 {sha256}, not {expected}")));
        }
        Ok(Checked { name: name.to_owned(), size_bytes, sha256 })
    };
    entries.into_iter().map(check).collect()
}

/// Returns names and hashes, or the number of the first line that is wrong.
fn parse(text: &str) -> Result<Vec<(&str, &str)>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| entry(line).ok_or(at + 1)).collect()
}

fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, hash) = line.strip_prefix("SHA256(")?.rsplit_once(")=")?;
    let hash = hash.trim();
    let is_plain = !name.is_empty() && !name.contains('/') && name != "..";
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_plain && is_hash).then_some((name, hash))
}

fn hash(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size_bytes = 0u64;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        size_bytes += u64::try_from(read).unwrap_or(u64::MAX);
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of "abc" (FIPS 180-2, B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn right_files_are_named_with_size_and_hash() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a (1).vmdk"), "abc").unwrap();
        let manifest = directory.path().join("a.mf");
        std::fs::write(&manifest, format!("SHA256(a (1).vmdk)= {}\r\n\n", ABC.to_uppercase())).unwrap();
        let checked = Checked { name: "a (1).vmdk".into(), size_bytes: 3, sha256: ABC.into() };
        assert_eq!(verify(&manifest).unwrap(), [checked]);
    }

    #[test]
    fn damage_and_lies_are_found() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "abd").unwrap();
        let manifest = directory.path().join("a.mf");
        for text in [
            String::new(),
            format!("SHA256(a)= {ABC}\n"),
            format!("SHA256(missing)= {ABC}\n"),
            format!("SHA256(../a)= {ABC}\n"),
            format!("SHA1(a)= {ABC}\n"),
            "SHA256(a)= ba78\n".to_owned(),
        ] {
            std::fs::write(&manifest, &text).unwrap();
            let exit = verify(&manifest).expect_err(&text).print(crate::console::Console::standard());
            assert_eq!(exit, Exit::Verification, "{text}");
        }
    }
}
