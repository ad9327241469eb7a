//! What is not to be given any more.

use std::borrow::Borrow;

use crate::{
    calendar::Ticket,
    desk::Desk,
    keys::Part,
    record::Record,
    store::{Keyed, Store},
    sync::{AtomicU64, Ordering},
    tags::Stamp,
    tally::Cause,
};

impl<K, V, S> Desk<K, V, S>
where
    K: Eq,
    V: Clone + Send + Sync + 'static,
    S: Store<K, V>,
{
    /// Whether there was an entry. A load that is under way is not stored, nor joined by later callers.
    pub(crate) fn invalidate<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let mut keys = self.part(hash).lock();
        let disowned = keys.disown(hash, key);
        let entry = self.store.remove(hash, key);
        if entry.is_some() {
            keys.tally.removed(Cause::Explicit);
        }
        drop(keys);
        drop(disowned);
        entry.is_some()
    }

    pub(crate) fn invalidate_all(&self) {
        let stamp = self.raise(
            &[&self.cleared, &self.store_floor, &self.join_floor],
            |_| {},
        );
        // None of them is given any more; now their memory.
        for Part(part) in &self.parts {
            let tickets = part.lock().calendar.tickets();
            self.remove(tickets, |record| record.stamp < stamp);
        }
    }

    /// Nothing with this tag that began earlier is given. Nor is what is being loaded now, without
    /// looking whether it will have the tag, to anybody who comes later.
    pub(crate) fn invalidate_tag(&self, tag: &str) {
        self.raise(&[&self.join_floor], |stamp| {
            self.tags.invalidate(tag, stamp)
        });
    }

    /// What is being loaded is not stored: nobody knows yet whether it would have to go.
    pub(crate) fn hold_off(&self) -> Stamp {
        let stamp = self.raise(&[&self.store_floor, &self.join_floor], |_| {});
        // A landing that has not seen the floor is over after this.
        for Part(part) in &self.parts {
            drop(part.lock());
        }
        stamp
    }

    /// Removes entries, and drops them without a lock.
    pub(crate) fn remove(
        &self,
        tickets: impl IntoIterator<Item = Ticket>,
        is_it: impl Fn(&Record<V>) -> bool,
    ) -> u64 {
        let mut count = 0;
        for ticket in tickets {
            if let Some(entry) = self.store.take(ticket, &is_it) {
                self.part(ticket.hash).lock().tally.removed(Cause::Explicit);
                drop::<(Keyed<K>, Record<V>)>(entry);
                count += 1;
            }
        }
        count
    }

    /// Does `record` with a new stamp, raises the floors to it, and only then has those who start from now
    /// on have it: so all that have it see what was recorded. It is this order by which a flight that
    /// takes over what an older one brings can tell whether it is good.
    fn raise(&self, floors: &[&AtomicU64], record: impl FnOnce(Stamp)) -> Stamp {
        let raising = self.raising.lock();
        let stamp = self.stamps.load(Ordering::Acquire) + 1;
        record(Stamp(stamp));
        for floor in floors {
            floor.store(stamp, Ordering::Release);
        }
        self.stamps.store(stamp, Ordering::Release);
        drop(raising);
        Stamp(stamp)
    }
}
