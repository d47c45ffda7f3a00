//! `./dev test`: the check, all tests, and a last line that counts them.
//!
//! Tests that miss a judge say so in the file that `HYPER2KVM_SKIP_LOG` names; the harness takes
//! them for passed, so they are counted here.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::harness::{self, Tally};
use crate::{cargo, check, step};

/// How long each fuzz target runs in the tests.
const FUZZ_MS: &str = "10000";

/// Runs everything.
pub(crate) fn run() -> Result<()> {
    step("build all programs", &mut cargo(&["build", "--workspace", "--bins"]))?;
    let checks = check::run()?;
    let log = skip_log()?;
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.env("HYPER2KVM_SKIP_LOG", &log).env("HYPER2KVM_FUZZ_MS", FUZZ_MS);
    let tally = harness::run(&mut tests)?;
    let skips = fs::read_to_string(&log).context("read the skip log")?;
    fs::remove_file(&log).context("remove the skip log")?;
    std::io::stdout().lock().write_all(summary(&tally, &checks, &skips).as_bytes()).context("show the summary")?;
    if tally.failed > 0 {
        bail!("the tests failed");
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn skip_log() -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("hyper2kvm-skips-{}", std::process::id()));
    fs::write(&path, "").with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

/// Returns the closing lines: what failed, what was skipped and why, and the counts.
///
/// A test may miss several judges, each with a line in `skips`; it is one skipped test all the same.
fn summary(tally: &Tally, checks: &[String], skips: &str) -> String {
    let lines: BTreeSet<&str> = skips.lines().collect();
    let names: BTreeSet<&str> = lines.iter().map(|line| line.split(": ").next().unwrap_or(line)).collect();
    let mut text = "\n".to_owned();
    for name in &tally.failures {
        text += &format!("failed {name}\n");
    }
    for line in checks.iter().chain(&tally.ignored).map(String::as_str).chain(lines) {
        text += &format!("skipped {line}\n");
    }
    let passed = usize::try_from(tally.passed).unwrap_or(usize::MAX).saturating_sub(names.len());
    let skipped = checks.len() + tally.ignored.len() + names.len();
    text + &format!("{passed} passed, {} failed, {skipped} skipped\n", tally.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_misses_two_judges_is_skipped_once_and_not_passed() {
        let tally = Tally { passed: 9, ignored: vec!["slow: hours".into()], ..Tally::default() };
        let skips = "reads: no qemu-img\nreads: no govc\nlists: no vcsim\n";
        let expected = "\nskipped check licences: no cargo-deny\nskipped slow: hours\nskipped lists: no vcsim\n\
                        skipped reads: no govc\nskipped reads: no qemu-img\n7 passed, 0 failed, 4 skipped\n";
        assert_eq!(summary(&tally, &["check licences: no cargo-deny".into()], skips), expected);
    }

    #[test]
    fn what_failed_is_named_above_the_counts() {
        let tally = Tally { passed: 2, failed: 1, failures: vec!["a::b".into()], ..Tally::default() };
        assert_eq!(summary(&tally, &[], ""), "\nfailed a::b\n2 passed, 1 failed, 0 skipped\n");
    }
}
