//! Credentials that came with a job, closed up for as long as they have to be stored.
//!
//! ```text
//!  text ─► AES-256-GCM, a nonce of its own, bound to its job ─► `v1:` base64(nonce ‖ sealed) ─► store
//!  key:  the systemd credential `seal.key`, else a file of the state directory (0600), made when missing
//! ```
//!
//! Whoever has a copy of the store has no password by that; who has the state directory as well, has. What was
//! sealed for one job opens for no other.
//!
//! What it does not do: it does not erase. Whoever stores sealed text takes it out when the job ends.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::private_file;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What sealed text begins with: the version of its form.
const PREFIX: &str = "v1:";

/// Where systemd puts credentials, and the name of ours.
const CREDENTIALS: (&str, &str) = ("CREDENTIALS_DIRECTORY", "seal.key");

/// Seals and opens. Clones have the same key.
#[derive(Clone)]
pub struct Seal(Arc<RandomizedNonceKey>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// Reads the key: the credential where systemd gives one, else that of the state directory, made when missing.
    ///
    /// # Errors
    /// When the key cannot be read or made, is not 32 bytes, or its file is open to others.
    pub fn open(state_dir: &Path, environment: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let credential = environment(CREDENTIALS.0).map(|directory| Path::new(&directory).join(CREDENTIALS.1));
        if let Some(path) = credential.filter(|path| path.exists()) {
            // systemd sees to it that nobody else can read it, by other means than its mode.
            let key = fs::read(&path).with_context(|| format!("read the key {}", path.display()))?;
            return Self::of(&key).with_context(|| format!("use the key {}", path.display()));
        }
        let path = state_dir.join("seal.key");
        let key = match read_own(&path) {
            Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {
                make(&path).with_context(|| format!("make the key {}", path.display()))?
            }
            read => read.with_context(|| format!("read the key {}", path.display()))?,
        };
        Self::of(&key).with_context(|| format!("use the key {}", path.display()))
    }

    fn of(key: &[u8]) -> anyhow::Result<Self> {
        if key.len() != KEY_BYTES {
            bail!("it has {} bytes and not {KEY_BYTES}", key.len());
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| anyhow!("it is no key for AES-256"))?;
        Ok(Self(Arc::new(key)))
    }

    /// Seals `secret` for `job`.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn seal(&self, job: &str, secret: &str) -> anyhow::Result<String> {
        let mut text = secret.as_bytes().to_vec();
        let sealed = self.0.seal_in_place_append_tag(Aad::from(job.as_bytes()), &mut text);
        let nonce = sealed.map_err(|_| anyhow!("seal a credential"))?;
        let whole = [nonce.as_ref().as_slice(), &text].concat();
        Ok(format!("{PREFIX}{}", STANDARD.encode(whole)))
    }

    /// Opens what was sealed for `job`.
    ///
    /// # Errors
    /// When it was sealed for another job or with another key, or was changed since.
    pub fn unseal(&self, job: &str, sealed: &str) -> anyhow::Result<String> {
        let doing = "open a sealed credential";
        let body = sealed.strip_prefix(PREFIX).with_context(|| format!("{doing}: it is of another version"))?;
        let mut whole = STANDARD.decode(body).with_context(|| format!("{doing}: it is damaged"))?;
        if whole.len() < NONCE_LEN {
            bail!("{doing}: it is too short");
        }
        let mut text = whole.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&whole).map_err(|_| anyhow!("{doing}: it is damaged"))?;
        let opened = self.0.open_in_place(nonce, Aad::from(job.as_bytes()), &mut text);
        let opened = opened.map_err(|_| anyhow!("{doing}: it was sealed for another job, or with another key"))?;
        String::from_utf8(opened.to_vec()).with_context(|| format!("{doing}: it is no text"))
    }
}

/// Reads a key that nobody else can.
fn read_own(path: &Path) -> anyhow::Result<Vec<u8>> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(nofollow).open(path)?;
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        bail!("others can read it (its mode must be 0600, its owner this user)");
    }
    let mut key = Vec::new();
    // One byte more than a key has, so that a longer file is seen to be none.
    (&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
    Ok(key)
}

fn make(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| anyhow!("ask the system for random bytes"))?;
    private_file::write(path, &key, 0o600, None)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn opened(folder: &Path) -> anyhow::Result<Seal> {
        Seal::open(folder, &|_| None)
    }

    #[test]
    fn what_was_sealed_opens_for_its_job_after_a_restart_and_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = opened(folder.path()).unwrap().seal("job-1", "secret").unwrap();
        assert!(!sealed.contains("secret"));
        let seal = opened(folder.path()).unwrap();
        assert_eq!(seal.unseal("job-1", &sealed).unwrap(), "secret");
        seal.unseal("job-2", &sealed).unwrap_err();
        assert_ne!(seal.seal("job-1", "secret").unwrap(), sealed, "no nonce is used twice");
        let other = tempfile::tempdir().unwrap();
        opened(other.path()).unwrap().unseal("job-1", &sealed).unwrap_err();
    }

    #[test]
    fn damage_is_an_error_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let seal = opened(folder.path()).unwrap();
        let sealed = seal.seal("job", "secret").unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            seal.unseal("job", std::str::from_utf8(&damaged).unwrap()).unwrap_err();
            seal.unseal("job", &sealed[..at]).unwrap_err();
        }
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        opened(folder.path()).unwrap();
        let path = folder.path().join("seal.key");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(format!("{:#}", opened(folder.path()).unwrap_err()).contains("others can read it"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for content in [&[][..], &[0; 31], &[0; 33]] {
            fs::write(&path, content).unwrap();
            assert!(format!("{:#}", opened(folder.path()).unwrap_err()).contains("seal.key"));
        }
    }

    #[test]
    fn the_credential_of_systemd_counts_before_the_file() {
        let (state, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(credentials.path().join("seal.key"), [7; 32]).unwrap();
        let directory = credentials.path().display().to_string();
        let seal = Seal::open(state.path(), &|_| Some(directory.clone())).unwrap();
        let sealed = seal.seal("job", "secret").unwrap();
        assert!(!state.path().join("seal.key").exists());
        assert_eq!(Seal::of(&[7; 32]).unwrap().unseal("job", &sealed).unwrap(), "secret");
        assert!(!format!("{seal:?}").contains('7'));
    }
}
