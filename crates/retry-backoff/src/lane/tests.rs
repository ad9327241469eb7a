use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use super::*;

#[test]
fn threads_that_run_at_the_same_time_share_no_lane_but_the_last() {
    let threads = lanes() + 5;
    for _ in 0..20 {
        let barrier = Barrier::new(threads);
        let found: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let mine = lane();
                        barrier.wait();
                        assert_eq!(lane(), mine);
                        mine
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(found.iter().all(|it| *it < lanes()));
        let own: Vec<_> = found.iter().filter(|it| **it < lanes() - 1).collect();
        assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len());
        assert!(!own.is_empty());
    }
}

#[test]
fn a_thread_that_has_returned_its_lane_shares_the_last() {
    let thread = thread::spawn(|| {
        let mine = lane();
        OWNED.with(Owned::give_back);
        (mine, lane())
    });
    let (mine, then) = thread.join().unwrap();
    assert!(mine < lanes());
    assert_eq!(then, lanes() - 1);
}
