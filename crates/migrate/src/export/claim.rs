//! Who owns which names in a target directory.
//!
//! A directory may hold packages of many VMs, and files that are not ours. Before a byte moves an
//! export claims its names: a small file `.NAME.export`, made exclusively and locked while the export
//! runs, says which VM it is and which files it may write. It goes when the package is whole. What a
//! finished package is says its descriptor, which ends with a comment made by [`signature`].
//!
//! **Invariant:** a file under a final name is replaced only if an earlier export of the same VM was
//! cut off while it published it, and the file stood there when this one began; the claim says so. A name
//! is listed only after it was seen to be free.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::media::Note;
use super::target_error;
use crate::{Error, ErrorKind, Result};

/// Version of the claim's form; `docs/formats/export-claim.md` describes it.
const VERSION: u32 = 1;

/// Largest claim that is read: a thousand names of 255 bytes.
const CLAIM_BYTES_MAX: u64 = 256 << 10;

/// Largest descriptor in which a signature is looked for; it stands at the end.
const SIGNATURE_WINDOW: u64 = 4 << 10;

/// Which VM of which server: what makes two exports the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// `instanceUuid` of the VM.
    pub(crate) vm: String,
    /// `instanceUuid` of the vCenter; empty for an ESXi host.
    pub(crate) server: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    #[serde(flatten)]
    identity: Identity,
    /// Final names that the export may write.
    files: BTreeSet<String>,
    /// Names of files that were about to get, or have got, their final names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    published: BTreeSet<String>,
    /// Names of snapshots that exports under this claim were about to make; only ever added.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    snapshots: BTreeSet<String>,
    /// Media that exports under this claim were about to take out of their drives, until they are back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    media: BTreeSet<Note>,
}

/// A held claim on the names that start with a base name.
#[derive(Debug)]
pub(super) struct Claim {
    /// Locked as long as this value lives.
    file: File,
    path: PathBuf,
    base: String,
    record: Record,
    /// What an earlier, unfinished export of this VM had listed: its partial files are ours.
    earlier: BTreeSet<String>,
    /// Names of files that stood there when this export listed them, put there by an earlier one.
    owned: BTreeSet<String>,
    /// What this export has listed.
    listed: BTreeSet<String>,
}

/// What stands in the way of a base name.
enum Taken {
    /// Nothing.
    Free,
    /// A package, finished or not, of another VM: take another name.
    ByAnotherVm,
}

impl Claim {
    /// Claims `name`, or `name-<start of the VM's id>` where another VM has that, in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::Target`]: the directory cannot be written, the VM is there already, an export of
    /// it is running, or a file stands there that no export wrote.
    pub(super) fn take(directory: &Path, name: &str, identity: &Identity) -> Result<Self> {
        for base in bases(name, identity) {
            if let Taken::ByAnotherVm = finished(directory, &base, identity)? {
                continue;
            }
            if let Some(claim) = Self::open(directory, &base, identity)? {
                // Another export may have finished between the first look and the lock.
                finished(directory, &base, identity)?;
                return Ok(claim);
            }
        }
        let [_, longer] = bases(name, identity);
        let context = format!("claim the name `{name}` in {}: other VMs have it and `{longer}`", directory.display());
        Err(Error::new(ErrorKind::Target, context).with_hint("export into another directory"))
    }

    /// Opens or makes the claim file; `None` when another VM holds it.
    pub(super) fn open(directory: &Path, base: &str, identity: &Identity) -> Result<Option<Self>> {
        let path = directory.join(format!(".{base}.export"));
        let doing = format!("claim {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(|error| target_error(&doing, error))?;
        let locked = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(rustix::io::Errno::WOULDBLOCK) => false,
            Err(error) => return Err(target_error(&doing, error.into())),
        };
        let mut text = String::new();
        (&mut file).take(CLAIM_BYTES_MAX).read_to_string(&mut text).map_err(|error| target_error(&doing, error))?;
        let record = if text.trim().is_empty() {
            Record {
                version: VERSION,
                identity: identity.clone(),
                files: BTreeSet::new(),
                published: BTreeSet::new(),
                snapshots: BTreeSet::new(),
                media: BTreeSet::new(),
            }
        } else {
            match serde_json::from_str::<Record>(&text) {
                Ok(record) if record.version == VERSION && record.identity == *identity => record,
                Ok(record) if record.version == VERSION => return Ok(None),
                _ => {
                    let context = format!("{doing}: the file is no claim of this version of hyper2kvm");
                    return Err(Error::new(ErrorKind::Target, context).with_hint("remove it if nothing uses it"));
                }
            }
        };
        // A claim that was released between opening and locking is a file without a name.
        let named = fs::symlink_metadata(&path).is_ok_and(|at| file.metadata().is_ok_and(|own| own.ino() == at.ino()));
        if !locked || !named {
            let context = format!("{doing}: an export to this name is running");
            return Err(
                Error::new(ErrorKind::Target, context).with_hint("wait for it, or export into another directory")
            );
        }
        let (earlier, owned, listed) = (record.files.clone(), BTreeSet::new(), BTreeSet::new());
        let mut claim = Self { file, path, base: base.to_owned(), record, earlier, owned, listed };
        claim.save()?;
        Ok(Some(claim))
    }

    /// Returns what the package's file names start with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Returns true when an earlier, unfinished export of this VM has written `name` under its final name.
    /// What was free when this export listed it is never owned: whatever stands there now is a stranger's.
    pub(super) fn owns(&self, name: &str) -> bool {
        self.owned.contains(name)
    }

    /// Notes, durably, that the listed files are about to get their final names.
    pub(super) fn begin_publishing(&mut self) -> Result<()> {
        self.record.published.extend(self.listed.iter().cloned());
        self.save()
    }

    /// Notes, durably, that a stranger has taken `name`: no later export may take the file for ours.
    pub(super) fn disown(&mut self, name: &str) -> Result<()> {
        self.record.published.remove(name);
        self.save()
    }

    /// Returns the names of snapshots that this claim has noted.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &String> {
        self.record.snapshots.iter()
    }

    /// Notes, durably, that a snapshot of this name is about to be made.
    pub(super) fn note_snapshot(&mut self, name: &str) -> Result<()> {
        self.record.snapshots.insert(name.to_owned());
        self.save()
    }

    /// Returns whether something may be left on the server.
    pub(super) fn has_notes(&self) -> bool {
        !self.record.snapshots.is_empty() || !self.record.media.is_empty()
    }

    /// Returns the media that this claim has noted.
    pub(super) fn media(&self) -> impl Iterator<Item = &Note> {
        self.record.media.iter()
    }

    /// Notes, durably, that these media are about to be taken out of their drives.
    pub(super) fn note_media(&mut self, media: &[Note]) -> Result<()> {
        self.record.media.extend(media.iter().cloned());
        self.save()
    }

    /// Forgets media that are back in their drives.
    pub(super) fn forget_media(&mut self, media: &[Note]) -> Result<()> {
        self.record.media.retain(|note| !media.contains(note));
        self.save()
    }

    /// Lists `names`, durably, after checking that each is free or was listed before.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] naming the file that is in the way.
    pub(super) fn list(&mut self, directory: &Path, names: &[String]) -> Result<()> {
        let is_there = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
        for name in names {
            if self.record.published.contains(name) && is_there(&directory.join(name)) {
                self.owned.insert(name.clone());
            }
            let unowned = [
                (!self.owns(name)).then(|| directory.join(name)),
                (!self.earlier.contains(name)).then(|| part(directory, name)),
            ];
            if let Some(path) = unowned.into_iter().flatten().find(is_there) {
                return Err(in_the_way(&path));
            }
        }
        // What was to be published and is not there was not; who takes such a name from now on is a stranger.
        self.record.published.retain(|name| self.owned.contains(name) || !names.contains(name));
        self.listed.extend(names.iter().cloned());
        self.record.files.extend(names.iter().cloned());
        self.save()
    }

    /// Gives the claim up: the package is whole.
    pub(super) fn release(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|error| target_error(&format!("remove {}", self.path.display()), error))
    }

    /// Ends the claim of an export whose package is whole, but for its notes of snapshots and media: one of them may
    /// be left there, or out, and the next export of the VM looks for it.
    pub(super) fn keep_notes(mut self) -> Result<()> {
        self.record.files.clear();
        self.record.published.clear();
        self.save()
    }

    /// Ends the claim of an export that failed, unless it has left files that the next one may reuse.
    pub(super) fn give_up(self, left: impl Fn(&str) -> bool) {
        if self.record.files.iter().any(|name| left(name)) {
            return;
        }
        let path = self.path.clone();
        if let Err(error) = self.release() {
            tracing::debug!(path = %path.display(), error = %error.chain(), "the claim stays");
        }
    }

    fn save(&mut self) -> Result<()> {
        let write = |file: &mut File, record: &Record| {
            let mut text = serde_json::to_vec(record).map_err(io::Error::other)?;
            // Blanks over what was longer: a crash leaves no end of an older text behind a newer one.
            let longest = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
            text.resize(text.len().max(longest), b' ');
            file.rewind()?;
            file.write_all(&text)?;
            file.sync_data()
        };
        write(&mut self.file, &self.record)
            .map_err(|error| target_error(&format!("write {}", self.path.display()), error))
    }
}

/// Returns the temporary path of a file.
pub(super) fn part(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!(".{name}.part"))
}

/// Returns the names that a package of this VM may have.
fn bases(name: &str, identity: &Identity) -> [String; 2] {
    let short: String = identity.vm.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    [name.to_owned(), format!("{name}-{short}")]
}

/// Returns the name under which a finished package of this very VM stands in `directory`.
///
/// # Errors
/// [`ErrorKind::Target`] for a directory that cannot be read.
pub(super) fn stands_finished(directory: &Path, name: &str, identity: &Identity) -> Result<Option<String>> {
    for base in bases(name, identity) {
        let path = directory.join(format!("{base}.ovf"));
        match signed_by(&path) {
            Ok(Some(owner)) if owner == signature(identity) => return Ok(Some(base)),
            Ok(_) => {}
            Err(error) => return Err(target_error(&format!("look at {}", path.display()), error)),
        }
    }
    Ok(None)
}

/// Looks for a finished package under `base`.
fn finished(directory: &Path, base: &str, identity: &Identity) -> Result<Taken> {
    let path = directory.join(format!("{base}.ovf"));
    match signed_by(&path) {
        Ok(None) => Ok(Taken::Free),
        Ok(Some(owner)) if owner == signature(identity) => {
            let context = format!("export to {}: the VM was exported there before", path.display());
            Err(Error::new(ErrorKind::Target, context)
                .with_hint("remove that package, or export into another directory"))
        }
        Ok(Some(owner)) if owner.starts_with(SIGNATURE) => Ok(Taken::ByAnotherVm),
        Ok(Some(_)) => Err(in_the_way(&path)),
        Err(error) => Err(target_error(&format!("look at {}", path.display()), error)),
    }
}

fn in_the_way(path: &Path) -> Error {
    let context = format!("write {}: a file that this export did not write stands there", path.display());
    Error::new(ErrorKind::Target, context).with_hint("move it away, or export into another directory")
}

const SIGNATURE: &str = "<!-- hyper2kvm export of ";

/// Returns the comment that ends the descriptor of an exported VM.
pub(super) fn signature(identity: &Identity) -> String {
    let plain = |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>();
    // Two hyphens would end the comment.
    let plain = |text: &str| plain(text).replace("--", "-");
    format!("{SIGNATURE}vm={} server={} -->", plain(&identity.vm), plain(&identity.server))
}

/// Returns the last line of a file; `None` when there is no such file.
fn signed_by(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(SIGNATURE_WINDOW)))?;
    let mut tail = Vec::new();
    file.take(SIGNATURE_WINDOW).read_to_end(&mut tail)?;
    let text = String::from_utf8_lossy(&tail);
    Ok(Some(text.trim_end().rsplit('\n').next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(vm: &str) -> Identity {
        Identity { vm: vm.into(), server: "s".into() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn two_vms_of_one_name_get_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let first = Claim::take(folder.path(), "web", &identity("aaaa-1")).unwrap();
        drop(first);
        let second = Claim::take(folder.path(), "web", &identity("bbbb-2")).unwrap();
        assert_eq!(second.base(), "web-bbbb2");
        let _running = Claim::take(folder.path(), "db", &identity("aaaa-1")).unwrap();
        assert_eq!(Claim::take(folder.path(), "db", &identity("bbbb-2")).unwrap().base(), "db-bbbb2");
    }

    #[test]
    fn a_running_export_keeps_a_second_one_out() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Claim::take(folder.path(), "web", &identity("a")).unwrap();
        let error = Claim::take(folder.path(), "web", &identity("a")).unwrap_err();
        assert!(error.to_string().contains("running"), "{error}");
    }

    #[test]
    fn a_strangers_file_is_never_listed_and_our_own_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut claim = Claim::take(folder.path(), "web", &identity("a")).unwrap();
        claim.list(folder.path(), &names(&["web-disk-0.vmdk"])).unwrap();
        assert!(!claim.owns("web-disk-0.vmdk"), "what stands there from now on is a stranger's");
        claim.begin_publishing().unwrap();
        fs::write(folder.path().join("web-disk-0.vmdk"), "ours, renamed before a crash").unwrap();
        fs::write(folder.path().join("web-disk-1.vmdk"), "a stranger's").unwrap();
        drop(claim);
        let mut claim = Claim::take(folder.path(), "web", &identity("a")).unwrap();
        claim.list(folder.path(), &names(&["web-disk-0.vmdk"])).unwrap();
        let error = claim.list(folder.path(), &names(&["web-disk-1.vmdk"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(error.to_string().contains("web-disk-1.vmdk"));
    }

    #[test]
    fn a_finished_package_is_known_by_its_signature() {
        let folder = tempfile::tempdir().unwrap();
        let ovf = folder.path().join("web.ovf");
        fs::write(&ovf, format!("<Envelope/>\n{}\n", signature(&identity("a")))).unwrap();
        let error = Claim::take(folder.path(), "web", &identity("a")).unwrap_err();
        assert!(error.to_string().contains("exported there before"), "{error}");
        assert_eq!(Claim::take(folder.path(), "web", &identity("b")).unwrap().base(), "web-b");
        fs::write(&ovf, "<Envelope/>").unwrap();
        let error = Claim::take(folder.path(), "web", &identity("c")).unwrap_err();
        assert!(error.to_string().contains("did not write"), "{error}");
    }

    #[test]
    fn something_that_is_no_claim_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".web.export");
        fs::write(&path, "shopping list").unwrap();
        assert_eq!(Claim::take(folder.path(), "web", &identity("a")).unwrap_err().kind(), ErrorKind::Target);
        assert_eq!(fs::read_to_string(&path).unwrap(), "shopping list");
    }

    #[test]
    fn a_signature_cannot_be_broken_out_of() {
        let hostile = Identity { vm: "a--><x/>".into(), server: "--".into() };
        assert_eq!(signature(&hostile), "<!-- hyper2kvm export of vm=a-x server=- -->");
    }
}
