use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tonic::Status;

use super::record::{End, Loan, Next, Pulled, Tape};

/// The request body of one attempt: what was recorded, then what comes.
///
/// Its size is not told, since the caller's client does not know it either. It is the end only where
/// that is certain, so that the end goes out with the last chunk.
#[derive(Debug)]
pub(crate) struct Replay {
    tape: Arc<Tape>,
    epoch: u64,
    ended: bool,
}

/// Another attempt reads the body now.
///
/// Its source makes hyper reset the stream as cancelled, which it is, and not as failed.
#[derive(Debug)]
pub(crate) struct Superseded(h2::Error);

impl Replay {
    pub(super) const fn new(tape: Arc<Tape>, epoch: u64, ended: bool) -> Self {
        Self { tape, epoch, ended }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = match self.tape.next(self.epoch, cx.waker()) {
            Next::Source(mut loan) => match pull(&mut loan, cx) {
                Poll::Ready(pulled) => self.tape.gives(self.epoch, loan, pulled),
                Poll::Pending => {
                    if self.tape.gives_nothing(self.epoch, loan, cx.waker()) {
                        return Poll::Pending;
                    }
                    Next::Superseded
                }
            },
            next => next,
        };
        Poll::Ready(match next {
            Next::Chunk { chunk, last } => {
                self.ended = last;
                Some(Ok(Frame::data(chunk)))
            }
            Next::End(end) => {
                self.ended = true;
                match end {
                    End::Complete => None,
                    End::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
                    End::Failed(status) => Some(Err(status)),
                }
            }
            Next::Superseded => {
                self.ended = true;
                Some(Err(Superseded::status()))
            }
            Next::Busy | Next::Source(_) => return Poll::Pending,
        })
    }
}

impl Body for Replay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.read(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Superseded {
    #[cold]
    fn status() -> Status {
        Status::from_error(Box::new(Self(h2::Reason::CANCEL.into())))
    }
}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another attempt has taken the request over")
    }
}

impl Error for Superseded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Polls the source until it gives something.
///
/// After its first chunk it is asked once more: the body of a unary call ends there, but says so only
/// when polled, and the end is to go out with the chunk. Not after later ones, so that a stream is
/// not read ahead.
fn pull(loan: &mut Loan<'_>, cx: &mut Context<'_>) -> Poll<Pulled> {
    let mut pulled = Pulled::default();
    let fresh = loan.fresh;
    for _ in 0..1 + usize::from(fresh) {
        let frame = match loan.body().poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if pulled.chunks.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        };
        pulled.end = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => {
                    pulled.chunks.push(chunk);
                    loan.body().is_end_stream().then_some(End::Complete)
                }
                // There are no other frames than these, as yet.
                Err(frame) => Some(frame.into_trailers().map_or(End::Complete, End::Trailers)),
            },
            Some(Err(status)) => Some(End::Failed(status)),
            None => Some(End::Complete),
        };
        if pulled.end.is_some() {
            break;
        }
    }
    Poll::Ready(pulled)
}
