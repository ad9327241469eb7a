//! Slots that are woken while their owner falls asleep, under loom.

// What the file holds beyond what is checked here.
#![allow(dead_code, unreachable_pub)]

#[path = "../../src/ready.rs"]
mod ready;
mod sync;

use std::{future::poll_fn, sync::Arc, task::Poll};

use loom::thread;
use ready::Ready;

/// Loom finds a deadlock if the owner sleeps over a bit.
#[test]
fn no_wake_is_lost() {
    check(|| {
        let ready = Arc::new(Ready::new(2));
        let wakers = [0, 1].map(|slot| {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.set(slot))
        });
        let mut seen = 0;
        loom::future::block_on(poll_fn(|cx| {
            ready.awake();
            loop {
                seen |= ready.take(0);
                if seen == 0b11 {
                    return Poll::Ready(());
                }
                if ready.sleep(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }));
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

/// The owner is polled by one task and then by another: the waker that was given last counts.
#[test]
fn no_wake_is_lost_when_another_task_takes_over() {
    check(|| {
        let ready = Arc::new(Ready::new(1));
        let waker = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.set(0))
        };
        ready.awake();
        let mut is_seen = ready.take(0) != 0;
        if !is_seen {
            ready.sleep(std::task::Waker::noop());
        }
        loom::future::block_on(poll_fn(|cx| {
            ready.awake();
            loop {
                is_seen |= ready.take(0) != 0;
                if is_seen {
                    return Poll::Ready(());
                }
                if ready.sleep(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }));
        waker.join().unwrap();
    });
}

/// Tries every order with up to three preemptions.
fn check(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}
