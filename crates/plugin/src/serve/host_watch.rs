use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};

use super::stop::Stop;

/// How often a system without pidfds is asked for the parent.
const INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// With no host left there is nobody to finish for; what is not gone by now is stuck.
const LAST_RESORT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 600_000_000,
};

/// Ends the plugin when its host is gone.
///
/// A thread of its own and not a task, so that it works when every worker of the runtime is
/// blocked: then it ends the process itself. It logs nothing, since stderr went with the host, and
/// a subscriber may hang or panic on that. Dropped, it stops watching.
#[derive(Debug)]
pub(crate) struct HostWatch {
    _stop_watching: OwnedFd,
}

impl HostWatch {
    /// None where the parent cannot be seen, as in a container with its own process ids.
    pub(crate) fn start(stop: Stop, socket_file: Option<PathBuf>) -> io::Result<Option<Self>> {
        let Some(host) = getppid() else {
            return Ok(None);
        };
        let (unwatched, stop_watching) = pipe_with(PipeFlags::CLOEXEC)?;
        thread::Builder::new()
            .name("host-watch".to_owned())
            .spawn(move || {
                if !wait_until_gone(host, &unwatched) {
                    return;
                }
                stop.end();
                if is_unwatched(&unwatched, &LAST_RESORT) {
                    return;
                }
                if let Some(path) = socket_file {
                    let _ = std::fs::remove_file(path);
                }
                std::process::exit(1);
            })?;
        Ok(Some(Self {
            _stop_watching: stop_watching,
        }))
    }
}

/// True when the parent is no longer `host`; false when nobody wants to know any more.
fn wait_until_gone(host: Pid, unwatched: &OwnedFd) -> bool {
    // Opened first and compared afterwards: a number that was used again is noticed.
    let pidfd = pidfd_open(host, PidfdFlags::empty()).ok();
    while getppid() == Some(host) {
        let mut fds = vec![PollFd::new(unwatched, PollFlags::empty())];
        fds.extend(pidfd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let timeout = pidfd.is_none().then_some(&INTERVAL);
        if poll(&mut fds, timeout).is_ok() && !fds[0].revents().is_empty() {
            return false;
        }
        // The host has ended, and this process is about to be given another parent.
        if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
            return true;
        }
    }
    true
}

/// Whether nobody wants to know any more, or comes not to within the time.
fn is_unwatched(unwatched: &OwnedFd, within: &Timespec) -> bool {
    let mut fds = [PollFd::new(unwatched, PollFlags::empty())];
    let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(within)));
    ready.is_ok_and(|ready| ready > 0)
}
