use std::time::Duration;

use proptest::prelude::*;

use tokio::time::Instant;

use crate::{
    cells::Counted,
    clock::Clock,
    meter::{Meter, Shape},
    time_window::TimeWindow,
    window::{Counts, Span},
};

const LENGTH: Duration = Duration::from_millis(100);
const STEP: u64 = 10;

#[derive(Clone, Debug)]
enum Event {
    /// Counted by its thread.
    Good,
    /// Counted under the lock.
    Told {
        bad: bool,
    },
    Wait {
        millis: u64,
    },
    Relieve,
    Clear,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => Just(Event::Good),
        20 => any::<bool>().prop_map(|bad| Event::Told { bad }),
        20 => (0..15_u64).prop_map(|millis| Event::Wait { millis }),
        2 => (80..400_u64).prop_map(|millis| Event::Wait { millis }),
        1 => Just(Event::Relieve),
        1 => Just(Event::Clear),
    ]
}

proptest! {
    /// A call is in the window while its step is one of the last ten, counted from the first.
    #[test]
    fn counts_exactly_the_calls_of_the_last_ten_steps(
        threads in 0..2_usize,
        events in prop::collection::vec(event(), 0..300),
    ) {
        let start = Instant::now();
        let meter = meter(threads, start);
        let mut window = TimeWindow::new(meter);
        let mut naive = Vec::new();
        let mut millis = 0;
        let mut generation = 1;
        for event in events {
            let now = start + Duration::from_millis(millis);
            match event {
                Event::Good => {
                    let counted = meter.count(meter.tag_at(generation, now));
                    prop_assert!(matches!(counted, Counted::First | Counted::Again));
                    naive.push((millis / STEP, false));
                }
                Event::Told { bad } => {
                    window.push(bad, generation, now);
                    naive.push((millis / STEP, bad));
                }
                Event::Wait { millis: more } => millis += more,
                Event::Relieve => window.relieve(generation, Some(Clock::new(start).tick(now))),
                Event::Clear => {
                    generation += 1;
                    naive.clear();
                }
            }
            let now = millis / STEP;
            let live = || naive.iter().filter(|(step, _)| step + 10 > now);
            let counts = window.counts(generation, start + Duration::from_millis(millis));
            prop_assert_eq!(counts.calls, live().count() as u64);
            prop_assert_eq!(counts.bad, live().filter(|(_, bad)| *bad).count() as u64);
        }
    }
}

#[test]
fn a_call_with_an_earlier_time_is_counted_in_its_own_step() {
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let mut window = TimeWindow::new(meter(0, start));
    window.push(true, 1, after(50));
    window.push(true, 1, after(20));
    assert_eq!(window.counts(1, after(50)), Counts { calls: 2, bad: 2 });
    assert_eq!(window.counts(1, after(120)), Counts { calls: 1, bad: 1 });
    // So late that its bucket is another's.
    window.push(true, 1, after(200));
    window.push(true, 1, after(100));
    assert_eq!(window.counts(1, after(200)), Counts { calls: 1, bad: 1 });
}

fn meter(threads: usize, start: Instant) -> &'static Meter {
    let shape = Shape {
        span: Span::Time(LENGTH),
        slow_from: None,
    };
    Box::leak(Box::new(Meter::new(shape, threads, Clock::new(start))))
}
