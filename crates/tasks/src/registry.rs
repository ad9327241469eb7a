use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::outcome::{Ended, NotRunning, Outcome, Report, StartError, State, Status};
use crate::run::Run;

/// How many outcomes are remembered.
const HISTORY: usize = 128;

/// Background tasks by their names, at most one alive for each.
#[derive(Clone, Default)]
pub struct Tasks {
    shared: Arc<Mutex<Registry>>,
}

#[derive(Default)]
struct Registry {
    alive: HashMap<Arc<str>, Entry>,
    ended: VecDeque<Ended>,
    shut_down: bool,
}

struct Entry {
    started: Instant,
    stopping: CancellationToken,
    end: watch::Receiver<Option<Outcome>>,
    abort: Abort,
}

/// A task is listed before it is spawned, so it can be aborted before it has a handle.
enum Abort {
    NotSpawned,
    Asked,
    Spawned(AbortHandle),
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
        self.spawn(exit, stopping, make);
        Ok(())
    }

    /// Starts a task once the one of this name has ended, which is stopped as by
    /// [`stop`](Self::stop). When several replace at once, each runs after the one before has ended.
    ///
    /// # Errors
    /// After [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
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
        let name = name.into();
        loop {
            match self.reserve(name.clone()) {
                Ok((exit, stopping)) => {
                    self.spawn(exit, stopping, make);
                    return Ok(());
                }
                // That it has ended meanwhile is as good.
                Err(StartError::Running(_)) => drop(self.stop(&name, grace).await),
                Err(error) => return Err(error),
            }
        }
    }

    /// Cancels the task's token, waits for `grace`, then aborts it, and returns when it has ended. A task
    /// that blocks its thread is waited for as long as it does.
    ///
    /// # Errors
    /// If none of this name is alive.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<Outcome, NotRunning> {
        let mut end = {
            let registry = self.lock();
            let entry = registry
                .alive
                .get(name)
                .ok_or_else(|| NotRunning(name.into()))?;
            entry.stopping.cancel();
            entry.end.clone()
        };
        if let Ok(outcome) = timeout(grace, ended(&mut end)).await {
            return Ok(outcome);
        }
        self.abort(name, &end);
        Ok(ended(&mut end).await)
    }

    /// Refuses new tasks, cancels all at once, aborts those alive after `grace`, and waits for these up
    /// to `hang` more. Call it again to wait for those that hung.
    pub async fn shutdown(&self, grace: Duration, hang: Duration) -> Report {
        let tasks: Vec<_> = {
            let mut registry = self.lock();
            registry.shut_down = true;
            let alive = registry.alive.iter();
            alive
                .map(|(name, entry)| (name.clone(), entry.stopping.clone(), entry.end.clone()))
                .collect()
        };
        for (_, stopping, _) in &tasks {
            stopping.cancel();
        }

        let mut report = Report::default();
        let mut stubborn = Vec::new();
        let deadline = Instant::now() + grace;
        for (name, _, mut end) in tasks {
            match timeout_at(deadline, ended(&mut end)).await {
                Ok(outcome) => report.finished.push(Ended { name, outcome }),
                Err(_) => stubborn.push((name, end)),
            }
        }
        for (name, end) in &stubborn {
            self.abort(name, end);
        }
        let deadline = Instant::now() + hang;
        for (name, mut end) in stubborn {
            match timeout_at(deadline, ended(&mut end)).await {
                Ok(Outcome::Aborted) => report.aborted.push(name),
                // It was just about to end.
                Ok(outcome) => report.finished.push(Ended { name, outcome }),
                Err(_) => report.hung.push(name),
            }
        }
        report
    }

    /// The tasks that are alive, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let status = |(name, entry): (&Arc<str>, &Entry)| Status {
            name: name.clone(),
            state: if entry.stopping.is_cancelled() {
                State::Stopping
            } else {
                State::Running
            },
            age: entry.started.elapsed(),
        };
        self.lock().alive.iter().map(status).collect()
    }

    /// How the last task of this name ended, if it is among the last 128 that did.
    #[must_use]
    pub fn last_outcome(&self, name: &str) -> Option<Outcome> {
        let registry = self.lock();
        let last = registry
            .ended
            .iter()
            .rev()
            .find(|ended| &*ended.name == name);
        last.map(|ended| ended.outcome.clone())
    }

    fn reserve(&self, name: Arc<str>) -> Result<(Exit, CancellationToken), StartError> {
        let mut registry = self.lock();
        if registry.shut_down {
            return Err(StartError::ShutDown(name));
        }
        if registry.alive.contains_key(&name) {
            return Err(StartError::Running(name));
        }
        let (sender, end) = watch::channel(None);
        let stopping = CancellationToken::new();
        let entry = Entry {
            started: Instant::now(),
            stopping: stopping.clone(),
            end,
            abort: Abort::NotSpawned,
        };
        registry.alive.insert(name.clone(), entry);
        let tasks = self.clone();
        Ok((
            Exit {
                tasks,
                name,
                sender,
                outcome: Outcome::Aborted,
            },
            stopping,
        ))
    }

    // Not under the lock: a runtime that is shut down drops the task here, and its exit takes the lock.
    fn spawn<M, F>(&self, exit: Exit, stopping: CancellationToken, make: M)
    where
        M: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let name = exit.name.clone();
        let end = exit.sender.subscribe();
        let body = Box::pin(async move { make(stopping).await });
        let handle = tokio::spawn(Run { body, exit }).abort_handle();
        let mut registry = self.lock();
        let Some(entry) = registry
            .alive
            .get_mut(&name)
            .filter(|entry| entry.end.same_channel(&end))
        else {
            return; // it has ended
        };
        let asked = matches!(entry.abort, Abort::Asked);
        entry.abort = Abort::Spawned(handle.clone());
        drop(registry);
        if asked {
            handle.abort();
        }
    }

    /// Aborts the task that has this end, and no later one of the same name.
    fn abort(&self, name: &str, end: &watch::Receiver<Option<Outcome>>) {
        let mut registry = self.lock();
        let entry = registry.alive.get_mut(name);
        let Some(entry) = entry.filter(|entry| entry.end.same_channel(end)) else {
            return;
        };
        if let Abort::Spawned(handle) = &entry.abort {
            let handle = handle.clone();
            drop(registry);
            handle.abort();
        } else {
            entry.abort = Abort::Asked;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
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

async fn ended(end: &mut watch::Receiver<Option<Outcome>>) -> Outcome {
    // The sender sends before it is dropped; without it the task is gone all the same.
    match end.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Outcome::Aborted),
        Err(_) => Outcome::Aborted,
    }
}

/// Dropped after the task's body: frees the name, remembers the outcome, wakes who waits.
pub(crate) struct Exit {
    tasks: Tasks,
    name: Arc<str>,
    sender: watch::Sender<Option<Outcome>>,
    pub(crate) outcome: Outcome,
}

impl Drop for Exit {
    fn drop(&mut self) {
        let (name, outcome) = (&self.name, &self.outcome);
        let forgotten = {
            let mut registry = self.tasks.lock();
            let entry = registry.alive.remove(name);
            let old = if registry.ended.len() == HISTORY {
                registry.ended.pop_front()
            } else {
                None
            };
            registry.ended.push_back(Ended {
                name: name.clone(),
                outcome: outcome.clone(),
            });
            (entry, old)
        };
        // An error's destructor is not ours: it runs without the lock.
        drop(forgotten);
        match outcome {
            Outcome::Completed => tracing::debug!(task = %name, "task completed"),
            outcome => tracing::warn!(task = %name, %outcome, "task ended"),
        }
        self.sender.send_replace(Some(outcome.clone()));
    }
}
