//! The files without locks, in every order that their orderings allow.
//!
//! They are compiled a second time here, against loom's atomics.

#![allow(dead_code, unreachable_pub)]

use loom::model::Builder;
use loom::thread;

#[path = "../../src/budget/ratio/counted.rs"]
mod counted;
#[path = "../../src/budget/ratio/ledger.rs"]
mod ledger;
#[path = "../../src/shared.rs"]
mod shared;
#[path = "../../src/budget/word.rs"]
mod word;

mod sync;

use counted::Counted;
use ledger::{Ledger, Terms};
use shared::{Core, Shared};
use word::Word;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        sync::set_number(0);
        check();
    });
}

/// In a thread of this number; the main one has 0.
fn on<T: 'static>(number: usize, run: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        sync::set_number(number);
        run()
    })
}

/// What handles point to: loom fails if it is read and written at the same time, or without an
/// order between the two.
type Value = loom::cell::Cell<u32>;

fn core(threads: usize) -> &'static Core<Value> {
    Box::leak(Box::new(Core::new(Value::new(1), threads)))
}

/// As whoever looks for one to use again.
fn use_again(core: &'static Core<Value>) -> bool {
    let unused = core.is_unused();
    if unused {
        Shared::first(core).set(2);
    }
    unused
}

#[test]
fn what_a_handle_exists_to_is_not_used_again() {
    model(|| {
        let core = core(2);
        let first = Shared::first(core);
        let clone = first.clone();
        let other = on(1, move || {
            // The next is made before the last one goes: there is always one.
            let next = clone.clone();
            drop(clone);
            let last = next.clone();
            drop(next);
            assert_eq!(last.get(), 1);
        });
        drop(first);
        use_again(core);
        other.join().unwrap();
    });
}

#[test]
fn a_handle_that_goes_from_thread_to_thread_is_counted_once() {
    model(|| {
        let core = core(3);
        let first = Shared::first(core);
        let one = on(1, move || {
            let clone = first.clone();
            let two = on(2, move || {
                assert_eq!(clone.get(), 1);
                drop(clone);
            });
            drop(first);
            two.join().unwrap();
        });
        use_again(core);
        one.join().unwrap();
        assert!(core.is_unused() || use_again(core));
    });
}

#[test]
fn threads_that_count_together_lose_no_count() {
    model(|| {
        let core = core(1);
        let first = Shared::first(core);
        let threads = [first.clone(), first.clone()].map(|handle| {
            on(1, move || {
                let clone = handle.clone();
                drop(handle);
                assert_eq!(clone.get(), 1);
            })
        });
        drop(first);
        use_again(core);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(core.is_unused());
    });
}

#[test]
fn of_two_who_take_the_last_tokens_one_is_refused() {
    model(|| {
        let word: &Word = Box::leak(Box::new(Word::new(7)));
        let other = on(1, || word.take(5));
        let taken = [word.take(5), other.join().unwrap()];
        assert_eq!(taken.iter().filter(|it| **it).count(), 1);
        assert_eq!(word.get(), 2);
    });
}

#[test]
fn tokens_are_neither_lost_nor_made() {
    model(|| {
        let word: &Word = Box::leak(Box::new(Word::new(6)));
        let other = on(1, || {
            let taken = word.take(5);
            if taken {
                word.add(5, 10);
            }
        });
        let taken = word.take(3);
        word.take_up_to(1);
        other.join().unwrap();
        assert_eq!(word.get(), 6 - u32::from(taken) * 3 - 1);
    });
}

#[test]
fn no_more_is_added_than_fits() {
    model(|| {
        let word: &Word = Box::leak(Box::new(Word::new(1)));
        let other = on(1, || word.add(3, 5));
        word.add(3, 5);
        assert!(word.get() <= 5);
        other.join().unwrap();
        assert_eq!(word.get(), 5);
    });
}

fn counted(threads: usize) -> &'static Counted {
    Box::leak(Box::new(Counted::new(threads)))
}

#[test]
fn a_sum_is_never_more_than_was_counted_and_in_the_end_all_of_it() {
    model(|| {
        let counted = counted(2);
        let other = on(1, || {
            counted.add(3);
            counted.add(3);
            // In the same cell, a round later.
            counted.add(19);
        });
        assert!(counted.sum(3, 12) <= 2);
        other.join().unwrap();
        assert_eq!(counted.sum(3, 12), 0);
        assert_eq!(counted.sum(10, 19), 1);
    });
}

#[test]
fn requests_of_threads_that_count_together_are_all_counted() {
    model(|| {
        let counted = counted(0);
        let other = on(0, || {
            counted.add(3);
            counted.add(4);
        });
        counted.add(3);
        counted.add(4);
        other.join().unwrap();
        assert_eq!(counted.sum(3, 3), 2);
        assert_eq!(counted.sum(0, 9), 4);
    });
}

#[test]
fn what_is_taken_back_is_so_once() {
    model(|| {
        let counted = counted(0);
        counted.add(3);
        let other = on(1, || {
            counted.add(3);
            counted.take_back(3);
        });
        counted.take_back(3);
        other.join().unwrap();
        assert_eq!(counted.sum(0, 9), 0);
    });
}

#[test]
fn of_two_who_would_make_the_last_retry_one_is_refused() {
    model(|| {
        let ledger: &Ledger = Box::leak(Box::new(Ledger::new(0)));
        let terms = Terms {
            ratio: 0,
            reserve: 1_000,
        };
        let other = on(1, move || ledger.withdraw(0, terms));
        let allowed = [ledger.withdraw(0, terms), other.join().unwrap()];
        assert_eq!(allowed.iter().filter(|it| **it).count(), 1);
    });
}
