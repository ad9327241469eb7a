use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::ending::{Ending, Task, deadline};
use crate::outcome::{Ended, NotRunning, Outcome, Report, StartError, Status};
use crate::registry::{Exit, Registry};
use crate::run::{Caught, Run, outcome_of};
use crate::supervise::supervise;
use crate::supervision::Supervision;
use crate::sync::{Mutex, MutexGuard, spawn};

/// Background tasks by their names, at most one alive for each.
#[derive(Clone, Default)]
pub struct Tasks {
    shared: Arc<Mutex<Registry>>,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers so many of those that have ended, instead of the last 128.
    #[must_use]
    pub fn with_history(self, history: usize) -> Self {
        let forgotten = self.lock().remember(history);
        drop(forgotten);
        self
    }

    /// Starts a task. `make` is called in it, with a token that is cancelled when it is to stop.
    ///
    /// # Errors
    /// If one of this name is alive, or after [`shutdown`](Self::shutdown); `make` is not called then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start<M, F>(&self, name: impl Into<Arc<str>>, make: M) -> Result<(), StartError>
    where
        M: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (exit, stopping) = self.reserve(name.into())?;
        self.spawn(exit, once(make, stopping));
        Ok(())
    }

    /// Starts a task that is run again when it ends, as `supervision` says. `make` is called in it for each
    /// run, always with the same token; how the last run ended is how the task did, unless it is
    /// [given up](Outcome::GivenUp).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_supervised<B, I, M, F>(
        &self,
        name: impl Into<Arc<str>>,
        supervision: Supervision<B>,
        make: M,
    ) -> Result<(), StartError>
    where
        B: Fn() -> I + Send + 'static,
        I: Iterator<Item = Duration> + Send + 'static,
        M: FnMut(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (exit, stopping) = self.reserve(name.into())?;
        let body = supervise(self.clone(), exit.task(), supervision, make, stopping);
        self.spawn(exit, Caught::new(body));
        Ok(())
    }

    /// Starts a task once the one of this name has ended, which is stopped as by
    /// [`stop`](Self::stop). When several replace at once, each runs after the one before has ended. A task
    /// that replaces itself is dropped with what would replace it.
    ///
    /// # Errors
    /// After [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// If it is dropped before it returns, the new task is not started; the old one ends all the same.
    pub async fn replace<M, F>(
        &self,
        name: impl Into<Arc<str>>,
        grace: Duration,
        make: M,
    ) -> Result<(), StartError>
    where
        M: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (exit, stopping) = self.take_over(name.into(), grace).await?;
        self.spawn(exit, once(make, stopping));
        Ok(())
    }

    /// As [`replace`](Self::replace), for a task that is [supervised](Self::start_supervised).
    ///
    /// # Errors
    /// After [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// As [`replace`](Self::replace).
    pub async fn replace_supervised<B, I, M, F>(
        &self,
        name: impl Into<Arc<str>>,
        grace: Duration,
        supervision: Supervision<B>,
        make: M,
    ) -> Result<(), StartError>
    where
        B: Fn() -> I + Send + 'static,
        I: Iterator<Item = Duration> + Send + 'static,
        M: FnMut(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (exit, stopping) = self.take_over(name.into(), grace).await?;
        let body = supervise(self.clone(), exit.task(), supervision, make, stopping);
        self.spawn(exit, Caught::new(body));
        Ok(())
    }

    /// Cancels the task's token, aborts it if it is alive after `grace`, and returns when it has ended. A
    /// task that blocks its thread is waited for as long as it does.
    ///
    /// # Errors
    /// If none of this name is alive.
    ///
    /// # Cancel safety
    /// The task is aborted after the grace whether or not anybody still waits.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<Outcome, NotRunning> {
        let mut task = {
            let registry = self.lock();
            let alive = registry.alive.get_key_value(name);
            let (name, entry) = alive.ok_or_else(|| NotRunning(name.into()))?;
            entry.ask(name)
        };
        let forced = CancellationToken::new();
        let deadline = deadline(Instant::now(), grace);
        Ending::new(self, vec![task.clone()], deadline, &forced);
        Ok(task.ended().await)
    }

    /// Waits until a task has ended, without asking it to.
    ///
    /// # Errors
    /// If none of this name is alive. How one ended before is its [`last_outcome`](Self::last_outcome).
    pub async fn wait(&self, name: &str) -> Result<Outcome, NotRunning> {
        let mut task = {
            let registry = self.lock();
            let alive = registry.alive.get_key_value(name);
            let (name, entry) = alive.ok_or_else(|| NotRunning(name.into()))?;
            entry.task(name)
        };
        Ok(task.ended().await)
    }

    /// Refuses new tasks, cancels all at once, aborts those alive after `grace`, and waits for these up
    /// to `hang` more. Call it again to wait for those that hung.
    ///
    /// # Cancel safety
    /// The tasks are aborted after the grace whether or not anybody still waits.
    pub async fn shutdown(&self, grace: Duration, hang: Duration) -> Report {
        let forced = CancellationToken::new();
        let aborted_at = deadline(Instant::now(), grace);
        let mut ending = self.end(aborted_at, &forced);
        ending.abort_after(aborted_at, &forced).await;
        ending.report(deadline(Instant::now(), hang)).await
    }

    /// Refuses new tasks, cancels all at once, and aborts those alive at the deadline or when it is
    /// `forced`.
    pub(crate) fn end(&self, deadline: Instant, forced: &CancellationToken) -> Ending {
        let asked = {
            let mut registry = self.lock();
            registry.shut_down = true;
            let alive = registry.alive.iter();
            alive.map(|(name, entry)| entry.ask(name)).collect()
        };
        Ending::new(self, asked, deadline, forced)
    }

    /// The tasks that are alive, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let registry = self.lock();
        let alive = registry.alive.iter();
        alive.map(|(name, entry)| entry.status(name)).collect()
    }

    /// Those that have ended and are [remembered](Self::with_history), the oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Ended> {
        self.lock().ended.iter().cloned().collect()
    }

    /// How the last task of this name ended, if it is [remembered](Self::with_history).
    #[must_use]
    pub fn last_outcome(&self, name: &str) -> Option<Outcome> {
        let registry = self.lock();
        let mut ended = registry.ended.iter().rev();
        let last = ended.find(|ended| &*ended.name == name);
        last.map(|ended| ended.outcome.clone())
    }

    /// Starts a task by this name and a number that no other has.
    pub(crate) fn start_numbered<M, F>(&self, name: &str, make: M) -> Result<Task, StartError>
    where
        M: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        loop {
            let number = {
                let mut registry = self.lock();
                registry.numbered += 1;
                registry.numbered
            };
            match self.reserve(format!("{name} #{number}").into()) {
                // Somebody has named a task like that.
                Err(StartError::Running(_)) => {}
                Err(error) => return Err(error),
                Ok((exit, stopping)) => {
                    let task = exit.task();
                    self.spawn(exit, once(make, stopping));
                    return Ok(task);
                }
            }
        }
    }

    fn reserve(&self, name: Arc<str>) -> Result<(Exit, CancellationToken), StartError> {
        self.lock().reserve(name, self)
    }

    /// The name, when whoever had it has ended.
    async fn take_over(
        &self,
        name: Arc<str>,
        grace: Duration,
    ) -> Result<(Exit, CancellationToken), StartError> {
        loop {
            match self.reserve(name.clone()) {
                // That it has ended meanwhile is as good.
                Err(StartError::Running(_)) => drop(self.stop(&name, grace).await),
                reserved => return reserved,
            }
        }
    }

    // Not under the lock: a runtime that is shut down drops the task here, and its exit takes the lock.
    fn spawn(&self, exit: Exit, body: Caught) {
        let task = exit.task();
        let handle = spawn(Run { body, exit }).abort_handle();
        let is_aborted = self.lock().spawned(&task, &handle);
        if is_aborted {
            handle.abort();
        }
    }

    pub(crate) fn abort(&self, task: &Task) {
        let handle = self.lock().abort(task);
        // Not under the lock, since a task that is not running is dropped here.
        if let Some(handle) = handle {
            handle.abort();
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Registry> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("alive", &self.list())
            .finish_non_exhaustive()
    }
}

/// `make` is called in the task.
fn once<M, F>(make: M, stopping: CancellationToken) -> Caught
where
    M: FnOnce(CancellationToken) -> F + Send + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Caught::new(async move { outcome_of(make(stopping).await) })
}
