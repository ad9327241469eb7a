//! What the machine asks for the parts that such things are made of.

use std::{
    hint::black_box,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    backend::{Backend, Failed},
    group::{ALONE_AND_SHARED, Group, Role, Row, Scenario},
};

pub(super) fn group() -> Group {
    Group {
        name: "limits",
        title: "Limits",
        crates: &["tokio"],
        scenarios: vec![Scenario {
            name: "parts",
            about: "What one part costs beside the bare service: to judge the other tables by.",
            fails_one_in: 0,
            settings: ALONE_AND_SHARED,
            rows: vec![
                Row::service("bare service", Role::Floor, || Backend::<0>),
                part("shared counter, added to", || {
                    let counter = Arc::new(AtomicU64::new(0));
                    move || counter.fetch_add(1, Ordering::Relaxed)
                }),
                part("shared counter, compared and swapped", || {
                    let counter = Arc::new(AtomicU64::new(0));
                    move || {
                        counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |it| Some(it + 1))
                    }
                }),
                part("own counter", || {
                    let mut counter = 0;
                    move || {
                        counter += 1;
                        counter
                    }
                }),
                part("Arc, cloned and dropped", || {
                    let shared = Arc::new(0);
                    move || Arc::clone(black_box(&shared))
                }),
                part("std's mutex", || {
                    let counter = Arc::new(Mutex::new(0));
                    move || *counter.lock().unwrap_or_else(PoisonError::into_inner) += 1
                }),
                part("clock", || Instant::now),
                part("box of 32 bytes", || || Box::new(black_box([0_u64; 4]))),
                part("tokio's semaphore, not waited for", || {
                    let semaphore = Arc::new(tokio::sync::Semaphore::new(1000));
                    move || drop(semaphore.try_acquire())
                }),
            ],
        }],
    }
}

/// The bare service and a part.
fn part<P, T>(name: &'static str, make: impl Fn() -> P + 'static) -> Row
where
    P: FnMut() -> T + Clone + Send + 'static,
{
    Row::driven(name, Role::Limit, move || {
        let mut part = make();
        move |request, _: &mut _| -> Result<u64, Failed> {
            black_box(part());
            Backend::<0>.answer(request)
        }
    })
}
