//! On threads of their own, without a model's order.

use std::sync::atomic::{AtomicBool, AtomicU64};

use mainstay_ttl_cache::{Keep, TtlCache};

use crate::*;

/// Nobody gets what was loaded before an invalidation that was over when he asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_what_was_loaded_before_an_invalidation_that_is_over() {
    let keep = |_: &u64| Some(Keep::from(ttl(1_000)).with_tag("tag"));
    let cache = TtlCache::<u64, u64, _>::new(limits(100), keep);
    let (truth, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let is_enough = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (cache, truth, over) = (cache.clone(), Arc::clone(&truth), Arc::clone(&over));
            let is_enough = Arc::clone(&is_enough);
            tokio::spawn(async move {
                let mut round = reader;
                while !is_enough.load(Ordering::SeqCst) {
                    round += 1;
                    let least = over.load(Ordering::SeqCst);
                    let truth = Arc::clone(&truth);
                    let load = move || async move {
                        let value = truth.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(value)
                    };
                    let call = cache.get_or_load(&1, load);
                    // Some give up on it.
                    if round % 7 == 0 {
                        let _ = tokio::time::timeout(Duration::ZERO, call).await;
                        continue;
                    }
                    let value = call.await.unwrap();
                    assert!(value >= least, "{value} after {least}");
                }
            })
        })
        .collect();
    for round in 0..2_000 {
        let next = truth.fetch_add(1, Ordering::SeqCst) + 1;
        match round % 4 {
            0 => _ = cache.invalidate_if(|_, _| true),
            1 => cache.invalidate_all(),
            2 => cache.invalidate_tag("tag"),
            _ => _ = cache.invalidate(&1),
        }
        over.store(next, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    is_enough.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.loading, 0);
}
