//! Runs `cargo test` and counts what the test harness says.
//!
//! Its output passes through unchanged. What it does not say is counted too: a test program that
//! does not build, or that dies before its own last line, is a failure.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Sums over all test programs of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests with `#[ignore]`, each as `name: reason`.
    pub(crate) ignored: Vec<String>,
    /// Names of the tests that failed.
    pub(crate) failures: Vec<String>,
}

/// Runs `test`, a `cargo test` command, to its end.
///
/// # Errors
/// When it cannot be started or read; failing tests are no error but counted.
pub(crate) fn run(test: &mut Command) -> Result<Tally> {
    let mut child = test.stdout(Stdio::piped()).spawn().context("start the tests")?;
    let output = child.stdout.take().context("read the tests' output")?;
    let mut tally = Tally::default();
    let mut stdout = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the tests' output")?;
        stdout.write_all(&line).and_then(|()| stdout.write_all(b"\n")).context("show the tests' output")?;
        tally.add(&String::from_utf8_lossy(&line));
    }
    let status = child.wait().context("wait for the tests")?;
    tally.end(status.success());
    Ok(tally)
}

impl Tally {
    /// Adds a line of the harness: one test's, or one program's sum.
    fn add(&mut self, line: &str) {
        if let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            for count in counts.split("; ") {
                match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                    Some((Ok(number), "passed")) => self.passed += number,
                    Some((Ok(number), "failed")) => self.failed += number,
                    _ => {}
                }
            }
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            if verdict == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = verdict.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ");
                let reason = if reason.is_empty() { "ignored without a reason" } else { reason };
                self.ignored.push(format!("{name}: {reason}"));
            }
        }
    }

    /// Takes how cargo itself ended.
    fn end(&mut self, success: bool) {
        if !success && self.failed == 0 {
            self.failed = 1;
            self.failures.push("a test program that did not build, or died; see above".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str], success: bool) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.add(line);
        }
        tally.end(success);
        tally
    }

    #[test]
    fn the_sums_of_all_programs_are_added_up() {
        let lines = [
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test other::two ... FAILED",
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s",
        ];
        let expected = Tally { passed: 8, failed: 1, failures: vec!["other::two".into()], ..Tally::default() };
        assert_eq!(tally(&lines, false), expected);
    }

    #[test]
    fn ignored_tests_keep_their_reason() {
        let lines = ["test one ... ignored, needs a real host", "test two ... ignored", "test three ... ok"];
        assert_eq!(tally(&lines, true).ignored, ["one: needs a real host", "two: ignored without a reason"]);
    }

    #[test]
    fn a_program_that_dies_without_a_sum_is_a_failure() {
        let sum = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let died = tally(&[sum, "running 2 tests"], false);
        assert_eq!((died.passed, died.failed, died.failures.len()), (5, 1, 1));
    }
}
