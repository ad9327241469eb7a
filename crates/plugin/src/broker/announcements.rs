use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::WITHIN;
use crate::line::{Address, InvalidLine};

/// Where the other side says that a number is accepted.
pub(crate) type Announcement = Result<Address, InvalidLine>;

/// How many announcements wait for somebody to dial; what comes beyond that is dropped. With the length
/// of a path it bounds what another side can make this one keep.
const MOST_UNCLAIMED: usize = 4096;

/// What fits into a socket address, without the zero behind it.
const LONGEST_ADDRESS: usize = 107;

/// What the other side has announced, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    unclaimed: HashMap<u32, Unclaimed>,
    /// When each was to be dropped, in this order; those that were claimed stay here until then.
    expiries: VecDeque<(Instant, u32)>,
    dials: HashMap<u32, VecDeque<oneshot::Sender<Announcement>>>,
}

#[derive(Debug)]
struct Unclaimed {
    announcement: Announcement,
    until: Instant,
}

impl Announcements {
    /// False if it was dropped: the number has one already that nobody has dialled, or there are too
    /// many.
    pub(crate) fn announced(
        &mut self,
        id: u32,
        mut announcement: Announcement,
        now: Instant,
    ) -> bool {
        self.expire(now);
        while let Some(dial) = self.next_dial(id) {
            match dial.send(announcement) {
                Ok(()) => return true,
                // It is not waiting any more.
                Err(unclaimed) => announcement = unclaimed,
            }
        }
        if self.unclaimed.len() == MOST_UNCLAIMED || self.unclaimed.contains_key(&id) {
            return false;
        }
        let until = now + WITHIN;
        self.expiries.push_back((until, id));
        let unclaimed = Unclaimed {
            announcement,
            until,
        };
        self.unclaimed.insert(id, unclaimed);
        true
    }

    /// Waits for the announcement of a number; whoever waits longer comes first.
    pub(crate) fn dial(&mut self, id: u32, now: Instant) -> oneshot::Receiver<Announcement> {
        self.expire(now);
        let (dial, announcement) = oneshot::channel();
        match self.unclaimed.remove(&id) {
            // The receiver is here.
            Some(unclaimed) => drop(dial.send(unclaimed.announcement)),
            None => self.dials.entry(id).or_default().push_back(dial),
        }
        announcement
    }

    /// Forgets those who have given up on a number.
    pub(crate) fn forget(&mut self, id: u32) {
        if let Some(dials) = self.dials.get_mut(&id) {
            dials.retain(|dial| !dial.is_closed());
            if dials.is_empty() {
                self.dials.remove(&id);
            }
        }
    }

    /// Drops what nobody has dialled in time.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((until, id)) = self.expiries.front().copied() {
            if until > now {
                break;
            }
            self.expiries.pop_front();
            // A later announcement of the number has its own time.
            if self.unclaimed.get(&id).is_some_and(|it| it.until == until) {
                self.unclaimed.remove(&id);
                tracing::debug!(id, "brokered connection dropped: nobody dialled it");
            }
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().map(|(until, _)| *until)
    }

    #[cfg(test)]
    pub(crate) fn unclaimed(&self) -> usize {
        self.unclaimed.len()
    }

    fn next_dial(&mut self, id: u32) -> Option<oneshot::Sender<Announcement>> {
        let dials = self.dials.get_mut(&id)?;
        let dial = dials.pop_front();
        if dials.is_empty() {
            self.dials.remove(&id);
        }
        dial
    }
}

/// The address of an announcement; what is no address is kept short.
pub(crate) fn parse(network: &str, address: &str) -> Announcement {
    if address.len() > LONGEST_ADDRESS {
        let begin: String = address.chars().take(40).collect();
        let shortened = format!("{begin}… ({} bytes)", address.len());
        return Err(InvalidLine::Address(shortened));
    }
    let network: String = network.chars().take(40).collect();
    Address::parse(&network, address)
}

#[cfg(test)]
mod tests;
