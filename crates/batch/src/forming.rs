//! A batch, before it is sent and as it is.

use std::{mem, task::Waker};

use tokio::time::Instant;
use tracing::Span;

use crate::{limits::Limits, parcel::Parcel, sync::Arc};

/// A batch that is not sent yet.
pub(crate) struct Forming<Req, Resp, K> {
    pub(crate) parcel: Arc<Parcel<Resp>>,
    pub(crate) lane: K,
    pub(crate) is_open: bool,
    pub(crate) is_full: bool,
    /// Its lane has as many batches out as it may: it is in no line.
    pub(crate) is_held: bool,
    /// By seats; the seat of a withdrawn one is given to the next that comes.
    pub(crate) requests: Vec<Option<(Req, u64)>>,
    pub(crate) wakers: Vec<Option<Waker>>,
    /// Of those items whose callers have one.
    pub(crate) spans: Vec<(usize, Span)>,
    pub(crate) empty_seats: Vec<usize>,
    pub(crate) weight: u64,
    pub(crate) opened: Instant,
}

/// What a caller submits.
pub(crate) struct Submitted<Req> {
    pub(crate) request: Req,
    pub(crate) weight: u64,
    pub(crate) waker: Waker,
    /// Of the caller, where spans are recorded.
    pub(crate) span: Option<Span>,
}

/// What a caller takes back, to be dropped when the lock has been left.
pub(crate) type Withdrawn<Req> = (Req, Option<Waker>, Option<Span>);

/// A batch to be sent.
pub(crate) struct Batch<Req, Resp, K> {
    pub(crate) parcel: Arc<Parcel<Resp>>,
    /// Where lanes have a limit.
    pub(crate) lane: Option<K>,
    pub(crate) requests: Vec<Req>,
    pub(crate) spans: Vec<(usize, Span)>,
    /// The seats of the requests, where some seats are empty.
    pub(crate) seats: Option<Box<[usize]>>,
    /// How many seats there are.
    pub(crate) width: usize,
}

impl<Req, Resp, K> Forming<Req, Resp, K> {
    /// How many there are.
    pub(crate) const fn items(&self) -> usize {
        self.requests.len() - self.empty_seats.len()
    }

    /// From now on its callers wait for their answers where they will be.
    pub(crate) fn sent(mut self) -> Self {
        self.parcel.sent(mem::take(&mut self.wakers));
        self
    }
}

impl<Req, Resp, K> Batch<Req, Resp, K> {
    pub(crate) fn new(sent: Forming<Req, Resp, K>, limits: &Limits) -> Self {
        let width = sent.requests.len();
        let seats = (!sent.empty_seats.is_empty()).then(|| {
            let seats = sent.requests.iter().enumerate();
            let taken = seats.filter_map(|(seat, it)| it.as_ref().map(|_| seat));
            taken.collect()
        });
        let requests = sent.requests.into_iter().flatten();
        Self {
            requests: requests.map(|(request, _)| request).collect(),
            spans: sent.spans,
            parcel: sent.parcel,
            lane: limits.bounds_lanes().then_some(sent.lane),
            seats,
            width,
        }
    }

    pub(crate) fn items(&self) -> usize {
        self.seats.as_ref().map_or(self.width, |it| it.len())
    }
}
