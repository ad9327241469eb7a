use proptest::{collection::vec, prelude::*};

use crate::memory::Memory;

proptest! {
    /// Beside a list, in which the newest is last.
    #[test]
    fn holds_the_last_ones(
        limit in 1_usize..8,
        steps in vec((any::<bool>(), 0_u8..12), 0..100),
    ) {
        let mut memory = Memory::new(limit);
        let mut list: Vec<(u8, usize)> = Vec::new();
        for (step, (is_insert, key)) in steps.into_iter().enumerate() {
            if is_insert {
                memory.insert(key, step);
                list.retain(|it| it.0 != key);
                list.push((key, step));
                if list.len() > limit {
                    list.remove(0);
                }
            } else {
                memory.remove(&key);
                list.retain(|it| it.0 != key);
            }
            for key in 0..12 {
                let expected = list.iter().find(|it| it.0 == key).map(|it| it.1);
                prop_assert_eq!(memory.get(&key).copied(), expected);
            }
        }
    }
}
