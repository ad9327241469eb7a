use std::{
    fmt,
    hash::Hash,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::Semaphore;

use crate::{BoxError, callers::Callers, event, forming::Submitted, queue::Ticket};

/// The answer to one item of a batch.
///
/// The item is accepted when this is first polled. Dropped before it is ready, it takes the item out
/// if that was not sent yet; if it was, the batch goes on unless all its callers are gone.
pub struct ResponseFuture<Req, Resp, K: Hash + Eq + Clone> {
    state: State<Req, Resp, K>,
}

enum State<Req, Resp, K: Hash + Eq + Clone> {
    /// There is a place for the item.
    Reserved {
        callers: Arc<Callers<Req, Resp, K>>,
        request: Req,
        weight: u64,
        lane: K,
    },
    /// The item was accepted.
    Accepted {
        callers: Arc<Callers<Req, Resp, K>>,
        ticket: Ticket<Resp>,
    },
    /// It was not.
    Refused(BoxError),
    Done,
}

impl<Req, Resp, K: Hash + Eq + Clone> ResponseFuture<Req, Resp, K> {
    pub(crate) const fn reserved(
        callers: Arc<Callers<Req, Resp, K>>,
        request: Req,
        weight: u64,
        lane: K,
    ) -> Self {
        Self {
            state: State::Reserved {
                callers,
                request,
                weight,
                lane,
            },
        }
    }

    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            state: State::Refused(error),
        }
    }
}

impl<Req, Resp, K: Hash + Eq + Clone> Future for ResponseFuture<Req, Resp, K> {
    type Output = Result<Resp, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Accepted { callers, ticket } = &self.state {
            let mut answer = ticket.parcel.take(ticket.seat);
            if answer.is_none() {
                callers.shared.watch(ticket, cx.waker().clone());
                answer = ticket.parcel.take(ticket.seat);
            }
            let Some(answer) = answer else {
                return Poll::Pending;
            };
            self.state = State::Done;
            return Poll::Ready(answer);
        }
        match mem::replace(&mut self.state, State::Done) {
            State::Reserved {
                callers,
                request,
                weight,
                lane,
            } => {
                let item = Submitted {
                    request,
                    weight,
                    waker: cx.waker().clone(),
                    span: event::caller(),
                };
                // Also if the lane panics as it is compared.
                let place = Place(&callers.places);
                match callers.shared.submit(item, lane) {
                    Ok(ticket) => {
                        mem::forget(place);
                        self.state = State::Accepted { callers, ticket };
                        Poll::Pending
                    }
                    Err(item) => {
                        drop(place);
                        drop(item);
                        Poll::Ready(Err(callers.refusal()))
                    }
                }
            }
            State::Refused(error) => Poll::Ready(Err(error)),
            State::Accepted { .. } | State::Done => panic!("polled again after it was ready"),
        }
    }
}

/// A place of an item that was not accepted, which is given back.
struct Place<'a>(&'a Semaphore);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Nothing in it is pinned.
impl<Req, Resp, K: Hash + Eq + Clone> Unpin for ResponseFuture<Req, Resp, K> {}

impl<Req, Resp, K: Hash + Eq + Clone> Drop for ResponseFuture<Req, Resp, K> {
    fn drop(&mut self) {
        let callers = match mem::replace(&mut self.state, State::Done) {
            State::Reserved { callers, .. } => callers,
            State::Accepted { callers, ticket } => {
                if !callers.shared.withdraw(ticket) {
                    return;
                }
                callers
            }
            State::Refused(_) | State::Done => return,
        };
        callers.places.add_permits(1);
    }
}

impl<Req, Resp, K: Hash + Eq + Clone> fmt::Debug for ResponseFuture<Req, Resp, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Reserved { .. } => "Reserved",
            State::Accepted { .. } => "Accepted",
            State::Refused(_) => "Refused",
            State::Done => "Done",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
