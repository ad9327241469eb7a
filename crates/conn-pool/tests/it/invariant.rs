use mainstay_conn_pool::{CloseReason, Limits, Times};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};

use crate::support::{Backend, ms, n, pool_with, s};

/// Fifty callers do what they like while the backend comes and goes, on a clock that does not wait.
#[tokio::test(start_paused = true)]
async fn every_connection_is_in_exactly_one_state_and_they_never_exceed_the_maximum() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let backend = Backend::default();
        backend.state().connect_for = ms(rng.random_range(0..30));
        backend.state().close_for = ms(rng.random_range(0..10));
        backend.state().check_for = ms(rng.random_range(0..10));
        let times = Times::new()
            .with_check_after_idle(ms(20))
            .with_lifetime(s(2))
            .and_then(|times| times.with_idle_for(ms(300)))
            .and_then(|times| times.with_keep_alive(ms(200)))
            .unwrap();
        let limits = Limits::new(n(4)).with_min_size(2).unwrap();
        let pool = pool_with(&backend, limits, times);
        let callers: Vec<_> = (0..50)
            .map(|caller| {
                let pool = pool.clone();
                let mut rng = StdRng::seed_from_u64(seed * 100 + caller);
                tokio::spawn(async move {
                    for _ in 0..20 {
                        sleep(ms(rng.random_range(0..200))).await;
                        let patience = ms(rng.random_range(0..300));
                        let Ok(Ok(mut lease)) = timeout(patience, pool.acquire()).await else {
                            continue;
                        };
                        sleep(ms(rng.random_range(0..20))).await;
                        match rng.random_range(0..20) {
                            0 => lease.broken = true,
                            1 => lease.mark_broken(),
                            2 => drop(lease.detach()),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        for _ in 0..500 {
            sleep(ms(10)).await;
            let sizes = pool.snapshot().sizes;
            let accounted = sizes.idle + sizes.lent + sizes.connecting + sizes.closing;
            assert!(accounted <= 4, "{sizes:?}");
            let (live, peak) = {
                let state = backend.state();
                (state.live, state.peak)
            };
            assert!(live <= accounted, "{live} live, {sizes:?}");
            assert!(peak <= 4);
            match rng.random_range(0..50) {
                0 => backend.die(),
                1 => backend.crash(),
                2 => backend.state().refuses = Some("down"),
                3 => backend.state().panics = true,
                4 => pool.retire_all(),
                5 => pool.replace_all(),
                6..12 => {
                    backend.state().refuses = None;
                    backend.state().panics = false;
                }
                _ => {}
            }
        }
        backend.state().refuses = None;
        backend.state().panics = false;
        for caller in callers {
            caller.await.unwrap();
        }
        timeout(s(10), pool.warm_up()).await.unwrap().unwrap();
        pool.drain(s(10)).await.unwrap();
        let snapshot = pool.snapshot();
        let closed: u64 = [
            CloseReason::Broken,
            CloseReason::CheckFailed,
            CloseReason::Idle,
            CloseReason::Lifetime,
            CloseReason::Retired,
            CloseReason::Detached,
            CloseReason::Closed,
        ]
        .iter()
        .map(|reason| snapshot.closed(*reason))
        .sum();
        assert_eq!(closed, snapshot.created, "each was closed, and once");
        assert_eq!(backend.state().live, 0);
    }
}
