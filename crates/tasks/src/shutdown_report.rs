use std::fmt;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::{Outcome, Report};
use crate::phase::Phase;

/// What began a shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// This signal.
    Signal(&'static str),
    /// [`Shutdown::begin`](crate::Shutdown::begin) or [`force`](crate::Shutdown::force).
    Asked,
    /// What was [served](crate::Shutdown::serve) by this name ended by itself.
    Ended(Arc<str>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Asked => f.write_str("asked"),
            Self::Ended(name) => write!(f, "{name} ended"),
        }
    }
}

/// What a shutdown came to. Its `Display` is one line, with the names of those who did not end well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// What began it.
    pub cause: Cause,
    /// Whether it was cut short.
    pub forced: bool,
    /// What came of each phase, in their order.
    pub phases: Vec<PhaseReport>,
    /// How many pieces of [`Work`](crate::Work) ended only when the time for the drain was over.
    pub work_overdue: usize,
    /// How many did not even then.
    pub work_hung: usize,
}

/// What came of one phase.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// How long it took.
    pub took: Duration,
    /// What came of its tasks.
    pub tasks: Report,
}

impl ShutdownReport {
    /// Whether all ended by themselves, in time, and without a failure.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.forced
            && self.work_overdue == 0
            && self.work_hung == 0
            && self.phases.iter().all(|phase| {
                let tasks = &phase.tasks;
                let failed = |outcome: &Outcome| !matches!(outcome, Outcome::Completed);
                tasks.aborted.is_empty()
                    && tasks.hung.is_empty()
                    && !tasks.finished.iter().any(|it| failed(&it.outcome))
            })
    }

    /// 0 if it [is clean](Self::is_clean), else 1. A runtime that is dropped waits for those that hung,
    /// for ever if need be; [`exit`](Self::exit) does not.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Ends the process with 0 if it [is clean](Self::is_clean), else with 1, whatever still runs. No
    /// destructors are run.
    pub fn exit(&self) -> ! {
        exit(i32::from(!self.is_clean()))
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shutdown ({})", self.cause)?;
        if self.forced {
            f.write_str(", forced")?;
        }
        if self.is_clean() {
            return f.write_str(", clean");
        }
        for PhaseReport { phase, tasks, .. } in &self.phases {
            for ended in &tasks.finished {
                if !matches!(ended.outcome, Outcome::Completed) {
                    write!(f, "; {phase}: {} {}", ended.name, ended.outcome)?;
                }
            }
            for name in &tasks.aborted {
                write!(f, "; {phase}: {name} aborted")?;
            }
            for name in &tasks.hung {
                write!(f, "; {phase}: {name} hung")?;
            }
            if *phase == Phase::Drain && self.work_overdue > 0 {
                write!(f, "; {phase}: work overdue: {}", self.work_overdue)?;
            }
            if *phase == Phase::Drain && self.work_hung > 0 {
                write!(f, "; {phase}: work hung: {}", self.work_hung)?;
            }
        }
        Ok(())
    }
}
