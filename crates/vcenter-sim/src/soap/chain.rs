//! The snapshots of a VM and the links of its disks: what comes, what goes, what is merged.
//!
//! Nothing here goes back to a snapshot, so snapshots form a row, each the child of the one before. Each
//! has frozen the links below it, and a link begins above it:
//!
//! ```text
//!  links       disk ◄── 000001 ◄── 000002 ◄── 000003 (written to)
//!  deltas      [0]      [1]        [2]        [3]           numbers of `VmState::deltas`
//!  snapshots        "a"         "b"        "c"
//!  remove "b"  disk ◄── 000001 ◄────────────── 000003       [0] [1] [1] [3]: what 2 wrote, 1 holds
//! ```
//!
//! A removal without a merge leaves a link that no snapshot asks for; then the VM needs consolidation.
//! Pure: no clock, no lock.

use std::collections::BTreeSet;

use vsphere::wire::DateTime;
use vsphere::wire::generated::VirtualMachinePowerState as Power;

use super::configured::Configured;
use super::state::VmState;
use crate::content::{Delta, mix};

/// A snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Id of its reference: `snapshot-7`.
    pub(crate) moref: String,
    /// Number within its VM, never used again.
    pub(crate) id: i32,
    /// What was asked for.
    pub(crate) wish: NewSnapshot,
    pub(crate) created: DateTime,
    /// Power state to which it would return.
    pub(crate) power: Power,
    /// How many of the VM's deltas its state contains; a link begins there.
    pub(crate) frozen: usize,
    /// The VM's configuration at that time.
    pub(crate) configured: Configured,
}

/// A snapshot to be taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewSnapshot {
    pub(crate) name: String,
    pub(crate) description: String,
    /// Whether the guest's memory is kept, too.
    pub(crate) memory: bool,
    /// Whether the guest's file systems are at rest.
    pub(crate) quiesced: bool,
    /// True when the inventory has it from the start: then it is nobody's leak.
    pub(crate) declared: bool,
}

/// Snapshots to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) which: Which,
    /// Whether links that nobody needs any more are merged.
    pub(crate) merge: bool,
}

/// Which snapshots are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// None: links are merged, nothing else.
    Nothing,
    /// The one with this reference.
    One(String),
    /// That and all its children.
    From(String),
    All,
}

impl VmState {
    /// Takes a snapshot: freezes what is, and begins a link of which the guest writes `share`.
    pub(crate) fn take_snapshot(&mut self, wish: NewSnapshot, moref: String, created: DateTime, share: u16) {
        self.snapshots_made += 1;
        let power = if wish.memory { self.power.clone() } else { Power::PoweredOff };
        self.snapshots.push(Snapshot {
            moref,
            id: i32::try_from(self.snapshots_made).unwrap_or(i32::MAX),
            wish,
            created,
            power,
            frozen: self.deltas.len(),
            configured: self.configured.clone(),
        });
        let used: BTreeSet<u32> = self.deltas.iter().map(|delta| delta.number).collect();
        let number = (1..).find(|number| !used.contains(number)).unwrap_or(u32::MAX);
        let seed = mix(self.seed ^ mix(self.snapshots_made));
        self.deltas.push(Delta { number, seed, share });
    }

    /// Removes snapshots, and merges links if asked.
    pub(crate) fn remove_snapshots(&mut self, removal: &Removal) {
        let position = |moref: &String| self.snapshots.iter().position(|snapshot| snapshot.moref == *moref);
        match &removal.which {
            Which::Nothing => {}
            Which::One(moref) => {
                if let Some(at) = position(moref) {
                    self.snapshots.remove(at);
                }
            }
            Which::From(moref) => {
                if let Some(at) = position(moref) {
                    self.snapshots.truncate(at);
                }
            }
            Which::All => self.snapshots.clear(),
        }
        if removal.merge {
            self.merge_links();
        }
    }

    /// Returns whether a link is left that no snapshot asks for.
    pub(crate) fn needs_consolidation(&self) -> bool {
        let frozen: BTreeSet<usize> = self.snapshots.iter().map(|snapshot| snapshot.frozen).collect();
        let below = std::iter::once(0).chain(self.deltas.iter().map(|delta| delta.number));
        let begins = below.zip(&self.deltas).enumerate().filter(|(_, (below, delta))| *below != delta.number);
        begins.into_iter().any(|(at, _)| !frozen.contains(&at))
    }

    /// Returns how many links stand above the disks themselves.
    pub(crate) fn links(&self) -> usize {
        self.deltas.iter().map(|delta| delta.number).filter(|&number| number > 0).collect::<BTreeSet<_>>().len()
    }

    /// Lets each link that no snapshot asks for become part of the one below.
    fn merge_links(&mut self) {
        let frozen: BTreeSet<usize> = self.snapshots.iter().map(|snapshot| snapshot.frozen).collect();
        let mut number = 0;
        let mut merged = Vec::with_capacity(self.deltas.len());
        // How many deltas are left of those below each place.
        let mut left = Vec::with_capacity(self.deltas.len());
        for (at, delta) in self.deltas.iter().enumerate() {
            left.push(merged.len());
            let begins = frozen.contains(&at);
            if begins {
                number = delta.number;
            }
            // A link stays though nothing was written; what is merged and empty is not worth a memory.
            if begins || delta.share > 0 {
                merged.push(Delta { number, ..*delta });
            }
        }
        for snapshot in &mut self.snapshots {
            snapshot.frozen = left.get(snapshot.frozen).copied().unwrap_or(merged.len());
        }
        self.deltas = merged;
    }
}

/// Returns a part as a [`Delta`] counts it; `part` is 0.0 to 1.0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 65535 before")]
pub(crate) fn share(part: f64) -> u16 {
    (part * 65536.0).round().clamp(0.0, f64::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::inventory::Vm;

    fn vm() -> VmState {
        let vm: Vm = toml::from_str("path = \"DC0/vm/a\"\npower = \"poweredOn\"\n").unwrap();
        VmState::of(&vm, &mut 0)
    }

    /// Takes snapshots named by letters, above each of which the guest writes something.
    fn with(names: &str) -> VmState {
        let mut vm = vm();
        names.chars().for_each(|name| take(&mut vm, name, 100));
        vm
    }

    fn take(vm: &mut VmState, name: char, share: u16) {
        let wish = NewSnapshot { name: name.to_string(), ..NewSnapshot::default() };
        vm.take_snapshot(wish, name.to_string(), DateTime::default(), share);
    }

    fn remove(vm: &mut VmState, which: Which, merge: bool) {
        vm.remove_snapshots(&Removal { which, merge });
    }

    fn one(name: char) -> Which {
        Which::One(name.to_string())
    }

    fn numbers(vm: &VmState) -> Vec<u32> {
        vm.deltas.iter().map(|delta| delta.number).collect()
    }

    fn frozen(vm: &VmState) -> Vec<(String, usize)> {
        vm.snapshots.iter().map(|snapshot| (snapshot.moref.clone(), snapshot.frozen)).collect()
    }

    #[test]
    fn each_snapshot_freezes_what_is_below_and_begins_a_link_with_the_next_free_number() {
        let mut vm = with("abc");
        assert_eq!(numbers(&vm), [1, 2, 3]);
        assert_eq!(frozen(&vm), [("a".into(), 0), ("b".into(), 1), ("c".into(), 2)]);
        let seeds: BTreeSet<u64> = vm.deltas.iter().map(|delta| delta.seed).collect();
        assert_eq!(seeds.len(), 3);
        remove(&mut vm, one('b'), true);
        take(&mut vm, 'd', 100);
        // The number of the link that was merged is free again, the ids are not.
        assert_eq!(numbers(&vm), [1, 1, 3, 2]);
        assert_eq!(vm.snapshots.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn a_removed_snapshot_lets_its_link_become_part_of_the_one_below() {
        for (name, expected, left) in [('a', [0, 2, 3], [1, 2]), ('b', [1, 1, 3], [0, 2]), ('c', [1, 2, 2], [0, 1])] {
            let mut vm = with("abc");
            let written: Vec<u64> = vm.deltas.iter().map(|delta| delta.seed).collect();
            remove(&mut vm, one(name), true);
            assert_eq!(numbers(&vm), expected, "{name}");
            assert_eq!(vm.snapshots.iter().map(|snapshot| snapshot.frozen).collect::<Vec<_>>(), left, "{name}");
            // Whatever was written is still there.
            assert_eq!(vm.deltas.iter().map(|delta| delta.seed).collect::<Vec<_>>(), written, "{name}");
            assert!(!vm.needs_consolidation());
        }
    }

    #[test]
    fn removing_with_children_or_all_leaves_what_is_below() {
        let mut vm = with("abc");
        remove(&mut vm, Which::From("b".into()), true);
        assert_eq!((numbers(&vm), frozen(&vm)), (vec![1, 1, 1], vec![("a".into(), 0)]));
        remove(&mut vm, Which::All, true);
        assert_eq!((numbers(&vm), vm.links(), frozen(&vm).len()), (vec![0, 0, 0], 0, 0));
    }

    #[test]
    fn without_a_merge_the_links_stay_until_somebody_consolidates() {
        let mut vm = with("abc");
        remove(&mut vm, one('b'), false);
        assert!(vm.needs_consolidation());
        assert_eq!((numbers(&vm), vm.links()), (vec![1, 2, 3], 3));
        take(&mut vm, 'd', 0);
        assert!(vm.needs_consolidation());
        remove(&mut vm, Which::Nothing, true);
        assert!(!vm.needs_consolidation());
        assert_eq!(numbers(&vm), [1, 1, 3, 4]);
        assert_eq!(frozen(&vm), [("a".into(), 0), ("c".into(), 2), ("d".into(), 3)]);
    }

    #[test]
    fn links_without_writes_leave_nothing_behind() {
        let mut vm = vm();
        for name in "abcd".chars() {
            take(&mut vm, name, 0);
        }
        remove(&mut vm, one('c'), true);
        assert_eq!((numbers(&vm), vm.links()), (vec![1, 2, 4], 3));
        assert_eq!(frozen(&vm), [("a".into(), 0), ("b".into(), 1), ("d".into(), 2)]);
        remove(&mut vm, Which::All, true);
        assert!(vm.deltas.is_empty() && !vm.needs_consolidation());
    }

    /// Returns what identifies the writes in some links.
    fn written(deltas: &[Delta]) -> Vec<u64> {
        deltas.iter().filter(|delta| delta.share > 0).map(|delta| delta.seed).collect()
    }

    #[test]
    fn whatever_comes_and_goes_what_a_snapshot_keeps_and_what_the_guest_sees_stay() {
        for run in 0..200_u64 {
            let mut vm = vm();
            let (mut kept, mut now) = (BTreeMap::new(), Vec::new());
            for step in 0..40_u64 {
                let dice = mix(mix(run) ^ step);
                let picked = vm.snapshots.get(usize::try_from(dice >> 32).unwrap() % vm.snapshots.len().max(1));
                let picked = picked.map(|snapshot| snapshot.moref.clone());
                let merge = dice & 0x100 != 0;
                match (dice % 6, picked) {
                    (0, Some(moref)) => remove(&mut vm, Which::One(moref), merge),
                    (1, Some(moref)) => remove(&mut vm, Which::From(moref), merge),
                    (2, _) => remove(&mut vm, Which::Nothing, merge),
                    _ => {
                        let share = if dice & 0x200 == 0 { 0 } else { 7 };
                        vm.take_snapshot(NewSnapshot::default(), step.to_string(), DateTime::default(), share);
                        kept.insert(step.to_string(), now.clone());
                        now = written(&vm.deltas);
                        assert_eq!(now.len(), kept[&step.to_string()].len() + usize::from(share > 0));
                    }
                }
                assert_eq!(written(&vm.deltas), now, "run {run} step {step}");
                for snapshot in &vm.snapshots {
                    assert_eq!(written(&vm.deltas[..snapshot.frozen]), kept[&snapshot.moref], "run {run} step {step}");
                }
                let mut links = numbers(&vm);
                links.dedup();
                assert_eq!(
                    links.iter().collect::<BTreeSet<_>>().len(),
                    links.len(),
                    "run {run} step {step}: {links:?}"
                );
                // Each snapshot has a link above it.
                assert!(vm.links() >= vm.snapshots.len(), "run {run} step {step}");
            }
            remove(&mut vm, Which::All, true);
            assert!(vm.links() == 0 && !vm.needs_consolidation(), "run {run}");
            assert_eq!(written(&vm.deltas), now, "run {run}");
        }
    }

    #[test]
    fn a_share_is_a_part_of_65536() {
        assert_eq!([0.0, 0.02, 0.5, 1.0].map(share), [0, 1311, 32768, 65535]);
    }
}
