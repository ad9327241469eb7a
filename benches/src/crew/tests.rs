use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
};

use super::{Crew, Gate};
use crate::{
    group::{Role, Row, Setting},
    work::Driver,
};

const SETTINGS: [Setting; 3] = [
    Setting::Threads(1),
    Setting::Tasks {
        tasks: 1,
        workers: 1,
    },
    Setting::Tasks {
        tasks: 64,
        workers: 2,
    },
];

#[test]
fn all_callers_make_their_calls_on_one_state_and_can_make_more() {
    let crew = Crew::new(2);
    let count = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&count);
    let row = Row::function("count", Role::Peer, move || {
        let count = Arc::clone(&shared);
        move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            ready(Ok::<_, ()>(()))
        }
    });
    let mut expected = 0;
    let threads = (1..=crew.size()).map(Setting::Threads);
    for setting in SETTINGS.into_iter().chain(threads) {
        let mut callers = row.callers(setting.callers());
        for _ in 0..3 {
            let sample = crew.run(setting, &mut callers, 10);
            assert_eq!(sample.succeeded, 10 * setting.callers() as u64, "{setting}");
            assert!(!sample.elapsed.is_zero(), "{setting}");
            expected += sample.succeeded;
        }
    }
    assert_eq!(count.load(Ordering::Relaxed), expected);
}

#[test]
fn a_thread_of_the_crew_calls_again_and_again() {
    let crew = Crew::new(1);
    let (threads, seen) = std::sync::mpsc::channel::<ThreadId>();
    let row = Row::driven("thread", Role::Peer, move || {
        let threads = threads.clone();
        move |_, _: &mut Driver<'_>| threads.send(thread::current().id())
    });
    let mut callers = row.callers(1);
    for _ in 0..3 {
        crew.run(Setting::Threads(1), &mut callers, 1);
    }
    let seen: Vec<ThreadId> = seen.try_iter().collect();
    assert_eq!(seen, [seen[0]; 3]);
    assert_ne!(seen[0], thread::current().id());
}

#[test]
fn the_gate_opens_for_the_last() {
    let gate = Gate { awaited: 2.into() };
    let passed = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            gate.pass();
            passed.fetch_add(1, Ordering::SeqCst);
        });
        thread::yield_now();
        assert_eq!(passed.load(Ordering::SeqCst), 0);
        gate.pass();
    });
    assert_eq!(passed.load(Ordering::SeqCst), 1);
}
