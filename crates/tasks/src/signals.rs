use std::io;
use std::pin::pin;
use std::process::exit;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::Shutdown;
use crate::shutdown_report::Cause;

/// Begins the shutdown at the first signal and ends the process at the second, or when the shutdown is not
/// over in time. In a thread of its own, since those of the application may be what hangs.
pub(crate) fn listen(shutdown: Shutdown) -> io::Result<()> {
    let (ready, is_ready) = mpsc::channel();
    thread::Builder::new()
        .name("mainstay-signals".into())
        .spawn(move || {
            let mut runtime = Builder::new_current_thread();
            let runtime = match runtime.enable_io().enable_time().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                match Signals::new() {
                    Ok(signals) => {
                        // It waits for this.
                        let _ = ready.send(Ok(()));
                        watch(signals, &shutdown).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        })?;
    // Without an answer the thread has panicked.
    let answer = is_ready.recv();
    answer.unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))
}

async fn watch(mut signals: Signals, shutdown: &Shutdown) {
    let begun = shutdown.begun().run_until_cancelled(signals.next());
    let first = begun.await;
    if let Some(first) = &first {
        shutdown.begin_for(Cause::Signal(first.name));
    }
    let second = async {
        if first.is_none() {
            signals.next().await;
        }
        signals.next().await
    };
    let mut second = pin!(second);
    let over = shutdown.over().run_until_cancelled(second.as_mut());
    let second = match timeout(shutdown.longest(), over).await {
        Ok(Some(second)) => second,
        // What comes after it may hang, too.
        Ok(None) => second.await,
        Err(_) => {
            let (unfinished, work) = (shutdown.unfinished(), shutdown.in_flight());
            tracing::error!(?unfinished, work, "shutdown overdue: the process is ended");
            exit(1);
        }
    };
    let (unfinished, work) = (shutdown.unfinished(), shutdown.in_flight());
    tracing::error!(
        signal = second.name,
        ?unfinished,
        work,
        "second signal: the process is ended"
    );
    // As of a process that has died of it.
    exit(128 + second.number);
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
