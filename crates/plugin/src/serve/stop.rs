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
    hangup: Signal,
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
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// SIGTERM and SIGHUP drain, and again: end. SIGINT does nothing: at a terminal it reaches
    /// host and plugin alike, and it is the host's to decide what it means.
    pub(crate) async fn forward(mut self, stop: Stop) {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {
                    tracing::trace!("interrupt ignored");
                    continue;
                }
                _ = self.terminate.recv() => {}
                _ = self.hangup.recv() => {}
            }
            tracing::debug!("told to stop by a signal");
            if stopping {
                stop.end();
            } else {
                stop.drain();
            }
            stopping = true;
        }
    }
}
