//! An export works with the rights of the one it is for, and with no others.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use migrate::export::{Observer, Report, Request, export};
use migrate::rights::Rights;
use migrate::{ErrorKind, Result, verify};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::Settings;

use crate::lab::{Heard, Lab};

/// A user that owns nothing here.
const USER: u32 = 54_331;

const SMALL: &str = r#"
[[datacenter]]
name = "DC0"
[[vm]]
path = "DC0/vm/small"
[[vm.disk]]
size = "2MiB"
content = { kind = "seeded", seed = 1, fill = 1.0, compressibility = 0.5 }
"#;

/// Says why a test that needs root does nothing.
fn skipped(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        judges::skip(test, "only root can work for other users");
    }
    !root
}

/// A folder that everybody may pass through.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn directory(folder: &Path, name: &str, owner: u32) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    chown(&path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    path
}

async fn export_as(rights: Rights, lab: &Lab, output: PathBuf) -> Result<Report> {
    let heard: Arc<dyn Observer> = Arc::<Heard>::default();
    let request = Request { output, ..lab.request("small") };
    let result = rights.scope(export(&lab.source(), &request, heard, CancellationToken::new())).await;
    lab.assert_nothing_left();
    result
}

fn user() -> Rights {
    Rights::of_user(USER, USER, &[]).unwrap()
}

/// Counts everything below a directory.
fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn a_users_export_belongs_to_the_user_and_keeps_out_of_what_is_not_theirs() {
    if skipped("a_users_export_belongs_to_the_user_and_keeps_out_of_what_is_not_theirs") {
        return;
    }
    let lab = Lab::with(SMALL, Settings::default()).await;
    let folder = open_folder();
    let (own, roots) = (directory(folder.path(), "own", USER), directory(folder.path(), "roots", 0));
    let report = export_as(user(), &lab, own.join("new")).await.unwrap();
    assert_eq!(own.join("new").metadata().unwrap().uid(), USER);
    assert_eq!(count(&own.join("new")), report.files.len(), "the claim is gone");
    for file in &report.files {
        let metadata = own.join("new").join(&file.name).metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (USER, USER), "{}", file.name);
    }
    // A link leads no further than its user may go.
    symlink(&roots, own.join("link")).unwrap();
    for output in [roots.clone(), roots.join("new"), own.join("link"), own.join("link/new")] {
        let error = export_as(user(), &lab, output.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target, "{}: {}", output.display(), error.chain());
    }
    assert_eq!(count(&roots), 0);
}

#[tokio::test]
async fn what_root_has_left_in_a_users_directory_is_not_theirs_to_touch() {
    if skipped("what_root_has_left_in_a_users_directory_is_not_theirs_to_touch") {
        return;
    }
    let lab = Lab::with(SMALL, Settings::default()).await;
    let folder = open_folder();
    let own = directory(folder.path(), "own", USER);
    let secret = own.join(".small.export");
    fs::write(&secret, "root's").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let error = export_as(user(), &lab, own.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target, "{}", error.chain());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
}

#[tokio::test]
async fn below_roots_the_report_and_every_error_name_the_path_that_was_asked_for() {
    let lab = Lab::with(SMALL, Settings::default()).await;
    let folder = open_folder();
    let (root, outside) = (folder.path().join("exports"), folder.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("link")).unwrap();
    let below = || Rights::default().below([root.clone()]);
    let report = export_as(below(), &lab, root.join("a/b")).await.unwrap();
    assert_eq!(report.directory, root.join("a/b"));
    assert!(root.join("a/b/small.ovf").exists());
    let error = export_as(below(), &lab, root.join("a/b")).await.unwrap_err();
    let text = format!("{} {}", error.chain(), error.hint().unwrap_or_default());
    assert!(text.contains(&root.join("a/b/small.ovf").display().to_string()) && !text.contains("/proc/"), "{text}");
    for output in [root.join("link/x"), outside.clone(), root.join("../outside")] {
        let error = export_as(below(), &lab, output).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target, "{}", error.chain());
    }
    assert_eq!(count(&outside), 0);
}

#[tokio::test]
async fn a_users_question_about_files_reads_only_what_they_may() {
    if skipped("a_users_question_about_files_reads_only_what_they_may") {
        return;
    }
    let lab = Lab::with(SMALL, Settings::default()).await;
    let folder = open_folder();
    let roots = directory(folder.path(), "roots", 0);
    export_as(Rights::default(), &lab, roots.clone()).await.unwrap();
    let heard = || -> Arc<dyn Observer> { Arc::<Heard>::default() };
    let path = roots.join("small.mf");
    verify::verify(path.clone(), heard(), CancellationToken::new()).await.expect("root may");
    user().scope(verify::verify(path, heard(), CancellationToken::new())).await.unwrap_err();
}
