use std::fmt::Debug;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// For what takes milliseconds, on a machine that has a lot else to do.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Waits until what another process brings about is as expected.
pub(crate) async fn until<T: Debug + PartialEq>(
    what: &str,
    expected: T,
    within: Duration,
    mut now: impl FnMut() -> T,
) {
    let deadline = Instant::now() + within;
    loop {
        let now = now();
        if now == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what} after {within:?}: {now:?}, expected {expected:?}"
        );
        // A real sleep, as nothing wakes us when another process or its files are gone.
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for what must not hang.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(SOON, future)
        .await
        .unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"))
}
