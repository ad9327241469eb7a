use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use super::*;

#[test]
fn nothing_is_lost_when_there_are_more_threads_than_values() {
    const THREADS: u64 = 16;
    const TIMES: u64 = 10_000;
    for own in [0, 1, 4, 64] {
        let counter: Striped<AtomicU64> = Striped::new(own);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        let mine = counter.mine();
                        if mine.is_own() {
                            mine.store(mine.load(Relaxed) + 1, Relaxed);
                        } else {
                            mine.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        let sum: u64 = counter.iter().map(|it| it.load(Relaxed)).sum();
        assert_eq!(sum, THREADS * TIMES, "{own}");
    }
}
