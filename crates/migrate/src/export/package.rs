//! The files of a package on their way from temporary to final names.
//!
//! ```text
//!  .web01-disk-0.vmdk.part ──┐
//!  .web01-nvram.nvram.part ──┤ written, checked, synced
//!  .web01.mf.part ───────────┤                          ──► renamed, the .ovf last
//!  .web01.ovf.part ──────────┘
//! ```
//!
//! **Invariant:** whoever sees `NAME.ovf` sees a whole package: every file that it names is in place
//! and durable before.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use diskimage::package::manifest::{Algorithm, Manifest};
use rustix::fs::RenameFlags;
use sha2::{Digest as _, Sha256};

use super::claim::{self, Claim};
use super::fetch::hexadecimal;
use super::media::Note;
use super::{FileReport, target_error};
use crate::rights::Directory;
use crate::{Error, ErrorKind, Result, rights};

/// Mode of finished files before the caller's umask.
const FILE_MODE: u32 = 0o666;

/// A directory in which one package is being made.
#[derive(Debug)]
pub(super) struct Package {
    /// By which its files are opened.
    directory: PathBuf,
    /// Keeps that path valid, and knows how people call it.
    held: Directory,
    claim: Claim,
}

impl Package {
    /// Starts a package under a claimed name.
    pub(super) fn new(directory: Directory, claim: Claim) -> Self {
        Self { directory: directory.path().to_owned(), held: directory, claim }
    }

    /// Returns what all file names start with.
    pub(super) fn base(&self) -> &str {
        self.claim.base()
    }

    /// Returns where the package is made, for people.
    pub(super) fn directory(&self) -> &Path {
        self.held.shown()
    }

    /// Returns the name of the descriptor.
    pub(super) fn descriptor_name(&self) -> String {
        format!("{}.ovf", self.base())
    }

    fn manifest_name(&self) -> String {
        format!("{}.mf", self.base())
    }

    /// Claims the names of the data files, descriptor and manifest.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] naming a file that is in the way.
    pub(super) fn list(&mut self, data: &[String]) -> Result<()> {
        let mut names = data.to_vec();
        names.extend([self.manifest_name(), self.descriptor_name()]);
        self.claim.list(&self.directory, &names)
    }

    /// Returns the names of snapshots that runs of this export have noted.
    pub(super) fn snapshots(&self) -> Vec<String> {
        self.claim.snapshots().cloned().collect()
    }

    /// Notes, durably, that a snapshot of this name is about to be made.
    pub(super) fn note_snapshot(&mut self, name: &str) -> Result<()> {
        self.claim.note_snapshot(name)
    }

    /// Returns the media that runs of this export have noted.
    pub(super) fn media(&self) -> Vec<Note> {
        self.claim.media().cloned().collect()
    }

    /// Notes, durably, that these media are about to be taken out of their drives.
    pub(super) fn note_media(&mut self, media: &[Note]) -> Result<()> {
        self.claim.note_media(media)
    }

    /// Forgets media that are back in their drives.
    pub(super) fn forget_media(&mut self, media: &[Note]) -> Result<()> {
        self.claim.forget_media(media)
    }

    /// Ends a package that failed, as [`Package::give_up`]; unless everything is `cleared` away on the server,
    /// the claim stays, so that the next run of this export knows what to look for.
    pub(super) fn end(self, cleared: bool) {
        let given_up = || {
            self.give_up();
            Ok(())
        };
        if cleared && let Err(error) = rights::run_current(given_up) {
            tracing::error!(error = %error.chain(), "the claim of a package that failed stays");
        }
    }

    /// Returns the temporary path of a file.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        claim::part(&self.directory, name)
    }

    /// Ends a package that failed. What was fetched stays under its temporary names, with the claim that
    /// says whose it is; where nothing was, nothing stays.
    pub(super) fn give_up(self) {
        let Self { directory, claim, held: _held } = self;
        claim.give_up(|name| claim::part(&directory, name).exists() || directory.join(name).exists());
    }

    /// Writes descriptor and manifest, gives all files their final names, and ends the claim; unless everything
    /// is `cleared` away on the server, its notes of snapshots and media stay.
    ///
    /// `data` are the files that were fetched; the result has descriptor and manifest too.
    ///
    /// # Errors
    /// [`ErrorKind::Target`]. Files that have their final names by then are right; the descriptor,
    /// without which they are no package, comes last.
    pub(super) fn finish(mut self, data: Vec<FileReport>, descriptor: &str, cleared: bool) -> Result<Vec<FileReport>> {
        let descriptor = self.write(&self.descriptor_name(), descriptor.as_bytes())?;
        let mut manifest = Manifest::default();
        for file in std::iter::once(&descriptor).chain(&data) {
            manifest.add(Algorithm::Sha256, &file.name, &file.sha256).map_err(|error| {
                Error::new(ErrorKind::Internal, format!("list {} in the manifest", file.name)).with_source(error)
            })?;
        }
        let manifest = self.write(&self.manifest_name(), manifest.to_string().as_bytes())?;
        self.claim.begin_publishing()?;
        let mode = FILE_MODE & !umask();
        for file in data.iter().chain([&manifest]) {
            self.publish(&file.name, mode)?;
        }
        // The names of everything that the descriptor speaks of must be durable before its own.
        self.sync()?;
        self.publish(&descriptor.name, mode)?;
        self.sync()?;
        match cleared {
            true => self.claim.release()?,
            false => self.claim.keep_notes()?,
        }
        let mut files = vec![descriptor];
        files.extend(data);
        files.push(manifest);
        Ok(files)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<FileReport> {
        let path = self.part(name);
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(|error| target_error(&format!("write {}", path.display()), error))?;
        Ok(FileReport {
            name: name.to_owned(),
            size_bytes: content.len() as u64,
            sha256: hexadecimal(&Sha256::digest(content)),
            capacity_bytes: None,
            populated_bytes: None,
            proof: None,
        })
    }

    /// Gives a file its final name, without replacing what is not ours.
    fn publish(&mut self, name: &str, mode: u32) -> Result<()> {
        let (from, to) = (self.part(name), self.directory.join(name));
        let doing = format!("rename {} to its final name", to.display());
        let failed = |error: io::Error| target_error(&doing, error);
        fs::set_permissions(&from, Permissions::from_mode(mode)).map_err(failed)?;
        match rustix::fs::renameat_with(rustix::fs::CWD, &from, rustix::fs::CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // Left by an export of this VM that was cut off while renaming.
            Err(rustix::io::Errno::EXIST) if self.claim.owns(name) => fs::rename(&from, &to).map_err(failed),
            // Some network file systems cannot promise not to replace; there a look before has to do.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS)
                if self.claim.owns(name) || fs::symlink_metadata(&to).is_err() =>
            {
                fs::rename(&from, &to).map_err(failed)
            }
            Err(error) => {
                if error == rustix::io::Errno::EXIST {
                    self.claim.disown(name)?;
                }
                Err(failed(error.into()))
            }
        }
    }

    fn sync(&self) -> Result<()> {
        let sync = File::open(&self.directory).and_then(|directory| directory.sync_all());
        sync.map_err(|error| target_error(&format!("sync {}", self.directory.display()), error))
    }
}

/// Returns the process's umask without changing it, which other threads would notice.
pub(crate) fn umask() -> u32 {
    const DEFAULT: u32 = 0o022;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::super::claim::Identity;
    use super::*;
    use crate::rights::Rights;

    fn package(directory: &Path) -> Package {
        let identity = Identity { vm: "a".into(), server: "s".into() };
        let claim = Claim::take(directory, "web", &identity).unwrap();
        Package::new(Directory::make(&Rights::default(), directory).unwrap(), claim)
    }

    fn disk() -> FileReport {
        FileReport {
            name: "web-disk-0.vmdk".into(),
            size_bytes: 4,
            sha256: hexadecimal(&Sha256::digest(b"disk")),
            capacity_bytes: Some(512),
            populated_bytes: Some(0),
            proof: None,
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_finished_package_is_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut package = package(folder.path());
        package.list(&["web-disk-0.vmdk".into()]).unwrap();
        fs::write(package.part("web-disk-0.vmdk"), "disk").unwrap();
        let files = package.finish(vec![disk()], "<Envelope/>", true).unwrap();
        assert_eq!(names(folder.path()), ["web-disk-0.vmdk", "web.mf", "web.ovf"]);
        let manifest = fs::read_to_string(folder.path().join("web.mf")).unwrap();
        let lines: Vec<_> = manifest.lines().collect();
        assert_eq!(lines[0], format!("SHA256(web.ovf)= {}", files[0].sha256));
        assert_eq!(lines[1], format!("SHA256(web-disk-0.vmdk)= {}", files[1].sha256));
    }

    #[test]
    fn a_snapshot_that_may_be_left_stays_noted_beside_a_finished_package() {
        let folder = tempfile::tempdir().unwrap();
        let mut package = package(folder.path());
        package.note_snapshot("ours").unwrap();
        package.list(&["web-disk-0.vmdk".into()]).unwrap();
        fs::write(package.part("web-disk-0.vmdk"), "disk").unwrap();
        package.finish(vec![disk()], "<Envelope/>", false).unwrap();
        assert_eq!(names(folder.path()), [".web.export", "web-disk-0.vmdk", "web.mf", "web.ovf"]);
        let claim: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join(".web.export")).unwrap()).unwrap();
        assert_eq!(claim["snapshots"], serde_json::json!(["ours"]));
        assert_eq!((&claim["files"], &claim["published"]), (&serde_json::json!([]), &serde_json::Value::Null));
        fs::remove_file(folder.path().join("web.ovf")).unwrap();
        let again = self::package(folder.path());
        assert_eq!(again.snapshots(), ["ours"]);
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_not_replaced_and_no_descriptor_appears() {
        let folder = tempfile::tempdir().unwrap();
        let mut package = package(folder.path());
        package.list(&["web-disk-0.vmdk".into()]).unwrap();
        fs::write(package.part("web-disk-0.vmdk"), "disk").unwrap();
        fs::write(folder.path().join("web-disk-0.vmdk"), "a stranger's").unwrap();
        assert_eq!(package.finish(vec![disk()], "<Envelope/>", true).unwrap_err().kind(), ErrorKind::Target);
        assert_eq!(fs::read_to_string(folder.path().join("web-disk-0.vmdk")).unwrap(), "a stranger's");
        assert!(!folder.path().join("web.ovf").exists());
        // Nor does the next export take the file for one of its own.
        let mut again = self::package(folder.path());
        assert_eq!(again.list(&["web-disk-0.vmdk".into()]).unwrap_err().kind(), ErrorKind::Target);
        fs::remove_file(folder.path().join("web-disk-0.vmdk")).unwrap();
        drop(again);
        let mut again = self::package(folder.path());
        again.list(&["web-disk-0.vmdk".into()]).unwrap();
        fs::write(again.part("web-disk-0.vmdk"), "disk").unwrap();
        again.finish(vec![disk()], "<Envelope/>", true).unwrap();
        assert_eq!(names(folder.path()), ["web-disk-0.vmdk", "web.mf", "web.ovf"]);
    }
}
