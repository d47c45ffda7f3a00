//! Runs the fuzz targets of `crates/diskimage/fuzz` with libFuzzer, on the nightly that is installed.
//!
//! What it finds interesting goes to a folder that is not committed; the committed corpora are read.
//! A crash, an input that takes longer than five seconds and an allocation over 256 MiB end the run
//! as failures, with the input in `fuzz/artifacts`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache;

const FOLDER: &str = "crates/diskimage/fuzz";

/// Time for each target: `HYPER2KVM_FUZZ_SECONDS`, or twenty minutes.
const SECONDS: &str = "1200";

/// Longest input: streams and images with a few grains fit.
const INPUT_BYTES_MAX: u32 = 1 << 20;

/// Runs the targets named, or all.
#[expect(clippy::print_stdout, reason = "the result of a development task")]
pub(super) fn run(names: &[&str]) -> Result<()> {
    let seconds = std::env::var("HYPER2KVM_FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let targets = targets()?;
    if let Some(unknown) = names.iter().find(|name| !targets.iter().any(|target| target == *name)) {
        bail!("there is no fuzz target `{unknown}`; there are: {}", targets.join(", "));
    }
    for target in targets.iter().filter(|target| names.is_empty() || names.contains(&target.as_str())) {
        let said = fuzz(target, &seconds)?;
        println!("soak fuzz:{target}: {seconds} s, {}", summary(&said).context("libFuzzer printed no summary")?);
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let entries = fs::read_dir(Path::new(FOLDER).join("fuzz_targets")).context("list the fuzz targets")?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let stems = paths.iter().filter_map(|path| path.file_stem()?.to_str());
    let mut names: Vec<_> = stems.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Runs one target to its end and returns what libFuzzer said.
fn fuzz(target: &str, seconds: &str) -> Result<String> {
    let found = format!("{FOLDER}/target/found/{target}");
    fs::create_dir_all(&found).with_context(|| format!("make {found}"))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("cargo");
    command.env("PATH", format!("{}:{path}", cache()?.join("bin").display()));
    // The toolchain that runs us would be inherited otherwise.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
    command.args(["+nightly", "fuzz", "run", "--fuzz-dir", FOLDER, target, &found]);
    command.arg(format!("{FOLDER}/corpus/{target}")).arg("--");
    command.args(["-timeout=5", "-malloc_limit_mb=256", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    let output = command.output().context("start cargo-fuzz")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let last: Vec<_> = said.lines().rev().take(40).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        bail!("fuzz target {target}: {}\n{}", output.status, last.join("\n"));
    }
    Ok(said)
}

/// Returns executions and coverage from what libFuzzer said.
fn summary(said: &str) -> Option<String> {
    let stat = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    let last = said.lines().rev().find(|line| line.contains(" cov: "))?;
    let field = |name: &str| last.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next());
    Some(format!(
        "{} executions, {} edges and {} features covered, no finding",
        stat.trim(),
        field(" cov: ")?,
        field(" ft: ")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_executions_and_coverage() {
        let said = "#2\tINITED cov: 9 ft: 10 corp: 1/1b\n#77\tDONE   cov: 123 ft: 456 corp: 7/9Kb lim: 99\n\
                    stat::number_of_executed_units: 77\n";
        assert_eq!(summary(said).unwrap(), "77 executions, 123 edges and 456 features covered, no finding");
        assert_eq!(summary("nothing"), None);
    }
}
