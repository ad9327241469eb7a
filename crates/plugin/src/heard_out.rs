use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose other side is heard out, also when it does not listen any more.
///
/// Who ends in good order says so before it closes: which requests it has not looked at, and the
/// answers to the others. But whoever is writing at that moment finds the socket closed, gives the
/// connection up and never reads it. So a write that fails is taken for a success here, as are those
/// after it, and what comes is read to its end. If there is none, since the other side lives on and
/// has only stopped to listen, reading fails with the error of the write after [a while](HEARD_FOR).
#[derive(Debug)]
pub(crate) struct HeardOut<T> {
    stream: T,
    failed: Option<Failed>,
}

/// A write that failed.
#[derive(Debug)]
struct Failed {
    error: io::Error,
    /// When it is told, if nothing else comes.
    told_at: Pin<Box<Sleep>>,
}

/// Data and the end of who has closed are there already. But tokio may not have asked for them yet, and
/// does so when it looks for timers that are due.
const HEARD_FOR: Duration = Duration::from_millis(100);

impl<T> HeardOut<T> {
    pub(crate) const fn new(stream: T) -> Self {
        Self {
            stream,
            failed: None,
        }
    }

    pub(crate) const fn get_ref(&self) -> &T {
        &self.stream
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>>
    where
        T: Unpin,
    {
        if self.failed.is_some() {
            return Poll::Ready(Ok(len));
        }
        match write(Pin::new(&mut self.stream), cx) {
            Poll::Ready(Err(error)) => {
                self.fail(error, cx);
                Poll::Ready(Ok(len))
            }
            other => other,
        }
    }

    fn do_else(
        &mut self,
        cx: &mut Context<'_>,
        what: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>>
    where
        T: Unpin,
    {
        if self.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        match what(Pin::new(&mut self.stream), cx) {
            Poll::Ready(Err(error)) => {
                self.fail(error, cx);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    /// Has it read: it may have been told to wait for what will never come.
    fn fail(&mut self, error: io::Error, cx: &Context<'_>) {
        self.failed = Some(Failed {
            error,
            told_at: Box::pin(sleep(HEARD_FOR)),
        });
        cx.waker().wake_by_ref();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeardOut<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        match &mut this.failed {
            Some(Failed { error, told_at }) if read.is_pending() => {
                ready!(told_at.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(error.kind(), error.to_string())))
            }
            _ => read,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeardOut<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |stream: Pin<&mut T>, cx: &mut Context<'_>| stream.poll_write(cx, buf);
        self.get_mut().write(cx, buf.len(), write)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().do_else(cx, T::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().do_else(cx, T::poll_shutdown)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|it| it.len()).sum();
        let write =
            |stream: Pin<&mut T>, cx: &mut Context<'_>| stream.poll_write_vectored(cx, bufs);
        self.get_mut().write(cx, len, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
