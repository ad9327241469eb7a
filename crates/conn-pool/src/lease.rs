use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::book::{Condition, Grant};
use crate::connection::Connection;
use crate::desk::Desk;
use crate::lending::{Lending, Whole};

/// A connection that is lent. Dropped, it is given back: at once, without a runtime, and to the first
/// who waits for one.
///
/// One that says that it [is broken](Connection::is_broken) is not lent again, nor is one that cannot
/// be [reused](Connection::is_reusable) and is given back by a panic.
pub struct Lease<'p, C: Connection, L: Lending<C> = Whole> {
    desk: Home<'p, L::Ref>,
    /// Until it is dropped.
    one: Option<L::Ref>,
    note: u32,
    is_new: bool,
    lending: PhantomData<L>,
}

/// Where a connection is given back to.
pub(crate) enum Home<'p, R> {
    Borrowed(&'p Arc<Desk<R>>),
    Owned(Arc<Desk<R>>),
}

impl<'p, C: Connection, L: Lending<C>> Lease<'p, C, L> {
    #[inline]
    pub(crate) fn new(desk: Home<'p, L::Ref>, grant: Grant<L::Ref>) -> Self {
        Self {
            desk,
            one: Some(grant.one),
            note: grant.note,
            is_new: grant.new,
            lending: PhantomData,
        }
    }

    /// The same lease, to take where the pool is not.
    ///
    /// It does not keep the pool open: that closes with its last [`Pool`](crate::Pool), after which
    /// the connection is closed when it is given back.
    #[must_use]
    pub fn into_owned(mut self) -> Lease<'static, C, L> {
        Lease {
            desk: Home::Owned(self.desk.clone()),
            one: self.one.take(),
            note: self.note,
            is_new: self.is_new,
            lending: PhantomData,
        }
    }

    /// Says that the connection is broken: nobody gets it any more, and it is closed when all have
    /// given it back.
    pub fn mark_broken(&self) {
        self.report(Condition::Broken);
    }

    /// As [`mark_broken`](Self::mark_broken), of one that may be as good as ever, but for what was done
    /// with it: an answer was not read to its end, say. That is no sign of trouble with the backend.
    pub fn mark_unfit(&self) {
        self.report(Condition::Unfit);
    }

    /// Says that the connection has been of use, though it may have ended since: then its end is no
    /// [failure to make it](crate::ShortLived). For one that takes leave with its last answer; of one
    /// that is given back and is not broken it is known anyway.
    pub fn mark_useful(&self) {
        self.desk.enter(|book, fx| book.attest(self.note, fx));
    }

    fn report(&self, condition: Condition) {
        let now = Instant::now();
        self.desk
            .enter(|book, fx| book.report(self.note, condition, now, fx));
    }

    /// How long ago the connection was made.
    #[must_use]
    pub fn age(&self) -> Duration {
        let (born, _) = self.desk.read(|book| book.dates(self.note));
        born.elapsed()
    }

    /// How long ago it was lent.
    #[must_use]
    pub fn lent_for(&self) -> Duration {
        let (_, lent_at) = self.desk.read(|book| book.dates(self.note));
        lent_at.elapsed()
    }

    /// Whether nobody has had the connection before.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    #[inline]
    fn connection(&self) -> &C {
        match &self.one {
            Some(one) => one,
            None => unreachable!("used after it was dropped"),
        }
    }
}

impl<C: Connection> Lease<'_, C, Whole> {
    /// Takes the connection out of the pool, which makes another in its place when one is wanted.
    #[must_use]
    pub fn detach(mut self) -> C {
        let Some(one) = self.one.take() else {
            unreachable!("used after it was dropped")
        };
        self.desk.enter(|book, fx| book.detach(self.note, fx));
        *one
    }
}

impl<C: Connection, L: Lending<C>> Deref for Lease<'_, C, L> {
    type Target = C;

    fn deref(&self) -> &C {
        self.connection()
    }
}

impl<C: Connection> DerefMut for Lease<'_, C, Whole> {
    fn deref_mut(&mut self) -> &mut C {
        match &mut self.one {
            Some(one) => one,
            None => unreachable!("used after it was dropped"),
        }
    }
}

impl<C: Connection, L: Lending<C>> Drop for Lease<'_, C, L> {
    #[inline]
    fn drop(&mut self) {
        let Some(one) = self.one.take() else {
            return;
        };
        // A panic here would abort the process if one is under way.
        let ask = AssertUnwindSafe(|| {
            if one.is_broken() {
                Condition::Broken
            } else if thread::panicking() && !one.is_reusable() {
                Condition::Unfit
            } else {
                Condition::Good
            }
        });
        let condition = catch_unwind(ask).unwrap_or(Condition::Broken);
        let now = Instant::now();
        self.desk.give_back(self.note, one, condition, now);
    }
}

impl<C: Connection, L: Lending<C>> fmt::Debug for Lease<'_, C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl<R> Deref for Home<'_, R> {
    type Target = Arc<Desk<R>>;

    #[inline]
    fn deref(&self) -> &Arc<Desk<R>> {
        match self {
            Self::Borrowed(desk) => desk,
            Self::Owned(desk) => desk,
        }
    }
}
