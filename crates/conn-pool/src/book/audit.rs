use super::slab::{List, NONE, Slab};
use super::slot::{Census, State};
use super::{Book, Lend};

impl<R: Lend> Book<R> {
    /// Counts everything anew, and panics where the book says otherwise.
    pub(crate) fn audit(&self) {
        let mut census = Census::NONE;
        for (id, slot) in self.slots.iter() {
            census.add(slot.state);
            let notes = self.notes.iter().filter(|(_, note)| note.slot == id);
            assert_eq!(notes.count() as u32, slot.leases, "leases of {id}");
            assert!(slot.leases <= slot.max_leases && slot.max_leases <= self.max_leases);
            let lendable = matches!(slot.state, State::Idle | State::Lent);
            assert_eq!(slot.state == State::Idle, lendable && slot.leases == 0);
            let is_here = slot.home.is_some();
            match slot.state {
                State::Connecting | State::Closing | State::Abandoned => assert!(!is_here),
                _ if self.max_leases > 1 => assert!(is_here),
                State::Checking => assert!(!is_here),
                _ => {
                    let is_away = slot.leases > 0 || slot.probing || slot.asking;
                    assert_eq!(is_here, !is_away);
                }
            }
        }
        assert_eq!(census, self.census);
        for (lane_id, lane) in self.lanes.iter() {
            let mut census = Census::NONE;
            let mut lendable = 0;
            for (id, slot) in self.slots.iter().filter(|(_, slot)| slot.lane == lane_id) {
                census.add(slot.state);
                let listed = lane.levels.lists().iter().enumerate();
                let listed = listed.filter(|(_, list)| walk(list, &self.slots).contains(&id));
                let listed: Vec<_> = listed.map(|(load, _)| load).collect();
                if matches!(slot.state, State::Idle | State::Lent) && !slot.is_full() {
                    lendable += 1;
                    assert_eq!(listed, [slot.leases as usize], "levels of {id}");
                } else {
                    assert!(listed.is_empty(), "{id} is lent no more");
                }
            }
            assert_eq!(census, lane.census);
            assert_eq!(lane.levels.first().is_some(), lendable > 0);
            let least = lane.levels.first().map(|id| self.slots[id].leases);
            let slots = self.slots.iter().map(|(_, slot)| slot);
            let slots = slots.filter(|slot| {
                slot.lane == lane_id
                    && matches!(slot.state, State::Idle | State::Lent)
                    && !slot.is_full()
            });
            assert_eq!(least, slots.map(|slot| slot.leases).min());
            let waiters = walk(&lane.waiters, &self.waiters);
            assert_eq!(waiters.len() as u32, lane.waiting);
            assert!(waiters.iter().all(|&it| self.waiters[it].outcome.is_none()));
            let tickets: Vec<_> = waiters.iter().map(|&it| self.waiters[it].ticket).collect();
            assert!(tickets.is_sorted());
            match lane.at {
                NONE => assert_eq!(lane.waiting, 0),
                at => assert_eq!(self.waiting[at as usize], lane_id),
            }
        }
        let mut waiting = self.lanes.iter();
        assert!(waiting.all(|(id, lane)| (lane.waiting > 0) == self.waiting.contains(&id)));
    }

    /// Whether somebody waits although there is something to lend, or a place for something.
    pub(crate) fn is_idle_in_vain(&self, now: tokio::time::Instant) -> bool {
        self.waiting.iter().any(|&lane| {
            let may_be_lent = |id| !self.is_stale(id, now);
            self.lanes[lane].levels.first().is_some_and(may_be_lent)
        }) || (!self.closed
            && self.next_to_connect(now).is_some()
            && self.census.of(State::Connecting) < self.counts.max_connecting
            && self.census.total() < self.counts.max_size)
    }

    /// What a waiter got and has not fetched.
    pub(crate) fn granted_to(&self, waiter: u32) -> Option<&R> {
        match &self.waiters[waiter].outcome {
            Some(Ok(grant)) => Some(&grant.one),
            _ => None,
        }
    }

    pub(crate) fn is_refused(&self, waiter: u32) -> bool {
        matches!(self.waiters[waiter].outcome, Some(Err(_)))
    }

    pub(crate) fn lane_of(&self, slot: u32) -> u32 {
        self.slots[slot].lane
    }

    /// How many callers have asked and not been heard of since.
    pub(crate) fn unfetched(&self) -> u32 {
        self.waiters.len()
    }
}

fn walk<T: super::slab::Linked>(list: &List, slab: &Slab<T>) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut id = list.head();
    while id != NONE {
        ids.push(id);
        id = list.after(slab, id);
    }
    ids
}
