use std::hash::Hash;

/// Tells which requests may share a batch: those of equal lanes.
///
/// Closures `Fn(&Request) -> K` do, too. It is asked in `call`, by the caller.
pub trait Lanes<Request> {
    /// What requests of one batch have in common.
    type Lane: Hash + Eq + Clone + Send + 'static;

    /// The lane of a request.
    fn lane(&self, request: &Request) -> Self::Lane;
}

/// Tells how heavy a request is, beside [`Limits::with_weight`](crate::Limits::with_weight).
///
/// Closures `Fn(&Request) -> u64` do, too. It is asked in `call`, by the caller.
pub trait Weigh<Request> {
    /// The weight of a request; zero is one of them.
    fn weight(&self, request: &Request) -> u64;
}

/// All requests may share a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneLane;

/// Each request weighs one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeighsOne;

impl<Request> Lanes<Request> for OneLane {
    type Lane = ();

    fn lane(&self, _: &Request) {}
}

impl<Request> Weigh<Request> for WeighsOne {
    fn weight(&self, _: &Request) -> u64 {
        1
    }
}

impl<F, Request, K> Lanes<Request> for F
where
    F: Fn(&Request) -> K,
    K: Hash + Eq + Clone + Send + 'static,
{
    type Lane = K;

    fn lane(&self, request: &Request) -> K {
        self(request)
    }
}

impl<F, Request> Weigh<Request> for F
where
    F: Fn(&Request) -> u64,
{
    fn weight(&self, request: &Request) -> u64 {
        self(request)
    }
}
