//! What a simulator is told: options that are fixed at the start, and switches and faults that may
//! change while it runs.
//!
//! The same [`Settings`] come from command line flags, from the table `[faults]` of a scenario, and
//! from `POST /faults` of the control endpoint, where only the named keys change. [`Faults`] holds
//! the current ones and counts how often each fault has struck.
//!
//! Nothing here acts: [`crate::nfc`] damages streams, [`crate::soap`] lies and refuses.

mod options;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use options::Options;
pub use settings::{CorruptByte, CutAfter, HashName, ManifestLie, ManifestLieKind, Settings, ThumbprintKind};

/// The names by which a fault can pick a file of a lease.
#[derive(Clone, Copy, Debug)]
pub struct FileNames<'a> {
    /// Inventory path of the VM.
    pub vm_path: &'a str,
    /// Key of the device, `/vm-62/ParaVirtualSCSIController0:0`.
    pub key: &'a str,
    /// File name in the lease, `disk-0.vmdk`.
    pub target_id: &'a str,
}

impl FileNames<'_> {
    /// Returns whether `pattern` means this file: `*`, its name (`disk-0.vmdk`, of any VM), its key, or
    /// the path of its VM, a slash and its name (`DC0/vm/web/web01/disk-0.vmdk`).
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        pattern == "*"
            || pattern == self.target_id
            || pattern == self.key
            || pattern.strip_suffix(self.target_id).and_then(|rest| rest.strip_suffix('/')) == Some(self.vm_path)
    }
}

/// How one stream is to be damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamDamage {
    /// Offset of the byte that is flipped.
    pub corrupt_at: Option<u64>,
    /// Bytes after which the connection is reset.
    pub reset_after: Option<u64>,
    /// Bytes after which the stream ends as if complete.
    pub end_after: Option<u64>,
}

/// The switches and faults of a running simulator.
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Arc<Settings>,
    /// How often each fault has struck, by its key in [`Settings`].
    struck: BTreeMap<&'static str, u64>,
}

impl Faults {
    /// Starts with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { state: Mutex::new(State { settings: Arc::new(settings), struck: BTreeMap::new() }) }
    }

    /// Returns the settings that hold now.
    #[must_use]
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.lock().settings)
    }

    /// Changes settings.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.lock().settings));
    }

    /// Changes the settings that `changes`, a JSON object, names; `null` restores a default.
    ///
    /// # Errors
    ///
    /// Says what is wrong with `changes`; then nothing has changed.
    pub fn merge(&self, changes: &serde_json::Value) -> Result<(), String> {
        let serde_json::Value::Object(changes) = changes else {
            return Err("faults are a JSON object".to_owned());
        };
        let mut state = self.lock();
        let mut merged = serde_json::to_value(&*state.settings).map_err(|error| error.to_string())?;
        let object = merged.as_object_mut().expect("a struct becomes an object");
        for (key, value) in changes {
            if value.is_null() {
                object.remove(key);
            } else {
                object.insert(key.clone(), value.clone());
            }
        }
        state.settings = Arc::new(serde_json::from_value(merged).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Notes that a fault has struck; `name` is its key in [`Settings`].
    pub fn note(&self, name: &'static str) {
        *self.lock().struck.entry(name).or_insert(0) += 1;
    }

    /// Returns how often each fault has struck.
    #[must_use]
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.lock().struck.clone()
    }

    /// Returns whether this `HttpNfcLeaseProgress` is to fail, and counts it.
    #[must_use]
    pub fn take_progress_failure(&self) -> bool {
        let mut state = self.lock();
        if state.settings.progress_fails == 0 {
            return false;
        }
        Arc::make_mut(&mut state.settings).progress_fails -= 1;
        *state.struck.entry("progress_fails").or_insert(0) += 1;
        true
    }

    /// Returns the lie that the manifest is to tell about a file, and counts it.
    #[must_use]
    pub fn manifest_lie(&self, file: FileNames<'_>) -> Option<ManifestLieKind> {
        let lie = self.now().manifest_lie.as_ref().filter(|lie| file.matches(&lie.file)).map(|lie| lie.kind);
        if lie.is_some() {
            self.note("manifest_lie");
        }
        lie
    }

    /// Returns how a stream of `file` that begins now is to be damaged, and counts the fault as used.
    #[must_use]
    pub fn take_stream_damage(&self, file: FileNames<'_>) -> StreamDamage {
        let mut state = self.lock();
        let settings = Arc::make_mut(&mut state.settings);
        let corrupt = settings.corrupt_byte.as_mut().filter(|fault| file.matches(&fault.file));
        let reset = settings.reset_after_bytes.as_mut().filter(|fault| file.matches(&fault.file));
        let end = settings.clean_end_after_bytes.as_mut().filter(|fault| file.matches(&fault.file));
        StreamDamage {
            corrupt_at: corrupt.and_then(|fault| use_up(&mut fault.times).then_some(fault.offset)),
            reset_after: reset.and_then(|fault| use_up(&mut fault.times).then_some(fault.bytes)),
            end_after: end.and_then(|fault| use_up(&mut fault.times).then_some(fault.bytes)),
        }
    }

    /// A panic elsewhere cannot leave the state half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one use down and returns whether there was one left.
fn use_up(times: &mut Option<u32>) -> bool {
    match times {
        None => true,
        Some(0) => false,
        Some(left) => {
            *left -= 1;
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: FileNames<'static> =
        FileNames { vm_path: "DC0/vm/web/web01", key: "/vm-62/VirtualNVMEController0:0", target_id: "disk-0.vmdk" };

    #[test]
    fn a_file_is_picked_by_name_key_path_or_star() {
        for pattern in ["*", "disk-0.vmdk", "/vm-62/VirtualNVMEController0:0", "DC0/vm/web/web01/disk-0.vmdk"] {
            assert!(FILE.matches(pattern), "{pattern}");
        }
        for pattern in ["", "disk-1.vmdk", "DC0/vm/web/web02/disk-0.vmdk", "web01/disk-0.vmdk", "DC0/vm/web/web01"] {
            assert!(!FILE.matches(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_merge_changes_what_it_names_and_nothing_else() {
        let faults = Faults::new(Settings { progress_fails: 3, ..Settings::default() });
        faults
            .merge(&json!({"bytes_per_second": 1000, "manifest_lie": {"kind": "hash", "file": "*"}, "head_405": false}))
            .unwrap();
        let now = faults.now();
        assert_eq!(now.bytes_per_second, Some(1000));
        assert_eq!(now.progress_fails, 3);
        assert!(!now.head_405);
        assert_eq!(faults.manifest_lie(FILE), Some(ManifestLieKind::Hash));
        faults.merge(&json!({"bytes_per_second": null, "head_405": null, "manifest_lie": null})).unwrap();
        assert_eq!(*faults.now(), Settings { progress_fails: 3, ..Settings::default() });
    }

    #[test]
    fn a_merge_with_an_unknown_key_or_a_wrong_value_changes_nothing() {
        let faults = Faults::new(Settings::default());
        for (wrong, word) in [
            (json!({"bytes_per_second": 5, "bites": 1}), "bites"),
            (json!({"star_host": "yes"}), "boolean"),
            (json!([]), "object"),
        ] {
            let error = faults.merge(&wrong).unwrap_err();
            assert!(error.contains(word), "{error}");
            assert_eq!(*faults.now(), Settings::default());
        }
    }

    #[test]
    fn a_fault_with_a_count_is_used_up() {
        let faults = Faults::new(Settings {
            reset_after_bytes: Some(CutAfter { file: "disk-0.vmdk".to_owned(), bytes: 7, times: Some(1) }),
            progress_fails: 1,
            ..Settings::default()
        });
        let other = FileNames { target_id: "disk-1.vmdk", ..FILE };
        assert_eq!(faults.take_stream_damage(other), StreamDamage::default());
        assert_eq!(faults.take_stream_damage(FILE).reset_after, Some(7));
        assert_eq!(faults.take_stream_damage(FILE), StreamDamage::default());
        assert!(faults.take_progress_failure());
        assert!(!faults.take_progress_failure());
        assert_eq!(faults.struck()["progress_fails"], 1);
    }
}
