use std::fmt;

use tower_layer::Layer;

use crate::{Circuit, CircuitBreaker, ErrorsFail, NoDeadline, service::WhileOpen};

/// Puts services behind one circuit.
///
/// All services that a layer or its clones make share the circuit, and so do all layers that are made
/// of clones of one [`Circuit`].
#[derive(Clone)]
pub struct CircuitBreakerLayer<C = ErrorsFail, D = NoDeadline> {
    circuit: Circuit,
    classify: C,
    deadline: D,
    while_open: WhileOpen,
}

impl CircuitBreakerLayer {
    /// A layer around a circuit, or around a new one with these [`Rules`](crate::Rules).
    #[must_use]
    pub fn new(circuit: impl Into<Circuit>) -> Self {
        Self {
            circuit: circuit.into(),
            classify: ErrorsFail,
            deadline: NoDeadline,
            while_open: WhileOpen::Refuse,
        }
    }
}

impl<C, D> CircuitBreakerLayer<C, D> {
    /// Asks `classify` what a result says about the service; by default errors are failures.
    #[must_use]
    pub fn with_classify<T>(self, classify: T) -> CircuitBreakerLayer<T, D> {
        CircuitBreakerLayer {
            circuit: self.circuit,
            classify,
            deadline: self.deadline,
            while_open: self.while_open,
        }
    }

    /// Asks `deadline` until when the caller of a request waits: a call that is dropped then or later
    /// is a failure. By default dropped calls are ignored, unless a rule looks for slow ones.
    #[must_use]
    pub fn with_deadline<T>(self, deadline: T) -> CircuitBreakerLayer<C, T> {
        CircuitBreakerLayer {
            circuit: self.circuit,
            classify: self.classify,
            deadline,
            while_open: self.while_open,
        }
    }

    /// Has the services be pending while the circuit is open, where by default they are ready and
    /// refuse in `call`. For use below a balancer, which then looks elsewhere.
    ///
    /// A service that was ready can still refuse, for example when others took the probes.
    ///
    /// # Panics
    /// `poll_ready` then panics outside a tokio runtime with time, if the circuit is open.
    #[must_use]
    pub fn pending_while_open(mut self) -> Self {
        self.while_open = WhileOpen::Pend;
        self
    }

    /// The circuit.
    #[must_use]
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }
}

impl<S, C: Clone, D: Clone> Layer<S> for CircuitBreakerLayer<C, D> {
    type Service = CircuitBreaker<S, C, D>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreaker::new(
            inner,
            self.circuit.clone(),
            self.classify.clone(),
            self.deadline.clone(),
            self.while_open,
        )
    }
}

impl<C, D> fmt::Debug for CircuitBreakerLayer<C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer")
            .field("circuit", &self.circuit)
            .field("while_open", &self.while_open)
            .finish_non_exhaustive()
    }
}
