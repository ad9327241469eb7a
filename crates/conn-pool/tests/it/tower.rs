use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use mainstay_conn_pool::{
    AcquireError, BackendDown, CloseReason, Closed, Connection, Dispatch, KeyedLimits, Lease,
    Limits, Pool, PoolLayer, Shared, TimedOut, Times, Whole, future,
};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::assert_request_eq;
use tower_test::mock::{self, Mock};

use crate::support::{Backend, Conn, ms, n, pool, pool_with, s, settle};

/// A connection that a test answers for.
#[derive(Clone)]
struct Line {
    to: &'static str,
    mock: Mock<u32, u32>,
    reusable: Arc<AtomicBool>,
}

impl Connection for Line {
    fn is_reusable(&self) -> bool {
        self.reusable.load(Ordering::Relaxed)
    }
}

impl Service<u32> for Line {
    type Response = u32;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = <Mock<u32, u32> as Service<u32>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.mock.poll_ready(cx)
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.mock.call(request)
    }
}

/// Connects to lines that all have the same other end.
#[derive(Clone)]
struct Switchboard(Line);

impl<K: Label> Service<K> for Switchboard {
    type Response = Line;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = std::future::Ready<Result<Line, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: K) -> Self::Future {
        let line = Line {
            to: key.label(),
            ..self.0.clone()
        };
        std::future::ready(Ok(line))
    }
}

trait Label {
    fn label(&self) -> &'static str;
}

impl Label for () {
    fn label(&self) -> &'static str {
        ""
    }
}

impl Label for &'static str {
    fn label(&self) -> &'static str {
        self
    }
}

fn switchboard() -> (Switchboard, mock::Handle<u32, u32>) {
    let (mock, handle) = mock::pair();
    let reusable = Arc::default();
    let to = "";
    (Switchboard(Line { to, mock, reusable }), handle)
}

fn lines(max_size: u32) -> (Pool<Line>, mock::Handle<u32, u32>, Switchboard) {
    let (switchboard, handle) = switchboard();
    let pool = PoolLayer::new(Limits::new(n(max_size))).layer(switchboard.clone());
    (pool, handle, switchboard)
}

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    fn check_send<T: Send>() {}
    check::<Pool<Conn>>();
    check::<Pool<Conn, &'static str, Shared>>();
    check::<PoolLayer>();
    check::<PoolLayer<std::rc::Rc<()>>>();
    check::<Lease<'static, Conn>>();
    check::<Lease<'static, Conn, Shared>>();
    check::<AcquireError>();
    check_send::<Dispatch<Line>>();
    check_send::<future::Checkout<'static, Conn, (), Whole>>();
    check_send::<future::Checkout<'static, Conn, &'static str, Shared>>();
}

#[tokio::test(start_paused = true)]
async fn answers_a_target_with_a_lease() {
    let backend = Backend::default();
    let lease = pool(&backend, 1).oneshot(()).await.unwrap();
    assert_eq!(lease.id, 0);
    let pool: Pool<Conn, &'static str> =
        PoolLayer::keyed(KeyedLimits::default()).layer(backend.clone());
    let lease = pool.oneshot("there").await.unwrap();
    assert_eq!((lease.to, lease.id), ("there", 1));
}

#[tokio::test(start_paused = true)]
async fn refusals_pass_through_tower_as_they_are() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let error = pool.clone().oneshot(()).await.unwrap_err();
    assert!(error.is::<TimedOut>());
    lease.mark_broken();
    drop(lease);
    backend.state().refuses = Some("down");
    let error = pool.clone().oneshot(()).await.unwrap_err();
    assert!(error.is::<BackendDown>());
    pool.close();
    let error = pool.clone().oneshot(()).await.unwrap_err();
    assert!(error.is::<Closed>());
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.to_string(), "pool is closed");
}

/// The connector is a service like any other: ready first, and that very clone is called.
#[tokio::test(start_paused = true)]
async fn calls_only_what_it_readied() {
    let (connector, mut handle) = mock::pair::<(), Line>();
    let (switchboard, _lines) = switchboard();
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    handle.allow(0);
    let mut user = task::spawn(pool.acquire());
    assert_pending!(user.poll());
    settle().await;
    assert_eq!(pool.snapshot().sizes.connecting, 1);
    assert_pending!(user.poll());
    handle.allow(1);
    settle().await;
    assert_request_eq!(handle, ()).send_response(switchboard.0);
    user.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn forwards_readiness() {
    let (pool, mut handle, _) = lines(1);
    handle.allow(0);
    let mut dispatch = pool.dispatch();
    let mut ready = task::spawn(poll_fn(|cx| dispatch.poll_ready(cx)));
    assert_pending!(ready.poll());
    settle().await;
    assert_pending!(ready.poll());
    assert_eq!(pool.snapshot().sizes.lent, 1);
    handle.allow(1);
    assert!(ready.is_woken());
    assert_ready_ok!(ready.poll());
    drop(ready);
    let response = tokio::spawn(dispatch.call(7));
    assert_request_eq!(handle, 7).send_response(8);
    assert_eq!(response.await.unwrap().unwrap(), 8);
    assert_eq!(
        pool.snapshot().sizes.idle,
        1,
        "given back with the response"
    );
}

#[tokio::test(start_paused = true)]
async fn waits_to_be_ready_until_there_is_a_connection() {
    let (pool, _handle, _) = lines(1);
    let lease = pool.acquire().await.unwrap();
    let mut dispatch = pool.dispatch();
    let mut ready = task::spawn(poll_fn(|cx| dispatch.poll_ready(cx)));
    assert_pending!(ready.poll());
    drop(lease);
    assert!(ready.is_woken());
    assert_ready_ok!(ready.poll());
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_is_not_cloned_and_is_given_back() {
    let (pool, _handle, _) = lines(1);
    let mut dispatch = pool.dispatch();
    poll_fn(|cx| dispatch.poll_ready(cx)).await.unwrap();
    let mut other = dispatch.clone();
    let mut ready = task::spawn(poll_fn(|cx| other.poll_ready(cx)));
    assert_pending!(ready.poll());
    drop(dispatch);
    assert_ready_ok!(ready.poll());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "poll_ready must be called first")]
async fn panics_when_it_is_called_and_not_ready() {
    let (pool, _handle, _) = lines(1);
    drop(pool.dispatch().call(1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_answer_of_the_call() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let times = Times::new();
    let pool = pool_with(&backend, Limits::new(n(1)), times);
    let mut dispatch = pool.dispatch();
    assert!(poll_fn(|cx| dispatch.poll_ready(cx)).await.is_ok());
    let error = dispatch.call(1).await.unwrap_err();
    assert!(error.is::<BackendDown>());
    backend.state().refuses = None;
    sleep(ms(200)).await;
    poll_fn(|cx| dispatch.poll_ready(cx)).await.unwrap();
}

impl Service<u32> for Conn {
    type Response = u32;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<u32, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(if self.is_dead() {
            Err("connection is closed".into())
        } else {
            Ok(())
        })
    }

    fn call(&mut self, request: u32) -> Self::Future {
        Box::pin(async move { Ok(request) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_no_trace() {
    for polls in 0..3 {
        for reusable in [false, true] {
            let (pool, mut handle, switchboard) = lines(1);
            switchboard.0.reusable.store(reusable, Ordering::Relaxed);
            let mut dispatch = pool.dispatch();
            poll_fn(|cx| dispatch.poll_ready(cx)).await.unwrap();
            let mut call = task::spawn(dispatch.call(1));
            for _ in 0..polls {
                assert_pending!(call.poll());
            }
            drop(call);
            settle().await;
            let sizes = pool.snapshot().sizes;
            assert_eq!((sizes.lent, sizes.closing), (0, 0));
            assert_eq!(sizes.idle == 1, reusable, "polled {polls} times");
            drop(handle.next_request().await);
            poll_fn(|cx| dispatch.poll_ready(cx)).await.unwrap();
            let answer = tokio::spawn(dispatch.call(2));
            assert_request_eq!(handle, 2).send_response(3);
            assert_eq!(answer.await.unwrap().unwrap(), 3);
        }
    }
}

/// What a caller does says nothing of the backend.
#[tokio::test(start_paused = true)]
async fn calls_dropped_one_after_the_other_are_no_failures_to_connect() {
    let (pool, mut handle, _) = lines(1);
    let mut dispatch = pool.dispatch();
    for _ in 0..10 {
        poll_fn(|cx| dispatch.poll_ready(cx)).await.unwrap();
        let mut call = task::spawn(dispatch.call(1));
        assert_pending!(call.poll());
        sleep(ms(10)).await;
        drop(call);
        sleep(ms(10)).await;
        drop(handle.next_request().await);
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.failed, snapshot.refused), (0, 0));
    assert_eq!(snapshot.closed(CloseReason::Broken), 10);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_costs_a_whole_connection_but_not_a_shared_one() {
    let (pool, mut handle, _) = lines(1);
    let answer = tokio::spawn(pool.dispatch().oneshot(1));
    assert_request_eq!(handle, 1).send_error("no");
    assert_eq!(answer.await.unwrap().unwrap_err().to_string(), "no");
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);

    let (switchboard, mut handle) = switchboard();
    switchboard.0.reusable.store(true, Ordering::Relaxed);
    let pool = PoolLayer::new(Limits::new(n(1)))
        .shared(n(2))
        .layer(switchboard);
    let mut first = pool.dispatch();
    let mut second = pool.dispatch();
    poll_fn(|cx| first.poll_ready(cx)).await.unwrap();
    poll_fn(|cx| second.poll_ready(cx)).await.unwrap();
    let (first, second) = (tokio::spawn(first.call(1)), tokio::spawn(second.call(2)));
    assert_request_eq!(handle, 1).send_error("no");
    assert_request_eq!(handle, 2).send_response(3);
    first.await.unwrap().unwrap_err();
    assert_eq!(second.await.unwrap().unwrap(), 3);
    assert_eq!(pool.snapshot().sizes.idle, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_died_idle_is_replaced_without_the_caller_noticing() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    drop([pool.acquire().await.unwrap(), pool.acquire().await.unwrap()]);
    backend.die();
    assert_eq!(pool.dispatch().oneshot(5).await.unwrap(), 5);
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 2);
    assert_eq!(backend.state().made, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_never_good_is_told_of() {
    let backend = Backend::default();
    backend.state().dead_below = u32::MAX;
    let pool = pool(&backend, 2);
    let error = pool.dispatch().oneshot(5).await.unwrap_err();
    assert_eq!(error.to_string(), "connection is closed");
    assert_eq!(backend.state().made, 1);
}

#[tokio::test(start_paused = true)]
async fn sends_each_request_where_it_says() {
    let (switchboard, mut handle) = switchboard();
    let pool: Pool<Line, &'static str> =
        PoolLayer::keyed(KeyedLimits::default()).layer(switchboard);
    let mut dispatch = pool.dispatch_by(|request: &u32| if *request < 10 { "a" } else { "b" });
    let answers = [
        tokio::spawn(dispatch.call(1)),
        tokio::spawn(dispatch.call(11)),
    ];
    for _ in 0..2 {
        let (request, response) = handle.next_request().await.unwrap();
        response.send_response(request + 1);
    }
    let [a, b] = answers;
    assert_eq!(a.await.unwrap().unwrap(), 2);
    assert_eq!(b.await.unwrap().unwrap(), 12);
    assert_eq!(pool.try_acquire_for("a").unwrap().to, "a");
    assert_eq!(pool.try_acquire_for("b").unwrap().to, "b");
    assert_eq!(pool.snapshot().created, 2);
    // Dropped before it is sent.
    drop(dispatch.call(3));
    settle().await;
    assert_eq!(pool.snapshot().sizes.idle, 2);
}

/// Tower's callers stand in tower's own files.
#[tokio::test(start_paused = true)]
async fn a_lease_of_a_dispatch_says_where_that_was_made() {
    let (pool, mut handle, _) = lines(1);
    let dispatch = pool.dispatch();
    let line = line!() - 1;
    let answer = tokio::spawn(dispatch.clone().oneshot(1));
    let request = handle.next_request().await.unwrap();
    let (_, place) = pool.snapshot().oldest_lease().unwrap();
    assert!(place.file().ends_with("tower.rs"), "{place}");
    assert_eq!(place.line(), line);
    request.1.send_response(2);
    answer.await.unwrap().unwrap();

    let (switchboard, mut handle) = switchboard();
    let pool: Pool<Line, &'static str> =
        PoolLayer::keyed(KeyedLimits::default()).layer(switchboard);
    let dispatch = pool.dispatch_by(|_: &u32| "there");
    let line = line!() - 1;
    let answer = tokio::spawn(dispatch.oneshot(1));
    let request = handle.next_request().await.unwrap();
    let (_, place) = pool.snapshot().oldest_lease().unwrap();
    assert!(place.file().ends_with("tower.rs"), "{place}");
    assert_eq!(place.line(), line);
    request.1.send_response(2);
    answer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_checkout_outlives_the_service_it_came_from() {
    let backend = Backend::default();
    backend.state().connect_for = s(1);
    let mut pool = pool(&backend, 1);
    let checkout = Service::call(&mut pool, ());
    drop(pool);
    checkout.await.unwrap();
}
