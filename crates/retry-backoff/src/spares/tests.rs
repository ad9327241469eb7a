use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

fn kept<T>(spares: &Spares<T>) -> usize {
    spares.0.lock().unwrap().len()
}

#[test]
fn what_the_last_handle_has_left_is_used_again_as_new() {
    static SPARES: Spares<AtomicU32> = Spares::new();
    let take = || SPARES.take(|| AtomicU32::new(7), |it| it.store(7, Ordering::Relaxed));
    for _ in 0..1_000 {
        let first = take();
        assert_eq!(first.load(Ordering::Relaxed), 7);
        first.store(1, Ordering::Relaxed);
        let clone = first.clone();
        drop(first);
        // It is not new, for it is still in use.
        assert_eq!(take().load(Ordering::Relaxed), 7);
        assert_eq!(clone.load(Ordering::Relaxed), 1);
    }
    assert_eq!(kept(&SPARES), 2);
}

#[test]
fn few_more_are_kept_than_were_in_use_at_the_same_time() {
    static SPARES: Spares<AtomicU32> = Spares::new();
    let mut in_use = VecDeque::new();
    for made in 0..10_000 {
        in_use.push_back(SPARES.take(AtomicU32::default, |_| ()));
        // Some stay, some go soon.
        if made > 300 {
            in_use.swap(0, made % 100);
            in_use.pop_front();
        }
    }
    assert!(kept(&SPARES) <= 450, "{}", kept(&SPARES));
}

#[test]
fn what_another_thread_still_has_is_not_used_again() {
    static SPARES: Spares<AtomicU32> = Spares::new();
    // Each handle writes its number, and its clone must find it, dropped by another thread or not.
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let (sender, receiver) = std::sync::mpsc::channel();
                let elsewhere = thread::spawn(move || {
                    for (number, shared) in receiver {
                        let shared: Shared<AtomicU32> = shared;
                        let clone = shared.clone();
                        drop(shared);
                        assert_eq!(clone.load(Ordering::Relaxed), number);
                    }
                });
                for round in 0..500 {
                    let number = thread * 1_000 + round;
                    let mine = SPARES.take(AtomicU32::default, |_| ());
                    mine.store(number, Ordering::Relaxed);
                    let clone = mine.clone();
                    drop(mine);
                    sender.send((number, clone.clone())).unwrap();
                    assert_eq!(clone.load(Ordering::Relaxed), number);
                }
                drop(sender);
                elsewhere.join().unwrap();
            });
        }
    });
    assert!(kept(&SPARES) > 0);
}
