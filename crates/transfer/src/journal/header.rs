//! What a journal is about: enough to notice that source or target are not the same any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::no_journal;
use crate::chunk::Chunks;
use crate::{Error, ErrorKind, Result};

/// The first frame of a journal, as JSON, so that a person can read it in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Where the bytes come from.
    pub source: Source,
    /// The road that they travel, for example `lease`, `folder`, `file`.
    pub road: String,
    /// The format that is written, for example `qcow2`.
    pub format: String,
    /// Everything that makes the same content another file: cluster size, compression.
    pub parameters: BTreeMap<String, String>,
    /// Size of a chunk in bytes.
    pub chunk_bytes: u64,
}

/// Identity of a disk at its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The VM: `instanceUuid`, or what else does not change when it is renamed. Empty for a file.
    pub vm: String,
    /// The disk within it: device key, or a path.
    pub disk: String,
    /// The disk's own `uuid`; empty when it has none.
    pub uuid: String,
    /// Length of the content in bytes.
    pub capacity_bytes: u64,
    /// Point in the source's change tracking; missing where it does not track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<String>,
    /// The files that hold the content, top-most link first.
    pub files: Vec<SourceFile>,
}

/// A file that holds content, with what changes when somebody writes to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name as the source says it.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was last written, in the source's own words; compared, never computed with.
    pub modified: String,
}

/// One thing that is not what it was when the transfer began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs, for people: `capacity`, `change id`, `file web01-flat.vmdk`.
    pub what: String,
    /// What the journal says.
    pub then: String,
    /// What is true now.
    pub now: String,
}

impl Header {
    /// Returns how the content is cut.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`] for a chunk size that [`Chunks::new`] refuses.
    pub fn chunks(&self) -> Result<Chunks> {
        Chunks::new(self.source.capacity_bytes, self.chunk_bytes)
    }

    /// Returns what is different in `now`; nothing means that the transfer can go on.
    ///
    /// Any difference forbids it: bytes of two states of a disk make a disk that never was.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut compare = |what: &str, then: &str, now: &str| {
            if then != now {
                found.push(Difference { what: what.to_owned(), then: then.to_owned(), now: now.to_owned() });
            }
        };
        let (then, there) = (&self.source, &now.source);
        compare("vm", &then.vm, &there.vm);
        compare("disk", &then.disk, &there.disk);
        compare("uuid", &then.uuid, &there.uuid);
        compare("capacity", &then.capacity_bytes.to_string(), &there.capacity_bytes.to_string());
        let change_id = |source: &Source| source.change_id.clone().unwrap_or_else(|| "none".to_owned());
        compare("change id", &change_id(then), &change_id(there));
        for index in 0..then.files.len().max(there.files.len()) {
            let (old, new) = (then.files.get(index), there.files.get(index));
            let name = old.or(new).map_or("", |file| &file.name);
            compare(&format!("file {name}"), &described(old), &described(new));
        }
        compare("road", &self.road, &now.road);
        compare("format", &self.format, &now.format);
        let names: std::collections::BTreeSet<_> = self.parameters.keys().chain(now.parameters.keys()).collect();
        for name in names {
            let value = |header: &Self| header.parameters.get(name).cloned().unwrap_or_else(|| "none".to_owned());
            compare(name, &value(self), &value(now));
        }
        compare("chunk size", &self.chunk_bytes.to_string(), &now.chunk_bytes.to_string());
        found
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let failed = |error| Error::new(ErrorKind::Bounds, "write the header of a journal").with_source(error);
        serde_json::to_vec(self).map_err(|error| failed(Box::new(error)))
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self> {
        let unknown = |error| no_journal("its header is of another version").with_source(error);
        serde_json::from_slice(payload).map_err(|error| unknown(Box::new(error)))
    }
}

fn described(file: Option<&SourceFile>) -> String {
    let text = |file: &SourceFile| format!("{}, {} bytes, written {}", file.name, file.size_bytes, file.modified);
    file.map_or_else(|| "none".to_owned(), text)
}
