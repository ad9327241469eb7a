use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{Mutex, MutexGuard};

/// Futures that belong together and may borrow from their surroundings: all complete, or the first failure
/// drops the others.
///
/// They are polled in the task of whoever polls this, one at a time: they wait at once, but do not compute
/// at once. For that, [`TaskGroup`](crate::TaskGroup) spawns. The group is a future of the results, in the
/// order of [`add`](Self::add), or of the first error.
///
/// # Panics
/// If it is polled after its end. A panic of one goes on through this, and drops the others with it.
///
/// # Cancel safety
/// Dropping it drops all that have not ended, before the drop returns.
pub struct LocalGroup<'a, T, E> {
    members: Vec<Member<'a, T, E>>,
    /// How many have not ended.
    left: usize,
    is_over: bool,
    woken: Arc<Mutex<Woken>>,
}

struct Member<'a, T, E> {
    state: State<'a, T, E>,
    waker: Waker,
}

enum State<'a, T, E> {
    Runs(Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>),
    Has(T),
}

/// Which members are to be polled, and who polls the group.
#[derive(Default)]
struct Woken {
    members: Vec<usize>,
    /// For each member, whether it is among these: nobody is twice.
    is_woken: Vec<bool>,
    group: Option<Waker>,
}

struct WakesMember {
    index: usize,
    woken: Arc<Mutex<Woken>>,
}

impl<'a, T, E> LocalGroup<'a, T, E> {
    /// A group of none.
    #[must_use]
    pub fn new() -> Self {
        Self {
            members: Vec::new(),
            left: 0,
            is_over: false,
            woken: Arc::default(),
        }
    }

    /// Adds a future, which is first polled when the group is.
    pub fn add(&mut self, future: impl Future<Output = Result<T, E>> + Send + 'a) {
        let index = self.members.len();
        let woken = self.woken.clone();
        let waker = Waker::from(Arc::new(WakesMember { index, woken }));
        let state = State::Runs(Box::pin(future));
        self.members.push(Member { state, waker });
        self.left += 1;
        let mut woken = lock(&self.woken);
        woken.is_woken.push(true);
        woken.members.push(index);
    }
}

impl<T, E> Future for LocalGroup<'_, T, E> {
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.is_over, "a group is not polled after its end");
        // Before they are polled, so that one that is woken meanwhile is polled again.
        let members = lock(&self.woken).take(cx.waker());
        for index in members {
            let Member { state, waker } = &mut self.members[index];
            let State::Runs(future) = state else {
                continue; // it was woken after its end
            };
            match future.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Pending => {}
                Poll::Ready(Ok(result)) => {
                    *state = State::Has(result);
                    self.left -= 1;
                }
                Poll::Ready(Err(error)) => {
                    self.is_over = true;
                    self.members.clear();
                    return Poll::Ready(Err(error));
                }
            }
        }
        if self.left > 0 {
            return Poll::Pending;
        }
        self.is_over = true;
        let members = mem::take(&mut self.members);
        let results = members.into_iter().filter_map(|member| match member.state {
            State::Has(result) => Some(result),
            State::Runs(_) => None, // none is left
        });
        Poll::Ready(Ok(results.collect()))
    }
}

impl Woken {
    /// Those that are to be polled, by whoever has this waker.
    fn take(&mut self, group: &Waker) -> Vec<usize> {
        match &mut self.group {
            Some(waker) => waker.clone_from(group),
            None => self.group = Some(group.clone()),
        }
        for &index in &self.members {
            self.is_woken[index] = false;
        }
        mem::take(&mut self.members)
    }
}

impl Wake for WakesMember {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let group = {
            let mut woken = lock(&self.woken);
            if mem::replace(&mut woken.is_woken[self.index], true) {
                return;
            }
            woken.members.push(self.index);
            woken.group.clone()
        };
        // Not under the lock: what it does is not ours.
        if let Some(group) = group {
            group.wake();
        }
    }
}

/// Nothing in it is pinned where it is.
impl<T, E> Unpin for LocalGroup<'_, T, E> {}

impl<T, E> Default for LocalGroup<'_, T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for LocalGroup<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalGroup")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}
