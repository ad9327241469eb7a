use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether somebody wants it to end: by Ctrl-C or SIGTERM, which do not end the process by themselves
/// from the first of these on.
#[derive(Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            sender.send_replace(true);
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Resolves when it is told, or was.
    pub(crate) async fn told(&self) {
        // It fails when nobody listens any more, which is after the end.
        let _ = self.0.clone().wait_for(|is_told| *is_told).await;
    }
}
