use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
};
use tokio::sync::watch;

/// A process that has SIGKILL pending is gone in microseconds, unless the kernel is stuck in it.
const DEAD_WITHIN: Duration = Duration::from_secs(1);

/// A child process, started at the head of a process group of its own.
///
/// It is waited for by a thread, not by tokio: so it is reaped when the runtime is gone too, and
/// its number cannot go to another process between the last look and a signal.
#[derive(Debug)]
pub(crate) struct Process {
    shared: Arc<Shared>,
    status: watch::Receiver<Option<Ended>>,
}

#[derive(Debug)]
struct Shared {
    pid: Pid,
    child: Mutex<Child>,
    /// Changed under the lock of `child`, so that no signal is sent after the process was reaped.
    status: watch::Sender<Option<Ended>>,
    reaped: Condvar,
}

/// That a process has ended, and how; no status if something else in this process took it, by
/// waiting for all children or by ignoring SIGCHLD.
pub(crate) type Ended = Option<ExitStatus>;

/// The ends of the process's output that are ours.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> io::Result<(Self, Output)> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, status) = watch::channel(None);
        let shared = Arc::new(Shared {
            pid: Pid::from_child(&child),
            child: Mutex::new(child),
            status: sender,
            reaped: Condvar::new(),
        });
        let reaper = Arc::clone(&shared);
        let waiting = thread::Builder::new()
            .name("plugin-reaper".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || reaper.reap());
        if let Err(error) = waiting {
            let mut child = shared.child();
            let _ = kill_process_group(shared.pid, Signal::KILL);
            child.wait()?;
            return Err(error);
        }
        let process = Self { shared, status };
        match (stdout, stderr) {
            (Some(stdout), Some(stderr)) => Ok((process, Output { stdout, stderr })),
            _ => Err(io::Error::other("the standard library made no pipes")),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.shared.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Signals the whole group; does nothing when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        self.shared.signal(signal);
    }

    pub(crate) fn ended_as(&self) -> Option<Ended> {
        *self.status.borrow()
    }

    /// Resolves when the process has ended and was reaped.
    pub(crate) fn ended(&self) -> impl Future<Output = Ended> + Send + use<> {
        let mut status = self.status.clone();
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                if let Some(ended) = *status.borrow_and_update() {
                    return ended;
                }
                // An error would mean that the sender is gone, and `shared` holds it.
                let _ = status.changed().await;
                let _ = &shared;
            }
        }
    }
}

/// Nothing is left behind: SIGKILL for the group, then a wait of at most a second.
impl Drop for Process {
    fn drop(&mut self) {
        self.shared.signal(Signal::KILL);
        let (_child, timeout) = self
            .shared
            .reaped
            .wait_timeout_while(self.shared.child(), DEAD_WITHIN, |_| {
                self.shared.status.borrow().is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            tracing::error!(pid = self.pid(), within = ?DEAD_WITHIN, "plugin survived SIGKILL");
        }
    }
}

impl Shared {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        let _unreaped = self.child();
        if self.status.borrow().is_none() {
            // Errors mean that there is nobody left.
            let _ = kill_process_group(self.pid, signal);
            // Nothing keeps a process in its group; but no signal is to reach it twice.
            if getpgid(Some(self.pid)).is_ok_and(|group| group != self.pid) {
                let _ = kill_process(self.pid, signal);
            }
        }
    }

    fn reap(&self) {
        // Waits but leaves the zombie, which keeps the number of the group ours to signal.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), options));
        let mut child = self.child();
        // Whatever the plugin started and did not stop ends with it.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let ended = child.wait().inspect_err(|error| {
            let pid = self.pid.as_raw_nonzero();
            tracing::warn!(
                pid,
                error = error as &dyn std::error::Error,
                "exit status lost"
            );
        });
        self.status.send_replace(Some(ended.ok()));
        self.reaped.notify_all();
        drop(child);
        // Where this process gets the orphans (as init of a container, or as subreaper), what was
        // killed above is now its own to wait for.
        let options = WaitIdOptions::EXITED;
        while rustix::io::retry_on_intr(|| waitid(WaitId::Pgid(Some(self.pid)), options)).is_ok() {}
    }
}

#[cfg(test)]
mod tests;
