use std::{
    collections::HashSet,
    sync::{Barrier, Mutex},
    thread,
};

use super::*;

#[test]
fn no_two_living_threads_have_the_same_number_and_numbers_are_used_again() {
    const THREADS: usize = 32;
    for _ in 0..50 {
        let barrier = Barrier::new(THREADS);
        let numbers = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let number = mine();
                    assert_eq!(mine(), number);
                    assert!(number < given());
                    assert!(numbers.lock().unwrap().insert(number));
                    barrier.wait();
                });
            }
        });
    }
    // The threads of one round may end after those of the next have begun, and this one has a number
    // too, as may the harness; but fifty rounds of new ones there are not.
    assert!(given() < 10 * THREADS, "{}", given());
}
