use proptest::prelude::*;
use tokio::time::Instant;

use crate::{
    call_window::CallWindow,
    cells::Counted,
    clock::Clock,
    meter::{Meter, Shape},
    window::Span,
};

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Counted by its thread.
    Good,
    /// Counted under the lock.
    Told {
        bad: bool,
    },
    Relieve,
    Clear,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        50 => Just(Event::Good),
        50 => any::<bool>().prop_map(|bad| Event::Told { bad }),
        1 => Just(Event::Relieve),
        1 => Just(Event::Clear),
    ]
}

proptest! {
    #[test]
    fn counts_exactly_the_last_calls(
        capacity in 1..200_u32,
        threads in 0..2_usize,
        events in prop::collection::vec(event(), 0..1000),
    ) {
        let meter = meter(capacity, threads);
        let mut window = CallWindow::new(capacity, meter);
        let mut naive = Vec::new();
        let mut generation = 1;
        for event in events {
            match event {
                Event::Good => {
                    let counted = meter.count(meter.tag(generation, None));
                    prop_assert!(matches!(counted, Counted::First | Counted::Again));
                    naive.push(false);
                }
                Event::Told { bad } => {
                    window.push(bad, generation);
                    naive.push(bad);
                }
                Event::Relieve => window.relieve(generation),
                Event::Clear => {
                    generation += 1;
                    naive.clear();
                }
            }
            let last = &naive[naive.len().saturating_sub(capacity as usize)..];
            let counts = window.counts(generation);
            prop_assert_eq!(counts.calls as usize, last.len());
            prop_assert_eq!(counts.bad as usize, last.iter().filter(|bad| **bad).count());
        }
    }
}

fn meter(capacity: u32, threads: usize) -> &'static Meter {
    let shape = Shape {
        span: Span::Calls(capacity),
        slow_from: None,
    };
    Box::leak(Box::new(Meter::new(
        shape,
        threads,
        Clock::new(Instant::now()),
    )))
}
