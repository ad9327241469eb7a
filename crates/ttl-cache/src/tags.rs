//! Many entries invalidated at once, without a look at them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::sync::Mutex;

/// A point in the order of loads and invalidations. What began before an invalidation has a smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) u64);

/// The tags of an entry.
#[derive(Debug, Default)]
pub(crate) struct Tags(Option<Box<[Arc<Tag>]>>);

/// When what has this tag was last invalidated.
#[derive(Debug, Default)]
pub(crate) struct Tag(AtomicU64);

/// The tags that entries have, and those that were invalidated lately.
#[derive(Debug, Default)]
pub(crate) struct TagNames(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    tags: HashMap<Arc<str>, Arc<Tag>>,
    /// The last invalidation of a tag that was forgotten since: one that is not here may have been
    /// invalidated then.
    forgotten: Stamp,
    /// Looks for tags to forget when there are so many.
    full: usize,
}

/// With fewer tags than this, none is forgotten.
const FEW: usize = 64;

impl Tags {
    pub(crate) const fn are_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether one of the tags was invalidated after this.
    #[inline]
    pub(crate) fn are_invalid(&self, stamp: Stamp) -> bool {
        match &self.0 {
            None => false,
            Some(tags) => tags.iter().any(|it| it.invalidated() > stamp),
        }
    }
}

impl Tag {
    fn invalidated(&self) -> Stamp {
        Stamp(self.0.load(Ordering::Acquire))
    }
}

impl TagNames {
    /// The tags of these names.
    pub(crate) fn find(&self, names: &[Arc<str>]) -> Tags {
        if names.is_empty() {
            return Tags(None);
        }
        let mut it = self.0.lock();
        let tags = names.iter().map(|name| it.find(name)).collect();
        Tags(Some(tags))
    }

    /// Invalidates what has the tag and is older than `stamp`.
    pub(crate) fn invalidate(&self, name: &str, stamp: Stamp) {
        let mut it = self.0.lock();
        let tag = match it.tags.get(name) {
            Some(tag) => Arc::clone(tag),
            // A load that runs may turn out to have it.
            None => it.find(&Arc::from(name)),
        };
        tag.0.fetch_max(stamp.0, Ordering::AcqRel);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().tags.len()
    }
}

impl Names {
    fn find(&mut self, name: &Arc<str>) -> Arc<Tag> {
        if let Some(tag) = self.tags.get(name) {
            return Arc::clone(tag);
        }
        if self.tags.len() >= self.full.max(FEW) {
            self.forget();
        }
        let tag = Arc::new(Tag(AtomicU64::new(self.forgotten.0)));
        self.tags.insert(Arc::clone(name), Arc::clone(&tag));
        tag
    }

    /// Forgets the tags that no entry has. That takes a look at all, and is done when half are new.
    fn forget(&mut self) {
        let mut forgotten = self.forgotten;
        self.tags.retain(|_, tag| {
            let is_used = Arc::strong_count(tag) > 1;
            if !is_used {
                forgotten = forgotten.max(tag.invalidated());
            }
            is_used
        });
        self.forgotten = forgotten;
        self.full = 2 * self.tags.len();
    }
}
