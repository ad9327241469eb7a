use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::connection::Connection;
use crate::lease::Lease;
use crate::lending::{Lending, Shared, Whole};

/// The connection is given back when the response is there.
#[derive(Clone, Copy, Debug)]
pub enum Answered {}

/// When a connection is given back: [`Answered`], or `Read` with the feature `http-body`.
pub trait Until<C: Connection, L: Lending<C>, R>: sealed::Until<C, L, R> {}

impl<C: Connection, L: Lending<C>, R> Until<C, L, R> for Answered {}

/// How requests are sent over a connection that is lent: one that is whole takes them itself, one that
/// is shared by a clone of it.
pub trait Serves<C: Connection>: Lending<C> + sealed::Serves<C> {}

impl<C: Connection> Serves<C> for Whole {}

impl<C: Connection + Sync + Clone> Serves<C> for Shared {}

#[expect(unnameable_types, reason = "sealed")]
pub(crate) mod sealed {
    use super::{Connection, InFlight, Lending};
    use crate::lease::Lease;

    pub trait Until<C: Connection, L: Lending<C>, R> {
        type Response;

        #[allow(private_interfaces, reason = "sealed")]
        fn hold(response: R, in_flight: InFlight<C, L>) -> Self::Response;
    }

    pub trait Serves<C: Connection>: Lending<C> {
        /// What stands beside the lease.
        type Own: Send;

        fn own(lease: &Lease<'static, C, Self>) -> Self::Own;

        fn service<'a>(lease: &'a mut Lease<'static, C, Self>, own: &'a mut Self::Own)
        -> &'a mut C;
    }
}

/// A lease with what it takes to send over it.
pub(crate) struct Carrier<C: Connection, L: Serves<C>> {
    own: L::Own,
    lease: Lease<'static, C, L>,
}

/// A lease over which a request is under way. Dropped, it is taken for broken unless it can be reused.
pub(crate) struct InFlight<C: Connection, L: Lending<C>>(Option<Lease<'static, C, L>>);

impl<C: Connection, L: Lending<C>, R> sealed::Until<C, L, R> for Answered {
    type Response = R;

    #[allow(private_interfaces, reason = "sealed")]
    fn hold(response: R, in_flight: InFlight<C, L>) -> R {
        in_flight.end();
        response
    }
}

impl<C: Connection> sealed::Serves<C> for Whole {
    type Own = ();

    fn own(_: &Lease<'static, C, Self>) {}

    fn service<'a>(lease: &'a mut Lease<'static, C, Self>, (): &'a mut ()) -> &'a mut C {
        lease
    }
}

impl<C: Connection + Sync + Clone> sealed::Serves<C> for Shared {
    type Own = C;

    fn own(lease: &Lease<'static, C, Self>) -> C {
        (**lease).clone()
    }

    fn service<'a>(_: &'a mut Lease<'static, C, Self>, own: &'a mut C) -> &'a mut C {
        own
    }
}

impl<C: Connection, L: Serves<C>> Carrier<C, L> {
    pub(crate) fn new(lease: Lease<'static, C, L>) -> Self {
        Self {
            own: L::own(&lease),
            lease,
        }
    }

    pub(crate) fn service(&mut self) -> &mut C {
        L::service(&mut self.lease, &mut self.own)
    }

    /// It failed to get ready: it is broken. True if that is news: one that was used before has only
    /// died since.
    pub(crate) fn fail(&self) -> bool {
        self.lease.mark_broken();
        self.lease.is_new()
    }

    pub(crate) fn in_flight(self) -> InFlight<C, L> {
        InFlight(Some(self.lease))
    }
}

impl<C: Connection, L: Lending<C>> InFlight<C, L> {
    /// All went well.
    pub(crate) fn end(mut self) {
        self.0 = None;
    }
}

impl<C: Connection, L: Lending<C>> Drop for InFlight<C, L> {
    fn drop(&mut self) {
        let Some(lease) = self.0.take() else {
            return;
        };
        let is_reusable = catch_unwind(AssertUnwindSafe(|| lease.is_reusable()));
        if !is_reusable.unwrap_or(false) {
            lease.mark_unfit();
        }
    }
}
