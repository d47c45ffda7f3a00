//! What a simulator is told: options that are fixed at the start, and switches and faults that may
//! change while it runs.
//!
//! The same [`Settings`] come from command line flags, from the table `[faults]` of a scenario, and
//! from `POST /faults` of the control endpoint, where only the named keys change. [`Faults`] holds
//! the current ones and counts how often each fault has struck.
//!
//! What goes beyond single switches is said by rules ([`rule`]), which [`Faults`] asks at every event.
//!
//! Nothing here acts: [`crate::nfc`] damages streams, [`crate::soap`] lies and refuses, and
//! `crate::interfere` does what rules say.

mod options;
pub mod rule;
mod settings;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::line::VCENTER;
pub use crate::pace::profile::{Lane, Profile, Shape};
pub use options::Options;
pub use rule::Rule;
use rule::action::{Action, Stage};
use rule::book::{Book, Event, Load, Strike};
use rule::{Names, VmdkDamage};
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
    /// Returns every name by which a rule can mean this file.
    pub(crate) fn all(&self) -> Vec<String> {
        let (path, name) = (self.vm_path, self.target_id);
        vec![path.to_owned(), self.key.to_owned(), name.to_owned(), format!("{path}/{name}")]
    }

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
    /// True while there are rules: whoever asks for none pays nothing.
    has_rules: AtomicBool,
    /// What rules may name.
    names: Names,
    started: Instant,
}

#[derive(Debug)]
struct State {
    settings: Arc<Settings>,
    /// How often each fault has struck, by its key in [`Settings`] or the name of its rule.
    struck: BTreeMap<String, u64>,
    book: Book,
}

impl Faults {
    /// Starts with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_names(settings, Names::default())
    }

    /// Starts with these settings and the names that rules may use.
    #[must_use]
    pub fn with_names(settings: Settings, names: Names) -> Self {
        let state = State { settings: Arc::new(settings), struck: BTreeMap::new(), book: Book::default() };
        Self { state: Mutex::new(state), has_rules: AtomicBool::new(false), names, started: Instant::now() }
    }

    /// Adds rules after those that there are.
    ///
    /// # Errors
    ///
    /// Says which rule is refused and why; then none was added.
    pub fn add_rules(&self, rules: Vec<Rule>) -> Result<(), String> {
        for rule in &rules {
            rule.check(&self.names)?;
        }
        let mut state = self.lock();
        rules.into_iter().for_each(|rule| state.book.add(rule, self.started.elapsed()));
        self.has_rules.store(!state.book.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Removes the rules of this name, or all of them, and returns how many there were. What has struck
    /// stays counted, and what was done stays done.
    pub fn remove_rules(&self, name: Option<&str>) -> usize {
        let mut state = self.lock();
        let removed = state.book.remove(name);
        self.has_rules.store(!state.book.is_empty(), Ordering::Release);
        removed
    }

    /// Returns all rules with how often they matched and struck.
    #[must_use]
    pub fn rules(&self) -> serde_json::Value {
        let state = self.lock();
        let rules = state.book.all().iter().map(|armed| {
            serde_json::json!({
                "name": armed.name, "matches": armed.matches, "strikes": armed.strikes, "rule": *armed.rule,
            })
        });
        rules.collect()
    }

    /// Returns whether there are rules at all.
    pub(crate) fn has_rules(&self) -> bool {
        self.has_rules.load(Ordering::Acquire)
    }

    /// Returns what strikes at an event, and counts it.
    pub(crate) fn strikes(&self, event: &Event<'_>) -> Vec<Strike> {
        if !self.has_rules() {
            return Vec::new();
        }
        let mut state = self.lock();
        let strikes = state.book.decide(event, self.started.elapsed());
        for strike in &strikes {
            tracing::info!(rule = strike.rule, stage = ?event.stage, path = event.path, "a rule strikes");
            *state.struck.entry(strike.rule.clone()).or_insert(0) += 1;
        }
        strikes
    }

    /// Forgets a strike that came to nothing, so that the rule may strike another time.
    pub(crate) fn take_back(&self, strike: &Strike) {
        tracing::info!(rule = strike.rule, "there was nothing for the rule to do");
        let mut state = self.lock();
        state.book.take_back(strike);
        let left = state.struck.get_mut(&strike.rule).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            state.struck.remove(&strike.rule);
        }
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
        *self.lock().struck.entry(name.to_owned()).or_insert(0) += 1;
    }

    /// Returns how often each fault and each rule has struck.
    #[must_use]
    pub fn struck(&self) -> BTreeMap<String, u64> {
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
        *state.struck.entry("progress_fails".to_owned()).or_insert(0) += 1;
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

    /// Returns the lie that a rule wants the manifest to tell about a file, and counts it.
    #[must_use]
    pub(crate) fn manifest_rule(&self, file: FileNames<'_>) -> Option<ManifestLieKind> {
        let strikes = self.strikes_at_file(Stage::Manifest, file, VCENTER);
        strikes.iter().find_map(|strike| match strike.action() {
            Action::Manifest(kind) => Some(*kind),
            _ => None,
        })
    }

    /// Returns the damage that a rule does to the format of a stream that begins now, and counts it.
    #[must_use]
    pub(crate) fn vmdk_damage(&self, file: FileNames<'_>, listener: &str) -> Option<VmdkDamage> {
        let strikes = self.strikes_at_file(Stage::Content, file, listener);
        strikes.iter().find_map(|strike| match strike.action() {
            Action::Vmdk(damage) => Some(*damage),
            _ => None,
        })
    }

    fn strikes_at_file(&self, stage: Stage, file: FileNames<'_>, listener: &str) -> Vec<Strike> {
        if !self.has_rules() {
            return Vec::new();
        }
        let (objects, load) = (file.all(), Load::default());
        self.strikes(&Event { stage, listener, http: "", path: "", method: None, objects: &objects, load })
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
