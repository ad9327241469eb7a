use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::process::{Ended, Process};

/// How often another's process is looked at; only children tell of their end.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(50);

/// The process of an instance.
#[derive(Debug)]
pub(crate) enum Running {
    /// A child of this host, which ends with it.
    Started(Process),
    /// Somebody else's, which goes on without this host.
    Attached(Attached),
}

/// A process that something else has started.
#[derive(Debug)]
pub(crate) struct Attached {
    pid: Pid,
    /// Stands for this process also when its number goes to another one.
    pidfd: OwnedFd,
    is_tested: bool,
    ended: watch::Receiver<Option<Ended>>,
}

/// Waits for the end of a process, which it is told about; to be spawned.
pub(crate) type Watching = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Attached {
    pub(crate) fn new(pid: u32, is_tested: bool) -> io::Result<(Self, Watching)> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = number.ok_or(rustix::io::Errno::SRCH)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let process = pidfd.try_clone()?;
        let (sender, ended) = watch::channel(None);
        let watching = async move {
            while !has_ended(&process) {
                sleep(LOOKED_AT_EVERY).await;
            }
            // Only a parent is told how.
            sender.send_replace(Some(None));
        };
        let this = Self {
            pid,
            pidfd,
            is_tested,
            ended,
        };
        Ok((this, Box::pin(watching)))
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Started(process) => process.pid(),
            Self::Attached(process) => process.pid.as_raw_nonzero().get().unsigned_abs(),
        }
    }

    /// Whether it is to be left as it is, since it belongs to a test.
    pub(crate) const fn is_tested(&self) -> bool {
        matches!(self, Self::Attached(process) if process.is_tested)
    }

    /// The whole group of a child, and another's process only.
    pub(crate) fn signal(&self, signal: Signal) {
        match self {
            Self::Started(process) => process.signal(signal),
            Self::Attached(process) => {
                // An error means that it has ended, or is not this user's to end, which shows.
                let _ = pidfd_send_signal(&process.pidfd, signal);
            }
        }
    }

    pub(crate) fn ended_as(&self) -> Option<Ended> {
        match self {
            Self::Started(process) => process.ended_as(),
            Self::Attached(process) => *process.ended.borrow(),
        }
    }

    /// Resolves when the process has ended; of one that was attached to, not when it is not watched any
    /// more.
    pub(crate) fn ended(&self) -> impl Future<Output = Ended> + Send + use<> {
        let ended: Result<_, watch::Receiver<_>> = match self {
            Self::Started(process) => Ok(process.ended()),
            Self::Attached(process) => Err(process.ended.clone()),
        };
        async move {
            match ended {
                Ok(ended) => ended.await,
                Err(mut ended) => {
                    let status: Result<Option<ExitStatus>, _> = ended
                        .wait_for(Option::is_some)
                        .await
                        .map(|ended| ended.flatten());
                    match status {
                        Ok(status) => status,
                        Err(_) => std::future::pending().await,
                    }
                }
            }
        }
    }
}

/// It can be read from then.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
