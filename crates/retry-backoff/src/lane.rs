use std::cell::Cell;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

/// One for each of twice as many threads as there are processors, and one for all beyond.
pub(crate) fn lanes() -> usize {
    static LANES: LazyLock<usize> = LazyLock::new(|| {
        let processors = available_parallelism().map_or(1, usize::from);
        2 * processors.min(MOST) + 1
    });
    *LANES
}

/// On more processors than this, threads may share a lane.
const MOST: usize = 64;

/// Where this thread writes: at no time does another write there as well, but for the last lane.
#[inline]
pub(crate) fn lane() -> usize {
    match LANE.get() {
        UNKNOWN => find(),
        lane => lane,
    }
}

const UNKNOWN: usize = usize::MAX;

/// Those that no thread has, the lowest last.
static FREE: LazyLock<Mutex<Vec<usize>>> =
    LazyLock::new(|| Mutex::new((0..lanes() - 1).rev().collect()));

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static OWNED: Owned = Owned(Cell::new(free().pop()));
}

/// Goes to another thread when this one ends.
struct Owned(Cell<Option<usize>>);

#[cold]
fn find() -> usize {
    // A thread that is ending may have returned its own.
    let owned = OWNED.try_with(|it| it.0.get()).unwrap_or(None);
    let lane = owned.unwrap_or(lanes() - 1);
    LANE.set(lane);
    lane
}

/// Numbers are whole whatever happened to those who held the lock.
fn free() -> MutexGuard<'static, Vec<usize>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Owned {
    fn give_back(&self) {
        if let Some(lane) = self.0.take() {
            // Whatever this thread still drops, it counts with the others.
            LANE.set(lanes() - 1);
            free().push(lane);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests;
