//! When a service fails, stop calling it for a while: a circuit breaker for tower services.
