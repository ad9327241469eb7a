use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::generated::StdioData;
use crate::generated::stdio_data::Channel;

/// What a pipe should hold, so that a task may print a lot before the runtime's turn comes; systems
/// that refuse it have their own size.
const PIPE_SIZE: usize = 1024 * 1024;

/// Where fd 2 leads while it is redirected; under the lock it is not changed by others.
static STDERR_PIPE: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// What the process was given; none while nothing is redirected.
static REAL: RwLock<Option<Arc<Real>>> = RwLock::new(None);

/// The process's stdout and stderr, as it was given them.
#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

/// Has everything that the process prints go into pipes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Redirected {
    real: Arc<Real>,
}

/// This process's own stderr, for its log: that of a plugin also while it serves, when all else that is
/// written to stderr goes to the host in another way.
///
/// Hosts take what comes here for the plugin's log, and the rest for its output, which hosts in Go by
/// default throw away.
///
/// ```
/// let subscriber = tracing_subscriber::fmt()
///     .with_writer(|| mainstay_plugin::Stderr)
///     .log_internal_errors(false);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Redirected {
    /// With the ends to read from; none if that is done already, by another plugin that this process
    /// serves.
    pub(crate) fn new() -> io::Result<Option<(Self, [OwnedFd; 2])>> {
        let mut stderr_pipe = lock(&STDERR_PIPE);
        if stderr_pipe.is_some() {
            return Ok(None);
        }
        let real = Arc::new(Real {
            stdout: File::from(io::stdout().as_fd().try_clone_to_owned()?),
            stderr: File::from(io::stderr().as_fd().try_clone_to_owned()?),
        });
        let [stdout, stderr] = [pipe()?, pipe()?];
        dup2_stdout(&stdout.1)?;
        // From here on dropping this puts it back.
        *stderr_pipe = Some(stderr.1);
        let this = Self {
            real: Arc::clone(&real),
        };
        *REAL.write().unwrap_or_else(PoisonError::into_inner) = Some(real);
        let redirected = stderr_pipe.as_ref().map_or(Ok(()), dup2_stderr);
        drop(stderr_pipe);
        redirected?;
        tell_panics_on_the_real_stderr();
        Ok(Some((this, [stdout.0, stderr.0])))
    }

    pub(crate) fn real(&self) -> Arc<Real> {
        Arc::clone(&self.real)
    }
}

impl Drop for Redirected {
    fn drop(&mut self) {
        let mut stderr_pipe = lock(&STDERR_PIPE);
        // Nothing else can be done: then what is printed is lost.
        let _ = dup2_stdout(&self.real.stdout);
        let _ = dup2_stderr(&self.real.stderr);
        *stderr_pipe = None;
        *REAL.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Real {
    /// Writes what can be written within the time and leaves the rest in `chunk`; what can never be
    /// written, as nobody reads it, is gone.
    pub(crate) fn write(&self, chunk: &mut StdioData, within: Duration) {
        let mut file = match chunk.channel() {
            Channel::Stderr => &self.stderr,
            _ => &self.stdout,
        };
        let timeout = Timespec::try_from(within).ok();
        let mut fds = [PollFd::new(file, PollFlags::OUT)];
        match rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref())) {
            Ok(0) => {}
            // There is room in the pipe for more than a chunk, so that this does not block.
            _ => match file.write(&chunk.data) {
                Ok(len) => drop(chunk.data.drain(..len)),
                Err(_) => chunk.data.clear(),
            },
        }
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let real = REAL.read().unwrap_or_else(PoisonError::into_inner).clone();
        match real {
            Some(real) => (&real.stderr).write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic may be the last thing that the process says, and what is in a pipe then ends with it. So
/// the hook, whichever it is, writes to the stderr that the host reads by itself.
fn tell_panics_on_the_real_stderr() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let stderr_pipe = lock(&STDERR_PIPE);
            let real = REAL.read().unwrap_or_else(PoisonError::into_inner).clone();
            let (Some(pipe), Some(real)) = (stderr_pipe.as_ref(), real) else {
                drop(stderr_pipe);
                return hook(info);
            };
            let _ = dup2_stderr(&real.stderr);
            hook(info);
            let _ = dup2_stderr(pipe);
        }));
    });
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::CLOEXEC)?;
    let _ = fcntl_setpipe_size(&pipe.1, PIPE_SIZE);
    Ok(pipe)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
