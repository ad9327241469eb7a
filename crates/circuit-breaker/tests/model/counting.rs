//! Threads that count, and one that reads.

use loom::thread;

use crate::{
    cells::Counted,
    check,
    clock::Clock,
    meter::{Meter, Shape},
    sync,
    window::Span,
};

#[test]
fn no_call_is_lost_among_threads_with_cells_of_their_own() {
    check(|| no_call_is_lost(2));
}

#[test]
fn no_call_is_lost_among_threads_that_share_a_cell() {
    check(|| no_call_is_lost(0));
}

fn no_call_is_lost(cells: usize) {
    let meter = meter(cells);
    let counting = [0, 1].map(|number| {
        thread::spawn(move || {
            sync::set_number(number);
            meter.count(1);
            meter.count(1);
        })
    });
    for thread in counting {
        thread.join().unwrap();
    }
    assert_eq!(meter.sum(1, 1), 4);
}

#[test]
fn no_call_is_lost_when_a_cell_is_taken() {
    check(|| {
        let meter = meter(0);
        let counting = thread::spawn(|| {
            meter.count(1);
            meter.count(1);
        });
        meter.count(1);
        let taken = meter.take(1);
        counting.join().unwrap();
        assert_eq!(taken + meter.sum(1, 1), 3);
    });
}

#[test]
fn sums_only_rise() {
    check(|| {
        let meter = meter(2);
        let counting = [0, 1].map(|number| {
            thread::spawn(move || {
                sync::set_number(number);
                meter.count(1);
            })
        });
        let first = meter.sum(1, 1);
        let second = meter.sum(1, 1);
        assert!(first <= second && second <= 2);
        for thread in counting {
            thread.join().unwrap();
        }
        assert_eq!(meter.sum(1, 1), 2);
    });
}

#[test]
fn a_late_call_is_not_counted_under_a_later_tag() {
    check(|| {
        // The later tag has the same place in the ring.
        let (late, current) = (1, 17);
        let meter = meter(0);
        let counting = thread::spawn(move || meter.count(late));
        assert_ne!(meter.count(current), Counted::Late);
        counting.join().unwrap();
        assert_eq!(meter.sum(current, current), 1);
        assert_eq!(meter.sum(late, late), 0);
    });
}

fn meter(cells: usize) -> &'static Meter {
    let shape = Shape {
        span: Span::Calls(10),
        slow_from: None,
    };
    Box::leak(Box::new(Meter::new(
        shape,
        cells,
        Clock::new(tokio::time::Instant::now()),
    )))
}
