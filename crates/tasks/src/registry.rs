use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Tasks;
use crate::ending::Task;
use crate::outcome::{Ended, Outcome, StartError, State, Status};
use crate::sync::AbortHandle;

pub(crate) struct Registry {
    pub(crate) alive: HashMap<Arc<str>, Entry>,
    pub(crate) ended: VecDeque<Ended>,
    /// How many of these are remembered.
    history: usize,
    pub(crate) shut_down: bool,
    /// How many tasks were given a number.
    pub(crate) numbered: u64,
}

/// A task that is alive.
pub(crate) struct Entry {
    started: Instant,
    stopping: CancellationToken,
    end: watch::Receiver<Option<Outcome>>,
    abort: Abort,
    is_waiting: bool,
    restarts: u64,
    last: Option<Outcome>,
}

/// A task is listed before it is spawned, so it can be aborted before it has a handle.
enum Abort {
    NotSpawned,
    Asked,
    Spawned(AbortHandle),
}

impl Registry {
    /// Lists a task that is not spawned yet, so that no other of its name is.
    pub(crate) fn reserve(
        &mut self,
        name: Arc<str>,
        tasks: &Tasks,
    ) -> Result<(Exit, CancellationToken), StartError> {
        if self.shut_down {
            return Err(StartError::ShutDown(name));
        }
        if self.alive.contains_key(&name) {
            return Err(StartError::Running(name));
        }
        let (sender, end) = watch::channel(None);
        let stopping = CancellationToken::new();
        let entry = Entry {
            started: Instant::now(),
            stopping: stopping.clone(),
            end,
            abort: Abort::NotSpawned,
            is_waiting: false,
            restarts: 0,
            last: None,
        };
        self.alive.insert(name.clone(), entry);
        let exit = Exit {
            tasks: tasks.clone(),
            name,
            sender,
            outcome: Outcome::Aborted,
        };
        Ok((exit, stopping))
    }

    /// Notes how a task can be aborted. Whether it is to be, at once.
    #[must_use]
    pub(crate) fn spawned(&mut self, task: &Task, handle: &AbortHandle) -> bool {
        let Some(entry) = self.entry(task) else {
            return false; // it has ended
        };
        let abort = std::mem::replace(&mut entry.abort, Abort::Spawned(handle.clone()));
        matches!(abort, Abort::Asked)
    }

    /// What aborts this task, if it is alive and spawned. If it is not spawned yet, it will be aborted when
    /// it is.
    #[must_use]
    pub(crate) fn abort(&mut self, task: &Task) -> Option<AbortHandle> {
        let entry = self.entry(task)?;
        if let Abort::Spawned(handle) = &entry.abort {
            return Some(handle.clone());
        }
        entry.abort = Abort::Asked;
        None
    }

    /// A task waits until it is run again, after a run of this outcome. What is returned is not to be
    /// dropped under the lock.
    #[must_use]
    pub(crate) fn waits(&mut self, task: &Task, outcome: Outcome) -> Option<Outcome> {
        let entry = self.entry(task)?;
        entry.is_waiting = true;
        entry.last.replace(outcome)
    }

    /// A task is run again.
    pub(crate) fn restarts(&mut self, task: &Task) {
        if let Some(entry) = self.entry(task) {
            entry.is_waiting = false;
            entry.restarts += 1;
        }
    }

    fn entry(&mut self, task: &Task) -> Option<&mut Entry> {
        let entry = self.alive.get_mut(&task.name);
        entry.filter(|entry| entry.end.same_channel(&task.end))
    }

    /// Takes a task from the list. What is returned has destructors that are not ours, which are not to
    /// run under the lock.
    #[must_use]
    fn end(&mut self, ended: Ended) -> impl Sized + use<> {
        let entry = self.alive.remove(&ended.name);
        self.ended.push_back(ended);
        let old = (self.ended.len() > self.history).then(|| self.ended.pop_front());
        (entry, old)
    }

    /// Sets how many that have ended are remembered. Those that are too many are returned.
    #[must_use]
    pub(crate) fn remember(&mut self, history: usize) -> VecDeque<Ended> {
        self.history = history;
        let kept = self.ended.len().min(history);
        let kept = self.ended.split_off(self.ended.len() - kept);
        std::mem::replace(&mut self.ended, kept)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            alive: HashMap::new(),
            ended: VecDeque::new(),
            history: 128,
            shut_down: false,
            numbered: 0,
        }
    }
}

impl Entry {
    pub(crate) fn ask(&self, name: &Arc<str>) -> Task {
        self.stopping.cancel();
        self.task(name)
    }

    pub(crate) fn task(&self, name: &Arc<str>) -> Task {
        Task {
            name: name.clone(),
            end: self.end.clone(),
        }
    }

    pub(crate) fn status(&self, name: &Arc<str>) -> Status {
        Status {
            name: name.clone(),
            state: if self.stopping.is_cancelled() {
                State::Stopping
            } else if self.is_waiting {
                State::Waiting
            } else {
                State::Running
            },
            age: self.started.elapsed(),
            restarts: self.restarts,
            last: self.last.clone(),
        }
    }
}

/// Dropped after the task's body: frees the name, remembers the outcome, wakes who waits.
pub(crate) struct Exit {
    tasks: Tasks,
    name: Arc<str>,
    sender: watch::Sender<Option<Outcome>>,
    pub(crate) outcome: Outcome,
}

impl Exit {
    /// The task that it is the exit of.
    pub(crate) fn task(&self) -> Task {
        Task {
            name: self.name.clone(),
            end: self.sender.subscribe(),
        }
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        let ended = Ended {
            name: self.name.clone(),
            outcome: self.outcome.clone(),
        };
        let forgotten = self.tasks.lock().end(ended);
        drop(forgotten);
        let (name, outcome) = (&self.name, &self.outcome);
        match outcome {
            Outcome::Completed => tracing::debug!(task = %name, "task completed"),
            Outcome::GivenUp { .. } => tracing::error!(task = %name, %outcome, "task given up"),
            _ => tracing::warn!(task = %name, %outcome, "task ended"),
        }
        self.sender.send_replace(Some(outcome.clone()));
    }
}
