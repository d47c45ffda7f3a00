//! No source file becomes a centre that everything passes through.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Longest source file. Nine in ten should stay far below.
const LINES_MAX: usize = 600;

/// Written by generators, whatever their length.
const GENERATED: &[&str] = &["crates/vsphere/src/wire/generated.rs"];

/// Checks all Rust files of the workspace.
pub(super) fn run() -> Result<()> {
    let mut long = Vec::new();
    for folder in ["crates", "xtask"] {
        look(Path::new(folder), &mut long)?;
    }
    if !long.is_empty() {
        bail!("files of more than {LINES_MAX} lines; is each still one thing?\n  {}", long.join("\n  "));
    }
    Ok(())
}

fn look(folder: &Path, long: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    for path in paths {
        if path.is_dir() {
            look(&path, long)?;
        } else if path.extension().is_some_and(|end| end == "rs") && !GENERATED.iter().any(|name| path.ends_with(name))
        {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let lines = text.lines().count();
            if lines > LINES_MAX {
                long.push(format!("{}: {lines}", path.display()));
            }
        }
    }
    Ok(())
}
