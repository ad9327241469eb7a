//! A batch as its callers see it: where their answers will be.

use std::{mem, task::Waker};

use crate::{
    BoxError,
    error::BatchFailed,
    sync::{Mutex, OnceLock},
};

/// What became of one item.
pub(crate) type Answer<Resp> = Result<Resp, BoxError>;

/// The answers of one batch, published at once and then taken by each caller on its own.
pub(crate) struct Parcel<Resp> {
    /// Tells parcels apart, and which is the older.
    pub(crate) id: u64,
    answers: OnceLock<Answers<Resp>>,
    /// Of those whose items have been sent, by their seats.
    wakers: Mutex<Vec<Option<Waker>>>,
}

pub(crate) enum Answers<Resp> {
    /// One for each seat; none where the item was withdrawn, or has its answer.
    Each(Box<[Mutex<Option<Answer<Resp>>>]>),
    /// The same for all.
    Failed(BatchFailed),
    Closed,
}

impl<Resp> Parcel<Resp> {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            answers: OnceLock::new(),
            wakers: Mutex::new(Vec::new()),
        }
    }

    /// The items are sent, and from now on their callers wait here.
    pub(crate) fn sent(&self, wakers: Vec<Option<Waker>>) {
        *self.wakers.lock() = wakers;
    }

    /// Renews the waker of one whose item has been sent. Its answer may have come before: the caller
    /// must look for it afterwards.
    pub(crate) fn watch(&self, seat: usize, waker: Waker) {
        let mut wakers = self.wakers.lock();
        // They are gone when the answers are there.
        let last = wakers.get_mut(seat).and_then(|it| it.replace(waker));
        drop(wakers);
        drop(last);
    }

    /// Publishes the answers and wakes who waits. What comes second is dropped.
    pub(crate) fn answer(&self, answers: Answers<Resp>) {
        let _ = self.answers.set(answers);
        let wakers = mem::take(&mut *self.wakers.lock());
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    /// Takes an answer, if they have come.
    pub(crate) fn take(&self, seat: usize) -> Option<Answer<Resp>> {
        match self.answers.get()? {
            Answers::Each(seats) => seats[seat].lock().take(),
            Answers::Failed(failed) => Some(Err(failed.clone().into())),
            Answers::Closed => Some(Err(crate::error::Closed::new().into())),
        }
    }
}

impl<Resp> Answers<Resp> {
    /// One for each seat.
    pub(crate) fn each(seats: impl IntoIterator<Item = Option<Answer<Resp>>>) -> Self {
        Self::Each(seats.into_iter().map(Mutex::new).collect())
    }
}
