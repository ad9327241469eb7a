mod pipes;
mod redirect;
mod service;

pub use redirect::Stderr;
pub(crate) use service::StdioService;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tonic::Status;

use self::pipes::Pipes;
use self::redirect::{Real, Redirected};
use super::stop::{Phase, Stop};
use crate::generated::StdioData;

/// How long output waits for a host that takes it; some hosts know of no stdio stream.
const HELD_FOR: Duration = Duration::from_secs(5);

/// How long a write to the process's own output may hang before it is looked whether a host has come.
const WRITE_WITHIN: Duration = Duration::from_millis(100);

/// A stream ends when it is looked at, once its connection has.
const RELEASED_WITHIN: Duration = Duration::from_millis(100);

/// What the process prints while it serves, for the host to fetch over `plugin.GRPCStdio`.
///
/// It stays in the kernel's pipes until it is fetched, so whoever prints faster than the host reads
/// is held up.
#[derive(Debug)]
pub(crate) struct Output {
    pipes: Mutex<Pipes>,
    /// Counts those who asked for the output; it is the last one's.
    takers: watch::Sender<u64>,
    real: Arc<Real>,
    stop: Stop,
}

/// Keeps what the process prints; dropped, it gives the process its own stdout and stderr back, with
/// what is left.
#[derive(Debug)]
pub(crate) struct Kept {
    redirected: Option<Redirected>,
    output: Arc<Output>,
}

impl Kept {
    /// None if another plugin in this process does so already.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO.
    pub(crate) fn begin(stop: Stop) -> io::Result<Option<Self>> {
        let Some((redirected, [stdout, stderr])) = Redirected::new()? else {
            return Ok(None);
        };
        let output = Output {
            pipes: Mutex::new(Pipes::new(stdout, stderr)?),
            takers: watch::Sender::new(0),
            real: redirected.real(),
            stop,
        };
        Ok(Some(Self {
            redirected: Some(redirected),
            output: Arc::new(output),
        }))
    }

    pub(crate) fn output(&self) -> &Arc<Output> {
        &self.output
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // First, so that nothing comes in any more.
        self.redirected = None;
        self.output.finish();
    }
}

impl Output {
    /// The stdout that the process was given, for the handshake line.
    pub(crate) fn real_stdout(&self) -> &File {
        &self.real.stdout
    }

    /// Sends the output until nobody receives it, somebody else asks for it, or the plugin drains; then
    /// what is there still goes out.
    async fn stream(self: Arc<Self>, sender: mpsc::Sender<Result<StdioData, Status>>) {
        self.takers.send_modify(|count| *count += 1);
        let mut takers = self.takers.subscribe();
        let sending = async {
            let mut pipes = self.pipes.lock().await;
            loop {
                // Room first: what was read and then found no way out would be lost.
                let Ok(permit) = sender.reserve().await else {
                    return;
                };
                let chunk = tokio::select! {
                    chunk = pipes.next() => chunk,
                    () = self.stop.reached(Phase::Draining) => pipes.next_now(),
                };
                match chunk {
                    Some(chunk) => permit.send(Ok(chunk)),
                    None => return,
                }
            }
        };
        tokio::select! {
            () = sending => {}
            () = sender.closed() => {}
            _ = takers.changed() => {
                let status = Status::aborted("another stream has taken over the output");
                let _ = sender.try_send(Err(status));
            }
        }
    }

    /// Has the process's own output get what no host asks for, so that nobody who prints is held up for
    /// ever; gives way to a host that comes later. Does not end.
    pub(crate) async fn pass_on(&self) {
        let mut takers = self.takers.subscribe();
        loop {
            tokio::select! {
                _ = takers.changed() => {}
                () = sleep(HELD_FOR) => if let Ok(pipes) = self.pipes.try_lock() {
                    self.pass_on_until_taken(pipes, &takers).await;
                },
            }
        }
    }

    async fn pass_on_until_taken(
        &self,
        mut pipes: MutexGuard<'_, Pipes>,
        takers: &watch::Receiver<u64>,
    ) {
        // The caller is to see the change too.
        let mut takers = takers.clone();
        loop {
            let mut chunk = tokio::select! {
                biased;
                _ = takers.changed() => return,
                Some(chunk) = pipes.next() => chunk,
            };
            let real = Arc::clone(&self.real);
            // In a thread that may block: this descriptor is shared with others, who do not expect that
            // a write fails because it would.
            let written = spawn_blocking(move || {
                real.write(&mut chunk, WRITE_WITHIN);
                chunk
            });
            if let Ok(rest) = written.await {
                pipes.give_back(rest);
            }
        }
    }

    /// Waits until no stream has the output any more, which is soon when none is served.
    pub(crate) async fn released(&self) {
        let _ = timeout(RELEASED_WITHIN, self.pipes.lock()).await;
    }

    /// The rest goes to the process's own output.
    fn finish(&self) {
        if let Ok(mut pipes) = self.pipes.try_lock() {
            while let Some(mut chunk) = pipes.next_now() {
                self.real.write(&mut chunk, WRITE_WITHIN);
                if !chunk.data.is_empty() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
