use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use crate::keyed::recent::Recent;

#[derive(Clone, Debug)]
enum Event {
    Use(u8),
    UseOldest,
    RemoveOldest,
}

proptest! {
    /// Beside a list in which everything is looked for from the front.
    #[test]
    fn keeps_the_order_of_use(
        events in prop::collection::vec(
            prop_oneof![
                8 => (0..12_u8).prop_map(Event::Use),
                1 => Just(Event::UseOldest),
                3 => Just(Event::RemoveOldest),
            ],
            0..300,
        ),
    ) {
        let start = Instant::now();
        let mut recent = Recent::new();
        let mut naive: Vec<(u8, Instant)> = Vec::new();
        for (tick, event) in events.into_iter().enumerate() {
            let now = start + Duration::from_secs(tick as u64);
            match event {
                Event::Use(key) => {
                    let found = naive.iter().position(|(other, _)| *other == key);
                    match found {
                        Some(index) => {
                            naive.remove(index);
                            prop_assert_eq!(recent.use_one(&key, now), Some(&key));
                        }
                        None => {
                            prop_assert_eq!(recent.use_one(&key, now), None);
                            recent.insert(key, key, now);
                        }
                    }
                    naive.push((key, now));
                }
                Event::UseOldest => {
                    recent.use_oldest(now);
                    if !naive.is_empty() {
                        let (key, _) = naive.remove(0);
                        naive.push((key, now));
                    }
                }
                Event::RemoveOldest => {
                    let removed = recent.remove_oldest().map(|(_, _, value)| value);
                    let expected = (!naive.is_empty()).then(|| naive.remove(0).0);
                    prop_assert_eq!(removed, expected);
                }
            }
            prop_assert_eq!(recent.len(), naive.len());
            let oldest = recent.oldest().map(|(key, used_at)| (*key, used_at));
            prop_assert_eq!(oldest, naive.first().copied());
            for key in 0..12 {
                let is_there = naive.iter().any(|(other, _)| *other == key);
                prop_assert_eq!(recent.get(&key).is_some(), is_there);
            }
            prop_assert_eq!(recent.iter().count(), naive.len());
        }
    }
}
