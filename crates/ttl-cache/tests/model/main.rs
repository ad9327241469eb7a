//! Flights, their passengers, invalidations and the end of a load, racing under shuttle.

// What the files hold beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/boarding.rs"]
mod boarding;
#[path = "../../src/calendar.rs"]
mod calendar;
#[path = "../../src/desk.rs"]
mod desk;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/flight.rs"]
mod flight;
#[path = "../../src/invalidation.rs"]
mod invalidation;
#[path = "../../src/keys.rs"]
mod keys;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/name.rs"]
mod name;
mod passengers;
#[path = "../../src/record.rs"]
mod record;
#[path = "../../src/store.rs"]
mod store;
mod stored;
mod sync;
#[path = "../../src/tags.rs"]
mod tags;
#[path = "../../src/tally.rs"]
mod tally;
#[path = "../../src/tick.rs"]
mod tick;
#[path = "../../src/ttl.rs"]
mod ttl;
#[path = "../../src/windows.rs"]
mod windows;

use error::LoadFailed;
use limits::Limits;
use name::Name;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
