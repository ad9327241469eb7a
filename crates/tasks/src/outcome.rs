use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::BoxError;

/// How a task has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It returned `Ok`.
    Completed,
    /// It returned this error.
    Failed(Arc<BoxError>),
    /// It panicked, with this message.
    Panicked(Arc<str>),
    /// It was dropped before its end: aborted, or its runtime was shut down.
    Aborted,
    /// It was [supervised](crate::Tasks::start_supervised), and is not run again after so many restarts.
    GivenUp {
        /// How often it was run again, in all.
        restarts: u64,
        /// How its last run ended.
        last: Box<Self>,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Aborted => f.write_str("aborted"),
            Self::GivenUp { restarts, last } => {
                write!(f, "given up after {restarts} restarts: {last}")
            }
        }
    }
}

/// A task that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Its name.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a task that is alive is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Nobody has asked it to stop.
    Running,
    /// It has ended, and will be run again.
    Waiting,
    /// It was asked to stop.
    Stopping,
}

/// A task that is alive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Its name.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: State,
    /// The time since it was started; restarts do not count.
    pub age: Duration,
    /// How often it was run again.
    pub restarts: u64,
    /// How its last run ended, if this is not the first.
    pub last: Option<Outcome>,
}

/// What [`Tasks::shutdown`](crate::Tasks::shutdown) came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Those that ended by themselves, and how.
    pub finished: Vec<Ended>,
    /// Those that ignored their cancellation and were aborted.
    pub aborted: Vec<Arc<str>>,
    /// Those that did not end even then: they block their thread.
    pub hung: Vec<Arc<str>>,
}

/// Why a task was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// A task of this name is alive.
    Running(Arc<str>),
    /// The tasks were shut down; this one was not started.
    ShutDown(Arc<str>),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(name) => {
                write!(f, "task {name:?} is not started: one of this name is alive")
            }
            Self::ShutDown(name) => {
                write!(f, "task {name:?} is not started: the tasks are shut down")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// No task of this name is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRunning(pub(crate) Arc<str>);

impl fmt::Display for NotRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no task {:?} is alive", self.0)
    }
}

impl std::error::Error for NotRunning {}
