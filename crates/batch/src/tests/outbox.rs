use proptest::{collection::vec, prelude::*};

use crate::outbox::Outbox;

proptest! {
    /// Results come in any order and are taken in that of their items.
    #[test]
    fn gives_results_in_the_order_of_the_items(turns in vec(0_usize..8, 0..200)) {
        let mut outbox = Outbox::new();
        let mut running = Vec::new();
        let mut taken = Vec::new();
        for turn in turns {
            if turn < 3 || running.is_empty() {
                running.push(outbox.pulled());
            } else {
                let number = running.swap_remove(turn % running.len());
                if let Some(result) = outbox.put(number, number * 10) {
                    prop_assert_eq!(result, number * 10);
                    taken.push(number);
                }
            }
            while let Some((number, result)) = outbox.take() {
                prop_assert_eq!(result, number * 10);
                taken.push(number);
            }
            let oldest = running.iter().min();
            // Nothing that could be taken is kept.
            prop_assert!(oldest.is_none_or(|it| *it == taken.len() as u64));
        }
        prop_assert!(taken.iter().copied().eq(0..taken.len() as u64));
    }
}
