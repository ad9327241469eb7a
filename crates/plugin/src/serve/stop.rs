use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells a serving plugin to stop; clones tell the same one.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<Phase>);

/// How far a plugin is on its way out; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// No new connections; calls under way may finish, within a bound.
    Draining,
    /// Nothing is waited for.
    Ending,
}

/// The signals that a plugin answers to.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None if it was ignored from the start, as under nohup: then it stays so.
    hangup: Option<Signal>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub(crate) fn drain(&self) {
        self.enter(Phase::Draining);
    }

    pub(crate) fn end(&self) {
        self.enter(Phase::Ending);
    }

    fn is_serving(&self) -> bool {
        *self.0.borrow() == Phase::Serving
    }

    /// Resolves when the plugin is in `phase` or beyond.
    pub(crate) async fn reached(&self, phase: Phase) {
        // An error would mean that there is no sender, and `self` holds one.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }

    fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let further = *now < phase;
            *now = phase.max(*now);
            further
        });
    }
}

impl Signals {
    /// From here on the process no longer dies of these signals.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_ignored(SignalKind::hangup()) {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// SIGTERM and SIGHUP drain, and during a drain they end it. SIGINT does nothing: at a terminal it reaches
    /// host and plugin alike, and it is the host's to decide what it means.
    pub(crate) async fn forward(mut self, stop: Stop) {
        loop {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {
                    tracing::trace!("interrupt ignored");
                    continue;
                }
                _ = self.terminate.recv() => {}
                _ = hangup => {}
            }
            if stop.is_serving() {
                stop.drain();
            } else {
                stop.end();
            }
            tracing::debug!("told to stop by a signal");
        }
    }
}

/// Whether whoever started this process has made it ignore the signal; false where that cannot be
/// known.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}
