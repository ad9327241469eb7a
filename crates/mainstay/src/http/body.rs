use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::{Sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection::Lent;
use super::error::{Error, TimedOut};

/// The body of a response, with the connection that it comes over.
///
/// It fails when the request's time is over. Dropped before its end, it is read on in the background for
/// up to 64 KiB and a second, so that an HTTP/1.1 connection can be used again; if it is longer, the
/// connection is closed. Of HTTP/2 only its stream ends.
pub struct Body {
    /// Until all is read, or that has failed.
    flow: Option<Flow>,
    /// From when the response is its caller's.
    watch: Option<Watch>,
}

struct Flow {
    incoming: Incoming,
    lent: Lent,
}

/// What goes with an answer from when its caller has it.
pub(crate) struct Watch {
    pub(crate) timer: Pin<Box<Sleep>>,
    pub(crate) within: Duration,
    /// Closing waits for it.
    pub(crate) in_flight: TaskTrackerToken,
}

/// What another connection costs at least, in bytes and in time, when it is spoken TLS on: a guess.
pub(crate) const DRAIN_BYTES: u64 = 64 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

impl Body {
    pub(crate) fn new(incoming: Incoming, lent: Lent) -> Self {
        let mut body = Self {
            flow: Some(Flow { incoming, lent }),
            watch: None,
        };
        if body.is_end_stream() {
            body.end(true);
        }
        body
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = self.flow.is_some().then_some(watch);
        self
    }

    fn end(&mut self, is_good: bool) {
        self.watch = None;
        if let Some(flow) = self.flow.take()
            && is_good
        {
            flow.lent.give_back();
        }
    }

    fn poll_flow(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(flow) = &mut self.flow else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut flow.incoming).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.end(false),
            Some(Ok(_)) if !flow.incoming.is_end_stream() => {}
            _ => self.end(true),
        }
        Poll::Ready(frame)
    }

    /// Reads on, as far as it is worth it: ready when nothing is left, or too much.
    fn poll_drain(&mut self, left: &mut u64, cx: &mut Context<'_>) -> Poll<()> {
        while self.flow.is_some() {
            if let Some(Ok(frame)) = ready!(self.poll_flow(cx)) {
                let read = frame.data_ref().map_or(0, Bytes::len) as u64;
                match left.checked_sub(read) {
                    Some(rest) => *left = rest,
                    None => self.end(false),
                }
            }
        }
        Poll::Ready(())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = self.poll_flow(cx) {
            return Poll::Ready(frame.map(|it| it.map_err(Error::Failed)));
        }
        if let Some(watch) = &mut self.watch {
            ready!(watch.timer.as_mut().poll(cx));
            let within = watch.within;
            self.end(false);
            return Poll::Ready(Some(Err(Error::TimedOut(TimedOut { within }))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let flow = self.flow.as_ref();
        flow.is_none_or(|it| it.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let flow = self.flow.as_ref();
        flow.map_or_else(|| SizeHint::with_exact(0), |it| it.incoming.size_hint())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(flow) = self.flow.take() else {
            return;
        };
        if flow.lent.is_http2() {
            return flow.lent.give_back();
        }
        if flow.incoming.size_hint().lower() > DRAIN_BYTES {
            return;
        }
        let mut rest = Self {
            flow: Some(flow),
            watch: None,
        };
        let mut left = DRAIN_BYTES;
        // Mostly it is there already.
        let mut cx = Context::from_waker(Waker::noop());
        if rest.poll_drain(&mut left, &mut cx).is_ready() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return rest.end(false);
        };
        let in_flight = self.watch.take().map(|it| it.in_flight);
        runtime.spawn(async move {
            let _in_flight = in_flight;
            let drained = poll_fn(|cx| rest.poll_drain(&mut left, cx));
            if timeout(DRAIN_WITHIN, drained).await.is_err() {
                rest.end(false);
            }
        });
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("is_end_stream", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}
