use std::{
    fmt,
    hash::Hash,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    BoxError, Circuits, Classify, Deadline, ErrorsFail, NoDeadline, future::ResponseFuture,
};

/// A service behind a circuit for each key: calls are refused with [`Open`](crate::Open) while that of
/// their key is open.
///
/// Its readiness is that of the inner service, whose errors there belong to no key and are not
/// counted: the decision falls in `call`, where the key is known.
pub struct KeyedCircuitBreaker<S, K, F, C = ErrorsFail, D = NoDeadline> {
    inner: S,
    circuits: Circuits<K>,
    key: F,
    classify: C,
    deadline: D,
}

impl<S, K, F, C, D> KeyedCircuitBreaker<S, K, F, C, D> {
    pub(crate) const fn new(
        inner: S,
        circuits: Circuits<K>,
        key: F,
        classify: C,
        deadline: D,
    ) -> Self {
        Self {
            inner,
            circuits,
            key,
            classify,
            deadline,
        }
    }

    /// The circuits.
    pub const fn circuits(&self) -> &Circuits<K> {
        &self.circuits
    }

    /// The service behind the circuits.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the circuits. Calls made with it are not counted.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind the circuits.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, K, F, C, D, Request> Service<Request> for KeyedCircuitBreaker<S, K, F, C, D>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
    K: Hash + Eq + Clone,
    F: Fn(&Request) -> K,
    C: Classify<S::Response, S::Error> + Clone,
    D: Deadline<Request>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let circuit = self.circuits.circuit(&(self.key)(&request));
        match circuit.admit_or_box() {
            Err(open) => ResponseFuture::refused(open),
            Ok(permit) => {
                let deadline = self.deadline.deadline(&request);
                let future = self.inner.call(request);
                ResponseFuture::called(future, permit, self.classify.clone(), deadline)
            }
        }
    }
}

/// Keys need not be `Clone`.
impl<S: Clone, K, F: Clone, C: Clone, D: Clone> Clone for KeyedCircuitBreaker<S, K, F, C, D> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            circuits: self.circuits.clone(),
            key: self.key.clone(),
            classify: self.classify.clone(),
            deadline: self.deadline.clone(),
        }
    }
}

impl<S: fmt::Debug, K, F, C, D> fmt::Debug for KeyedCircuitBreaker<S, K, F, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreaker")
            .field("inner", &self.inner)
            .field("circuits", &self.circuits)
            .finish_non_exhaustive()
    }
}
