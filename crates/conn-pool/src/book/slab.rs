use std::ops::{Index, IndexMut};

/// The place of nothing.
pub(crate) const NONE: u32 = u32::MAX;

/// Values under small numbers, which are used again once they are free.
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    vacant: u32,
    len: u32,
}

enum Entry<T> {
    Taken(T),
    /// With the next vacant place.
    Vacant(u32),
}

/// The neighbours of a value that stands in a [`List`].
#[derive(Clone, Copy)]
pub(crate) struct Links {
    prev: u32,
    next: u32,
}

/// A value that can stand in one list at a time.
pub(crate) trait Linked {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// An order of values in a slab, with insertion at both ends and removal anywhere in O(1).
#[derive(Clone, Copy)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            vacant: NONE,
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.vacant == NONE {
            self.entries.push(Entry::Taken(value));
            return self.entries.len() as u32 - 1;
        }
        let id = self.vacant;
        let entry = &mut self.entries[id as usize];
        if let Entry::Vacant(next) = entry {
            self.vacant = *next;
        }
        *entry = Entry::Taken(value);
        id
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: u32) -> T {
        let entry = &mut self.entries[id as usize];
        match std::mem::replace(entry, Entry::Vacant(self.vacant)) {
            Entry::Taken(value) => {
                self.vacant = id;
                self.len -= 1;
                value
            }
            Entry::Vacant(_) => unreachable!("removed twice"),
        }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        match self.entries.get(id as usize)? {
            Entry::Taken(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.iter_from(0)
    }

    pub(crate) fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &T)> {
        let entries = self.entries.get(first as usize..).unwrap_or_default();
        (first..)
            .zip(entries)
            .filter_map(|(id, entry)| match entry {
                Entry::Taken(value) => Some((id, value)),
                Entry::Vacant(_) => None,
            })
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        match &self.entries[id as usize] {
            Entry::Taken(value) => value,
            Entry::Vacant(_) => unreachable!("used after its removal"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        match &mut self.entries[id as usize] {
            Entry::Taken(value) => value,
            Entry::Vacant(_) => unreachable!("used after its removal"),
        }
    }
}

impl Links {
    pub(crate) const NOWHERE: Self = Self {
        prev: NONE,
        next: NONE,
    };

    /// The one before, or [`NONE`].
    pub(crate) const fn before(&self) -> u32 {
        self.prev
    }
}

impl List {
    pub(crate) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };

    pub(crate) const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The first, or [`NONE`].
    pub(crate) const fn head(&self) -> u32 {
        self.head
    }

    /// The last, or [`NONE`].
    pub(crate) const fn tail(&self) -> u32 {
        self.tail
    }

    /// The one before one that stands in it, or [`NONE`].
    pub(crate) fn before<T: Linked>(&self, slab: &Slab<T>, id: u32) -> u32 {
        slab[id].links().prev
    }

    /// The next of one that stands in it, or [`NONE`].
    pub(crate) fn after<T: Linked>(&self, slab: &Slab<T>, id: u32) -> u32 {
        slab[id].links().next
    }

    #[inline]
    pub(crate) fn push_front<T: Linked>(&mut self, slab: &mut Slab<T>, id: u32) {
        *slab[id].links_mut() = Links {
            prev: NONE,
            next: self.head,
        };
        match self.head {
            NONE => self.tail = id,
            head => slab[head].links_mut().prev = id,
        }
        self.head = id;
    }

    #[inline]
    pub(crate) fn push_back<T: Linked>(&mut self, slab: &mut Slab<T>, id: u32) {
        *slab[id].links_mut() = Links {
            prev: self.tail,
            next: NONE,
        };
        match self.tail {
            NONE => self.head = id,
            tail => slab[tail].links_mut().next = id,
        }
        self.tail = id;
    }

    /// Behind one that stands in it, or at the front if that is [`NONE`].
    pub(crate) fn insert_behind<T: Linked>(&mut self, slab: &mut Slab<T>, id: u32, other: u32) {
        if other == NONE {
            return self.push_front(slab, id);
        }
        let next = std::mem::replace(&mut slab[other].links_mut().next, id);
        *slab[id].links_mut() = Links { prev: other, next };
        match next {
            NONE => self.tail = id,
            next => slab[next].links_mut().prev = id,
        }
    }

    #[inline]
    pub(crate) fn remove<T: Linked>(&mut self, slab: &mut Slab<T>, id: u32) {
        let Links { prev, next } = std::mem::replace(slab[id].links_mut(), Links::NOWHERE);
        match prev {
            NONE => self.head = next,
            prev => slab[prev].links_mut().next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => slab[next].links_mut().prev = prev,
        }
    }
}
