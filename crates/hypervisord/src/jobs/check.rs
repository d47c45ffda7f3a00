//! What a request must be before it can be a job.
//!
//! Three looks, each at more than the one before: at the request by itself, at the target on this machine, and at the
//! source. What is refused here is refused with its reason, and nothing of it is stored.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hyper_api::{ExportSpec, JobSpec, Problem, ProblemKind};
use migrate::rights::Rights;
use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

use crate::problems::{from_migrate, refusal};

/// A file system with less room than this takes no job: not even its descriptor would fit beside a disk.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// Control characters that a VM's name may hold: vSphere allows them and XML carries them, so `list`
/// shows such VMs. Whoever prints them escapes them.
const NAMEABLE: [char; 3] = ['\t', '\n', '\r'];

/// Refuses what can be seen to be wrong before anything is asked of the source.
pub(super) fn check(spec: &JobSpec) -> Result<(), Box<Problem>> {
    match spec {
        JobSpec::Export(spec) => check_vm(spec)?,
        JobSpec::Convert(spec) => check_path("source", &spec.source)?,
        JobSpec::Verify(spec) => check_path("package", &spec.path)?,
        _ => {}
    }
    spec.output().map_or(Ok(()), |output| check_path("output", output))
}

fn check_vm(spec: &ExportSpec) -> Result<(), Box<Problem>> {
    if spec.vm.trim().is_empty() {
        return Err(wrong("it names no VM"));
    }
    if spec.vm.contains(|c: char| c.is_control() && !NAMEABLE.contains(&c)) {
        return Err(wrong("the VM's name holds control characters that no server can send"));
    }
    Ok(())
}

fn check_path(what: &str, path: &Path) -> Result<(), Box<Problem>> {
    if !path.is_absolute() {
        return Err(wrong(&format!("the path of the {what} is not absolute")));
    }
    if path.to_string_lossy().contains(char::is_control) {
        return Err(wrong(&format!("the path of the {what} holds control characters")));
    }
    Ok(())
}

fn wrong(why: &str) -> Box<Problem> {
    refusal(ProblemKind::Usage, format!("accept a job: {why}"))
}

/// Looks at targets; of many jobs most share one.
#[derive(Debug, Default)]
pub(super) struct Targets {
    seen: HashMap<PathBuf, Result<(), Box<Problem>>>,
}

impl Targets {
    /// Refuses a target in which nothing can be written: no directory, read-only, not ours, or full.
    /// It is looked at with the rights that the job will have.
    pub(super) fn check(&mut self, rights: &Rights, spec: &JobSpec) -> Result<(), Box<Problem>> {
        let Some(output) = spec.output() else { return Ok(()) };
        // What a conversion writes is a file; what is looked at is where it will lie.
        let directory = if spec.export().is_some() { output } else { output.parent().unwrap_or(output) };
        let look = || match rights.run(|| writable(directory)) {
            Ok(looked) => looked,
            Err(error) => Err(Box::new(from_migrate(&error))),
        };
        self.seen.entry(directory.to_owned()).or_insert_with(look).clone()
    }
}

fn writable(directory: &Path) -> Result<(), Box<Problem>> {
    let shown = directory.display();
    let refuse = |why: String| refusal(ProblemKind::Target, format!("write into {shown}: {why}"));
    let mut nearest = directory;
    let metadata = loop {
        match (fs::metadata(nearest), nearest.parent()) {
            (Ok(metadata), _) => break metadata,
            // It is made later; whether it can be says the nearest directory that there is.
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => nearest = parent,
            (Err(error), _) => return Err(refuse(error.to_string())),
        }
    };
    if !metadata.is_dir() {
        return Err(refuse(format!("{} is no directory", nearest.display())));
    }
    accessat(CWD, nearest, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| refuse(format!("{}: {}", nearest.display(), io::Error::from(error))))?;
    // A file system that does not say how full it is has to show it later.
    let room = statvfs(nearest).map(|about| about.f_bavail.saturating_mul(about.f_frsize)).unwrap_or(u64::MAX);
    if room < ROOM_BYTES_MIN {
        let full = *refuse("the file system is full".to_owned());
        return Err(Box::new(full.with_hint("make room, or export into another directory")));
    }
    Ok(())
}

/// Returns what no two jobs may work on at once; none for a job that writes nothing.
pub(super) fn target_of(spec: &JobSpec, vm_path: Option<&str>) -> Option<String> {
    let output = spec.output()?;
    let plain: PathBuf = output.components().collect();
    let vm = spec.export().map(|export| vm_path.unwrap_or(&export.vm).trim_matches('/'));
    Some(format!("{}\u{0}{}", plain.display(), vm.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use hyper_api::VerifySpec;

    use super::*;

    fn export(vm: &str, output: impl Into<PathBuf>) -> JobSpec {
        ExportSpec { vm: vm.into(), output: output.into(), ..ExportSpec::default() }.into()
    }

    #[test]
    fn a_target_is_looked_at_where_it_will_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let mut targets = Targets::default();
        targets.check(&Rights::default(), &export("a", folder.path().join("to/be/made"))).unwrap();
        for (output, why) in [(file.join("below"), "file"), (file, "no directory"), ("/proc/1/no".into(), "/proc")] {
            let refused = targets.check(&Rights::default(), &export("a", &output)).unwrap_err();
            assert_eq!(refused.kind, ProblemKind::Target, "{refused}");
            assert!(refused.error.contains(why), "{refused}");
            assert_eq!(targets.check(&Rights::default(), &export("b", &output)).unwrap_err(), refused);
        }
    }

    #[test]
    fn two_ways_to_write_a_target_are_one_and_vms_may_share_a_directory() {
        let target = |vm: &str, output: &str| target_of(&export(vm, output), None).unwrap();
        assert_eq!(target("/DC0/vm/a", "/out//x/"), target("DC0/vm/a/", "/out/./x"));
        assert_ne!(target("/DC0/vm/a", "/out"), target("/DC0/vm/b", "/out"));
        assert_eq!(target_of(&export("a", "/out"), Some("/DC0/vm/a")).unwrap(), target("/DC0/vm/a", "/out"));
        assert_eq!(target_of(&VerifySpec { path: "/x".into() }.into(), None), None);
    }

    #[test]
    fn a_request_that_makes_no_sense_is_refused_at_once() {
        for (vm, output, why) in [
            ("", "/x", "names no VM"),
            (" ", "/x", "names no VM"),
            ("a\u{1b}[2J", "/x", "control characters"),
            ("a", "x", "not absolute"),
            ("a", "/x\n", "control characters"),
        ] {
            let spec = ExportSpec { vm: vm.into(), output: output.into(), ..ExportSpec::default() };
            let refused = check(&spec.into()).unwrap_err();
            assert_eq!(refused.kind, ProblemKind::Usage);
            assert!(refused.error.contains(why), "{}", refused.error);
        }
        for vm in ["/DC0/vm/a", "/DC0/vm/two\nlines", "/DC0/vm/tab\tand\rreturn"] {
            check(&ExportSpec { vm: vm.into(), output: "/x".into(), ..ExportSpec::default() }.into()).unwrap();
        }
        for (path, why) in [("x", "not absolute"), ("/x\n", "control characters")] {
            let refused = check(&VerifySpec { path: path.into() }.into()).unwrap_err();
            assert!(refused.error.contains(why), "{}", refused.error);
        }
    }
}
