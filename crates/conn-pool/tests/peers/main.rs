//! Pools of connections to servers that the tests start, kill, and start again.

mod postgres;
mod redis;

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay_conn_pool::{AcquireError, Backoff, Connection, Limits, Pool, PoolLayer, Times};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const MAX_SIZE: u32 = 4;

/// A server that can come and go.
trait Server {
    fn start(&mut self) -> impl Future<Output = ()>;
    /// Without a chance to take leave.
    fn kill(&mut self) -> impl Future<Output = ()>;
}

/// A connection that can be used.
trait Usable: Connection {
    fn use_it(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send;
}

fn pool<M, C>(connector: M) -> Pool<C>
where
    M: Service<(), Response = C, Error = BoxError, Future: Send> + Clone + Send + 'static,
    C: Connection,
{
    let max_size = NonZeroU32::new(MAX_SIZE).unwrap();
    let backoff = || Backoff::new(Duration::from_millis(5), Duration::from_millis(50)).unwrap();
    PoolLayer::new(Limits::new(max_size).with_min_size(2).unwrap())
        .with_times(Times::new().with_check_after_idle(Duration::from_millis(50)))
        .with_backoff(backoff)
        .layer(connector)
}

/// Sixteen callers, of whom some lose patience, go on while the server is killed and started again,
/// three times. Then it is idle, and is killed once more.
async fn survives<C: Usable>(pool: &Pool<C>, server: &mut impl Server) {
    let answers = Arc::<AtomicU32>::default();
    let failures = Arc::<AtomicU32>::default();
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (pool, answers, failures) = (pool.clone(), answers.clone(), failures.clone());
            tokio::spawn(async move {
                loop {
                    let call = async {
                        let mut lease = pool.acquire().await?;
                        lease.use_it().await
                    };
                    let patience = Duration::from_micros(if caller < 4 { 300 } else { 5_000_000 });
                    match timeout(patience, call).await {
                        Ok(Ok(())) => answers.fetch_add(1, Ordering::Relaxed),
                        Ok(Err(_)) => failures.fetch_add(1, Ordering::Relaxed),
                        Err(_) => 0,
                    };
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let reaches = async |count: &AtomicU32, number: u32| {
        let goal = count.load(Ordering::Relaxed) + number;
        while count.load(Ordering::Relaxed) < goal {
            // A real sleep: the calls are made to a real server, at its pace.
            sleep(Duration::from_millis(1)).await;
        }
    };
    for _ in 0..3 {
        reaches(&answers, 200).await;
        server.kill().await;
        reaches(&failures, 50).await;
        server.start().await;
    }
    reaches(&answers, 200).await;
    for caller in callers {
        caller.abort();
        let _ = caller.await;
    }
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.leases, 0);
    assert!(snapshot.sizes.idle <= MAX_SIZE);

    server.kill().await;
    let refused = async {
        loop {
            match pool.acquire().await {
                Ok(mut lease) => drop(lease.use_it().await),
                Err(AcquireError::BackendDown(error)) => break error,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let error = timeout(Duration::from_secs(5), refused).await.unwrap();
    assert!(std::error::Error::source(&error).is_some());
    server.start().await;
    let back = async {
        loop {
            let used = async { pool.acquire().await?.use_it().await };
            if used.await.is_ok() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(5), back).await.unwrap();
}
