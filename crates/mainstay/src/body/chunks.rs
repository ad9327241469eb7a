use std::collections::VecDeque;

use bytes::Bytes;

/// Chunks of a body in their order; a single one, as most bodies are, takes no allocation.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
}

impl Chunks {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(chunk);
        } else {
            self.rest.push_back(chunk);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.rest.pop_front())
    }

    pub(super) fn get(&self, index: usize) -> Option<&Bytes> {
        match (&self.first, index) {
            (Some(first), 0) => Some(first),
            (Some(_), _) => self.rest.get(index - 1),
            (None, _) => self.rest.get(index),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first `count` out; to be dropped where that is allowed.
    pub(super) fn split_off_front(&mut self, count: usize) -> Self {
        let mut front = Self::default();
        for _ in 0..count {
            let Some(chunk) = self.pop() else { break };
            front.push(chunk);
        }
        front
    }
}

#[cfg(test)]
mod tests;
