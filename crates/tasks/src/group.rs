use std::fmt;
use std::panic::resume_unwind;

use tokio::task::JoinSet;

/// Tasks that belong together: all complete, or the first failure ends them all.
///
/// Each is spawned, so it runs on any thread and cannot borrow from its surroundings: a group can be
/// leaked or dropped in the middle, and a borrow is sound only if neither is possible. What borrows goes
/// into a [`LocalGroup`](crate::LocalGroup), which polls it in place.
///
/// # Cancel safety
/// Dropping the group, or the future of [`join`](Self::join), aborts what is left; destructors run soon
/// after on the runtime, not before the drop returns.
pub struct TaskGroup<T, E> {
    tasks: JoinSet<(usize, Result<T, E>)>,
    spawned: usize,
}

impl<T: Send + 'static, E: Send + 'static> TaskGroup<T, E> {
    /// A group of none.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            spawned: 0,
        }
    }

    /// Starts a task.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(&mut self, task: impl Future<Output = Result<T, E>> + Send + 'static) {
        let index = self.spawned;
        self.spawned += 1;
        self.tasks.spawn(async move { (index, task.await) });
    }

    /// The results, in the order of [`spawn`](Self::spawn). A task that blocks its thread is waited for
    /// as long as it does.
    ///
    /// # Errors
    /// The first error there is, when all others have been aborted and are gone.
    ///
    /// # Panics
    /// With the first panic of a task, likewise; and if the runtime is shut down.
    pub async fn join(mut self) -> Result<Vec<T>, E> {
        let mut results: Vec<Option<T>> = Vec::new();
        results.resize_with(self.spawned, || None);
        while let Some(joined) = self.tasks.join_next().await {
            match joined {
                Ok((index, Ok(result))) => results[index] = Some(result),
                Ok((_, Err(error))) => {
                    self.tasks.shutdown().await;
                    return Err(error);
                }
                Err(ended) => {
                    self.tasks.shutdown().await;
                    match ended.try_into_panic() {
                        Ok(panic) => resume_unwind(panic),
                        // Nobody but the runtime can have cancelled it.
                        Err(_) => panic!("the runtime was shut down under a task group"),
                    }
                }
            }
        }
        // Each has been joined with a result, or this was not reached.
        Ok(results.into_iter().flatten().collect())
    }
}

impl<T: Send + 'static, E: Send + 'static> Default for TaskGroup<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for TaskGroup<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("alive", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
