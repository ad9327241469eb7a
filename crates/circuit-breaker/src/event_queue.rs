use std::{collections::VecDeque, sync::PoisonError};

use crate::{
    Change, Name, event,
    sync::{Mutex, MutexGuard},
};

/// Changes that the log is still to be told of, in their order.
///
/// What listens to the log is the user's code: it may be slow, or ask the circuit something. So it is
/// told without a lock, by one thread at a time, which also tells what others change meanwhile.
#[derive(Debug)]
pub(crate) struct EventQueue(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    news: VecDeque<News>,
    is_being_told: bool,
}

#[derive(Debug)]
struct News {
    circuit: Option<Name>,
    change: Change,
}

/// The right to tell, until there is nothing left or a subscriber panics.
struct Turn<'a>(&'a EventQueue);

impl EventQueue {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Queue {
            news: VecDeque::new(),
            is_being_told: false,
        }))
    }

    /// To be called in the order of the changes.
    pub(crate) fn push(&self, circuit: Option<&Name>, change: Change) {
        let circuit = circuit.cloned();
        self.lock().news.push_back(News { circuit, change });
    }

    /// Tells the log what is new, unless another thread is at it, which then goes on with this.
    pub(crate) fn tell(&self) {
        while let Some((news, turn)) = self.next() {
            event::changed(news.circuit.as_deref(), &news.change);
            drop(turn);
        }
    }

    fn next(&self) -> Option<(News, Turn<'_>)> {
        let mut queue = self.lock();
        if queue.is_being_told {
            return None;
        }
        let news = queue.news.pop_front()?;
        queue.is_being_told = true;
        Some((news, Turn(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics half-way under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever brought news meanwhile has left them here, so look once more after this.
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().is_being_told = false;
    }
}
