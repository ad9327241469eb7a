//! What is stored and given, while keys, tags and all are invalidated.

use std::{
    borrow::Borrow,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use shuttle::{
    future::block_on,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};

use crate::{
    boarding::{Older, Place},
    calendar::Ticket,
    desk::{Desk, Landing, Outcome},
    limits::Limits,
    record::{Record, Terms},
    store::{Keyed, Removed, Sharded, Store},
    tick::Tick,
    ttl::Ttl,
    windows::Windows,
};

const ITERATIONS: usize = 4_000;

const HASH: u64 = 7 << 57;

const NOW: Tick = Tick(1);

/// After an invalidation has returned, nobody gets what was loaded before it was called; not even those
/// who join a load that is under way, and not when others give up on it.
#[test]
fn an_invalidation_wins_over_what_is_being_loaded() {
    let kinds: [fn(&World); 4] = [
        |it| _ = it.desk.invalidate(HASH, &1),
        |it| it.desk.invalidate_all(),
        |it| it.desk.invalidate_tag("tag"),
        World::invalidate_by_look,
    ];
    for invalidate in kinds {
        shuttle::check_random(
            move || {
                let world = World::new();
                let readers = [(); 2].map(|()| world.spawn(|it| _ = it.read()));
                let canceller = world.spawn(World::give_up);
                let truth = world.truth.fetch_add(1, SeqCst) + 1;
                invalidate(&world);
                assert!(world.read() >= truth);
                // And so it stays: what the others bring is not stored.
                readers.into_iter().for_each(|it| it.join().unwrap());
                canceller.join().unwrap();
                assert!(world.read() >= truth);
                assert_eq!(world.desk.tally().1, 0, "flights");
            },
            ITERATIONS,
        );
    }
}

/// The look at all entries does not miss one that lands meanwhile: with few others, since it is rare.
#[test]
fn a_look_at_all_entries_misses_none_that_lands_meanwhile() {
    shuttle::check_random(
        || {
            let world = World::new();
            let reader = world.spawn(|it| _ = it.read());
            // Until the load is about to land.
            while world.loads.load(SeqCst) == 0 {
                thread::yield_now();
            }
            let truth = world.truth.fetch_add(1, SeqCst) + 1;
            world.invalidate_by_look();
            reader.join().unwrap();
            assert!(world.read() >= truth);
        },
        ITERATIONS,
    );
}

/// Whoever was faster has loaded for all.
#[test]
fn there_is_one_load_for_a_key() {
    shuttle::check_random(
        || {
            let world = World::new();
            let readers = [(); 3].map(|()| world.spawn(|it| _ = it.read()));
            readers.into_iter().for_each(|it| it.join().unwrap());
            assert_eq!(world.loads.load(SeqCst), 1);
            assert_eq!(world.desk.store.len(), 1);
        },
        ITERATIONS,
    );
}

/// What is put in is newer than what is being loaded.
#[test]
fn what_is_put_in_stays() {
    shuttle::check_random(
        || {
            let world = World::new();
            let readers = [(); 2].map(|()| world.spawn(|it| _ = it.read()));
            let terms = world.terms();
            let mut removed = Removed::default();
            world.desk.insert(HASH, 1, 100, terms, NOW, &mut removed);
            assert_eq!(world.look(), Some(100));
            readers.into_iter().for_each(|it| it.join().unwrap());
            assert_eq!(world.look(), Some(100));
        },
        ITERATIONS,
    );
}

struct World {
    desk: Desk<u64, u64, Switching>,
    /// What a load brings.
    truth: AtomicU64,
    loads: AtomicU64,
}

/// Looks at the truth, is pending once, and lands.
struct Flying {
    world: Arc<World>,
    ticket: Ticket,
    /// What it waits for, and takes if it is good.
    older: Option<Older<u64>>,
    seen: Option<u64>,
    is_landed: bool,
}

/// A store before each of whose steps others may come.
struct Switching(Sharded<u64, u64>);

impl Store<u64, u64> for Switching {
    fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<Record<u64>>
    where
        u64: Borrow<Q>,
    {
        thread::yield_now();
        self.0.get(hash, key)
    }

    fn look<Q: Eq + ?Sized, T>(
        &self,
        hash: u64,
        key: &Q,
        look: impl FnOnce(&Record<u64>) -> T,
    ) -> Option<T>
    where
        u64: Borrow<Q>,
    {
        thread::yield_now();
        self.0.look(hash, key, look)
    }

    fn insert(
        &self,
        key: Keyed<u64>,
        record: Record<u64>,
        is_quiet: bool,
        removed: &mut Removed<u64, u64>,
    ) {
        thread::yield_now();
        self.0.insert(key, record, is_quiet, removed);
    }

    fn remove<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<(Keyed<u64>, Record<u64>)>
    where
        u64: Borrow<Q>,
    {
        thread::yield_now();
        self.0.remove(hash, key)
    }

    fn take(
        &self,
        ticket: Ticket,
        is_it: impl FnOnce(&Record<u64>) -> bool,
    ) -> Option<(Keyed<u64>, Record<u64>)> {
        thread::yield_now();
        self.0.take(ticket, is_it)
    }

    fn has(&self, ticket: Ticket) -> bool {
        self.0.has(ticket)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self) -> u64 {
        self.0.weight()
    }
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            desk: Desk::new(Switching(Sharded::new(&Limits::new(10).unwrap())), 2),
            truth: AtomicU64::new(0),
            loads: AtomicU64::new(0),
        })
    }

    fn spawn(self: &Arc<Self>, work: fn(&Arc<Self>)) -> thread::JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || work(&world))
    }

    fn look(&self) -> Option<u64> {
        let record = self.desk.store.get(HASH, &1)?;
        let is_calm = record.is_calm(NOW, self.desk.floor());
        record.held.ok().filter(|_| is_calm)
    }

    fn call(self: &Arc<Self>) -> impl Future<Output = u64> + use<> {
        let found = self.look();
        let place = match found {
            Some(_) => None,
            None => Some(match self.desk.board(HASH, &1, || NOW) {
                Place::Found(outcome) => Err(outcome),
                Place::Aboard(passenger) => Ok(passenger),
                Place::Vacant(vacant) => Ok(vacant.begin(1, false, |ticket, older| {
                    Box::pin(Flying {
                        world: Arc::clone(self),
                        ticket,
                        older,
                        seen: None,
                        is_landed: false,
                    })
                })),
            }),
        };
        async move {
            match (found, place) {
                (Some(found), _) => found,
                (_, Some(Err(outcome))) => outcome.expect("no load fails"),
                (_, Some(Ok(passenger))) => passenger.await.expect("no load fails"),
                (None, None) => unreachable!(),
            }
        }
    }

    fn read(self: &Arc<Self>) -> u64 {
        block_on(self.call())
    }

    fn invalidate_by_look(&self) {
        let stamp = self.desk.hold_off();
        let old = self.desk.store.0.iter().filter(|(_, it)| it.stamp < stamp);
        let old: Vec<_> = old.map(|(key, _)| key.ticket).collect();
        self.desk.remove(old, |_| true);
    }

    /// Calls, is polled once, and goes.
    fn give_up(self: &Arc<Self>) {
        let mut call = pin!(self.call());
        block_on(poll_fn(|cx| {
            let _ = call.as_mut().poll(cx);
            Poll::Ready(())
        }));
    }

    fn terms(&self) -> Terms {
        let ttl = Ttl::new(Duration::from_secs(1)).unwrap();
        Terms {
            windows: Windows::open(&ttl, NOW, Duration::ZERO, 0.0),
            weight: 1,
            tags: self.desk.tags(&["tag".into()]),
        }
    }
}

impl Future for Flying {
    type Output = Outcome<u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<u64>> {
        let value = ready!(self.poll_load(cx));
        let terms = self.world.terms();
        let landing = Landing::Loaded(value, Some((value, terms)));
        let mut removed = Removed::default();
        self.is_landed = true;
        let desk = &self.world.desk;
        let (outcome, _) = desk.land(self.ticket, landing, Duration::ZERO, NOW, &mut removed);
        Poll::Ready(outcome)
    }
}

impl Flying {
    fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        if let Some(older) = &mut self.older {
            let value = ready!(Pin::new(&mut older.passenger).poll(cx)).expect("no load fails");
            let stamp = older.stamp;
            self.older = None;
            if !self.world.terms().tags.are_invalid(stamp) {
                return Poll::Ready(value);
            }
        }
        if let Some(seen) = self.seen {
            return Poll::Ready(seen);
        }
        self.world.loads.fetch_add(1, SeqCst);
        self.seen = Some(self.world.truth.load(SeqCst));
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        if !self.is_landed {
            self.world.desk.abandon(self.ticket);
        }
    }
}
