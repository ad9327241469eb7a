use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// One of the streams of a [`Session`](super::Session); reset when it is dropped open.
#[derive(Debug)]
pub(crate) struct MuxStream {
    stream: Compat<yamux::Stream>,
    /// Tells that it is there.
    _token: Option<TaskTrackerToken>,
}

impl MuxStream {
    pub(super) fn new(stream: yamux::Stream, tracker: Option<&TaskTracker>) -> Self {
        Self {
            stream: stream.compat(),
            _token: tracker.map(TaskTracker::token),
        }
    }

    /// Tells the other side that it is open, or that it is taken, which yamux else puts off until there is
    /// something to say.
    pub(super) fn tell(&mut self, cx: &mut Context<'_>) {
        // There is room for it, as it is the first; an error comes again when there is more to write.
        let _ = Pin::new(&mut self.stream).poll_write(cx, &[]);
    }

    /// Whether the other side has taken it.
    pub(super) fn is_taken(&self) -> bool {
        !self.stream.get_ref().is_pending_ack()
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
