use std::{fmt, num::NonZeroU64, sync::Arc, time::Duration};

use crate::{BoxError, Ttl};

/// How an answer is kept: for how long, how heavy it is, and by which tags it can be invalidated.
#[derive(Clone, Debug, PartialEq)]
pub struct Keep {
    pub(crate) ttl: Ttl,
    pub(crate) weight: u64,
    pub(crate) tags: Vec<Arc<str>>,
}

/// Decides which answers are kept, and how.
///
/// A [`Ttl`] keeps all of them alike. A closure `Fn(&V) -> Option<Keep>` decides for each answer, `None`
/// being not at all; errors are kept only by [`KeepErrors`]. It is asked once an
/// answer, by whoever drives the load, and a panic in it fails the load.
pub trait Retention<V> {
    /// How to keep an answer that was loaded; `None` does not keep it, and removes an older one that it
    /// was to refresh.
    fn keep(&self, value: &V) -> Option<Keep>;

    /// For how long to answer with this error of a load, without another load. By default, and if the
    /// time is zero, the next call loads anew.
    fn keep_error(&self, error: &BoxError) -> Option<Duration> {
        let _ = error;
        None
    }
}

/// Keeps errors, too, beside what another [`Retention`] keeps: negative caching.
#[derive(Clone, Copy)]
pub struct KeepErrors<R, F> {
    answers: R,
    errors: F,
}

impl Keep {
    /// For this time, with a weight of 1, and without tags.
    #[must_use]
    pub const fn new(ttl: Ttl) -> Self {
        Self {
            ttl,
            weight: 1,
            tags: Vec::new(),
        }
    }

    /// The answer takes so much of the room.
    #[must_use]
    pub fn with_weight(mut self, weight: NonZeroU64) -> Self {
        self.weight = weight.get();
        self
    }

    /// Adds a tag, by which [`TtlCache::invalidate_tag`](crate::TtlCache::invalidate_tag) finds it.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

impl From<Ttl> for Keep {
    fn from(ttl: Ttl) -> Self {
        Self::new(ttl)
    }
}

impl<R, F> KeepErrors<R, F> {
    /// Keeps answers as `answers` says, and errors for as long as `errors` does.
    pub const fn new(answers: R, errors: F) -> Self
    where
        F: Fn(&BoxError) -> Option<Duration>,
    {
        Self { answers, errors }
    }
}

impl<V> Retention<V> for Ttl {
    fn keep(&self, _: &V) -> Option<Keep> {
        Some(Keep::new(*self))
    }
}

impl<V> Retention<V> for Keep {
    fn keep(&self, _: &V) -> Option<Keep> {
        Some(self.clone())
    }
}

impl<V, F: Fn(&V) -> Option<Keep>> Retention<V> for F {
    fn keep(&self, value: &V) -> Option<Keep> {
        self(value)
    }
}

impl<V, R, F> Retention<V> for KeepErrors<R, F>
where
    R: Retention<V>,
    F: Fn(&BoxError) -> Option<Duration>,
{
    fn keep(&self, value: &V) -> Option<Keep> {
        self.answers.keep(value)
    }

    fn keep_error(&self, error: &BoxError) -> Option<Duration> {
        (self.errors)(error)
    }
}

impl<R: fmt::Debug, F> fmt::Debug for KeepErrors<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepErrors")
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}
