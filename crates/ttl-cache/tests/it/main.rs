//! What a user of the crate sees.

mod hit_ratio;
mod invalidation;
mod layer;
mod loads;
mod reference;
mod room;
mod staleness;
mod stress;
mod values;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mainstay_ttl_cache::{Limits, Ttl, TtlCache};
use tokio_test::{assert_ready, task};

type Cache = TtlCache<u64, String>;

/// Room for a thousand, which are fresh for ten seconds.
fn cache() -> Cache {
    TtlCache::new(limits(1_000), ttl(10))
}

fn limits(entries: usize) -> Limits {
    Limits::new(entries).unwrap()
}

fn ttl(fresh: u64) -> Ttl {
    Ttl::new(seconds(fresh)).unwrap()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn wait(time: Duration) {
    tokio::time::advance(time).await;
}

/// Loads that take their time, and how many there were.
#[derive(Clone, Default)]
struct Loads(Arc<AtomicUsize>);

impl Loads {
    /// Brings its own number, from one on.
    fn take(&self, time: Duration) -> impl FnOnce() -> Loading + Send + use<> {
        let loads = self.clone();
        move || {
            Box::pin(async move {
                let load = loads.0.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(time).await;
                Ok(load.to_string())
            })
        }
    }

    /// Fails with its own number.
    fn fail(&self, time: Duration) -> impl FnOnce() -> Failing + Send + use<> {
        let loads = self.clone();
        move || {
            Box::pin(async move {
                let load = loads.0.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(time).await;
                Err(format!("refused {load}"))
            })
        }
    }

    #[track_caller]
    fn assert(&self, count: usize) {
        assert_eq!(self.0.load(Ordering::SeqCst), count, "loads");
    }
}

type Loading = std::pin::Pin<Box<dyn Future<Output = Result<String, Infallible>> + Send>>;

type Failing = std::pin::Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;
