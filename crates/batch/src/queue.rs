//! Items on their way into batches.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::Hash,
    mem,
    task::Waker,
};

use tokio::time::Instant;

use crate::{
    forming::{Forming, Submitted, Withdrawn},
    limits::Limits,
    load::Load,
    parcel::Parcel,
    sync::Arc,
    turns::Turns,
};

/// The items that wait, each already in the batch that it will be sent with.
///
/// An item joins the open batch of its lane, or opens one. A batch that is full is closed to others
/// and due; those that are not are due when nothing is to be waited for.
pub(crate) struct Queue<Req, Resp, K> {
    limits: Limits,
    load: Load,
    forming: Vec<Option<Forming<Req, Resp, K>>>,
    free: Vec<usize>,
    open: HashMap<K, usize>,
    /// The lane that was last used, beside `open`: most often it is the next one, too.
    last: Option<(K, usize)>,
    /// In the order in which they opened, with such as are full, sent or empty by now.
    opened: VecDeque<Place>,
    /// The full ones, with such as are sent or empty by now.
    full: VecDeque<Place>,
    /// Where lanes have a limit: how many batches of each are out, and which wait for that.
    turns: Turns<K, Place>,
    next_id: u64,
    /// The ids of the batches that are not answered.
    unanswered: BTreeSet<u64>,
    /// Batches with lesser ids are to be sent at once.
    flush_below: u64,
    waiting: usize,
    in_flight: usize,
    /// Of the last batch that was sent: the next will have as many.
    seats: usize,
}

/// A batch in `forming`, if it is still there.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    id: u64,
}

/// Where a caller finds its item, and its answer.
pub(crate) struct Ticket<Resp> {
    pub(crate) parcel: Arc<Parcel<Resp>>,
    pub(crate) seat: usize,
    at: usize,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    /// When those who can run have had their turn: they may have more.
    InTurn,
    At(Instant),
    Nothing,
}

impl<Req, Resp, K: Hash + Eq + Clone> Queue<Req, Resp, K> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            load: Load::new(limits.linger, limits.items),
            forming: Vec::new(),
            free: Vec::new(),
            open: HashMap::new(),
            last: None,
            opened: VecDeque::new(),
            full: VecDeque::new(),
            turns: Turns::new(limits.batches_per_lane),
            next_id: 0,
            unanswered: BTreeSet::new(),
            flush_below: 0,
            waiting: 0,
            in_flight: 0,
            seats: 0,
        }
    }

    /// How many items wait to be sent.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many items were sent and are not answered.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes an item in, and tells whether that has filled a batch.
    pub(crate) fn push(
        &mut self,
        item: Submitted<Req>,
        lane: K,
        clock: fn() -> Instant,
    ) -> (Ticket<Resp>, bool) {
        let was_full = self.full.len();
        let Submitted {
            request,
            weight,
            waker,
            span,
        } = item;
        let at = self.place(lane, weight, clock);
        let forming = self.forming[at].as_mut();
        let forming = forming.expect("an open batch is forming");
        forming.weight += weight;
        let seat = match forming.empty_seats.pop() {
            Some(seat) => {
                forming.requests[seat] = Some((request, weight));
                forming.wakers[seat] = Some(waker);
                seat
            }
            None => {
                forming.requests.push(Some((request, weight)));
                forming.wakers.push(Some(waker));
                forming.requests.len() - 1
            }
        };
        if let Some(span) = span {
            forming.spans.push((seat, span));
        }
        let ticket = Ticket {
            parcel: Arc::clone(&forming.parcel),
            seat,
            at,
        };
        let is_full = forming.items() == self.limits.items || forming.weight == self.limits.weight;
        if is_full {
            self.fill(at);
        }
        self.waiting += 1;
        self.load.accepted(self.waiting + self.in_flight);
        (ticket, self.full.len() > was_full)
    }

    /// The open batch of a lane, with room for so much.
    fn place(&mut self, lane: K, weight: u64, clock: fn() -> Instant) -> usize {
        let open = match &self.last {
            Some((last, at)) if *last == lane => Some(*at),
            _ => self.open.get(&lane).copied(),
        };
        if let Some(at) = open {
            let forming = self.forming[at].as_ref();
            let load = forming.map_or(u64::MAX, |it| it.weight);
            if load
                .checked_add(weight)
                .is_some_and(|it| it <= self.limits.weight)
            {
                self.last = Some((lane, at));
                return at;
            }
            self.fill(at);
        }
        self.open(lane, clock())
    }

    fn open(&mut self, lane: K, now: Instant) -> usize {
        let id = self.next_id;
        self.next_id += 1;
        let forming = Some(Forming {
            parcel: Arc::new(Parcel::new(id)),
            lane: lane.clone(),
            is_open: true,
            is_full: false,
            is_held: false,
            requests: Vec::with_capacity(self.seats),
            wakers: Vec::with_capacity(self.seats),
            spans: Vec::new(),
            empty_seats: Vec::new(),
            weight: 0,
            opened: now,
        });
        let at = match self.free.pop() {
            Some(at) => {
                self.forming[at] = forming;
                at
            }
            None => {
                self.forming.push(forming);
                self.forming.len() - 1
            }
        };
        self.open.insert(lane.clone(), at);
        self.last = Some((lane, at));
        self.opened.push_back(Place { at, id });
        self.unanswered.insert(id);
        self.forget_gone();
        at
    }

    /// Closes a batch to others; it is due.
    fn fill(&mut self, at: usize) {
        self.close(at);
        if let Some(forming) = &mut self.forming[at] {
            forming.is_full = true;
            let id = forming.parcel.id;
            self.full.push_back(Place { at, id });
        }
    }

    /// Closes a batch to others.
    fn close(&mut self, at: usize) {
        let Some(forming) = &mut self.forming[at] else {
            return;
        };
        if mem::take(&mut forming.is_open) {
            self.open.remove(&forming.lane);
            self.last = None;
        }
    }

    fn find(&mut self, ticket: &Ticket<Resp>) -> Option<&mut Forming<Req, Resp, K>> {
        let forming = self.forming.get_mut(ticket.at)?.as_mut()?;
        (forming.parcel.id == ticket.parcel.id).then_some(forming)
    }

    /// Renews the waker of an item that was not sent yet, and gives back the last one; or the new one
    /// if it was.
    pub(crate) fn watch(
        &mut self,
        ticket: &Ticket<Resp>,
        waker: Waker,
    ) -> Result<Option<Waker>, Waker> {
        match self.find(ticket) {
            Some(forming) => Ok(forming.wakers[ticket.seat].replace(waker)),
            None => Err(waker),
        }
    }

    /// Takes an item out that was not sent yet.
    pub(crate) fn withdraw(&mut self, ticket: &Ticket<Resp>) -> Option<Withdrawn<Req>> {
        let forming = self.find(ticket)?;
        let (request, weight) = forming.requests[ticket.seat].take()?;
        let waker = forming.wakers[ticket.seat].take();
        let span = forming.spans.iter().position(|it| it.0 == ticket.seat);
        let span = span.map(|it| forming.spans.swap_remove(it).1);
        forming.empty_seats.push(ticket.seat);
        forming.weight -= weight;
        let is_empty = forming.items() == 0;
        self.waiting -= 1;
        if is_empty {
            self.close(ticket.at);
            self.forming[ticket.at] = None;
            self.free.push(ticket.at);
            self.unanswered.remove(&ticket.parcel.id);
        }
        Some((request, waker, span))
    }

    /// Whether a batch is to be sent.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        self.forget_gone();
        if self.limits.bounds_lanes() {
            self.hold_back();
        }
        if !self.full.is_empty() {
            return Due::Now;
        }
        let Some(oldest) = self.opened.front() else {
            return Due::Nothing;
        };
        let Some(forming) = &self.forming[oldest.at] else {
            return Due::Nothing;
        };
        let until = forming.opened + self.limits.linger;
        if oldest.id < self.flush_below {
            return Due::Now;
        }
        match self.load.lingers() && until > now {
            true => Due::At(until),
            false => Due::InTurn,
        }
    }

    /// Takes the next batch that is to be sent. To make one [`Batch`] of it is left to the caller, who
    /// then need not hold a lock.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Forming<Req, Resp, K>> {
        if !matches!(self.due(now), Due::Now | Due::InTurn) {
            return None;
        }
        // The oldest of those that are due: a lane that fills one after the other delays no other
        // lane beyond its linger.
        let full = self.full.front().copied();
        let oldest = self.opened.front().copied();
        let is_due = |it: &Place| it.id < self.flush_below || self.is_overdue(it.at, now);
        let place = match (full, oldest) {
            (Some(full), Some(oldest)) if full.id <= oldest.id || !is_due(&oldest) => full,
            (_, oldest) => oldest.or(full)?,
        };
        self.close(place.at);
        let forming = self.forming[place.at].take()?;
        self.free.push(place.at);
        let items = forming.items();
        self.waiting -= items;
        self.in_flight += items;
        let has_more = self.waiting >= self.limits.items;
        self.load.sent(forming.is_full, has_more, now);
        self.seats = forming.requests.len();
        if self.limits.bounds_lanes() {
            self.turns.begin(&forming.lane);
        }
        Some(forming.sent())
    }

    /// Takes all that was not sent, to be answered at once; when the lock has been left, since the
    /// requests are dropped with it.
    pub(crate) fn take_all(&mut self) -> Vec<Forming<Req, Resp, K>> {
        self.open.clear();
        self.last = None;
        self.free.clear();
        self.turns.forget_waiting();
        self.waiting = 0;
        let forming = mem::take(&mut self.forming).into_iter().flatten();
        let sent = forming.map(Forming::sent);
        sent.inspect(|it| {
            self.unanswered.remove(&it.parcel.id);
        })
        .collect()
    }

    fn is_overdue(&self, at: usize, now: Instant) -> bool {
        let forming = self.forming[at].as_ref();
        forming.is_some_and(|it| it.opened + self.limits.linger <= now)
    }

    /// Takes those out of the lines that are in front and may not be sent, for the sake of their lanes.
    fn hold_back(&mut self) {
        for line in [&mut self.opened, &mut self.full] {
            while let Some(place) = line.front() {
                let forming = self.forming.get_mut(place.at).and_then(Option::as_mut);
                match forming.filter(|it| it.parcel.id == place.id) {
                    // A full one is in both.
                    Some(forming) if !forming.is_held => {
                        if self.turns.may_begin(&forming.lane) {
                            break;
                        }
                        forming.is_held = true;
                        self.turns.wait(&forming.lane, *place);
                    }
                    _ => {}
                }
                line.pop_front();
            }
        }
        self.turns
            .forget_gone(self.forming.len(), |it| is_gone(&self.forming, it));
    }

    /// Drops what is not forming any more: from the front of the lines, and all of it when there is
    /// more of it than of what is.
    fn forget_gone(&mut self) {
        let forming = &self.forming;
        let is_gone = |it: &Place| is_gone(forming, it);
        for line in [&mut self.opened, &mut self.full] {
            while line.front().is_some_and(is_gone) {
                line.pop_front();
            }
            if line.len() > 2 * forming.len() + 64 {
                line.retain(|it| !is_gone(it));
            }
        }
    }

    /// A batch is about to be answered: those who then come back are not counted twice.
    pub(crate) fn answering(&mut self, items: usize, lane: Option<&K>) {
        self.in_flight -= items;
        let Some(lane) = lane else {
            return;
        };
        for place in self.turns.end(lane).into_iter().rev() {
            let forming = self.forming.get_mut(place.at).and_then(Option::as_mut);
            if let Some(forming) = forming.filter(|it| it.parcel.id == place.id) {
                forming.is_held = false;
                // They have waited long enough for others.
                self.full.push_front(place);
            }
        }
    }

    /// A batch was answered.
    pub(crate) fn answered(&mut self, id: u64) {
        self.unanswered.remove(&id);
    }

    /// All that is here is to be sent at once; it has been answered when `is_answered` says so of
    /// what this returns.
    pub(crate) fn flush(&mut self) -> u64 {
        let below = self.next_id;
        // When nothing waits for others any more, that stays so.
        self.flush_below = self.flush_below.max(below);
        // What comes later is not of this flush.
        let open: Vec<_> = mem::take(&mut self.open).into_values().collect();
        self.last = None;
        for at in open {
            if let Some(forming) = &mut self.forming[at] {
                forming.is_open = false;
            }
        }
        below
    }

    /// From now on nothing waits for others.
    pub(crate) const fn flush_for_ever(&mut self) {
        self.flush_below = u64::MAX;
    }

    pub(crate) fn is_answered(&self, below: u64) -> bool {
        self.unanswered.first().is_none_or(|first| *first >= below)
    }

    /// Whether all has been answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.unanswered.is_empty()
    }
}

/// Whether the batch that was there is sent or empty by now.
fn is_gone<Req, Resp, K>(forming: &[Option<Forming<Req, Resp, K>>], place: &Place) -> bool {
    let now = forming.get(place.at).and_then(Option::as_ref);
    now.is_none_or(|now| now.parcel.id != place.id)
}
