use proptest::prelude::*;

use crate::{Id, InFlight, RequestContext};

fn context(number: usize) -> RequestContext {
    RequestContext::new(Id::new(number.to_string()).unwrap())
}

#[test]
fn what_a_crowd_has_needed_is_not_kept() {
    let in_flight = InFlight::new();
    let entries: Vec<_> = (0..10_000)
        .map(|it| in_flight.enter(&context(it)))
        .collect();
    assert_eq!(in_flight.len(), 10_000);
    drop(entries);
    // A shard that others have used before keeps room for a few.
    assert!(in_flight.capacity() < 1_000);
    let _entry = in_flight.enter(&context(0));
    assert_eq!(in_flight.len(), 1);
}

#[test]
fn a_slot_is_taken_again() {
    let in_flight = InFlight::for_threads(1);
    let _one_that_stays = in_flight.enter(&context(0));
    for number in 1..1_000 {
        drop(in_flight.enter(&context(number)));
    }
    // A shard that others have used before keeps room for a few.
    assert!(in_flight.capacity() < 500, "{}", in_flight.capacity());
}

#[test]
fn a_request_outlives_the_handles() {
    let in_flight = InFlight::new();
    let entry = in_flight.enter(&context(0));
    drop(in_flight);
    drop(entry);
}

/// Shards are lent again, but not before their last request has ended.
#[test]
fn those_that_outlive_their_handles_are_in_flight_nowhere_else() {
    let one = InFlight::for_threads(1);
    let entry = one.enter(&context(0));
    drop(one);
    let another = InFlight::for_threads(1);
    assert!(another.is_empty());
    let other_entry = another.enter(&context(1));
    drop(entry);
    assert_eq!(another.len(), 1);
    drop(other_entry);
    assert!(another.is_empty());
}

proptest! {
    /// Against a list of those that are in flight.
    #[test]
    fn whoever_comes_and_goes_exactly_those_are_in_flight(
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..300),
    ) {
        let in_flight = InFlight::new();
        let mut entries = Vec::new();
        for (number, (comes, which)) in steps.into_iter().enumerate() {
            if comes || entries.is_empty() {
                entries.push((number.to_string(), in_flight.enter(&context(number))));
            } else {
                entries.swap_remove(which.index(entries.len()));
            }
            let mut seen: Vec<_> = in_flight.snapshot().iter().map(|it| it.context.id().to_string()).collect();
            let mut expected: Vec<_> = entries.iter().map(|it| it.0.clone()).collect();
            seen.sort();
            expected.sort();
            prop_assert_eq!(seen, expected);
        }
    }
}
