use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What all calls may keep of their requests together. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Only a count: nothing is published by it, so it needs no order.
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// What one call has of it; dropped, it is given back.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    size: usize,
}

impl Memory {
    /// At most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            used: Arc::default(),
            limit,
        }
    }

    /// How many bytes are kept at the moment.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(super) fn share(&self) -> Share {
        Share {
            memory: self.clone(),
            size: 0,
        }
    }
}

impl Share {
    /// Takes so many bytes more, if there is room.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let Memory { used, limit } = &self.memory;
        let more = |used: usize| used.checked_add(by).filter(|used| used <= limit);
        let grown = used.fetch_update(Relaxed, Relaxed, more).is_ok();
        if grown {
            self.size += by;
        }
        grown
    }

    pub(super) fn give_back(&mut self) {
        let size = std::mem::take(&mut self.size);
        if size > 0 {
            self.memory.used.fetch_sub(size, Relaxed);
        }
    }

    /// What this call takes.
    pub(super) const fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}
