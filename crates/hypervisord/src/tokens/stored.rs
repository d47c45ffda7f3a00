//! The file of tokens.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, bail};
use hyper_api::{Role, Token};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::secret::Hash;
use crate::private_file;

/// Version of the file's form.
const VERSION: u32 = 1;

/// A token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) sha256: Hash,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
}

impl Stored {
    /// Returns what may be shown of it.
    pub(super) fn shown(&self) -> Token {
        Token {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role,
            created_at: self.created_at.to_string(),
            expires_at: self.expires_at.map(|end| end.to_string()),
        }
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    tokens: Vec<Stored>,
}

/// Reads the file; nothing is in one that is missing.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Stored>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    // A damaged file must not be taken for an empty one: the next write would lose every token for good.
    let file: File = serde_json::from_slice(&text)
        .context("the file is damaged; restore it, or move it away to begin without tokens")?;
    if file.version != VERSION {
        bail!("the file is of version {}, and this program knows {VERSION}", file.version);
    }
    Ok(file.tokens)
}

/// Writes the file, durably.
pub(super) fn write(path: &Path, tokens: &[Stored]) -> anyhow::Result<()> {
    let file = File { version: VERSION, tokens: tokens.to_vec() };
    let text = serde_json::to_vec_pretty(&file).context("write the tokens as JSON")?;
    private_file::write(path, &text, 0o600, None).with_context(|| format!("write {}", path.display()))
}
