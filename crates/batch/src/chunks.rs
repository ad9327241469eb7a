use std::{iter::FusedIterator, num::NonZeroUsize};

/// The items of an iterator, so many in a `Vec`.
#[derive(Clone, Debug)]
pub struct Chunks<I> {
    items: I,
    size: NonZeroUsize,
    is_over: bool,
}

impl<I> Chunks<I> {
    pub(crate) const fn new(items: I, size: NonZeroUsize) -> Self {
        Self {
            items,
            size,
            is_over: false,
        }
    }
}

impl<I: Iterator> Iterator for Chunks<I> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        if self.is_over {
            return None;
        }
        let size = self.size.get();
        let chunk: Vec<_> = self.items.by_ref().take(size).collect();
        // An iterator that has ended need not end again.
        self.is_over = chunk.len() < size;
        (!chunk.is_empty()).then_some(chunk)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.is_over {
            return (0, Some(0));
        }
        let (least, most) = self.items.size_hint();
        let chunks = |items: usize| items.div_ceil(self.size.get());
        (chunks(least), most.map(chunks))
    }
}

impl<I: Iterator> FusedIterator for Chunks<I> {}
