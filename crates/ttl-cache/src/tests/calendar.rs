use proptest::prelude::*;

use crate::{
    calendar::{Calendar, Ticket},
    tick::Tick,
};

proptest! {
    /// None is due before its entry is dead, and late by no more than the docs say.
    #[test]
    fn all_come_when_they_are_due(
        lives in proptest::collection::vec((0_u64..1 << 40, 0_u64..1 << 44), 1..100),
        step in 1_u64 << 26..1 << 38,
    ) {
        let mut lives = lives;
        lives.sort_unstable();
        let mut calendar = Calendar::default();
        for (id, &(now, left)) in lives.iter().enumerate() {
            calendar.push(Tick(now + left), Tick(now), ticket(id));
        }
        let mut seen = vec![false; lives.len()];
        let mut now = 0;
        while calendar.len() > 0 {
            while let Some(due) = calendar.pop_due(Tick(now)) {
                let (pushed, left) = lives[due.id as usize];
                prop_assert!(!std::mem::replace(&mut seen[due.id as usize], true));
                prop_assert!(pushed + left <= now, "too early");
                let late = (left / 16).max(1 << 28).next_power_of_two() + step;
                prop_assert!(now <= pushed + left + late, "too late");
            }
            now += step;
        }
        prop_assert!(seen.iter().all(|it| *it));
        prop_assert_eq!(calendar.next(), None);
    }
}

#[test]
fn has_few_buckets_whatever_the_times_are() {
    let mut calendar = Calendar::default();
    for id in 0..100_000 {
        // Up to a day.
        let left = (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % 86_400_000_000_000;
        calendar.push(Tick(left), Tick(0), ticket(id));
    }
    let mut ends = Vec::new();
    while let Some(next) = calendar.next() {
        ends.push(next);
        while calendar.pop_due(next).is_some() {}
    }
    assert!(ends.len() < 400, "{}", ends.len());
}

#[test]
fn what_never_dies_is_never_due() {
    let mut calendar = Calendar::default();
    calendar.push(Tick::NEVER, Tick(5), ticket(1));
    assert_eq!(calendar.pop_due(Tick(u64::MAX - 1)), None);
    assert_eq!(calendar.len(), 1);
}

#[test]
fn forgets_what_has_gone_otherwise() {
    let mut calendar = Calendar::default();
    for id in 0..100 {
        calendar.push(Tick(id as u64 * 1_000_000_000), Tick(0), ticket(id));
    }
    calendar.retain(|it| it.id % 2 == 0);
    assert_eq!(calendar.len(), 50);
    let left: Vec<_> = calendar.tickets().iter().map(|it| it.id).collect();
    assert_eq!(left.len(), 50);
    assert!(left.iter().all(|id| id % 2 == 0));
}

const fn ticket(id: usize) -> Ticket {
    Ticket {
        hash: 0,
        id: id as u64,
    }
}
