use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;
use tower_service::Service;

use crate::{
    BoxError, Circuit, Classify, Deadline, ErrorsFail, NoDeadline, Verdict, future::ResponseFuture,
    machine::Refusal, open::Wait, waiting::Waiting, word::Word,
};

/// A service behind a circuit: while that is open, calls are refused with [`Open`](crate::Open).
pub struct CircuitBreaker<S, C = ErrorsFail, D = NoDeadline> {
    inner: S,
    circuit: Circuit,
    classify: C,
    deadline: D,
    while_open: WhileOpen,
    readiness: Readiness,
    waiting: Option<Pin<Box<Waiting>>>,
    last_refusal: Option<(Word, Refusal)>,
    wait: Option<Wait>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum WhileOpen {
    Refuse,
    Pend,
}

#[derive(Clone, Copy, Debug)]
enum Readiness {
    Unknown,
    /// Ready to refuse, as the last refusal says: the inner service was not asked.
    Refusing,
    /// The inner service is ready, and the circuit has the last word in `call`.
    Inner,
}

/// Counts a failure, if it is dropped: when the inner service panics as it is asked whether it is ready.
struct Panicking<'a>(&'a Circuit);

impl<S, C, D> CircuitBreaker<S, C, D> {
    pub(crate) const fn new(
        inner: S,
        circuit: Circuit,
        classify: C,
        deadline: D,
        while_open: WhileOpen,
    ) -> Self {
        Self {
            inner,
            circuit,
            classify,
            deadline,
            while_open,
            readiness: Readiness::Unknown,
            waiting: None,
            last_refusal: None,
            wait: None,
        }
    }

    /// The circuit.
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The service behind the circuit.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the circuit. Calls made with it are not counted.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind the circuit.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Whether the circuit admits calls. If not it is pending, when it is to be, or ready to refuse.
    #[inline(never)]
    fn poll_admits(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            if !self.refuses() {
                return Poll::Ready(true);
            }
            let WhileOpen::Pend = self.while_open else {
                self.readiness = Readiness::Refusing;
                return Poll::Ready(false);
            };
            // Asked once more, or a change between the two would not wake us.
            let moved = self.circuit.moved();
            if let Err(refusal) = self.circuit.peek() {
                self.waiting = Some(Box::pin(Waiting::new(moved, refusal.ask_at)));
            }
        }
    }

    /// An open circuit is asked once; what it said holds until its open time is over.
    fn refuses(&mut self) -> bool {
        let word = self.circuit.word();
        let now = Instant::now();
        if let Some((seen, refusal)) = &self.last_refusal
            && *seen == word
        {
            self.wait = refusal.wait(now);
            if self.wait.is_some() {
                return true;
            }
        }
        let Err(refusal) = self.circuit.peek() else {
            return false;
        };
        self.wait = refusal.wait(now);
        self.last_refusal = Some((word, refusal));
        true
    }

    /// A service that cannot be called has failed as one that was called; a probe, too.
    #[cold]
    fn failed<T, E: Into<BoxError>>(&self, error: E) -> BoxError
    where
        C: Classify<T, E>,
    {
        let result: Result<T, E> = Err(error);
        if let Some(permit) = self.circuit.admit_quietly() {
            permit.settle(self.classify.classify(&result));
        }
        match result {
            Ok(_) => unreachable!("it is the error above"),
            Err(error) => error.into(),
        }
    }

    fn refuse(&self) -> BoxError {
        let (_, refusal) = self
            .last_refusal
            .as_ref()
            .expect("it made the service ready");
        self.circuit.refused(refusal, self.wait)
    }
}

impl<S, C, D, Request> Service<Request> for CircuitBreaker<S, C, D>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response, S::Error> + Clone,
    D: Deadline<Request>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.readiness = Readiness::Unknown;
        if !self.circuit.word().passes() && !ready!(self.poll_admits(cx)) {
            return Poll::Ready(Ok(()));
        }
        let panicking = Panicking(&self.circuit);
        let ready = self.inner.poll_ready(cx);
        mem::forget(panicking);
        match ready!(ready) {
            Ok(()) => {
                self.readiness = Readiness::Inner;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.failed::<S::Response, _>(error))),
        }
    }

    /// # Panics
    /// If the service is not ready.
    fn call(&mut self, request: Request) -> Self::Future {
        match mem::replace(&mut self.readiness, Readiness::Unknown) {
            Readiness::Unknown => panic!("poll_ready must be called first"),
            Readiness::Refusing => ResponseFuture::refused(self.refuse()),
            Readiness::Inner => match self.circuit.admit_or_box() {
                Err(open) => ResponseFuture::refused(open),
                Ok(permit) => {
                    let deadline = self.deadline.deadline(&request);
                    let future = self.inner.call(request);
                    ResponseFuture::called(future, permit, self.classify.clone(), deadline)
                }
            },
        }
    }
}

impl Drop for Panicking<'_> {
    #[cold]
    fn drop(&mut self) {
        if let Some(permit) = self.0.admit_quietly() {
            permit.settle(Verdict::failure());
        }
    }
}

/// A clone is not ready: it has not asked its own inner service.
impl<S: Clone, C: Clone, D: Clone> Clone for CircuitBreaker<S, C, D> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.circuit.clone(),
            self.classify.clone(),
            self.deadline.clone(),
            self.while_open,
        )
    }
}

impl<S: fmt::Debug, C, D> fmt::Debug for CircuitBreaker<S, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("inner", &self.inner)
            .field("circuit", &self.circuit)
            .field("while_open", &self.while_open)
            .finish_non_exhaustive()
    }
}
