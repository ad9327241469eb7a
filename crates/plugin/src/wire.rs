use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether anything has left through a [`Wired`] stream: the outside view of it.
///
/// Who hands a message to a connection takes a [`mark`](Self::mark) before; if the connection fails,
/// [`seal`](Self::seal) says whether the message can have left. Clones speak of the same stream.
#[derive(Clone, Debug)]
pub struct Wire(Arc<AtomicU64>);

/// A moment in the life of a [`Wire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// A stream whose writes are counted for its [`Wire`].
///
/// It believes the stream that a write which failed, or is pending, wrote nothing. That is true of a
/// socket, and not of TLS: so this goes below.
#[derive(Debug)]
pub struct Wired<T> {
    stream: T,
    wire: Wire,
}

/// Nothing is to leave any more.
const SEALED: u64 = 1 << 63;
/// A write has begun, and not ended.
const WRITING: u64 = 1 << 62;
/// How many writes there were.
const WRITES: u64 = WRITING - 1;

/// All of it is one word, and what changes it are read-modify-writes, which have one order whatever
/// the ordering they ask for. The mark is read before its message is handed over, and so before the
/// write that sends it; one that is read too early only proves less.
impl Wire {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// The present, for [`seal`](Self::seal) to look back at.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.0.load(Ordering::Relaxed) & WRITES)
    }

    /// Forbids all further writes if nothing was written since `mark`, and says whether that is so.
    ///
    /// Only what can never leave any more is known not to have left: a connection that failed may
    /// still write what it had buffered. So this is for streams whose connection is given up; on any
    /// other it would end it.
    #[must_use]
    pub fn seal(&self, mark: Mark) -> bool {
        match self.0.compare_exchange(
            mark.0,
            mark.0 | SEALED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => true,
            Err(now) => now == mark.0 | SEALED,
        }
    }

    /// Whether a write may go on.
    fn begin(&self) -> bool {
        let may = self.0.fetch_or(WRITING, Ordering::Relaxed) & SEALED == 0;
        if !may {
            self.end(false);
        }
        may
    }

    fn end(&self, written: bool) {
        self.0
            .fetch_sub(WRITING - u64::from(written), Ordering::Relaxed);
    }
}

impl<T> Wired<T> {
    /// A stream of which nothing has been written yet.
    #[must_use]
    pub fn new(stream: T) -> Self {
        Self {
            stream,
            wire: Wire::new(),
        }
    }

    /// The stream itself.
    #[must_use]
    pub const fn get_ref(&self) -> &T {
        &self.stream
    }

    /// What tells whether anything left.
    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut T>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>>
    where
        T: Unpin,
    {
        if !self.wire.begin() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = write(Pin::new(&mut self.stream));
        self.wire.end(matches!(written, Poll::Ready(Ok(1..))));
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wired<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wired<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .write(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
