//! Any interleaving of what callers, the service and handles do.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::Poll,
};

use mainstay_batch::{BatchFailed, BatchLayer, BoxError, Closed, Limits, future::ResponseFuture};
use proptest::{collection::vec, prelude::*};
use tokio::sync::Semaphore;
use tokio_test::task::{self, Spawn};
use tower::{Layer, Service};

use crate::{millis, seconds, wait};

#[derive(Clone, Debug)]
enum Step {
    /// Submits an item of a lane, if there is a place.
    Submit(u32),
    /// Drops one of the calls.
    Cancel(usize),
    /// Polls one of the calls, as others of its task may have it polled.
    Poll(usize),
    /// Lets one batch end.
    End(Fate),
    /// Time passes, and tasks run.
    Wait(u64),
    Flush,
    Close,
}

/// How a batch ends.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Succeeds,
    Fails,
    Panics,
    IsShort,
    FailsItems,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        4 => Just(Fate::Succeeds),
        1 => Just(Fate::Fails),
        1 => Just(Fate::Panics),
        1 => Just(Fate::IsShort),
        1 => Just(Fate::FailsItems),
    ];
    let step = prop_oneof![
        12 => (0_u32..3).prop_map(Step::Submit),
        3 => (0_usize..64).prop_map(Step::Cancel),
        1 => (0_usize..64).prop_map(Step::Poll),
        4 => fate.prop_map(Step::End),
        3 => (0_u64..4).prop_map(Step::Wait),
        1 => Just(Step::Flush),
    ];
    let close = prop_oneof![3 => Just(None), 1 => (0_usize..100).prop_map(Some)];
    (vec(step, 1..100), close).prop_map(|(mut steps, close)| {
        if let Some(at) = close {
            steps.insert(at.min(steps.len()), Step::Close);
        }
        steps
    })
}

/// With how many batches may be out, in all and of a lane.
fn limits() -> impl Strategy<Value = (Limits, [u32; 2])> {
    let batches = (1_u32..4, 1_u32..4);
    (1_usize..6, batches, 1_usize..12, 0_u64..3).prop_map(|(items, batches, waiting, linger)| {
        let (all, of_lane) = batches;
        let limits = Limits::new(items).unwrap().with_weight(10).unwrap();
        let limits = limits.with_batches(all as usize).unwrap();
        let limits = limits.with_batches_per_lane(of_lane as usize).unwrap();
        let limits = limits.with_waiting(waiting).unwrap();
        (limits.with_linger(millis(linger)).unwrap(), [all, of_lane])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_accepted_item_is_answered_once_and_sent_at_most_once(
        limits in limits(),
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(limits, &steps));
    }
}

/// Lane and number.
type Item = (u32, u32);

struct Backend {
    fates: Mutex<Vec<Fate>>,
    gate: Semaphore,
    sent: Mutex<Vec<Vec<Item>>>,
    /// Of all lanes, and of each; and the most that there were.
    running: Mutex<(u32, [u32; 3])>,
    most: Mutex<[u32; 2]>,
}

async fn run((limits, batches): (Limits, [u32; 2]), steps: &[Step]) {
    let backend = Arc::new(Backend {
        fates: Mutex::default(),
        gate: Semaphore::new(0),
        sent: Mutex::default(),
        running: Mutex::default(),
        most: Mutex::default(),
    });
    let layer = BatchLayer::new(limits)
        .with_lanes(|it: &Item| it.0)
        .with_weigh(|it: &Item| u64::from(it.1 % 4));
    let service = Arc::clone(&backend);
    let batch = layer.layer(tower::service_fn(move |items| {
        serve(Arc::clone(&service), items)
    }));
    let handle = batch.handle();
    let mut calls: HashMap<u32, Spawn<ResponseFuture<Item, u32, u32>>> = HashMap::new();
    let mut accepted = HashSet::new();
    let mut answered = HashSet::new();
    let mut cancelled_unsent = HashSet::new();
    let mut flushes = Vec::new();
    let sent = || backend.sent.lock().unwrap().concat();

    for (number, step) in (0..).zip(steps) {
        match *step {
            Step::Submit(lane) => {
                let mut service = task::spawn(batch.clone());
                match service.enter(|cx, mut it| it.poll_ready(cx)) {
                    Poll::Ready(Ok(())) => {
                        let item = (lane, number);
                        let mut call = task::spawn(service.enter(|_, mut it| it.call(item)));
                        assert!(call.poll().is_pending());
                        accepted.insert(number);
                        calls.insert(number, call);
                    }
                    Poll::Ready(Err(error)) => assert!(error.is::<Closed>()),
                    Poll::Pending => {
                        assert!(handle.snapshot().waiting > 0);
                    }
                }
            }
            Step::Cancel(which) => {
                let mut numbers: Vec<_> = calls.keys().copied().collect();
                numbers.sort_unstable();
                if !numbers.is_empty() {
                    let number = numbers[which % numbers.len()];
                    if !sent().iter().any(|it| it.1 == number) {
                        cancelled_unsent.insert(number);
                    }
                    calls.remove(&number);
                    accepted.remove(&number);
                }
            }
            Step::Poll(which) => {
                if let Some(number) = calls.keys().copied().nth(which % calls.len().max(1)) {
                    poll(number, &mut calls, &mut answered);
                }
            }
            Step::End(fate) => {
                backend.fates.lock().unwrap().push(fate);
                backend.gate.add_permits(1);
                tokio::task::yield_now().await;
            }
            Step::Wait(time) => {
                wait(millis(time)).await;
                tokio::task::yield_now().await;
            }
            Step::Flush => {
                let handle = handle.clone();
                flushes.push(tokio::spawn(async move { handle.flush().await }));
            }
            Step::Close => handle.close(),
        }
    }
    // The rest succeeds, and all services go.
    backend.gate.close();
    drop(batch);
    for flush in flushes {
        flush.await.unwrap();
    }
    let most_left: Vec<_> = calls.keys().copied().collect();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    wait(seconds(1)).await;
    for number in most_left {
        poll(number, &mut calls, &mut answered);
    }
    assert!(calls.is_empty(), "without an answer: {calls:?}");
    assert_eq!(handle.shutdown(seconds(1)).await, Ok(()));
    assert_eq!(handle.snapshot().waiting + handle.snapshot().in_flight, 0);

    // All who stayed were answered, and what was sent was sent once and within all limits.
    assert!(accepted.is_subset(&answered));
    let all = sent();
    let numbers: HashSet<_> = all.iter().map(|it| it.1).collect();
    assert_eq!(numbers.len(), all.len(), "sent twice: {all:?}");
    assert!(accepted.is_subset(&numbers), "not sent");
    assert!(numbers.is_disjoint(&cancelled_unsent), "sent after all");
    for items in &*backend.sent.lock().unwrap() {
        assert!(!items.is_empty() && items.iter().all(|it| it.0 == items[0].0));
        let weight: u32 = items.iter().map(|it| it.1 % 4).sum();
        assert!(weight <= 10, "{items:?}");
    }
    let most = *backend.most.lock().unwrap();
    assert!(most[0] <= batches[0] && most[1] <= batches[1], "{most:?}");
}

fn poll(
    number: u32,
    calls: &mut HashMap<u32, Spawn<ResponseFuture<Item, u32, u32>>>,
    answered: &mut HashSet<u32>,
) {
    let call = calls.get_mut(&number).expect("a call");
    let Poll::Ready(answer) = call.poll() else {
        return;
    };
    match answer {
        Ok(answer) => assert_eq!(answer, number),
        Err(error) => assert!(error.is::<BatchFailed>() || error.to_string() == "item"),
    }
    // And not once more.
    let again = catch_unwind(AssertUnwindSafe(|| call.poll()));
    assert!(again.is_err());
    assert!(answered.insert(number), "answered twice");
    calls.remove(&number);
}

async fn serve(
    backend: Arc<Backend>,
    items: Vec<Item>,
) -> Result<Vec<Result<u32, BoxError>>, BoxError> {
    struct Running<'a>(&'a Backend, usize);
    impl Drop for Running<'_> {
        fn drop(&mut self) {
            let mut running = self.0.running.lock().unwrap();
            running.0 -= 1;
            running.1[self.1] -= 1;
        }
    }
    let lane = items[0].0 as usize;
    {
        let mut running = backend.running.lock().unwrap();
        running.0 += 1;
        running.1[lane] += 1;
        let mut most = backend.most.lock().unwrap();
        *most = [most[0].max(running.0), most[1].max(running.1[lane])];
    }
    let _running = Running(&backend, lane);
    backend.sent.lock().unwrap().push(items.clone());
    let fate = match backend.gate.acquire().await {
        Ok(permit) => {
            permit.forget();
            backend
                .fates
                .lock()
                .unwrap()
                .pop()
                .unwrap_or(Fate::Succeeds)
        }
        Err(_) => Fate::Succeeds,
    };
    let answers = items.iter().map(|it| it.1);
    match fate {
        Fate::Succeeds => Ok(answers.map(Ok).collect()),
        Fate::Fails => Err("batch".into()),
        Fate::Panics => panic!("a batch"),
        Fate::IsShort => Ok(answers.skip(1).map(Ok).collect()),
        Fate::FailsItems => Ok(answers.map(|_| Err("item".into())).collect()),
    }
}
