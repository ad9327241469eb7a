use std::{marker::PhantomData, ops::Deref};

use crate::number;

/// A value for each of the first threads, and one that all others share.
#[derive(Debug)]
pub struct Striped<T> {
    own: Box<[Line<T>]>,
    shared: Line<T>,
}

/// The value of the thread that asked for it.
#[derive(Debug)]
pub struct Stripe<'a, T> {
    value: &'a T,
    is_own: bool,
    /// It is this thread's, and stays here.
    not_send: PhantomData<*const ()>,
}

/// Two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

impl<T: Default> Striped<T> {
    /// Values for so many threads, and one for the rest; with none, all share that.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            own: (0..threads).map(|_| Line::default()).collect(),
            shared: Line::default(),
        }
    }
}

impl<T> Striped<T> {
    /// This thread's value.
    #[must_use]
    #[inline]
    pub fn mine(&self) -> Stripe<'_, T> {
        // Most things have one value only, and need not ask who this is.
        let own = match &*self.own {
            [] => None,
            own => own.get(number::mine()),
        };
        match own {
            Some(Line(value)) => Stripe {
                value,
                is_own: true,
                not_send: PhantomData,
            },
            None => Stripe {
                value: &self.shared.0,
                is_own: false,
                not_send: PhantomData,
            },
        }
    }

    /// The values of all threads that there have been.
    ///
    /// If they are counters that only rise, by one, their sum is one that the true sum had at some
    /// moment while they were read.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let own = self.own.iter().take(number::given());
        own.chain([&self.shared]).map(|line| &line.0)
    }
}

impl<T> Stripe<'_, T> {
    /// Whether no other thread writes it as long as this one lives: it need not be written by locked
    /// instructions.
    #[must_use]
    #[inline]
    pub const fn is_own(&self) -> bool {
        self.is_own
    }
}

impl<T> Deref for Stripe<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

#[cfg(test)]
mod tests;
