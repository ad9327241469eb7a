//! Code of users that panics, or comes back to the pool.

use std::error::Error;
use std::fmt;
use std::future::{Pending, pending, poll_fn};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_conn_pool::{
    AcquireError, CloseReason, ConnectAborted, Connection, KeyedLimits, Limits, Pool, PoolLayer,
};
use tokio::time::sleep;
use tokio_test::task;
use tower::{Layer, Service, service_fn};

use crate::support::{Backend, Conn, Refused, n, s, settle};

/// A connector whose `Clone` panics when it is told to.
struct Fragile {
    panics: Arc<AtomicBool>,
    backend: Backend,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.panics.load(Ordering::Relaxed), "as a test wants it");
        Self {
            panics: self.panics.clone(),
            backend: self.backend.clone(),
        }
    }
}

impl Service<()> for Fragile {
    type Response = Conn;
    type Error = Refused;
    type Future = <Backend as Service<()>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Service::<()>::poll_ready(&mut self.backend, cx)
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.backend.call(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_clone_of_a_connector_is_a_failure_to_connect() {
    let panics = Arc::new(AtomicBool::new(true));
    let connector = Fragile {
        panics: panics.clone(),
        backend: Backend::default(),
    };
    let pool = PoolLayer::new(Limits::new(n(3))).layer(connector);
    for outcome in join_all((0..3).map(|_| pool.acquire())).await {
        let Err(AcquireError::BackendDown(error)) = outcome else {
            panic!("not down")
        };
        let cause = error.source().unwrap();
        assert!(cause.is::<ConnectAborted>());
    }
    assert_eq!(pool.snapshot().sizes, Default::default());
    panics.store(false, Ordering::Relaxed);
    sleep(s(10)).await;
    drop(pool.acquire().await.unwrap());
    pool.drain(s(5)).await.unwrap();
}

struct PanicsOnDrop;

impl Connection for PanicsOnDrop {}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("as a test wants it");
    }
}

#[test]
fn a_connection_whose_drop_panics_is_given_back_without_a_panic() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let ended = runtime.enable_time().build().unwrap();
    let (pool, lease) = ended.block_on(async {
        let connector = service_fn(async |()| Ok::<_, String>(PanicsOnDrop));
        let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
        let lease = pool.clone().acquire_owned().await.unwrap();
        (pool, lease)
    });
    drop(ended);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(lease))).is_ok());
    assert_eq!(pool.snapshot().sizes, Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_drop_panics_costs_no_place() {
    let connector = service_fn(async |()| Ok::<_, String>(PanicsOnDrop));
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    for _ in 0..3 {
        pool.acquire().await.unwrap().mark_broken();
        sleep(s(10)).await;
    }
    assert_eq!(pool.snapshot().sizes, Default::default());
    pool.drain(s(1)).await.unwrap();
}

/// Where a service panics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Call,
    IsReusable,
}

#[derive(Clone)]
struct Panics(Place);

impl Connection for Panics {
    fn is_reusable(&self) -> bool {
        assert!(self.0 != Place::IsReusable, "as a test wants it");
        false
    }
}

impl Service<u32> for Panics {
    type Response = u32;
    type Error = String;
    type Future = Pending<Result<u32, String>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        assert!(self.0 != Place::Ready, "as a test wants it");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert!(self.0 != Place::Call, "as a test wants it");
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_say_whether_it_is_reusable_is_not_lent_again() {
    let connector = service_fn(async |()| Ok::<_, String>(Panics(Place::IsReusable)));
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    let mut dispatch = pool.dispatch();
    poll_fn(|cx| Service::<u32>::poll_ready(&mut dispatch, cx))
        .await
        .unwrap();
    let response = dispatch.call(1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(response))).is_ok());
    assert_eq!(pool.snapshot().leases, 0);
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
}

/// The future is polled, and dropped, by one who catches its panic.
#[tokio::test(start_paused = true)]
async fn one_whose_call_panics_is_not_lent_again() {
    for place in [Place::Ready, Place::Call] {
        let connector =
            service_fn(move |_: u32| std::future::ready(Ok::<_, String>(Panics(place))));
        let pool: Pool<Panics, u32> = PoolLayer::keyed(KeyedLimits::default()).layer(connector);
        let mut dispatch = pool.dispatch_by(|_: &u32| 1);
        let mut response = task::spawn(dispatch.call(1));
        assert!(response.poll().is_pending());
        settle().await;
        catch_unwind(AssertUnwindSafe(|| response.poll().is_ready())).unwrap_err();
        drop(response);
        assert_eq!(pool.snapshot().sizes.idle, 0);
        assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_when_it_is_to_be_ready_is_not_lent_again() {
    for place in [Place::Ready, Place::Call] {
        let connector = service_fn(move |()| std::future::ready(Ok::<_, String>(Panics(place))));
        let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
        drop(pool.acquire().await.unwrap());
        let mut dispatch = pool.dispatch();
        let mut use_it = AssertUnwindSafe(|cx: &mut Context<'_>| {
            assert!(Service::<u32>::poll_ready(&mut dispatch, cx).is_ready());
            dispatch.call(1)
        });
        let mut task = task::spawn(());
        let outcome = task.enter(|cx, _| catch_unwind(AssertUnwindSafe(|| drop(use_it(cx)))));
        outcome.unwrap_err();
        assert_eq!(pool.snapshot().sizes.idle, 0);
        if place == Place::Ready {
            // It begins anew, with another.
            assert!(task.enter(|cx, _| Service::<u32>::poll_ready(&mut dispatch, cx).is_pending()));
        }
        drop(dispatch);
        assert_eq!(pool.snapshot().sizes.idle, 0);
        assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
    }
}

/// Looks at the pool when it is cloned or dropped: a key, an error, or a connection.
struct LooksBack(&'static str, Arc<OnceLock<Pool<Self, Self>>>);

impl LooksBack {
    fn look(&self) {
        if let Some(pool) = self.1.get() {
            let _ = (pool.targets(), pool.snapshot());
        }
    }
}

impl Clone for LooksBack {
    fn clone(&self) -> Self {
        self.look();
        Self(self.0, self.1.clone())
    }
}

impl Drop for LooksBack {
    fn drop(&mut self) {
        self.look();
    }
}

impl PartialEq for LooksBack {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for LooksBack {}

impl Hash for LooksBack {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for LooksBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for LooksBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for LooksBack {}

impl Connection for LooksBack {
    fn is_broken(&self) -> bool {
        self.look();
        false
    }

    fn is_reusable(&self) -> bool {
        self.look();
        false
    }
}

#[test]
fn foreign_code_may_use_the_pool_wherever_it_is_run() {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let cell: Arc<OnceLock<Pool<LooksBack, LooksBack>>> = Arc::default();
            let connector = service_fn(|key: LooksBack| async move {
                if key.0 == "down" { Err(key) } else { Ok(key) }
            });
            let pool = PoolLayer::keyed(KeyedLimits::default()).layer(connector);
            assert!(cell.set(pool.clone()).is_ok());
            let key = |name| LooksBack(name, cell.clone());
            for _ in 0..2 {
                pool.acquire_for(key("down")).await.unwrap_err();
                drop(pool.acquire_for(key("up")).await.unwrap());
                drop(pool.acquire_for(key("up")).await.unwrap());
                assert!(pool.try_acquire_for(key("up")).is_some());
                sleep(s(60)).await;
                assert_eq!(pool.targets(), 1);
            }
            pool.acquire_for(key("up")).await.unwrap().mark_broken();
            pool.retire_all();
            sleep(s(60)).await;
            assert_eq!(pool.targets(), 0);
            pool.drain(s(1)).await.unwrap();
        });
        done.send(()).unwrap();
    });
    // A lock that is taken twice hangs for ever.
    let outcome = ended.recv_timeout(Duration::from_secs(20));
    outcome.expect("no lock is held while foreign code is run");
}
