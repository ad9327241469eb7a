use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::book::{Book, Condition, Effects, Grant, Joined, Lend};
use crate::error::AcquireError;
use crate::sync::{AtomicBool, Bell, Mutex, Ordering};

/// The book behind its lock. Whatever comes of an entry is done when the lock is released.
pub(crate) struct Desk<R> {
    book: Mutex<Book<R>>,
    /// Somebody may be waiting: a hint, which costs a second look where it is wrong.
    crowded: AtomicBool,
    pub(crate) bell: Bell,
}

/// A caller's turn: its place in the queue, once it has one.
///
/// Who holds it must [give it up](Self::give_up) when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<u32>);

impl<R: Lend> Desk<R> {
    pub(crate) fn new(book: Book<R>) -> Self {
        Self {
            book: Mutex::new(book),
            crowded: AtomicBool::new(false),
            bell: Bell::default(),
        }
    }

    /// Looks, without a change that has effects.
    #[inline]
    pub(crate) fn read<T>(&self, look: impl FnOnce(&mut Book<R>) -> T) -> T {
        look(&mut self.book.lock())
    }

    /// Makes an entry, then does what comes of it.
    pub(crate) fn enter<T>(&self, entry: impl FnOnce(&mut Book<R>, &mut Effects<R>) -> T) -> T {
        let mut fx = Effects::none();
        let answer = entry(&mut self.book.lock(), &mut fx);
        self.follow_up(fx);
        answer
    }

    /// A lease ends.
    pub(crate) fn give_back(&self, note: u32, one: R, condition: Condition, now: Instant) {
        let mut book = self.book.lock();
        let one = if condition != Condition::Good {
            one
        } else {
            match book.give_back_quickly(note, one, now) {
                Ok(waker) => {
                    drop(book);
                    match waker {
                        Some(waker) => waker.wake(),
                        None if self.crowded.load(Ordering::Relaxed) => {
                            self.crowded.store(false, Ordering::Relaxed);
                        }
                        None => {}
                    }
                    return;
                }
                Err(one) => one,
            }
        };
        let mut fx = Effects::none();
        book.give_back(note, one, condition, now, &mut fx);
        drop(book);
        self.follow_up(fx);
    }

    fn follow_up(&self, fx: Effects<R>) {
        let Effects {
            wake,
            refs,
            causes,
            poke,
            changed,
        } = fx;
        if poke {
            self.bell.call_housekeeper();
        }
        wake.wake();
        refs.into_iter().for_each(drop_quietly);
        causes.into_iter().for_each(drop_quietly);
        if changed {
            self.bell.tell_watchers();
        }
    }
}

/// A panic in the `Drop` of what is foreign does not come to the one who gave it back.
fn drop_quietly<T>(foreign: T) {
    let _ = catch_unwind(AssertUnwindSafe(move || drop(foreign)));
}

impl Turn {
    /// Whether it stands in the queue.
    pub(crate) const fn is_taken(&self) -> bool {
        self.0.is_some()
    }

    /// Gets the lease, or waits for it.
    #[inline]
    pub(crate) fn poll<R: Lend>(
        &mut self,
        desk: &Desk<R>,
        lane: u32,
        place: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant<R>, Box<AcquireError>>> {
        match self.0 {
            None => {
                let now = Instant::now();
                if !desk.crowded.load(Ordering::Relaxed)
                    && let Some(grant) = desk.read(|book| book.acquire(lane, now, place))
                {
                    return Poll::Ready(Ok(grant));
                }
                self.join(desk, lane, now, place, cx)
            }
            Some(waiter) => self.look(desk, waiter, cx),
        }
    }

    fn join<R: Lend>(
        &mut self,
        desk: &Desk<R>,
        lane: u32,
        now: Instant,
        place: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant<R>, Box<AcquireError>>> {
        // A waker is foreign code, which is not run under the lock.
        let mut waker = Some(cx.waker().clone());
        match desk.enter(|book, fx| book.join(lane, now, place, &mut waker, fx)) {
            Joined::Granted(grant) => Poll::Ready(Ok(grant)),
            Joined::Refused(error) => Poll::Ready(Err(error)),
            Joined::Waiting(waiter) => {
                self.0 = Some(waiter);
                desk.crowded.store(true, Ordering::Relaxed);
                Poll::Pending
            }
        }
    }

    fn look<R: Lend>(
        &mut self,
        desk: &Desk<R>,
        waiter: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant<R>, Box<AcquireError>>> {
        let fetch = |book: &mut Book<R>| match book.fetch(waiter) {
            Poll::Pending => Err(book.will_wake(waiter, cx.waker())),
            Poll::Ready(outcome) => Ok(outcome),
        };
        let outcome = match desk.read(fetch) {
            Ok(outcome) => outcome,
            Err(true) => return Poll::Pending,
            Err(false) => {
                let mut waker = Some(cx.waker().clone());
                let again = desk.read(|book| {
                    let outcome = book.fetch(waiter);
                    if outcome.is_pending() {
                        book.set_waker(waiter, &mut waker);
                    }
                    outcome
                });
                match again {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(outcome) => outcome,
                }
            }
        };
        self.0 = None;
        Poll::Ready(outcome)
    }

    /// Leaves the queue; a lease that came meanwhile goes to the next in it.
    #[inline]
    pub(crate) fn give_up<R: Lend>(&mut self, desk: &Desk<R>) {
        if let Some(waiter) = self.0.take() {
            let now = Instant::now();
            drop(desk.enter(|book, fx| book.leave(waiter, now, fx)));
        }
    }
}
