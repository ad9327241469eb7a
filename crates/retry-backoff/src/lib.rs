//! Call again, at the right time, within a budget: retries and hedging for tower services.
