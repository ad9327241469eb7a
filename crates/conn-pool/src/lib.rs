//! Lend connections fairly and keep them healthy: a pool for tower connectors.
