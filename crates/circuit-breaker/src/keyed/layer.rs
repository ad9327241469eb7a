use std::fmt;

use tower_layer::Layer;

use crate::{Circuits, ErrorsFail, KeyedCircuitBreaker, NoDeadline};

/// Puts services behind a circuit for each key, which a function finds in the request.
///
/// All services that it or its clones make share the circuits.
pub struct KeyedCircuitBreakerLayer<K, F, C = ErrorsFail, D = NoDeadline> {
    circuits: Circuits<K>,
    key: F,
    classify: C,
    deadline: D,
}

impl<K, F> KeyedCircuitBreakerLayer<K, F> {
    /// A layer around `circuits`, with the `key` of a request, `Fn(&Request) -> K`.
    #[must_use]
    pub const fn new(circuits: Circuits<K>, key: F) -> Self {
        Self {
            circuits,
            key,
            classify: ErrorsFail,
            deadline: NoDeadline,
        }
    }
}

impl<K, F, C, D> KeyedCircuitBreakerLayer<K, F, C, D> {
    /// As [`CircuitBreakerLayer::with_classify`](crate::CircuitBreakerLayer::with_classify).
    #[must_use]
    pub fn with_classify<T>(self, classify: T) -> KeyedCircuitBreakerLayer<K, F, T, D> {
        KeyedCircuitBreakerLayer {
            circuits: self.circuits,
            key: self.key,
            classify,
            deadline: self.deadline,
        }
    }

    /// As [`CircuitBreakerLayer::with_deadline`](crate::CircuitBreakerLayer::with_deadline).
    #[must_use]
    pub fn with_deadline<T>(self, deadline: T) -> KeyedCircuitBreakerLayer<K, F, C, T> {
        KeyedCircuitBreakerLayer {
            circuits: self.circuits,
            key: self.key,
            classify: self.classify,
            deadline,
        }
    }

    /// The circuits.
    #[must_use]
    pub const fn circuits(&self) -> &Circuits<K> {
        &self.circuits
    }
}

impl<S, K, F: Clone, C: Clone, D: Clone> Layer<S> for KeyedCircuitBreakerLayer<K, F, C, D> {
    type Service = KeyedCircuitBreaker<S, K, F, C, D>;

    fn layer(&self, inner: S) -> Self::Service {
        let layer = self.clone();
        KeyedCircuitBreaker::new(
            inner,
            layer.circuits,
            layer.key,
            layer.classify,
            layer.deadline,
        )
    }
}

/// Keys need not be `Clone`.
impl<K, F: Clone, C: Clone, D: Clone> Clone for KeyedCircuitBreakerLayer<K, F, C, D> {
    fn clone(&self) -> Self {
        Self {
            circuits: self.circuits.clone(),
            key: self.key.clone(),
            classify: self.classify.clone(),
            deadline: self.deadline.clone(),
        }
    }
}

impl<K, F, C, D> fmt::Debug for KeyedCircuitBreakerLayer<K, F, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreakerLayer")
            .field("circuits", &self.circuits)
            .finish_non_exhaustive()
    }
}
