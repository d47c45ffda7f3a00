//! How the files of a disk hold its bytes: the words of the inventory, and what goes together.

use serde::Deserialize;

use super::{Datacenter, Disk};

/// Most links above a base: with it, what vSphere allows in a chain.
const LINKS_MAX: u32 = 32;

/// Largest disk above which an ESX redo log can stand. Its 32-bit sector numbers must reach the end of the
/// log's own file, in which each table of 16 KiB stands for 2 MiB.
const REDO_LOG_BYTES_MAX: u64 = (2 << 40) - (16 << 30);

/// Least and most bytes of one extent of a split disk; the most is what VMware's products cut at.
const EXTENT_BYTES_MIN: u64 = 64 << 10;
const EXTENT_BYTES_MAX: u64 = 2047 << 20;

/// Extents of a disk: readers refuse descriptors with more lines than a few thousand.
const EXTENTS_MAX: u64 = 1024;

/// How the files of a disk hold its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskLayout {
    /// One extent with all bytes.
    #[default]
    Flat,
    /// Several extents with all bytes, one after the other.
    Split,
    /// A redo log (COWD) above a flat base.
    Delta,
    /// A seSparse link above a flat base.
    SeSparse,
}

impl DiskLayout {
    /// Returns whether the word stands for a link above a base.
    #[must_use]
    pub fn is_link(self) -> bool {
        matches!(self, Self::Delta | Self::SeSparse)
    }
}

/// Where a disk's links look for its base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ParentPlace {
    /// In their own directory, by a relative name.
    #[default]
    Beside,
    /// In their own directory, by its absolute name `/vmfs/volumes/…`.
    Absolute,
    /// On the datastore of this name, by its absolute name.
    Datastore(String),
}

impl From<String> for ParentPlace {
    fn from(text: String) -> Self {
        match text.as_str() {
            "beside" => Self::Beside,
            "absolute" => Self::Absolute,
            other => Self::Datastore(other.trim_start_matches('[').trim_end_matches(']').to_owned()),
        }
    }
}

impl Disk {
    /// Returns the bytes of each extent of its base but the last.
    #[must_use]
    pub fn extent_bytes(&self) -> u64 {
        match (self.layout, &self.extent_size) {
            (DiskLayout::Split, Some(size)) => size.0,
            (DiskLayout::Split, None) => EXTENT_BYTES_MAX,
            _ => self.size.0,
        }
    }

    /// Checks that the words about files go together.
    pub(super) fn check_layout(&self, datacenter: &Datacenter) -> Result<(), String> {
        if self.link_count() > LINKS_MAX {
            return Err(format!("it has at most {LINKS_MAX} `links`"));
        }
        if self.layout.is_link() && self.links == Some(0) {
            return Err("a `delta` or `sesparse` layout has at least one of its `links`".to_owned());
        }
        if self.layout == DiskLayout::Delta && self.size.0 > REDO_LOG_BYTES_MAX {
            return Err(format!("a redo log stands above at most {REDO_LOG_BYTES_MAX} bytes; larger needs `sesparse`"));
        }
        if let Some(size) = &self.extent_size {
            if self.layout != DiskLayout::Split {
                return Err("`extent_size` is for the layout `split`".to_owned());
            }
            if !size.0.is_multiple_of(512) || !(EXTENT_BYTES_MIN..=EXTENT_BYTES_MAX).contains(&size.0) {
                let rule = "`extent_size` is a multiple of 512 from 64 KiB to 2047 MiB";
                return Err(format!("{rule}, not {} bytes", size.0));
            }
        }
        if self.size.0.div_ceil(self.extent_bytes()) > EXTENTS_MAX {
            return Err(format!("it has at most {EXTENTS_MAX} extents"));
        }
        if self.parent != ParentPlace::Beside && self.link_count() == 0 {
            return Err("`parent` is for disks with `links`".to_owned());
        }
        match &self.parent {
            ParentPlace::Datastore(name) if !datacenter.datastores.contains(name) => {
                Err(format!("`parent` is `beside`, `absolute` or a datastore in brackets, and there is no `{name}`"))
            }
            _ => Ok(()),
        }
    }
}

/// Returns whether a redo log can stand above a disk of this size.
pub(crate) fn fits_redo_log(bytes: u64) -> bool {
    bytes <= REDO_LOG_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::inventory::Inventory;

    fn error(disk: &str) -> String {
        let text = format!(
            "[[datacenter]]\nname = \"DC0\"\n[[vm]]\npath = \"DC0/vm/x\"\n[[vm.disk]]\nsize = \"4 MiB\"\n{disk}\n"
        );
        Inventory::parse(&text, Path::new(".")).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn words_that_do_not_go_together_are_refused() {
        for (disk, word) in [
            ("links = 33", "at most 32"),
            ("layout = \"delta\"\nlinks = 0", "at least one"),
            ("extent_size = \"1 MiB\"", "for the layout `split`"),
            ("layout = \"split\"\nextent_size = 1000", "multiple of 512"),
            ("parent = \"absolute\"", "for disks with `links`"),
            ("links = 1\nparent = \"[ds9]\"", "no `ds9`"),
        ] {
            assert!(error(disk).contains(word), "{disk}: {}", error(disk));
        }
        for disk in ["links = 3", "layout = \"split\"\nextent_size = \"1 MiB\"", "links = 1\nparent = \"[datastore1]\""]
        {
            assert_eq!(error(disk), "", "{disk}");
        }
    }

    #[test]
    fn a_redo_log_stands_above_no_more_than_it_can_address() {
        let disk = "layout = \"delta\"";
        assert_eq!(error(disk), "");
        let text = error(&format!("{disk}\n[[vm.disk]]\nsize = \"2 TiB\"\n{disk}"));
        assert!(text.contains("disk 1") && text.contains("`sesparse`"), "{text}");
    }
}
