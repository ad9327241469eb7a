use std::{
    future::{pending, poll_fn, ready},
    sync::mpsc,
    task::Poll,
    thread,
};

use super::{Caller, Driver, Function, Tower};
use crate::backend::Backend;

#[test]
fn a_future_that_is_not_ready_is_waited_for() {
    let (wakers, woken) = mpsc::channel();
    let waker = thread::spawn(move || {
        for waker in woken {
            let waker: std::task::Waker = waker;
            waker.wake();
        }
    });
    let mut polls = 0;
    let output = Driver::with(|driver| {
        driver.run(poll_fn(|cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready("done");
            }
            wakers.send(cx.waker().clone()).unwrap();
            Poll::Pending
        }))
    });
    assert_eq!((output, polls), ("done", 3));
    drop(wakers);
    waker.join().unwrap();
}

#[test]
fn every_call_is_made_and_successes_are_counted() {
    assert_eq!(Tower(Backend::<0>).run(100), 100);
    assert_eq!(Tower(Backend::<20>).run(100), 95);
    assert_eq!(Tower(Backend::<1>).run(100), 0);

    let mut calls = Vec::new();
    let (requests, made) = mpsc::channel();
    let mut caller = Function(move |request| {
        requests.send(request).unwrap();
        ready(Ok::<_, ()>(request))
    });
    assert_eq!(caller.run(3), 3);
    drop(caller);
    calls.extend(made);
    assert_eq!(calls, [0, 1, 2]);
}

#[tokio::test]
async fn as_a_task_the_same_calls_are_made() {
    assert_eq!(Tower(Backend::<20>).task(100).await, 95);
    let never = Function(|_| pending::<Result<(), ()>>());
    assert_eq!(never.task(0).await, 0);
}
