use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn counts_exactly_the_last_calls(
        capacity in 1..200_u32,
        outcomes in prop::collection::vec(prop::option::weighted(0.99, any::<bool>()), 0..1000),
    ) {
        let mut window = CallWindow::new(capacity);
        let mut naive = Vec::new();
        for outcome in outcomes {
            match outcome {
                Some(bad) => {
                    window.push(bad);
                    naive.push(bad);
                }
                None => {
                    window.clear();
                    naive.clear();
                }
            }
            let last = &naive[naive.len().saturating_sub(capacity as usize)..];
            let counts = window.counts();
            prop_assert_eq!(counts.calls as usize, last.len());
            prop_assert_eq!(counts.bad as usize, last.iter().filter(|bad| **bad).count());
        }
    }
}
