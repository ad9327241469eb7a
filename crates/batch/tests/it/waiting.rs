//! What happens when too many wait.

use std::sync::{Arc, Mutex};

use mainstay_batch::BatchLayer;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

use crate::{Bench, answer, limits, tenfold};

#[tokio::test(start_paused = true)]
async fn no_more_items_wait_than_the_limit() {
    let mut bench = Bench::new(limits(2).with_waiting(3).unwrap());
    let _out = bench.submit(0);
    let out = bench.expect(&[0]);
    let _waiting = [1, 2, 3].map(|it| bench.submit(it));
    let mut next = task::spawn(bench.batch.clone());
    assert_pending!(next.enter(|cx, mut it| it.poll_ready(cx)));
    assert_eq!(bench.batch.handle().snapshot().waiting, 3);

    out.send_response(tenfold(&[0]));
    bench.expect(&[1, 2]);
    assert!(next.is_woken());
    assert_ready_ok!(next.enter(|cx, mut it| it.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn places_are_handed_over_in_the_order_of_asking() {
    let mut bench = Bench::new(limits(1).with_waiting(1).unwrap());
    let _first = bench.submit(0);
    let mut line: Vec<_> = (0..5).map(|_| task::spawn(bench.batch.clone())).collect();
    for service in &mut line {
        assert_pending!(service.enter(|cx, mut it| it.poll_ready(cx)));
    }
    for turn in 0..5 {
        bench.work();
        let (items, out) = bench.sent().unwrap();
        out.send_response(tenfold(&items));
        bench.work();
        // A newcomer does not push in.
        let mut newcomer = task::spawn(bench.batch.clone());
        assert_pending!(newcomer.enter(|cx, mut it| it.poll_ready(cx)));
        drop(newcomer);

        let woken: Vec<_> = line.iter().map(task::Spawn::is_woken).collect();
        let expected: Vec<_> = (0..5).map(|it| it == turn).collect();
        assert_eq!(woken, expected);
        let service = &mut line[turn];
        assert_ready_ok!(service.enter(|cx, mut it| it.poll_ready(cx)));
        let mut response = task::spawn(service.enter(|_, mut it| it.call(turn as u32)));
        assert_pending!(response.poll());
        // It stays for the next turn.
        std::mem::forget(response);
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_was_woken_and_goes_passes_the_place_on() {
    let bench = Bench::new(limits(1).with_waiting(1).unwrap());
    let first = bench.submit(0);
    let mut second = task::spawn(bench.batch.clone());
    let mut third = task::spawn(bench.batch);
    assert_pending!(second.enter(|cx, mut it| it.poll_ready(cx)));
    assert_pending!(third.enter(|cx, mut it| it.poll_ready(cx)));
    drop(first);
    assert!(second.is_woken() && !third.is_woken());
    drop(second);
    assert!(third.is_woken());
    assert_ready_ok!(third.enter(|cx, mut it| it.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_get_through_a_line_of_one() {
    let limits = limits(10).with_waiting(1).unwrap();
    let (batch, worker) = mainstay_batch::Batch::pair(
        tower::service_fn(async |items: Vec<u32>| {
            tokio::task::yield_now().await;
            Ok::<_, std::convert::Infallible>(tenfold(&items))
        }),
        limits,
    );
    tokio::spawn(worker);
    let order = Arc::new(Mutex::new(Vec::new()));
    let calls: Vec<_> = (0..1_000)
        .map(|it| {
            let (batch, order) = (batch.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                assert_eq!(batch.oneshot(it).await.unwrap(), 10 * it);
                order.lock().unwrap().push(it);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(order.lock().unwrap().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn withdrawn_items_do_not_pile_up() {
    let mut bench = Bench::new(limits(10));
    let _first = bench.submit(0);
    let out = bench.expect(&[0]);
    let mut stays = bench.submit(1);
    // More than one line of them may keep.
    for _ in 0..100_000 {
        drop(bench.submit(2));
    }
    assert_eq!(bench.batch.handle().snapshot().waiting, 1);
    out.send_response(tenfold(&[0]));
    bench.expect(&[1]).send_response(tenfold(&[1]));
    bench.work();
    assert_eq!(answer(&mut stays), 10);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_gives_its_place_back() {
    #[derive(Clone, PartialEq, Eq)]
    struct Unlucky(u32);
    impl std::hash::Hash for Unlucky {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {
            assert!(self.0 != 13, "unlucky");
        }
    }
    let service =
        tower::service_fn(async |it: Vec<u32>| Ok::<_, std::convert::Infallible>(tenfold(&it)));
    let layer = BatchLayer::new(limits(10).with_waiting(2).unwrap());
    let batch = layer.with_lanes(|it: &u32| Unlucky(*it)).layer(service);
    for _ in 0..3 {
        let call = tokio::spawn(batch.clone().oneshot(13));
        assert!(call.await.unwrap_err().is_panic());
    }
    let call = tokio::time::timeout(crate::seconds(1), batch.oneshot(1));
    assert_eq!(call.await.expect("a place").unwrap(), 10);
}
