//! Flights, their passengers, invalidations and the end of a load, racing under shuttle.

// What the files hold beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/flight.rs"]
mod flight;
mod passengers;
mod sync;
