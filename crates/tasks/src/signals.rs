use std::io;
use std::process::exit;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::Builder;

use crate::Shutdown;
use crate::shutdown_report::Cause;

/// Begins the shutdown at the first signal and ends the process at the second. Both are heard in a
/// thread of their own, since those of the application may be what hangs.
pub(crate) fn listen(shutdown: Shutdown) -> io::Result<()> {
    let (ready, is_ready) = mpsc::channel();
    thread::Builder::new()
        .name("mainstay-signals".into())
        .spawn(move || {
            let runtime = match Builder::new_current_thread().enable_io().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                let mut signals = match Signals::new() {
                    Ok(signals) => signals,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                // It waits for this.
                let _ = ready.send(Ok(()));
                let first = signals.next().await;
                shutdown.begin_for(Cause::Signal(first.name));
                let second = signals.next().await;
                let unfinished = shutdown.unfinished();
                tracing::error!(
                    signal = second.name,
                    ?unfinished,
                    "second signal: the process is ended"
                );
                // As of a process that has died of it.
                exit(128 + second.number);
            });
        })?;
    // Without an answer the thread has panicked.
    let answer = is_ready.recv();
    answer.unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))
}

struct Heard {
    name: &'static str,
    number: i32,
}

const INTERRUPT: Heard = Heard {
    name: "SIGINT",
    number: 2,
};

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Heard {
        const TERMINATE: Heard = Heard {
            name: "SIGTERM",
            number: 15,
        };
        std::future::poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(TERMINATE);
            }
            self.interrupt.poll_recv(cx).map(|_| INTERRUPT)
        })
        .await
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Heard {
        self.0.recv().await;
        INTERRUPT
    }
}
