use crate::sync::{AtomicU32, Ordering};

/// A number of tokens, between nothing and a maximum that whoever adds brings along.
///
/// All orderings are Relaxed: it is one word, and nothing else is read by what it says.
#[derive(Debug, Default)]
pub(crate) struct Word(AtomicU32);

impl Word {
    pub(crate) fn new(tokens: u32) -> Self {
        Self(AtomicU32::new(tokens))
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, tokens: u32) {
        self.0.store(tokens, Ordering::Relaxed);
    }

    /// Writes nothing while it is full, so that threads can share it then.
    #[inline]
    pub(crate) fn add(&self, amount: u32, max: u32) {
        let tokens = self.get();
        if tokens < max {
            self.change(tokens, |tokens| {
                (tokens < max).then(|| tokens.saturating_add(amount).min(max))
            });
        }
    }

    /// All or nothing.
    pub(crate) fn take(&self, amount: u32) -> bool {
        self.change(self.get(), |tokens| tokens.checked_sub(amount))
    }

    /// As many as there are.
    pub(crate) fn take_up_to(&self, amount: u32) {
        self.change(self.get(), |tokens| {
            (tokens > 0).then(|| tokens.saturating_sub(amount))
        });
    }

    /// False if there is nothing to change.
    fn change(&self, mut tokens: u32, to: impl Fn(u32) -> Option<u32>) -> bool {
        loop {
            let Some(next) = to(tokens) else { return false };
            let changed =
                self.0
                    .compare_exchange_weak(tokens, next, Ordering::Relaxed, Ordering::Relaxed);
            match changed {
                Ok(_) => return true,
                Err(now) => tokens = now,
            }
        }
    }
}
