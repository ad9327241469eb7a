use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::outcome::StartError;
use crate::phase::Phase;
use crate::shutdown_report::Cause;
use crate::work::Work;
use crate::{BoxError, Tasks, signals};

/// The end of a process in good order: phase by phase, each with [`Tasks`] of its own, which are stopped
/// all at once when their phase comes, under one deadline.
///
/// ```
/// use mainstay_tasks::{Phase, Shutdown};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shutdown = Shutdown::on_signals()?;
/// shutdown.on(Phase::Announce, "health", async || {
///     // Here a health service says NOT_SERVING.
///     Ok(())
/// })?;
/// // For a tonic server: `serve_with_shutdown(address, stopping.cancelled_owned())`.
/// shutdown.serve("loop", async |stopping| {
///     while !stopping.is_cancelled() {
///         // Accept something, and do it.
/// #       break;
///     }
///     Ok(())
/// })?;
/// let report = shutdown.run().await;
/// println!("{report}");
/// # assert!(report.is_clean());
/// # return Ok(());
/// report.exit();
/// # }
/// ```
///
/// # Clone
/// Clones are the same shutdown.
#[derive(Clone)]
pub struct Shutdown {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    /// Set before it has `begun`.
    pub(crate) cause: OnceLock<Cause>,
    pub(crate) begun: CancellationToken,
    pub(crate) stopping: CancellationToken,
    pub(crate) overdue: CancellationToken,
    pub(crate) forced: CancellationToken,
    pub(crate) tasks: [Tasks; Phase::ALL.len()],
    pub(crate) limits: Mutex<[Duration; Phase::ALL.len()]>,
    /// It has been run.
    pub(crate) over: CancellationToken,
    pub(crate) work: TaskTracker,
    /// Servers that ended before they were asked to.
    pub(crate) early: Mutex<Vec<Arc<str>>>,
}

impl Shutdown {
    /// One that begins when it is asked to. The phases may take 3, 1, 10, 5, 3 and 3 s.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                cause: OnceLock::new(),
                begun: CancellationToken::new(),
                stopping: CancellationToken::new(),
                overdue: CancellationToken::new(),
                forced: CancellationToken::new(),
                over: CancellationToken::new(),
                tasks: Default::default(),
                limits: Mutex::new(Phase::LIMITS),
                work: TaskTracker::new(),
                early: Mutex::default(),
            }),
        }
    }

    /// One that also begins at SIGTERM or SIGINT (on Windows: Ctrl-C). Signals are heard from here until the
    /// process ends, in a thread for them; call it once.
    ///
    /// A second signal ends the process at once, with 128 and the number of the signal, even if all threads
    /// of the runtime are blocked. So does, with 1, a shutdown that is not over when the limits of all its
    /// phases are, and a second more for each and for the whole: [`run`](Self::run) it when it begins, not
    /// later. The names of the tasks that are left are logged in both cases. Of two signals of one kind that
    /// come faster than they are heard, the kernel keeps one.
    ///
    /// # Errors
    /// If signals cannot be heard, or no thread be made.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        signals::listen(shutdown.clone())?;
        Ok(shutdown)
    }

    /// Sets how long a phase may take before what is left of it is aborted. With zero it is at once.
    #[must_use]
    pub fn with_limit(self, phase: Phase, limit: Duration) -> Self {
        let limits = self.shared.limits.lock();
        limits.unwrap_or_else(PoisonError::into_inner)[phase as usize] = limit;
        self
    }

    /// Begins it. After the first time this does nothing.
    pub fn begin(&self) {
        self.begin_for(Cause::Asked);
    }

    /// Begins it if need be, and aborts all that has not ended. What is only due in a later phase is
    /// aborted without being run.
    pub fn force(&self) {
        self.shared.forced.cancel();
        self.begin();
    }

    /// Cancelled when nothing new is to be accepted.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        // Cancelling a child cancels nobody else.
        self.shared.stopping.child_token()
    }

    /// Work in flight, for which the drain waits until it is dropped.
    pub fn work(&self) -> Work {
        Work {
            _token: self.shared.work.token(),
            shutdown: self.clone(),
        }
    }

    /// The tasks that are stopped in this phase. [`Phase::StopTasks`] is the one for background tasks.
    #[must_use]
    pub fn at(&self, phase: Phase) -> &Tasks {
        &self.shared.tasks[phase as usize]
    }

    /// Does something in a phase: a task [`at`](Self::at) it that waits for it.
    ///
    /// # Errors
    /// If the phase has a task of this name, or has come.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on<H, F>(
        &self,
        phase: Phase,
        name: impl Into<Arc<str>>,
        hook: H,
    ) -> Result<(), StartError>
    where
        H: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.at(phase).start(name, async move |due| {
            due.cancelled().await;
            hook().await
        })
    }

    /// Starts a server, or a loop: a task that is to accept nothing new when its token is cancelled, and
    /// to end when all that it had accepted is done. The drain waits for it. If it ends before it is asked
    /// to, the shutdown begins.
    ///
    /// # Errors
    /// If one of this name is alive, or after the drain has begun.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve<M, F>(&self, name: impl Into<Arc<str>>, make: M) -> Result<(), StartError>
    where
        M: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (name, shutdown) = (name.into(), self.clone());
        self.at(Phase::Drain).start(name.clone(), async move |_| {
            let stopping = shutdown.stopping();
            let _serving = Serving { shutdown, name };
            make(stopping).await
        })
    }

    pub(crate) fn begin_for(&self, cause: Cause) {
        if self.shared.cause.set(cause).is_ok() {
            self.shared.begun.cancel();
        }
    }

    pub(crate) fn begun(&self) -> &CancellationToken {
        &self.shared.begun
    }

    pub(crate) fn over(&self) -> &CancellationToken {
        &self.shared.over
    }

    pub(crate) fn overdue(&self) -> &CancellationToken {
        &self.shared.overdue
    }

    /// How many pieces of work there are.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.work.len()
    }

    /// The names of all tasks that are alive.
    pub(crate) fn unfinished(&self) -> Vec<Arc<str>> {
        let alive = self.shared.tasks.iter().flat_map(Tasks::list);
        alive.map(|status| status.name).collect()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("cause", &self.shared.cause.get())
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}

/// Dropped when a server ends, in whatever way.
struct Serving {
    shutdown: Shutdown,
    name: Arc<str>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let shared = &self.shutdown.shared;
        if !shared.stopping.is_cancelled() {
            let early = shared.early.lock();
            let mut early = early.unwrap_or_else(PoisonError::into_inner);
            early.push(self.name.clone());
            drop(early);
            self.shutdown.begin_for(Cause::Ended(self.name.clone()));
        }
    }
}
