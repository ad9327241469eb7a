use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::outcome::{Ended, NotRunning, Outcome, Report, StartError, State, Status};
use crate::run::Run;
use crate::sync::{AbortHandle, JoinHandle, Mutex, MutexGuard, spawn, timeout_at};

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

impl Entry {
    fn ask(&self, name: &Arc<str>) -> Asked {
        self.stopping.cancel();
        Asked {
            name: name.clone(),
            end: self.end.clone(),
        }
    }
}

/// A task that was asked to stop: this one, and no later one of its name.
#[derive(Clone)]
struct Asked {
    name: Arc<str>,
    end: watch::Receiver<Option<Outcome>>,
}

impl Asked {
    async fn ended(&mut self) -> Outcome {
        // The sender sends before it is dropped; without it the task is gone all the same.
        match self.end.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Aborted),
            Err(_) => Outcome::Aborted,
        }
    }
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

    /// Cancels the task's token, aborts it if it is alive after `grace`, and returns when it has ended. A
    /// task that blocks its thread is waited for as long as it does.
    ///
    /// # Errors
    /// If none of this name is alive.
    ///
    /// # Cancel safety
    /// The task is aborted after the grace whether or not anybody still waits.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<Outcome, NotRunning> {
        let mut asked = {
            let registry = self.lock();
            let alive = registry.alive.get_key_value(name);
            let (name, entry) = alive.ok_or_else(|| NotRunning(name.into()))?;
            entry.ask(name)
        };
        let forced = CancellationToken::new();
        self.abort_after(vec![asked.clone()], Instant::now() + grace, forced);
        Ok(asked.ended().await)
    }

    /// Refuses new tasks, cancels all at once, aborts those alive after `grace`, and waits for these up
    /// to `hang` more. Call it again to wait for those that hung.
    ///
    /// # Cancel safety
    /// The tasks are aborted after the grace whether or not anybody still waits.
    pub async fn shutdown(&self, grace: Duration, hang: Duration) -> Report {
        let forced = CancellationToken::new();
        self.end(Instant::now() + grace, forced, || hang).await
    }

    /// As [`shutdown`](Self::shutdown), but the grace also ends when it is `forced`. How long may hang
    /// is asked after that.
    pub(crate) async fn end(
        &self,
        deadline: Instant,
        forced: CancellationToken,
        hang: impl FnOnce() -> Duration,
    ) -> Report {
        let tasks: Vec<_> = {
            let mut registry = self.lock();
            registry.shut_down = true;
            let alive = registry.alive.iter();
            alive.map(|(name, entry)| entry.ask(name)).collect()
        };
        let aborting = self.abort_after(tasks.clone(), deadline, forced);
        // It fails only with its runtime, and the tasks with it.
        let _ = aborting.await;

        let mut report = Report::default();
        let deadline = Instant::now() + hang();
        for mut asked in tasks {
            let outcome = timeout_at(deadline, asked.ended()).await;
            let name = asked.name;
            match outcome {
                Ok(Outcome::Aborted) => report.aborted.push(name),
                Ok(outcome) => report.finished.push(Ended { name, outcome }),
                Err(_) => report.hung.push(name),
            }
        }
        report
    }

    /// Aborts those that are alive at the deadline, or when it is `forced`. In a task of its own, so that
    /// it does not depend on the one who asked: that one may be cancelled, or not polled.
    fn abort_after(
        &self,
        mut tasks: Vec<Asked>,
        deadline: Instant,
        forced: CancellationToken,
    ) -> JoinHandle<()> {
        let registry = self.clone();
        spawn(async move {
            let ended = async {
                for asked in &mut tasks {
                    asked.ended().await;
                }
            };
            let ended = timeout_at(deadline, ended);
            if !matches!(forced.run_until_cancelled(ended).await, Some(Ok(()))) {
                for asked in &tasks {
                    registry.abort(asked);
                }
            }
        })
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
        let handle = spawn(Run { body, exit }).abort_handle();
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

    fn abort(&self, asked: &Asked) {
        let mut registry = self.lock();
        let entry = registry.alive.get_mut(&asked.name);
        let Some(entry) = entry.filter(|entry| entry.end.same_channel(&asked.end)) else {
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
