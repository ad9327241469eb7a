//! A runtime whose time is switched off. The hook for panics is of the whole process, so this is one of its own.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mainstay_ttl_cache::{Limits, Ttl, TtlCache};
use tokio::{runtime, task::yield_now};

/// It is found out once, not with each entry.
#[test]
fn nothing_is_swept_in_the_background_and_all_else_works() {
    let panics = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&panics);
    panic::set_hook(Box::new(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    let without_time = runtime::Builder::new_current_thread().build().unwrap();
    let ttl = Ttl::new(Duration::from_secs(3600)).unwrap();
    let cache = TtlCache::<u64, u64>::new(Limits::new(100).unwrap(), ttl);
    without_time.block_on(async {
        for key in 0..10 {
            cache.insert(key, key);
            yield_now().await;
            assert_eq!(cache.get(&key), Some(key));
        }
        let load = || async { Ok::<_, std::io::Error>(7) };
        assert_eq!(cache.get_or_load(&50, load).await.unwrap(), 7);
    });
    let _ = panic::take_hook();
    assert!(panics.load(Ordering::SeqCst) <= 1, "{panics:?}");
}
