use proptest::prelude::*;

use super::*;

const LENGTH: Duration = Duration::from_millis(100);
const STEP: u64 = 10;

#[derive(Clone, Debug)]
enum Event {
    Call { bad: bool },
    Wait { millis: u64 },
    Clear,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => any::<bool>().prop_map(|bad| Event::Call { bad }),
        20 => (0..15_u64).prop_map(|millis| Event::Wait { millis }),
        2 => (80..400_u64).prop_map(|millis| Event::Wait { millis }),
        1 => Just(Event::Clear),
    ]
}

proptest! {
    /// A call is in the window while its step is one of the last ten, counted from the first.
    #[test]
    fn counts_exactly_the_calls_of_the_last_ten_steps(
        events in prop::collection::vec(event(), 0..300),
    ) {
        let start = Instant::now();
        let mut window = TimeWindow::new(LENGTH, start);
        let mut naive = Vec::new();
        let mut millis = 0;
        for event in events {
            let now = start + Duration::from_millis(millis);
            match event {
                Event::Call { bad } => {
                    window.push(bad, now);
                    naive.push((millis / STEP, bad));
                }
                Event::Wait { millis: more } => millis += more,
                Event::Clear => {
                    window.clear();
                    naive.clear();
                }
            }
            let now = millis / STEP;
            let live = || naive.iter().filter(|(step, _)| step + 10 > now);
            let counts = window.counts(start + Duration::from_millis(millis));
            prop_assert_eq!(counts.calls, live().count() as u64);
            prop_assert_eq!(counts.bad, live().filter(|(_, bad)| *bad).count() as u64);
        }
    }
}

#[test]
fn a_clock_that_goes_back_takes_nothing_away() {
    let start = Instant::now();
    let mut window = TimeWindow::new(LENGTH, start);
    window.push(true, start + Duration::from_millis(50));
    window.push(true, start + Duration::from_millis(20));
    let counts = window.counts(start);
    assert_eq!(counts, Counts { calls: 2, bad: 2 });
}
