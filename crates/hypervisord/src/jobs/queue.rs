//! Which job is next.
//!
//! Pure: tickets go in, tickets come out as soon as the limits allow, and come back when their job has ended.
//! Higher priorities go first. Among equals the one whose owner has the fewest jobs at work, then the one
//! whose owner was served longest ago, then the oldest: ten thousand jobs of one owner do not keep another's
//! single one waiting. A job that a limit of its source or host holds back, or another job of its VM, lets others
//! past.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use hyper_api::JobId;

use super::owner::Owner;

/// How many jobs may be at work at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub running_max: usize,
    /// Of one source.
    pub per_source_max: usize,
    /// Of one host.
    pub per_host_max: usize,
}

impl Default for Limits {
    /// Each export has one connection per disk, and a host's file service slows down beyond about four VMs.
    fn default() -> Self {
        Self { running_max: 4, per_source_max: 4, per_host_max: 4 }
    }
}

/// A job that waits for its turn, or has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: JobId,
    /// Its place in the order of acceptance.
    pub order: u64,
    /// Higher goes first.
    pub priority: i32,
    /// Whose it is.
    pub owner: Owner,
    /// The source that it burdens.
    pub source: Option<String>,
    /// The host that it burdens.
    pub host: Option<String>,
    /// The VM that it needs for itself: a server lets one at a time work on it.
    pub vm: Option<String>,
}

/// Jobs of one priority: those of each owner, oldest first.
type Class = BTreeMap<Owner, BTreeMap<u64, Ticket>>;

/// The jobs that wait and those that are at work.
#[derive(Debug, Default)]
pub struct Queue {
    limits: Limits,
    waiting: BTreeMap<Reverse<i32>, Class>,
    /// Where each waiting job stands.
    places: HashMap<JobId, (i32, Owner, u64)>,
    running: HashMap<JobId, Ticket>,
    by_owner: Counts<Owner>,
    by_source: Counts<String>,
    by_host: Counts<String>,
    by_vm: Counts<String>,
    /// When each owner was last served, counted in tickets.
    served: HashMap<Owner, u64>,
    turn: u64,
}

impl Queue {
    /// Makes an empty queue.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Changes the limits; what is at work goes on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Lets a job wait for its turn. One that waits or is at work already stays as it is.
    pub fn push(&mut self, ticket: Ticket) {
        if self.places.contains_key(&ticket.id) || self.running.contains_key(&ticket.id) {
            return;
        }
        let place = (ticket.priority, ticket.owner.clone(), ticket.order);
        self.places.insert(ticket.id.clone(), place);
        let class = self.waiting.entry(Reverse(ticket.priority)).or_default();
        class.entry(ticket.owner.clone()).or_default().insert(ticket.order, ticket);
    }

    /// Returns the job whose turn it is; it is at work from now on.
    pub fn take(&mut self) -> Option<Ticket> {
        if self.running.len() >= self.limits.running_max {
            return None;
        }
        let id = self.waiting.values().find_map(|class| self.choose(class))?;
        let ticket = self.remove(&id)?;
        self.turn += 1;
        self.served.insert(ticket.owner.clone(), self.turn);
        self.by_owner.add(&ticket.owner);
        ticket.source.iter().for_each(|source| self.by_source.add(source));
        ticket.host.iter().for_each(|host| self.by_host.add(host));
        ticket.vm.iter().for_each(|vm| self.by_vm.add(vm));
        self.running.insert(id, ticket.clone());
        Some(ticket)
    }

    fn choose(&self, class: &Class) -> Option<JobId> {
        let fits = |ticket: &&Ticket| {
            let source = ticket.source.as_ref().is_none_or(|name| self.by_source.of(name) < self.limits.per_source_max);
            let host = ticket.host.as_ref().is_none_or(|name| self.by_host.of(name) < self.limits.per_host_max);
            let vm = ticket.vm.as_ref().is_none_or(|name| self.by_vm.of(name) == 0);
            source && host && vm
        };
        let next = class.iter().filter_map(|(owner, tickets)| Some((owner, tickets.values().find(fits)?)));
        let fair = |(owner, ticket): &(&Owner, &Ticket)| {
            (self.by_owner.of(owner), self.served.get(*owner).copied().unwrap_or(0), ticket.order)
        };
        next.min_by_key(fair).map(|(_, ticket)| ticket.id.clone())
    }

    /// Takes a job out that still waits.
    pub fn remove(&mut self, id: &JobId) -> Option<Ticket> {
        let (priority, owner, order) = self.places.remove(id)?;
        let class = self.waiting.get_mut(&Reverse(priority))?;
        let tickets = class.get_mut(&owner)?;
        let ticket = tickets.remove(&order);
        if tickets.is_empty() {
            class.remove(&owner);
        }
        if class.is_empty() {
            self.waiting.remove(&Reverse(priority));
        }
        ticket
    }

    /// Takes any job out that still waits.
    pub fn take_waiting(&mut self) -> Option<Ticket> {
        let id = self.places.keys().next()?.clone();
        self.remove(&id)
    }

    /// Returns the place of a job that was at work.
    pub fn done(&mut self, id: &JobId) {
        let Some(ticket) = self.running.remove(id) else { return };
        self.by_owner.take(&ticket.owner);
        ticket.source.iter().for_each(|source| self.by_source.take(source));
        ticket.host.iter().for_each(|host| self.by_host.take(host));
        ticket.vm.iter().for_each(|vm| self.by_vm.take(vm));
        if self.by_owner.of(&ticket.owner) == 0 && !self.waits(&ticket.owner) {
            // Nobody who is not there has to be remembered.
            self.served.remove(&ticket.owner);
        }
    }

    fn waits(&self, owner: &Owner) -> bool {
        self.waiting.values().any(|class| class.contains_key(owner))
    }

    /// Returns whether a job waits for its turn.
    pub fn is_waiting(&self, id: &JobId) -> bool {
        self.places.contains_key(id)
    }

    /// Returns how many wait.
    pub fn waiting(&self) -> usize {
        self.places.len()
    }

    /// Returns how many are at work.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

/// How often each of some things is in use; what is not is not kept.
#[derive(Debug)]
struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + std::hash::Hash> Counts<K> {
    fn of(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or(0)
    }

    fn add(&mut self, key: &K) {
        *self.0.entry(key.clone()).or_insert(0) += 1;
    }

    fn take(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(uid: u32) -> Owner {
        Owner::User { uid, gid: uid, groups: Vec::new() }
    }

    fn ticket(order: u64, priority: i32, uid: u32, host: &str) -> Ticket {
        Ticket {
            id: JobId::new(format!("job-{order}")),
            order,
            priority,
            owner: user(uid),
            source: Some("https://vc:443".into()),
            host: Some(host.into()),
            vm: None,
        }
    }

    fn queue(running: usize, per_host: usize, tickets: impl IntoIterator<Item = Ticket>) -> Queue {
        let mut queue = Queue::new(Limits { running_max: running, per_source_max: usize::MAX, per_host_max: per_host });
        tickets.into_iter().for_each(|ticket| queue.push(ticket));
        queue
    }

    fn orders(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.take()).map(|ticket| ticket.order).collect()
    }

    #[test]
    fn the_highest_priority_goes_first_and_the_oldest_among_equals() {
        let tickets = [ticket(1, 0, 1, "a"), ticket(2, 5, 1, "a"), ticket(3, 0, 1, "a"), ticket(4, -1, 1, "a")];
        assert_eq!(orders(&mut queue(9, 9, tickets)), [2, 1, 3, 4]);
    }

    #[test]
    fn one_owner_with_many_jobs_does_not_keep_another_waiting() {
        let many = (1..=100).map(|order| ticket(order, 0, 1, "a"));
        let mut queue = queue(4, 9, many.chain([ticket(101, 0, 2, "a"), ticket(102, 0, 2, "a")]));
        assert_eq!(orders(&mut queue), [1, 101, 2, 102]);
    }

    #[test]
    fn owners_with_equally_many_at_work_take_turns() {
        let mut queue =
            queue(1, 9, [ticket(1, 0, 1, "a"), ticket(2, 0, 1, "a"), ticket(3, 0, 2, "a"), ticket(4, 0, 2, "a")]);
        let mut served = Vec::new();
        while let Some(next) = queue.take() {
            served.push(next.order);
            queue.done(&next.id);
        }
        assert_eq!(served, [1, 3, 2, 4]);
        assert!(queue.served.is_empty() && queue.by_owner.0.is_empty(), "nothing is kept of what is gone");
    }

    #[test]
    fn a_host_that_has_enough_lets_jobs_of_others_past() {
        let mut queue = queue(9, 1, [ticket(1, 0, 1, "a"), ticket(2, 0, 1, "a"), ticket(3, 0, 1, "b")]);
        assert_eq!(orders(&mut queue), [1, 3]);
        queue.done(&JobId::new("job-1"));
        assert_eq!(orders(&mut queue), [2]);
    }

    #[test]
    fn two_jobs_of_one_vm_never_work_at_once() {
        let of_vm = |order, vm: &str| Ticket { vm: Some(vm.into()), ..ticket(order, 0, 1, "a") };
        let mut queue = queue(9, 9, [of_vm(1, "a"), of_vm(2, "a"), of_vm(3, "b")]);
        assert_eq!(orders(&mut queue), [1, 3]);
        queue.done(&JobId::new("job-3"));
        assert_eq!(queue.take(), None);
        queue.done(&JobId::new("job-1"));
        assert_eq!(orders(&mut queue), [2]);
    }

    #[test]
    fn a_limit_on_a_source_does_not_hold_back_work_on_local_files() {
        let local = Ticket { source: None, host: None, ..ticket(3, 0, 1, "") };
        let mut queue = Queue::new(Limits { running_max: 9, per_source_max: 1, per_host_max: 9 });
        [ticket(1, 0, 1, "a"), ticket(2, 0, 1, "b"), local].into_iter().for_each(|ticket| queue.push(ticket));
        assert_eq!(orders(&mut queue), [1, 3]);
    }

    #[test]
    fn a_job_is_there_once_and_can_be_taken_out_while_it_waits() {
        let mut queue = queue(1, 9, [ticket(1, 0, 1, "a"), ticket(1, 0, 1, "a"), ticket(2, 0, 1, "a")]);
        assert_eq!((queue.waiting(), queue.running()), (2, 0));
        assert_eq!(queue.take().unwrap().order, 1);
        queue.push(ticket(1, 0, 1, "a"));
        assert_eq!((queue.waiting(), queue.running()), (1, 1));
        assert!(queue.is_waiting(&JobId::new("job-2")));
        assert_eq!(queue.remove(&JobId::new("job-2")).unwrap().order, 2);
        assert_eq!((queue.remove(&JobId::new("job-1")), queue.waiting()), (None, 0));
    }

    proptest! {
        #[test]
        fn limits_hold_and_every_job_has_its_turn_once(
            jobs in prop::collection::vec((-2i32..3, 0u32..3, 0u8..3), 1..40),
            running_max in 1usize..5, per_source_max in 1usize..5, per_host_max in 1usize..4,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let limits = Limits { running_max, per_source_max, per_host_max };
            let mut queue = Queue::new(limits);
            for (order, (priority, uid, host)) in (1..).zip(&jobs) {
                queue.push(ticket(order, *priority, *uid, &host.to_string()));
            }
            let (mut at_work, mut seen) = (Vec::<Ticket>::new(), Vec::new());
            let mut picks = picks.into_iter();
            loop {
                while let Some(next) = queue.take() {
                    seen.push(next.order);
                    at_work.push(next);
                }
                prop_assert!(at_work.len() <= running_max.min(per_source_max));
                for host in ["0", "1", "2"] {
                    let here = at_work.iter().filter(|ticket| ticket.host.as_deref() == Some(host)).count();
                    prop_assert!(here <= per_host_max);
                }
                if at_work.is_empty() {
                    break;
                }
                let ended = at_work.swap_remove(picks.next().map_or(0, |pick| pick.index(at_work.len())));
                queue.done(&ended.id);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (1..=u64::try_from(jobs.len()).unwrap()).collect::<Vec<_>>());
        }
    }
}
