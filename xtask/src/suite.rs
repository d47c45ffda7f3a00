//! `./dev test`: the check, all tests, and a last line that counts them.
//!
//! The harness's own output passes through unchanged; its `test result:` lines are added up. Tests
//! that miss a judge say so in the file that `HYPER2KVM_SKIP_LOG` names.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, check, step};

/// Sums over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs everything.
pub(crate) fn run() -> Result<()> {
    step("build all programs", &mut cargo(&["build", "--workspace", "--bins"]))?;
    check::run()?;
    let log = tempfile()?;
    let (tally, success) = tests(&log)?;
    let skips = fs::read_to_string(&log).unwrap_or_default();
    fs::remove_file(&log).context("remove the skip log")?;
    report(&tally, &skips)?;
    if !success || tally.failed > 0 {
        bail!("the tests failed");
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn tempfile() -> Result<std::path::PathBuf> {
    let path = std::env::temp_dir().join(format!("hyper2kvm-skips-{}", std::process::id()));
    fs::write(&path, "").with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

fn tests(skip_log: &Path) -> Result<(Tally, bool)> {
    let mut child = cargo(&["test", "--workspace", "--no-fail-fast"])
        .env("HYPER2KVM_SKIP_LOG", skip_log)
        .stdout(Stdio::piped())
        .spawn()
        .context("run the tests")?;
    let output = child.stdout.take().context("read the tests' output")?;
    let mut tally = Tally::default();
    let mut stdout = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the tests' output")?;
        stdout.write_all(&line).and_then(|()| stdout.write_all(b"\n")).context("show the tests' output")?;
        tally.add(&String::from_utf8_lossy(&line));
    }
    let status = child.wait().context("wait for the tests")?;
    Ok((tally, status.success()))
}

fn report(tally: &Tally, skips: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let skipped = u64::try_from(skips.lines().count())? + tally.ignored;
    writeln!(stdout)?;
    for line in skips.lines() {
        writeln!(stdout, "skipped {line}")?;
    }
    // A test that skips itself counts as passed with the harness, so it is taken out again.
    let passed = tally.passed.saturating_sub(u64::try_from(skips.lines().count())?);
    writeln!(stdout, "{passed} passed, {} failed, {skipped} skipped", tally.failed)?;
    Ok(())
}

impl Tally {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_lines_are_added_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s");
        tally.add("test some::test ... ok");
        assert_eq!(tally, Tally { passed: 8, failed: 2, ignored: 1 });
    }
}
